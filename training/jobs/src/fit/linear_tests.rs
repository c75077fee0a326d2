//! The linear autoencoders against twins that are slow, in double precision, and written from the formulas alone.

use ndarray::{Array1, Array2};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use waggle_model::{ItemIdx, Timestamp};
use waggle_models::{ItemWeights, LinearAutoencoder};

use super::*;

/// Groups of items, weights from 1 to 2, one user without items and one item that nobody touched.
fn interactions() -> Interactions {
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let mut triples = Vec::new();
    for user in 1..90_u32 {
        for _ in 0..rng.gen_range(2..9) {
            let item =
                if rng.gen_bool(0.7) { rng.gen_range(0..12) * 3 + user % 3 } else { rng.gen_range(0..36) };
            triples.push(Triple {
                user,
                item: ItemIdx(item),
                weight: rng.gen_range(1.0..2.0),
                time: Timestamp::from_millis(rng.gen_range(0..1000)),
            });
        }
    }
    Interactions::from_triples(90, 37, triples).unwrap()
}

/// `Xᵀ diag(v) X` from the definition.
fn gram(interactions: &Interactions, history_exponent: f64) -> Array2<f64> {
    let n_items = interactions.n_items();
    let lengths: Vec<f64> = (0..interactions.n_users()).map(|u| interactions.items(u).len() as f64).collect();
    let voice = |n: f64| if n > 0.0 { n.powf(-history_exponent) } else { 0.0 };
    let unit = lengths.iter().sum::<f64>() / lengths.iter().map(|&n| voice(n) * n).sum::<f64>();
    let mut gram = Array2::zeros((n_items, n_items));
    for (user, length) in lengths.iter().enumerate() {
        let mut x = Array1::<f64>::zeros(n_items);
        for (item, weight) in interactions.items(user).iter().zip(interactions.weights(user)) {
            x[item.row()] = (*weight).into();
        }
        for i in 0..n_items {
            for j in 0..n_items {
                gram[[i, j]] += unit * voice(*length) * x[i] * x[j];
            }
        }
    }
    gram
}

/// Gauss and Jordan, with the largest pivot.
fn inverse(mut a: Array2<f64>) -> Array2<f64> {
    let n = a.nrows();
    let mut inverse = Array2::eye(n);
    for column in 0..n {
        let pivot =
            (column..n).max_by(|&r, &s| a[[r, column]].abs().total_cmp(&a[[s, column]].abs())).unwrap();
        for at in 0..n {
            a.swap([column, at], [pivot, at]);
            inverse.swap([column, at], [pivot, at]);
        }
        let scale = a[[column, column]];
        for at in 0..n {
            a[[column, at]] /= scale;
            inverse[[column, at]] /= scale;
        }
        for row in (0..n).filter(|row| *row != column) {
            let times = a[[row, column]];
            for at in 0..n {
                let (own, other) = (a[[column, at]], inverse[[column, at]]);
                a[[row, at]] -= times * own;
                inverse[[row, at]] -= times * other;
            }
        }
    }
    inverse
}

fn penalised(gram: &Array2<f64>, l2: f64, dropout: f64) -> (Array2<f64>, Vec<f64>) {
    let penalties: Vec<f64> = gram.diag().iter().map(|g| l2 + dropout / (1.0 - dropout) * g).collect();
    let mut penalised = gram.clone();
    for (at, penalty) in penalties.iter().enumerate() {
        penalised[[at, at]] += penalty;
    }
    (penalised, penalties)
}

fn to_dense(model: &LinearAutoencoder) -> Array2<f32> {
    match model.weights() {
        ItemWeights::Dense(weights) => weights.clone(),
        ItemWeights::Sparse(sparse) => {
            let mut dense = Array2::zeros((sparse.n_items(), sparse.n_items()));
            for of in 0..sparse.n_items() {
                let (targets, weights) = sparse.row(of);
                for (target, weight) in targets.iter().zip(weights) {
                    dense[[of, target.row()]] = *weight;
                }
            }
            dense
        }
    }
}

#[track_caller]
fn assert_close(got: &Array2<f32>, expected: &Array2<f64>) {
    for ((place, got), expected) in got.indexed_iter().zip(expected) {
        assert!((f64::from(*got) - expected).abs() < 1e-4, "{place:?}: {got} is not {expected}");
    }
}

