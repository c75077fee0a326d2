//! Features and scores of all candidates of a request.

use std::cell::Cell;

use waggle_contracts::{ranking::RankRequest, retrieval::ProposedItem};
use waggle_features::{CandidateInput, FEATURES, PersonContext, ranking::values};
use waggle_model::ItemKey;
use waggle_models::ranker::Ranker;

/// Scores by candidate, and the feature values they came from.
pub struct Scores {
    /// Higher is better; comparable within one request.
    pub scores: Vec<f32>,
    /// `[n_candidates, n_features]`, row-major; empty without a ranker.
    values: Vec<f32>,
}

thread_local! {
    /// Values of the request before, as memory: it is some dozens of KiB, and would be new and zeroed each time.
    static SPARE: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

impl Drop for Scores {
    fn drop(&mut self) {
        SPARE.set(std::mem::take(&mut self.values));
    }
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
    let known = &request.known_items;
    let attributes = |item: ItemKey| {
        let place = known.binary_search_by_key(&item, |(key, _)| *key).ok()?;
        Some(known[place].1)
    };
    let person = PersonContext::new(&request.person, &request.context_items, request.now, attributes);
    let n_features = FEATURES.len();
    let mut all_values = SPARE.take();
    all_values.resize(n_features * request.candidates.len(), 0.0);
    let rows = all_values.chunks_exact_mut(n_features);
    for ((row, candidate), facts) in rows.zip(request.candidates.iter()).zip(&request.item_facts) {
        let ProposedItem { item, attributes, opinions, .. } = candidate;
        let input = CandidateInput { item: *item, facts, attributes: *attributes, opinions };
        values(&person, &input, row);
    }
    let mut scores = vec![0.0; request.candidates.len()];
    ranker.score_all(&all_values, &mut scores);
    Scores { scores, values: all_values }
}

/// Reciprocal rank fusion, `Σ 1/(60 + rank)` (Cormack, Clarke and Büttcher 2009): the order without a ranker.
fn fused_rank(candidate: &ProposedItem) -> f32 {
    candidate.opinions.iter().map(|opinion| 1.0 / (60.0 + opinion.rank as f32)).sum()
}
