//! Events for tests.

use proptest::prelude::*;
use waggle_model::{
    CountsAs, Event, EventBody, Interaction, InteractionKind, ItemId, Person, Signal, Timestamp, UserId,
};

use crate::DAY_MS;

pub(crate) fn item(n: usize) -> ItemId {
    ItemId::try_new(format!("item-{n}")).unwrap()
}

pub(crate) fn days(days: f64) -> Timestamp {
    Timestamp::from_millis((days * DAY_MS as f64) as i64)
}

pub(crate) fn act(kind: InteractionKind, n: usize) -> Interaction {
    Interaction::new(kind, item(n))
}

/// An act of an own kind with a meaning.
pub(crate) fn own_kind(n: usize, counts_as: CountsAs, weight: f64) -> Interaction {
    let signal = Signal::try_new(counts_as, weight).unwrap();
    Interaction { signal: Some(signal), ..act(InteractionKind::Custom("wishlist".to_owned()), n) }
}

pub(crate) fn order_line(n: usize, order: &str) -> Interaction {
    Interaction { order_id: Some(order.to_owned()), ..act(InteractionKind::Purchase, n) }
}

pub(crate) fn event(user: usize, interaction: Interaction, time: Timestamp) -> Event {
    Event {
        event_id: None,
        timestamp: time,
        person: Person::user(UserId::try_new(format!("user-{user}")).unwrap()),
        body: EventBody::Interaction(interaction),
        context: serde_json::Map::new(),
    }
}

/// An interaction with one of `n_items` items, without an order.
pub(crate) fn interactions(n_items: usize) -> impl Strategy<Value = Interaction> {
    let kinds = InteractionKind::NAMED.into_iter().chain([InteractionKind::Custom("wishlist".to_owned())]);
    let kind = prop::sample::select(kinds.collect::<Vec<_>>());
    (kind, 0..n_items, prop::option::of(0.01..1000.0_f64))
        .prop_map(|(kind, n, price)| Interaction { price, ..act(kind, n) })
}

/// A time within three years.
pub(crate) fn times() -> impl Strategy<Value = Timestamp> {
    (1_400_000_000_000..1_500_000_000_000_i64).prop_map(Timestamp::from_millis)
}

/// Events of a few users with a few items, ascending in time.
pub(crate) fn histories() -> impl Strategy<Value = Vec<Event>> {
    let orders = prop::option::of(prop::sample::select(vec!["a", "b", "c"]));
    let one = (0..3_usize, interactions(6), orders, times()).prop_map(|(user, interaction, order, time)| {
        event(user, Interaction { order_id: order.map(str::to_owned), ..interaction }, time)
    });
    prop::collection::vec(one, 0..60).prop_map(|mut events| {
        events.sort_by_key(|event| event.timestamp);
        events
    })
}
