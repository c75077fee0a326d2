//! Which states an event touches, and how it changes them.

use waggle_model::{Event, EventBody, ItemKey, PersonKey};

use crate::{ItemState, PersonState};

/// A state that an event touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StateRef {
    Person(PersonKey),
    Item(ItemKey),
}

/// States by reference: the batch of a partition being folded, or all of them in a training replay.
pub trait States {
    /// The person's state; an empty one if nothing is known.
    fn person(&mut self, key: PersonKey) -> &mut PersonState;
    /// The partition's counters of the item; empty ones if nothing is known.
    fn item(&mut self, key: ItemKey) -> &mut ItemState;
    /// Forgets the person.
    fn remove_person(&mut self, key: PersonKey);
}

/// The states that [`fold`] will read or write for this event.
pub fn touched(event: &Event) -> Vec<StateRef> {
    let mut refs = Vec::with_capacity(2);
    match &event.body {
        EventBody::Interaction(interaction) => {
            // An interaction of nobody changes nothing.
            if let Some(person) = event.person.key() {
                refs.extend([StateRef::Person(person), StateRef::Item(interaction.item_id.key())]);
            }
        }
        EventBody::Merge | EventBody::Erasure => refs.extend(event.person.key().map(StateRef::Person)),
        EventBody::Answer(_)
        | EventBody::Impression(_)
        | EventBody::CatalogChange(_)
        | EventBody::UserChange(_) => {}
    }
    refs
}

/// Folds one event into the states it names. Pure: the result depends on the event and the states alone.
pub fn fold(event: &Event, states: &mut impl States) {
    let Some(person) = event.person.key() else { return };
    match &event.body {
        EventBody::Interaction(interaction) => {
            let item = interaction.item_id.key();
            let state = states.person(person);
            let orders_before = state.item(item).map_or(0, |entry| entry.n_purchases);
            state.apply(interaction, event.timestamp);
            // The entry is gone again if the event was older than everything in a full history.
            let orders_after = state.item(item).map_or(orders_before, |entry| entry.n_purchases);
            let counters = states.item(item);
            counters.apply(interaction, event.timestamp);
            if orders_after > orders_before {
                counters.count_order(orders_before == 0);
            }
        }
        EventBody::Merge => {
            if let (Some(_), Some(session)) = (&event.person.user_id, &event.person.session_id) {
                states.person(person).add_alias(session.key());
            }
        }
        EventBody::Erasure => states.remove_person(person),
        EventBody::Answer(_)
        | EventBody::Impression(_)
        | EventBody::CatalogChange(_)
        | EventBody::UserChange(_) => {}
    }
}

#[cfg(test)]
mod tests;
