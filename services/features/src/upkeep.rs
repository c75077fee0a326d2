//! The archive's upkeep: rows of the erased removed, small files made into large ones, replaced files deleted.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use waggle_model::Timestamp;
use waggle_stores::{
    ArchiveError, Artifacts, CompactionRule, Database, Topic,
    archive::{compact, erase, sweep},
};

/// What readers that began before a file was replaced have to finish, and writers to commit.
pub const GRACE: Duration = Duration::from_secs(3_600);

/// Looks after the archive `every` so often until cancelled. Every step may be cut off anywhere, and several processes
/// may do it at once; what fails is logged and tried again next time.
pub async fn keep_up(
    artifacts: Artifacts,
    database: Arc<Database>,
    every: Duration,
    shutdown: CancellationToken,
) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        let outcome = shutdown.run_until_cancelled(round(&artifacts, &database, GRACE)).await;
        if let Some(Err(error)) = outcome {
            tracing::error!(%error, "the archive's upkeep failed and is tried again");
        }
    }
}

/// One round. Erasures come first: nobody waits for compaction to be forgotten.
///
/// # Errors
/// What the archive says; steps before the failure stay done.
pub async fn round(
    artifacts: &Artifacts,
    database: &Arc<Database>,
    grace: Duration,
) -> Result<(), ArchiveError> {
    let erased = erase(artifacts, database).await?;
    let n_rows = erased.n_rows_removed();
    if n_rows > 0 {
        tracing::info!(n_rows, "rows of erased people have left the archive");
        metrics::counter!("waggle_archive_erased_rows_total").increment(n_rows);
    }
    for topic in [Topic::Events, Topic::Answers] {
        compact(artifacts, database, topic, &CompactionRule::default()).await?;
    }
    let grace_ms = i64::try_from(grace.as_millis()).unwrap_or(i64::MAX);
    let before = Timestamp::from_millis(Timestamp::now().as_millis().saturating_sub(grace_ms));
    let n_files = sweep(artifacts, database, before).await?;
    metrics::counter!("waggle_archive_swept_files_total").increment(n_files);
    Ok(())
}
