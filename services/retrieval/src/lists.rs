//! Trending and new items, recomputed from live counters about once a second.

use std::{
    collections::HashMap,
    ops::RangeInclusive,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use waggle_features::{ItemState, LiveLists, LiveListsBuilder, NEW_DAYS};
use waggle_model::{ItemKey, Timestamp};
use waggle_stores::{StateError, StateKey, StateKind, StateStore, background, state::N_SLOTS};

use crate::{bits::Bits, table::ItemTable};

/// Shortest time between two refreshes.
const MIN_PERIOD: Duration = Duration::from_secs(1);
/// A refresh may use at most one part in this many of one core, and as much of the store.
const MAX_LOAD: u32 = 20;
/// Slots of a partition read at once. The counters of all their items are in memory at the same time, several hundred
/// bytes each.
const SLOTS: u16 = 2;

/// The lists, and what they are made of.
pub struct Lists {
    state: Arc<dyn StateStore>,
    n_partitions: u32,
    table: Arc<ItemTable>,
    current: ArcSwap<LiveLists>,
}

impl Lists {
    pub fn new(state: Arc<dyn StateStore>, n_partitions: u32, table: Arc<ItemTable>) -> Self {
        Self { state, n_partitions, table, current: ArcSwap::default() }
    }

    pub fn load(&self) -> Arc<LiveLists> {
        self.current.load_full()
    }

    /// Recomputes the lists as of `now`.
    ///
    /// # Errors
    /// [`StateError`] when the counters cannot be read; the old lists stay.
    pub async fn refresh(&self, now: Timestamp) -> Result<(), StateError> {
        let table = self.table.load();
        let mut lists = LiveListsBuilder::new(now);
        let mut has_counters = Bits::default();
        // In pieces: none is large, and requests get their turn in between in the store.
        for first in (0..N_SLOTS).step_by(SLOTS.into()) {
            let slots = first..=(first + SLOTS - 1).min(N_SLOTS - 1);
            for (item, total) in self.totals(slots).await? {
                let Some(slot) = table.slot(item) else { continue };
                has_counters.set(slot.place(), true);
                if let Some(entry) = table.at(slot).filter(|_| table.offered().has(slot.place())) {
                    lists.add(item, &total, entry.attributes.available_from);
                }
            }
        }
        let nothing = ItemState::default();
        for (slot, entry) in table.iter() {
            // What nobody has touched is on a list while it is new, and on none otherwise.
            let since = entry.attributes.available_from.filter(|since| now.days_since(*since) <= NEW_DAYS);
            if since.is_some() && !has_counters.has(slot.place()) && table.offered().has(slot.place()) {
                lists.add(entry.key(), &nothing, since);
            }
        }
        self.current.store(Arc::new(lists.finish()));
        Ok(())
    }

    /// The counters of the items in these slots, which are the same in every partition, added up.
    async fn totals(&self, slots: RangeInclusive<u16>) -> Result<HashMap<ItemKey, ItemState>, StateError> {
        let mut totals: HashMap<ItemKey, ItemState> = HashMap::new();
        for partition in 0..self.n_partitions {
            for (key, blob) in self.state.scan(partition, StateKind::Item, slots.clone()).await? {
                match ItemState::decode(&blob) {
                    Ok(partial) => {
                        let total = totals.entry(ItemKey(key)).or_default();
                        *total = total.merged(&partial);
                    }
                    Err(e) => warn!(key, error = %e, "counters of an item are unreadable"),
                }
            }
        }
        Ok(totals)
    }

    /// What people acted on together with the item, heaviest first, as the fold has it now.
    ///
    /// # Errors
    /// [`StateError`] when the counters cannot be read.
    pub async fn co_visited(&self, item: ItemKey) -> Result<Vec<(ItemKey, f32)>, StateError> {
        let partial = |partition| StateKey { partition, kind: StateKind::Item, key: item.0 };
        let keys: Vec<StateKey> = (0..self.n_partitions).map(partial).collect();
        let mut total = ItemState::default();
        for blob in self.state.read(&keys).await?.iter().flatten() {
            match ItemState::decode(blob) {
                Ok(partial) => total = total.merged(&partial),
                Err(e) => warn!(key = item.0, error = %e, "counters of an item are unreadable"),
            }
        }
        Ok(total.co_visits.best())
    }

    /// Refreshes until cancelled.
    pub async fn run(self: Arc<Self>, cancel: CancellationToken) {
        let mut pause = MIN_PERIOD;
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            let started = Instant::now();
            let (lists, runtime) = (self.clone(), Handle::current());
            // Milliseconds of one processor at a time, which no request should wait for.
            let refresh = background::run(move || runtime.block_on(lists.refresh(Timestamp::now())));
            let outcome = refresh.await.map_err(|e| e.to_string());
            if let Err(error) = outcome.and_then(|done| done.map_err(|e| e.to_string())) {
                warn!(error, "trending and new items could not be refreshed");
            }
            metrics::histogram!("waggle_retrieval_lists_duration_seconds")
                .record(started.elapsed().as_secs_f64());
            pause = MIN_PERIOD.max(started.elapsed() * MAX_LOAD);
        }
    }
}

#[cfg(test)]
mod tests;
