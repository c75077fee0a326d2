//! The first stage: which few hundred of all items are worth ranking for this person now.
//!
//! Retrieval serves with this and training learns from it, so a ranker meets in production the lists it was trained on.
//! Bought items come from the source "repeat" alone; the other sources propose what the person does not have. Once the
//! list is set, the models give their opinion on all of it: an item that "trending" found still carries its similarity
//! to the person's items.

mod accumulator;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use waggle_features::{ItemHistory, LiveLists, Opinion, PersonState, SessionItem, session_items};
use waggle_model::{CandidateSource, ItemIdx, ItemKey, Scored, Timestamp};

use crate::{Als, AnnIndex, HistoryEntry, ItemItem, RecommendError, Vocabulary};
use accumulator::Accumulator;

/// The parts of a snapshot that propose; a part may be missing (a small shop has popularity alone).
#[derive(Clone, Copy)]
pub struct CandidateModels<'a> {
    pub vocabulary: &'a Vocabulary,
    pub als: Option<&'a Als>,
    /// Index over the item factors of `als`.
    pub ann: Option<&'a dyn AnnIndex>,
    pub item_item: Option<&'a ItemItem>,
}

/// Who asks for what.
#[derive(Clone, Copy)]
pub struct CandidateQuery<'a> {
    pub person: &'a PersonState,
    /// Items of the page: the item of an item page, the contents of a basket. Never proposed.
    pub context_items: &'a [ItemKey],
    pub now: Timestamp,
    pub limits: &'a SourceLimits,
    /// Whether an item may be shown at all; `None` allows every item.
    pub allow: Option<&'a (dyn Fn(ItemKey) -> bool + Sync)>,
    /// Leave out what the person bought before.
    pub exclude_known: bool,
}

/// How many items each source may propose, and how far models look back. 0 turns a source off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SourceLimits {
    pub ann: usize,
    pub item_item: usize,
    pub repeat: usize,
    pub session: usize,
    pub trending: usize,
    pub new: usize,
    /// Newest items of the history that item-item similarities are summed over.
    pub item_item_history: usize,
}

/// A proposed item with everybody's opinion of it, the source that ranks it highest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    pub item: ItemKey,
    /// `None` for an item that is newer than the snapshot.
    pub idx: Option<ItemIdx>,
    pub sources: Vec<Opinion>,
}

impl Default for SourceLimits {
    fn default() -> Self {
        Self {
            ann: 100,
            item_item: 80,
            repeat: 150,
            session: 60,
            trending: 60,
            new: 20,
            item_item_history: 100,
        }
    }
}

/// The candidates, ascending by key: a set to be ranked, not a list to be shown.
///
/// Costs one fold-in, one index search and `history · neighbours` additions; a person without history gets trending and
/// new items, which need no model.
///
/// # Errors
/// [`RecommendError::Solve`] if the person's factors cannot be solved.
pub fn candidates(
    models: &CandidateModels<'_>,
    live: &LiveLists,
    query: &CandidateQuery<'_>,
) -> Result<Vec<Proposal>, RecommendError> {
    let session = session_items(query.person, query.context_items, query.now);
    let mut stage = Stage::new(models, query);
    let history = history_entries(query.person, &session, models.vocabulary);
    let factors = fold_in(models, &history)?;
    let item_item = models.item_item.map(|model| history_similarities(model, query, models.vocabulary));
    let session_item_item =
        models.item_item.map(|model| session_similarities(model, &session, models.vocabulary));

    stage.propose_repeats();
    if let (Some(factors), Some(ann)) = (&factors, models.ann) {
        stage.propose_ann(ann, factors);
    }
    stage.propose_similar(CandidateSource::ItemItem, item_item.as_ref(), query.limits.item_item);
    stage.propose_similar(CandidateSource::Session, session_item_item.as_ref(), query.limits.session);
    stage.propose_live(CandidateSource::Trending, &live.trending, query.limits.trending);
    stage.propose_live(CandidateSource::New, &live.new, query.limits.new);

    let mut proposals = stage.into_proposals();
    if let (Some(als), Some(factors)) = (models.als, &factors) {
        give_opinions(&mut proposals, CandidateSource::Ann, |idx| Some((als.score(factors, idx), None)));
    }
    for (source, similarities) in
        [(CandidateSource::ItemItem, &item_item), (CandidateSource::Session, &session_item_item)]
    {
        if let Some(similarities) = similarities {
            give_opinions(&mut proposals, source, |idx| {
                similarities
                    .get(idx)
                    .map(|(score, because)| (score, Some(models.vocabulary.id(because).key())))
            });
        }
    }
    for proposal in &mut proposals {
        proposal.sources.sort_by_key(|opinion| (opinion.rank, opinion.source));
    }
    Ok(proposals)
}

