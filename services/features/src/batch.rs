//! What one batch of a partition's records does to its state: values in, values out.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
};

use bytes::Bytes;
use waggle_features::{
    ItemState, PersonState, StateDecodeError,
    admission::{Tombstones, passes},
    expiry::Sweep,
    fold,
    fold::States,
    item::ItemSeen,
    person::PersonSeen,
    touched_items, touched_person,
};
use waggle_model::{DeadLetter, DeadLetterOrigin, Event, ItemKey, PersonKey, Timestamp, decode_event};
use waggle_stores::{LogRecord, NewRecord, StateKey, StateKind, Topic, state::N_SLOTS};

use crate::position::{Position, chunk_key, record_key};

/// Set in the key of a tombstone, which sets it apart from the other facts of the fold.
const TOMBSTONE_BIT: u64 = 1 << 63;
/// Content of a tombstone: its version.
const TOMBSTONE: &[u8] = &[1];

/// A stored blob that this build cannot read. Going on without it would forget what it held.
#[derive(Debug, thiserror::Error)]
#[error("state {key:?} cannot be read")]
pub struct UnreadableState {
    pub key: StateKey,
    #[source]
    pub source: StateDecodeError,
}

/// A blob to set, or (`None`) to remove.
pub type Write = (StateKey, Option<Bytes>);

/// A batch of records, decoded, without its duplicates.
///
/// What it reads comes in two parts, because the items that an event touches depend on what its person did before:
/// [`keys`](Self::keys) and [`swept_slots`](Self::swept_slots), which go to [`load_people`](Self::load_people), then the
/// items that this names, which go to [`fold`](Self::fold).
#[derive(Debug)]
pub struct Batch {
    partition: u32,
    steps: Vec<Step>,
    states: BatchStates,
    /// What is no event of the partition, ready for the dead letters.
    pub dead_letters: Vec<NewRecord>,
    pub n_duplicates: usize,
    pub n_records: usize,
    /// Where the partition is behind the batch.
    pub position: Position,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are events")]
enum Step {
    Event(Event),
    Sweep(Sweep),
}

impl Batch {
    /// Decodes consecutive records of the partition that `position` is of. `now` only dates dead letters.
    pub fn open(records: &[LogRecord], mut position: Position, now: Timestamp) -> Self {
        let mut steps = Vec::with_capacity(records.len());
        let mut dead_letters = Vec::new();
        let mut n_duplicates = 0;
        for record in records {
            // Before the record itself, so that where batches are cut makes no difference.
            steps.extend(position.sweep_due(record.offset).map(Step::Sweep));
            match read(record, &position) {
                Ok(event) => {
                    if position.record(record, Some(&event)) {
                        n_duplicates += 1;
                    } else {
                        steps.push(Step::Event(event));
                    }
                }
                Err(reason) => {
                    position.record(record, None);
                    dead_letters.push(dead_letter(record, reason, now));
                }
            }
        }
        Self {
            partition: position.partition(),
            steps,
            states: BatchStates::default(),
            dead_letters,
            n_duplicates,
            n_records: records.len(),
            position,
        }
    }

    /// The people and facts that the batch has to see, each once.
    pub fn keys(&self) -> Vec<StateKey> {
        let mut keys = BTreeSet::new();
        for event in self.events() {
            keys.extend(touched_person(event).map(|person| person_key(self.partition, person)));
            keys.extend(event.person.key().map(|person| tombstone_key(self.partition, person)));
        }
        keys.into_iter().collect()
    }

    /// Slots of which it has to see every person and every item.
    pub fn swept_slots(&self) -> Vec<RangeInclusive<u16>> {
        let mut ranges: Vec<RangeInclusive<u16>> = Vec::new();
        for slot in self.sweeps().map(|sweep| sweep.slot) {
            match ranges.last_mut() {
                Some(last) if last.end().checked_add(1) == Some(slot) => *last = *last.start()..=slot,
                _ => ranges.push(slot..=slot),
            }
        }
        ranges
    }

    /// Takes what the store holds for [`keys`](Self::keys), in that order, and all that it holds of people and items in the
    /// [`swept_slots`](Self::swept_slots). Gives the items that [`fold`](Self::fold) has to see, each once.
    ///
    /// # Errors
    /// [`UnreadableState`] if a blob was not written by this version.
    pub fn load_people(
        &mut self,
        keys: &[StateKey],
        blobs: &[Option<Bytes>],
        swept: &[(StateKey, Bytes)],
    ) -> Result<Vec<StateKey>, UnreadableState> {
        self.states.load(keys, blobs)?;
        self.states.load_swept(swept)?;
        let mut items = Vec::new();
        for event in self.events() {
            let person = touched_person(event).and_then(|key| self.states.persons.get(&key));
            touched_items(event, person.map(|slot| &slot.state), &mut items);
        }
        items.sort_unstable();
        items.dedup();
        Ok(items.into_iter().map(|item| item_key(self.partition, item)).collect())
    }

