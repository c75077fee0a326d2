use std::collections::BTreeMap;

use super::*;

fn evaluation(name: &str, values: Vec<f64>, persons: Vec<u32>) -> Evaluation {
    Evaluation {
        name: name.to_owned(),
        metrics: vec!["m".to_owned()],
        values: vec![values],
        persons,
        n_left_out: 0,
        lists: Vec::new(),
        coverage: BTreeMap::new(),
    }
}

fn noise(n: usize, seed: u64) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..n).map(|_| rng.r#gen::<f64>()).collect()
}

fn everyone(n: u32) -> Vec<u32> {
    (0..n).collect()
}

#[test]
fn the_interval_covers_the_true_mean_as_often_as_promised() {
    let bootstrap = Bootstrap { n_resamples: 400, confidence: 0.9, seed: 1 };
    let n_covered = (0..400)
        .filter(|&seed| {
            let interval = bootstrap.intervals(&evaluation("a", noise(80, seed), everyone(80))).unwrap()[0];
            interval.low <= 0.5 && 0.5 <= interval.high
        })
        .count();
    // Binomial(400, 0.9) has a standard deviation of 6; four of them either way.
    assert!((336..=384).contains(&n_covered), "{n_covered} of 400 intervals cover");
}

#[test]
fn cases_of_one_person_widen_the_interval() {
    let values: Vec<f64> = noise(50, 3).into_iter().flat_map(|value| [value; 8]).collect();
    let width = |persons: Vec<u32>| {
        let interval = Bootstrap::default().intervals(&evaluation("a", values.clone(), persons)).unwrap()[0];
        interval.high - interval.low
    };
    let ratio = width((0..400).map(|case| case / 8).collect()) / width(everyone(400));
    // Eight copies say nothing new: the interval is √8 times that of independent cases.
    assert!((ratio / 8.0_f64.sqrt() - 1.0).abs() < 0.15, "{ratio}");
}

#[test]
fn a_small_steady_difference_is_found_and_none_is_not() {
    let (base, bootstrap) = (noise(300, 5), Bootstrap::default());
    let wiggle = noise(300, 6);
    let a = evaluation(
        "a",
        base.iter().zip(&wiggle).map(|(b, w)| b + 0.02 + 0.05 * (w - 0.5)).collect(),
        everyone(300),
    );
    let b = evaluation("b", base.clone(), everyone(300));
    let found = bootstrap.difference(&a, &b, "m").unwrap();
    assert!(found.low > 0.0 && found.p_value < 0.01 && (found.value - 0.02).abs() < 0.005, "{found:?}");
    // Unpaired, the two intervals overlap: the pairing is what finds it.
    let (of_a, of_b) = (bootstrap.intervals(&a).unwrap()[0], bootstrap.intervals(&b).unwrap()[0]);
    assert!(of_a.low < of_b.high);
    let same = bootstrap.difference(&b, &b, "m").unwrap();
    assert_eq!((same.value, same.low, same.high, same.p_value), (0.0, 0.0, 0.0, 1.0));
}

#[test]
fn the_p_value_is_uniform_where_there_is_no_difference() {
    let bootstrap = Bootstrap { n_resamples: 300, ..Bootstrap::default() };
    let n_significant = (0..400)
        .filter(|&seed| {
            let a = evaluation("a", noise(60, seed), everyone(60));
            let b = evaluation("b", noise(60, seed + 10_000), everyone(60));
            bootstrap.difference(&a, &b, "m").unwrap().p_value < 0.1
        })
        .count();
    assert!((16..=68).contains(&n_significant), "{n_significant} of 400 below 0.1");
}

#[test]
fn the_seed_decides_and_threads_do_not() {
    let evaluation = evaluation("a", noise(100, 1), everyone(100));
    let with = |seed| Bootstrap { seed, ..Bootstrap::default() }.intervals(&evaluation).unwrap();
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    assert_eq!(with(1), one_thread.install(|| with(1)));
    assert_ne!(with(1), with(2));
}

#[test]
fn different_cases_no_cases_and_unknown_metrics_are_refused() {
    let bootstrap = Bootstrap::default();
    let (a, b) = (evaluation("a", vec![1.0], vec![0]), evaluation("b", vec![1.0, 2.0], vec![0, 1]));
    assert!(matches!(bootstrap.difference(&a, &b, "m"), Err(EvaluationError::DifferentCases(..))));
    assert!(matches!(bootstrap.difference(&a, &a, "x"), Err(EvaluationError::UnknownMetric(_))));
    assert!(matches!(bootstrap.intervals(&evaluation("c", vec![], vec![])), Err(EvaluationError::NoCases)));
}
