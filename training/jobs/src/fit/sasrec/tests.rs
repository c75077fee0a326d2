use waggle_model::{ItemIdx, Timestamp};
use waggle_models::{HistoryEntry, ItemScorer as _, Query, Recommender as _};

use super::*;
use crate::fit::Triple;

const N_ITEMS: usize = 9;
const NEGATIVES: [u32; 4] = [8, 2, 5, 2];

fn sequences_by_hand() -> Vec<Vec<u32>> {
    vec![vec![1, 2, 3, 4], vec![7, 0], vec![5, 6, 2]]
}

/// Norms and shifts are not left at what would hide a mistake.
fn weights() -> SasRecWeights {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut weights = SasRecWeights::initial(N_ITEMS, 5, 6, 2, &mut rng);
    for slice in weights.others_mut() {
        slice.iter_mut().for_each(|weight| *weight += rng.gen_range(-0.3..0.3));
    }
    weights
}

fn gradients(weights: &SasRecWeights, dropout: f32) -> Gradients {
    let sequences = sequences_by_hand();
    let n_steps = sequences.iter().map(|sequence| sequence.len() - 1).sum();
    let part = Part { weights, sequences: &sequences, negatives: &NEGATIVES, n_steps };
    part.gradients(&mut Dropout::new(dropout, 42, 0))
}

/// The same zeros every time, so that the loss has a slope with dropout, too.
fn assert_slope(nudge: impl Fn(&mut SasRecWeights, f32), gradient: f32, what: &str) {
    /// Small, so that no ramp bends within it.
    const STEP: f32 = 3e-3;
    let loss = |by: f32| {
        let mut weights = weights();
        nudge(&mut weights, by);
        f64::from(gradients(&weights, 0.3).loss)
    };
    // Of fourth order: what is left is rounding.
    let slope = (8.0 * (loss(STEP) - loss(-STEP)) - (loss(2.0 * STEP) - loss(-2.0 * STEP)))
        / (12.0 * f64::from(STEP));
    let gradient = f64::from(gradient);
    assert!((slope - gradient).abs() < 1e-3 + 0.01 * gradient.abs(), "{what}: {slope}, not {gradient}");
}

#[test]
fn the_gradient_is_the_slope_of_the_loss() {
    let gradients = gradients(&weights(), 0.3);
    for (at, slice) in gradients.others.iter().enumerate() {
        for place in (0..slice.len()).step_by((slice.len() / 5).max(1)) {
            let nudge = |weights: &mut SasRecWeights, by| weights.others_mut()[at][place] += by;
            assert_slope(nudge, slice[place], &format!("slice {at} at {place}"));
        }
    }
    let mut by_items = Array2::zeros((N_ITEMS, 6));
    gradients.add_items_to(&mut by_items, &NEGATIVES);
    for ((item, column), gradient) in by_items.indexed_iter() {
        let nudge = |weights: &mut SasRecWeights, by| weights.items[[item, column]] += by;
        assert_slope(nudge, *gradient, &format!("item {item} at {column}"));
    }
}

/// Histories that differ in what comes last differ in the loss by what is served for the rest.
#[test]
fn the_loss_is_that_of_the_scores_that_are_served() {
    let weights = weights();
    let loss_of_all_and = |last: u32| {
        let sequences = vec![vec![7, 0, 4, last]];
        let part = Part { weights: &weights, sequences: &sequences, negatives: &NEGATIVES, n_steps: 1 };
        part.gradients(&mut Dropout::new(0.0, 42, 0)).loss
    };
    let history =
        [7, 0, 4].map(|item| HistoryEntry { item: ItemIdx(item), weight: 1.0, time: Timestamp::default() });
    let query = Query { history: &history, exclude: &[], now: Timestamp::default(), person: None };
    let mut scores = vec![0.0; N_ITEMS];
    SasRec::try_new(weights.clone()).unwrap().score_items(&query, &mut scores).unwrap();
    let loss_of_last = |last: u32| {
        let others = NEGATIVES.iter().filter(|negative| **negative != last);
        let sum: f32 = others.map(|negative| scores[*negative as usize].exp()).sum();
        let own = scores[last as usize].exp();
        ((own + sum) / own).ln()
    };
    for (one, other) in [(1, 3), (1, 2), (8, 6)] {
        let (got, expected) =
            (loss_of_all_and(one) - loss_of_all_and(other), loss_of_last(one) - loss_of_last(other));
        assert!((got - expected).abs() < 1e-5, "{one} and {other}: {got}, not {expected}");
    }
}

/// Everybody goes round a circle from some place on.
fn circle() -> Interactions {
    let triple = |user: u32, n: u32| Triple {
        user,
        item: ItemIdx((user + n) % 20),
        weight: 1.0,
        time: Timestamp::from_millis(n.into()),
    };
    let triples = (0..200).flat_map(|user| (0..6).map(move |n| triple(user, n))).collect();
    Interactions::from_triples(200, 20, triples).unwrap()
}

fn small() -> SasRecParams {
    SasRecParams { width: 16, n_negatives: 16, batch_size: 20, n_epochs: 60, ..SasRecParams::default() }
}

#[test]
fn the_next_item_of_a_circle_is_found() {
    let model = fit_sasrec(&circle(), &small(), 42, &|_, _| {}).unwrap();
    for start in 0..20 {
        let history: Vec<HistoryEntry> = (start..start + 4)
            .map(|n| HistoryEntry { item: ItemIdx(n % 20), weight: 1.0, time: Timestamp::default() })
            .collect();
        let query = Query { history: &history, exclude: &[], now: Timestamp::default(), person: None };
        let first = model.recommend(&query, 1).unwrap()[0].item;
        assert_eq!(first, ItemIdx((start + 4) % 20));
    }
}

#[test]
fn the_fit_does_not_depend_on_threads_but_on_the_seed() {
    let params = SasRecParams { n_epochs: 2, batch_size: 100, ..small() };
    let fit = |threads, seed| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| fit_sasrec(&circle(), &params, seed, &|_, _| {})).unwrap()
    };
    assert_eq!(fit(1, 42), fit(3, 42));
    assert_ne!(fit(1, 42), fit(1, 43));
}

#[test]
fn what_cannot_be_learned_from_is_refused() {
    let nothing = Interactions::from_triples(3, 3, vec![]).unwrap();
    let refused = |params: SasRecParams| {
        fit_sasrec(&circle(), &params, 42, &|_, _| {}).map(|_| ()).unwrap_err().to_string()
    };
    assert!(matches!(fit_sasrec(&nothing, &small(), 42, &|_, _| {}), Err(FitError::NoInteractions)));
    assert_eq!(
        refused(SasRecParams { dropout: 1.0, ..small() }),
        "dropout is 1, it must be from 0 to less than 1"
    );
    assert_eq!(refused(SasRecParams { width: 0, ..small() }), "width is 0, it must be from 1 to 4096");
    assert_eq!(
        refused(SasRecParams { learning_rate: f32::NAN, ..small() }),
        "learning_rate is NaN, it must be finite and greater than 0"
    );
    assert_eq!(
        refused(SasRecParams { learning_rate: 1e30, ..small() }),
        "the weights grew beyond all bounds: a smaller learning_rate helps"
    );
}
