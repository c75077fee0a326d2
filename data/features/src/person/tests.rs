use proptest::prelude::*;

use super::*;
use crate::testing::{act, days, interactions, item, order_line, own_kind, times};

fn folded(events: &[(Interaction, Timestamp)]) -> PersonState {
    let mut state = PersonState::default();
    for (interaction, time) in events {
        state.apply(interaction, *time);
    }
    state
}

#[test]
fn lines_of_one_order_count_once() {
    let state = folded(&[
        (order_line(1, "a"), days(1.0)),
        (order_line(1, "a"), days(1.0)),
        (order_line(2, "a"), days(1.0)),
    ]);
    assert_eq!((state.n_purchases, state.n_orders), (3, 1));
    assert_eq!(state.item(item(1).key()).unwrap().n_purchases, 1);
}

#[test]
fn the_two_newest_orders_are_known_whatever_comes_late() {
    let state = folded(&[
        (order_line(1, "a"), days(1.0)),
        (order_line(1, "c"), days(9.0)),
        (order_line(1, "b"), days(5.0)),
    ]);
    assert_eq!((state.last_order_at, state.previous_order_at, state.n_orders), (days(9.0), days(5.0), 3));
}

#[test]
fn a_cancelled_purchase_takes_one_order_back() {
    let state = folded(&[
        (order_line(1, "a"), days(1.0)),
        (order_line(1, "b"), days(2.0)),
        (act(InteractionKind::PurchaseCancelled, 1), days(3.0)),
    ]);
    assert_eq!(state.item(item(1).key()).unwrap().n_purchases, 1);
}

#[test]
fn the_newest_verdict_decides_and_a_late_one_does_not() {
    let liked_again =
        [(act(InteractionKind::Dislike, 1), days(2.0)), (act(InteractionKind::Like, 1), days(3.0))];
    assert!(!folded(&liked_again).items[0].is_rejected);
    let late = [(act(InteractionKind::Like, 1), days(3.0)), (act(InteractionKind::Dislike, 1), days(2.0))];
    assert!(!folded(&late).items[0].is_rejected);
    let rejected = folded(&[(act(InteractionKind::Dismiss, 1), days(2.0))]);
    assert!(rejected.items[0].strength().abs() < 1e-9);
}

#[test]
fn an_own_kind_binds_as_much_as_what_it_counts_as() {
    let strength = |interaction| folded(&[(interaction, days(1.0))]).items[0].strength();
    let close = |a: f32, b: f32| assert!((a - b).abs() < 1e-6, "{a} is not {b}");
    close(strength(own_kind(1, CountsAs::Cart, 1.0)), strength(act(InteractionKind::Cart, 1)));
    close(strength(own_kind(1, CountsAs::Purchase, 1.0)), strength(act(InteractionKind::Purchase, 1)));
    close(strength(own_kind(1, CountsAs::Attention, 1.0)), strength(act(InteractionKind::View, 1)));
    close(strength(own_kind(1, CountsAs::Purchase, 100.0)), 2.0);
    close(strength(act(InteractionKind::Custom("wishlist".to_owned()), 1)), 0.0);
}

#[test]
fn an_own_kind_that_counts_as_negative_rejects_the_item_and_is_no_order() {
    let no = (own_kind(1, CountsAs::Negative, 1.0), days(2.0));
    let state = folded(&[(act(InteractionKind::Purchase, 1), days(1.0)), no]);
    assert!(state.items[0].is_rejected && state.recent[1].kind.is_negative());
    let bought = folded(&[(own_kind(1, CountsAs::Purchase, 1.0), days(1.0))]);
    assert_eq!((bought.n_orders, bought.n_purchases), (0, 0));
}

#[test]
fn a_history_stored_before_own_kinds_counted_still_loads() {
    let state = folded(&[(act(InteractionKind::Purchase, 1), days(1.0))]);
    let entry = rmp_serde::to_vec(&state.items[0]).unwrap();
    assert_eq!(entry[0], 0x99, "nine fields, as before");
    assert_eq!(rmp_serde::from_slice::<ItemHistory>(&entry).unwrap(), state.items[0]);
}

