//! Features and scores of all candidates of a request.

use std::collections::HashMap;

use waggle_contracts::{ranking::RankRequest, retrieval::ProposedItem};
use waggle_features::{CandidateInput, FEATURES, ItemAttributes, Opinion, PersonContext, ranking::values};
use waggle_model::{ItemId, ItemKey};
use waggle_models::ranker::Ranker;

/// Scores by candidate, and the feature values they came from.
pub struct Scores {
    /// Higher is better; comparable within one request.
    pub scores: Vec<f32>,
    /// `[n_candidates, n_features]`, row-major; empty without a ranker.
    values: Vec<f32>,
}

impl Scores {
    /// The feature values of one candidate; empty without a ranker.
    pub fn features(&self, candidate: usize) -> &[f32] {
        self.values.chunks_exact(FEATURES.len()).nth(candidate).unwrap_or_default()
    }
}

/// Scores every candidate with the ranker, or by its sources' ranks where there is none.
pub fn score_all(ranker: Option<&Ranker>, request: &RankRequest) -> Scores {
    let Some(ranker) = ranker else {
        return Scores { scores: request.candidates.iter().map(fused_rank).collect(), values: Vec::new() };
    };
    let known: HashMap<ItemKey, ItemAttributes> = request.known_items.iter().copied().collect();
    let context_items: Vec<ItemKey> = request.context_items.iter().map(ItemId::key).collect();
    let person =
        PersonContext::new(&request.person, &context_items, request.now, |item| known.get(&item).copied());
    let n_features = FEATURES.len();
    let mut all_values = vec![0.0; n_features * request.candidates.len()];
    let mut opinions: Vec<Opinion> = Vec::new();
    let rows = all_values.chunks_exact_mut(n_features);
    let candidates = request.candidates.iter().zip(&request.item_states);
    let scores = rows
        .zip(candidates)
        .map(|(row, (candidate, state))| {
            opinions.clear();
            opinions.extend(candidate.sources.iter().map(Opinion::from));
            let input = CandidateInput {
                item: candidate.item.item_id.key(),
                state,
                attributes: candidate.attributes,
                opinions: &opinions,
            };
            values(&person, &input, row);
            ranker.score(row)
        })
        .collect();
    Scores { scores, values: all_values }
}

/// Reciprocal rank fusion, `Σ 1/(60 + rank)` (Cormack, Clarke and Büttcher 2009): the order without a ranker.
fn fused_rank(candidate: &ProposedItem) -> f32 {
    candidate.sources.iter().map(|source| 1.0 / (60.0 + source.rank as f32)).sum()
}
