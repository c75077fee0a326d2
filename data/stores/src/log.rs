//! The log: ordered records per topic and partition, durable before they are acknowledged.

pub mod kafka;
mod section;
pub mod sqlite;

use std::{collections::BTreeSet, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use waggle_model::Timestamp;

pub use section::LogSection;

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
    /// Chooses the partition ([`partition_of`](waggle_model::partition_of)); records with equal keys stay in order.
    pub key: Bytes,
    pub value: Bytes,
}

/// A record as read.
#[derive(Debug, Clone, PartialEq)]
pub struct LogRecord {
    pub partition: u32,
    pub offset: u64,
    pub key: Bytes,
    pub value: Bytes,
    /// When the log took it, by the log's own clock. What the record is about has its time in `value`.
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
    /// More is under way than the log takes at once; a little later it will.
    #[error("the log's queue is full")]
    Busy,
    /// Retention has removed records that somebody still wanted: going on would lose them silently.
    #[error("{topic} partition {partition} starts at offset {start}: records from {offset} on are gone")]
    Trimmed { topic: &'static str, partition: u32, offset: u64, start: u64 },
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

    /// Appends the records and returns once all are on stable storage, those of one key in the order given.
    ///
    /// After an error the embedded log holds none of them. Kafka may hold some, as it may when the caller goes away in
    /// the middle; so whoever tries again sends the same `event_id`s, and the log's consumers count each once.
    async fn append(&self, topic: Topic, records: Vec<NewRecord>) -> Result<Vec<Position>, LogError>;

    /// Up to `max` records of one partition from `offset` on, oldest first; empty at the end of the log. Offsets ascend
    /// but may leave gaps.
    ///
    /// # Errors
    /// [`LogError::Trimmed`] if records from `offset` on have been removed.
    async fn read(
        &self,
        topic: Topic,
        partition: u32,
        offset: u64,
        max: usize,
    ) -> Result<Vec<LogRecord>, LogError>;

    /// Offset of the oldest record that the partition still holds; its end if it holds none.
    async fn start(&self, topic: Topic, partition: u32) -> Result<u64, LogError>;

    /// Offset that the next record of the partition will get.
    async fn end(&self, topic: Topic, partition: u32) -> Result<u64, LogError>;

    /// How long a record of the topic is there at most, from its append on; `None`: for ever. As it is set now.
    async fn longest_kept(&self, topic: Topic) -> Result<Option<Duration>, LogError>;

    /// Returns as soon as the partition holds a record at `offset`, or after `timeout`.
    async fn wait(
        &self,
        topic: Topic,
        partition: u32,
        offset: u64,
        timeout: Duration,
    ) -> Result<(), LogError>;

    /// Joins the consumers called `group`, among whom the partitions of `topic` are divided. `member` names this one: who
    /// comes back under the same name in time keeps its partitions.
    async fn join(&self, group: &str, topic: Topic, member: &str) -> Result<Box<dyn Membership>, LogError>;

    /// Finishes what is under way; later calls answer [`LogError::Closed`].
    async fn close(&self);
}

/// A place among the consumers of a group.
///
/// It divides the work and nothing else. Where a partition is to be read from is stored with what the consumer derives
/// from it, and a former owner that has not noticed yet is fenced off there.
#[async_trait]
pub trait Membership: Send + Sync + 'static {
    /// The partitions that this member owns now; empty until the group has settled. The channel closes when the
    /// group has shut this member out: then join again.
    fn owned(&self) -> watch::Receiver<BTreeSet<u32>>;

    /// Tells the group that every record of the partition before `offset` is done. Only displays lag.
    async fn report(&self, partition: u32, offset: u64);

    /// Leaves, so that the others take over at once.
    async fn leave(&self);
}

/// The membership of whoever is alone: it owns every partition.
#[derive(Debug)]
pub struct SoleMember(watch::Sender<BTreeSet<u32>>);

impl SoleMember {
    pub fn new(n_partitions: u32) -> Self {
        Self(watch::Sender::new((0..n_partitions).collect()))
    }
}

#[async_trait]
impl Membership for SoleMember {
    fn owned(&self) -> watch::Receiver<BTreeSet<u32>> {
        self.0.subscribe()
    }

    async fn report(&self, _partition: u32, _offset: u64) {}

    async fn leave(&self) {
        self.0.send_replace(BTreeSet::new());
    }
}