    /// Folds the events in order. `items` and `blobs` are what the store holds for the items that
    /// [`load_people`](Self::load_people) named. Gives what to write, the fold's own facts included.
    ///
    /// # Errors
    /// [`UnreadableState`] if a blob was not written by this version.
    pub fn fold(
        &mut self,
        items: &[StateKey],
        blobs: &[Option<Bytes>],
    ) -> Result<Vec<Write>, UnreadableState> {
        let mut states = std::mem::take(&mut self.states);
        states.load(items, blobs)?;
        for step in &self.steps {
            match step {
                Step::Event(event) => {
                    if passes(event, &mut states) {
                        fold(event, &mut states);
                    }
                }
                Step::Sweep(sweep) => states.sweep(sweep),
            }
        }
        let mut writes = states.writes(self.partition);
        let position = &mut self.position;
        for place in position.window.take_touched() {
            writes.push((chunk_key(self.partition, place), Some(position.window.chunk(place).into())));
        }
        let facts = position.record.encode(position.applied.offset);
        writes.push((record_key(self.partition), Some(facts.into())));
        Ok(writes)
    }

    fn events(&self) -> impl Iterator<Item = &Event> {
        self.steps.iter().filter_map(|step| match step {
            Step::Event(event) => Some(event),
            Step::Sweep(_) => None,
        })
    }

    fn sweeps(&self) -> impl Iterator<Item = &Sweep> {
        self.steps.iter().filter_map(|step| match step {
            Step::Event(_) => None,
            Step::Sweep(sweep) => Some(sweep),
        })
    }
}

/// Key of a person's blob.
pub fn person_key(partition: u32, person: PersonKey) -> StateKey {
    StateKey { partition, kind: StateKind::Person, key: person.0 }
}

/// Key of an item's partial.
pub fn item_key(partition: u32, item: ItemKey) -> StateKey {
    StateKey { partition, kind: StateKind::Item, key: item.0 }
}

fn tombstone_key(partition: u32, person: PersonKey) -> StateKey {
    StateKey { partition, kind: StateKind::Fold, key: person.0 | TOMBSTONE_BIT }
}

/// The record's event, or why it is none of this partition.
fn read(record: &LogRecord, position: &Position) -> Result<Event, String> {
    let event = decode_event(&record.value).map_err(|error| error.to_string())?;
    position.check(&event).map_err(|misfit| misfit.to_string())?;
    Ok(event)
}

fn dead_letter(record: &LogRecord, reason: String, now: Timestamp) -> NewRecord {
    let origin = DeadLetterOrigin::Log {
        topic: Topic::Events.as_str().to_owned(),
        partition: record.partition,
        offset: record.offset,
    };
    let letter = DeadLetter::new(reason, origin, now, &record.value);
    // Letters of one partition stay in their order, whatever key a stranger gave the record.
    let key = format!("events/{}", record.partition);
    NewRecord { key: key.into(), value: letter.encode().into() }
}

/// The states that one batch touches, each decoded and encoded once however many events it sees.
#[derive(Debug, Default)]
struct BatchStates {
    persons: BTreeMap<PersonKey, Slot<PersonState>>,
    items: BTreeMap<ItemKey, Slot<ItemState>>,
    /// By the tombstone's key.
    tombstones: BTreeMap<u64, Slot<()>>,
    /// Everybody and everything in the swept slots, as stored before the batch.
    swept_persons: BTreeMap<u64, PersonSeen>,
    swept_items: BTreeMap<u64, ItemSeen>,
}

/// A state on its way through a batch.
#[derive(Debug, Default)]
struct Slot<T> {
    state: T,
    is_present: bool,
    was_present: bool,
    is_changed: bool,
}

impl<T: Default> Slot<T> {
    fn stored(state: Option<T>) -> Self {
        let is_present = state.is_some();
        Self { state: state.unwrap_or_default(), is_present, was_present: is_present, is_changed: false }
    }

    /// A state that is stored and was not read, because all that can happen to it is its removal.
    fn unread() -> Self {
        Self { state: T::default(), is_present: true, was_present: true, is_changed: false }
    }

    /// Puts what the batch has made of the state in the place of what was stored.
    fn overlay<S>(&self, key: u64, seen: S, slot: &mut BTreeMap<u64, S>) {
        if self.is_present {
            slot.insert(key, seen);
        } else {
            slot.remove(&key);
        }
    }

    fn change(&mut self) -> &mut T {
        self.is_present = true;
        self.is_changed = true;
        &mut self.state
    }

    fn remove(&mut self) {
        self.state = T::default();
        self.is_present = false;
        self.is_changed = true;
    }

    /// What to write: nothing, a blob, or (`Some(None)`) its removal.
    fn write(self, encode: impl FnOnce(&T) -> Bytes) -> Option<Option<Bytes>> {
        match (self.is_changed, self.is_present, self.was_present) {
            (false, _, _) | (true, false, false) => None,
            (true, true, _) => Some(Some(encode(&self.state))),
            (true, false, true) => Some(None),
        }
    }
}

/// Not loaded is not the same as not there: folding over it would overwrite what is stored.
const LOADED: &str = "a batch loads every state that its events touch";

impl States for BatchStates {
    fn person(&mut self, key: PersonKey) -> &mut PersonState {
        self.persons.get_mut(&key).expect(LOADED).change()
    }

