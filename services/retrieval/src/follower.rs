//! Keeps the live table and the text index in step with the catalogue topic.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};
use waggle_model::{CatalogChange, EventBody, Timestamp, decode_event};
use waggle_stores::{EventLog, LogError, LogRecord, Topic};

use crate::{lexical::LexicalIndex, table::ItemTable};

/// Records read and applied at once. Large, because each batch copies what it touches of the table: reading a whole
/// catalogue in small ones would copy it over and over.
const BATCH: usize = 65_536;
/// How long to wait for the next record before looking at the cancellation again.
const WAIT: Duration = Duration::from_secs(5);
/// How long to wait after the log failed.
const RETRY: Duration = Duration::from_millis(500);

/// Reads the catalogue topic from its beginning and keeps up with it. The topic is compacted: the newest record of an
/// item is its whole state, so its beginning is all there is.
pub struct Follower {
    log: Arc<dyn EventLog>,
    table: Arc<ItemTable>,
    lexical: Arc<LexicalIndex>,
    /// Sum of applied offsets over partitions.
    applied: watch::Sender<u64>,
}

impl Follower {
    pub fn new(log: Arc<dyn EventLog>, table: Arc<ItemTable>, lexical: Arc<LexicalIndex>) -> Self {
        Self { log, table, lexical, applied: watch::Sender::new(0) }
    }

    /// Fires whenever changes were applied; the value only ever grows.
    pub fn applied(&self) -> watch::Receiver<u64> {
        self.applied.subscribe()
    }

    /// Applies everything that is in the topic now; the role is ready afterwards.
    ///
    /// # Errors
    /// [`LogError`] when the topic cannot be read.
    pub async fn catch_up(&self) -> Result<Vec<u64>, LogError> {
        let mut offsets = vec![0; self.log.n_partitions(Topic::Catalog) as usize];
        for (partition, offset) in (0_u32..).zip(&mut offsets) {
            while self.step(partition, offset).await? {}
        }
        Ok(offsets)
    }

    /// Follows one partition from `offset` until cancelled.
    pub async fn run(self: Arc<Self>, partition: u32, mut offset: u64, cancel: CancellationToken) {
        while !cancel.is_cancelled() {
            let step = async {
                self.log.wait(Topic::Catalog, partition, offset, WAIT).await?;
                self.step(partition, &mut offset).await
            };
            let outcome = tokio::select! {
                () = cancel.cancelled() => return,
                outcome = step => outcome,
            };
            if let Err(e) = outcome {
                error!(partition, error = %e, "the catalogue topic cannot be read; trying again");
                tokio::select! {
                    () = cancel.cancelled() => return,
                    () = tokio::time::sleep(RETRY) => {}
                }
            }
        }
    }

    /// Applies the next batch; false at the end of the topic.
    async fn step(&self, partition: u32, offset: &mut u64) -> Result<bool, LogError> {
        let records = self.log.read(Topic::Catalog, partition, *offset, BATCH).await?;
        let Some(last) = records.last() else { return Ok(false) };
        let next = last.offset + 1;
        let changes: Vec<CatalogChange> = records.iter().filter_map(change_of).collect();
        let (table, lexical) = (self.table.clone(), self.lexical.clone());
        let n_changes = changes.len();
        let applied = tokio::task::spawn_blocking(move || {
            let counted = table.apply(changes, Timestamp::now());
            lexical.apply(&counted, &table.load())
        });
        match applied.await {
            Ok(Ok(())) => debug!(partition, n_changes, "applied {n_changes} catalogue changes"),
            Ok(Err(e)) => error!(error = %e, "the text index missed {n_changes} catalogue changes"),
            Err(e) => error!(error = %e, "applying catalogue changes panicked"),
        }
        let advanced = next - *offset;
        *offset = next;
        self.applied.send_modify(|sum| *sum += advanced);
        Ok(true)
    }
}

/// `None` for a record that says nothing about the catalogue, or nothing that can be read.
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

#[cfg(test)]
mod tests;
