//! A place in a consumer group, which divides partitions and displays lag, and reads nothing.
//!
//! The group uses the classic protocol, cooperative-sticky and with static members: who restarts within
//! [`SESSION_TIMEOUT`] keeps its partitions, who is killed loses them after it. A static member's client does not tell
//! the group when it goes; so [`Membership::leave`] first changes the subscription to a topic that nobody else of the
//! group wants, upon which the group hands its partitions to the others at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use rdkafka::{
    ClientConfig, ClientContext, Offset, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance},
    error::KafkaError,
};
use tokio::sync::{oneshot, watch};

use super::client::{Reports, log_line, refused, settle};
use crate::log::{LogError, Membership};

/// A member that was not heard of for this long loses its partitions. The least that brokers allow by default.
const SESSION_TIMEOUT: Duration = Duration::from_secs(6);
/// How often a member asks whether the group has changed.
const HEARTBEAT: Duration = Duration::from_millis(500);
/// Longest wait for the group to take a leaver's partitions back.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);

type Reported = Arc<Mutex<BTreeMap<u32, u64>>>;

/// A member of a consumer group.
pub(super) struct Member {
    /// The senders live as long as the client does: who watches learns when the membership has ended.
    owned: watch::Receiver<BTreeSet<u32>>,
    /// Offsets to tell the group, by partition.
    reported: Reported,
    is_leaving: Arc<AtomicBool>,
    left: tokio::sync::Mutex<Option<oneshot::Receiver<()>>>,
}

impl Member {
    /// Joins `group` for `topic`. Blocks for some milliseconds.
    /// - `resting_topic`: a topic that is there and that nobody of the group reads
    pub(super) fn join(
        mut settings: ClientConfig,
        group: &str,
        topic: Arc<str>,
        resting_topic: Arc<str>,
        member: &str,
    ) -> Result<Self, LogError> {
        settings
            .set("group.id", group)
            .set("group.instance.id", member)
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", SESSION_TIMEOUT.as_millis().to_string())
            .set("heartbeat.interval.ms", HEARTBEAT.as_millis().to_string())
            // Only to display lag: what is stored is committed every second, and when a partition goes.
            .set("enable.auto.commit", "true")
            .set("auto.commit.interval.ms", "1000")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "latest");
        let owned: watch::Sender<BTreeSet<u32>> = watch::Sender::default();
        let watched = owned.subscribe();
        let partitions =
            Partitions { topic: Arc::clone(&topic), owned: owned.clone(), reports: Reports::default() };
        let consumer = settings.create_with_context::<_, BaseConsumer<_>>(partitions).map_err(refused)?;
        consumer
            .subscribe(&[&topic])
            .map_err(|error| LogError::Storage(format!("subscribing to {topic} failed: {error}")))?;
        let is_leaving = Arc::new(AtomicBool::new(false));
        let reported = Reported::default();
        let (gone, left) = oneshot::channel();
        let service = Service {
            consumer,
            topic: Arc::clone(&topic),
            resting_topic,
            owned,
            reported: Arc::clone(&reported),
            is_leaving: Arc::clone(&is_leaving),
        };
        std::thread::Builder::new()
            .name(format!("{topic} member"))
            .spawn(move || {
                service.run(gone);
            })
            .map_err(|error| LogError::Storage(format!("no thread for a consumer group: {error}")))?;
        Ok(Self { owned: watched, reported, is_leaving, left: tokio::sync::Mutex::new(Some(left)) })
    }
}

#[async_trait]
impl Membership for Member {
    fn owned(&self) -> watch::Receiver<BTreeSet<u32>> {
        self.owned.clone()
    }

    async fn report(&self, partition: u32, offset: u64) {
        self.reported.lock().unwrap_or_else(PoisonError::into_inner).insert(partition, offset);
    }

