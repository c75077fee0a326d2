use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::*;

fn content(n_terms: usize, terms: &[&[u32]]) -> SparseRows {
    tf_idf(n_terms, terms.iter().copied()).unwrap()
}

/// Items with some of twelve terms, and factors that are a linear function of them, and `noise`.
fn planted(n_items: usize, noise: f32, seed: u64) -> (SparseRows, Array2<f32>, Array2<f32>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let terms: Vec<Vec<u32>> =
        (0..n_items).map(|_| (0..12).filter(|_| rng.gen_bool(0.3)).collect()).collect();
    let content = tf_idf(12, terms.iter().map(Vec::as_slice)).unwrap();
    let truth = Array2::from_shape_simple_fn((12, 3), || rng.gen_range(-1.0..1.0_f32));
    let mut factors = times(&content, truth.view());
    factors.mapv_inplace(|x| x + 0.5 + noise * rng.gen_range(-1.0..1.0_f32));
    (content, truth, factors)
}

#[test]
fn rare_terms_weigh_more_and_rows_have_length_one() {
    let content = content(4, &[&[0, 1, 1], &[0, 2, 1], &[0], &[0, 2, 3], &[2]]);
    let weights: Vec<Vec<f32>> = (0..5).map(|item| content.weights(item).to_vec()).collect();
    let idf = |n: f32| (5.0_f32 / n).ln();
    // Of the third item only its commonest term is left; the term of one item alone is not there at all.
    assert_eq!(content.columns(3), [ItemIdx(0), ItemIdx(2)]);
    assert_eq!(weights[2], [1.0]);
    let length = (idf(4.0).powi(2) + idf(2.0).powi(2)).sqrt();
    assert!((weights[0][1] - idf(2.0) / length).abs() < 1e-6, "{weights:?}");
    assert!(weights.iter().all(|row| (row.iter().map(|w| w * w).sum::<f32>() - 1.0).abs() < 1e-6));
}

#[test]
fn a_term_of_every_item_says_nothing() {
    let content = content(2, &[&[0], &[0, 1], &[0, 1]]);
    assert!(content.columns(0).is_empty());
    assert_eq!(content.columns(1), [ItemIdx(1)]);
    assert!(matches!(tf_idf(1, [&[1_u32][..]].into_iter()), Err(FitError::Interactions(_))));
}

#[test]
fn a_planted_map_is_found_and_places_what_nobody_touched() {
    let (content, _, factors) = planted(400, 0.0, 1);
    let mut counts = vec![20; 400];
    counts[..40].fill(0);
    let mut known = factors.clone();
    known.slice_mut(ndarray::s![..40, ..]).fill(0.0);
    let params = ContentParams { l2: 1e-4, ..ContentParams::default() };
    let regression = fit_content(&content, known.view(), &counts, &params).unwrap();
    regression.place_untouched(&content, &counts, &mut known);
    for item in 0..40 {
        let is_described = !content.columns(item).is_empty();
        let error = (&known.row(item) - &factors.row(item)).mapv(f32::abs).sum();
        // The mean of all factors is not quite the constant that was planted.
        assert_eq!(error < 0.5, is_described, "item {item} is off by {error}");
    }
    assert_eq!(known.slice(ndarray::s![40.., ..]), factors.slice(ndarray::s![40.., ..]));
}

/// The same by Gaussian elimination of the normal equations, in double precision.
#[test]
fn conjugate_gradients_agree_with_the_normal_equations() {
    let (content, _, factors) = planted(60, 0.3, 2);
    let counts: Vec<usize> = (0..60).map(|item| item % 7).collect();
    let params = ContentParams { l2: 0.7, half_trust: 2.0, ..ContentParams::default() };
    let found = fit_content(&content, factors.view(), &counts, &params).unwrap();

    let trust: Vec<f64> = counts.iter().map(|&n| n as f64 / (n as f64 + 2.0)).collect();
    let dense = |item: usize| {
        let mut row = [0.0; 12];
        content
            .columns(item)
            .iter()
            .zip(content.weights(item))
            .for_each(|(t, w)| row[t.row()] = f64::from(*w));
        row
    };
    for factor in 0..3 {
        let bias = (0..60).map(|i| trust[i] * f64::from(factors[[i, factor]])).sum::<f64>()
            / trust.iter().sum::<f64>();
        let mut system = vec![vec![0.0; 13]; 12];
        for (term, row) in system.iter_mut().enumerate() {
            row[term] += 0.7;
            for item in 0..60 {
                let x = dense(item);
                (0..12).for_each(|other| row[other] += trust[item] * x[term] * x[other]);
                row[12] += trust[item] * x[term] * (f64::from(factors[[item, factor]]) - bias);
            }
        }
        let solved = eliminate(system);
        assert!((f64::from(found.bias[factor]) - bias).abs() < 1e-5);
        for (term, expected) in solved.iter().enumerate() {
            let got = f64::from(found.weights[[term, factor]]);
            assert!((got - expected).abs() < 1e-4, "term {term}: {got}, not {expected}");
        }
    }
}

fn eliminate(mut system: Vec<Vec<f64>>) -> Vec<f64> {
    let n = system.len();
    for pivot in 0..n {
        let row = system[pivot].clone();
        for (at, other) in system.iter_mut().enumerate() {
            if at != pivot {
                let share = other[pivot] / row[pivot];
                other.iter_mut().zip(&row).for_each(|(x, p)| *x -= share * p);
            }
        }
    }
    (0..n).map(|at| system[at][n] / system[at][at]).collect()
}

#[test]
fn what_cannot_be_learned_from_is_refused() {
    let (content, _, factors) = planted(10, 0.0, 3);
    let fit = |counts: &[usize], params: &ContentParams| {
        fit_content(&content, factors.view(), counts, params).map(|_| ()).map_err(|e| e.to_string())
    };
    let params = ContentParams::default();
    assert!(matches!(
        fit_content(&content, factors.view(), &[0; 10], &params),
        Err(FitError::NoInteractions)
    ));
    assert!(fit(&[1; 9], &params).unwrap_err().starts_with("counts is 9"));
    assert!(fit(&[1; 10], &ContentParams { l2: 0.0, ..params.clone() }).unwrap_err().starts_with("l2 is 0"));
    let hasty = ContentParams { l2: 1e-6, max_iterations: 1, ..params };
    assert!(fit(&[1; 10], &hasty).unwrap_err().contains("1 iteration"));
}
