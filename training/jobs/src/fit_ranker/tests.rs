use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use waggle_model::PersonKey;

use super::*;

/// Candidates taken with log-odds `2·x₀ − x₁ − 1`; all other features are noise or constant.
fn planted(n: usize, is_rare: bool) -> Rows {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut rows = Rows::default();
    for _ in 0..n {
        let mut values: Vec<f32> = (0..FEATURES.len()).map(|_| rng.gen_range(-1.0..1.0)).collect();
        values[5] = 3.0;
        let log_odds = 2.0 * values[0] - values[1] + if is_rare { -1.0 } else { 2.0 };
        rows.labels.push(rng.gen_bool(f64::from(1.0 / (1.0 + (-log_odds).exp()))));
        rows.values.extend(values);
    }
    rows
}

fn fit(rows: &Rows, negative_rate: f64) -> Ranker {
    fit_ranker(rows, &RankerFit { l2: 1e-4, max_iterations: 60, negative_rate }).unwrap()
}

/// Weight per unit of the feature.
fn slope(ranker: &Ranker, place: usize) -> f32 {
    ranker.weights[place] / ranker.scales[place]
}

#[test]
fn planted_weights_are_found_whichever_label_is_the_commoner() {
    for is_rare in [true, false] {
        let ranker = fit(&planted(20_000, is_rare), 1.0);
        assert!((slope(&ranker, 0) - 2.0).abs() < 0.2, "{}", slope(&ranker, 0));
        assert!((slope(&ranker, 1) + 1.0).abs() < 0.2, "{}", slope(&ranker, 1));
        assert!((3..5).all(|place| slope(&ranker, place).abs() < 0.1));
        assert!(ranker.weights[5].abs() < 1e-6, "a constant says nothing");
    }
}

#[test]
fn thinned_negatives_are_corrected_for_in_the_intercept() {
    let all = planted(40_000, true);
    let n_features = FEATURES.len();
    let mut thinned = Rows::default();
    for (place, (row, label)) in all.values.chunks_exact(n_features).zip(&all.labels).enumerate() {
        if *label || place % 4 == 0 {
            thinned.values.extend_from_slice(row);
            thinned.labels.push(*label);
        }
    }
    let at_zero = |ranker: &Ranker| ranker.score(&vec![0.0; n_features]);
    let (whole, thin) = (at_zero(&fit(&all, 1.0)), at_zero(&fit(&thinned, 0.25)));
    assert!((whole - thin).abs() < 0.25, "{whole} against {thin}");
}

#[test]
fn the_same_rows_give_the_same_bits() {
    let rows = planted(3_000, true);
    assert_eq!(fit(&rows, 0.5), fit(&rows, 0.5));
}

#[test]
fn one_label_alone_is_refused() {
    let rows = Rows { values: vec![0.0; FEATURES.len() * 2], labels: vec![false; 2] };
    let error =
        fit_ranker(&rows, &RankerFit { l2: 1e-4, max_iterations: 10, negative_rate: 1.0 }).unwrap_err();
    assert_eq!(error.to_string(), "the ranker needs candidates of both labels");
}

#[test]
fn mean_ndcg_counts_what_no_source_proposed_as_missed() {
    let ranker = fit(&planted(5_000, true), 1.0);
    let mut values = vec![0.0; FEATURES.len() * 2];
    values[0] = 1.0;
    let question = |labels: Vec<bool>, n_truth| Question {
        person: PersonKey(1),
        is_known: true,
        items: Vec::new(),
        values: values.clone(),
        labels,
        n_truth,
    };
    let ndcg = |question: &Question| mean_ndcg(&ranker, &[question], 10);
    assert!((ndcg(&question(vec![true, false], 1)) - 1.0).abs() < 1e-9);
    let second = 1.0 / 3.0_f64.log2();
    assert!((ndcg(&question(vec![false, true], 1)) - second).abs() < 1e-9);
    assert!((ndcg(&question(vec![true, false], 2)) - 1.0 / (1.0 + second)).abs() < 1e-9);
}
