use std::collections::HashSet;

use proptest::prelude::*;
use waggle_model::{
    AnswerId, Impression, Interaction, InteractionKind, Person, Placement, SessionId, Timestamp, UserId,
    event::SeenItem,
};

use super::*;
use crate::{
    MemoryStates,
    item::{Counter, PlacementCounter},
    testing::{act, days, event, histories, item, order_line},
};

fn replay(events: &[Event]) -> MemoryStates {
    let mut states = MemoryStates::default();
    for event in events {
        fold(event, &mut states);
    }
    states
}

fn with_body(person: Person, body: EventBody) -> Event {
    Event { person, body, ..event(0, act(InteractionKind::View, 0), days(1.0)) }
}

fn both() -> Person {
    Person {
        user_id: Some(UserId::try_new("user-0").unwrap()),
        session_id: Some(SessionId::try_new("visit").unwrap()),
    }
}

#[test]
fn a_merge_adds_the_session_to_the_users_aliases() {
    let states = replay(&[with_body(both(), EventBody::Merge)]);
    let user = both().user_id.unwrap().key();
    assert_eq!(states.people[&user].aliases, [both().session_id.unwrap()]);
}

#[test]
fn an_erasure_forgets_the_person_and_keeps_the_items_counters() {
    let states =
        replay(&[event(0, act(InteractionKind::View, 1), days(1.0)), with_body(both(), EventBody::Erasure)]);
    assert!(states.people.is_empty());
    assert_eq!(states.items[&item(1).key()].n_events, 1);
}

#[test]
fn re_buys_are_counted_per_order_and_not_per_line() {
    let states = replay(&[
        event(0, order_line(1, "a"), days(1.0)),
        event(0, order_line(1, "a"), days(1.0)),
        event(1, order_line(1, "b"), days(2.0)),
        event(0, order_line(1, "c"), days(3.0)),
    ]);
    let counters = &states.items[&item(1).key()];
    assert_eq!((counters.n_orders, counters.n_buyers), (3, 2));
    assert!((counters.rebuy_rate() - 2.0 / 8.0).abs() < 1e-12);
}

#[test]
fn an_interaction_of_nobody_touches_and_changes_nothing() {
    let interaction = EventBody::Interaction(Interaction::new(InteractionKind::View, item(1)));
    let nobodys = with_body(Person::default(), interaction);
    assert_eq!(touched_person(&nobodys), None);
    assert_eq!(replay(&[nobodys]), MemoryStates::default());
}

#[test]
fn acts_on_two_items_within_half_an_hour_make_them_neighbours_once_a_day() {
    let minute = |minute: f64| days(10.0 + minute / 1_440.0);
    let mut states = MemoryStates::default();
    for round in 0..50 {
        for (n, at) in [(1, 0.0), (2, 5.0)] {
            fold(
                &event(0, act(InteractionKind::Click, n), minute(at + 0.01 * f64::from(round))),
                &mut states,
            );
        }
    }
    fold(&event(0, act(InteractionKind::Click, 3), minute(60.0)), &mut states);
    let neighbours = |n| states.items[&item(n).key()].co_visits.best();
    let (first, second) = (neighbours(1), neighbours(2));
    assert_eq!((first[0].0, second[0].0), (item(2).key(), item(1).key()));
    assert!(first[0].1 <= 1.01 && second[0].1 <= 1.01, "{first:?} {second:?}");
    assert!(neighbours(3).is_empty());
}

#[test]
fn what_was_seen_and_clicked_is_counted_where_it_happened() {
    let answer_id = AnswerId::try_new("a").unwrap();
    let seen = |placement: Option<Placement>| {
        let items = (0..3).map(|n| SeenItem { item_id: item(n), position: 1 }).collect();
        let body = EventBody::Impression(Impression { answer_id: answer_id.clone(), items, placement });
        with_body(Person::session(SessionId::try_new("visit").unwrap()), body)
    };
    let click = Interaction { placement: Some(Placement::Home), ..act(InteractionKind::Click, 1) };
    let states = replay(&[
        seen(Some(Placement::Home)),
        seen(Some(Placement::Home)),
        event(0, click, days(1.0)),
        seen(None),
    ]);
    let count =
        |n, counter| states.items[&item(n).key()].placements.count(&Placement::Home, counter, days(1.0));
    assert!((count(1, PlacementCounter::Seen) - 1.0).abs() < 1e-12, "the same person saw it twice");
    assert!((count(1, PlacementCounter::Click) - 1.0).abs() < 1e-12);
    assert!((count(2, PlacementCounter::Seen) - 1.0).abs() < 1e-12);
    assert_eq!(states.items[&item(2).key()].n_events, 0);
    let visitor = &states.people[&Person::session(SessionId::try_new("visit").unwrap()).key().unwrap()];
    let shown: Vec<f32> = visitor.shown.more_often_than(0.0, days(1.0)).map(|(_, times)| times).collect();
    assert_eq!(shown, [2.0; 3], "for the visitor each time counts, where it happened is known");
}

#[test]
fn an_event_far_late_or_from_the_future_has_its_stated_outcome() {
    let purchase = |user, day| event(user, act(InteractionKind::Purchase, 1), days(day));
    let states = replay(&[purchase(0, 100.0), purchase(1, 60.0)]);
    let counters = &states.items[&item(1).key()];
    let week = counters.count(Counter::Purchase, 1, days(100.0));
    assert!((week - 1.0 - (-40.0_f64 / 7.0).exp2()).abs() < 1e-9, "late: with its own decay");
    assert_eq!(counters.window.count(Counter::Purchase, 8, days(60.0)), 0, "its day is not kept");

    let states = replay(&[purchase(0, 100.0), purchase(1, 800.0), purchase(2, 100.0)]);
    let counters = &states.items[&item(1).key()];
    assert!(
        (counters.count(Counter::Purchase, 1, days(100.0)) - 1.0).abs() < 1e-9,
        "all the rest is long ago"
    );
    assert_eq!(counters.window.count(Counter::Purchase, 8, days(100.0)), 0);
    assert_eq!((counters.n_events, counters.last_seen), (3, days(800.0)));
}

