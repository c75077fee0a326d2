//! One batch from records to what is to be committed: read, fold.

use bytes::Bytes;
use waggle_model::Timestamp;
use waggle_stores::{LogRecord, NewRecord, StateBatch, StateKey, StateKind, StateStore};

use crate::{batch::Batch, consumer::FoldError, position::Position};

/// Smaller batches are folded where they are; larger ones go to a thread of their own.
const FOLDED_IN_PLACE: usize = 32;

/// A batch that was folded and is not committed yet.
#[derive(Debug)]
pub struct Folded {
    pub commit: StateBatch,
    /// Where the partition is once the batch is committed.
    pub position: Position,
    /// What is no event of the partition, ready for the dead letters.
    pub dead_letters: Vec<NewRecord>,
    pub n_records: usize,
    pub n_duplicates: usize,
}

/// Folds consecutive records, the first of which stands at or behind `position`, over what `state` holds. Nothing is
/// written. `now` only dates dead letters.
///
/// # Errors
/// What the store says, and [`FoldError::Unreadable`] for a blob that this build did not write.
pub async fn fold_records(
    state: &dyn StateStore,
    position: Position,
    records: Vec<LogRecord>,
    now: Timestamp,
) -> Result<Folded, FoldError> {
    let (partition, n, expected_offset) = (position.partition(), records.len(), position.applied.offset);
    let (mut batch, keys) = compute(partition, n, move || {
        let batch = Batch::open(&records, position, now);
        let keys = batch.keys();
        (batch, keys)
    })
    .await?;
    let blobs = state.read(&keys).await?;
    let swept = swept(state, &batch).await?;
    let (mut batch, items) =
        compute(partition, n, move || batch.load_people(&keys, &blobs, &swept).map(|items| (batch, items)))
            .await??;
    let blobs = state.read(&items).await?;
    let (batch, writes) =
        compute(partition, n, move || batch.fold(&items, &blobs).map(|writes| (batch, writes))).await??;
    let Batch { position, dead_letters, n_records, n_duplicates, .. } = batch;
    let next_offset = position.applied.offset;
    let commit = StateBatch { partition, expected_offset, next_offset, time: position.applied.time, writes };
    Ok(Folded { commit, position, dead_letters, n_records, n_duplicates })
}

/// Everything in the slots that the batch looks through for what has expired.
async fn swept(state: &dyn StateStore, batch: &Batch) -> Result<Vec<(StateKey, Bytes)>, FoldError> {
    let partition = batch.position.partition();
    let mut swept = Vec::new();
    for slots in batch.swept_slots() {
        for kind in [StateKind::Person, StateKind::Item] {
            let blobs = state.scan(partition, kind, slots.clone()).await?;
            swept.extend(blobs.into_iter().map(|(key, blob)| (StateKey { partition, kind, key }, blob)));
        }
    }
    Ok(swept)
}

/// Runs the work where it disturbs nobody.
async fn compute<T: Send + 'static>(
    partition: u32,
    n_records: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, FoldError> {
    if n_records <= FOLDED_IN_PLACE {
        return Ok(work());
    }
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| FoldError::Abnormal { partition, detail: error.to_string() })
}