#[test]
fn ease_and_its_kin_agree_with_their_formulas() {
    let interactions = interactions();
    for (dropout, diagonal, history_exponent, name) in
        [(0.0, 0.0, 0.0, "ease"), (0.5, 0.0, 0.4, "edlae"), (0.0, 0.2, 0.0, "rlae"), (0.3, 0.1, 1.0, "rdlae")]
    {
        let params = EaseParams {
            l2: 4.0,
            dropout: dropout as f32,
            diagonal: diagonal as f32,
            history_exponent: history_exponent as f32,
            ..EaseParams::default()
        };
        let model = fit_ease(&interactions, &params).unwrap();
        assert_eq!(waggle_models::ItemScorer::name(&model), name);
        let (system, penalties) = penalised(&gram(&interactions, history_exponent), 4.0, dropout);
        let c = inverse(system);
        let expected = Array2::from_shape_fn(c.dim(), |(i, j)| {
            let (own, penalty) = (c[[j, j]], penalties[j]);
            let relaxed = if 1.0 - penalty * own > diagonal { (1.0 - diagonal) / own - penalty } else { 0.0 };
            if i == j { 0.0 } else { -c[[i, j]] * (penalty + relaxed.max(0.0)) }
        });
        assert_close(&to_dense(&model), &expected);
    }
}

#[test]
fn with_everything_seen_together_for_candidates_slim_agrees_with_its_formula() {
    let interactions = interactions();
    for (dropout, history_exponent) in [(0.0, 0.0), (0.6, 0.5)] {
        let slim =
            SlimParams { n_candidates: 37, l2: 3.0, dropout, history_exponent, ..SlimParams::default() };
        let slim = to_dense(&fit_slim(&interactions, &slim, &|_, _| {}).unwrap());
        let gram = gram(&interactions, history_exponent.into());
        let expected = twin(&gram, 37, 0.5, 3.0, dropout.into());
        assert_close(&slim, &expected);
    }
}

#[test]
fn with_few_candidates_slim_agrees_with_its_formula() {
    let interactions = interactions();
    for exponent in [0.0, 0.5, 1.0] {
        let params = SlimParams {
            n_candidates: 5,
            candidate_exponent: exponent,
            l2: 3.0,
            dropout: 0.4,
            history_exponent: 0.3,
            ..SlimParams::default()
        };
        let model = fit_slim(&interactions, &params, &|_, _| {}).unwrap();
        let expected =
            twin(&gram(&interactions, f64::from(0.3_f32)), 5, exponent.into(), 3.0, f64::from(0.4_f32));
        assert_close(&to_dense(&model), &expected);
    }
}

/// Rows of weights before every next item, written out one by one.
#[test]
fn with_a_sequence_slim_agrees_with_its_formula() {
    let interactions = interactions();
    for share in [0.0_f32, 0.4, 1.0] {
        let sequence = SequenceParams { share, steps: 2.5 };
        let params = SlimParams {
            n_candidates: 6,
            l2: 3.0,
            dropout: 0.4,
            history_exponent: 0.3,
            sequence: Some(sequence),
            ..SlimParams::default()
        };
        let model = fit_slim(&interactions, &params, &|_, _| {}).unwrap();
        let (explaining, explained) = with_sequence(&interactions, f64::from(0.3_f32), share.into(), 2.5);
        let expected = twin_of(&explaining, &explained, 6, 0.5, 3.0, f64::from(0.4_f32));
        assert_close(&to_dense(&model), &expected);
    }
}

/// `G`, and what explains every column.
fn with_sequence(
    interactions: &Interactions,
    history_exponent: f64,
    share: f64,
    steps: f64,
) -> (Array2<f64>, Array2<f64>) {
    let n_items = interactions.n_items();
    let lengths: Vec<f64> = (0..interactions.n_users()).map(|u| interactions.items(u).len() as f64).collect();
    let voice = |n: f64| if n > 0.0 { n.powf(-history_exponent) } else { 0.0 };
    let unit = lengths.iter().sum::<f64>() / lengths.iter().map(|&n| voice(n) * n).sum::<f64>();
    let mut explaining = gram(interactions, history_exponent) * (1.0 - share);
    let mut explained = explaining.clone();
    for (user, length) in lengths.iter().enumerate() {
        let history = interactions.history(user);
        for next in 1..history.len() {
            let mut row = Array1::<f64>::zeros(n_items);
            for (place, entry) in history[..next].iter().enumerate() {
                row[entry.item.row()] = (-((next - 1 - place) as f64) / steps).exp();
            }
            let weight = share * unit * voice(*length);
            for i in 0..n_items {
                explained[[i, history[next].item.row()]] += weight * row[i];
                for j in 0..n_items {
                    explaining[[i, j]] += weight * row[i] * row[j];
                }
            }
        }
    }
    (explaining, explained)
}

