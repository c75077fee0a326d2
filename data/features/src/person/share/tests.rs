use waggle_model::{InteractionKind, Placement};

use super::*;
use crate::{
    person::MAX_ITEMS,
    testing::{act, days, item},
};

fn clicks(person: &mut PersonState, n: usize, day: f64, times: usize) -> usize {
    (0..times).filter(|_| person.apply(&act(InteractionKind::Click, n), days(day)).counts).count()
}

#[test]
fn a_thousand_clicks_count_as_four_and_the_history_keeps_them_all() {
    let mut person = PersonState::default();
    assert_eq!(clicks(&mut person, 1, 10.0, 1_000), usize::from(DailyCaps::ATTENTION));
    assert_eq!((person.n_events, person.items[0].n_attention), (1_000, 1_000));
    assert_eq!(clicks(&mut person, 1, 11.0, 10), usize::from(DailyCaps::ATTENTION), "a new day, a new share");
    assert_eq!(
        clicks(&mut person, 2, 11.0, 10),
        usize::from(DailyCaps::ATTENTION),
        "another item, another share"
    );
}

#[test]
fn going_back_in_time_opens_no_new_share() {
    let mut person = PersonState::default();
    assert_eq!(clicks(&mut person, 1, 30.0, 10), 4);
    let late: usize = (0..30).rev().map(|day| clicks(&mut person, 1, f64::from(day), 10)).sum();
    assert_eq!(late, 0);
    assert_eq!(clicks(&mut person, 2, 3.0, 10), 4, "a late act draws on the newest day's share");
    assert_eq!(clicks(&mut person, 2, 30.5, 10), 0);
}

#[test]
fn cycling_over_more_items_than_a_history_holds_opens_no_new_share() {
    let mut person = PersonState::default();
    let mut of_first = 0;
    for round in 0..5 {
        for n in 0..MAX_ITEMS + 100 {
            let counted = clicks(&mut person, n, 10.0 + f64::from(round) / 100.0, 10);
            of_first += if n == 0 { counted } else { 0 };
        }
    }
    assert_eq!(of_first, usize::from(DailyCaps::ATTENTION));
    assert_eq!(person.today.n_counted, MAX_COUNTED_PER_DAY);
}

#[test]
fn late_acts_on_items_that_a_full_history_does_not_hold_count_nothing() {
    let mut person = PersonState::default();
    for n in 0..MAX_ITEMS {
        clicks(&mut person, n, 10.0 + n as f64, 1);
    }
    let late: usize =
        (0..50).map(|_| clicks(&mut person, 1_000, 200.5, 1) + clicks(&mut person, 1_001, 200.6, 1)).sum();
    assert_eq!(late, 0);
    assert_eq!(person.n_events, MAX_ITEMS as u64 + 100);
}

#[test]
fn the_share_is_kept_where_the_state_is() {
    let mut person = PersonState::default();
    clicks(&mut person, 1, 10.0, 3);
    let mut loaded = PersonState::decode(&person.encode()).unwrap();
    assert_eq!(clicks(&mut loaded, 1, 10.0, 10), 1);
}

#[test]
fn seeing_the_same_thing_in_the_same_place_again_counts_once() {
    let (mut person, time) = (PersonState::default(), days(10.0));
    let see =
        |person: &mut PersonState, n: usize, placement, time| person.see(item(n).key(), placement, time);
    assert!(see(&mut person, 1, &Placement::Home, time));
    assert!(!see(&mut person, 1, &Placement::Home, time));
    assert!(see(&mut person, 1, &Placement::Cart, time), "another place");
    assert!(see(&mut person, 1, &Placement::Home, days(11.0)), "another day");
    let n_counted =
        (0..100_000).filter(|n| see(&mut person, n % 1_000, &Placement::Home, days(11.5))).count();
    assert_eq!(n_counted, usize::from(MAX_SEEN_PER_DAY) - 1);
    assert_eq!(person.n_events, 0, "seeing is no act");
}
