use proptest::prelude::*;

use super::*;

fn items(rows: &[u32]) -> Vec<ItemIdx> {
    rows.iter().map(|&row| ItemIdx(row)).collect()
}

#[track_caller]
fn check(list: &[u32], truth: &[u32], k: usize, expected: [f64; 5]) {
    let (list, truth) = (items(list), items(truth));
    let got = [recall_at_k, recall_at_k_of_truth, ndcg_at_k, hit_rate_at_k, reciprocal_rank_at_k]
        .map(|metric| metric(&list, &truth, k).unwrap());
    for (got, expected) in got.iter().zip(&expected) {
        assert!((got - expected).abs() < 1e-12, "{got:?} is not {expected:?}");
    }
}

#[test]
fn golden_values_by_hand() {
    // Hits at ranks 2 and 3 of 3 true items: DCG = 1/log2(3) + 1/log2(4), ideal = 1 + 1/log2(3) + 1/log2(4).
    let (second, third) = (1.0 / 3.0_f64.log2(), 0.5);
    let ndcg = (second + third) / (1.0 + second + third);
    check(&[9, 1, 2, 8], &[1, 2, 3], 4, [2.0 / 3.0, 2.0 / 3.0, ndcg, 1.0, 0.5]);
    // k = 2 < |truth| = 3: one hit at rank 2; recall by min(k, |truth|) and by |truth| part.
    check(&[9, 1, 2, 8], &[1, 2, 3], 2, [0.5, 1.0 / 3.0, second / (1.0 + second), 1.0, 0.5]);
    check(&[9, 8], &[1], 2, [0.0; 5]);
}

#[test]
fn average_precision_by_hand() {
    // Hits at ranks 1, 3 and 4 of 5 that are possible: (1/1 + 2/3 + 3/4)/5.
    let average =
        |list: &[u32], k| average_precision_at_k(&items(list), &items(&[1, 2, 3, 4, 5]), k).unwrap();
    assert!((average(&[1, 9, 2, 3], 10) - (1.0 + 2.0 / 3.0 + 0.75) / 5.0).abs() < 1e-12);
    // Only two are possible at k = 2.
    assert!((average(&[9, 2], 2) - 0.5 / 2.0).abs() < 1e-12);
    assert!((average(&[1, 2], 2) - 1.0).abs() < 1e-12);
    assert!(average(&[1], 0).abs() < 1e-12);
    assert_eq!(average_precision_at_k(&items(&[1]), &[], 3), None);
}

#[test]
fn every_metric_of_an_ideal_slate_is_one_and_only_recall_of_truth_sees_the_rest() {
    check(&[3, 1, 2, 9], &[1, 2, 3], 3, [1.0; 5]);
    check(&[3, 1], &[1, 2, 3, 4], 2, [1.0, 0.5, 1.0, 1.0, 1.0]);
}

#[test]
fn an_empty_truth_has_no_value() {
    for metric in [recall_at_k, recall_at_k_of_truth, ndcg_at_k, hit_rate_at_k, reciprocal_rank_at_k] {
        assert_eq!(metric(&items(&[1]), &[], 5), None);
    }
}

#[test]
fn a_list_shorter_than_k_and_k_zero_are_fine() {
    check(&[1], &[1, 2], 10, [0.5, 0.5, 1.0 / (1.0 + 1.0 / 3.0_f64.log2()), 1.0, 1.0]);
    check(&[], &[1], 10, [0.0; 5]);
    check(&[1], &[1], 0, [0.0; 5]);
}

#[test]
fn an_item_that_is_listed_twice_counts_once() {
    check(&[1, 1, 1], &[1, 2], 3, [0.5, 0.5, 1.0 / (1.0 + 1.0 / 3.0_f64.log2()), 1.0, 1.0]);
}

proptest! {
    #[test]
    fn metrics_agree_with_a_slow_twin(
        list in proptest::collection::vec(0_u32..20, 0..15),
        truth in proptest::collection::btree_set(0_u32..20, 1..10),
        k in 1_usize..20,
    ) {
        let truth: Vec<u32> = truth.into_iter().collect();
        let mut distinct_hits = std::collections::BTreeMap::new();
        for (place, item) in list.iter().take(k).enumerate() {
            if truth.contains(item) {
                distinct_hits.entry(*item).or_insert(place + 1);
            }
        }
        let gain: f64 = distinct_hits.values().map(|rank| 2.0_f64.ln() / (*rank as f64 + 1.0).ln()).sum();
        let ideal: f64 = (0..k.min(truth.len())).map(|place| 2.0_f64.ln() / (place as f64 + 2.0).ln()).sum();
        let hits = distinct_hits.len() as f64;
        let reciprocal = distinct_hits.values().min().map_or(0.0, |rank| 1.0 / *rank as f64);
        check(&list, &truth, k, [
            hits / k.min(truth.len()) as f64, hits / truth.len() as f64, gain / ideal, hits.min(1.0), reciprocal,
        ]);
    }
}