/// The person's history as models take it: known items of positive strength, the one touched longest ago first. Items of
/// the session count up to [`SESSION_BOOST`] times more, those of the page that the person never touched are added.
pub fn history_entries(
    person: &PersonState,
    session: &[SessionItem],
    vocabulary: &Vocabulary,
) -> Vec<HistoryEntry> {
    let boost: HashMap<ItemKey, f32> = session.iter().map(|s| (s.item, s.weight)).collect();
    let mut entries: Vec<HistoryEntry> = Vec::with_capacity(person.items.len() + session.len());
    for entry in &person.items {
        let session_weight = boost.get(&entry.item).copied().unwrap_or(0.0);
        let weight = entry.strength() * (1.0 + SESSION_BOOST * session_weight);
        if let (Some(item), true) = (vocabulary.idx_of_key(entry.item), weight > 0.0) {
            entries.push(HistoryEntry { item, weight, time: entry.last });
        }
    }
    for item in session.iter().filter(|s| person.item(s.item).is_none()) {
        if let Some(idx) = vocabulary.idx_of_key(item.item) {
            entries.push(HistoryEntry {
                item: idx,
                weight: item.weight * SESSION_BOOST,
                time: person.last_seen,
            });
        }
    }
    entries
}

/// How much more an item of the session counts in a person's vector.
pub const SESSION_BOOST: f32 = 2.0;

/// What an item page shows beside the item.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SimilarItems {
    /// By cosine of the embeddings, best first: could stand in its place.
    pub similar: Vec<Scored>,
    /// By item-item similarity, best first: goes with it.
    pub bought_together: Vec<Scored>,
}

/// The `k` best of each kind for the page of `item`, itself left out. Both lists are empty for an item that is newer than
/// the snapshot. Costs one scan over the embeddings, `O(n_items·f)`.
pub fn similar(
    models: &CandidateModels<'_>,
    item: ItemKey,
    k: usize,
    allow: Option<&(dyn Fn(ItemKey) -> bool + Sync)>,
) -> SimilarItems {
    let Some(idx) = models.vocabulary.idx_of_key(item) else { return SimilarItems::default() };
    let is_allowed = |other: ItemIdx| allow.is_none_or(|allow| allow(models.vocabulary.id(other).key()));
    let mut lists = SimilarItems::default();
    if let Some(als) = models.als {
        let factors = als.item_factors();
        let own = factors.row(idx.row());
        let own_norm = own.dot(&own).sqrt();
        let mut scored: Vec<Scored> = factors
            .rows()
            .into_iter()
            .enumerate()
            .filter(|(row, _)| *row != idx.row())
            .filter_map(|(row, other)| {
                let cosine = own.dot(&other) / (own_norm * other.dot(&other).sqrt());
                (cosine > 0.0).then(|| Scored { item: ItemIdx::from_row(row), score: cosine })
            })
            .collect();
        scored.sort_unstable_by(Scored::best_first);
        lists.similar = scored.into_iter().filter(|s| is_allowed(s.item)).take(k).collect();
    }
    if let Some(item_item) = models.item_item {
        let (items, similarities) = item_item.neighbours(idx);
        lists.bought_together = items
            .iter()
            .zip(similarities)
            .map(|(&item, &score)| Scored { item, score })
            .filter(|s| is_allowed(s.item))
            .take(k)
            .collect();
    }
    lists
}

