//! A topic that others fill.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use rdkafka::{
    ClientContext, Message, Offset, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance},
    error::KafkaError,
    message::BorrowedMessage,
    types::RDKafkaErrorCode,
};
use tokio::sync::Notify;
use waggle_model::Timestamp;

use super::{
    client::{Inquiry, Reports, blocking, client_config, is_passing, log_line, refused, settle},
    config::KafkaConfig,
};
use crate::log::LogError;

/// Most bytes of keys and values that [`KafkaSource::next`] gives, one record more or less.
const NEXT_BYTES: usize = 16 << 20;

/// A record of somebody else's topic.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceRecord {
    pub partition: u32,
    pub offset: u64,
    pub key: Option<Bytes>,
    /// `None` in a tombstone.
    pub value: Option<Bytes>,
    /// Time of creation or of arrival, as the topic is set up; 1970 where the record has none.
    pub timestamp: Timestamp,
}

/// Reads a topic that others fill, sharing its partitions with whoever else is in the group.
///
/// A record is given again, here or to another member, unless [`commit`](Self::commit) came after it and before the
/// end of this process or the loss of the partition: at least once, so what is made of it must bear repeating.
pub struct KafkaSource {
    topic: Arc<str>,
    consumer: Arc<BaseConsumer<Given>>,
    /// The client has something: a record or an event.
    arrived: Arc<Notify>,
}

impl KafkaSource {
    /// Joins the consumers called `group` (as it is, without a prefix), who start at the oldest record.
    ///
    /// # Errors
    /// [`LogError::Storage`] if no broker answers or there is no such topic; it is never created.
    pub async fn subscribe(config: &KafkaConfig, topic: &str, group: &str) -> Result<Self, LogError> {
        let mut settings = client_config(config)?;
        settings
            .set("group.id", group)
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", "6000")
            .set("heartbeat.interval.ms", "1000")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            .set("fetch.wait.max.ms", "100")
            .set("fetch.queue.backoff.ms", "5")
            .set("queued.min.messages", "10000")
            .set("queued.max.messages.kbytes", "16384");
        let inquiry = Inquiry::new(config)?;
        let topic = Arc::<str>::from(topic);
        blocking(move || {
            must_exist(&inquiry, &topic)?;
            let given = Given { offsets: Mutex::default(), reports: Reports::default() };
            let mut consumer = settings.create_with_context::<_, BaseConsumer<_>>(given).map_err(refused)?;
            let arrived = Arc::new(Notify::new());
            let bell = Arc::clone(&arrived);
            consumer.set_nonempty_callback(move || bell.notify_one());
            let subscribed = consumer.subscribe(&[&topic]);
            subscribed.map_err(|e| LogError::Storage(format!("subscribing to {topic} failed: {e}")))?;
            Ok(Self { topic, consumer: Arc::new(consumer), arrived })
        })
        .await
    }

    /// Up to `max` records, fewer of large ones, those of one partition in their order; empty if none came within `wait`.
    ///
    /// Has to be called again within five minutes, or the group gives the partitions to others.
    ///
    /// # Errors
    /// [`LogError::Storage`] if the group or the topic cannot be read; records already taken are not lost, they are
    /// given first next time.
    pub async fn next(&mut self, max: usize, wait: Duration) -> Result<Vec<SourceRecord>, LogError> {
        let deadline = Instant::now() + wait;
        let mut records = Vec::new();
        loop {
            self.take_in(&mut records, max)?;
            let left = deadline.saturating_duration_since(Instant::now());
            // Company is taken, not waited for.
            if !records.is_empty() || left.is_zero() || max == 0 {
                return Ok(records);
            }
            // An event of the client is no record, so whatever it was, look again.
            tokio::time::timeout(left, self.arrived.notified()).await.ok();
        }
    }

