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
use waggle_features::FoldPolicy;
use waggle_model::Timestamp;
use waggle_stores::{EventLog, LogError, Membership, StateError, StateStore, Topic};

use crate::{
    Progress,
    batch::UnreadableState,
    folding::{Folded, fold_records},
    lag::{self, Lag},
    ownership::{join, work_on_owned},
    position::Position,
};

/// The consumers among whom the partitions are divided.
const GROUP: &str = "features";
/// How long one wait for new records lasts before it is renewed.
const WAIT: Duration = Duration::from_secs(60);
/// Pause after a failure that may pass, doubled up to the second value.
const BACKOFF: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(2)];
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
    /// How long states are kept, and how many.
    pub policy: FoldPolicy,
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        Self {
            batch_records: 2_000,
            checkpoint_every_s: 60,
            checkpoint_records: 1_000_000,
            policy: FoldPolicy::default(),
        }
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
    /// Going on at `start` would leave acknowledged events out.
    #[error(
        "state of partition {partition} is at offset {applied}, and the log begins at {start} only, because retention has \
         removed what is in between; `waggle replay` makes the state anew from the archive and the log"
    )]
    Trimmed { partition: u32, applied: u64, start: u64 },
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
/// A record that is no event of its partition ([`waggle_features::admission`]) goes to the dead letters (once more if the
/// process dies between that and the commit) and blocks nothing.
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
            policy: self.config.policy,
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
    policy: FoldPolicy,
    /// As stored; `None` until it is loaded, and again after a failure.
    position: Option<Position>,
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
        if let Some(position) = &self.position {
            let offset = position.applied.offset;
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
        let position = match self.position.take() {
            Some(position) => position,
            None => self.load().await?,
        };
        let applied = position.applied.offset;
        let read = self.log.read(Topic::Events, self.partition, applied, self.batch_records).await;
        let records = read.map_err(|error| match error {
            LogError::Trimmed { partition, start, .. } => FoldError::Trimmed { partition, applied, start },
            error => error.into(),
        })?;
        if records.is_empty() {
            self.position = Some(position);
            return Ok(Step { n_records: 0, applied });
        }
        let started = Instant::now();
        let folded = fold_records(&*self.state, position, records, Timestamp::now()).await?;
        self.finish(folded, started).await
    }

    async fn finish(&mut self, folded: Folded, started: Instant) -> Result<Step, FoldError> {
        let Folded { commit, position, dead_letters, n_records, n_duplicates } = folded;
        if !dead_letters.is_empty() {
            let (n, partition) = (dead_letters.len(), self.partition);
            tracing::warn!(
                n,
                partition,
                "records that are no events of their partition go to the dead letters"
            );
            self.log.append(Topic::DeadLetters, dead_letters).await?;
            metrics::counter!("waggle_features_dead_letters_total").increment(n as u64);
        }
        self.state.commit(commit).await?;
        metrics::counter!("waggle_features_records_total").increment(n_records as u64);
        metrics::counter!("waggle_features_duplicates_total").increment(n_duplicates as u64);
        metrics::histogram!("waggle_features_batch_duration_seconds").record(started.elapsed().as_secs_f64());
        let applied = position.applied.offset;
        self.position = Some(position);
        Ok(Step { n_records, applied })
    }

    async fn load(&self) -> Result<Position, FoldError> {
        let partition = self.partition;
        let n_partitions = self.log.n_partitions(Topic::Events);
        let mut position = Position::load(&*self.state, partition, n_partitions).await?;
        let (applied, end) = (position.applied.offset, self.log.end(Topic::Events, partition).await?);
        if applied > end {
            return Err(FoldError::BeyondLog { partition, applied, end });
        }
        position.adopt(self.policy);
        Ok(position)
    }
}

struct Step {
    n_records: usize,
    /// Offset of the first record not folded yet.
    applied: u64,
}