fn twin(gram: &Array2<f64>, n_candidates: usize, exponent: f64, l2: f64, dropout: f64) -> Array2<f64> {
    twin_of(gram, gram, n_candidates, exponent, l2, dropout)
}

/// Column by column, each system inverted as a whole.
fn twin_of(
    gram: &Array2<f64>,
    explained: &Array2<f64>,
    n_candidates: usize,
    exponent: f64,
    l2: f64,
    dropout: f64,
) -> Array2<f64> {
    let n_items = gram.nrows();
    let (system, _) = penalised(gram, l2, dropout);
    let mut weights = Array2::zeros((n_items, n_items));
    for j in 0..n_items {
        let mut candidates: Vec<usize> =
            (0..n_items).filter(|&i| i != j && explained[[i, j]] > 0.0).collect();
        let strength = |i: usize| explained[[i, j]] / gram[[i, i]].powf(exponent);
        candidates.sort_by(|&a, &b| strength(b).total_cmp(&strength(a)));
        candidates.truncate(n_candidates);
        let n = candidates.len();
        let inverse = inverse(Array2::from_shape_fn((n, n), |(a, b)| system[[candidates[a], candidates[b]]]));
        for a in 0..n {
            weights[[candidates[a], j]] =
                (0..n).map(|b| inverse[[a, b]] * explained[[candidates[b], j]]).sum::<f64>();
        }
    }
    weights
}

/// Rare items lie outside the dense corner of the pairs: a catalogue larger than it, with the same structure in front
/// and in the tail.
#[test]
fn pairs_of_rare_items_are_those_of_frequent_ones() {
    let mut triples = Vec::new();
    // 9,000 items in pairs: each pair was bought together by two users, the frequent half by ten.
    for pair in 0..4_500_u32 {
        let n_users = if pair < 2_000 { 10 } else { 2 };
        for user in 0..n_users {
            for item in [pair * 2, pair * 2 + 1] {
                triples.push(Triple {
                    user: pair * 10 + user,
                    item: ItemIdx(item),
                    weight: 1.0,
                    time: Timestamp::default(),
                });
            }
            // What everybody bought ties the pair to a third item.
            triples.push(Triple {
                user: pair * 10 + user,
                item: ItemIdx(9_000),
                weight: 1.0,
                time: Timestamp::default(),
            });
        }
    }
    let interactions = Interactions::from_triples(45_000, 9_001, triples).unwrap();
    let params = SlimParams { l2: 1.0, dropout: 0.0, ..SlimParams::default() };
    let model = fit_slim(&interactions, &params, &|_, _| {}).unwrap();
    let ItemWeights::Sparse(weights) = model.weights() else { panic!("slim is sparse") };
    for (item, n) in [(0_usize, 10.0_f64), (8_998, 2.0)] {
        let (targets, got) = weights.row(item);
        let partner = targets.binary_search(&ItemIdx(item as u32 + 1)).unwrap();
        // [n + 1, n; n, all + 1]⁻¹ [n; n] by hand, `all` everybody who bought the third item.
        let all = 2_000.0 * 10.0 + 2_500.0 * 2.0 + 1.0;
        let expected = n * (all - n) / ((n + 1.0) * all - n * n);
        assert!(
            (f64::from(got[partner]) - expected).abs() < 1e-4,
            "{item}: {} is not {expected}",
            got[partner]
        );
    }
}

#[test]
fn linear_fits_are_the_same_for_any_number_of_threads() {
    let interactions = interactions();
    let fit = |n_threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        pool.install(|| {
            let slim = fit_slim(&interactions, &SlimParams::default(), &|_, _| {}).unwrap();
            (slim, fit_ease(&interactions, &EaseParams::default()).unwrap())
        })
    };
    assert_eq!(fit(1), fit(3));
}

