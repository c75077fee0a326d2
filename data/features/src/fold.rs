//! Which states an event touches, and how it changes them.
//!
//! # Disorder and clocks
//! A fold never asks a clock: "now" is the event's own time, and events of one partition may come in any order of time.
//!
//! | what is kept | an event out of order | far late | from the future |
//! | --- | --- | --- | --- |
//! | decayed counters, placements, co-visits | added with its own decay: any order gives the same sums, up to rounding | the same; it adds next to nothing | moves them to its time; what comes after is late and decays from there |
//! | daily counts of an item ([`Window`](crate::item::Window)) | exact while its day is kept | not counted here once eight newer days are known | moves the ring: older days fall off |
//! | a person's history and last events | put in their place by time | kept if they are among the newest, else only counted | stay at the end |
//! | what was shown to a person ([`ShownItems`](crate::person::ShownItems)) | added with its own decay; an act of any time starts the count of its item anew | the same; it adds next to nothing | moves the item's count to its day |
//! | a person's share of the day ([`share`](crate::person::DailyCaps)) | draws on the newest day's share | the same; an item that a full history does not hold gets nothing | opens the future day's share, the only one until that day is over |
//! | first and last times, totals, price level | exact | exact | exact, and "last seen" is in the future |
//! | the partition's clock of [`expiry`](crate::expiry) | moved forward only | taken back a little; it is kept longer | moved by a day at most, until the next event of today |
//!
//! Ingest refuses events from the future, whoever sends them, so the last column is for what a stranger wrote into the log
//! itself: it spoils the counters of what it touches until its time has come, and nobody else's.

use waggle_model::{Event, EventBody, ItemKey, PersonKey};

use crate::{ItemState, PersonState};

/// States by reference: the batch of a partition being folded, or all of them in a training replay.
pub trait States {
    /// The person's state, to be changed; an empty one if nothing is known.
    fn person(&mut self, key: PersonKey) -> &mut PersonState;
    /// The partition's counters of the item, to be changed; empty ones if nothing is known.
    fn item(&mut self, key: ItemKey) -> &mut ItemState;
    /// Forgets the person.
    fn remove_person(&mut self, key: PersonKey);
}

/// The person whose state [`fold`] reads or writes for this event.
pub fn touched_person(event: &Event) -> Option<PersonKey> {
    match &event.body {
        // An interaction of nobody changes nothing.
        EventBody::Interaction(_) | EventBody::Merge | EventBody::Erasure => event.person.key(),
        EventBody::Impression(seen) if seen.placement.is_some() => event.person.key(),
        EventBody::Impression(_)
        | EventBody::Answer(_)
        | EventBody::CatalogChange(_)
        | EventBody::UserChange(_) => None,
    }
}

/// Appends the items whose counters [`fold`] may read or write for this event. They depend on what the person did before:
/// `person` is the state at this event, or at an earlier one if the items of the events in between are touched too.
pub fn touched_items(event: &Event, person: Option<&PersonState>, items: &mut Vec<ItemKey>) {
    if touched_person(event).is_none() {
        return;
    }
    match &event.body {
        EventBody::Interaction(interaction) => {
            let item = interaction.item_id.key();
            items.push(item);
            items.extend(person.map(|person| person.companions(item, event.timestamp)).unwrap_or_default());
        }
        EventBody::Impression(seen) => items.extend(seen.items.iter().map(|seen| seen.item_id.key())),
        _ => {}
    }
}

/// Folds one event into the states it touches. Pure: the result depends on the event and the states alone.
pub fn fold(event: &Event, states: &mut impl States) {
    let (Some(key), time) = (touched_person(event), event.timestamp) else { return };
    match &event.body {
        EventBody::Interaction(interaction) => {
            let item = interaction.item_id.key();
            let contribution = known(states, key, event).apply(interaction, time);
            if !contribution.counts {
                return;
            }
            let counters = states.item(item);
            counters.apply(interaction, time);
            if let Some(is_first) = contribution.first_order {
                counters.count_order(is_first);
            }
            for &companion in &contribution.companions {
                counters.co_visit(companion, time);
            }
            for companion in contribution.companions {
                states.item(companion).co_visit(item, time);
            }
        }
        EventBody::Impression(seen) => {
            let Some(placement) = &seen.placement else { return };
            for item in seen.items.iter().map(|seen| seen.item_id.key()) {
                if known(states, key, event).see(item, placement, time) {
                    states.item(item).see(placement, time);
                }
            }
        }
        EventBody::Merge => {
            if let (Some(_), Some(session)) = (&event.person.user_id, &event.person.session_id) {
                known(states, key, event).add_alias(session.clone(), time);
            }
        }
        EventBody::Erasure => states.remove_person(key),
        EventBody::Answer(_) | EventBody::CatalogChange(_) | EventBody::UserChange(_) => {}
    }
}

/// The person's state, which knows from the first event on whether it is a user's.
fn known<'s>(states: &'s mut impl States, key: PersonKey, event: &Event) -> &'s mut PersonState {
    let person = states.person(key);
    person.is_user = event.person.user_id.is_some();
    person
}

#[cfg(test)]
mod tests;
