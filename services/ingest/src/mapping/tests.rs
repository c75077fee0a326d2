use bytes::Bytes;
use serde_json::json;
use waggle_model::{EventBody, Placement};

use super::*;

const TIME: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn mapping(config: Value) -> Result<Mapping, String> {
    Mapping::try_new(serde_json::from_value(config).map_err(|e| e.to_string())?)
}

/// A shop's clickstream, as it may look like.
fn clickstream() -> Value {
    json!({
        "topic": "clicks",
        "time": "unix_ms",
        "fields": {
            "type": "event.name", "user_id": "/user/id", "session_id": "@key", "item_id": "event.sku",
            "timestamp": "ts", "price": "event.price", "items": "event.seen", "answer_id": "event.list",
            "placement": "event.where",
        },
        "constants": { "currency": "EUR" },
        "types": { "page_view": "view", "list_view": "impression" },
        "context": { "page": "url" },
    })
}

fn clickstream_with(key: &str, value: Value) -> Mapping {
    let mut config = clickstream();
    config[key] = value;
    mapping(config).unwrap()
}

fn record(value: impl Into<Bytes>) -> SourceRecord {
    SourceRecord {
        partition: 3,
        offset: 17,
        key: Some(Bytes::from_static(b"s-1")),
        value: Some(value.into()),
        timestamp: TIME,
    }
}

fn map(mapping: &Mapping, value: &Value) -> Result<Mapped, String> {
    mapping.map(&record(value.to_string()), |name| name == "wishlist")
}

