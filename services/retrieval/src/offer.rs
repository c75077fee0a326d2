//! What one request may be answered with.

use std::{
    hash::{DefaultHasher, Hasher as _},
    sync::Arc,
};

use serde_json::{Map, Value};
use waggle_contracts::RoleError;
use waggle_filter::{BoundFilter, Filter, Property, Value as Held, Values};
use waggle_model::{Item, ItemId, ItemIdx, ItemKey, Timestamp};
use waggle_models::Offer;

use crate::{
    bits::Bits,
    filters::{Filters, Passed, PassedRows},
    table::{Entries, Slot, SnapshotRows},
};

/// If at most one item in so many may be shown, each of those is looked at instead of searching among all.
const FEW: usize = 16;
/// And at most so many: their vectors are fetched from all over memory, and of a large catalogue one part in sixteen takes
/// longer than any search among all.
const MAX_FEW: usize = 8_192;

/// Whether each of the items that may be shown is looked at, instead of searching among all.
pub fn are_few(n_allowed: usize, n_rows: usize) -> bool {
    n_allowed <= (n_rows / FEW).min(MAX_FEW)
}

/// Who asks about which table.
pub struct Asked<'a> {
    pub filters: &'a Filters,
    pub entries: &'a Entries,
    /// What `user.…` in expressions refers to.
    pub user: &'a Map<String, Value>,
    pub now: Timestamp,
}

impl Asked<'_> {
    /// What all the expressions let through, in the category if there is one; `None` if nothing narrows the offer down.
    ///
    /// # Errors
    /// [`RoleError::Invalid`] for an expression that does not fit the catalogue.
    pub fn allowed(
        &self,
        filters: &[String],
        category: Option<&str>,
    ) -> Result<Option<Arc<Passed>>, RoleError> {
        let of_category = category.map(|name| format!("category = {}", Values::Strings(vec![name.into()])));
        let mut parsed = Vec::with_capacity(filters.len() + 1);
        for text in filters.iter().chain(&of_category) {
            parsed.push(self.parse(text)?);
        }
        if parsed.is_empty() {
            return Ok(None);
        }
        Ok(Some(self.filters.allowed(&parsed, self.entries, self.user, self.now)))
    }

    /// Conditions to be asked item by item.
    ///
    /// # Errors
    /// As [`allowed`](Self::allowed).
    pub fn conditions(&self, texts: &[String]) -> Result<Vec<BoundFilter>, RoleError> {
        let bound = |text: &String| Ok(self.parse(text)?.bind(Some(self.user), self.now));
        texts.iter().map(bound).collect()
    }

    /// Attributes by name.
    ///
    /// # Errors
    /// [`RoleError::Invalid`] for one that no item has.
    pub fn attributes(&self, names: &[String]) -> Result<Vec<Property>, RoleError> {
        let property = |name: &String| {
            let unknown = || RoleError::Invalid(format!("max_per: no item has a property \"{name}\""));
            self.entries.schema().property(name).ok_or_else(unknown)
        };
        names.iter().map(property).collect()
    }

    fn parse(&self, text: &str) -> Result<Arc<Filter>, RoleError> {
        self.filters
            .parse(text, self.entries.schema())
            .map_err(|e| RoleError::Invalid(format!("filter: {e}")))
    }
}

/// A number for the value that an item has of an attribute: equal values have equal ones, 0 is none.
pub fn group_of(attribute: &Property, item: &Item) -> u64 {
    let mut hash = DefaultHasher::new();
    match attribute.value(item) {
        None => return 0,
        Some(Held::String(text)) => hash.write(text.as_bytes()),
        Some(Held::Number(number)) => hash.write(&number.to_bits().to_le_bytes()),
        Some(Held::Boolean(is_true)) => hash.write(&[u8::from(is_true)]),
        Some(Held::Time(time)) => hash.write(&time.as_millis().to_le_bytes()),
        Some(Held::Strings(texts)) => texts.iter().for_each(|text| hash.write(text.as_bytes())),
    }
    hash.finish().max(1)
}

/// What the shop offers now, less what the request leaves out.
pub struct OnOffer<'a> {
    entries: &'a Entries,
    rows: Option<&'a SnapshotRows>,
    /// What a filter let through.
    allowed: Option<&'a Passed>,
    /// The same by row, where that is known.
    allowed_rows: Option<Arc<PassedRows>>,
    /// Ascending.
    excluded: Vec<Slot>,
    few: Option<Vec<ItemIdx>>,
}

impl<'a> OnOffer<'a> {
    /// `rows` are those of the snapshot whose rows are asked for.
    pub fn new(
        entries: &'a Entries,
        rows: Option<&'a SnapshotRows>,
        allowed: Option<&'a Passed>,
        excluded: &[ItemId],
    ) -> Self {
        let mut excluded: Vec<Slot> = excluded.iter().filter_map(|id| entries.slot(id.key())).collect();
        excluded.sort_unstable();
        let few = allowed.zip(rows).and_then(|(allowed, rows)| {
            let slots = allowed.slots();
            are_few(slots.count(), rows.n_rows())
                .then(|| slots.ones().filter_map(|slot| rows.row(slot_at(slot))).collect())
        });
        let allowed_rows = allowed.zip(rows).and_then(|(allowed, rows)| allowed.rows(rows));
        Self { entries, rows, allowed, allowed_rows, excluded, few }
    }

    pub fn has(&self, slot: Slot) -> bool {
        self.bits().has(slot.place()) && !self.is_excluded(slot)
    }

    fn is_excluded(&self, slot: Slot) -> bool {
        self.excluded.binary_search(&slot).is_ok()
    }

    fn bits(&self) -> &Bits {
        self.allowed.map_or_else(|| self.entries.offered(), Passed::slots)
    }
}

impl Offer for OnOffer<'_> {
    fn has_row(&self, item: ItemIdx) -> bool {
        match (self.rows, &self.allowed_rows) {
            (None, _) => false,
            (Some(rows), None) => self.has(rows.slot(item)),
            (Some(rows), Some(allowed)) => {
                allowed.bits.has(item.row())
                    && (self.excluded.is_empty() || !self.is_excluded(rows.slot(item)))
            }
        }
    }

    fn has_key(&self, item: ItemKey) -> bool {
        self.entries.slot(item).is_some_and(|slot| self.has(slot))
    }

    fn row_bits(&self) -> Option<&[u64]> {
        self.allowed_rows.as_ref().map(|rows| rows.bits.words())
    }

    fn few_rows(&self) -> Option<&[ItemIdx]> {
        self.few.as_deref()
    }

    fn any(&self) -> Box<dyn Iterator<Item = ItemKey> + '_> {
        let slots = self.bits().ones().map(slot_at).filter(|slot| self.has(*slot));
        Box::new(slots.filter_map(|slot| Some(self.entries.at(slot)?.key())))
    }
}

pub(crate) fn slot_at(place: usize) -> Slot {
    Slot(u32::try_from(place).expect("slots are numbered by 32 bits"))
}
