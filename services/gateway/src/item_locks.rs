//! Writes of one item, one after the other: a PATCH reads, merges and writes, and must not undo what another wrote in
//! between. Items share a fixed number of locks.
//!
//! The locks are this process's own. Where several gateways write, each item's writes have to go to one of them.

use tokio::sync::{Mutex, MutexGuard};
use waggle_model::ItemId;

const N_LOCKS: usize = 64;

pub struct ItemLocks([Mutex<()>; N_LOCKS]);

impl ItemLocks {
    /// Waits until no other write of any of the items is under way, and holds others off while the guards live.
    pub async fn lock(&self, items: impl IntoIterator<Item = &ItemId>) -> Vec<MutexGuard<'_, ()>> {
        let mut places: Vec<usize> = items.into_iter().map(|item| item.key().0 as usize % N_LOCKS).collect();
        // Always taken in one order, so two batches never wait for each other.
        places.sort_unstable();
        places.dedup();
        let mut guards = Vec::with_capacity(places.len());
        for place in places {
            guards.push(self.0[place].lock().await);
        }
        guards
    }
}

impl Default for ItemLocks {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }
}
