//! The embedded log: SQLite in a file of its own.
//!
//! Records are stored in *blocks* ([`block`]): what one commit brings for one partition, packed into as few rows as
//! possible, each with a checksum. A lone record makes a small row; a busy log makes dense rows. Blocks of a partition
//! follow each other without a gap, so offsets are contiguous by construction.
//!
//! One writer task owns the writing connection. It takes whatever is waiting, commits it in one transaction
//! (`synchronous=FULL`: the write-ahead log is fsynced before COMMIT returns) and only then answers, so concurrent
//! callers share an fsync and a lone caller waits for nobody. Reads use connections of their own and never block it.

mod block;
mod file;
mod writer;

use std::{path::Path, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::TryStreamExt;
use sqlx::SqlitePool;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use waggle_model::partition_of;

use self::writer::{Append, Command, Writer};
use super::{EventLog, LogError, LogRecord, Membership, NewRecord, Position, SoleMember, Topic};

/// Most requests waiting for the writer; further ones wait at the door.
const QUEUED_REQUESTS: usize = 1_024;
/// Most bytes waiting for the writer; further requests wait at the door.
const QUEUED_BYTES: u32 = 64 << 20;
/// Connections for reading.
const READERS: u32 = 4;

/// How to open a [`SqliteLog`].
#[derive(Debug, Clone)]
pub struct SqliteLogOptions {
    /// Partitions of every topic, at least 1. Fixed when the file is created.
    pub n_partitions: u32,
    /// Most bytes the log may take on disk; `None` leaves that to the disk.
    pub max_bytes: Option<u64>,
}

/// An [`EventLog`] in one SQLite file.
///
/// An `append` that was handed to the writer is written even if its caller stops waiting for it.
#[derive(Debug)]
pub struct SqliteLog {
    path: PathBuf,
    n_partitions: u32,
    readers: SqlitePool,
    commands: mpsc::Sender<Command>,
    queued_bytes: Arc<Semaphore>,
    ends: Arc<Ends>,
    writer: std::sync::Mutex<Option<tokio::task::JoinHandle<()>>>,
}

impl SqliteLog {
    /// Opens the log at `path`, creating it if there is none. Must run inside a tokio runtime, which then also runs
    /// the writer task.
    ///
    /// What is checked: the schema version, the partition count, the length of the file, and that each partition
    /// starts at 0 and ends with a whole block; for files up to 64 MiB also SQLite's own `quick_check` and that no
    /// block is missing. Every block is checked when it is read; [`verify`](Self::verify) reads them all.
    ///
    /// # Errors
    /// [`LogError::PartitionCount`] if the log was created with another number; [`LogError::Storage`], naming the
    /// file, if it is damaged, of another version or open in another process.
    pub async fn open(path: impl AsRef<Path>, options: SqliteLogOptions) -> Result<Self, LogError> {
        let path = path.as_ref().to_owned();
        if options.n_partitions == 0 || options.n_partitions > 1_024 {
            return Err(LogError::Storage(format!(
                "{} partitions asked for, 1 to 1024 are allowed",
                options.n_partitions
            )));
        }
        let opened = file::open(&path, &options, READERS).await?;
        let ends = Arc::new(Ends::new(options.n_partitions, &opened.ends));
        let (commands, queue) = mpsc::channel(QUEUED_REQUESTS);
        let writer = Writer {
            path: path.clone(),
            connection: opened.writer,
            readers: opened.readers.clone(),
            ends: Arc::clone(&ends),
            lock: opened.lock,
        };
        let writer = tokio::spawn(writer.run(queue));
        Ok(Self {
            path,
            n_partitions: options.n_partitions,
            readers: opened.readers,
            commands,
            queued_bytes: Arc::new(Semaphore::new(QUEUED_BYTES as usize)),
            ends,
            writer: std::sync::Mutex::new(Some(writer)),
        })
    }

    /// Changes the limit on the log's size; a log that was full accepts records again once there is room.
    ///
    /// # Errors
    /// [`LogError::Closed`] or [`LogError::Storage`].
    pub async fn set_max_bytes(&self, max_bytes: Option<u64>) -> Result<(), LogError> {
        let (answer, answered) = oneshot::channel();
        self.commands.send(Command::SetMaxBytes { max_bytes, answer }).await.map_err(|_| LogError::Closed)?;
        answered.await.map_err(|_| LogError::Closed)?
    }

    /// Reads every record of the log and gives their number.
    ///
    /// # Errors
    /// [`LogError::Storage`] names the first block that is missing or damaged.
    pub async fn verify(&self) -> Result<u64, LogError> {
        let mut n_records = 0;
        for topic in Topic::ALL {
            for partition in 0..self.n_partitions {
                let end = self.end(topic, partition).await?;
                let mut offset = 0;
                while offset < end {
                    let records = self.read(topic, partition, offset, 10_000).await?;
                    let Some(last) = records.last() else {
                        return Err(LogError::Storage(format!(
                            "{}: {} partition {partition} ends at {offset} instead of {end}",
                            self.path.display(),
                            topic.as_str(),
                        )));
                    };
                    n_records += records.len() as u64;
                    offset = last.offset + 1;
                }
            }
        }
        Ok(n_records)
    }

    fn slot(&self, topic: Topic, partition: u32) -> Result<&watch::Sender<u64>, LogError> {
        self.ends.slot(topic, partition).ok_or(LogError::NoSuchPartition {
            topic: topic.as_str(),
            partition,
            n_partitions: self.n_partitions,
        })
    }

    fn failed(&self, error: &sqlx::Error) -> LogError {
        match error {
            sqlx::Error::PoolClosed => LogError::Closed,
            _ => file::failure(&self.path, error),
        }
    }
}

#[async_trait]
impl EventLog for SqliteLog {
    fn n_partitions(&self, _topic: Topic) -> u32 {
        self.n_partitions
    }

    async fn append(&self, topic: Topic, records: Vec<NewRecord>) -> Result<Vec<Position>, LogError> {
        if self.ends.is_closed() {
            return Err(LogError::Closed);
        }
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let partitions = records.iter().map(|r| partition_of(&r.key, self.n_partitions)).collect::<Vec<_>>();
        let size_bytes = records.iter().map(block::encoded_len).sum::<usize>();
        for record in &records {
            block::check(record).map_err(LogError::Storage)?;
        }
        // A request larger than the whole allowance waits for all of it instead of for ever.
        let share = u32::try_from(size_bytes).unwrap_or(QUEUED_BYTES).min(QUEUED_BYTES);
        let permit =
            Arc::clone(&self.queued_bytes).acquire_many_owned(share).await.map_err(|_| LogError::Closed)?;
        let (answer, answered) = oneshot::channel();
        let append = Append { topic, records, partitions, size_bytes, answer, _permit: permit };
        self.commands.send(Command::Append(append)).await.map_err(|_| LogError::Closed)?;
        answered.await.map_err(|_| LogError::Closed)?
    }

    async fn read(
        &self,
        topic: Topic,
        partition: u32,
        offset: u64,
        max: usize,
    ) -> Result<Vec<LogRecord>, LogError> {
        let end = *self.slot(topic, partition)?.borrow();
        if self.ends.is_closed() {
            return Err(LogError::Closed);
        }
        if offset >= end || max == 0 {
            return Ok(Vec::new());
        }
        let wanted = usize::try_from(end - offset).unwrap_or(usize::MAX).min(max);
        let mut records = Vec::with_capacity(wanted.min(100_000));
        let mut next = offset;
        let mut rows = sqlx::query(
            "SELECT first_offset, n_records, checksum, body FROM block
             WHERE topic = $1 AND partition = $2 AND first_offset >= (
                 SELECT MAX(first_offset) FROM block WHERE topic = $1 AND partition = $2 AND first_offset <= $3)
             ORDER BY first_offset",
        )
        .bind(file::topic_code(topic))
        .bind(i64::from(partition))
        .bind(offset.cast_signed())
        .fetch(&self.readers);
        while records.len() < wanted
            && let Some(row) = rows.try_next().await.map_err(|e| self.failed(&e))?
        {
            let stored = block::Stored::from_row(&row).map_err(|e| self.failed(&e))?;
            let taken = stored.decode(partition, next, wanted - records.len(), &mut records);
            next = taken.map_err(|problem| {
                LogError::Storage(format!(
                    "{}: {} partition {partition}: {problem}",
                    self.path.display(),
                    topic.as_str()
                ))
            })?;
        }
        Ok(records)
    }

    /// Nothing is ever removed.
    async fn start(&self, topic: Topic, partition: u32) -> Result<u64, LogError> {
        self.end(topic, partition).await.map(|_| 0)
    }

    async fn end(&self, topic: Topic, partition: u32) -> Result<u64, LogError> {
        let end = *self.slot(topic, partition)?.borrow();
        if self.ends.is_closed() { Err(LogError::Closed) } else { Ok(end) }
    }

    /// Nothing is ever removed from it.
    async fn longest_kept(&self, _topic: Topic) -> Result<Option<Duration>, LogError> {
        Ok(None)
    }

    async fn wait(
        &self,
        topic: Topic,
        partition: u32,
        offset: u64,
        timeout: Duration,
    ) -> Result<(), LogError> {
        let mut end = self.slot(topic, partition)?.subscribe();
        let arrived = end.wait_for(|&end| end > offset || self.ends.is_closed());
        // Passing the time limit is an answer too; the caller reads and finds nothing.
        tokio::time::timeout(timeout, arrived).await.ok();
        if self.ends.is_closed() { Err(LogError::Closed) } else { Ok(()) }
    }

    /// The file has one process, so whoever joins is alone.
    async fn join(
        &self,
        _group: &str,
        _topic: Topic,
        _member: &str,
    ) -> Result<Box<dyn Membership>, LogError> {
        Ok(Box::new(SoleMember::new(self.n_partitions)))
    }

    /// Writes what is queued, then closes the file.
    async fn close(&self) {
        // The writer may have gone already; then there is nothing left to ask of it.
        self.commands.send(Command::Close).await.ok();
        let writer = self.writer.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(writer) = writer
            && let Err(failure) = writer.await
        {
            tracing::error!(log = %self.path.display(), %failure, "the log's writer ended abnormally");
        }
        self.ends.close();
    }
}

/// End of every partition, watched by those who wait for records.
#[derive(Debug)]
struct Ends {
    n_partitions: u32,
    slots: Vec<watch::Sender<u64>>,
    closed: std::sync::atomic::AtomicBool,
}

impl Ends {
    fn new(n_partitions: u32, ends: &[u64]) -> Self {
        let slots = ends.iter().map(|&end| watch::Sender::new(end)).collect();
        Self { n_partitions, slots, closed: std::sync::atomic::AtomicBool::new(false) }
    }

    fn slot(&self, topic: Topic, partition: u32) -> Option<&watch::Sender<u64>> {
        if partition >= self.n_partitions {
            return None;
        }
        self.slots.get(file::slot_index(topic, partition, self.n_partitions))
    }

    fn is_closed(&self) -> bool {
        self.closed.load(std::sync::atomic::Ordering::Acquire)
    }

    /// Wakes everybody who waits.
    fn close(&self) {
        self.closed.store(true, std::sync::atomic::Ordering::Release);
        for slot in &self.slots {
            slot.send_modify(|_| {});
        }
    }
}