    fn take_in(&self, records: &mut Vec<SourceRecord>, max: usize) -> Result<(), LogError> {
        // An answer without a record can mean that an event was served instead; two in a row mean that nothing is there.
        let (mut n_empty, mut n_bytes) = (0, 0);
        while records.len() < max && n_bytes < NEXT_BYTES && n_empty < 2 {
            match self.consumer.poll(Duration::ZERO) {
                None => n_empty += 1,
                Some(Ok(message)) => {
                    n_empty = 0;
                    n_bytes += message.key_len() + message.payload_len();
                    records.push(self.give(&message));
                }
                Some(Err(error)) if is_passing(&error) => {}
                // Told with the next call, if it is still so then.
                Some(Err(_)) if !records.is_empty() => break,
                Some(Err(error)) => {
                    return Err(LogError::Storage(format!("reading {} failed: {error}", self.topic)));
                }
            }
        }
        Ok(())
    }

    fn give(&self, message: &BorrowedMessage<'_>) -> SourceRecord {
        let record = record_of(message);
        self.consumer.context().gave(record.partition, record.offset + 1);
        record
    }

    /// Declares done, durably, everything that [`next`](Self::next) gave.
    ///
    /// # Errors
    /// [`LogError::Storage`] if the group did not take it; the records may be given again.
    pub async fn commit(&mut self) -> Result<(), LogError> {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in self.consumer.context().given() {
            list.add_partition_offset(
                &self.topic,
                partition.cast_signed(),
                Offset::Offset(offset.cast_signed()),
            )
            .map_err(|error| LogError::Storage(format!("committing {} failed: {error}", self.topic)))?;
        }
        if list.count() == 0 {
            return Ok(());
        }
        let (consumer, topic) = (Arc::clone(&self.consumer), Arc::clone(&self.topic));
        blocking(move || {
            let committed = consumer.commit(&list, CommitMode::Sync);
            committed.map_err(|error| LogError::Storage(format!("committing {topic} failed: {error}")))
        })
        .await
    }
}

/// Leaving the group takes a moment, which no async worker should spend.
impl Drop for KafkaSource {
    fn drop(&mut self) {
        let consumer = Arc::clone(&self.consumer);
        std::thread::spawn(move || settle(&consumer));
    }
}

fn must_exist(inquiry: &Inquiry, topic: &str) -> Result<(), LogError> {
    let metadata = inquiry.metadata(topic)?;
    let found = metadata.topics().iter().find(|t| t.name() == topic);
    let missing = |why: String| Err(LogError::Storage(format!("topic {topic} cannot be read: {why}")));
    match found.map(|topic| topic.error().map(RDKafkaErrorCode::from)) {
        Some(None) => Ok(()),
        Some(Some(error)) => missing(error.to_string()),
        None => missing("there is none of that name".to_owned()),
    }
}

fn record_of(message: &BorrowedMessage<'_>) -> SourceRecord {
    SourceRecord {
        partition: message.partition().cast_unsigned(),
        offset: message.offset().cast_unsigned(),
        key: message.key().map(Bytes::copy_from_slice),
        value: message.payload().map(Bytes::copy_from_slice),
        timestamp: Timestamp::from_millis(message.timestamp().to_millis().unwrap_or(0)),
    }
}

/// What was given and not taken away since, per partition the offset after it.
struct Given {
    offsets: Mutex<BTreeMap<u32, u64>>,
    reports: Reports,
}

impl Given {
    fn gave(&self, partition: u32, next: u64) {
        self.offsets.lock().unwrap_or_else(PoisonError::into_inner).insert(partition, next);
    }

    fn given(&self) -> BTreeMap<u32, u64> {
        self.offsets.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for Given {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.reports.complaint(&error, reason);
    }
}

impl ConsumerContext for Given {
    /// A partition that goes is its next owner's to commit.
    fn pre_rebalance(&self, _consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(list) = rebalance {
            let mut offsets = self.offsets.lock().unwrap_or_else(PoisonError::into_inner);
            for element in list.elements() {
                offsets.remove(&element.partition().cast_unsigned());
            }
        }
    }
}
