//! The first stage: which few hundred of all items are worth ranking for this person now.
//!
//! Retrieval serves with this and training learns from it, so a ranker meets in production the lists it was trained on.
//! Bought items come from the source "repeat" alone; the other sources propose what the person does not have. Once the
//! list is set, the models give their opinion on all of it: an item that "trending" found still carries its similarity
//! to the person's items. What no source proposed and fills a short list all the same is [`CandidateSource::Static`].

mod accumulator;
mod scratch;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use waggle_features::{ItemHistory, LiveLists, Opinion, Opinions, PersonState, SessionItem, session_items};
use waggle_model::{CandidateSource, ItemIdx, ItemKey, Scored, SeenRule, Timestamp};

use crate::{
    Als, AnnIndex, HistoryEntry, ItemItem, Lookalikes, RecommendError, Segments, Sessions, Vocabulary,
    ann::best::Best, order,
};
use accumulator::Accumulator;
use scratch::{Marks, Scratch, Spot, with_scratch};

/// The parts of a snapshot that propose; a part may be missing (a small shop has popularity alone).
#[derive(Clone, Copy)]
pub struct CandidateModels<'a> {
    pub vocabulary: &'a Vocabulary,
    pub als: Option<&'a Als>,
    /// Index over the item factors of `als`.
    pub ann: Option<&'a dyn AnnIndex>,
    pub item_item: Option<&'a ItemItem>,
    /// Without it the source "session" goes by `item_item`.
    pub sessions: Option<&'a Sessions>,
    /// Every row, the most popular first: what a narrow filter leaves is looked for here.
    pub popular: Option<&'a [ItemIdx]>,
    /// Groups of people by the vectors of `als`.
    pub segments: Option<&'a Segments>,
    /// What no other part knows, by the texts.
    pub lookalikes: Option<&'a Lookalikes>,
}

/// Who asks for what.
#[derive(Clone, Copy)]
pub struct CandidateQuery<'a> {
    pub person: &'a PersonState,
    /// Items of the page: the item of an item page, the contents of a basket. Never proposed.
    pub context_items: &'a [ItemKey],
    /// What the page is full of, such as the first items of its category: says which segment somebody belongs to of whom
    /// nothing else is known. May be proposed.
    pub page_items: &'a [ItemKey],
    pub now: Timestamp,
    pub limits: &'a SourceLimits,
    /// What may be shown at all; `None` allows every item.
    pub offer: Option<&'a dyn Offer>,
    /// What becomes of items that the person knows.
    pub seen: SeenRule,
    /// As many are proposed if as many may be shown.
    pub at_least: usize,
    /// A source whose turn comes later is left out.
    pub until: Option<Instant>,
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
    pub segment: usize,
    pub lexical: usize,
    /// Newest items of the history that item-item similarities are summed over.
    pub item_item_history: usize,
}

/// Which items may be shown.
pub trait Offer: Sync {
    /// Whether the snapshot's item may be.
    fn has_row(&self, item: ItemIdx) -> bool;

    /// Whether an item may be that the snapshot need not know.
    fn has_key(&self, item: ItemKey) -> bool;

    /// A superset of the rows for which [`has_row`](Self::has_row) is true, as bits, where that is at hand.
    fn row_bits(&self) -> Option<&[u64]> {
        None
    }

    /// The snapshot's items that may be shown, if they are so few that looking at each beats searching among all.
    fn few_rows(&self) -> Option<&[ItemIdx]>;

    /// Some items that may be shown, known to the snapshot or not.
    fn any(&self) -> Box<dyn Iterator<Item = ItemKey> + '_>;
}

/// A proposed item with everybody's opinion of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Proposal {
    pub item: ItemKey,
    /// `None` for an item that is newer than the snapshot.
    pub idx: Option<ItemIdx>,
    pub opinions: Opinions,
}

