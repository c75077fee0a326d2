//! Follows the log and moves the state: read, fold, commit, one task per partition that this member owns.

use std::{
    convert::Infallible,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use waggle_features::DedupWindow;
use waggle_model::Timestamp;
use waggle_stores::{Applied, EventLog, LogError, Membership, StateBatch, StateError, StateStore, Topic};

use crate::{
    Progress,
    batch::{Batch, UnreadableState, window_keys},
    lag::{self, Lag},
    ownership::{join, work_on_owned},
};

/// The consumers among whom the partitions are divided.
const GROUP: &str = "features";
/// How long one wait for new records lasts before it is renewed.
const WAIT: Duration = Duration::from_secs(60);
/// Pause after a failure that may pass, doubled up to the second value.
const BACKOFF: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(10)];
/// Smaller batches are folded where they are; larger ones go to a thread of their own.
const FOLDED_IN_PLACE: usize = 32;
/// How often a busy partition tells its group how far it is.
const REPORT: Duration = Duration::from_secs(1);

/// Section `[features]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConsumerConfig {
    /// Most records folded and committed at once.
    pub batch_records: usize,
    /// A checkpoint of the state is written after this many seconds, if anything changed.
    pub checkpoint_every_s: u32,
    /// … or after this many folded records, whichever comes first.
    pub checkpoint_records: u64,
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        Self { batch_records: 2_000, checkpoint_every_s: 60, checkpoint_records: 1_000_000 }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Store(#[from] StateError),
    #[error(transparent)]
    Unreadable(#[from] UnreadableState),
    /// The log was lost and made anew, or state and log belong to two installations.
    #[error("state of partition {partition} is at offset {applied}, beyond the log's end at {end}")]
    BeyondLog { partition: u32, applied: u64, end: u64 },
    #[error("chunk {place} of partition {partition}'s window of event ids is damaged")]
    Window { partition: u32, place: usize },
    #[error("folding partition {partition} ended abnormally: {detail}")]
    Abnormal { partition: u32, detail: String },
}

impl FoldError {
    /// Whether trying again may help. A log may come back shorter for a moment when its leader changes.
    fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Log(LogError::Storage(_) | LogError::Full(_) | LogError::Busy)
                | Self::Store(StateError::Storage(_))
                | Self::BeyondLog { .. }
        )
    }
}

/// Folds the topic [`Topic::Events`] into a [`StateStore`].
///
/// The partitions are divided among the members of a group. Each commit moves a partition's state and its offset
/// together, so whatever ends the process, a record counts once: whoever owns the partition next goes on from the offset
/// that is stored with the state. The commit is fenced by that offset: a member that has lost a partition and does not
/// know it yet is refused, forgets what it believed, and goes on from what is stored if the partition is still its own.
///
/// A record that does not decode goes to the dead letters (once more if the process dies between that and the commit)
/// and blocks nothing.
pub struct FeaturesConsumer {
    log: Arc<dyn EventLog>,
    state: Arc<dyn StateStore>,
    config: ConsumerConfig,
    member: String,
    progress: Arc<Progress>,
    unsaved: Arc<Unsaved>,
}

impl FeaturesConsumer {
    /// `member` names this consumer in its group: the same after a restart, another for every replica.
    pub fn new(
        log: Arc<dyn EventLog>,
        state: Arc<dyn StateStore>,
        config: ConsumerConfig,
        member: impl Into<String>,
    ) -> Self {
        let progress = Arc::new(Progress::new(log.clone(), state.clone()));
        let unsaved = Arc::new(Unsaved {
            records: AtomicU64::new(0),
            limit: config.checkpoint_records.max(1),
            due: Notify::new(),
        });
        Self { log, state, config, member: member.into(), progress, unsaved }
    }

