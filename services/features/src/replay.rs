//! Folds a partition once more: to rebuild its state, or to show that the live one is what the log says.

use waggle_model::Timestamp;
use waggle_stores::{EventLog, StateStore, Topic};

use crate::{consumer::FoldError, folding::fold_records, position::Position};

/// Records folded and committed at once; how the log is cut into batches changes nothing in the outcome.
const BATCH_RECORDS: u64 = 2_000;

/// Folds the records from `position` up to (not including) the one at `until`, and commits to `state`, where `position`
/// was loaded from. `on_progress` is told how many records were read each time.
///
/// What is no event of the partition was set aside when it was folded first; it is passed over here.
///
/// # Errors
/// [`FoldError::Log`] with `Trimmed` if retention has removed what is needed; [`FoldError::BeyondLog`] if the log ends
/// before `until`; what the store says.
pub async fn replay(
    log: &dyn EventLog,
    state: &dyn StateStore,
    mut position: Position,
    until: u64,
    mut on_progress: impl FnMut(u64),
) -> Result<Position, FoldError> {
    let partition = position.partition();
    while position.applied.offset < until {
        let offset = position.applied.offset;
        let max = usize::try_from(BATCH_RECORDS.min(until - offset)).expect("a few thousand");
        let mut records = log.read(Topic::Events, partition, offset, max).await?;
        if records.is_empty() {
            return Err(FoldError::BeyondLog { partition, applied: until, end: offset });
        }
        // A log with gaps gives records from behind the end.
        records.retain(|record| record.offset < until);
        let n_records = records.len() as u64;
        if n_records == 0 {
            break;
        }
        let folded = fold_records(state, position, records, Timestamp::now()).await?;
        state.commit(folded.commit).await?;
        position = folded.position;
        on_progress(n_records);
    }
    Ok(position)
}