#[track_caller]
fn event(mapping: &Mapping, value: &Value) -> Event {
    match map(mapping, value) {
        Ok(Mapped::Event(event)) => *event,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn check_refused(config: &Value, sentence: &str) {
    let error = mapping(config.clone()).unwrap_err();
    assert!(error.contains(sentence), "{error}");
}

#[track_caller]
fn check_unmapped(value: &Value, sentence: &str) {
    let error = map(&mapping(clickstream()).unwrap(), value).unwrap_err();
    assert!(error.contains(sentence), "{error}");
}

#[test]
fn fields_are_found_where_the_configuration_says() {
    let event = event(
        &mapping(clickstream()).unwrap(),
        &json!({
            "event": { "name": "page_view", "sku": 4711, "price": "12.50", "where": "cart" },
            "user": { "id": "anna" }, "ts": 1_699_999_999_123_i64, "url": "/lamps",
        }),
    );
    assert_eq!(event.event_id.unwrap().as_str(), "clicks/3/17");
    assert_eq!(event.timestamp, Timestamp::from_millis(1_699_999_999_123));
    assert_eq!(event.person.user_id.unwrap().as_str(), "anna");
    assert_eq!(event.person.session_id.unwrap().as_str(), "s-1");
    assert_eq!(event.context["page"], "/lamps");
    let EventBody::Interaction(view) = event.body else { panic!("{:?}", event.body) };
    assert_eq!((view.kind, view.item_id.as_str()), (InteractionKind::View, "4711"));
    assert_eq!(view.placement, Some(Placement::Cart));
    assert_eq!((view.price, view.currency.as_deref()), (Some(12.5), Some("EUR")));
}

#[test]
fn our_own_events_need_no_mapping() {
    let plain = mapping(json!({ "topic": "events-of-ours" })).unwrap();
    let ours = json!({
        "event_id": "e-1", "type": "click", "user_id": "anna", "item_id": "lamp",
        "timestamp": "2026-03-01T00:00:00Z",
    });
    let read = event(&plain, &ours);
    assert_eq!(read.event_id.unwrap().as_str(), "e-1");
    assert_eq!(read.timestamp.to_string(), "2026-03-01T00:00:00.000Z");
    let misspelt = json!({ "type": "click", "user": "anna", "item_id": "lamp" });
    assert!(map(&plain, &misspelt).unwrap_err().contains("unknown field `user`"));
}

#[test]
fn a_list_of_ids_is_what_was_seen_in_that_order() {
    let seen = json!({
        "event": { "name": "list_view", "list": "a-1", "seen": ["lamp", 7, { "item_id": "sofa", "position": 9 }] },
        "user": { "id": "anna" },
    });
    let event = event(&mapping(clickstream()).unwrap(), &seen);
    assert_eq!(event.timestamp, TIME, "the record's own, as it names none");
    let EventBody::Impression(impression) = event.body else { panic!("{:?}", event.body) };
    let items: Vec<_> = impression.items.iter().map(|seen| (seen.item_id.as_str(), seen.position)).collect();
    assert_eq!(items, [("lamp", 1), ("7", 2), ("sofa", 9)]);
}

#[test]
fn times_are_read_in_the_unit_that_is_configured() {
    let check = |unit: &str, value: Value, expected: Result<i64, &str>| {
        let mapping = clickstream_with("time", json!(unit));
        let record = json!({ "event": { "name": "view", "sku": "a" }, "user": { "id": "u" }, "ts": value });
        match (map(&mapping, &record), expected) {
            (Ok(Mapped::Event(event)), Ok(millis)) => assert_eq!(event.timestamp.as_millis(), millis),
            (Err(error), Err(sentence)) => assert!(error.contains(sentence), "{error}"),
            (other, _) => panic!("{other:?}"),
        }
    };
    check("unix_s", json!(1_700_000_000), Ok(1_700_000_000_000));
    check("unix_s", json!(1_700_000_000.123), Ok(1_700_000_000_123));
    check("unix_s", json!("1700000000"), Ok(1_700_000_000_000));
    check("unix_ms", json!(1_700_000_000_123_i64), Ok(1_700_000_000_123));
    check("unix_s", json!(1_700_000_000_000_i64), Err("no time in the unit"));
    check("unix_ms", json!(1e300), Err("no time in the unit"));
    check("unix_ms", json!("yesterday"), Err("a number is wanted"));
    check("rfc3339", json!("2023-11-14T22:13:20Z"), Ok(1_700_000_000_000));
    check("rfc3339", json!(1_700_000_000), Err("an RFC 3339 time is wanted"));
}

#[test]
fn types_that_nobody_mapped_go_where_they_are_sent() {
    let scrolled = json!({ "event": { "name": "scroll", "sku": "a" }, "user": { "id": "u" } });
    let with = |policy: &str| clickstream_with("unmapped_types", json!(policy));
    assert_eq!(map(&with("skip"), &scrolled), Ok(Mapped::Skipped));
    assert!(map(&with("dead_letter"), &scrolled).unwrap_err().contains("\"scroll\" is not mapped"));
    let EventBody::Interaction(kept) = event(&with("keep"), &scrolled).body else { panic!() };
    assert_eq!(kept.kind.as_str(), "scroll");
    // Known by name, or configured as the installation's own: no entry is needed.
    for known in ["purchase", "wishlist"] {
        let record = json!({ "event": { "name": known, "sku": "a" }, "user": { "id": "u" } });
        let EventBody::Interaction(read) = event(&with("skip"), &record).body else { panic!() };
        assert_eq!(read.kind.as_str(), known);
    }
}

#[test]
fn what_does_not_fit_says_which_field_and_why() {
    check_unmapped(&json!({ "user": { "id": "u" } }), "type is missing");
    check_unmapped(&json!({ "event": { "name": "view" }, "user": { "id": "u" } }), "item_id is missing");
    check_unmapped(&json!({ "event": { "name": "view", "sku": 1.5 } }), "item_id is 1.5");
    check_unmapped(&json!({ "event": { "name": "view", "sku": ["a"] } }), "item_id is an array");
    check_unmapped(&json!({ "event": { "name": "view", "sku": "a", "price": "much" } }), "price is \"much\"");
    check_unmapped(&json!({ "event": { "name": "view", "sku": "a", "price": -1 } }), "price is -1");
    check_unmapped(&json!({ "event": { "name": { "deep": 1 } } }), "type is an object");
    check_unmapped(&json!("just text"), "type is missing");
}

#[test]
fn a_record_without_a_use_is_refused_with_the_reason() {
    let mapping = mapping(clickstream()).unwrap();
    let refused = |record: SourceRecord| mapping.map(&record, |_| false).unwrap_err();
    assert!(refused(SourceRecord { value: None, ..record("") }).contains("no value"));
    assert!(refused(record("")).contains("not JSON"));
    assert!(refused(record("{\"event\"")).contains("not JSON"));
    assert!(refused(record(vec![b' '; 10 << 20])).contains("10485760 bytes"));
    assert!(refused(record("[".repeat(100_000))).contains("not JSON"));
    let not_text = SourceRecord { key: Some(Bytes::from_static(&[0xff])), ..record("{}") };
    assert!(refused(not_text).contains("key is not text"));
}

#[test]
fn empty_text_and_null_are_as_good_as_nothing() {
    let nobody = json!({ "event": { "name": "view", "sku": "a", "price": null }, "user": { "id": "" } });
    let event = event(&mapping(clickstream()).unwrap(), &nobody);
    assert_eq!(event.person.user_id, None);
    let EventBody::Interaction(view) = event.body else { panic!() };
    assert_eq!(view.price, None);
}

#[test]
fn the_name_of_a_record_fits_whatever_its_topics_name() {
    let config = json!({ "topic": "t".repeat(MAX_TOPIC_BYTES) });
    let last = SourceRecord { partition: u32::MAX, offset: u64::MAX, ..record("") };
    assert!(mapping(config).unwrap().id_of(&last).as_str().ends_with("/4294967295/18446744073709551615"));
}

#[test]
fn a_mapping_that_cannot_work_stops_the_start() {
    check_refused(&json!({ "topic": "" }), "topic must have");
    check_refused(&json!({ "topic": "a", "group": "my group" }), "group must have");
    check_refused(&json!({ "topic": "a", "feilds": {} }), "feilds");
    check_refused(&json!({ "topic": "a", "fields": { "itemid": "x" } }), "itemid");
    check_refused(&json!({ "topic": "a", "fields": { "item_id": "x..y" } }), "not a place in a record");
    check_refused(&json!({ "topic": "a", "constants": { "type": "view" } }), "need fields");
    check_refused(&json!({ "topic": "a", "fields": { "item_id": "x" } }), "type is neither");
    check_refused(&json!({ "topic": "a", "fields": { "type": "t", "item_id": "x" } }), "neither user_id");
    check_refused(&json!({ "topic": "a", "fields": { "type": "t", "user_id": "x" } }), "neither item_id");
    let mut config = clickstream();
    config["types"] = json!({ "gdpr": "erasure" });
    check_refused(&config, "written by waggle itself");
    config = clickstream();
    config["constants"] = json!({ "price": "free" });
    check_refused(&config, "constants: price is \"free\"");
}
