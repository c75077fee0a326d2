//! Folds a partition once more: to rebuild its state, or to show that the live one is what was logged.

use std::ops::Range;

use waggle_model::Timestamp;
use waggle_stores::{
    ArchiveError, ArchiveReader, EventLog, LogError, LogRecord, StateError, StateStore, Topic,
};

use crate::{consumer::FoldError, folding::fold_records, position::Position};

/// Records folded and committed at once; how they are cut into batches changes nothing in the outcome.
const BATCH_RECORDS: usize = 2_000;

/// Where the records of the past are: in the log, and in the archive those that retention has taken from the log.
#[derive(Clone, Copy)]
pub struct Past<'a> {
    pub log: &'a dyn EventLog,
    pub archive: &'a ArchiveReader,
}

#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error(
        "records {from} to {to} of partition {partition} are gone: the log's retention has removed them, and the archive \
         holds those from {archived_from} to {archived_to}"
    )]
    Gone { partition: u32, from: u64, to: u64, archived_from: u64, archived_to: u64 },
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Fold(#[from] FoldError),
}

impl From<LogError> for ReplayError {
    fn from(error: LogError) -> Self {
        Self::Fold(error.into())
    }
}

impl From<StateError> for ReplayError {
    fn from(error: StateError) -> Self {
        Self::Fold(error.into())
    }
}

/// Folds the records from `position` up to (not including) the one at `until`, and commits to `state`, where `position`
/// was loaded from. `on_progress` is told how many positions were passed each time.
///
/// What is no event of the partition was set aside when it was folded first; it is passed over here. Of people who were
/// erased the archive holds nothing but the erasure, so what their acts added to items' counts is missing from a state
/// that was folded from there.
///
/// # Errors
/// [`ReplayError::Gone`] if neither log nor archive has a record that is needed; [`FoldError::BeyondLog`] if the log ends
/// before `until`; what the stores say.
pub async fn replay(
    past: Past<'_>,
    state: &dyn StateStore,
    mut position: Position,
    until: u64,
    mut on_progress: impl FnMut(u64),
) -> Result<Position, ReplayError> {
    let partition = position.partition();
    let log_start = past.log.start(Topic::Events, partition).await?;
    if position.applied.offset < log_start.min(until) {
        let offsets = position.applied.offset..log_start.min(until);
        position = replay_archived(past.archive, state, position, offsets, &mut on_progress).await?;
    }
    while position.applied.offset < until {
        let offset = position.applied.offset;
        let max = usize::try_from(until - offset).unwrap_or(usize::MAX).min(BATCH_RECORDS);
        let mut records = past.log.read(Topic::Events, partition, offset, max).await?;
        if records.is_empty() {
            return Err(FoldError::BeyondLog { partition, applied: until, end: offset }.into());
        }
        // A log with gaps gives records from behind the end.
        records.retain(|record| record.offset < until);
        if records.is_empty() {
            break;
        }
        position = fold(state, position, records, &mut on_progress).await?;
    }
    Ok(position)
}

async fn replay_archived(
    archive: &ArchiveReader,
    state: &dyn StateStore,
    mut position: Position,
    offsets: Range<u64>,
    on_progress: &mut impl FnMut(u64),
) -> Result<Position, ReplayError> {
    let (partition, Range { start: from, end: to }) = (position.partition(), offsets.clone());
    let Range { start: archived_from, end: archived_to } = archive.covers(partition).await?;
    if from < archived_from || archived_to < to {
        return Err(ReplayError::Gone { partition, from, to, archived_from, archived_to });
    }
    let mut archived = archive.records(partition, offsets).await?;
    while let Some(records) = archived.next_batch().await? {
        let mut records = records.into_iter().peekable();
        while records.peek().is_some() {
            let batch = records.by_ref().take(BATCH_RECORDS).collect();
            position = fold(state, position, batch, on_progress).await?;
        }
    }
    if position.applied.offset < to {
        // The last ones were erased. The log goes on at `to`, so that is where the state has to stand.
        position = fold(state, position, vec![nothing(partition, to - 1)], on_progress).await?;
    }
    Ok(position)
}

async fn fold(
    state: &dyn StateStore,
    position: Position,
    records: Vec<LogRecord>,
    on_progress: &mut impl FnMut(u64),
) -> Result<Position, ReplayError> {
    let before = position.applied.offset;
    let folded = fold_records(state, position, records, Timestamp::now()).await?;
    state.commit(folded.commit).await?;
    on_progress(folded.position.applied.offset - before);
    Ok(folded.position)
}

/// A record that is no event.
fn nothing(partition: u32, offset: u64) -> LogRecord {
    let (key, value) = Default::default();
    LogRecord { partition, offset, key, value, timestamp: Timestamp::from_millis(0) }
}