#[test]
fn a_record_from_the_future_spoils_what_it_touches_until_its_time_has_come_and_nothing_else() {
    let today = [
        event(1, act(InteractionKind::Purchase, 1), days(0.0)),
        event(1, act(InteractionKind::Purchase, 2), days(0.1)),
    ];
    let future = event(2, act(InteractionKind::Purchase, 1), days(365.0));
    let clean = replay(&today);
    let spoilt = replay(&[future, today[0].clone(), today[1].clone()]);
    assert_eq!(spoilt.people[&today[0].person.key().unwrap()], clean.people[&today[0].person.key().unwrap()]);
    let states = |states: &MemoryStates, n| states.items[&item(n).key()].clone();
    assert_eq!(states(&spoilt, 2), states(&clean, 2));
    // Today's purchase of the touched item counts for next to nothing, the one to come in full, and from then on it decays.
    let purchases = |time| states(&spoilt, 1).count(Counter::Purchase, 0, time);
    assert!((purchases(days(0.0)) - 1.0).abs() < 1e-9 && (purchases(days(365.0)) - 1.0).abs() < 1e-9);
    assert!((purchases(days(366.0)) - 0.5).abs() < 1e-9);
    assert_eq!(states(&spoilt, 1).n_events, 2, "totals are exact");
}

proptest! {
    #[test]
    fn a_replay_gives_the_same_bytes(events in histories()) {
        let (first, second) = (replay(&events), replay(&events));
        for (key, person) in &first.people {
            prop_assert_eq!(person.encode(), second.people[key].encode());
        }
        for (key, counters) in &first.items {
            prop_assert_eq!(counters.encode(), second.items[key].encode());
        }
    }

    #[test]
    fn stopping_to_store_and_load_between_any_two_events_changes_nothing(events in histories(), cut in 0..60_usize) {
        let (before, after) = events.split_at(cut.min(events.len()));
        let mut states = replay(before);
        for person in states.people.values_mut() {
            *person = PersonState::decode(&person.encode()).unwrap();
        }
        for counters in states.items.values_mut() {
            *counters = ItemState::decode(&counters.encode()).unwrap();
        }
        for event in after {
            fold(event, &mut states);
        }
        prop_assert_eq!(states, replay(&events));
    }

    /// A state that cannot be read ends the fold of its partition, so no event that the log lets in may make one.
    #[test]
    fn whatever_the_times_are_the_states_read_back(
        events in histories(),
        millis in prop::collection::vec(-62_167_219_200_000..253_402_300_800_000_i64, 60),
    ) {
        let times = millis.into_iter().map(Timestamp::from_millis);
        let events: Vec<Event> =
            events.into_iter().zip(times).map(|(event, timestamp)| Event { timestamp, ..event }).collect();
        let states = replay(&events);
        for person in states.people.values() {
            prop_assert_eq!(&PersonState::decode(&person.encode()).unwrap(), person);
        }
        for counters in states.items.values() {
            prop_assert_eq!(&ItemState::decode(&counters.encode()).unwrap(), counters);
        }
    }

    #[test]
    fn fold_changes_only_what_it_says_it_touches(events in histories(), cut in 0..60_usize) {
        // The items are named from the people as they were at the cut, as a batch does.
        let (before, batch) = events.split_at(cut.min(events.len()));
        let mut states = replay(before);
        let (people, items): (HashSet<_>, HashSet<_>) = {
            let mut items = Vec::new();
            for event in batch {
                touched_items(event, touched_person(event).and_then(|key| states.people.get(&key)), &mut items);
            }
            (batch.iter().filter_map(touched_person).collect(), items.into_iter().collect())
        };
        let untouched = states.clone();
        batch.iter().for_each(|event| fold(event, &mut states));
        for (key, person) in &states.people {
            prop_assert!(people.contains(key) || untouched.people.get(key) == Some(person));
        }
        for (key, counters) in &states.items {
            prop_assert!(items.contains(key) || untouched.items.get(key) == Some(counters));
        }
    }

    #[test]
    fn partials_of_two_partitions_add_up_to_one_state(events in histories(), now in crate::testing::times()) {
        let (even, odd): (Vec<Event>, Vec<Event>) =
            events.iter().cloned().partition(|event| event.person.key().unwrap().0 % 2 == 0);
        let (even, odd, all) = (replay(&even), replay(&odd), replay(&events));
        let empty = ItemState::default();
        for (key, whole) in &all.items {
            let sum = even.items.get(key).unwrap_or(&empty).merged(odd.items.get(key).unwrap_or(&empty));
            prop_assert_eq!((sum.n_events, sum.n_orders, sum.n_buyers), (whole.n_events, whole.n_orders, whole.n_buyers));
            prop_assert_eq!((sum.first_seen, sum.last_seen), (whole.first_seen, whole.last_seen));
            for half_life in 0..3 {
                let (a, b) = (sum.demand(half_life, now), whole.demand(half_life, now));
                prop_assert!((a - b).abs() < 1e-6, "{a} against {b}");
            }
        }
    }
}
