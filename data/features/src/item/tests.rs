use proptest::prelude::*;

use super::*;
use crate::{
    StateDecodeError,
    testing::{act, days, interactions, item, own_kind, times},
};

fn counted(kinds: &[InteractionKind]) -> ItemState {
    let mut state = ItemState::default();
    for kind in kinds {
        state.apply(&act(kind.clone(), 1), days(100.0));
    }
    state
}

#[test]
fn demand_weighs_purchases_carts_and_attention_and_is_never_negative() {
    use InteractionKind::{Cart, Click, Dislike, Purchase, View};
    let demand = |kinds: &[InteractionKind]| counted(kinds).demand(0, days(100.0));
    assert!((demand(&[Purchase, Cart, View, Click]) - 1.7).abs() < 1e-12);
    assert!((demand(&[Purchase, Dislike]) - 0.0).abs() < 1e-12);
    assert!((demand(&[Dislike, Dislike]) - 0.0).abs() < 1e-12);
}

#[test]
fn a_custom_kind_is_an_event_without_a_counter() {
    let state = counted(&[InteractionKind::Custom("wishlist".to_owned())]);
    assert_eq!(state.n_events, 1);
    assert!(state.demand(2, days(100.0)).abs() < 1e-12);
}

#[test]
fn a_configured_kind_moves_the_counter_it_counts_as_by_its_weight() {
    let check = |counts_as, weight, expected: Counter| {
        let mut state = ItemState::default();
        state.apply(&own_kind(1, counts_as, weight), days(100.0));
        for counter in [Counter::Attention, Counter::Cart, Counter::Purchase, Counter::Negative] {
            let wanted = if counter == expected { weight } else { 0.0 };
            assert!((state.count(counter, 0, days(100.0)) - wanted).abs() < 1e-12, "{counter:?}");
        }
    };
    check(CountsAs::Attention, 0.1, Counter::Attention);
    check(CountsAs::Cart, 0.5, Counter::Cart);
    check(CountsAs::Purchase, 3.0, Counter::Purchase);
    check(CountsAs::Negative, 1.0, Counter::Negative);
}

#[test]
fn bytes_that_are_no_state_are_refused_with_the_reason() {
    assert_eq!(ItemState::decode(&[]), Err(StateDecodeError::Empty));
    assert_eq!(ItemState::decode(&[9, 1]), Err(StateDecodeError::Version { got: 9, expected: 2 }));
    let whole = counted(&[InteractionKind::Purchase]).encode();
    for n_bytes in 1..whole.len() {
        assert!(ItemState::decode(&whole[..n_bytes]).is_err(), "cut after {n_bytes} bytes");
    }
    let longer = [&whole[..], &[0]].concat();
    assert_eq!(ItemState::decode(&longer), Err(StateDecodeError::Malformed("it goes on behind its end")));
}

#[test]
fn days_are_counted_exactly_while_they_are_kept() {
    let mut state = ItemState::default();
    for (day, n) in [(10.2, 2), (9.9, 1), (3.1, 4), (2.9, 8)] {
        (0..n).for_each(|_| state.apply(&act(InteractionKind::Purchase, 1), days(day)));
    }
    let count = |n_days, now| state.window.count(Counter::Purchase, n_days, days(now));
    assert_eq!((count(1, 10.9), count(2, 10.0), count(7, 10.5), count(8, 10.5)), (2, 3, 3, 7));
    assert_eq!(
        (count(1, 11.0), count(8, 30.0)),
        (0, 0),
        "the day of the question counts, not that of the newest event"
    );
    assert!((state.demand_in_days(2, days(10.5)) - 3.0).abs() < 1e-12);
}

#[test]
fn a_placement_without_evidence_has_the_priors_rates_and_evidence_moves_them() {
    let (home, now) = (Placement::Home, days(100.0));
    let mut state = ItemState::default();
    let rate = |state: &ItemState, counter| state.placements.rate(&home, counter, now);
    assert!((rate(&state, PlacementCounter::Click) - 0.05).abs() < 1e-12);
    (0..60).for_each(|_| state.see(&home, now));
    let click = Interaction { placement: Some(Placement::Home), ..act(InteractionKind::Click, 1) };
    (0..9).for_each(|_| state.apply(&click, now));
    assert!((rate(&state, PlacementCounter::Click) - 10.0 / 80.0).abs() < 1e-12);
    assert!((state.placements.rate(&Placement::Cart, PlacementCounter::Click, now) - 0.05).abs() < 1e-12);
    (0..900).for_each(|_| state.apply(&click, now));
    assert!((rate(&state, PlacementCounter::Click) - 1.0).abs() < 1e-12, "clicks without impressions");
}

#[test]
fn made_up_placements_displace_each_other_and_not_the_real_ones() {
    let mut state = ItemState::default();
    (0..3).for_each(|_| state.see(&Placement::Home, days(1.0)));
    for n in 0..100 {
        state.see(&Placement::Custom(format!("x{n}")), days(1.0));
    }
    let seen = |placement| state.placements.count(&placement, PlacementCounter::Seen, days(1.0));
    assert!((seen(Placement::Home) - 3.0).abs() < 1e-12);
    assert_eq!(
        (0..100).filter(|n| seen(Placement::Custom(format!("x{n}"))) > 0.0).count(),
        MAX_PLACEMENTS - 1
    );
}

