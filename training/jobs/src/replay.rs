//! Point-in-time replay: the events folded in order, exactly as the online fold does it, up to any moment.

use std::collections::HashMap;

use waggle_features::{ItemAttributes, ItemState, LiveLists, MemoryStates, PersonState, RecentKind, fold};
use waggle_model::{
    Event, EventBody, Interaction, InteractionKind, Item, ItemId, ItemKey, PersonKey, Timestamp,
};

/// The catalogue as ranking sees it.
pub type Attributes = HashMap<ItemKey, ItemAttributes>;

/// Attributes of all items by key.
pub fn attributes_of(items: &[Item]) -> Attributes {
    items.iter().map(|item| (item.item_id.key(), ItemAttributes::of(item))).collect()
}

/// All states in memory, as of the newest event folded.
///
/// It forgets nobody: the expiry of the online fold goes by log position, which training, in order of time, does not have.
#[derive(Debug, Clone, Default)]
pub struct Replay {
    states: MemoryStates,
}

impl Replay {
    /// Folds the events, which must ascend in time and not be older than what was folded before.
    pub fn fold_all<'e>(&mut self, events: impl IntoIterator<Item = &'e Event>) {
        for event in events {
            fold(event, &mut self.states);
        }
    }

    /// Folds all events before `until` and gives what is left of them.
    pub fn fold_until<'e>(&mut self, events: &'e [Event], until: Timestamp) -> &'e [Event] {
        let n_before = events.partition_point(|event| event.timestamp < until);
        self.fold_all(&events[..n_before]);
        &events[n_before..]
    }

    /// What is known of the person, if anything.
    pub fn known_person(&self, key: PersonKey) -> Option<&PersonState> {
        self.states.people.get(&key)
    }

    /// The item's counters, if anything happened to it.
    pub fn known_item(&self, key: ItemKey) -> Option<&ItemState> {
        self.states.items.get(&key)
    }

    /// Everybody, ascending by key.
    pub fn people(&self) -> Vec<(PersonKey, &PersonState)> {
        let mut people: Vec<_> = self.states.people.iter().map(|(key, person)| (*key, person)).collect();
        people.sort_unstable_by_key(|(key, _)| *key);
        people
    }

    pub fn n_people(&self) -> usize {
        self.states.people.len()
    }

    /// Trending and new items as of `now`, from the counters as they stand.
    pub fn live_lists(&self, attributes: &Attributes, now: Timestamp) -> LiveLists {
        let empty = ItemState::default();
        let unseen = attributes.iter().filter(|(key, _)| !self.states.items.contains_key(key));
        let unseen = unseen.map(|(key, known)| (*key, &empty, known.available_from));
        let seen =
            self.states.items.iter().map(|(key, state)| {
                (*key, state, attributes.get(key).and_then(|known| known.available_from))
            });
        LiveLists::compute(seen.chain(unseen), now)
    }
}

/// Purchases of one person that belong together.
#[derive(Debug, Clone, PartialEq)]
pub struct Basket {
    pub person: PersonKey,
    /// Time of its first line.
    pub start: Timestamp,
    /// Distinct items in the order they were bought.
    pub items: Vec<ItemId>,
}

impl Basket {
    /// The person's state just before the basket, with the first `n_lines` items put into the cart at its start.
    #[must_use]
    pub fn in_progress(&self, before: &PersonState, n_lines: usize) -> PersonState {
        let mut person = before.clone();
        for item in self.items.iter().take(n_lines) {
            person.apply(&Interaction::new(InteractionKind::Cart, item.clone()), self.start);
        }
        person
    }
}

/// Purchases without an order id belong together within this time; a longer pause ends a session.
const GAP_MS: i64 = 30 * 60 * 1000;

/// The baskets of the events, ascending by start; purchases of one person share a basket if they name the same order,
/// or name none and lie within half an hour of the basket's start.
pub fn baskets(events: &[Event]) -> Vec<Basket> {
    let mut all: Vec<Basket> = Vec::new();
    let mut open: HashMap<PersonKey, (usize, Option<&str>)> = HashMap::new();
    for event in events {
        let EventBody::Interaction(interaction) = &event.body else { continue };
        let (InteractionKind::Purchase, Some(person)) = (&interaction.kind, event.person.key()) else {
            continue;
        };
        let order = interaction.order_id.as_deref();
        let is_near = |start: Timestamp| event.timestamp.as_millis() - start.as_millis() <= GAP_MS;
        let place = match open.get(&person) {
            Some(&(place, known)) if known == order && (order.is_some() || is_near(all[place].start)) => {
                place
            }
            _ => {
                all.push(Basket { person, start: event.timestamp, items: Vec::new() });
                open.insert(person, (all.len() - 1, order));
                all.len() - 1
            }
        };
        let items = &mut all[place].items;
        if !items.contains(&interaction.item_id) {
            items.push(interaction.item_id.clone());
        }
    }
    all
}

/// What somebody was after in one go. It does not say who.
#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    /// Time of its last act.
    pub end: Timestamp,
    /// Distinct items in the order they were last touched.
    pub items: Vec<ItemKey>,
}

/// The sessions of the events, ascending by end: acts of one person that speak for an item, with no pause longer than half
/// an hour between one and the next. An order is within a session.
pub fn sessions(events: &[Event]) -> Vec<Session> {
    let mut all: Vec<Session> = Vec::new();
    let mut open: HashMap<PersonKey, usize> = HashMap::new();
    for event in events {
        let EventBody::Interaction(interaction) = &event.body else { continue };
        let (true, Some(person)) = (RecentKind::from(interaction).is_positive(), event.person.key()) else {
            continue;
        };
        let is_near = |end: Timestamp| event.timestamp.as_millis() - end.as_millis() <= GAP_MS;
        let place = match open.get(&person) {
            Some(&place) if is_near(all[place].end) => place,
            _ => {
                all.push(Session { end: event.timestamp, items: Vec::new() });
                open.insert(person, all.len() - 1);
                all.len() - 1
            }
        };
        let Session { end, items } = &mut all[place];
        let item = interaction.item_id.key();
        items.retain(|known| *known != item);
        items.push(item);
        *end = event.timestamp;
    }
    all.sort_by_key(|session| session.end);
    all
}

#[cfg(test)]
mod tests;
