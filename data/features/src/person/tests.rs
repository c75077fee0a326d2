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

fn session(n: usize) -> SessionId {
    SessionId::try_new(format!("visit-{n}")).unwrap()
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
fn beyond_the_bounds_the_oldest_go_first() {
    let mut state = PersonState::default();
    for n in 0..MAX_ITEMS + 40 {
        state.apply(&act(InteractionKind::View, n), days(n as f64));
        state.add_alias(session(n), days(n as f64));
    }
    assert_eq!(
        (state.items.len(), state.recent.len(), state.aliases.len()),
        (MAX_ITEMS, MAX_RECENT, MAX_ALIASES)
    );
    assert_eq!(state.items[0].item, item(40).key());
    assert_eq!(state.recent[MAX_RECENT - 1].item, item(MAX_ITEMS + 39).key());
    assert_eq!(state.aliases[MAX_ALIASES - 1], session(MAX_ITEMS + 39));
    assert_eq!(state.n_events, (MAX_ITEMS + 40) as u64);
}

#[test]
fn an_unusable_price_does_not_poison_the_price_level() {
    let priced = |price| (Interaction { price: Some(price), ..act(InteractionKind::Purchase, 1) }, days(1.0));
    let state = folded(&[priced(0.0), priced(f64::INFINITY), priced(f64::NAN), priced(std::f64::consts::E)]);
    assert_eq!(state.n_priced, 1);
    assert!((state.log_price_sum - 1.0).abs() < 1e-12);
}

/// A person with everything that a state can hold.
fn states() -> impl Strategy<Value = PersonState> {
    let orders = prop::option::of(prop::sample::select(vec!["a", "b", "c", "d"]));
    let acts = prop::collection::vec((interactions(80), orders, times()), 0..120);
    let seen = prop::collection::vec((0..80_usize, times()), 0..50);
    (acts, seen, prop::collection::vec(0..30_usize, 0..20), any::<bool>()).prop_map(
        |(acts, seen, aliases, is_user)| {
            let mut state = PersonState { is_user, ..PersonState::default() };
            for (interaction, order, time) in acts {
                state.apply(&Interaction { order_id: order.map(str::to_owned), ..interaction }, time);
            }
            for (n, time) in seen {
                state.see(item(n).key(), &waggle_model::Placement::Home, time);
            }
            aliases.into_iter().for_each(|n| state.add_alias(session(n), days(1.0)));
            state
        },
    )
}

#[test]
fn fifty_items_with_an_order_each_fit_into_a_kilobyte_and_a_quarter_with_all_that_redis_adds() {
    let mut state = PersonState { is_user: true, ..PersonState::default() };
    for n in 0..50 {
        let bought = Interaction { price: Some(9.99), ..order_line(n, &format!("order-{n}")) };
        // Days apart at odd milliseconds: nothing about the times is short.
        state.apply(&bought, days(19_000.123_456_7 + 9.000_012_3 * n as f64));
    }
    let n_bytes = state.encode().len();
    println!("a person with 50 items in 50 orders: {n_bytes} bytes");
    assert!(n_bytes <= 1_150, "{n_bytes} bytes");
}

#[test]
fn bytes_of_another_version_or_cut_short_are_refused_with_the_reason() {
    let state = folded(&[(order_line(1, "a"), days(1.0)), (act(InteractionKind::View, 2), days(2.0))]);
    let whole = state.encode();
    for n_bytes in 1..whole.len() {
        assert!(PersonState::decode(&whole[..n_bytes]).is_err(), "cut after {n_bytes} bytes");
    }
    assert_eq!(PersonState::decode(&[]), Err(crate::StateDecodeError::Empty));
    let error = PersonState::decode(&[1, 2, 3]).unwrap_err();
    assert_eq!(error.to_string(), "state has version 1, this build reads 2");
}

/// A view, and a purchase of another item in a named order, as they were stored before impressions were counted.
const STORED_BEFORE: &str = "0206040280f0b25280b89929010000010180e0e5a401001f4e961e0211f276262d39bb30d880b89929014d2e9f7eed19881e1980b89929011f4e961e400210003300";

#[test]
fn who_was_shown_nothing_is_stored_as_before_and_what_was_stored_before_is_read() {
    let state = folded(&[(act(InteractionKind::View, 2), days(1.0)), (order_line(1, "a"), days(2.0))]);
    let bytes: Vec<u8> = (0..STORED_BEFORE.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&STORED_BEFORE[at..at + 2], 16).unwrap())
        .collect();
    assert_eq!(state.encode(), bytes);
    assert_eq!(PersonState::decode(&bytes).unwrap(), state);
}

#[test]
fn sixty_four_items_shown_take_less_than_a_kilobyte() {
    let mut state = PersonState::default();
    for n in 0..200 {
        state.see(item(n).key(), &waggle_model::Placement::Home, days(19_000.0 + n as f64 / 9.0));
    }
    let n_bytes = state.encode().len();
    println!("a person who was shown {MAX_SHOWN} items: {n_bytes} bytes");
    assert!(n_bytes <= 64 * 12 + 80, "{n_bytes} bytes");
}

#[test]
fn companions_are_the_last_few_items_of_half_an_hour() {
    let minute = |minute: f64| days(10.0 + minute / 1_440.0);
    let mut events = vec![(act(InteractionKind::View, 0), minute(0.0))];
    events.extend((1..=7).map(|n| (act(InteractionKind::Click, n), minute(20.0 + n as f64))));
    events.push((act(InteractionKind::Dislike, 8), minute(28.0)));
    events.push((act(InteractionKind::Click, 6), minute(29.0)));
    let state = folded(&events);
    let companions = |n, at| state.companions(item(n).key(), minute(at)).len();
    let keys: Vec<_> = [6, 7, 5, 4, 3].iter().map(|n| item(*n).key()).collect();
    assert_eq!(state.companions(item(9).key(), minute(29.5)), keys);
    assert_eq!(state.companions(item(7).key(), minute(29.5))[..2], [item(6).key(), item(5).key()]);
    assert_eq!((companions(9, 20.5), companions(9, 60.0), companions(0, 0.0)), (1, 0, 0));
}

proptest! {
    #[test]
    fn encoding_is_lossless(state in states()) {
        let bytes = state.encode();
        prop_assert_eq!(PersonSeen::decode(&bytes).unwrap(), PersonSeen::of(&state));
        prop_assert_eq!(PersonState::decode(&bytes).unwrap(), state);
    }

    #[test]
    fn any_bytes_give_a_state_or_an_error_but_no_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
        PersonState::decode(&[&[2][..], &body].concat()).ok();
        PersonSeen::decode(&[&[2][..], &body].concat()).ok();
    }

    #[test]
    fn a_flipped_byte_gives_a_state_or_an_error_but_no_panic(state in states(), place in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut bytes = state.encode();
        let place = place.index(bytes.len());
        bytes[place] = to;
        if let Ok(state) = PersonState::decode(&bytes) {
            prop_assert_eq!(PersonState::decode(&state.encode()).unwrap(), state);
        }
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