#[test]
fn what_often_goes_together_outlasts_a_crowd_of_chance_neighbours() {
    let mut state = ItemState::default();
    for n in 0..1_000 {
        state.co_visit(item(n).key(), days(n as f64 / 1e3));
        if n % 10 == 0 {
            state.co_visit(item(5_000).key(), days(n as f64 / 1e3));
        }
    }
    let best = state.co_visits.best();
    assert_eq!((best.len(), best[0].0), (MAX_CO_VISITS, item(5_000).key()));
    assert!(best[0].1 > 90.0);
}

/// Anything that can happen to an item.
fn touches() -> impl Strategy<Value = Vec<(u8, usize, Interaction, Timestamp)>> {
    prop::collection::vec((0..4_u8, 0..40_usize, interactions(1), times()), 0..60)
}

fn touched(touches: &[(u8, usize, Interaction, Timestamp)]) -> ItemState {
    let mut state = ItemState::default();
    for (what, n, interaction, time) in touches {
        let placement = Placement::Custom(format!("x{}", n % 10));
        match what {
            0 => state.see(&placement, *time),
            1 => state.co_visit(item(*n).key(), *time),
            2 => state.count_order(n % 2 == 0),
            _ => state.apply(&Interaction { placement: Some(placement), ..interaction.clone() }, *time),
        }
    }
    state
}

proptest! {
    #[test]
    fn encoding_is_lossless(touches in touches()) {
        let state = touched(&touches);
        let bytes = state.encode();
        prop_assert_eq!(ItemSeen::decode(&bytes).unwrap(), ItemSeen::of(&state));
        prop_assert_eq!(ItemState::decode(&bytes).unwrap(), state);
    }

    #[test]
    fn any_bytes_give_a_state_or_an_error_but_no_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
        ItemState::decode(&[&[2][..], &body].concat()).ok();
        ItemSeen::decode(&[&[2][..], &body].concat()).ok();
    }

    #[test]
    fn a_flipped_byte_gives_a_state_or_an_error_but_no_panic(touches in touches(), place in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut bytes = touched(&touches).encode();
        let place = place.index(bytes.len());
        bytes[place] = to;
        if let Ok(state) = ItemState::decode(&bytes) {
            prop_assert_eq!(ItemState::decode(&state.encode()).unwrap(), state);
        }
    }

    #[test]
    fn any_order_gives_the_same_counters(touches in touches(), now in times()) {
        let (forwards, backwards): (Vec<_>, Vec<_>) = (touches.clone(), touches.into_iter().rev().collect());
        let (a, b) = (touched(&forwards), touched(&backwards));
        prop_assert_eq!((a.n_events, a.n_orders, a.first_seen, a.last_seen), (b.n_events, b.n_orders, b.first_seen, b.last_seen));
        for half_life in 0..HALF_LIVES_DAYS.len() {
            let (a, b) = (a.demand(half_life, now), b.demand(half_life, now));
            prop_assert!((a - b).abs() <= 1e-9 * (1.0 + a.abs()), "{} against {}", a, b);
        }
        // Whatever the order, the ring ends at the newest day and holds all of the days that it keeps.
        for counter in [Counter::Attention, Counter::Cart, Counter::Purchase, Counter::Negative] {
            let newest = a.last_seen.max(b.last_seen);
            prop_assert_eq!(a.window.count(counter, 3, newest), b.window.count(counter, 3, newest));
        }
    }

    #[test]
    fn merged_partials_equal_one_state(touches in touches(), cut in 0..60_usize) {
        let (a, b) = touches.split_at(cut.min(touches.len()));
        let (sum, whole) = (touched(a).merged(&touched(b)), touched(&touches));
        let now = whole.last_seen;
        prop_assert_eq!(sum.n_events, whole.n_events);
        let counted = |state: &ItemState| state.window.count(Counter::Cart, WINDOW_DAYS, now);
        prop_assert_eq!(counted(&sum), counted(&whole));
        prop_assert!((sum.demand(1, now) - whole.demand(1, now)).abs() < 1e-6);
    }

    #[test]
    fn facts_of_stored_partials_are_those_of_their_sum(
        first in touches(),
        second in touches(),
        now in times(),
    ) {
        let partials = [touched(&first), touched(&second)];
        // Only what something happened to is stored.
        let stored: Vec<&ItemState> = partials.iter().filter(|partial| !partial.is_empty()).collect();
        let blobs: Vec<Vec<u8>> = stored.iter().map(|partial| partial.encode()).collect();
        let facts = ItemFacts::of_partials(blobs.iter().map(Vec::as_slice), now).unwrap();
        let sum = stored.iter().fold(ItemState::default(), |sum, partial| sum.merged(partial));
        prop_assert_eq!(facts, ItemFacts::of(&sum, now));
    }
}
