//! The live item table: what the shop offers right now.
//!
//! Every item that the process has met has a *slot*, a small number that it keeps as long as the process lives. Whatever
//! is looked at for each of thousands of items lies in arrays by slot: the entries, and one bit that says whether the
//! item may be shown. A snapshot's rows are joined to slots once, when the snapshot arrives ([`SnapshotRows`]), so that a
//! scan never looks a key up.

mod chunk;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use tracing::error;
use waggle_filter::{Inferred, Schema};
use waggle_model::{CatalogChange, Item, ItemId, ItemIdx, ItemKey, KeyMap, SnapshotVersion, Timestamp};
use waggle_models::Vocabulary;

use crate::bits::Bits;
pub use chunk::{CHUNK, Chunk, Entry};

/// Parts of the map from keys to slots that are replaced one by one.
const N_SHARDS: usize = 64;
/// Where an item lies in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u32);

/// Items by key. Readers take the whole table by pointer and never wait; a writer replaces it.
#[derive(Debug, Default)]
pub struct ItemTable {
    entries: ArcSwap<Entries>,
    /// Held while a table is made from the one before: each partition of the topic has a follower of its own.
    writer: Mutex<Writer>,
}

/// Items by the moment at which they come on offer or leave it.
type Turns = BTreeSet<(Timestamp, Slot)>;

/// What only whoever changes the table needs.
#[derive(Debug, Default)]
struct Writer {
    /// Types of properties that the shop has declared.
    declared: Schema,
    /// Types of all others, as the items have them.
    inferred: Inferred,
    /// What will come on offer or leave it by itself, by the next such moment of each item.
    turns: Turns,
}

/// The table at one moment.
#[derive(Debug, Clone)]
pub struct Entries {
    shards: [Arc<KeyMap<Slot>>; N_SHARDS],
    /// By slot; the last one is not full.
    chunks: Vec<Arc<Chunk>>,
    n_slots: usize,
    n_items: usize,
    /// Grows with every change.
    generation: u64,
    /// Which properties the items have, and of which types.
    schema: Arc<Schema>,
    /// By slot: what may be shown now.
    offered: Arc<Bits>,
    /// When that changes by itself next.
    next_turn: Option<Timestamp>,
}

/// The slot of every row of one snapshot.
#[derive(Debug)]
pub struct SnapshotRows {
    pub version: SnapshotVersion,
    slots: Vec<Slot>,
    /// The row of a slot, [`NO_ROW`] for what the snapshot does not know.
    rows: Vec<u32>,
    by_popularity: Vec<ItemIdx>,
    /// By row, its place in `by_popularity`.
    places: Vec<u32>,
}

const NO_ROW: u32 = u32::MAX;

impl ItemTable {
    /// An empty table of a shop that has declared the types of some properties.
    pub fn new(declared: Schema) -> Self {
        let entries = Entries { schema: Arc::new(declared.clone()), ..Entries::default() };
        let writer = Writer { declared, ..Writer::default() };
        Self { entries: ArcSwap::from_pointee(entries), writer: Mutex::new(writer) }
    }

    /// The table as it is now; stays as it is while the caller holds it.
    pub fn load(&self) -> Arc<Entries> {
        self.entries.load_full()
    }

    /// Applies changes in order, in one step for readers, and gives back those that counted: a change of an item whose
    /// key is another item's is left out, as the database leaves it out. Several writers take turns.
    pub fn apply(&self, changes: Vec<CatalogChange>, now: Timestamp) -> Vec<CatalogChange> {
        if changes.is_empty() {
            return changes;
        }
        self.replace(|entries, writer| {
            let counted: Vec<CatalogChange> =
                changes.into_iter().filter(|change| entries.apply(change, now, writer)).collect();
            let schema = writer.inferred.schema(&writer.declared);
            if *entries.schema != schema {
                entries.schema = Arc::new(schema);
            }
            counted
        })
    }

