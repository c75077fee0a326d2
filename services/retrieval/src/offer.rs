//! What one request may be answered with.

use waggle_features::ItemAttributes;
use waggle_model::{Item, ItemId, ItemIdx, ItemKey};
use waggle_models::Offer;

use crate::table::{Entries, Slot, SnapshotRows};

/// What the shop offers now, less what the request excludes.
pub struct OnOffer<'a> {
    entries: &'a Entries,
    rows: Option<&'a SnapshotRows>,
    /// Ascending.
    excluded: Vec<Slot>,
    /// [`ItemAttributes::category`].
    category: Option<u64>,
}

impl<'a> OnOffer<'a> {
    /// `rows` are those of the snapshot whose rows are asked for.
    pub fn new(
        entries: &'a Entries,
        rows: Option<&'a SnapshotRows>,
        excluded: &[ItemId],
        category: Option<&str>,
    ) -> Self {
        let mut excluded: Vec<Slot> = excluded.iter().filter_map(|id| entries.slot(id.key())).collect();
        excluded.sort_unstable();
        let category = category.map(ItemAttributes::category_key);
        Self { entries, rows, excluded, category }
    }

    pub fn has(&self, slot: Slot) -> bool {
        self.entries.offered().has(slot.place())
            && self.category.is_none_or(|category| {
                self.entries.at(slot).is_some_and(|entry| entry.attributes.category == category)
            })
            && self.excluded.binary_search(&slot).is_err()
    }

    pub fn has_item(&self, item: &Item) -> bool {
        self.has_key(item.item_id.key())
    }
}

impl Offer for OnOffer<'_> {
    fn has_row(&self, item: ItemIdx) -> bool {
        self.rows.is_some_and(|rows| self.has(rows.slot(item)))
    }

    fn has_key(&self, item: ItemKey) -> bool {
        self.entries.slot(item).is_some_and(|slot| self.has(slot))
    }
}
