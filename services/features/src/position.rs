//! Where the fold of one partition stands, and what it remembers of itself.

use bytes::Bytes;
use waggle_features::{
    DedupWindow, FoldPolicy, FoldRecord, StateDecodeError,
    admission::{Misfit, fits},
    dedup::{CHUNK, N_CHUNKS},
    expiry::Sweep,
};
use waggle_model::Event;
use waggle_stores::{Applied, LogRecord, StateKey, StateKind, StateStore, state::N_SLOTS};

use crate::{batch::UnreadableState, consumer::FoldError};

/// Key of the fold's record of itself, beside the chunks of the window and the tombstones.
const RECORD_KEY: u64 = 1 << 62;

/// Where the fold of one partition stands: offset and time, the window of event ids, the clock and policies of expiry.
#[derive(Debug, Clone, PartialEq)]
pub struct Position {
    partition: u32,
    n_partitions: u32,
    pub applied: Applied,
    pub(crate) window: DedupWindow,
    pub(crate) record: FoldRecord,
}

impl Position {
    /// As stored; a partition that was never folded is at its beginning.
    ///
    /// - `n_partitions`: of the log, which says whose events belong to this one.
    ///
    /// # Errors
    /// What the store says, and [`FoldError::Window`] or [`FoldError::Unreadable`] for blobs that this build did not write.
    pub async fn load(state: &dyn StateStore, partition: u32, n_partitions: u32) -> Result<Self, FoldError> {
        let applied = state.applied(partition).await?;
        let mut keys: Vec<StateKey> = (0..N_CHUNKS).map(|place| chunk_key(partition, place)).collect();
        keys.push(record_key(partition));
        let mut blobs = state.read(&keys).await?;
        let record = blobs.pop().flatten();
        let window = DedupWindow::load(applied.offset, blobs.iter().map(Option::as_deref))
            .map_err(|place| FoldError::Window { partition, place })?;
        let record = match record {
            Some(bytes) => read_record(partition, &bytes)?,
            None => FoldRecord::default(),
        };
        Ok(Self { partition, n_partitions, applied, window, record })
    }

    pub fn partition(&self) -> u32 {
        self.partition
    }

    /// Expiry goes by `policy` from here on.
    pub fn adopt(&mut self, policy: FoldPolicy) {
        self.record.adopt(self.applied.offset, policy);
    }

    /// Expiry goes by the policies that the fold at `original` went by, each from its offset on. A replay that is to
    /// come to the same state does this instead of [`adopt`](Self::adopt).
    pub fn follow_policies_of(&mut self, original: &Self) {
        self.record = self.record.under_policies_of(&original.record);
    }

    /// Whether the event may stand in this partition.
    pub(crate) fn check(&self, event: &Event) -> Result<(), Misfit> {
        fits(event, self.partition, self.n_partitions)
    }

    /// What is due before the record at `offset`.
    pub(crate) fn sweep_due(&self, offset: u64) -> Option<Sweep> {
        self.record.sweep_due(self.window.next(), offset, N_SLOTS)
    }

    /// Moves behind the record; says whether its event is a duplicate.
    pub(crate) fn record(&mut self, record: &LogRecord, event: Option<&Event>) -> bool {
        let is_duplicate = self.window.record(record.offset, event.and_then(|event| event.event_id.as_ref()));
        if let Some(event) = event {
            self.record.advance(event.timestamp);
            self.applied.time = self.applied.time.max(event.timestamp);
        }
        self.applied.offset = record.offset + 1;
        is_duplicate
    }
}

pub(crate) fn chunk_key(partition: u32, place: usize) -> StateKey {
    StateKey { partition, kind: StateKind::Fold, key: place as u64 }
}

pub(crate) fn record_key(partition: u32) -> StateKey {
    StateKey { partition, kind: StateKind::Fold, key: RECORD_KEY }
}

fn read_record(partition: u32, bytes: &Bytes) -> Result<FoldRecord, UnreadableState> {
    FoldRecord::decode(bytes)
        .map_err(|source: StateDecodeError| UnreadableState { key: record_key(partition), source })
}

const _: () =
    assert!(CHUNK > 0 && (N_CHUNKS as u64) < RECORD_KEY, "chunks and record have keys of their own");
