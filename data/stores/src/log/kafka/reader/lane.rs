//! One client of the brokers, and its cursors in use.

use std::{
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
};
use tokio::sync::OwnedMutexGuard;

use super::cursor::{Cursor, NOWHERE};
use crate::log::{
    LogError,
    kafka::client::{ANSWER_TIMEOUT, Reports, refused},
};

/// A cursor that nobody used for this long stops fetching.
const REST_AFTER: Duration = Duration::from_secs(60);

/// One client of the brokers with at most one cursor per partition.
pub(super) struct Lane {
    consumer: Arc<BaseConsumer<Reports>>,
    pub(super) slots: Vec<Slot>,
    /// One of its cursors failed in a way that only a new client heals.
    pub(super) broken: AtomicBool,
}

pub(super) struct Slot {
    pub(super) cursor: Arc<tokio::sync::Mutex<Cursor>>,
    /// Where the cursor stands, or is being sent to; may lag behind while it is held.
    pub(super) position: AtomicU64,
    used_at: Mutex<Instant>,
}

impl Slot {
    pub(super) fn position(&self) -> u64 {
        self.position.load(Ordering::Acquire)
    }

    pub(super) fn idle(&self) -> Duration {
        self.used_at.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

impl Lane {
    pub(super) fn open(
        settings: &ClientConfig,
        topic: Arc<str>,
        n_partitions: u32,
    ) -> Result<Arc<Self>, LogError> {
        let consumer =
            settings.create_with_context::<_, BaseConsumer<_>>(Reports::default()).map_err(refused)?;
        let consumer = Arc::new(consumer);
        let slot = || Slot {
            cursor: Arc::default(),
            position: AtomicU64::new(NOWHERE),
            used_at: Mutex::new(Instant::now()),
        };
        let slots = (0..n_partitions).map(|_| slot()).collect();
        let lane = Arc::new(Self { consumer: Arc::clone(&consumer), slots, broken: AtomicBool::new(false) });
        let weak = Arc::downgrade(&lane);
        std::thread::Builder::new()
            .name(format!("{topic} reader"))
            .spawn(move || serve(&weak, consumer, &topic))
            .map_err(|error| LogError::Storage(format!("no thread for reading Kafka: {error}")))?;
        Ok(lane)
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    /// The cursor of `partition`, unless somebody has it.
    pub(super) fn hold(self: &Arc<Self>, partition: u32) -> Option<Held> {
        let cursor = Arc::clone(&self.slots[partition as usize].cursor).try_lock_owned().ok()?;
        Some(Held { lane: Arc::clone(self), partition, cursor })
    }

    /// Stops fetching for whoever did not come back.
    fn rest(self: &Arc<Self>, topic: &str) {
        for (partition, slot) in (0_u32..).zip(&self.slots) {
            if slot.position() == NOWHERE || slot.idle() < REST_AFTER {
                continue;
            }
            let Some(mut held) = self.hold(partition) else { continue };
            if self.consumer.pause(&one_partition(topic, partition)).is_ok() {
                held.cursor.forget();
                held.cursor.is_paused = true;
            }
        }
    }
}

/// Ends the queues before the client, and where it may take its time.
impl Drop for Lane {
    fn drop(&mut self) {
        let slots = std::mem::take(&mut self.slots);
        let consumer = Arc::clone(&self.consumer);
        std::thread::spawn(move || {
            drop(slots);
            drop(consumer);
        });
    }
}

/// Serves the client's own events as long as the lane lives.
fn serve(lane: &Weak<Lane>, consumer: Arc<BaseConsumer<Reports>>, topic: &str) {
    while let Some(lane) = lane.upgrade() {
        lane.rest(topic);
        drop(lane);
        // Records come through the cursors' own queues; complaints have gone to the reports by now.
        drop(consumer.poll(Duration::from_millis(500)));
    }
}

/// A cursor in use.
pub(super) struct Held {
    pub(super) cursor: OwnedMutexGuard<Cursor>,
    pub(super) partition: u32,
    /// Outlives the hold on the cursor, so that the client is not closed by whoever reads.
    pub(super) lane: Arc<Lane>,
}

impl Held {
    pub(super) fn slot(&self) -> &Slot {
        &self.lane.slots[self.partition as usize]
    }

    /// Sends the cursor to `offset`, within the partition's bounds. Blocks.
    pub(super) fn place(&mut self, topic: &str, offset: u64, sure_end: u64) -> Result<(), LogError> {
        let placed = self.try_place(topic, offset);
        if placed.is_err() {
            self.lane.broken.store(true, Ordering::Release);
            self.cursor.forget();
        }
        placed.map_err(|error| {
            LogError::Storage(format!(
                "going to {topic} partition {} offset {offset} failed: {error}",
                self.partition
            ))
        })?;
        let cursor = &mut *self.cursor;
        (cursor.next, cursor.fetched, cursor.sure_end) = (offset, offset, sure_end);
        Ok(())
    }

    /// Sends the cursor to where it stands already, for a fresh report of the partition's end; it keeps what it has
    /// taken in. Blocks.
    pub(super) fn place_again(&mut self, topic: &str, sure_end: u64) -> Result<(), LogError> {
        let Cursor { next, fetched, buffered_bytes, .. } = *self.cursor;
        let buffer = std::mem::take(&mut self.cursor.buffer);
        self.place(topic, fetched, sure_end)?;
        let cursor = &mut *self.cursor;
        (cursor.next, cursor.buffer, cursor.buffered_bytes) = (next, buffer, buffered_bytes);
        Ok(())
    }

    fn try_place(&mut self, topic: &str, offset: u64) -> Result<(), KafkaError> {
        let partition = self.partition.cast_signed();
        let to = Offset::Offset(offset.cast_signed());
        let consumer = &self.lane.consumer;
        let cursor = &mut *self.cursor;
        cursor.forget();
        if cursor.queue.is_some() {
            if std::mem::take(&mut cursor.is_paused) {
                consumer.resume(&one_partition(topic, self.partition))?;
            }
            return consumer.seek(topic, partition, to, ANSWER_TIMEOUT);
        }
        // In this order, so that no record takes the way of the client's common queue.
        let queue = consumer.split_partition_queue(topic, partition);
        let mut queue = queue.ok_or(KafkaError::Seek("no such partition".to_owned()))?;
        let arrived = Arc::clone(&cursor.arrived);
        queue.set_nonempty_callback(move || arrived.notify_one());
        cursor.queue = Some(queue);
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition_offset(topic, partition, to)?;
        consumer.incremental_assign(&list)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.slot().position.store(self.cursor.next, Ordering::Release);
        *self.slot().used_at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

fn one_partition(topic: &str, partition: u32) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition(topic, partition.cast_signed());
    list
}