#[test]
fn beyond_the_bounds_the_oldest_go_first() {
    let mut state = PersonState::default();
    for n in 0..MAX_ITEMS + 40 {
        state.apply(&act(InteractionKind::View, n), days(n as f64));
        state.add_alias(PersonKey(n as u64));
    }
    assert_eq!(
        (state.items.len(), state.recent.len(), state.aliases.len()),
        (MAX_ITEMS, MAX_RECENT, MAX_ALIASES)
    );
    assert_eq!(state.items[0].item, item(40).key());
    assert_eq!(state.recent[MAX_RECENT - 1].item, item(MAX_ITEMS + 39).key());
    assert_eq!(state.aliases[MAX_ALIASES - 1], PersonKey((MAX_ITEMS + 39) as u64));
    assert_eq!(state.n_events, (MAX_ITEMS + 40) as u64);
}

#[test]
fn an_unusable_price_does_not_poison_the_price_level() {
    let priced = |price| (Interaction { price: Some(price), ..act(InteractionKind::Purchase, 1) }, days(1.0));
    let state = folded(&[priced(0.0), priced(f64::INFINITY), priced(f64::NAN), priced(std::f64::consts::E)]);
    assert_eq!(state.n_priced, 1);
    assert!((state.log_price_sum - 1.0).abs() < 1e-12);
}

proptest! {
    #[test]
    fn encoding_is_lossless(events in prop::collection::vec((interactions(8), times()), 0..80)) {
        let state = folded(&events);
        prop_assert_eq!(PersonState::decode(&state.encode()).unwrap(), state);
    }

    #[test]
    fn counters_do_not_depend_on_the_order_of_events(events in prop::collection::vec((interactions(8), times()), 0..60)) {
        // Cancellations stop at zero and so remember the order; they are kept out.
        let events: Vec<_> =
            events.into_iter().filter(|(i, _)| i.kind != InteractionKind::PurchaseCancelled).collect();
        let backwards: Vec<_> = events.iter().rev().cloned().collect();
        let (a, b) = (folded(&events), folded(&backwards));
        prop_assert_eq!((a.n_events, a.n_purchases, a.n_orders, a.n_priced), (b.n_events, b.n_purchases, b.n_orders, b.n_priced));
        prop_assert_eq!((a.first_seen, a.last_seen, a.last_order_at), (b.first_seen, b.last_seen, b.last_order_at));
        prop_assert!((a.log_price_sum - b.log_price_sum).abs() < 1e-6);
        for entry in &a.items {
            let other = b.item(entry.item).unwrap();
            prop_assert_eq!(
                (entry.first, entry.last, entry.n_attention, entry.n_carts, entry.n_purchases, entry.last_purchase),
                (other.first, other.last, other.n_attention, other.n_carts, other.n_purchases, other.last_purchase)
            );
        }
    }

    #[test]
    fn lists_stay_in_order_of_time_and_within_bounds(events in prop::collection::vec((interactions(300), times()), 0..400)) {
        let state = folded(&events);
        prop_assert!(state.items.is_sorted_by_key(|entry| entry.last));
        prop_assert!(state.recent.is_sorted_by_key(|event| event.time));
        prop_assert!(state.items.len() <= MAX_ITEMS && state.recent.len() <= MAX_RECENT);
    }

    #[test]
    fn a_user_united_with_a_session_equals_one_person(
        events in prop::collection::vec((interactions(8), times(), any::<bool>()), 0..60),
    ) {
        let of = |session: bool| -> Vec<_> {
            events.iter().filter(|e| e.2 == session).map(|e| (e.0.clone(), e.1)).collect()
        };
        let all: Vec<_> = events.iter().map(|e| (e.0.clone(), e.1)).collect();
        let all: Vec<_> = all.into_iter().filter(|(i, _)| i.kind != InteractionKind::PurchaseCancelled).collect();
        let without = |list: Vec<(Interaction, Timestamp)>| -> Vec<_> {
            list.into_iter().filter(|(i, _)| i.kind != InteractionKind::PurchaseCancelled).collect()
        };
        let united = folded(&without(of(false))).united_with(&folded(&without(of(true))));
        let whole = folded(&all);
        prop_assert_eq!((united.n_events, united.n_orders, united.n_purchases), (whole.n_events, whole.n_orders, whole.n_purchases));
        prop_assert_eq!((united.first_seen, united.last_seen), (whole.first_seen, whole.last_seen));
        prop_assert_eq!(united.last_order_at, whole.last_order_at);
        for entry in &whole.items {
            let other = united.item(entry.item).unwrap();
            prop_assert_eq!((entry.n_attention, entry.n_carts, entry.n_purchases), (other.n_attention, other.n_carts, other.n_purchases));
        }
    }
}