/// What the sources found.
#[derive(Debug, Clone, Default)]
pub struct Candidates {
    /// A set to be ranked, not a list to be shown. Their order is that of the sources, the same for the same question.
    pub proposals: Vec<Proposal>,
    /// Sources that had no time left.
    pub late: Vec<CandidateSource>,
    /// How long each source took that was asked, in the order they were asked.
    pub took: Vec<(CandidateSource, Duration)>,
    /// How long the person's vector took to solve, where there is one.
    pub fold_in: Option<Duration>,
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
            segment: 20,
            lexical: 20,
            item_item_history: 100,
        }
    }
}

impl SourceLimits {
    /// Most candidates that the sources propose together; a list filled up to [`CandidateQuery::at_least`] may be longer.
    pub fn total(&self) -> usize {
        let Self { ann, item_item, repeat, session, trending, new, segment, lexical, .. } = self;
        ann + item_item + repeat + session + trending + new + segment + lexical
    }
}

/// The candidates.
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
) -> Result<Candidates, RecommendError> {
    with_scratch(models.vocabulary.len(), |scratch| {
        let Scratch { marks, by_history, by_session, neighbourhood } = scratch;
        let session = session_items(query.person, query.context_items, query.now);
        let history = history_entries(query.person, &session, models.vocabulary);
        let started = Instant::now();
        let factors = fold_in(models, &history)?;
        let fold_in = factors.is_some().then(|| started.elapsed());
        let segment = segment_of(models, query, factors.as_deref())?;

        let mut stage = Stage::new(models, query, marks);
        stage.ask(CandidateSource::Repeat, Stage::propose_repeats);
        if let (Some(factors), Some(ann)) = (&factors, models.ann) {
            stage.ask(CandidateSource::Ann, |stage| stage.propose_ann(ann, factors));
        }
        if let Some(item_item) = models.item_item {
            stage.ask(CandidateSource::ItemItem, |stage| {
                by_history.sum(item_item, weighted_history(query, models.vocabulary));
                stage.propose_similar(CandidateSource::ItemItem, by_history, query.limits.item_item);
            });
        }
        if models.sessions.is_some() || models.item_item.is_some() {
            stage.ask(CandidateSource::Session, |stage| {
                let session = weighted_session(&session, models.vocabulary);
                match (models.sessions, models.item_item) {
                    (Some(sessions), _) => by_session.poll(sessions, &session, query.now, neighbourhood),
                    (None, Some(item_item)) => by_session.sum(item_item, session),
                    (None, None) => {}
                }
                stage.propose_similar(CandidateSource::Session, by_session, query.limits.session);
            });
        }
        if let Some((segments, segment)) = segment {
            stage.ask(CandidateSource::Segment, |stage| stage.propose_popular(segments.list(segment)));
        }
        if let Some(lookalikes) = models.lookalikes.filter(|lookalikes| !lookalikes.is_empty()) {
            stage.ask(CandidateSource::Lexical, |stage| stage.propose_lookalikes(lookalikes, &session));
        }
        for (source, list, limit) in [
            (CandidateSource::Trending, &live.trending, query.limits.trending),
            (CandidateSource::New, &live.new, query.limits.new),
        ] {
            stage.ask(source, |stage| stage.propose_live(source, list, limit));
        }
        stage.fill();
        if let Some((segments, segment)) = segment {
            stage.give_opinion_of_segment(segments.list(segment));
        }
        let Stage { mut found, .. } = stage;
        found.fold_in = fold_in;
        let proposals = &mut found.proposals;

        if let (Some(als), Some(factors)) = (models.als, &factors) {
            give_opinions(proposals, CandidateSource::Ann, |idx| Some((als.score(factors, idx), None)));
        }
        for (source, similarities) in
            [(CandidateSource::ItemItem, &*by_history), (CandidateSource::Session, &*by_session)]
        {
            give_opinions(proposals, source, |idx| {
                let (score, because) = similarities.get(idx)?;
                Some((score, Some(models.vocabulary.key(because))))
            });
        }
        Ok(found)
    })
}

