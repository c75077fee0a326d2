//! How much each of several models should count.

#[cfg(test)]
mod tests;

use anyhow::{Context as _, Result};
use rayon::prelude::*;
use waggle_evaluation::{Case, metrics};
use waggle_model::{ItemIdx, Scored};
use waggle_models::{ItemScorer, blend::root_mean_square, top_k};

/// Weights in order; the first model counts 1, and every other one of these.
const WEIGHTS: &[f32] = &[0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0, 5.0];
/// What every model puts first is what a blend may put first.
const FIRST: usize = 100;
/// Evenly spread: the weights are few, and more cases would hardly change them.
const MAX_CASES: usize = 6_000;

/// Weights of a [`Blend`](waggle_models::Blend) of the models, the best of which comes first, by NDCG at `cutoff`: one weight at a time is
/// tried at all values, and the best kept, until none is better.
///
/// # Errors
/// When a model fails on a case.
pub fn blend_weights(models: &[Box<dyn ItemScorer>], cases: &[Case], cutoff: usize) -> Result<Vec<f32>> {
    let every = cases.len().div_ceil(MAX_CASES).max(1);
    let sampled: Vec<&Case> = cases.iter().step_by(every).collect();
    let shortlists: Vec<Shortlist> =
        sampled.par_iter().map(|case| Shortlist::new(models, case)).collect::<Result<_>>()?;
    let mut weights = vec![0.0; models.len()];
    *weights.first_mut().context("there is no model to blend")? = 1.0;
    let mut best = mean_ndcg(&shortlists, &weights, cutoff);
    loop {
        let before = best;
        for at in 1..weights.len() {
            for &weight in WEIGHTS {
                let old = std::mem::replace(&mut weights[at], weight);
                let reached = mean_ndcg(&shortlists, &weights, cutoff);
                if reached > best {
                    best = reached;
                } else {
                    weights[at] = old;
                }
            }
        }
        if best <= before {
            return Ok(weights);
        }
    }
}

/// What the models put first for one case, each item with the scores of all models.
struct Shortlist {
    truth: Vec<ItemIdx>,
    items: Vec<ItemIdx>,
    /// `[items, models]`.
    scores: Vec<f32>,
}

impl Shortlist {
    fn new(models: &[Box<dyn ItemScorer>], case: &Case) -> Result<Self> {
        let query = case.query();
        let (mut all, mut items) = (Vec::new(), Vec::new());
        for model in models {
            let mut scores = vec![0.0; model.n_items()];
            model.score_items(&query, &mut scores)?;
            items.extend(top_k(&scores, &query, FIRST).into_iter().map(|scored| scored.item));
            all.push((root_mean_square(&scores).max(f32::MIN_POSITIVE), scores));
        }
        items.sort_unstable();
        items.dedup();
        let score = |item: &ItemIdx| {
            let item = item.row();
            all.iter()
                .map(move |(norm, scores)| if scores[item].is_finite() { scores[item] / norm } else { 0.0 })
        };
        let scores = items.iter().flat_map(score).collect();
        Ok(Self { truth: case.truth.clone(), items, scores })
    }

    fn ndcg(&self, weights: &[f32], cutoff: usize) -> f64 {
        let scored = self.items.iter().zip(self.scores.chunks(weights.len()));
        let mut list: Vec<Scored> = scored
            .map(|(&item, scores)| Scored {
                item,
                score: scores.iter().zip(weights).map(|(s, w)| s * w).sum(),
            })
            .collect();
        if list.len() > cutoff {
            list.select_nth_unstable_by(cutoff - 1, Scored::best_first);
            list.truncate(cutoff);
        }
        list.sort_unstable_by(Scored::best_first);
        let list: Vec<ItemIdx> = list.into_iter().map(|scored| scored.item).collect();
        metrics::ndcg_at_k(&list, &self.truth, cutoff).unwrap_or(0.0)
    }
}

fn mean_ndcg(shortlists: &[Shortlist], weights: &[f32], cutoff: usize) -> f64 {
    // Summed in order: the same bits for any number of threads.
    let values: Vec<f64> = shortlists.par_iter().map(|shortlist| shortlist.ndcg(weights, cutoff)).collect();
    values.iter().sum::<f64>() / values.len().max(1) as f64
}
