use proptest::prelude::*;

use super::*;
use crate::testing::{days, times};

fn sum(events: &[(f64, Timestamp)], half_life: f64) -> Decayed<1> {
    let mut decayed = Decayed::default();
    for (weight, time) in events {
        decayed.add([*weight], *time, [half_life]);
    }
    decayed
}

/// The definition, term by term.
fn slow_twin(events: &[(f64, Timestamp)], half_life: f64, at: Timestamp) -> f64 {
    events.iter().map(|(weight, time)| weight * 0.5_f64.powf(at.days_since(*time) / half_life)).sum()
}

fn is_close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * (1.0 + a.abs().max(b.abs()))
}

#[test]
fn an_event_counts_half_after_one_half_life_and_a_quarter_after_two() {
    let decayed = sum(&[(4.0, days(10.0))], 7.0);
    assert!(is_close(decayed.value_at(0, days(17.0), 7.0), 2.0));
    assert!(is_close(decayed.value_at(0, days(24.0), 7.0), 1.0));
}

#[test]
fn a_feature_never_un_happens() {
    let decayed = sum(&[(1.0, days(10.0))], 7.0);
    assert!(is_close(decayed.value_at(0, days(3.0), 7.0), 1.0));
}

#[test]
fn the_first_event_counts_in_full_even_before_1970() {
    let decayed = sum(&[(1.0, days(-40_000.0))], 1.0);
    assert!(is_close(decayed.value_at(0, days(-40_000.0), 1.0), 1.0));
}

#[test]
fn an_event_from_the_future_decays_what_comes_after_it() {
    let decayed = sum(&[(1.0, days(10.0)), (1.0, days(38.0)), (1.0, days(10.0))], 14.0);
    assert!(is_close(decayed.value_at(0, days(38.0), 14.0), 1.5));
}

fn weighted() -> impl Strategy<Value = Vec<(f64, Timestamp)>> {
    prop::collection::vec((0.1..10.0_f64, times()), 1..30)
}

proptest! {
    #[test]
    fn any_order_gives_the_sum_of_the_definition(events in weighted(), half_life in 1.0..60.0_f64) {
        let newest = events.iter().map(|(_, time)| *time).max().unwrap();
        let expected = slow_twin(&events, half_life, newest);
        prop_assert!(is_close(sum(&events, half_life).value_at(0, newest, half_life), expected));
        let backwards: Vec<_> = events.iter().rev().copied().collect();
        prop_assert!(is_close(sum(&backwards, half_life).value_at(0, newest, half_life), expected));
    }

    #[test]
    fn merged_partials_equal_one_sum(events in weighted(), cut in 0..30_usize, half_life in 1.0..60.0_f64) {
        let (a, b) = events.split_at(cut.min(events.len()));
        let merged = sum(a, half_life).merged(&sum(b, half_life), [half_life]);
        let newest = events.iter().map(|(_, time)| *time).max().unwrap();
        prop_assert!(is_close(merged.value_at(0, newest, half_life), sum(&events, half_life).value_at(0, newest, half_life)));
    }
}