/// Collects proposals under the query's rules.
struct Stage<'a> {
    models: &'a CandidateModels<'a>,
    query: &'a CandidateQuery<'a>,
    /// Items that only the source "repeat" may propose, ascending.
    bought: Vec<ItemKey>,
    /// The same by row; the index asks for every item it visits.
    is_bought: Vec<bool>,
    proposals: HashMap<ItemKey, Proposal>,
}

impl<'a> Stage<'a> {
    fn new(models: &'a CandidateModels<'a>, query: &'a CandidateQuery<'a>) -> Self {
        let entries = query.person.items.iter().filter(|entry| entry.n_purchases > 0);
        let mut bought: Vec<ItemKey> = entries.map(|entry| entry.item).collect();
        bought.sort_unstable();
        let mut is_bought = vec![false; models.vocabulary.len()];
        for idx in bought.iter().filter_map(|key| models.vocabulary.idx_of_key(*key)) {
            is_bought[idx.row()] = true;
        }
        Self { models, query, bought, is_bought, proposals: HashMap::new() }
    }

    fn is_allowed(&self, item: ItemKey) -> bool {
        !self.query.context_items.contains(&item) && self.query.allow.is_none_or(|allow| allow(item))
    }

    fn is_fresh(&self, item: ItemKey) -> bool {
        self.bought.binary_search(&item).is_err() && self.is_allowed(item)
    }

    /// What was bought before and not refused since, the most due first.
    fn propose_repeats(&mut self) {
        if self.query.exclude_known || self.query.limits.repeat == 0 {
            return;
        }
        let entries = self.query.person.items.iter();
        let mut due: Vec<(f32, ItemKey)> = entries
            .filter(|entry| entry.n_purchases > 0 && !entry.is_rejected && self.is_allowed(entry.item))
            .map(|entry| (repeat_score(entry, self.query.now), entry.item))
            .collect();
        due.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        due.truncate(self.query.limits.repeat);
        self.propose(CandidateSource::Repeat, due.into_iter().map(|(score, item)| (item, score, Some(item))));
    }

    fn propose_ann(&mut self, ann: &dyn AnnIndex, factors: &[f32]) {
        let vocabulary = self.models.vocabulary;
        let is_fresh = |idx: ItemIdx| {
            !self.is_bought[idx.row()]
                && (self.query.context_items.is_empty() && self.query.allow.is_none()
                    || self.is_allowed(vocabulary.id(idx).key()))
        };
        let found = ann.search(factors, self.query.limits.ann, Some(&is_fresh));
        let found: Vec<_> = found.into_iter().map(|s| (vocabulary.id(s.item).key(), s.score, None)).collect();
        self.propose(CandidateSource::Ann, found);
    }

    fn propose_similar(&mut self, source: CandidateSource, similarities: Option<&Accumulator>, limit: usize) {
        let Some(similarities) = similarities else { return };
        let vocabulary = self.models.vocabulary;
        let best = similarities
            .best_first(limit, |idx| !self.is_bought[idx.row()] && self.is_allowed(vocabulary.id(idx).key()));
        let found: Vec<_> = best
            .into_iter()
            .map(|(idx, score, because)| {
                (vocabulary.id(idx).key(), score, Some(vocabulary.id(because).key()))
            })
            .collect();
        self.propose(source, found);
    }

    fn propose_live(&mut self, source: CandidateSource, list: &[(ItemKey, f32)], limit: usize) {
        let found: Vec<_> = list
            .iter()
            .filter(|(item, _)| self.is_fresh(*item))
            .take(limit)
            .map(|&(item, score)| (item, score, None))
            .collect();
        self.propose(source, found);
    }

