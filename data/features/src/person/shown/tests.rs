use std::collections::HashSet;

use proptest::prelude::*;
use waggle_model::{InteractionKind, Placement};

use super::*;
use crate::{
    PersonState,
    testing::{act, days, item},
};

fn key(n: usize) -> ItemKey {
    item(n).key()
}

/// Items by number, each shown on a day.
fn shown(impressions: &[(usize, f64)]) -> ShownItems {
    let mut items = ShownItems::default();
    impressions.iter().for_each(|(n, day)| items.add(key(*n), days(*day)));
    items
}

/// How often an item was shown as of a day, in 64ths.
fn count(items: &ShownItems, n: usize, day: f64) -> u16 {
    let found = items.0.iter().find(|shown| shown.item == key(n));
    found.map_or(0, |shown| shown.as_of(day_of(days(day))))
}

fn times(items: &ShownItems, n: usize, day: f64) -> f32 {
    let found = items.more_often_than(0.0, days(day)).find(|(item, _)| *item == key(n));
    found.map_or(0.0, |(_, times)| times)
}

#[track_caller]
fn check(items: &ShownItems, n: usize, day: f64, expected: f32) {
    let got = times(items, n, day);
    // A 64th is lost at each decay at most.
    assert!((got - expected).abs() <= 0.05, "{got} times instead of {expected}");
}

#[test]
fn impressions_of_a_day_are_counted_exactly_and_halved_every_third_day() {
    let items = shown(&[(1, 10.1), (1, 10.2), (2, 10.2), (1, 10.9)]);
    assert_eq!((count(&items, 1, 10.99), count(&items, 2, 10.0)), (3 * ONE, ONE));
    check(&items, 1, 10.5, 3.0);
    assert_eq!((count(&items, 1, 13.0), count(&items, 1, 16.0)), (ONE + ONE / 2, ONE / 2 + ONE / 4));
    check(&items, 1, 11.0, 3.0 * (-1.0_f32 / 3.0).exp2());
    check(&items, 1, 12.0, 3.0 * (-2.0_f32 / 3.0).exp2());
    check(&items, 1, 200.0, 0.0);
    assert_eq!(count(&items, 1, f64::from(u32::MAX)), 0);
    assert_eq!(items.more_often_than(1.0, days(10.0)).map(|(item, _)| item).collect::<Vec<_>>(), [key(1)]);
}

#[test]
fn a_late_impression_counts_with_its_own_decay() {
    let (in_order, late) = (shown(&[(1, 10.0), (1, 13.0)]), shown(&[(1, 13.0), (1, 10.0)]));
    assert_eq!([&in_order, &late].map(|items| count(items, 1, 13.0)), [ONE + ONE / 2; 2]);
}

#[test]
fn who_sees_an_item_daily_has_seen_it_about_five_times() {
    let items = shown(&(0..60).map(|day| (1, f64::from(day))).collect::<Vec<_>>());
    check(&items, 1, 59.0, 1.0 / (1.0 - (-1.0_f32 / 3.0).exp2()) - 0.1);
}

#[test]
fn what_was_shown_once_makes_room_before_what_was_shown_again() {
    let mut items = shown(&[(0, 1.0), (0, 1.0)]);
    for n in 1..=MAX_SHOWN {
        items.add(key(n), days(1.0));
    }
    assert_eq!(items.0.len(), MAX_SHOWN);
    assert_eq!([0, 1, 2, MAX_SHOWN].map(|n| count(&items, n, 1.0)), [2 * ONE, 0, ONE, ONE]);
    // Where all were shown again, the one shown longest ago goes, and never the newest.
    let mut items = shown(&(0..2 * MAX_SHOWN).map(|n| (n / 2, 1.0)).collect::<Vec<_>>());
    items.add(key(1_000), days(1.0));
    assert_eq!([0, 1, 1_000].map(|n| count(&items, n, 1.0)), [0, 2 * ONE, ONE]);
}

#[test]
fn an_act_of_any_kind_starts_the_count_anew() {
    let mut state = PersonState::default();
    let see = |state: &mut PersonState, n: usize| {
        state.see(key(n), &Placement::Home, days(5.0));
    };
    for _ in 0..40 {
        see(&mut state, 1);
        see(&mut state, 2);
    }
    assert_eq!(
        count(&state.shown, 1, 5.0),
        40 * ONE,
        "each counts for the person, whatever counts for the item"
    );
    for kind in [InteractionKind::Click, InteractionKind::View, InteractionKind::Dislike] {
        state.apply(&act(kind, 1), days(5.0));
        assert_eq!([1, 2].map(|n| count(&state.shown, n, 5.0)), [0, 40 * ONE]);
        see(&mut state, 1);
        assert_eq!(count(&state.shown, 1, 5.0), ONE);
    }
}

#[test]
fn the_fingerprint_changes_with_what_was_shown_too_often_and_with_nothing_else() {
    let base = shown(&[(1, 1.0), (1, 1.0), (1, 1.0), (2, 1.0)]);
    let with = |n: usize| {
        let mut items = base.clone();
        items.add(key(n), days(1.0));
        items.fingerprint(2.0)
    };
    assert_ne!(base.fingerprint(2.0), 0);
    assert_eq!((with(2), with(3)), (base.fingerprint(2.0), base.fingerprint(2.0)));
    assert_ne!(with(1), base.fingerprint(2.0));
    assert_eq!(base.fingerprint(3.0), ShownItems::default().fingerprint(3.0));
}

#[test]
fn a_person_and_their_session_have_seen_what_both_have() {
    let (user, session) = (shown(&[(1, 10.0), (2, 10.0)]), shown(&[(1, 13.0), (3, 9.0)]));
    let united = user.united_with(&session);
    assert_eq!(
        [1, 2, 3].map(|n| count(&united, n, 13.0)),
        [ONE + ONE / 2, ONE / 2, count(&session, 3, 13.0)]
    );
    let many = |from: usize| shown(&(from..from + 50).map(|n| (n, 1.0)).collect::<Vec<_>>());
    assert_eq!(many(0).united_with(&many(50)).0.len(), MAX_SHOWN);
}

proptest! {
    #[test]
    fn any_order_gives_nearly_the_same_counts(impressions in prop::collection::vec((0..8_usize, 0.0..30.0_f64), 0..60)) {
        let forwards = shown(&impressions);
        let backwards = shown(&impressions.iter().rev().copied().collect::<Vec<_>>());
        for n in 0..8 {
            let (a, b) = (times(&forwards, n, 30.0), times(&backwards, n, 30.0));
            prop_assert!((a - b).abs() <= 0.02 * impressions.len() as f32, "{} {}", a, b);
        }
    }

    #[test]
    fn counts_stay_within_bounds(impressions in prop::collection::vec((0..200_usize, -1e9..1e9_f64), 0..300)) {
        let items = shown(&impressions);
        prop_assert!(items.0.len() <= MAX_SHOWN);
        let newest = impressions.last().map(|(n, _)| key(*n));
        prop_assert_eq!(items.0.last().map(|one| one.item), newest);
        let distinct: HashSet<ItemKey> = items.0.iter().map(|one| one.item).collect();
        prop_assert_eq!(distinct.len(), items.0.len());
    }
}