/// The person's history as models take it: known items of positive strength, the one touched longest ago first. Items of
/// the session count up to [`SESSION_BOOST`] times more, those of the page that the person never touched are added.
pub fn history_entries(
    person: &PersonState,
    session: &[SessionItem],
    vocabulary: &Vocabulary,
) -> Vec<HistoryEntry> {
    let boost = |item: ItemKey| session.iter().find(|s| s.item == item).map_or(0.0, |s| s.weight);
    let mut entries: Vec<HistoryEntry> = Vec::with_capacity(person.items.len() + session.len());
    for entry in &person.items {
        let strength = entry.strength();
        if let (Some(item), true) = (vocabulary.idx_of_key(entry.item), strength > 0.0) {
            let weight = strength * (1.0 + SESSION_BOOST * boost(entry.item));
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
/// the snapshot. Costs one scan over the embeddings, `O(n_items·f)`, or one search of the index where they are many.
pub fn similar(
    models: &CandidateModels<'_>,
    item: ItemKey,
    k: usize,
    offer: Option<&dyn Offer>,
) -> SimilarItems {
    let Some(idx) = models.vocabulary.idx_of_key(item) else { return SimilarItems::default() };
    let is_allowed = |other: ItemIdx| other != idx && offer.is_none_or(|offer| offer.has_row(other));
    SimilarItems {
        similar: by_cosine(models, idx, k, offer.and_then(Offer::few_rows), &is_allowed),
        bought_together: neighbours(models, idx).filter(|s| is_allowed(s.item)).take(k).collect(),
    }
}

/// Every embedding is compared with the item's in a catalogue of at most so many.
const ALL_COMPARED: usize = 20_000;
/// In a larger one, so many of the greatest inner product with it, and its item-item neighbours. A short vector that points
/// the same way may be missed: it is of an item that little is known of.
const COMPARED: usize = 2_000;

/// By cosine, if it is greater than zero; of `few` rows alone, if there are just those.
fn by_cosine(
    models: &CandidateModels<'_>,
    idx: ItemIdx,
    k: usize,
    few: Option<&[ItemIdx]>,
    is_allowed: &(dyn Fn(ItemIdx) -> bool + Sync),
) -> Vec<Scored> {
    let Some(als) = models.als else { return Vec::new() };
    let factors = als.item_factors();
    let own = factors.row(idx.row());
    let own_norm = own.dot(&own).sqrt();
    let mut best = Best::new(k);
    let mut compare = |item: ItemIdx| {
        let other = factors.row(item.row());
        let score = own.dot(&other) / (own_norm * other.dot(&other).sqrt());
        if score > 0.0 && best.admits(score) && is_allowed(item) {
            best.push(Scored { item, score });
        }
    };
    let mut rows: Vec<ItemIdx> = match (few, models.ann, own.as_slice()) {
        (Some(few), ..) => few.to_vec(),
        (None, Some(ann), Some(query)) if factors.nrows() > ALL_COMPARED => {
            let near = ann.search(query, COMPARED, Some(is_allowed));
            near.into_iter().chain(neighbours(models, idx)).map(|s| s.item).collect()
        }
        _ => (0..factors.nrows()).map(ItemIdx::from_row).collect(),
    };
    rows.sort_unstable();
    rows.dedup();
    rows.into_iter().for_each(&mut compare);
    best.into_list()
}

/// By item-item similarity, best first.
fn neighbours<'a>(models: &CandidateModels<'a>, idx: ItemIdx) -> impl Iterator<Item = Scored> + use<'a> {
    let (items, similarities) = models.item_item.map_or((&[][..], &[][..]), |model| model.neighbours(idx));
    items.iter().zip(similarities).map(|(&item, &score)| Scored { item, score })
}

/// Collects proposals under the query's rules.
struct Stage<'a> {
    models: &'a CandidateModels<'a>,
    query: &'a CandidateQuery<'a>,
    marks: &'a mut Marks,
    found: Candidates,
}