    /// Adds a source's list, best first.
    fn propose(
        &mut self,
        source: CandidateSource,
        list: impl IntoIterator<Item = (ItemKey, f32, Option<ItemKey>)>,
    ) {
        for ((item, score, because), rank) in list.into_iter().zip(1..) {
            let vocabulary = self.models.vocabulary;
            let proposal = self.proposals.entry(item).or_insert_with(|| Proposal {
                item,
                idx: vocabulary.idx_of_key(item),
                sources: Vec::with_capacity(4),
            });
            proposal.sources.push(Opinion { source, score, rank, because });
        }
    }

    fn into_proposals(self) -> Vec<Proposal> {
        let mut proposals: Vec<Proposal> = self.proposals.into_values().collect();
        proposals.sort_unstable_by_key(|proposal| proposal.item);
        proposals
    }
}

/// Replaces the source's own list by its opinion of all candidates it knows, ranked among them.
fn give_opinions(
    proposals: &mut [Proposal],
    source: CandidateSource,
    opinion: impl Fn(ItemIdx) -> Option<(f32, Option<ItemKey>)>,
) {
    let mut scored: Vec<(f32, usize, Option<ItemKey>)> = proposals
        .iter()
        .enumerate()
        .filter_map(|(place, proposal)| {
            let (score, because) = opinion(proposal.idx?)?;
            Some((score, place, because))
        })
        .collect();
    scored.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    for ((score, place, because), rank) in scored.into_iter().zip(1..) {
        let sources = &mut proposals[place].sources;
        sources.retain(|known| known.source != source);
        sources.push(Opinion { source, score, rank, because });
    }
}

fn fold_in(
    models: &CandidateModels<'_>,
    history: &[HistoryEntry],
) -> Result<Option<Vec<f32>>, RecommendError> {
    let Some(als) = models.als.filter(|_| !history.is_empty()) else { return Ok(None) };
    let mut factors = vec![0.0; als.n_factors()];
    als.fold_in(history, &mut factors)?;
    Ok(Some(factors))
}

/// Days after which an item of the history counts half in the item-item sum.
const HISTORY_HALF_LIFE_DAYS: f64 = 90.0;

/// `Σ_i strength_i · 2^(−age_i/90 d) · sim(i → j) / √(Σ_i strength_i · 2^(−age_i/90 d))` over the newest items: the root
/// keeps long and short histories on one scale without forgetting that more evidence is more.
fn history_similarities(
    model: &ItemItem,
    query: &CandidateQuery<'_>,
    vocabulary: &Vocabulary,
) -> Accumulator {
    let newest = query.person.items.iter().rev().take(query.limits.item_item_history);
    let weighted = newest.filter_map(|entry| {
        let age_days = query.now.days_since(entry.last).max(0.0);
        let weight = entry.strength() * (-age_days / HISTORY_HALF_LIFE_DAYS).exp2() as f32;
        Some((vocabulary.idx_of_key(entry.item)?, weight))
    });
    Accumulator::sum(model, weighted)
}

/// The same over the session with the session's weights.
fn session_similarities(model: &ItemItem, session: &[SessionItem], vocabulary: &Vocabulary) -> Accumulator {
    Accumulator::sum(model, session.iter().filter_map(|s| Some((vocabulary.idx_of_key(s.item)?, s.weight))))
}

/// How due a bought item is: `ln(1 + orders) · (2^(−days/30) + 2^(−days/180) + ¼)`.
fn repeat_score(entry: &ItemHistory, now: Timestamp) -> f32 {
    let days = now.days_since(entry.last_purchase).max(0.0);
    let recency = (-days / 30.0).exp2() + (-days / 180.0).exp2() + 0.25;
    f32::from(entry.n_purchases).ln_1p() * recency as f32
}