    /// Offers what is offered from `now` on, and no longer what was offered until then.
    pub fn advance(&self, now: Timestamp) {
        if self.load().next_turn.is_some_and(|due| due <= now) {
            self.replace(|entries, writer| entries.advance(now, &mut writer.turns));
        }
    }

    /// Joins a snapshot's rows to slots; items that the shop does not sell any more get one, too.
    ///
    /// - `popularity`: by row
    pub fn join(
        &self,
        version: SnapshotVersion,
        vocabulary: &Vocabulary,
        popularity: &[f32],
    ) -> SnapshotRows {
        let slots: Vec<Slot> =
            self.replace(|entries, _| vocabulary.keys().iter().map(|key| entries.slot_for(*key)).collect());
        SnapshotRows::new(version, slots, popularity)
    }

    fn replace<T>(&self, change: impl FnOnce(&mut Entries, &mut Writer) -> T) -> T {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut entries = Entries::clone(&self.entries.load());
        let outcome = change(&mut entries, &mut writer);
        entries.generation += 1;
        entries.next_turn = writer.turns.first().map(|(at, _)| *at);
        self.entries.store(Arc::new(entries));
        outcome
    }
}

impl Entries {
    pub fn get(&self, key: ItemKey) -> Option<Entry<'_>> {
        self.at(self.slot(key)?)
    }

    /// The item of that id, hidden or not.
    pub fn find(&self, item_id: &ItemId) -> Option<Entry<'_>> {
        self.get(item_id.key()).filter(|entry| entry.id() == item_id.as_str())
    }

    pub fn slot(&self, key: ItemKey) -> Option<Slot> {
        self.shards[shard_of(key)].get(&key).copied()
    }

    pub fn at(&self, slot: Slot) -> Option<Entry<'_>> {
        self.chunks.get(slot.place() / CHUNK)?.get(slot.place() % CHUNK)
    }

    /// All entries, by slot.
    pub fn chunks(&self) -> &[Arc<Chunk>] {
        &self.chunks
    }

    pub fn n_slots(&self) -> usize {
        self.n_slots
    }

    /// Another number for every table that this process has had.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// What filters may ask about.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// Which slots hold what may be shown, as of the last change or [`ItemTable::advance`].
    pub fn offered(&self) -> &Bits {
        &self.offered
    }

    pub fn iter(&self) -> impl Iterator<Item = (Slot, Entry<'_>)> {
        let entries = self.chunks.iter().flat_map(|chunk| chunk.iter());
        (0..).map(Slot).zip(entries).filter_map(|(slot, entry)| Some((slot, entry?)))
    }

    pub fn len(&self) -> usize {
        self.n_items
    }

    pub fn is_empty(&self) -> bool {
        self.n_items == 0
    }

    fn apply(&mut self, change: &CatalogChange, now: Timestamp, writer: &mut Writer) -> bool {
        let (item_id, key) = (change.item_id(), change.item_id().key());
        if let Some(other) = self.get(key).filter(|entry| entry.id() != item_id.as_str()) {
            error!(item.id = %item_id, other = other.id(), "left out a change: another item has the same key");
            return false;
        }
        let before = self.get(key).map(|entry| entry.item());
        if let Some(before) = &before {
            writer.inferred.forget(&before.properties);
        }
        match change {
            CatalogChange::Put(item) => {
                writer.inferred.learn(&item.properties);
                let slot = self.slot_for(key);
                self.put(slot, before.as_ref(), Some(item), now, &mut writer.turns);
            }
            CatalogChange::Delete(_) => {
                if let Some(slot) = self.slot(key) {
                    self.put(slot, before.as_ref(), None, now, &mut writer.turns);
                }
            }
        }
        true
    }

    fn put(
        &mut self,
        slot: Slot,
        before: Option<&Item>,
        item: Option<&Item>,
        now: Timestamp,
        turns: &mut Turns,
    ) {
        Arc::make_mut(&mut self.offered).set(slot.place(), item.is_some_and(|item| item.is_available(now)));
        // Copies the chunk on its first change since readers got it.
        Arc::make_mut(&mut self.chunks[slot.place() / CHUNK]).set(slot.place() % CHUNK, item);
        self.n_items += usize::from(item.is_some());
        self.n_items -= usize::from(before.is_some());
        let window = before.map_or([None; 2], |item| [item.available_from, item.available_until]);
        for at in window.into_iter().flatten() {
            turns.remove(&(at, slot));
        }
        turns.extend(item.and_then(|item| item.turns_at(now)).map(|at| (at, slot)));
    }

    /// The key's slot; a new one if it has none.
    fn slot_for(&mut self, key: ItemKey) -> Slot {
        if let Some(slot) = self.slot(key) {
            return slot;
        }
        let slot = Slot(u32::try_from(self.n_slots).expect("fewer items than 2^32"));
        self.n_slots += 1;
        if slot.place().is_multiple_of(CHUNK) {
            self.chunks.push(Arc::default());
        }
        // Copies the shard on its first change since readers got it.
        Arc::make_mut(&mut self.shards[shard_of(key)]).insert(key, slot);
        slot
    }

    fn advance(&mut self, now: Timestamp, turns: &mut Turns) {
        while let Some((_, slot)) = turns.first().copied().filter(|(at, _)| *at <= now) {
            turns.pop_first();
            if let Some(item) = self.at(slot).map(|entry| entry.item()) {
                turns.extend(item.turns_at(now).map(|next| (next, slot)));
                Arc::make_mut(&mut self.offered).set(slot.place(), item.is_available(now));
            }
        }
    }
}