impl<'a> Stage<'a> {
    fn new(models: &'a CandidateModels<'a>, query: &'a CandidateQuery<'a>, marks: &'a mut Marks) -> Self {
        let is_known = |entry: &&ItemHistory| {
            entry.n_purchases > 0 || entry.is_rejected || query.seen == SeenRule::ExcludeTouched
        };
        let known = query.person.items.iter().filter(is_known);
        marks.begin(models.vocabulary, known.map(|entry| entry.item), query.context_items);
        let found = Candidates { proposals: Vec::with_capacity(512), ..Candidates::default() };
        Self { models, query, marks, found }
    }

    /// Lets the source propose if there is time.
    fn ask(&mut self, source: CandidateSource, propose: impl FnOnce(&mut Self)) {
        let started = Instant::now();
        if self.query.until.is_some_and(|until| started >= until) {
            self.found.late.push(source);
            return;
        }
        propose(self);
        self.found.took.push((source, started.elapsed()));
    }

    /// The item, if it may be shown on this page.
    fn allowed(&self, item: ItemKey) -> Option<Spot> {
        let spot = Spot { item, idx: self.models.vocabulary.idx_of_key(item) };
        let is_offered = || self.query.offer.is_none_or(|offer| offer.has_key(item));
        (!self.marks.is_on_page(spot) && is_offered()).then_some(spot)
    }

    /// Whether the row may be shown on this page and is none that only "repeat" may propose.
    fn is_fresh_row(&self, idx: ItemIdx) -> bool {
        // The offer first: a filter leaves little of what it is asked about.
        self.query.offer.is_none_or(|offer| offer.has_row(idx)) && self.marks.is_free_row(idx)
    }

    fn spot(&self, idx: ItemIdx) -> Spot {
        Spot { item: self.models.vocabulary.key(idx), idx: Some(idx) }
    }

