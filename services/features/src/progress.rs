//! How far the fold has come, for those who wait for it.

use std::{fmt, sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};
use waggle_stores::{EventLog, StateStore, Topic};

use crate::FoldError;

/// How often the stored offset is looked at while another process may be the one who moves it.
const LOOK: Duration = Duration::from_millis(100);

/// The offset that each partition's state has reached; signalled with every commit of this process.
pub struct Progress {
    log: Arc<dyn EventLog>,
    state: Arc<dyn StateStore>,
    partitions: Vec<watch::Sender<u64>>,
}

impl Progress {
    /// The progress of a fold that may run elsewhere.
    pub fn new(log: Arc<dyn EventLog>, state: Arc<dyn StateStore>) -> Self {
        let partitions = (0..log.n_partitions(Topic::Events)).map(|_| watch::Sender::new(0)).collect();
        Self { log, state, partitions }
    }

    /// Offset of the first record of the partition that this process has not folded yet; 0 for a partition that does
    /// not exist.
    pub fn applied(&self, partition: u32) -> u64 {
        self.partitions.get(partition as usize).map_or(0, |slot| *slot.borrow())
    }

    /// Waits until this process has folded every record of the partition below `offset`, so for an event at position
    /// `p` ask for `p + 1`. Says whether that happened within `timeout`.
    pub async fn wait_until_applied(&self, partition: u32, offset: u64, timeout: Duration) -> bool {
        let Some(slot) = self.partitions.get(partition as usize) else { return false };
        let mut applied = slot.subscribe();
        let reached = applied.wait_for(|applied| *applied >= offset);
        matches!(tokio::time::timeout(timeout, reached).await, Ok(Ok(_)))
    }

    /// Waits until all that the log holds now is folded, by this process or another. Says whether that happened within
    /// `timeout`.
    ///
    /// # Errors
    /// If the log cannot say where it ends, or the state how far it is.
    pub async fn wait_until_caught_up(&self, timeout: Duration) -> Result<bool, FoldError> {
        let deadline = Instant::now() + timeout;
        for partition in 0..self.n_partitions() {
            let left = deadline.saturating_duration_since(Instant::now());
            if !self.wait_until_partition_caught_up(partition, left).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// [`wait_until_caught_up`](Self::wait_until_caught_up) for one partition, which must exist.
    ///
    /// # Errors
    /// If the log cannot say where it ends, or the state how far it is.
    pub async fn wait_until_partition_caught_up(
        &self,
        partition: u32,
        timeout: Duration,
    ) -> Result<bool, FoldError> {
        let deadline = Instant::now() + timeout;
        let end = self.log.end(Topic::Events, partition).await?;
        let Some(slot) = self.partitions.get(partition as usize) else { return Ok(false) };
        let mut applied = slot.subscribe();
        while *applied.borrow_and_update() < end && self.state.applied(partition).await?.offset < end {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            // Woken by our own commits; somebody else's have to be looked for. The sender lives in `self`.
            tokio::time::timeout(LOOK.min(left), applied.changed()).await.ok();
        }
        Ok(true)
    }

    pub fn n_partitions(&self) -> u32 {
        u32::try_from(self.partitions.len()).expect("made from a number of 32 bits")
    }

    pub(crate) fn advance(&self, partition: u32, offset: u64) {
        if let Some(slot) = self.partitions.get(partition as usize) {
            slot.send_replace(offset);
        }
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.partitions.iter().map(|slot| *slot.borrow())).finish()
    }
}