impl SnapshotRows {
    pub(crate) fn new(version: SnapshotVersion, slots: Vec<Slot>, popularity: &[f32]) -> Self {
        let n_slots = slots.iter().map(|slot| slot.place() + 1).max().unwrap_or(0);
        let mut rows = vec![NO_ROW; n_slots];
        for (row, slot) in (0..).zip(&slots) {
            rows[slot.place()] = row;
        }
        let mut by_popularity: Vec<ItemIdx> = (0..slots.len()).map(ItemIdx::from_row).collect();
        let score = |idx: ItemIdx| popularity.get(idx.row()).copied().unwrap_or(0.0);
        by_popularity.sort_by(|a, b| score(*b).total_cmp(&score(*a)).then(a.cmp(b)));
        let mut places = vec![0; slots.len()];
        for (place, idx) in (0..).zip(&by_popularity) {
            places[idx.row()] = place;
        }
        Self { version, slots, rows, by_popularity, places }
    }

    /// How many rows are more popular than the slot's; the greatest number for what the snapshot does not know.
    pub fn popularity_place(&self, slot: Slot) -> u32 {
        self.row(slot).map_or(u32::MAX, |idx| self.places[idx.row()])
    }

    /// Every row, the most popular first.
    pub fn by_popularity(&self) -> &[ItemIdx] {
        &self.by_popularity
    }

    pub fn row(&self, slot: Slot) -> Option<ItemIdx> {
        self.rows.get(slot.place()).copied().filter(|row| *row != NO_ROW).map(ItemIdx)
    }

    /// Bits of slots as bits of rows.
    pub fn by_row(&self, slots: &Bits) -> Bits {
        Bits::from_fn(&self.slots, |slot| slots.has(slot.place()))
    }

    pub fn n_rows(&self) -> usize {
        self.slots.len()
    }

    pub fn slot(&self, item: ItemIdx) -> Slot {
        self.slots[item.row()]
    }
}

impl Slot {
    pub fn place(self) -> usize {
        self.0 as usize
    }
}

impl Default for Entries {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| Arc::default()),
            chunks: Vec::new(),
            n_slots: 0,
            n_items: 0,
            generation: 0,
            schema: Arc::default(),
            offered: Arc::default(),
            next_turn: None,
        }
    }
}

fn shard_of(key: ItemKey) -> usize {
    // Keys are hashes: any bits will do that the maps inside do not use.
    (key.0 >> 32) as usize % N_SHARDS
}

#[cfg(test)]
mod tests;