    fn item(&mut self, key: ItemKey) -> &mut ItemState {
        self.items.get_mut(&key).expect(LOADED).change()
    }

    fn remove_person(&mut self, key: PersonKey) {
        self.persons.get_mut(&key).expect(LOADED).remove();
    }
}

impl Tombstones for BatchStates {
    fn is_erased(&mut self, person: PersonKey) -> bool {
        self.tombstones.get(&(person.0 | TOMBSTONE_BIT)).expect(LOADED).is_present
    }

    fn set_erased(&mut self, person: PersonKey, is_erased: bool) {
        let tombstone = self.tombstones.get_mut(&(person.0 | TOMBSTONE_BIT)).expect(LOADED);
        if is_erased {
            tombstone.change();
        } else {
            tombstone.remove();
        }
    }
}

impl BatchStates {
    fn load(&mut self, keys: &[StateKey], blobs: &[Option<Bytes>]) -> Result<(), UnreadableState> {
        for (&key, blob) in keys.iter().zip(blobs) {
            let blob = blob.as_deref();
            let unreadable = |source| UnreadableState { key, source };
            match key.kind {
                StateKind::Person => {
                    let state = blob.map(PersonState::decode).transpose().map_err(unreadable)?;
                    self.persons.insert(PersonKey(key.key), Slot::stored(state));
                }
                StateKind::Item => {
                    let state = blob.map(ItemState::decode).transpose().map_err(unreadable)?;
                    self.items.insert(ItemKey(key.key), Slot::stored(state));
                }
                StateKind::Fold => {
                    self.tombstones.insert(key.key, Slot::stored(blob.map(|_| ())));
                }
            }
        }
        Ok(())
    }

    fn load_swept(&mut self, swept: &[(StateKey, Bytes)]) -> Result<(), UnreadableState> {
        for (key, blob) in swept {
            let unreadable = |source| UnreadableState { key: *key, source };
            match key.kind {
                StateKind::Person => {
                    self.swept_persons.insert(key.key, PersonSeen::decode(blob).map_err(unreadable)?);
                }
                StateKind::Item => {
                    self.swept_items.insert(key.key, ItemSeen::decode(blob).map_err(unreadable)?);
                }
                StateKind::Fold => {}
            }
        }
        Ok(())
    }

    /// Removes what has expired in the slot, as it is at this moment of the batch.
    fn sweep(&mut self, sweep: &Sweep) {
        let keys = keys_of(sweep.slot);
        let mut people: BTreeMap<u64, PersonSeen> =
            self.swept_persons.range(keys.clone()).map(|(key, seen)| (*key, *seen)).collect();
        for (key, slot) in self.persons.range(PersonKey(*keys.start())..=PersonKey(*keys.end())) {
            slot.overlay(key.0, PersonSeen::of(&slot.state), &mut people);
        }
        for key in sweep.expired_persons(people) {
            self.persons.entry(PersonKey(key)).or_insert_with(Slot::unread).remove();
        }
        let mut items: BTreeMap<u64, ItemSeen> =
            self.swept_items.range(keys.clone()).map(|(key, seen)| (*key, *seen)).collect();
        for (key, slot) in self.items.range(ItemKey(*keys.start())..=ItemKey(*keys.end())) {
            slot.overlay(key.0, ItemSeen::of(&slot.state), &mut items);
        }
        for key in sweep.expired_items(items) {
            self.items.entry(ItemKey(key)).or_insert_with(Slot::unread).remove();
        }
    }

    fn writes(self, partition: u32) -> Vec<Write> {
        let mut writes = Vec::with_capacity(self.persons.len() + self.items.len());
        for (key, slot) in self.persons {
            let blob = slot.write(|state| state.encode().into());
            writes.extend(blob.map(|blob| (person_key(partition, key), blob)));
        }
        for (key, slot) in self.items {
            let blob = slot.write(|state| state.encode().into());
            writes.extend(blob.map(|blob| (item_key(partition, key), blob)));
        }
        for (key, slot) in self.tombstones {
            let blob = slot.write(|()| Bytes::from_static(TOMBSTONE));
            writes.extend(blob.map(|blob| (StateKey { partition, kind: StateKind::Fold, key }, blob)));
        }
        writes
    }
}

/// The keys of a slot, which are its number followed by anything.
fn keys_of(slot: u16) -> RangeInclusive<u64> {
    let shift = u64::BITS - N_SLOTS.trailing_zeros();
    let first = u64::from(slot) << shift;
    first..=first | ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use waggle_stores::state::slot_of;

    use super::*;

    #[test]
    fn the_keys_of_a_slot_are_those_that_the_store_puts_there() {
        for slot in [0, 1, 7, N_SLOTS - 1] {
            let keys = keys_of(slot);
            assert_eq!((slot_of(*keys.start()), slot_of(*keys.end())), (slot, slot));
            assert!(keys.start().checked_sub(1).is_none_or(|key| slot_of(key) != slot));
            assert!(keys.end().checked_add(1).is_none_or(|key| slot_of(key) != slot));
        }
    }
}