    /// Watched from outside; valid before and while [`run`](Self::run) runs.
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Folds until `shutdown` is cancelled; then every partition finishes the batch in hand and commits it, the group is
    /// left, and a last checkpoint is written.
    ///
    /// Failures that may pass (a log or store that does not answer, a partition that somebody else took) are logged and
    /// tried again.
    ///
    /// # Errors
    /// What does not pass: state this build cannot read, records that retention removed before they were folded, a
    /// checkpoint that cannot be written at the end. The other partitions are stopped cleanly first.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), FoldError> {
        let mut folding = pin!(self.fold_owned(&shutdown));
        let mut measuring = pin!(self.measure_lag());
        let period = Duration::from_secs(self.config.checkpoint_every_s.max(1).into());
        let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + period, period);
        let outcome = loop {
            tokio::select! {
                outcome = &mut folding => break outcome,
                never = &mut measuring => match never {},
                // Not raced against the others: a checkpoint that was begun is finished.
                _ = ticks.tick() => self.checkpoint_or_warn().await,
                () = self.unsaved.due.notified() => self.checkpoint_or_warn().await,
            }
        };
        let saved = self.checkpoint().await;
        outcome.and(saved)
    }

    /// Folds what the group assigns, until cancelled.
    async fn fold_owned(&self, shutdown: &CancellationToken) -> Result<(), FoldError> {
        while let Some(membership) = join(&*self.log, GROUP, Topic::Events, &self.member, shutdown).await {
            let membership: Arc<dyn Membership> = membership.into();
            let fold = |partition, stop| self.partition(partition, &membership).run(stop);
            let outcome = work_on_owned(&*membership, shutdown, fold).await;
            membership.leave().await;
            if outcome.is_err() || shutdown.is_cancelled() {
                return outcome;
            }
        }
        Ok(())
    }

    fn partition(&self, partition: u32, membership: &Arc<dyn Membership>) -> PartitionFold {
        PartitionFold {
            partition,
            log: Arc::clone(&self.log),
            state: Arc::clone(&self.state),
            membership: Arc::clone(membership),
            progress: Arc::clone(&self.progress),
            unsaved: Arc::clone(&self.unsaved),
            batch_records: self.config.batch_records.max(1),
            position: None,
            reported: None,
        }
    }

    async fn measure_lag(&self) -> Infallible {
        let n_partitions = self.log.n_partitions(Topic::Events);
        let mut lag = Lag::new(GROUP, Topic::Events, n_partitions);
        loop {
            for partition in 0..n_partitions {
                // Whoever cannot be asked now is asked again in a second; the fold itself says what is wrong.
                let Ok(applied) = self.state.applied(partition).await else { continue };
                let Ok(end) = self.log.end(Topic::Events, partition).await else { continue };
                lag.observe(partition, applied.offset, end, Instant::now());
            }
            tokio::time::sleep(lag::PERIOD).await;
        }
    }

    async fn checkpoint_or_warn(&self) {
        if let Err(error) = self.checkpoint().await {
            tracing::error!(%error, "the state's checkpoint failed; the next one is tried in time");
        }
    }

    async fn checkpoint(&self) -> Result<(), FoldError> {
        if self.unsaved.records.swap(0, Ordering::AcqRel) == 0 {
            return Ok(());
        }
        let started = Instant::now();
        if let Err(error) = self.state.checkpoint().await {
            // Not saved: the next occasion tries again even if nothing more is folded.
            self.unsaved.records.fetch_add(1, Ordering::AcqRel);
            return Err(error.into());
        }
        metrics::histogram!("waggle_features_checkpoint_duration_seconds")
            .record(started.elapsed().as_secs_f64());
        Ok(())
    }
}

/// Records folded since the last checkpoint.
struct Unsaved {
    records: AtomicU64,
    limit: u64,
    due: Notify,
}

impl Unsaved {
    fn add(&self, n: u64) {
        let before = self.records.fetch_add(n, Ordering::AcqRel);
        if before < self.limit && before + n >= self.limit {
            self.due.notify_one();
        }
    }
}

/// One partition of the log and its state.
struct PartitionFold {
    partition: u32,
    log: Arc<dyn EventLog>,
    state: Arc<dyn StateStore>,
    membership: Arc<dyn Membership>,
    progress: Arc<Progress>,
    unsaved: Arc<Unsaved>,
    batch_records: usize,
    /// As stored; `None` until it is loaded, and again after a failure.
    position: Option<(Applied, DedupWindow)>,
    /// What the group was told last, and when.
    reported: Option<(u64, Instant)>,
}

impl PartitionFold {
    async fn run(mut self, stop: CancellationToken) -> Result<(), FoldError> {
        let mut pause = BACKOFF[0];
        while !stop.is_cancelled() {
            match self.step().await {
                Ok(Step { n_records, applied }) => {
                    pause = BACKOFF[0];
                    self.progress.advance(self.partition, applied);
                    self.unsaved.add(n_records as u64);
                    self.report(applied, n_records == 0).await;
                    if n_records == 0 {
                        let wait = self.log.wait(Topic::Events, self.partition, applied, WAIT);
                        // A log that cannot be waited on cannot be read either, and the next step says so.
                        stop.run_until_cancelled(wait).await;
                    }
                }
                Err(FoldError::Log(LogError::Closed)) => break,
                Err(FoldError::Store(StateError::Fenced { partition, stored, expected })) => {
                    tracing::warn!(
                        partition,
                        stored,
                        expected,
                        "somebody else has moved the partition's state; going on from there if it is still ours"
                    );
                    metrics::counter!("waggle_features_fenced_total").increment(1);
                    stop.run_until_cancelled(tokio::time::sleep(pause)).await;
                    pause = (pause * 2).min(BACKOFF[1]);
                }
                Err(error) if error.may_pass() => {
                    tracing::warn!(partition = self.partition, %error, "folding failed and is tried again");
                    stop.run_until_cancelled(tokio::time::sleep(pause)).await;
                    pause = (pause * 2).min(BACKOFF[1]);
                }
                Err(error) => return Err(error),
            }
        }
        if let Some((applied, _)) = &self.position {
            let offset = applied.offset;
            self.report(offset, true).await;
        }
        Ok(())
    }

