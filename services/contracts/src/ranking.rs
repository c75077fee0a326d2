//! Ranking: scores candidates with the learned ranker and arranges the slate by the placement's policy.

use std::sync::Arc;

use async_trait::async_trait;
use waggle_features::{ItemAttributes, ItemState, PersonState};
use waggle_model::{AnsweredItem, ItemId, ItemKey, Placement, SnapshotVersion, Timestamp};

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
    pub context_items: Vec<ItemId>,
    pub candidates: Vec<ProposedItem>,
    /// Counters of the candidates, in the same order.
    pub item_states: Vec<ItemState>,
    /// Attributes of the items of the person's history and of the page.
    pub known_items: Vec<(ItemKey, ItemAttributes)>,
    /// The moment of the request.
    pub now: Timestamp,
    pub k: usize,
    /// 0 keeps the ranker's order, 1 trades most relevance for variety (MMR's 1 − λ); `None` is the placement's own.
    pub diversity: Option<f32>,
    /// These come first, in this order.
    pub pin: Vec<ItemId>,
}

#[derive(Debug, Clone)]
pub struct RankResponse {
    pub slate: Vec<AnsweredItem>,
    pub feature_names: Vec<String>,
}
