//! A place in a partition, and what has been fetched from there on.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use rdkafka::{
    Message, consumer::base_consumer::PartitionQueue, error::KafkaError, message::BorrowedMessage,
};
use tokio::sync::Notify;
use waggle_model::Timestamp;

use crate::log::{
    LogRecord,
    kafka::client::{Reports, is_passing},
};

/// Most bytes of keys and values that one read returns, one record more or less.
pub(super) const READ_BYTES: usize = 16 << 20;
/// Position of a cursor that has none.
pub(super) const NOWHERE: u64 = u64::MAX;

/// A place in a partition from which a client fetches ahead.
pub(super) struct Cursor {
    pub(super) queue: Option<PartitionQueue<Reports>>,
    /// The queue has something.
    pub(super) arrived: Arc<Notify>,
    /// Taken in and not handed out yet, from `next` on.
    pub(super) buffer: VecDeque<LogRecord>,
    pub(super) buffered_bytes: usize,
    /// Offset from which a read would continue here, or [`NOWHERE`].
    pub(super) next: u64,
    /// Offset after the last record taken in.
    pub(super) fetched: u64,
    /// End of the partition as known when the client was sent here.
    pub(super) sure_end: u64,
    /// The client has reported the partition's end since the last record.
    pub(super) at_end: bool,
    pub(super) is_paused: bool,
}

impl Default for Cursor {
    fn default() -> Self {
        Self {
            queue: None,
            arrived: Arc::default(),
            buffer: VecDeque::new(),
            buffered_bytes: 0,
            next: NOWHERE,
            fetched: NOWHERE,
            sure_end: 0,
            at_end: false,
            is_paused: false,
        }
    }
}

impl Cursor {
    pub(super) fn forget(&mut self) {
        self.buffer.clear();
        self.buffered_bytes = 0;
        self.next = NOWHERE;
        self.at_end = false;
    }

    pub(super) fn take_in(&mut self, partition: u32, max: usize) -> Result<(), KafkaError> {
        let Some(queue) = &self.queue else { return Ok(()) };
        while self.buffer.len() < max && self.buffered_bytes < READ_BYTES {
            let message = match queue.poll(Duration::ZERO) {
                None => break,
                Some(Ok(message)) => message,
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    self.at_end = true;
                    continue;
                }
                Some(Err(error)) if is_passing(&error) => continue,
                Some(Err(error)) => return Err(error),
            };
            let record = record_of(partition, &message);
            // What was fetched before the client was sent elsewhere.
            if record.offset < self.fetched {
                continue;
            }
            self.at_end = false;
            self.fetched = record.offset + 1;
            self.buffered_bytes += record.key.len() + record.value.len();
            self.buffer.push_back(record);
        }
        Ok(())
    }

    pub(super) fn hand_out(&mut self, max: usize) -> Vec<LogRecord> {
        let n = self.buffer.len().min(max);
        let records = self.buffer.drain(..n).collect::<Vec<_>>();
        if let Some(last) = records.last() {
            self.next = last.offset + 1;
        }
        self.buffered_bytes -= records.iter().map(|r| r.key.len() + r.value.len()).sum::<usize>();
        records
    }
}

fn record_of(partition: u32, message: &BorrowedMessage<'_>) -> LogRecord {
    let bytes = |bytes: Option<&[u8]>| bytes.map(Bytes::copy_from_slice).unwrap_or_default();
    LogRecord {
        partition,
        offset: message.offset().cast_unsigned(),
        key: bytes(message.key()),
        value: bytes(message.payload()),
        timestamp: Timestamp::from_millis(message.timestamp().to_millis().unwrap_or(0)),
    }
}