#[test]
fn little_is_enough_and_nothing_is_an_error() {
    let one = |items: &[u32]| {
        let triples = items.iter().map(|&item| Triple {
            user: 0,
            item: ItemIdx(item),
            weight: 1.0,
            time: Timestamp::default(),
        });
        Interactions::from_triples(1, 3, triples.collect()).unwrap()
    };
    let (slim, ease) = (SlimParams::default(), EaseParams::default());
    for one in [one(&[0]), one(&[0, 2])] {
        let slim = to_dense(&fit_slim(&one, &slim, &|_, _| {}).unwrap());
        let ease = to_dense(&fit_ease(&one, &ease).unwrap());
        assert!(slim.iter().chain(&ease).all(|weight| weight.is_finite()));
    }
    assert!(matches!(fit_slim(&one(&[]), &slim, &|_, _| {}), Err(FitError::NoInteractions)));
    assert!(matches!(fit_ease(&one(&[]), &ease), Err(FitError::NoInteractions)));
}

#[test]
fn settings_out_of_range_are_refused_by_name() {
    let interactions = interactions();
    let slim = |params: SlimParams| fit_slim(&interactions, &params, &|_, _| {}).unwrap_err().to_string();
    let ease = |params: EaseParams| fit_ease(&interactions, &params).unwrap_err().to_string();
    let (s, e) = (SlimParams::default(), EaseParams::default());
    for (got, named) in [
        (slim(SlimParams { n_candidates: 0, ..s.clone() }), "n_candidates is 0"),
        (slim(SlimParams { candidate_exponent: 3.0, ..s.clone() }), "candidate_exponent is 3"),
        (slim(SlimParams { l2: 0.0, ..s.clone() }), "l2 is 0"),
        (slim(SlimParams { dropout: 1.0, ..s.clone() }), "dropout is 1"),
        (slim(SlimParams { history_exponent: f32::NAN, ..s.clone() }), "history_exponent is NaN"),
        (slim(SlimParams { max_history: 1, ..s.clone() }), "max_history is 1"),
        (
            slim(SlimParams { sequence: Some(SequenceParams { share: 1.1, steps: 1.0 }), ..s.clone() }),
            "share is 1.1",
        ),
        (slim(SlimParams { sequence: Some(SequenceParams { share: 0.5, steps: 0.0 }), ..s }), "steps is 0"),
        (ease(EaseParams { l2: f32::NAN, ..e.clone() }), "l2 is NaN"),
        (ease(EaseParams { dropout: -0.1, ..e.clone() }), "dropout is -0.1"),
        (ease(EaseParams { diagonal: 1.0, ..e.clone() }), "diagonal is 1"),
        (ease(EaseParams { history_exponent: -1.0, ..e.clone() }), "history_exponent is -1"),
        (ease(EaseParams { max_history: 0, ..e }), "max_history is 0"),
    ] {
        assert!(got.starts_with(named), "{got}");
    }
}

#[test]
fn a_matrix_that_does_not_fit_is_refused_before_it_is_made() {
    let triples = vec![Triple { user: 0, item: ItemIdx(0), weight: 1.0, time: Timestamp::default() }];
    let interactions = Interactions::from_triples(1, 20_000, triples).unwrap();
    let params = EaseParams { max_memory_mib: Some(1_000), ..EaseParams::default() };
    let refused = fit_ease(&interactions, &params).unwrap_err().to_string();
    assert_eq!(
        refused,
        "20000 items need 1525 MiB for a matrix of all pairs; 1000 MiB are there: slim does with less"
    );
}

#[test]
fn a_system_that_cannot_be_solved_is_an_error() {
    // Weights whose squares overflow leave nothing to solve.
    let triples = (0..4).map(|n| Triple {
        user: n / 2,
        item: ItemIdx(n % 2),
        weight: 1e30,
        time: Timestamp::default(),
    });
    let interactions = Interactions::from_triples(2, 2, triples.collect()).unwrap();
    let slim = fit_slim(&interactions, &SlimParams::default(), &|_, _| {}).unwrap_err().to_string();
    assert!(slim.starts_with("what explains item"), "{slim}");
    let ease = fit_ease(&interactions, &EaseParams::default()).unwrap_err().to_string();
    assert!(ease.starts_with("what explains item"), "{ease}");
}
