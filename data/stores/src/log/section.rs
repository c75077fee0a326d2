//! A partition read from here to there.

use super::{EventLog, LogError, LogRecord, Topic};

/// What a partition holds between two offsets, for whoever wants what there is of it and no more: records that retention
/// takes away before they are read are passed over, records that come later are left out.
pub struct LogSection<'a> {
    log: &'a dyn EventLog,
    topic: Topic,
    partition: u32,
    next: u64,
    end: u64,
}

impl<'a> LogSection<'a> {
    /// All that the partition holds now.
    ///
    /// # Errors
    /// What the log says.
    pub async fn whole(log: &'a dyn EventLog, topic: Topic, partition: u32) -> Result<Self, LogError> {
        // Retention may move the start behind this end before it is asked for; then there is nothing.
        let end = log.end(topic, partition).await?;
        let start = log.start(topic, partition).await?;
        Ok(Self::new(log, topic, partition, start, end))
    }

    /// From the record at `next` up to the one at `end`, which is left out.
    pub fn new(log: &'a dyn EventLog, topic: Topic, partition: u32, next: u64, end: u64) -> Self {
        Self { log, topic, partition, next, end }
    }

    /// Offset of what is read next, and of the first record behind the section. Equal at the end.
    pub fn rest(&self) -> (u64, u64) {
        (self.next.min(self.end), self.end)
    }

    /// The next records, `max` at most; `None` at the end.
    ///
    /// # Errors
    /// What the log says, but never [`LogError::Trimmed`].
    pub async fn next(&mut self, max: usize) -> Result<Option<Vec<LogRecord>>, LogError> {
        while self.next < self.end {
            let mut records = match self.log.read(self.topic, self.partition, self.next, max).await {
                Err(LogError::Trimmed { start, .. }) if start > self.next => {
                    self.next = start;
                    continue;
                }
                read => read?,
            };
            let Some(last) = records.last() else { break };
            self.next = last.offset + 1;
            records.retain(|record| record.offset < self.end);
            if records.is_empty() {
                break;
            }
            return Ok(Some(records));
        }
        self.next = self.end;
        Ok(None)
    }
}
