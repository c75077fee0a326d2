//! A block: consecutive records of one partition in one row.
//!
//! The content is, per record, key length (u32), value length (u32), time of writing (i64, ms), key, value; numbers are
//! little endian. The body is the content, or a Zstandard frame of it where that is smaller: records repeat each other's
//! names, so a block takes a fifth to a fifteenth of its content. A frame begins with bytes that no content begins with, as
//! they would be the length of a key beyond [`MAX_FIELD_BYTES`]. The checksum is XXH3-64 of the body, seeded with the
//! first offset, so a block in the wrong place fails too.

use std::cell::RefCell;

use bytes::{Buf, Bytes};
use sqlx::{Row, sqlite::SqliteRow};
use waggle_model::Timestamp;
use xxhash_rust::xxh3::xxh3_64_with_seed;
use zstd::{
    bulk::{Compressor, Decompressor},
    zstd_safe::{MAGICNUMBER, get_frame_content_size},
};

use crate::log::{LogRecord, NewRecord};

/// A block is closed once it has this many bytes: a read in its middle decodes little that it does not need.
const TARGET_BYTES: usize = 128 << 10;
/// Longest key or value; SQLite's own limit for a row is 1 GB.
const MAX_FIELD_BYTES: usize = 256 << 20;
const HEADER_BYTES: usize = 16;
/// Smaller contents gain nothing.
const MIN_COMPRESSED_BYTES: usize = 512;
/// Of Zstandard, negative is fast: two thirds of level 1's time for 4 % more bytes of answers, 15 % more of events.
const LEVEL: i32 = -1;

thread_local! {
    /// Their working memory is larger than most blocks.
    static COMPRESSOR: RefCell<Compressor<'static>> =
        RefCell::new(Compressor::new(LEVEL).expect("a level that exists"));
    static DECOMPRESSOR: RefCell<Decompressor<'static>> =
        RefCell::new(Decompressor::new().expect("needs nothing but memory"));
}

/// A block about to be written.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) first_offset: u64,
    pub(super) n_records: u32,
    content: Vec<u8>,
}

impl Block {
    pub(super) fn new(first_offset: u64) -> Self {
        Self { first_offset, n_records: 0, content: Vec::new() }
    }

    pub(super) fn push(&mut self, record: &NewRecord, now: Timestamp) {
        self.content.reserve(encoded_len(record));
        self.content.extend_from_slice(&length(&record.key).to_le_bytes());
        self.content.extend_from_slice(&length(&record.value).to_le_bytes());
        self.content.extend_from_slice(&now.as_millis().to_le_bytes());
        self.content.extend_from_slice(&record.key);
        self.content.extend_from_slice(&record.value);
        self.n_records += 1;
    }

    pub(super) fn is_full(&self) -> bool {
        self.content.len() >= TARGET_BYTES
    }

    /// Checksum and body, as stored.
    pub(super) fn into_parts(self) -> (i64, Vec<u8>) {
        let body = compressed(&self.content).unwrap_or(self.content);
        (xxh3_64_with_seed(&body, self.first_offset).cast_signed(), body)
    }
}

/// The content as a frame; `None` where that is not smaller.
fn compressed(content: &[u8]) -> Option<Vec<u8>> {
    if content.len() < MIN_COMPRESSED_BYTES {
        return None;
    }
    let frame = COMPRESSOR.with_borrow_mut(|compressor| compressor.compress(content)).ok()?;
    (frame.len() < content.len()).then_some(frame)
}

/// Bytes that the record takes in a block.
pub(super) fn encoded_len(record: &NewRecord) -> usize {
    HEADER_BYTES + record.key.len() + record.value.len()
}

/// Whether the record can be stored at all.
pub(super) fn check(record: &NewRecord) -> Result<(), String> {
    let longest = record.key.len().max(record.value.len());
    if longest > MAX_FIELD_BYTES {
        return Err(format!("record has a field of {longest} bytes, at most {MAX_FIELD_BYTES} are allowed"));
    }
    Ok(())
}

fn length(field: &Bytes) -> u32 {
    u32::try_from(field.len()).expect("checked when the record was accepted")
}

/// A block as read.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) first_offset: u64,
    pub(super) n_records: u64,
    checksum: i64,
    body: Bytes,
}

impl Stored {
    /// From columns `first_offset, n_records, checksum, body`.
    pub(super) fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            first_offset: row.try_get::<i64, _>(0)?.cast_unsigned(),
            n_records: row.try_get::<i64, _>(1)?.cast_unsigned(),
            checksum: row.try_get(2)?,
            body: Bytes::from(row.try_get::<Vec<u8>, _>(3)?),
        })
    }

    /// Appends up to `max` records from offset `from` on to `out`, and gives the offset after the last one.
    ///
    /// Keys and values share the content's memory.
    pub(super) fn decode(
        &self,
        partition: u32,
        from: u64,
        max: usize,
        out: &mut Vec<LogRecord>,
    ) -> Result<u64, String> {
        let first = self.first_offset;
        if xxh3_64_with_seed(&self.body, first).cast_signed() != self.checksum {
            return Err(format!("the block at offset {first} is damaged (checksum)"));
        }
        let last = first.checked_add(self.n_records).filter(|&end| first <= from && from < end);
        let Some(end) = last else {
            return Err(format!("offset {from} is missing; the next block starts at {first}"));
        };
        let wanted_end = end.min(from.saturating_add(max as u64));
        let mut rest = self
            .content()
            .ok_or_else(|| format!("the block at offset {first} is damaged (it cannot be decompressed)"))?;
        for offset in first..wanted_end {
            let record = take_record(&mut rest, partition, offset).ok_or_else(|| {
                format!("the block at offset {first} is damaged (record {offset} is cut off)")
            })?;
            if offset >= from {
                out.push(record);
            }
        }
        Ok(wanted_end)
    }

    fn content(&self) -> Option<Bytes> {
        if !self.body.starts_with(&MAGICNUMBER.to_le_bytes()) {
            return Some(self.body.clone());
        }
        let size = usize::try_from(get_frame_content_size(&self.body).ok()??).ok()?;
        let content = DECOMPRESSOR.with_borrow_mut(|it| it.decompress(&self.body, size)).ok()?;
        Some(content.into())
    }
}

fn take_record(rest: &mut Bytes, partition: u32, offset: u64) -> Option<LogRecord> {
    if rest.remaining() < HEADER_BYTES {
        return None;
    }
    let key_len = rest.get_u32_le() as usize;
    let value_len = rest.get_u32_le() as usize;
    let timestamp = Timestamp::from_millis(rest.get_i64_le());
    if rest.remaining() < key_len.checked_add(value_len)? {
        return None;
    }
    let key = rest.split_to(key_len);
    let value = rest.split_to(value_len);
    Some(LogRecord { partition, offset, key, value, timestamp })
}
