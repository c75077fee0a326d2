use ndarray::Array2;
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use waggle_model::{ItemIdx, Timestamp};

use super::*;
use crate::Recommender;

fn random(n_rows: usize, n_factors: usize, seed: u64) -> Array2<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Array2::from_shape_simple_fn((n_rows, n_factors), || rng.gen_range(-1.0..1.0))
}

fn params(n_factors: usize) -> AlsParams {
    AlsParams { n_factors, unobserved_weight: 0.1, regularization: 0.02, ..AlsParams::default() }
}

fn entries(items: &[(u32, f32)]) -> Vec<HistoryEntry> {
    items
        .iter()
        .map(|&(item, weight)| HistoryEntry { item: ItemIdx(item), weight, time: Timestamp::default() })
        .collect()
}

/// The textbook normal equations in `f64`, solved by Gaussian elimination: nothing shared with the code under test.
fn slow_twin(factors: &Array2<f32>, params: &AlsParams, history: &[HistoryEntry]) -> Vec<f64> {
    let f = factors.ncols();
    let at = |i: usize, j: usize| f64::from(factors[[i, j]]);
    let total: f64 = history.iter().map(|entry| f64::from(entry.weight)).sum();
    let a0 = f64::from(params.unobserved_weight);
    let lambda = f64::from(params.regularization)
        * (total + a0 * factors.nrows() as f64).powf(f64::from(params.regularization_exponent));
    let mut system = vec![vec![0.0; f + 1]; f];
    for (r, row) in system.iter_mut().enumerate() {
        for (c, cell) in row[..f].iter_mut().enumerate() {
            *cell = (0..factors.nrows()).map(|i| a0 * at(i, r) * at(i, c)).sum();
            *cell += history
                .iter()
                .map(|e| f64::from(e.weight) * at(e.item.row(), r) * at(e.item.row(), c))
                .sum::<f64>();
        }
        row[r] += lambda;
        row[f] = history.iter().map(|e| f64::from(e.weight) * at(e.item.row(), r)).sum();
    }
    for k in 0..f {
        let pivot_row = system[k].clone();
        for (i, row) in system.iter_mut().enumerate() {
            if i != k {
                let factor = row[k] / pivot_row[k];
                row.iter_mut().zip(&pivot_row).for_each(|(x, p)| *x -= factor * p);
            }
        }
    }
    (0..f).map(|k| system[k][f] / system[k][k]).collect()
}