    /// What was bought before and not refused since, the most due first.
    fn propose_repeats(&mut self) {
        if self.query.seen != SeenRule::Keep || self.query.limits.repeat == 0 {
            return;
        }
        let mut due: Vec<(f32, Spot)> = self
            .query
            .person
            .items
            .iter()
            .filter(|entry| entry.n_purchases > 0 && !entry.is_rejected)
            .filter_map(|entry| Some((repeat_score(entry, self.query.now), self.allowed(entry.item)?)))
            .collect();
        due.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.item.cmp(&b.1.item)));
        due.truncate(self.query.limits.repeat);
        self.propose(
            CandidateSource::Repeat,
            due.into_iter().map(|(score, spot)| (spot, score, Some(spot.item))),
        );
    }

    fn propose_ann(&mut self, ann: &dyn AnnIndex, factors: &[f32]) {
        let limit = self.query.limits.ann;
        let found = match self.query.offer.and_then(Offer::few_rows) {
            Some(rows) => {
                let fresh: Vec<ItemIdx> =
                    rows.iter().copied().filter(|idx| self.is_fresh_row(*idx)).collect();
                ann.search_rows(factors, &fresh, limit)
            }
            None => {
                let is_fresh = |idx| self.is_fresh_row(idx);
                match self.query.offer.and_then(Offer::row_bits) {
                    Some(bits) => ann.search_among(factors, limit, bits, &is_fresh),
                    None => ann.search(factors, limit, Some(&is_fresh)),
                }
            }
        };
        let found: Vec<_> = found.into_iter().map(|s| (self.spot(s.item), s.score, None)).collect();
        self.propose(CandidateSource::Ann, found);
    }

    fn propose_similar(&mut self, source: CandidateSource, similarities: &mut Accumulator, limit: usize) {
        let best = similarities.best_first(limit, |idx| self.is_fresh_row(idx));
        let found: Vec<_> = best
            .iter()
            .map(|&(idx, score, because)| (self.spot(idx), score, Some(self.models.vocabulary.key(because))))
            .collect();
        self.propose(source, found);
    }

    /// What the people of a segment want, best first.
    fn propose_popular(&mut self, (items, scores): (&[ItemIdx], &[f32])) {
        let fresh = items.iter().zip(scores).filter(|(idx, _)| self.is_fresh_row(**idx));
        let found: Vec<_> = fresh
            .take(self.query.limits.segment)
            .map(|(&idx, &score)| (self.spot(idx), score, None))
            .collect();
        self.propose(CandidateSource::Segment, found);
    }

    /// Replaces the segment's own ranks by those among all candidates that its list names.
    fn give_opinion_of_segment(&mut self, (items, scores): (&[ItemIdx], &[f32])) {
        let mut rank = 0;
        for (&idx, &score) in items.iter().zip(scores) {
            if let Some(place) = self.marks.place_of_row(idx) {
                rank += 1;
                let opinion = Opinion { source: CandidateSource::Segment, score, rank, because: None };
                self.found.proposals[place].opinions.set(opinion);
            }
        }
    }

    /// What reads like the items of the session and the newest of the history.
    fn propose_lookalikes(&mut self, lookalikes: &Lookalikes, session: &[SessionItem]) {
        let newest = self.query.person.items.iter().rev().take(LOOKALIKE_HISTORY);
        let history = newest.map(|entry| (entry.item, decayed_strength(entry, self.query.now)));
        let weighted = session.iter().map(|s| (s.item, s.weight)).chain(history);
        let found: Vec<_> = lookalikes
            .of(weighted)
            .into_iter()
            .filter_map(|(item, score, because)| Some((self.allowed(item)?, score, Some(because))))
            .filter(|(spot, ..)| !self.marks.is_bought(*spot))
            .take(self.query.limits.lexical)
            .collect();
        self.propose(CandidateSource::Lexical, found);
    }

    fn propose_live(&mut self, source: CandidateSource, list: &[(ItemKey, f32)], limit: usize) {
        let found: Vec<_> = list
            .iter()
            .filter_map(|&(item, score)| Some((self.allowed(item)?, score, None)))
            .filter(|(spot, ..)| !self.marks.is_bought(*spot))
            .take(limit)
            .collect();
        self.propose(source, found);
    }

    /// Where the sources found too few, the most popular of what may be shown, and then anything of it.
    fn fill(&mut self) {
        let missing = |stage: &Self| stage.query.at_least.saturating_sub(stage.found.proposals.len());
        if missing(self) == 0 {
            return;
        }
        let is_open = |stage: &Self, spot: Spot| {
            !stage.marks.is_bought(spot) && !stage.marks.is_on_page(spot) && !stage.marks.is_placed(spot)
        };
        let few = self.query.offer.and_then(Offer::few_rows);
        let popular = self.models.popular.unwrap_or_default();
        let mut found: Vec<(Spot, f32, Option<ItemKey>)> = Vec::new();
        // Of few rows all may be wanted anyway, and the ranker sorts them.
        for &idx in few.unwrap_or(popular) {
            if found.len() == missing(self) {
                break;
            }
            let spot = self.spot(idx);
            if is_open(self, spot) && self.is_fresh_row(idx) {
                found.push((spot, 0.0, None));
            }
        }
        self.propose(CandidateSource::Static, found);
        let Some(offer) = self.query.offer.filter(|_| missing(self) > 0) else { return };
        let vocabulary = self.models.vocabulary;
        let spots = offer.any().map(|item| Spot { item, idx: vocabulary.idx_of_key(item) });
        let found: Vec<_> = spots
            .filter(|spot| is_open(self, *spot))
            .take(missing(self))
            .map(|spot| (spot, 0.0, None))
            .collect();
        self.propose(CandidateSource::Static, found);
    }

    /// Adds a source's list, best first.
    fn propose(
        &mut self,
        source: CandidateSource,
        list: impl IntoIterator<Item = (Spot, f32, Option<ItemKey>)>,
    ) {
        for ((spot, score, because), rank) in list.into_iter().zip(1..) {
            let proposals = &mut self.found.proposals;
            let next = proposals.len();
            let place = self.marks.place_of(spot, next);
            if place == next {
                proposals.push(Proposal { item: spot.item, idx: spot.idx, opinions: Opinions::default() });
            }
            proposals[place].opinions.set(Opinion { source, score, rank, because });
        }
    }
}

