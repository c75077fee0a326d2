//! Online state: blobs by key, written together with the log offset they have reached.

mod digest;
pub mod memory;
pub mod redis;

use std::ops::RangeInclusive;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use waggle_model::Timestamp;

pub use self::digest::{StateDigest, digest};

/// What a blob is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateKind {
    /// A person's history and aggregates; lives in the person's partition only.
    Person,
    /// An item's counters; every partition holds its own partial.
    Item,
    /// The partition's window of recently seen event ids, and other facts of the fold itself.
    Fold,
}

/// Key of one blob: blobs of one partition are only ever written by that partition's owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StateKey {
    pub partition: u32,
    pub kind: StateKind,
    pub key: u64,
}

/// Slots that the keys of one kind in one partition are divided into, so that they can be walked a part at a time.
///
/// A slot is one hash in Redis. Fewer make reads of many keys cheaper, more make the parts of a walk smaller: with ten
/// million persons in eight partitions a part is some 20 MB.
pub const N_SLOTS: u16 = 64;
/// Every slot.
pub const ALL_SLOTS: RangeInclusive<u16> = 0..=N_SLOTS - 1;

/// The slot of a key: its top bits, so that ascending slots are ascending keys.
pub fn slot_of(key: u64) -> u16 {
    u16::try_from(key >> (u64::BITS - N_SLOTS.trailing_zeros())).expect("six bits")
}

/// What folding one batch of a partition's records changed.
#[derive(Debug, Clone)]
pub struct StateBatch {
    pub partition: u32,
    /// Offset that the state must be at; anything else means that somebody else moved it.
    pub expected_offset: u64,
    /// Offset that the state is at afterwards: of the first record not folded yet. A batch that does not move the offset
    /// is not fenced against another such batch.
    pub next_offset: u64,
    /// Newest event time folded so far.
    pub time: Timestamp,
    /// Blobs to set (`Some`) or remove (`None`).
    pub writes: Vec<(StateKey, Option<Bytes>)>,
}

/// How far a partition's state has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Applied {
    /// Offset of the first record not folded yet.
    pub offset: u64,
    /// Newest event time folded so far.
    pub time: Timestamp,
}

#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The stored offset is not the expected one: this owner has been replaced, or never was the owner.
    #[error("state of partition {partition} is at offset {stored}, the batch expects {expected}")]
    Fenced { partition: u32, stored: u64, expected: u64 },
    #[error("state checkpoint has version {got}, this build reads {expected}")]
    Version { got: u32, expected: u32 },
    #[error("state storage failed: {0}")]
    Storage(String),
}

/// Online state. Reads see all of a committed batch or nothing of it.
#[async_trait]
pub trait StateStore: Send + Sync + 'static {
    /// The blobs of `keys`, in that order, in one round trip.
    async fn read(&self, keys: &[StateKey]) -> Result<Vec<Option<Bytes>>, StateError>;

    /// Every blob of one kind in these slots of one partition, in no particular order: for lists such as "trending" (over
    /// [`ALL_SLOTS`]), and for walking through everything. A commit in between may be seen in part.
    async fn scan(
        &self,
        partition: u32,
        kind: StateKind,
        slots: RangeInclusive<u16>,
    ) -> Result<Vec<(u64, Bytes)>, StateError>;

    async fn applied(&self, partition: u32) -> Result<Applied, StateError>;

    /// Applies the batch in one step, or refuses it whole with [`StateError::Fenced`].
    async fn commit(&self, batch: StateBatch) -> Result<(), StateError>;

    /// Makes everything committed so far survive a restart. Redis is durable by itself; memory writes a checkpoint.
    async fn checkpoint(&self) -> Result<(), StateError>;
}

/// What no store accepts.
fn check_batch(batch: &StateBatch) -> Result<(), StateError> {
    if batch.next_offset < batch.expected_offset {
        let (from, to) = (batch.expected_offset, batch.next_offset);
        return Err(StateError::Storage(format!(
            "a batch cannot move the state back from offset {from} to {to}"
        )));
    }
    match batch.writes.iter().find(|(key, _)| key.partition != batch.partition) {
        Some((key, _)) => Err(StateError::Storage(format!(
            "a batch of partition {} cannot write a blob of partition {}",
            batch.partition, key.partition
        ))),
        None => Ok(()),
    }
}

fn no_such_partition(partition: u32, n_partitions: usize) -> StateError {
    StateError::Storage(format!("the state has {n_partitions} partitions, {partition} is not one of them"))
}
