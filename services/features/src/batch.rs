//! What one batch of a partition's records does to its state: values in, values out.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use waggle_features::{
    DedupWindow, ItemState, PersonState, StateDecodeError, StateRef, dedup::N_CHUNKS, fold, fold::States,
    touched,
};
use waggle_model::{
    DeadLetter, DeadLetterOrigin, Event, EventBody, ItemKey, PersonKey, Timestamp, decode_event,
};
use waggle_stores::{LogRecord, NewRecord, StateKey, StateKind, Topic};

/// Set in the key of a tombstone, which sets it apart from the chunks of the window.
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

/// A batch of records, decoded, without its duplicates.
#[derive(Debug)]
pub struct Batch {
    partition: u32,
    events: Vec<Event>,
    /// What did not decode, ready for the dead letters.
    pub dead_letters: Vec<NewRecord>,
    pub n_duplicates: usize,
    pub n_records: usize,
    /// Of the first record behind the batch.
    pub next_offset: u64,
    /// Newest event time of the batch.
    pub time: Timestamp,
    /// The partition's window behind the batch.
    pub window: DedupWindow,
}

impl Batch {
    /// Decodes consecutive records of `partition`; `window` stands before them. `now` only dates dead letters.
    pub fn open(partition: u32, records: &[LogRecord], mut window: DedupWindow, now: Timestamp) -> Self {
        let mut events = Vec::with_capacity(records.len());
        let mut dead_letters = Vec::new();
        let mut n_duplicates = 0;
        for record in records {
            match decode_event(&record.value) {
                Ok(event) => {
                    if window.record(record.offset, event.event_id.as_ref()) {
                        n_duplicates += 1;
                    } else {
                        events.push(event);
                    }
                }
                Err(error) => {
                    window.record(record.offset, None);
                    dead_letters.push(dead_letter(record, &error, now));
                }
            }
        }
        Self {
            partition,
            events,
            dead_letters,
            n_duplicates,
            n_records: records.len(),
            next_offset: records.last().map_or(0, |record| record.offset + 1),
            time: records.iter().map(|record| record.timestamp).max().unwrap_or_default(),
            window,
        }
    }

    /// Every blob that [`fold`](Self::fold) has to see, each once.
    pub fn keys(&self) -> Vec<StateKey> {
        let mut keys = BTreeSet::new();
        for event in &self.events {
            let refs = touched(event);
            for state in &refs {
                keys.insert(match *state {
                    StateRef::Person(person) => person_key(self.partition, person),
                    StateRef::Item(item) => item_key(self.partition, item),
                });
            }
            if let Some(person) = event.person.key()
                && (!refs.is_empty() || matches!(event.body, EventBody::UserChange(_)))
            {
                keys.insert(tombstone_key(self.partition, person));
            }
        }
        keys.into_iter().collect()
    }

    /// Folds the events in order. `keys` and `blobs` are what the store holds for [`keys`](Self::keys). Gives the blobs
    /// to set and to remove, the window's changed chunks included.
    ///
    /// # Errors
    /// [`UnreadableState`] if a blob was not written by this version.
    pub fn fold(
        &mut self,
        keys: &[StateKey],
        blobs: &[Option<Bytes>],
    ) -> Result<Vec<(StateKey, Option<Bytes>)>, UnreadableState> {
        let mut states = BatchStates::decode(keys, blobs)?;
        for event in &self.events {
            states.fold(event);
        }
        let mut writes = states.writes(self.partition);
        for place in self.window.take_touched() {
            writes.push((chunk_key(self.partition, place), Some(self.window.chunk(place).into())));
        }
        Ok(writes)
    }
}

/// Keys of the partition's stored window, in order.
pub fn window_keys(partition: u32) -> Vec<StateKey> {
    (0..N_CHUNKS).map(|place| chunk_key(partition, place)).collect()
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

fn chunk_key(partition: u32, place: usize) -> StateKey {
    StateKey { partition, kind: StateKind::Fold, key: place as u64 }
}

fn dead_letter(record: &LogRecord, error: &waggle_model::CodecError, now: Timestamp) -> NewRecord {
    let origin = DeadLetterOrigin::Log {
        topic: Topic::Events.as_str().to_owned(),
        partition: record.partition,
        offset: record.offset,
    };
    let letter = DeadLetter::new(error.to_string(), origin, now, &record.value);
    NewRecord { key: record.key.clone(), value: letter.encode().into(), timestamp: now }
}

/// The states that one batch touches, each decoded and encoded once however many events it sees.
#[derive(Default)]
struct BatchStates {
    persons: BTreeMap<PersonKey, Slot<PersonState>>,
    items: BTreeMap<ItemKey, Slot<ItemState>>,
    /// By the tombstone's key.
    tombstones: BTreeMap<u64, Slot<()>>,
}

/// A state on its way through a batch.
#[derive(Default)]
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

impl States for BatchStates {
    fn person(&mut self, key: PersonKey) -> &mut PersonState {
        self.persons.entry(key).or_default().change()
    }

    fn item(&mut self, key: ItemKey) -> &mut ItemState {
        self.items.entry(key).or_default().change()
    }

    fn remove_person(&mut self, key: PersonKey) {
        self.persons.entry(key).or_default().remove();
    }
}

impl BatchStates {
    fn decode(keys: &[StateKey], blobs: &[Option<Bytes>]) -> Result<Self, UnreadableState> {
        let mut states = Self::default();
        for (&key, blob) in keys.iter().zip(blobs) {
            let blob = blob.as_deref();
            let unreadable = |source| UnreadableState { key, source };
            match key.kind {
                StateKind::Person => {
                    let state = blob.map(PersonState::decode).transpose().map_err(unreadable)?;
                    states.persons.insert(PersonKey(key.key), Slot::stored(state));
                }
                StateKind::Item => {
                    let state = blob.map(ItemState::decode).transpose().map_err(unreadable)?;
                    states.items.insert(ItemKey(key.key), Slot::stored(state));
                }
                StateKind::Fold => {
                    states.tombstones.insert(key.key, Slot::stored(blob.map(|_| ())));
                }
            }
        }
        Ok(states)
    }

    fn fold(&mut self, event: &Event) {
        if let Some(person) = event.person.key() {
            let tombstone = self.tombstones.entry(person.0 | TOMBSTONE_BIT).or_default();
            match &event.body {
                EventBody::UserChange(_) => tombstone.remove(),
                EventBody::Erasure => {
                    tombstone.change();
                }
                _ if tombstone.is_present => return,
                _ => {}
            }
        }
        fold(event, self);
    }

    fn writes(self, partition: u32) -> Vec<(StateKey, Option<Bytes>)> {
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
