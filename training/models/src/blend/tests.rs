use waggle_model::{ItemIdx, Timestamp};

use super::*;
use crate::Recommender;

struct Fixed(Vec<f32>);

impl ItemScorer for Fixed {
    fn name(&self) -> &'static str {
        "fixed"
    }

    fn n_items(&self) -> usize {
        self.0.len()
    }

    fn score_items(&self, _query: &Query<'_>, scores: &mut [f32]) -> Result<(), RecommendError> {
        scores.copy_from_slice(&self.0);
        Ok(())
    }
}

const NOBODY: Query<'static> =
    Query { history: &[], exclude: &[], now: Timestamp::from_millis(0), person: None };
const NONE: f32 = f32::NEG_INFINITY;

fn blend(parts: &[(&[f32], f32)]) -> Result<Blend, BlendError> {
    let boxed =
        |&(scores, weight): &(&[f32], f32)| (Box::new(Fixed(scores.to_vec())) as Box<dyn ItemScorer>, weight);
    Blend::try_new(parts.iter().map(boxed).collect())
}

fn scores(parts: &[(&[f32], f32)]) -> Vec<f32> {
    let blend = blend(parts).unwrap();
    let mut scores = vec![9.0; blend.n_items()];
    blend.score_items(&NOBODY, &mut scores).unwrap();
    scores
}

#[test]
fn scales_of_models_do_not_matter_and_weights_do() {
    // Root mean squares 2 and 200.
    let (small, large) = ([4.0, 0.0, 0.0, 0.0], [0.0, 400.0, 0.0, 0.0]);
    assert_eq!(scores(&[(&small, 1.0), (&large, 1.0)]), [2.0, 2.0, 0.0, 0.0]);
    assert_eq!(scores(&[(&small, 1.0), (&large, 1.5)]), [2.0, 3.0, 0.0, 0.0]);
    assert_eq!(scores(&[(&small, 1.0), (&large, 0.0)]), [2.0, 0.0, 0.0, 0.0]);
}

#[test]
fn no_opinion_counts_nothing() {
    let parts: &[(&[f32], f32)] = &[(&[2.0, NONE, NONE, 2.0], 1.0), (&[NONE, -4.0, NONE, 0.0], 1.0)];
    let root_2 = 2.0_f32.sqrt();
    let expected = [2.0 / root_2, -2.0, NONE, 2.0 / root_2];
    for (got, expected) in scores(parts).into_iter().zip(expected) {
        assert!((got - expected).abs() < 1e-6 || got.total_cmp(&expected).is_eq(), "{got} is not {expected}");
    }
    let list = blend(parts).unwrap().recommend(&NOBODY, 4).unwrap();
    assert_eq!(list.iter().map(|s| s.item).collect::<Vec<_>>(), [ItemIdx(0), ItemIdx(3), ItemIdx(1)]);
    assert_eq!(scores(&[(&[0.0, 0.0], 1.0)]), [0.0, 0.0], "a model without a say is no division by zero");
    assert_eq!(scores(&[(&[NONE, NONE], 1.0)]), [NONE, NONE]);
}

#[test]
fn models_that_do_not_fit_together_are_refused() {
    let refused = |parts: &[(&[f32], f32)]| blend(parts).err().unwrap();
    assert_eq!(refused(&[]), BlendError::Empty);
    let other = BlendError::Items { name: "fixed".to_owned(), got: 2, expected: 1 };
    assert_eq!(refused(&[(&[1.0], 1.0), (&[1.0, 2.0], 1.0)]), other);
    assert_eq!(refused(&[(&[1.0], -1.0)]), BlendError::Weight { name: "fixed".to_owned(), got: -1.0 });
    assert!(matches!(refused(&[(&[1.0], f32::NAN)]), BlendError::Weight { .. }));
}
