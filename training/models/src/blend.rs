//! Several models as one: a weighted sum of their scores.

#[cfg(test)]
mod tests;

use crate::{ItemScorer, Query, RecommendError};

/// `score(i) = Σ_m w_m · s_m(i)/‖s_m‖`, `‖s_m‖` the root of the mean square of what model `m` says about all items: models score on
/// scales of their own, and one and the same on other scales for short and long histories.
///
/// No opinion of a model counts 0; an item of which no model has one gets none.
pub struct Blend {
    parts: Vec<(Box<dyn ItemScorer>, f32)>,
    n_items: usize,
}

/// Why models are not a blend.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BlendError {
    #[error("a blend needs a model")]
    Empty,
    #[error("{name} has {got} items, the models before it {expected}")]
    Items { name: String, got: usize, expected: usize },
    #[error("the weight of {name} is {got}, it must be finite and not negative")]
    Weight { name: String, got: f32 },
}

impl Blend {
    /// Models over the same rows, with weights.
    ///
    /// # Errors
    /// [`BlendError`] where there is none, they differ in their items, or a weight is negative or not finite.
    pub fn try_new(parts: Vec<(Box<dyn ItemScorer>, f32)>) -> Result<Self, BlendError> {
        let expected = parts.first().map(|(model, _)| model.n_items()).ok_or(BlendError::Empty)?;
        for (model, weight) in &parts {
            let name = || model.name().to_owned();
            if model.n_items() != expected {
                return Err(BlendError::Items { name: name(), got: model.n_items(), expected });
            }
            if !(weight.is_finite() && *weight >= 0.0) {
                return Err(BlendError::Weight { name: name(), got: *weight });
            }
        }
        Ok(Self { parts, n_items: expected })
    }
}

impl ItemScorer for Blend {
    fn name(&self) -> &'static str {
        "blend"
    }

    fn n_items(&self) -> usize {
        self.n_items
    }

    fn score_items(&self, query: &Query<'_>, scores: &mut [f32]) -> Result<(), RecommendError> {
        self.score_items_for_all(std::slice::from_ref(query), scores)
    }

    fn score_items_for_all(&self, queries: &[Query<'_>], scores: &mut [f32]) -> Result<(), RecommendError> {
        scores.fill(f32::NEG_INFINITY);
        let n_items = self.n_items.max(1);
        let mut own = vec![0.0; queries.len() * n_items];
        for (model, weight) in &self.parts {
            model.score_items_for_all(queries, &mut own)?;
            for (scores, own) in scores.chunks_exact_mut(n_items).zip(own.chunks_exact(n_items)) {
                let scale = weight / root_mean_square(own).max(f32::MIN_POSITIVE);
                for (score, own) in scores.iter_mut().zip(own) {
                    if own.is_finite() {
                        *score = if score.is_finite() { *score } else { 0.0 } + scale * own;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Over all items; no opinion is 0.
pub fn root_mean_square(scores: &[f32]) -> f32 {
    let squares = scores.iter().filter(|score| score.is_finite()).map(|score| f64::from(*score).powi(2));
    (squares.sum::<f64>() / scores.len().max(1) as f64).sqrt() as f32
}
