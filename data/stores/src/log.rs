//! The log: ordered records per topic and partition, durable before they are acknowledged.

pub mod sqlite;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use waggle_model::Timestamp;

/// What a record is about. On Kafka each is a topic under the installation's prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Topic {
    /// Interactions, impressions, user changes, merges, erasures. Keyed by person.
    Events,
    /// What was served. Keyed by person.
    Answers,
    /// Catalogue changes, compacted. Keyed by item.
    Catalog,
    /// What could not be understood, with the reason and the raw bytes.
    DeadLetters,
}

impl Topic {
    pub const ALL: [Self; 4] = [Self::Events, Self::Answers, Self::Catalog, Self::DeadLetters];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Answers => "answers",
            Self::Catalog => "catalog",
            Self::DeadLetters => "dead-letters",
        }
    }
}

/// A record about to be appended.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRecord {
    /// Chooses the partition ([`partition_of`]); records with equal keys stay in order.
    pub key: Bytes,
    pub value: Bytes,
    /// Event time, kept beside the record.
    pub timestamp: Timestamp,
}

/// A record as read.
#[derive(Debug, Clone, PartialEq)]
pub struct LogRecord {
    pub partition: u32,
    pub offset: u64,
    pub key: Bytes,
    pub value: Bytes,
    pub timestamp: Timestamp,
}

/// Where a record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    pub partition: u32,
    pub offset: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("the log is full: {0}")]
    Full(String),
    #[error("the log is closed")]
    Closed,
    #[error("topic {topic} has {n_partitions} partitions, {partition} is not one of them")]
    NoSuchPartition { topic: &'static str, partition: u32, n_partitions: u32 },
    #[error("the log was created with {stored} partitions, the configuration says {configured}")]
    PartitionCount { stored: u32, configured: u32 },
    #[error("log storage failed: {0}")]
    Storage(String),
}

/// Ordered, durable, replayable records.
#[async_trait]
pub trait EventLog: Send + Sync + 'static {
    /// Partitions of `topic`, fixed when the log is created.
    fn n_partitions(&self, topic: Topic) -> u32;

    /// Appends all records or none of them, and returns once they are on stable storage, in the order given.
    async fn append(&self, topic: Topic, records: Vec<NewRecord>) -> Result<Vec<Position>, LogError>;

    /// Up to `max` records of one partition from `offset` on, oldest first; empty at the end of the log.
    async fn read(
        &self,
        topic: Topic,
        partition: u32,
        offset: u64,
        max: usize,
    ) -> Result<Vec<LogRecord>, LogError>;

    /// Offset that the next record of the partition will get.
    async fn end(&self, topic: Topic, partition: u32) -> Result<u64, LogError>;

    /// Returns as soon as the partition holds a record at `offset`, or after `timeout`.
    async fn wait(
        &self,
        topic: Topic,
        partition: u32,
        offset: u64,
        timeout: Duration,
    ) -> Result<(), LogError>;
}

/// Partition of a key: `murmur2` as Kafka's Java client computes it, so that other producers agree with us.
pub fn partition_of(key: &[u8], n_partitions: u32) -> u32 {
    (murmur2(key) & 0x7fff_ffff) % n_partitions.max(1)
}

/// Kafka's `Utils.murmur2` (32 bit, seed `0x9747b28c`).
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut h = 0x9747_b28c ^ u32::try_from(data.len()).unwrap_or(u32::MAX);
    let (words, tail) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        h = h.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        for (i, &byte) in tail.iter().enumerate() {
            h ^= u32::from(byte) << (8 * i);
        }
        h = h.wrapping_mul(M);
    }
    h ^= h >> 13;
    h = h.wrapping_mul(M);
    h ^ (h >> 15)
}

#[cfg(test)]
mod tests;