#[track_caller]
fn check_against_twin(factors: &Array2<f32>, params: &AlsParams, history: &[HistoryEntry]) {
    let als = Als::try_new(factors.clone(), params.clone()).unwrap();
    let mut got = vec![0.0; params.n_factors];
    als.fold_in(history, &mut got).unwrap();
    let expected = slow_twin(factors, params, history);
    let scale = expected.iter().fold(1e-3_f64, |max, x| max.max(x.abs()));
    for (got, expected) in got.iter().zip(&expected) {
        assert!(
            (f64::from(*got) - expected).abs() < 1e-4 * scale,
            "{got} is not {expected} ({} observed)",
            history.len()
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn folding_in_solves_the_textbook_equations(
        n_factors in 1_usize..40,
        n_observed in 1_usize..60,
        seed in any::<u64>(),
    ) {
        let factors = random(80, n_factors, seed);
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 1);
        let history: Vec<(u32, f32)> =
            (0..n_observed).map(|at| ((at as u32 * 37 + 5) % 80, rng.gen_range(0.1..4.0))).collect();
        check_against_twin(&factors, &params(n_factors), &entries(&history));
    }
}

#[test]
fn both_spaces_give_the_same_solution_where_they_meet() {
    let factors = random(300, 64, 3);
    for n_observed in [1, 15, 16, 17, 62, 63, 64, 65, 100] {
        let history: Vec<(u32, f32)> =
            (0..n_observed).map(|at| (at * 3 % 300, 1.0 + at as f32 / 50.0)).collect();
        check_against_twin(&factors, &params(64), &entries(&history));
    }
}

#[test]
fn a_model_in_its_own_axes_scores_the_same_and_keeps_one_matrix() {
    let factors = random(300, 16, 3);
    let history = entries(&[(3, 1.0), (7, 2.0), (40, 0.5)]);
    let given = Als::try_new(factors.clone(), params(16)).unwrap();
    let turned = given.clone().in_its_own_axes().unwrap();
    // The model's own two handles, and the one asked for here.
    assert_eq!(Arc::strong_count(&turned.shared_item_factors()), 3);
    check_against_twin(&turned.item_factors().to_owned(), &params(16), &history);
    let scores = |als: &Als| {
        let (mut person, mut scores) = (vec![0.0; 16], vec![0.0; 300]);
        als.fold_in(&history, &mut person).unwrap();
        als.score_all(&person, &mut scores);
        scores
    };
    for (a, b) in scores(&given).iter().zip(scores(&turned)) {
        assert!((a - b).abs() < 1e-5, "{a} is not {b}");
    }
}

#[test]
fn axes_of_very_different_lengths_are_kept_once_too() {
    // From 1 to 10⁻⁶, and then mixed.
    let mut stretched = random(3_000, 24, 5);
    for mut row in stretched.outer_iter_mut() {
        row.iter_mut().enumerate().for_each(|(axis, x)| *x *= 10.0_f32.powf(-(axis as f32) / 4.0));
    }
    let given = Als::try_new(stretched.dot(&random(24, 24, 6)), params(24)).unwrap();
    let once = Als::try_new(given.half_step.factors().as_ref().clone(), params(24)).unwrap();
    assert!(!Arc::ptr_eq(&once.item_factors, once.half_step.factors()), "turning once was enough");
    let turned = given.in_its_own_axes().unwrap();
    assert_eq!(Arc::strong_count(&turned.shared_item_factors()), 3);
}

#[test]
fn an_item_twice_is_the_item_with_double_weight() {
    let als = Als::try_new(random(50, 8, 1), params(8)).unwrap();
    let (mut twice, mut double) = ([0.0; 8], [0.0; 8]);
    als.fold_in(&entries(&[(3, 1.0), (7, 1.0), (3, 1.0)]), &mut twice).unwrap();
    als.fold_in(&entries(&[(3, 2.0), (7, 1.0)]), &mut double).unwrap();
    for (a, b) in twice.iter().zip(&double) {
        assert!((a - b).abs() < 1e-5);
    }
}

#[test]
fn an_empty_history_has_zero_factors_and_no_recommendations() {
    let als = Als::try_new(random(50, 8, 1), params(8)).unwrap();
    let mut out = [1.0; 8];
    als.fold_in(&[], &mut out).unwrap();
    assert!(out.iter().all(|x| *x == 0.0));
    let query = Query { history: &[], exclude: &[], now: Timestamp::default(), person: None };
    assert!(als.recommend(&query, 5).unwrap().is_empty());
}

#[test]
fn recommendations_are_the_greatest_products_without_the_excluded() {
    let als = Als::try_new(random(50, 8, 1), params(8)).unwrap();
    let history = entries(&[(3, 1.0), (7, 1.0)]);
    let exclude = [ItemIdx(3), ItemIdx(7)];
    let query = Query { history: &history, exclude: &exclude, now: Timestamp::default(), person: None };
    let list = als.recommend(&query, 48).unwrap();
    let mut factors = [0.0; 8];
    als.fold_in(&history, &mut factors).unwrap();
    assert_eq!(list.len(), 48);
    assert!(
        list.iter()
            .all(|s| !exclude.contains(&s.item) && (s.score - als.score(&factors, s.item)).abs() < 1e-6)
    );
    assert!(list.windows(2).all(|pair| pair[0].score >= pair[1].score));
}

#[test]
fn a_bad_history_is_refused_by_name() {
    let als = Als::try_new(random(50, 8, 1), params(8)).unwrap();
    let mut out = [0.0; 8];
    let unknown = als.fold_in(&entries(&[(50, 1.0)]), &mut out).unwrap_err();
    assert_eq!(unknown, SolveError::UnknownRow { row: 50, n_rows: 50 });
    for weight in [f32::NAN, f32::INFINITY, -1.0] {
        let error = als.fold_in(&entries(&[(4, weight)]), &mut out).unwrap_err();
        assert!(matches!(error, SolveError::Weight { row: 4, .. }), "{error}");
    }
    let overflow = als.fold_in(&entries(&[(4, f32::MAX); 200]), &mut out);
    assert!(matches!(overflow, Err(SolveError::Singular(_))), "{overflow:?}");
}

#[test]
fn bad_factors_and_settings_are_refused_by_name() {
    let mut factors = random(50, 8, 1);
    assert_eq!(
        Als::try_new(factors.clone(), params(9)).unwrap_err(),
        AlsError::Shape { expected: 9, got: 8 }
    );
    factors[[13, 2]] = f32::NAN;
    assert_eq!(Als::try_new(factors, params(8)).unwrap_err(), AlsError::NotFinite { row: 13 });
    let check = |change: fn(&mut AlsParams), expected: &str| {
        let mut params = params(8);
        change(&mut params);
        let error = params.validate().unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    };
    check(|p| p.n_factors = 0, "n_factors");
    check(|p| p.regularization = 0.0, "regularization is");
    check(|p| p.regularization = f32::NAN, "regularization is");
    check(|p| p.unobserved_weight = -0.1, "unobserved_weight");
    check(|p| p.regularization_exponent = 3.0, "regularization_exponent");
    check(|p| p.init_stddev = 0.0, "init_stddev");
}

#[test]
fn many_people_are_scored_like_one() {
    // Several tiles of items, the last one not full.
    let als = Als::try_new(random(3_000, 48, 5), params(48)).unwrap();
    let histories: Vec<_> = (0..7_u32).map(|n| entries(&vec![(n * 400, 1.0); n as usize])).collect();
    let queries: Vec<Query<'_>> = histories
        .iter()
        .map(|history| Query { history, exclude: &[], now: Timestamp::default(), person: None })
        .collect();
    let mut together = vec![9.0; 7 * 3_000];
    als.score_items_for_all(&queries, &mut together).unwrap();
    let mut alone = vec![9.0; 3_000];
    for (query, together) in queries.iter().zip(together.chunks(3_000)) {
        als.score_items(query, &mut alone).unwrap();
        assert_eq!(alone, together);
    }
    let lists = als.recommend_all(&queries, 5).unwrap();
    assert!(lists[0].is_empty(), "nothing is known of who touched nothing");
    for (query, list) in queries.iter().zip(&lists) {
        assert_eq!(list, &als.recommend(query, 5).unwrap());
    }
}
