use proptest::prelude::*;
use waggle_model::{Interaction, InteractionKind, Person, SessionId, UserId};

use super::*;
use crate::testing::{Memory, act, days, event, histories, item, order_line};

fn replay(events: &[Event]) -> Memory {
    let mut states = Memory::default();
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
    assert_eq!(states.people[&user].aliases, [both().session_id.unwrap().key()]);
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
    assert!(touched(&nobodys).is_empty());
    assert_eq!(replay(&[nobodys]), Memory::default());
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

    #[test]
    fn fold_changes_only_what_it_says_it_touches(events in histories()) {
        let states = replay(&events);
        let refs: std::collections::HashSet<StateRef> = events.iter().flat_map(touched).collect();
        prop_assert!(states.people.keys().all(|key| refs.contains(&StateRef::Person(*key))));
        prop_assert!(states.items.keys().all(|key| refs.contains(&StateRef::Item(*key))));
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