/// Replaces the source's own list by its opinion of all candidates it knows, ranked among them.
fn give_opinions(
    proposals: &mut [Proposal],
    source: CandidateSource,
    opinion: impl Fn(ItemIdx) -> Option<(f32, Option<ItemKey>)>,
) {
    let mut scored: Vec<(u64, f32, Option<ItemKey>)> = Vec::with_capacity(proposals.len());
    for (place, proposal) in (0_u32..).zip(&*proposals) {
        if let Some((score, because)) = proposal.idx.and_then(&opinion) {
            scored.push((order::key(score, place), score, because));
        }
    }
    scored.sort_unstable_by_key(|(key, ..)| *key);
    for ((key, score, because), rank) in scored.into_iter().zip(1..) {
        let place = order::place(key) as usize;
        proposals[place].opinions.set(Opinion { source, score, rank, because });
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

/// Most of [`CandidateQuery::page_items`] that say which segment a page is for.
pub const MAX_PAGE_ITEMS: usize = 50;

/// The segment of the person and the page: by the person's vector, which the items of an item page or a basket are part
/// of; for who has none, by the vector of somebody who had touched all that the page is full of. So both are places in one
/// space, which the plain mean of item factors is not.
fn segment_of<'a>(
    models: &CandidateModels<'a>,
    query: &CandidateQuery<'_>,
    factors: Option<&[f32]>,
) -> Result<Option<(&'a Segments, usize)>, RecommendError> {
    let Some(segments) = models.segments else { return Ok(None) };
    let of_page = match factors {
        Some(_) => None,
        None => fold_in(models, &page_entries(query, models.vocabulary))?,
    };
    let segment = factors.or(of_page.as_deref()).and_then(|factors| segments.nearest(factors));
    Ok(segment.map(|segment| (segments, segment)))
}

/// The items of the page, all alike.
fn page_entries(query: &CandidateQuery<'_>, vocabulary: &Vocabulary) -> Vec<HistoryEntry> {
    let known = query.page_items.iter().filter_map(|item| vocabulary.idx_of_key(*item));
    known.take(MAX_PAGE_ITEMS).map(|item| HistoryEntry { item, weight: 1.0, time: query.now }).collect()
}

/// Newest items of the history that lookalikes are sought of.
const LOOKALIKE_HISTORY: usize = 10;

/// Days after which an item of the history counts half where similarities are summed.
const HISTORY_HALF_LIFE_DAYS: f64 = 90.0;

/// `strength · 2^(−age/90 d)`.
fn decayed_strength(entry: &ItemHistory, now: Timestamp) -> f32 {
    let age_days = now.days_since(entry.last).max(0.0);
    entry.strength() * ((-age_days / HISTORY_HALF_LIFE_DAYS) as f32).exp2()
}

/// The newest items with their decayed strength.
fn weighted_history<'a>(
    query: &'a CandidateQuery<'_>,
    vocabulary: &'a Vocabulary,
) -> impl Iterator<Item = (ItemIdx, f32)> + 'a {
    let newest = query.person.items.iter().rev().take(query.limits.item_item_history);
    newest.filter_map(|entry| Some((vocabulary.idx_of_key(entry.item)?, decayed_strength(entry, query.now))))
}

/// The session's items with the session's weights.
fn weighted_session(session: &[SessionItem], vocabulary: &Vocabulary) -> Vec<(ItemIdx, f32)> {
    session.iter().filter_map(|s| Some((vocabulary.idx_of_key(s.item)?, s.weight))).collect()
}

/// How due a bought item is: `ln(1 + orders) · (2^(−days/30) + 2^(−days/180) + ¼)`.
fn repeat_score(entry: &ItemHistory, now: Timestamp) -> f32 {
    let days = now.days_since(entry.last_purchase).max(0.0);
    let half = |half_life_days: f64| ((-days / half_life_days) as f32).exp2();
    f32::from(entry.n_purchases).ln_1p() * (half(30.0) + half(180.0) + 0.25)
}