    /// Tells the group how far the partition is; a busy one is not worth a word with every batch.
    async fn report(&mut self, offset: u64, is_idle: bool) {
        let is_due =
            self.reported.is_none_or(|(told, at)| told != offset && (is_idle || at.elapsed() >= REPORT));
        if is_due {
            self.membership.report(self.partition, offset).await;
            self.reported = Some((offset, Instant::now()));
        }
    }

    /// One batch, as far as there is one.
    async fn step(&mut self) -> Result<Step, FoldError> {
        let (applied, window) = match self.position.take() {
            Some(position) => position,
            None => self.load().await?,
        };
        let records =
            self.log.read(Topic::Events, self.partition, applied.offset, self.batch_records).await?;
        if records.is_empty() {
            self.position = Some((applied, window));
            return Ok(Step { n_records: 0, applied: applied.offset });
        }
        let started = Instant::now();
        let (partition, n_records, now) = (self.partition, records.len(), Timestamp::now());
        let (mut batch, keys) = self
            .compute(n_records, move || {
                let batch = Batch::open(partition, &records, window, now);
                let keys = batch.keys();
                (batch, keys)
            })
            .await?;
        let blobs = self.state.read(&keys).await?;
        let (batch, writes) = self
            .compute(n_records, move || batch.fold(&keys, &blobs).map(|writes| (batch, writes)))
            .await??;
        self.finish(applied, batch, writes, started).await
    }

    async fn finish(
        &mut self,
        applied: Applied,
        mut batch: Batch,
        writes: Vec<(waggle_stores::StateKey, Option<bytes::Bytes>)>,
        started: Instant,
    ) -> Result<Step, FoldError> {
        if !batch.dead_letters.is_empty() {
            let (n, partition) = (batch.dead_letters.len(), self.partition);
            tracing::warn!(n, partition, "records that are not events go to the dead letters");
            self.log.append(Topic::DeadLetters, std::mem::take(&mut batch.dead_letters)).await?;
            metrics::counter!("waggle_features_dead_letters_total").increment(n as u64);
        }
        let moved = Applied { offset: batch.next_offset, time: applied.time.max(batch.time) };
        self.state
            .commit(StateBatch {
                partition: self.partition,
                expected_offset: applied.offset,
                next_offset: moved.offset,
                time: moved.time,
                writes,
            })
            .await?;
        metrics::counter!("waggle_features_records_total").increment(batch.n_records as u64);
        metrics::counter!("waggle_features_duplicates_total").increment(batch.n_duplicates as u64);
        metrics::histogram!("waggle_features_batch_duration_seconds").record(started.elapsed().as_secs_f64());
        self.position = Some((moved, batch.window));
        Ok(Step { n_records: batch.n_records, applied: moved.offset })
    }

    async fn load(&self) -> Result<(Applied, DedupWindow), FoldError> {
        let partition = self.partition;
        let applied = self.state.applied(partition).await?;
        let end = self.log.end(Topic::Events, partition).await?;
        if applied.offset > end {
            return Err(FoldError::BeyondLog { partition, applied: applied.offset, end });
        }
        let chunks = self.state.read(&window_keys(partition)).await?;
        let window = DedupWindow::load(applied.offset, chunks.iter().map(Option::as_deref))
            .map_err(|place| FoldError::Window { partition, place })?;
        Ok((applied, window))
    }

    /// Runs the work where it disturbs nobody.
    async fn compute<T: Send + 'static>(
        &self,
        n_records: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, FoldError> {
        if n_records <= FOLDED_IN_PLACE {
            return Ok(work());
        }
        let partition = self.partition;
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(|error| FoldError::Abnormal { partition, detail: error.to_string() })
    }
}

struct Step {
    n_records: usize,
    /// Offset of the first record not folded yet.
    applied: u64,
}
