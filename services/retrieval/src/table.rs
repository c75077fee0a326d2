//! The live item table: what the shop offers right now.

use std::{collections::HashMap, sync::Arc};

use arc_swap::ArcSwap;
use waggle_features::ItemAttributes;
use waggle_model::{CatalogChange, Item, ItemId, ItemKey, Timestamp};

/// An item with what requests need of it, worked out once.
#[derive(Debug, Clone)]
pub struct Entry {
    pub item: Arc<Item>,
    pub attributes: ItemAttributes,
}

/// Items by key. Readers take the whole table by pointer and never wait; a writer replaces it.
#[derive(Debug, Default)]
pub struct ItemTable {
    entries: ArcSwap<HashMap<ItemKey, Entry>>,
}

impl ItemTable {
    /// The table as it is now; stays as it is while the caller holds it.
    pub fn load(&self) -> Arc<HashMap<ItemKey, Entry>> {
        self.entries.load_full()
    }

    /// Applies changes in order, in one step for readers. One writer at a time: the follower.
    pub fn apply(&self, changes: &[CatalogChange]) {
        if changes.is_empty() {
            return;
        }
        let mut entries = HashMap::clone(&self.entries.load());
        for change in changes {
            match change {
                CatalogChange::Put(item) => {
                    let attributes = ItemAttributes::of(item);
                    entries.insert(item.item_id.key(), Entry { item: Arc::new(item.clone()), attributes });
                }
                CatalogChange::Delete(item_id) => {
                    entries.remove(&item_id.key());
                }
            }
        }
        self.entries.store(Arc::new(entries));
    }
}

/// Whether the entry may be shown at `now`, in `category` if one is asked for.
pub fn is_offered(entry: &Entry, category: Option<&str>, now: Timestamp) -> bool {
    entry.item.is_available(now) && category.is_none_or(|c| entry.item.category.as_deref() == Some(c))
}

/// The item of that id, hidden or not.
pub fn find<'a>(entries: &'a HashMap<ItemKey, Entry>, item_id: &ItemId) -> Option<&'a Entry> {
    entries.get(&item_id.key()).filter(|entry| entry.item.item_id == *item_id)
}
