//! The log on Kafka: topics `{prefix}.events`, `.answers`, `.catalog` and `.dead-letters`.
//!
//! - `topics`: made if missing, checked if there
//! - `producer`: appends
//! - `reader`: reads and waits
//! - `member`: divides partitions among processes
//! - `source`: topics that others fill
//!
//! Records have the broker's time. Of records that others wrote, a missing key or value reads as empty, and headers are
//! passed over.

mod client;
mod config;
mod member;
mod producer;
mod reader;
mod source;
mod tails;
mod topics;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use self::{
    client::{Inquiry, blocking},
    member::Member,
    producer::Producer,
    reader::Reader,
    tails::Tails,
    topics::Names,
};
use super::{EventLog, LogError, LogRecord, Membership, NewRecord, Position, Topic};

pub(crate) use client::client_config;
pub use config::{KafkaConfig, KafkaProtocol, KafkaSecurity, SaslMechanism};
pub use source::{KafkaSource, SourceRecord};

/// An [`EventLog`] on Kafka.
///
/// Broker restarts are ridden out: reads and waits go on, appends succeed or give an error within
/// [`KafkaConfig::delivery_timeout_s`].
pub struct KafkaLog {
    config: KafkaConfig,
    prefix: String,
    names: Names,
    n_partitions: u32,
    producer: Producer,
    /// One per topic, in the order of [`Topic::ALL`].
    readers: Vec<Reader>,
    tails: Arc<Tails>,
}

impl std::fmt::Debug for KafkaLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaLog")
            .field("config", &self.config)
            .field("prefix", &self.prefix)
            .field("n_partitions", &self.n_partitions)
            .finish_non_exhaustive()
    }
}

impl KafkaLog {
    /// Connects, makes the topics that are missing and checks those that are there.
    /// - `prefix`: begins the names of topics and groups; what sets this installation apart from others on the same
    ///   brokers
    /// - `n_partitions`: of every topic, 1 to 1024
    ///
    /// # Errors
    /// [`LogError::PartitionCount`] if a topic has another number; [`LogError::Storage`] if a setting cannot work, if
    /// no broker answers within 10 s (the message names the address), or if a topic is set up in a way that loses
    /// records: compacted events, answers or dead letters, or a catalogue whose records are removed by age or size.
    pub async fn connect(config: &KafkaConfig, prefix: &str, n_partitions: u32) -> Result<Self, LogError> {
        Self::connect_lingering(config, prefix, n_partitions, producer::LINGER).await
    }

    /// As [`connect`](Self::connect), with a wait for company of the caller's choice.
    pub(crate) async fn connect_lingering(
        config: &KafkaConfig,
        prefix: &str,
        n_partitions: u32,
        linger: Duration,
    ) -> Result<Self, LogError> {
        if !(1..=1_024).contains(&n_partitions) {
            return Err(LogError::Storage(format!(
                "{n_partitions} partitions asked for, 1 to 1024 are allowed"
            )));
        }
        let names = Names::new(prefix)?;
        let inquiry = Arc::new(Inquiry::new(config)?);
        let max_message_bytes = topics::prepare(config, &names, n_partitions, Arc::clone(&inquiry)).await?;
        let tails = Arc::new(Tails::new(n_partitions));
        let producer = Producer::new(config, linger, max_message_bytes, Arc::clone(&tails))?;
        let reader = |topic| {
            let (inquiry, tails) = (Arc::clone(&inquiry), Arc::clone(&tails));
            Reader::new(config, prefix, topic, Arc::clone(names.of(topic)), n_partitions, inquiry, tails)
        };
        let readers = Topic::ALL.into_iter().map(reader).collect::<Result<_, _>>()?;
        let (config, prefix) = (config.clone(), prefix.to_owned());
        Ok(Self { config, prefix, names, n_partitions, producer, readers, tails })
    }

    fn reader(&self, topic: Topic, partition: u32) -> Result<&Reader, LogError> {
        if partition >= self.n_partitions {
            let (topic, n_partitions) = (topic.as_str(), self.n_partitions);
            return Err(LogError::NoSuchPartition { topic, partition, n_partitions });
        }
        self.open()?;
        Ok(&self.readers[topic as usize])
    }

    fn open(&self) -> Result<(), LogError> {
        if self.tails.is_closed() { Err(LogError::Closed) } else { Ok(()) }
    }
}

#[async_trait]
impl EventLog for KafkaLog {
    fn n_partitions(&self, _topic: Topic) -> u32 {
        self.n_partitions
    }

    async fn append(&self, topic: Topic, records: Vec<NewRecord>) -> Result<Vec<Position>, LogError> {
        self.open()?;
        if records.is_empty() {
            return Ok(Vec::new());
        }
        self.producer.append(topic, self.names.of(topic), self.n_partitions, records).await
    }

    /// At most 16 MiB of keys and values, one record more or less.
    async fn read(
        &self,
        topic: Topic,
        partition: u32,
        offset: u64,
        max: usize,
    ) -> Result<Vec<LogRecord>, LogError> {
        let reader = self.reader(topic, partition)?;
        if max == 0 {
            return Ok(Vec::new());
        }
        reader.read(partition, offset, max).await
    }

    async fn start(&self, topic: Topic, partition: u32) -> Result<u64, LogError> {
        let bounds = self.reader(topic, partition)?.bounds(partition).await?;
        Ok(bounds.0)
    }

    async fn end(&self, topic: Topic, partition: u32) -> Result<u64, LogError> {
        let bounds = self.reader(topic, partition)?.bounds(partition).await?;
        Ok(bounds.1)
    }

    /// As the topic is set up on the brokers, whoever made it.
    async fn longest_kept(&self, topic: Topic) -> Result<Option<Duration>, LogError> {
        self.open()?;
        topics::longest_kept(&self.config, self.names.of(topic)).await
    }

    async fn wait(
        &self,
        topic: Topic,
        partition: u32,
        offset: u64,
        timeout: Duration,
    ) -> Result<(), LogError> {
        let reader = self.reader(topic, partition)?;
        // Passing the time limit is an answer too; the caller reads and finds nothing.
        let waited = tokio::time::timeout(timeout, reader.wait(partition, offset)).await;
        self.open()?;
        waited.unwrap_or(Ok(()))
    }

    async fn join(&self, group: &str, topic: Topic, member: &str) -> Result<Box<dyn Membership>, LogError> {
        self.open()?;
        let settings = client_config(&self.config)?;
        let group = format!("{}.{group}", self.prefix);
        let resting = if topic == Topic::DeadLetters { Topic::Answers } else { Topic::DeadLetters };
        let (name, resting) = (Arc::clone(self.names.of(topic)), Arc::clone(self.names.of(resting)));
        let member = member.to_owned();
        let member = blocking(move || Member::join(settings, &group, name, resting, &member)).await?;
        Ok(Box::new(member))
    }

    /// Waits until what was handed over is delivered or given up. Memberships leave by themselves.
    async fn close(&self) {
        self.tails.close();
        self.producer.flush().await;
        for reader in &self.readers {
            reader.close();
        }
    }
}
