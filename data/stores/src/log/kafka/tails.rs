//! How far each partition is known to reach.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::watch;

use crate::log::Topic;

/// The [`Tail`] of every partition of every topic.
#[derive(Debug)]
pub(super) struct Tails {
    n_partitions: u32,
    slots: Vec<Tail>,
    closed: AtomicBool,
}

impl Tails {
    pub(super) fn new(n_partitions: u32) -> Self {
        let slots = (0..Topic::ALL.len() * n_partitions as usize).map(|_| Tail::default()).collect();
        Self { n_partitions, slots, closed: AtomicBool::new(false) }
    }

    pub(super) fn of(&self, topic: Topic, partition: u32) -> Option<&Tail> {
        (partition < self.n_partitions)
            .then(|| &self.slots[topic as usize * self.n_partitions as usize + partition as usize])
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Wakes everybody who waits.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        for slot in &self.slots {
            slot.end.send_modify(|_| {});
        }
    }
}

/// What this process knows of the end of one partition.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// The partition's end was here once, so it is here or further on. 0 while nothing is known.
    end: watch::Sender<u64>,
    /// Offsets that hold no record, from and to: markers of transactions, or what compaction took.
    barren: Mutex<(u64, u64)>,
}

impl Tail {
    pub(super) fn end(&self) -> u64 {
        *self.end.borrow()
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.end.subscribe()
    }

    pub(super) fn raise(&self, end: u64) {
        self.end.send_if_modified(|known| {
            let higher = end > *known;
            *known = end.max(*known);
            // Waking is dear next to a record. Whoever subscribes after this look reads the new end before waiting.
            higher && self.end.receiver_count() > 0
        });
    }

    /// Remembers that the partition holds nothing between the two offsets.
    pub(super) fn set_barren(&self, from: u64, to: u64) {
        *self.barren.lock().unwrap_or_else(PoisonError::into_inner) = (from, to);
    }

    /// Whether a record at `offset` or after it is known of.
    pub(super) fn reaches(&self, offset: u64) -> bool {
        let end = self.end();
        let (from, to) = *self.barren.lock().unwrap_or_else(PoisonError::into_inner);
        end > offset && !(from <= offset && end <= to)
    }
}
