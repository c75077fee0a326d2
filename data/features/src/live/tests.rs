use waggle_model::InteractionKind;

use super::*;
use crate::testing::{act, days, item};

fn bought(n_times: usize, at: Timestamp) -> ItemState {
    let mut state = ItemState::default();
    for _ in 0..n_times {
        state.apply(&act(InteractionKind::Purchase, 0), at);
    }
    state
}

#[test]
fn a_rush_of_today_beats_more_sales_of_last_week() {
    let (today, last_week) = (bought(10, days(99.9)), bought(20, days(93.0)));
    let lists = LiveLists::compute(
        [(item(1).key(), &last_week, Some(days(0.0))), (item(2).key(), &today, Some(days(0.0)))],
        days(100.0),
    );
    assert_eq!(
        lists.trending.iter().map(|(key, _)| *key).collect::<Vec<_>>(),
        [item(2).key(), item(1).key()]
    );
    assert!(lists.new.is_empty());
}

#[test]
fn new_goes_by_the_catalogue_and_else_by_the_first_event() {
    let (none, old, young) = (ItemState::default(), bought(1, days(20.0)), bought(1, days(95.0)));
    let lists = LiveLists::compute(
        [
            (item(1).key(), &none, Some(days(99.0))),
            (item(2).key(), &old, None),
            (item(3).key(), &young, None),
            (item(4).key(), &none, Some(days(101.0))),
            (item(5).key(), &none, None),
        ],
        days(100.0),
    );
    let new: Vec<_> = lists.new.iter().map(|(key, _)| *key).collect();
    assert_eq!(new, [item(3).key(), item(1).key()]);
}

#[test]
fn lists_keep_the_best_whatever_order_the_items_come_in() {
    let states: Vec<ItemState> = (0..MAX_LIVE + 50).map(|n| bought(1 + n % 7, days(99.0))).collect();
    let entries: Vec<_> = states.iter().enumerate().map(|(n, state)| (item(n).key(), state, None)).collect();
    let forwards = LiveLists::compute(entries.iter().copied(), days(100.0));
    let backwards = LiveLists::compute(entries.iter().rev().copied(), days(100.0));
    assert_eq!(forwards, backwards);
    assert_eq!(forwards.trending.len(), MAX_LIVE);
    assert!(forwards.trending.is_sorted_by(|a, b| a.1 >= b.1));
}
