//! Applies the catalogue topic to the database, each change once, its offset in the same transaction.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};
use waggle_model::{CatalogChange, EventBody, Timestamp, decode_event};
use waggle_stores::{Database, DatabaseError, EventLog, LogError, LogRecord, Topic};

/// Records applied in one transaction.
const BATCH: usize = 5_000;
/// How long to wait for the next record before looking at the cancellation again.
const WAIT: Duration = Duration::from_secs(5);
/// How long to wait after log or database failed.
const RETRY: Duration = Duration::from_millis(500);

#[derive(Debug, thiserror::Error)]
pub enum ProjectorError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error("the catalogue did not catch up within {0:?}")]
    Late(Duration),
}

pub struct Projector {
    log: Arc<dyn EventLog>,
    database: Arc<Database>,
    /// Applied offset by partition.
    applied: watch::Sender<Vec<u64>>,
}

impl Projector {
    /// # Errors
    /// [`DatabaseError`] when the stored offsets cannot be read.
    pub async fn try_new(log: Arc<dyn EventLog>, database: Arc<Database>) -> Result<Self, DatabaseError> {
        let mut offsets = Vec::new();
        for partition in 0..log.n_partitions(Topic::Catalog) {
            offsets.push(database.catalog_offset(partition).await?);
        }
        Ok(Self { log, database, applied: watch::Sender::new(offsets) })
    }

    /// Starts one task per partition, owned by the caller's tracker.
    pub fn start(self: &Arc<Self>, tasks: &tokio_util::task::TaskTracker, cancel: &CancellationToken) {
        for partition in 0..self.log.n_partitions(Topic::Catalog) {
            tasks.spawn(self.clone().run(partition, cancel.clone()));
        }
    }

    /// Returns when everything that is in the topic now is in the database too.
    ///
    /// # Errors
    /// [`ProjectorError::Late`] after `timeout`.
    pub async fn caught_up(&self, timeout: Duration) -> Result<(), ProjectorError> {
        let mut ends = Vec::new();
        for partition in 0..self.log.n_partitions(Topic::Catalog) {
            ends.push(self.log.end(Topic::Catalog, partition).await?);
        }
        let mut applied = self.applied.subscribe();
        let reached = applied.wait_for(|offsets| offsets.iter().zip(&ends).all(|(at, end)| at >= end));
        match tokio::time::timeout(timeout, reached).await {
            Ok(_) => Ok(()),
            Err(_) => Err(ProjectorError::Late(timeout)),
        }
    }

    async fn run(self: Arc<Self>, partition: u32, cancel: CancellationToken) {
        while !cancel.is_cancelled() {
            let waited = tokio::select! {
                () = cancel.cancelled() => return,
                waited = self.log.wait(Topic::Catalog, partition, self.offset(partition), WAIT) => waited,
            };
            let outcome = match waited {
                Ok(()) => self.step(partition).await,
                Err(e) => Err(e.into()),
            };
            if let Err(e) = outcome {
                error!(partition, error = %e, "the catalogue cannot be brought into the database; trying again");
                tokio::select! {
                    () = cancel.cancelled() => return,
                    () = tokio::time::sleep(RETRY) => {}
                }
            }
        }
    }

    async fn step(&self, partition: u32) -> Result<(), ProjectorError> {
        let from = self.offset(partition);
        let records = self.log.read(Topic::Catalog, partition, from, BATCH).await?;
        let Some(last) = records.last() else { return Ok(()) };
        let next = last.offset + 1;
        let changes: Vec<CatalogChange> = records.iter().filter_map(change_of).collect();
        match self.database.apply_catalog(partition, from, next, &changes, Timestamp::now()).await {
            Ok(()) => {}
            Err(DatabaseError::KeyCollision { .. }) => self.apply_singly(partition, from, &records).await?,
            // Another gateway's projector was quicker: on from where it left the catalogue.
            Err(DatabaseError::Fenced { stored, .. }) => {
                self.applied.send_modify(|offsets| offsets[partition as usize] = stored);
                return Ok(());
            }
            Err(e) => return Err(e.into()),
        }
        self.applied.send_modify(|offsets| offsets[partition as usize] = next);
        Ok(())
    }

    /// One transaction per change, so that the change nobody can apply is left out alone.
    async fn apply_singly(
        &self,
        partition: u32,
        from: u64,
        records: &[LogRecord],
    ) -> Result<(), DatabaseError> {
        let mut at = from;
        for record in records {
            let next = record.offset + 1;
            let changes: Vec<CatalogChange> = change_of(record).into_iter().collect();
            let applied = self.database.apply_catalog(partition, at, next, &changes, Timestamp::now()).await;
            if let Err(e @ DatabaseError::KeyCollision { .. }) = applied {
                error!(partition, offset = record.offset, error = %e, "left out a catalogue change");
                self.database.apply_catalog(partition, at, next, &[], Timestamp::now()).await?;
            } else {
                applied?;
            }
            at = next;
        }
        Ok(())
    }

    fn offset(&self, partition: u32) -> u64 {
        self.applied.borrow()[partition as usize]
    }
}

fn change_of(record: &LogRecord) -> Option<CatalogChange> {
    match decode_event(&record.value).map(|event| event.body) {
        Ok(EventBody::CatalogChange(change)) => Some(*change),
        Ok(_) => None,
        Err(e) => {
            warn!(partition = record.partition, offset = record.offset, error = %e, "a catalogue record is unreadable");
            None
        }
    }
}
