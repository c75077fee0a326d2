//! How far the fold has come, for those who wait for it.

use std::time::Duration;

use tokio::{sync::watch, time::timeout_at};
use waggle_stores::{EventLog, LogError, Topic};

/// The offset that each partition's state has reached; signalled with every commit.
#[derive(Debug)]
pub struct Progress {
    partitions: Vec<watch::Sender<u64>>,
}

impl Progress {
    pub(crate) fn new(n_partitions: u32) -> Self {
        Self { partitions: (0..n_partitions).map(|_| watch::Sender::new(0)).collect() }
    }

    /// Offset of the first record of the partition that is not folded yet; 0 for a partition that does not exist.
    pub fn applied(&self, partition: u32) -> u64 {
        self.partitions.get(partition as usize).map_or(0, |slot| *slot.borrow())
    }

    /// Waits until every record of the partition below `offset` is folded, so for an event at position `p` ask for
    /// `p + 1`. Says whether that happened within `timeout`.
    pub async fn wait_until_applied(&self, partition: u32, offset: u64, timeout: Duration) -> bool {
        let Some(slot) = self.partitions.get(partition as usize) else { return false };
        let mut applied = slot.subscribe();
        let reached = applied.wait_for(|applied| *applied >= offset);
        matches!(tokio::time::timeout(timeout, reached).await, Ok(Ok(_)))
    }

    /// Waits until all that the log holds now is folded. Says whether that happened within `timeout`.
    ///
    /// # Errors
    /// If the log cannot say where it ends.
    pub async fn wait_until_caught_up(
        &self,
        log: &dyn EventLog,
        timeout: Duration,
    ) -> Result<bool, LogError> {
        let deadline = tokio::time::Instant::now() + timeout;
        for (partition, slot) in (0..).zip(&self.partitions) {
            let end = log.end(Topic::Events, partition).await?;
            let mut applied = slot.subscribe();
            if timeout_at(deadline, applied.wait_for(|applied| *applied >= end)).await.is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(crate) fn advance(&self, partition: u32, offset: u64) {
        if let Some(slot) = self.partitions.get(partition as usize) {
            slot.send_replace(offset);
        }
    }
}
