//! Ranking: scores candidates with the learned ranker and arranges the slate by the placement's policy.

use std::sync::Arc;

use async_trait::async_trait;
use waggle_features::{ItemAttributes, ItemFacts, PersonState};
use waggle_model::{ItemKey, Placement, SnapshotVersion, Timestamp};

use crate::{RoleError, retrieval::ProposedItem};

#[async_trait]
pub trait Ranking: Send + Sync + 'static {
    /// The `k` items to show, in order, with what led to them.
    async fn rank(&self, request: RankRequest) -> Result<RankResponse, RoleError>;
}

#[derive(Debug, Clone)]
pub struct RankRequest {
    /// `None`: no ranker is needed (trending and static rungs keep retrieval's order).
    pub snapshot: Option<SnapshotVersion>,
    pub placement: Placement,
    pub person: Arc<PersonState>,
    pub context_items: Vec<ItemKey>,
    pub candidates: Vec<ProposedItem>,
    /// What everybody does with the candidates, in the same order.
    pub item_facts: Vec<ItemFacts>,
    /// Attributes of the items of the person's history and of the page, ascending by key.
    pub known_items: Vec<(ItemKey, ItemAttributes)>,
    /// The moment of the request.
    pub now: Timestamp,
    pub k: usize,
    /// 0 keeps the ranker's order, 1 trades most relevance for variety (MMR's 1 − λ); `None` is the placement's own.
    pub diversity: Option<f32>,
    /// These come first, in this order.
    pub pin: Vec<ItemKey>,
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
}
