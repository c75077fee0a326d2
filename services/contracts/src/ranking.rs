//! Ranking: scores candidates with the learned ranker and arranges the slate by the placement's policy.

use std::sync::Arc;

use async_trait::async_trait;
use waggle_features::{ItemAttributes, ItemFacts, PersonState};
use waggle_model::{ItemKey, SnapshotVersion, Timestamp};

use crate::{
    RoleError,
    api::Contribution,
    policy::{AppliedRule, Fatigue, OddsRule},
    retrieval::ProposedItem,
};

#[async_trait]
pub trait Ranking: Send + Sync + 'static {
    /// The `k` items to show, in order, with what led to them.
    async fn rank(&self, request: RankRequest) -> Result<RankResponse, RoleError>;

    /// What each feature of one candidate adds to its score, by the ranker of that snapshot; nothing without one.
    async fn contributions(
        &self,
        snapshot: &SnapshotVersion,
        features: &[f32],
    ) -> Result<Vec<Contribution>, RoleError>;
}

#[derive(Debug, Clone)]
pub struct RankRequest {
    /// `None`: no ranker is needed (trending and static rungs keep retrieval's order).
    pub snapshot: Option<SnapshotVersion>,
    pub person: Arc<PersonState>,
    pub context_items: Vec<ItemKey>,
    pub candidates: Arc<Vec<ProposedItem>>,
    /// What everybody does with the candidates, in the same order.
    pub item_facts: Vec<ItemFacts>,
    /// Attributes of the items of the person's history and of the page, ascending by key.
    pub known_items: Vec<(ItemKey, ItemAttributes)>,
    /// The moment of the request.
    pub now: Timestamp,
    pub k: usize,
    pub rules: Rules,
    /// [`CandidateResponse::groups`](crate::retrieval::CandidateResponse::groups) for the attributes of
    /// [`Rules::max_per`].
    pub groups: Vec<u64>,
}

/// What of a [`Policy`](crate::policy::Policy) the order of the slate is made by.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rules {
    /// These come first, in this order.
    pub pin: Vec<ItemKey>,
    /// Which of them a candidate meets is in [`ProposedItem::matches`].
    pub boost: Vec<OddsRule>,
    pub fatigue: Option<Fatigue>,
    pub rotation: Option<Turn>,
    /// Most items with the same value, by attribute.
    pub max_per: Vec<(String, usize)>,
    pub new_share: f32,
    pub diversity: f32,
    pub exploration: f32,
}

/// Whose turn it is: a [`Rotation`](crate::policy::Rotation) for one person in one window of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Turn {
    /// Logarithm of what odds are multiplied by at most.
    pub log_by: f32,
    /// Another number for every person and window.
    pub seed: u64,
}

impl Rules {
    /// Nothing but pins and the scores decides.
    pub fn is_plain(&self) -> bool {
        self.max_per.is_empty() && self.new_share <= 0.0 && self.diversity <= 0.0 && self.exploration <= 0.0
    }
}

impl RankRequest {
    /// What a candidate counts for under each cap; 0 where it lacks the attribute.
    pub fn groups_of(&self, candidate: usize) -> &[u64] {
        let width = self.rules.max_per.len();
        self.groups.get(candidate * width..(candidate + 1) * width).unwrap_or_default()
    }
}

#[derive(Debug, Clone)]
pub struct RankResponse {
    /// Best first.
    pub slate: Vec<RankedItem>,
    /// Of the values in [`RankedItem::features`].
    pub feature_names: Arc<[String]>,
}

/// One place of a slate.
#[derive(Debug, Clone, PartialEq)]
pub struct RankedItem {
    /// Place among the candidates of the request.
    pub candidate: usize,
    /// Higher is better; comparable within one request only.
    pub score: f32,
    /// Probability with which the policy put this item here, given what stands above it.
    pub propensity: f32,
    /// What the ranker saw; empty without a ranker.
    pub features: Vec<f32>,
    /// What led here beyond the score.
    pub rules: Vec<AppliedRule>,
}
