use waggle_model::Timestamp;
use waggle_models::{Blend, HistoryEntry, Query, RecommendError, Recommender};

use super::*;

/// Scores of every case, which is told by the weight of the one item of its history.
struct Knows(Vec<Vec<f32>>);

impl ItemScorer for Knows {
    fn name(&self) -> &'static str {
        "knows"
    }

    fn n_items(&self) -> usize {
        N_ITEMS
    }

    fn score_items(&self, query: &Query<'_>, scores: &mut [f32]) -> Result<(), RecommendError> {
        scores.copy_from_slice(&self.0[query.history[0].weight as usize]);
        Ok(())
    }
}

const N_ITEMS: usize = 40;

fn cases(n: usize) -> Vec<Case> {
    let now = Timestamp::from_millis(0);
    let case = |at: usize| Case {
        person: None,
        history: vec![HistoryEntry { item: ItemIdx(0), weight: at as f32, time: now }],
        truth: vec![ItemIdx((at * 7 % N_ITEMS) as u32)],
        exclude: Vec::new(),
        now,
    };
    (0..n).map(case).collect()
}

/// Certain of the truth in the cases that `is_known` names, and of another item in all others.
fn knows(n: usize, certainty: f32, is_known: impl Fn(usize) -> bool) -> Box<dyn ItemScorer> {
    let scores = |at: usize| {
        let mut scores = vec![0.0; N_ITEMS];
        scores[(at * 11 + 5) % N_ITEMS] = certainty / 3.0;
        scores[if is_known(at) { at * 7 % N_ITEMS } else { (at * 7 + 1) % N_ITEMS }] = certainty;
        scores
    };
    Box::new(Knows((0..n).map(scores).collect()))
}

#[test]
fn a_model_that_is_right_counts_and_one_that_is_wrong_does_not() {
    let cases = cases(200);
    let models = || {
        vec![
            knows(200, 1.0, |at| at % 2 == 0),
            knows(200, 50.0, |at| at % 3 != 0),
            knows(200, 1.0, |_| false),
        ]
    };
    let weights = blend_weights(&models(), &cases, 1).unwrap();
    assert_eq!((weights[0], weights[2]), (1.0, 0.0));
    assert!(weights[1] >= 1.0, "it is right more often: {weights:?}");
    let ndcg = |recommender: &dyn Recommender| {
        waggle_evaluation::evaluate(recommender, &cases, &[1], N_ITEMS).unwrap().mean("ndcg@1").unwrap()
    };
    let best_single = models().iter().map(|model| ndcg(model)).fold(0.0, f64::max);
    let blend = Blend::try_new(models().into_iter().zip(weights).collect()).unwrap();
    assert!(ndcg(&blend) > best_single, "{} is not above {best_single}", ndcg(&blend));
}

#[test]
fn one_model_is_a_blend_of_itself_and_none_is_an_error() {
    let cases = cases(10);
    assert_eq!(blend_weights(&[knows(10, 1.0, |_| true)], &cases, 5).unwrap(), [1.0]);
    assert_eq!(blend_weights(&[], &cases, 5).unwrap_err().to_string(), "there is no model to blend");
}
