use super::*;
use crate::testing::{act, days, own_kind};

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
fn a_state_stored_before_re_buys_were_counted_still_loads() {
    let old = (vec![[Decayed::default(); 3]; 4], 7_u64, days(1.0), days(2.0));
    let mut bytes = vec![VERSION];
    rmp_serde::encode::write(&mut bytes, &old).unwrap();
    let state = ItemState::decode(&bytes).unwrap();
    assert_eq!((state.n_events, state.n_orders, state.n_buyers), (7, 0, 0));
}

#[test]
fn bytes_that_are_no_state_are_refused_with_the_reason() {
    assert!(matches!(ItemState::decode(&[]), Err(StateDecodeError::Empty)));
    assert!(matches!(ItemState::decode(&[9, 1]), Err(StateDecodeError::Version { got: 9, expected: 1 })));
    assert!(matches!(ItemState::decode(&[VERSION, 0xc1]), Err(StateDecodeError::Malformed(_))));
}
