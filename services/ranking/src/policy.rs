//! What the score alone does not decide: pins, and variety of categories.

use waggle_contracts::{ranking::RankRequest, retrieval::ProposedItem};
use waggle_model::Placement;

/// How a placement arranges its slate.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// 0 keeps the order of the scores; towards 1, an item loses more the more items of its category stand above it.
    pub diversity: f32,
}

impl Policy {
    /// The default of a placement. Pages about one item or one basket want close matches, the home page too: measured on
    /// held-out orders, any variety costs NDCG, so a shop that wants it asks for it.
    pub fn of(_placement: &Placement) -> Self {
        Self { diversity: 0.0 }
    }
}

/// The candidates' places in slate order, at most `request.k`: pinned items first, then greedily the best of what is
/// left. Ties go to the earlier candidate.
///
/// With variety δ an item's value is `(1 − δ)·r − δ·s`, with `r` its score's place in the range of all scores (0 to 1)
/// and `s` the share of the slate so far that has its category: maximal marginal relevance (Carbonell and Goldstein
/// 1998) with "same category" as similarity.
pub fn arrange(request: &RankRequest, scores: &[f32], policy: &Policy) -> Vec<usize> {
    let candidates = &request.candidates;
    let mut slate: Vec<usize> = Vec::with_capacity(request.k);
    let mut is_placed = vec![false; candidates.len()];
    for pin in &request.pin {
        if let Some(place) = candidates.iter().position(|c| c.item == *pin).filter(|p| !is_placed[*p]) {
            is_placed[place] = true;
            slate.push(place);
        }
    }
    let mut rest: Vec<usize> = (0..candidates.len()).filter(|place| !is_placed[*place]).collect();
    rest.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b)));
    let diversity = policy.diversity.clamp(0.0, 1.0);
    if diversity > 0.0 {
        diversify(candidates, scores, diversity, &mut slate, rest, request.k);
    } else {
        slate.extend(rest);
    }
    slate.truncate(request.k);
    slate
}

/// Fills the slate up to `k` by marginal relevance; `rest` is sorted by score.
fn diversify(
    candidates: &[ProposedItem],
    scores: &[f32],
    diversity: f32,
    slate: &mut Vec<usize>,
    mut rest: Vec<usize>,
    k: usize,
) {
    let (Some(&best), Some(&worst)) = (rest.first(), rest.last()) else { return };
    let range = (scores[best] - scores[worst]).max(f32::EPSILON);
    let category = |place: usize| candidates[place].attributes.category;
    while slate.len() < k && !rest.is_empty() {
        let value = |place: usize| {
            let relevance = (scores[place] - scores[worst]) / range;
            let alike = slate.iter().filter(|shown| category(**shown) == category(place)).count();
            (1.0 - diversity) * relevance - diversity * alike as f32 / slate.len().max(1) as f32
        };
        // Of equals the first wins: `max_by` would take the last.
        let mut chosen = 0;
        for other in 1..rest.len() {
            if value(rest[other]) > value(rest[chosen]) {
                chosen = other;
            }
        }
        slate.push(rest.remove(chosen));
    }
}
