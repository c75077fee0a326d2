//! The whole of candidates and ranker as one more [`Recommender`], to be measured beside the single models.

use std::sync::Arc;

use waggle_features::{LiveLists, PersonState};
use waggle_model::{ItemIdx, ItemKey, Scored, Timestamp};
use waggle_models::{Query, Ranker, RecommendError, Recommender, SourceLimits};

use crate::{
    examples::Featuriser,
    models::FittedModels,
    replay::{Attributes, Replay},
};

/// Candidates and ranker on frozen states. The person is looked up by [`Query::person`]: the query's own history is what
/// single models see.
pub struct TwoStage {
    pub models: Arc<FittedModels>,
    pub ranker: Arc<Ranker>,
    pub states: Arc<Replay>,
    pub attributes: Arc<Attributes>,
    pub limits: SourceLimits,
    live: LiveLists,
}

impl TwoStage {
    /// `now` is the moment that trending and new are as of.
    pub fn new(
        models: Arc<FittedModels>,
        ranker: Arc<Ranker>,
        states: Arc<Replay>,
        attributes: Arc<Attributes>,
        limits: SourceLimits,
        now: Timestamp,
    ) -> Self {
        let live = states.live_lists(&attributes, now);
        Self { models, ranker, states, attributes, limits, live }
    }

    /// Scores of all candidates for a person in a given state, best first, ties by the smaller key.
    ///
    /// # Errors
    /// [`RecommendError`] if the person's factors cannot be solved.
    pub fn rank(
        &self,
        person: &PersonState,
        now: Timestamp,
        exclude_known: bool,
    ) -> Result<Vec<(ItemKey, f32)>, RecommendError> {
        let featuriser = Featuriser {
            models: self.models.as_candidate_models(),
            attributes: &self.attributes,
            limits: &self.limits,
        };
        let (proposals, values) =
            featuriser.candidates(&self.states, &self.live, person, now, exclude_known)?;
        let mut scores = vec![0.0; proposals.len()];
        self.ranker.score_all(&values, &mut scores);
        let mut ranked: Vec<(ItemKey, f32)> =
            proposals.iter().map(|proposal| proposal.item).zip(scores).collect();
        ranked.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        Ok(ranked)
    }

    /// The `k` best that the query does not exclude, for a person in a given state.
    ///
    /// # Errors
    /// [`RecommendError`] if the person's factors cannot be solved.
    pub fn list(
        &self,
        person: &PersonState,
        query: &Query<'_>,
        exclude_known: bool,
        k: usize,
    ) -> Result<Vec<Scored>, RecommendError> {
        let ranked = self.rank(person, query.now, exclude_known)?;
        let idx = |key| self.models.vocabulary.idx_of_key(key);
        let known = ranked.into_iter().filter_map(|(key, score)| Some(Scored { item: idx(key)?, score }));
        let is_kept = |item: &ItemIdx| !query.is_excluded(*item);
        Ok(known.filter(|scored| is_kept(&scored.item)).take(k).collect())
    }
}

impl Recommender for TwoStage {
    fn name(&self) -> &str {
        "two-stage"
    }

    fn recommend(&self, query: &Query<'_>, k: usize) -> Result<Vec<Scored>, RecommendError> {
        let nobody = PersonState::default();
        let key = query.person.and_then(waggle_model::Person::key);
        let person = key.and_then(|key| self.states.known_person(key)).unwrap_or(&nobody);
        self.list(person, query, !query.exclude.is_empty(), k)
    }
}
