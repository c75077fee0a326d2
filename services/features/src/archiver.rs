//! Keeps the archive: the log's records as files, for training.

use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tokio::{sync::Mutex, task::JoinSet};
use tokio_util::sync::CancellationToken;
use waggle_stores::{
    ArchiveError, ArchiveWriter, Artifacts, Database, DatabaseError, EventLog, LogError, LogRecord,
    Membership, Topic,
};

use crate::{
    lag::{self, Lag},
    ownership::{join, work_on_owned},
};

/// What is archived: what people did and what they were shown.
const TOPICS: [Topic; 2] = [Topic::Events, Topic::Answers];
/// Records read at a time, until a batch is full.
const READ: usize = 2_048;
/// Pause after a failure.
const BACKOFF: Duration = Duration::from_secs(5);

/// Section `[archive]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ArchiverConfig {
    /// Records of one partition that are written together.
    pub batch_records: usize,
    /// Bytes of one partition's records that are written together; what is under way takes several times as much memory.
    pub batch_bytes: usize,
    /// Seconds after which fewer are written too.
    pub max_age_s: u32,
    /// Seconds between two rounds of upkeep: rows of the erased removed, small files joined, replaced ones deleted.
    pub upkeep_every_s: u32,
}

impl Default for ArchiverConfig {
    fn default() -> Self {
        Self { batch_records: 100_000, batch_bytes: 16 << 20, max_age_s: 60, upkeep_every_s: 300 }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ArchiverError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl ArchiverError {
    /// Another owner, or a [`flush`](Archiver::flush) elsewhere, has moved the archive in the meantime.
    fn is_fenced(&self) -> bool {
        matches!(self, Self::Database(DatabaseError::Fenced { .. }))
    }
}

/// Follows the log's events and answers at its own pace; the partitions are divided among the members of a group.
///
/// The rows of the manifest are the commit: they name the files and move the partition's offset in one transaction, and
/// every batch starts from the offset that is stored there. Files without a row are not part of the archive, and are
/// written over by the retry. Records are archived as they are, repetitions and what is no event of its partition included:
/// whoever reads them decides by [`Admission`](waggle_features::Admission), as the fold does.
pub struct Archiver {
    log: Arc<dyn EventLog>,
    database: Arc<Database>,
    config: ArchiverConfig,
    member: String,
    partitions: Vec<Partition>,
    /// Held while a batch is in memory: one at a time, however many partitions there are.
    in_memory: Mutex<()>,
}

struct Partition {
    topic: Topic,
    partition: u32,
    /// Locked while a batch is written, so that [`Archiver::flush`] and [`Archiver::run`] take turns.
    writer: Mutex<ArchiveWriter>,
}

/// What became of one batch.
struct Archived {
    n_records: u64,
    /// It ended because of its bytes, so there may be as many records again.
    is_full: bool,
}

impl Archiver {
    /// `member` names this archiver in its group: the same after a restart, another for every replica.
    pub fn new(
        log: Arc<dyn EventLog>,
        artifacts: &Artifacts,
        database: Arc<Database>,
        config: ArchiverConfig,
        member: impl Into<String>,
    ) -> Arc<Self> {
        let partitions = TOPICS
            .into_iter()
            .flat_map(|topic| (0..log.n_partitions(topic)).map(move |partition| (topic, partition)))
            .map(|(topic, partition)| {
                let writer = Mutex::new(ArchiveWriter::new(artifacts.clone(), topic));
                Partition { topic, partition, writer }
            })
            .collect();
        Arc::new(Self {
            log,
            database,
            config,
            member: member.into(),
            partitions,
            in_memory: Mutex::default(),
        })
    }

    /// Partitions of the log's events, by which whoever reads the archive tells what belongs there.
    pub fn n_partitions(&self) -> u32 {
        self.log.n_partitions(Topic::Events)
    }

    /// Archives batches of the owned partitions by size or age until `shutdown` is cancelled; the batch in hand is
    /// finished. What is left is in the log, and the next start goes on from there.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let mut topics = JoinSet::new();
        for topic in TOPICS {
            let (archiver, shutdown) = (Arc::clone(&self), shutdown.clone());
            topics.spawn(async move {
                tokio::select! {
                    () = archiver.archive_owned(topic, &shutdown) => {}
                    never = archiver.measure_lag(topic) => match never {},
                }
            });
        }
        topics.join_all().await;
    }

    /// Archives what the group assigns, until cancelled.
    async fn archive_owned(self: &Arc<Self>, topic: Topic, shutdown: &CancellationToken) {
        // A group of its own for each topic: a member's name stands once in a group.
        let group = format!("archive-{}", topic.as_str());
        while let Some(membership) = join(&*self.log, &group, topic, &self.member, shutdown).await {
            let membership: Arc<dyn Membership> = membership.into();
            let work = |partition, stop| {
                let (archiver, membership) = (Arc::clone(self), Arc::clone(&membership));
                async move {
                    if let Some(place) = archiver.partition(topic, partition) {
                        archiver.follow(place, &*membership, stop).await;
                    }
                    Ok::<(), Infallible>(())
                }
            };
            let Ok(()) = work_on_owned(&*membership, shutdown, work).await;
            membership.leave().await;
            if shutdown.is_cancelled() {
                return;
            }
        }
    }

    fn partition(&self, topic: Topic, partition: u32) -> Option<&Partition> {
        self.partitions.iter().find(|place| (place.topic, place.partition) == (topic, partition))
    }

    async fn measure_lag(&self, topic: Topic) -> Infallible {
        let mut lag = Lag::new("archive", topic, self.log.n_partitions(topic));
        loop {
            for place in self.partitions.iter().filter(|place| place.topic == topic) {
                // Whoever cannot be asked now is asked again in a second; the archiving itself says what is wrong.
                let Ok(applied) = self.offset(place).await else { continue };
                let Ok(end) = self.log.end(topic, place.partition).await else { continue };
                lag.observe(place.partition, applied, end, Instant::now());
            }
            tokio::time::sleep(lag::PERIOD).await;
        }
    }

    /// Archives everything that the log holds now, so that training sees it. Gives the number of records written.
    ///
    /// # Errors
    /// [`ArchiverError`]; what was archived before the failure stays.
    pub async fn flush(&self) -> Result<u64, ArchiverError> {
        let mut n_records = 0;
        for partition in &self.partitions {
            let end = self.log.end(partition.topic, partition.partition).await?;
            while self.offset(partition).await? < end {
                match self.archive_batch(partition).await {
                    Ok(batch) => n_records += batch.n_records,
                    // The partition's owner was quicker: on from where it left the archive.
                    Err(error) if error.is_fenced() => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(n_records)
    }

    async fn follow(&self, partition: &Partition, membership: &dyn Membership, shutdown: CancellationToken) {
        // After a full batch there may be another one at once.
        let mut is_behind = false;
        while !shutdown.is_cancelled() {
            let waited = async { if is_behind { Ok(()) } else { self.wait_for_batch(partition).await } };
            match shutdown.run_until_cancelled(waited).await {
                None => break,
                Some(Err(ArchiverError::Log(LogError::Closed))) => break,
                Some(waited) => {
                    // Not raced against the shutdown: a batch in hand is finished.
                    let archived = match waited {
                        Ok(()) => self.archive_batch(partition).await,
                        Err(error) => Err(error),
                    };
                    let (topic, number) = (partition.topic.as_str(), partition.partition);
                    is_behind = archived.as_ref().is_ok_and(|batch| batch.is_full);
                    match archived {
                        Ok(_) => self.report(partition, membership).await,
                        Err(error) if error.is_fenced() => {
                            tracing::info!(topic, partition = number, %error, "somebody else archived this batch");
                        }
                        Err(error) => {
                            tracing::error!(topic, partition = number, %error, "archiving failed and is tried again");
                            shutdown.run_until_cancelled(tokio::time::sleep(BACKOFF)).await;
                        }
                    }
                }
            }
        }
    }

    /// Shows the group how far the archive is; where it cannot be read, the next batch will tell.
    async fn report(&self, partition: &Partition, membership: &dyn Membership) {
        if let Ok(offset) = self.offset(partition).await {
            membership.report(partition.partition, offset).await;
        }
    }

    /// Returns when a whole batch is there, or when what is there has waited long enough.
    async fn wait_for_batch(&self, partition: &Partition) -> Result<(), ArchiverError> {
        let last_of_batch = self.offset(partition).await? + self.config.batch_records.max(1) as u64 - 1;
        let max_age = Duration::from_secs(self.config.max_age_s.max(1).into());
        Ok(self.log.wait(partition.topic, partition.partition, last_of_batch, max_age).await?)
    }

    async fn offset(&self, partition: &Partition) -> Result<u64, ArchiverError> {
        Ok(self.database.archive_offset(partition.topic, partition.partition).await?)
    }

    /// One batch from where the archive ends.
    async fn archive_batch(&self, partition: &Partition) -> Result<Archived, ArchiverError> {
        let writer = partition.writer.lock().await;
        let offset = self.offset(partition).await?;
        let _turn = self.in_memory.lock().await;
        let (records, is_full) = self.read_batch(partition, offset).await?;
        if records.is_empty() {
            return Ok(Archived { n_records: 0, is_full });
        }
        let batch = writer.write(&self.database, partition.partition, offset, &records).await?;
        self.database.commit_archive_batch(&batch).await?;
        metrics::counter!("waggle_archive_records_total").increment(records.len() as u64);
        Ok(Archived { n_records: records.len() as u64, is_full })
    }

    /// Records from `offset` on until the batch is full or the log ends, and whether its bytes are what filled it: of
    /// records alone, [`wait_for_batch`](Self::wait_for_batch) knows whether there are as many again.
    async fn read_batch(
        &self,
        partition: &Partition,
        mut offset: u64,
    ) -> Result<(Vec<LogRecord>, bool), ArchiverError> {
        let (mut records, mut n_bytes) = (Vec::new(), 0);
        let max_records = self.config.batch_records.max(1);
        while records.len() < max_records && n_bytes < self.config.batch_bytes.max(1) {
            let max = READ.min(max_records - records.len());
            let read = self.log.read(partition.topic, partition.partition, offset, max).await?;
            let Some(last) = read.last() else { return Ok((records, false)) };
            offset = last.offset + 1;
            n_bytes += read.iter().map(|record| record.value.len()).sum::<usize>();
            records.extend(read);
        }
        let is_full = n_bytes >= self.config.batch_bytes.max(1);
        Ok((records, is_full))
    }
}
