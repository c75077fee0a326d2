//! The live item table: what the shop offers right now.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use tracing::error;
use waggle_features::ItemAttributes;
use waggle_model::{CatalogChange, Item, ItemId, ItemKey, Timestamp};

/// Parts that are replaced one by one: one changed item of 60,000 copies a thousand entries, not all of them.
const N_SHARDS: usize = 64;

/// An item with what requests need of it, worked out once.
#[derive(Debug, Clone)]
pub struct Entry {
    pub item: Arc<Item>,
    pub attributes: ItemAttributes,
}

/// Items by key. Readers take the whole table by pointer and never wait; a writer replaces it.
#[derive(Debug, Default)]
pub struct ItemTable {
    entries: ArcSwap<Entries>,
    /// Held while a table is made from the one before: each partition of the topic has a follower of its own.
    writer: Mutex<()>,
}

/// The table at one moment.
#[derive(Debug, Clone)]
pub struct Entries {
    shards: [Arc<HashMap<ItemKey, Entry>>; N_SHARDS],
}

impl ItemTable {
    /// The table as it is now; stays as it is while the caller holds it.
    pub fn load(&self) -> Arc<Entries> {
        self.entries.load_full()
    }

    /// Applies changes in order, in one step for readers, and gives back those that counted: a change of an item whose
    /// key is another item's is left out, as the database leaves it out. Several writers take turns.
    pub fn apply(&self, changes: Vec<CatalogChange>) -> Vec<CatalogChange> {
        if changes.is_empty() {
            return changes;
        }
        let _turn = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut entries = Entries::clone(&self.entries.load());
        let counted = changes.into_iter().filter(|change| entries.apply(change)).collect();
        self.entries.store(Arc::new(entries));
        counted
    }
}

impl Entries {
    pub fn get(&self, key: ItemKey) -> Option<&Entry> {
        self.shards[shard_of(key)].get(&key)
    }

    /// The item of that id, hidden or not.
    pub fn find(&self, item_id: &ItemId) -> Option<&Entry> {
        self.get(item_id.key()).filter(|entry| entry.item.item_id == *item_id)
    }

    pub fn iter(&self) -> impl Iterator<Item = (ItemKey, &Entry)> {
        self.shards.iter().flat_map(|shard| shard.iter()).map(|(key, entry)| (*key, entry))
    }

    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn apply(&mut self, change: &CatalogChange) -> bool {
        let (item_id, key) = (change.item_id(), change.item_id().key());
        if let Some(other) = self.get(key).filter(|entry| entry.item.item_id != *item_id) {
            error!(item.id = %item_id, other = %other.item.item_id, "left out a change: another item has the same key");
            return false;
        }
        // Copies the shard on its first change since readers got it.
        let shard = Arc::make_mut(&mut self.shards[shard_of(key)]);
        match change {
            CatalogChange::Put(item) => {
                let attributes = ItemAttributes::of(item);
                shard.insert(key, Entry { item: Arc::new(item.clone()), attributes });
            }
            CatalogChange::Delete(_) => {
                shard.remove(&key);
            }
        }
        true
    }
}

impl Default for Entries {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| Arc::default()) }
    }
}

/// Whether the entry may be shown at `now`, in `category` if one is asked for.
pub fn is_offered(entry: &Entry, category: Option<&str>, now: Timestamp) -> bool {
    entry.item.is_available(now) && category.is_none_or(|c| entry.item.category.as_deref() == Some(c))
}

fn shard_of(key: ItemKey) -> usize {
    // Keys are hashes: any bits will do.
    key.0 as usize % N_SHARDS
}

#[cfg(test)]
mod tests;
