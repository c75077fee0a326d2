//! What must hold for any bytes; shared by the fuzz targets and by an ordinary test over the same corpus.

use bytes::Bytes;
use waggle_ingest_role::{
    MAX_BODY_BYTES, MAX_EVENTS,
    body::{self, Format},
    encoding::Encoding,
    mapping::{Mapping, SourceRecord},
};
use waggle_model::{DeadLetterRecord, Timestamp, decode_event, encode_event};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// Whatever decodes as an event is written and read back the same.
pub(super) fn event(bytes: &[u8]) {
    if let Ok(event) = decode_event(bytes) {
        let written = encode_event(&event);
        // As bytes: a number may be NaN, which equals nothing.
        let again = decode_event(&written).expect("what was written is read back");
        assert_eq!(encode_event(&again), written);
    }
    // Letters have no form of their own to come back to: not panicking is all.
    DeadLetterRecord::decode(bytes).ok();
}

/// The first byte chooses what the rest is: a body in one of its formats and encodings, or a topic's record.
pub(super) fn body(bytes: &[u8]) {
    let Some((&choice, rest)) = bytes.split_first() else { return };
    let rest = Bytes::copy_from_slice(rest);
    let format = if choice & 1 == 0 { Format::Json } else { Format::Ndjson };
    let encoding = match choice >> 1 & 3 {
        0 => Encoding::Identity,
        1 => Encoding::Gzip,
        2 => Encoding::Deflate,
        _ => Encoding::Zstd,
    };
    if choice & 0x80 != 0 {
        return record(rest);
    }
    let Ok(plain) = encoding.decompress(&rest, MAX_BODY_BYTES) else { return };
    assert!(encoding == Encoding::Identity || plain.len() <= MAX_BODY_BYTES);
    let Ok(elements) = body::elements(&plain, format, MAX_EVENTS) else { return };
    assert!(elements.len() <= MAX_EVENTS);
    for element in elements {
        if let Ok(found) = body::event(element, NOW) {
            event(&encode_event(&found));
        }
    }
}

fn record(value: Bytes) {
    let config = serde_json::json!({
        "topic": "clicks",
        "time": "unix_s",
        "unmapped_types": "keep",
        "fields": {
            "type": "t", "user_id": "u", "item_id": "i", "items": "seen", "answer_id": "a", "timestamp": "at",
            "price": "p", "position": "n",
        },
        "context": { "more": "more" },
    });
    let config = serde_json::from_value(config).expect("the configuration is valid");
    let mapping = Mapping::try_new(config).expect("the mapping is valid");
    let record = SourceRecord { partition: 1, offset: 2, key: None, value: Some(value), timestamp: NOW };
    mapping.map(&record, |_| false).ok();
}