    async fn leave(&self) {
        self.is_leaving.store(true, Ordering::Release);
        if let Some(left) = self.left.lock().await.take() {
            // Its thread has ended either way.
            left.await.ok();
        }
    }
}

/// Without a word to the group, which finds out as if this process had been killed.
impl Drop for Member {
    fn drop(&mut self) {
        self.is_leaving.store(true, Ordering::Release);
    }
}

/// Serves the client's events on a thread of its own until the member leaves.
struct Service {
    consumer: BaseConsumer<Partitions>,
    topic: Arc<str>,
    resting_topic: Arc<str>,
    owned: watch::Sender<BTreeSet<u32>>,
    reported: Reported,
    is_leaving: Arc<AtomicBool>,
}

impl Service {
    fn run(self, gone: oneshot::Sender<()>) {
        while !self.is_leaving.load(Ordering::Acquire) {
            match self.consumer.poll(Duration::from_millis(50)) {
                // Nothing is fetched on purpose; what slipped through before the pause is not wanted.
                None | Some(Ok(_)) => {}
                Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => {
                    // Somebody else has joined under the same name, or the group has forgotten us in a failover.
                    tracing::error!(%error, "membership of a consumer group is lost");
                    break;
                }
                Some(Err(error)) => tracing::warn!(%error, "consumer group"),
            }
            self.store_offsets();
        }
        // Somebody waits, unless the member was dropped.
        if !gone.is_closed() {
            self.hand_over();
        }
        self.owned.send_replace(BTreeSet::new());
        gone.send(()).ok();
        settle(&self.consumer);
    }

    fn store_offsets(&self) {
        let reported = std::mem::take(&mut *self.reported.lock().unwrap_or_else(PoisonError::into_inner));
        let mut list = TopicPartitionList::with_capacity(reported.len());
        for (partition, offset) in reported {
            // A partition that was taken away is the next owner's to report on.
            if self.owned.borrow().contains(&partition) {
                let offset = Offset::Offset(offset.cast_signed());
                list.add_partition_offset(&self.topic, partition.cast_signed(), offset).ok();
            }
        }
        if list.count() > 0
            && let Err(error) = self.consumer.store_offsets(&list)
        {
            tracing::debug!(topic = %self.topic, %error, "offsets were not reported");
        }
    }

    /// Makes the group give the partitions to others now.
    fn hand_over(&self) {
        self.store_offsets();
        if let Err(error) = self.consumer.subscribe(&[&self.resting_topic]) {
            tracing::warn!(%error, "leaving a consumer group takes until its session ends");
        }
        let began = Instant::now();
        while !self.owned.borrow().is_empty() && began.elapsed() < LEAVE_TIMEOUT {
            drop(self.consumer.poll(Duration::from_millis(20)));
        }
    }
}

/// Keeps the set of owned partitions.
struct Partitions {
    topic: Arc<str>,
    owned: watch::Sender<BTreeSet<u32>>,
    reports: Reports,
}

impl Partitions {
    fn named<'a>(&'a self, list: &'a TopicPartitionList) -> impl Iterator<Item = u32> + 'a {
        let elements = list.elements_for_topic(&self.topic);
        elements.into_iter().map(|element| element.partition().cast_unsigned())
    }
}

impl ClientContext for Partitions {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.reports.complaint(&error, reason);
    }
}

impl ConsumerContext for Partitions {
    fn pre_rebalance(&self, _consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Revoke(list) => {
                self.owned.send_modify(|owned| {
                    for partition in self.named(list) {
                        owned.remove(&partition);
                    }
                });
            }
            Rebalance::Error(error) => tracing::warn!(%error, "the consumer group could not settle"),
            Rebalance::Assign(_) => {}
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let Rebalance::Assign(list) = rebalance else { return };
        if let Err(error) = consumer.pause(list) {
            tracing::warn!(%error, "a group member fetches records that nobody reads");
        }
        self.owned.send_modify(|owned| owned.extend(self.named(list)));
    }
}
