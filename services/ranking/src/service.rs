//! The role behind its trait.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use async_trait::async_trait;
use waggle_contracts::{
    Ranking, RoleError,
    ranking::{RankRequest, RankResponse, RankedItem},
};
use waggle_features::FEATURES;
use waggle_model::Placement;
use waggle_models::SnapshotSlot;

use crate::{
    policy::{Policy, arrange},
    score::score_all,
};

static FEATURE_NAMES: LazyLock<Arc<[String]>> =
    LazyLock::new(|| FEATURES.iter().map(|feature| feature.name.to_owned()).collect());

/// Ranks with the ranker of whichever snapshot the request names.
pub struct RankingService {
    snapshots: Arc<SnapshotSlot>,
    policies: HashMap<Placement, Policy>,
}

impl RankingService {
    /// `policies` of placements that need another than [`Policy::of`] gives them.
    pub fn new(snapshots: Arc<SnapshotSlot>, policies: HashMap<Placement, Policy>) -> Self {
        Self { snapshots, policies }
    }

    fn policy(&self, request: &RankRequest) -> Policy {
        let mut policy =
            self.policies.get(&request.placement).copied().unwrap_or_else(|| Policy::of(&request.placement));
        if let Some(diversity) = request.diversity {
            policy.diversity = diversity;
        }
        policy
    }
}

#[async_trait]
impl Ranking for RankingService {
    async fn rank(&self, request: RankRequest) -> Result<RankResponse, RoleError> {
        if request.candidates.len() != request.item_facts.len() {
            return Err(RoleError::Invalid(format!(
                "{} candidates came with counters of {}",
                request.candidates.len(),
                request.item_facts.len()
            )));
        }
        let snapshot = match &request.snapshot {
            None => None,
            Some(version) => {
                Some(self.snapshots.get(version).ok_or_else(|| RoleError::SnapshotNotLoaded {
                    wanted: version.clone(),
                    loaded: self.snapshots.current().map(|s| s.manifest.version.clone()),
                })?)
            }
        };
        let ranker = snapshot.as_ref().and_then(|s| s.ranker.as_ref());
        let scored = score_all(ranker, &request);
        let places = arrange(&request, &scored.scores, &self.policy(&request));
        let slate = places
            .into_iter()
            .map(|place| RankedItem {
                candidate: place,
                score: scored.scores[place],
                // The policy is deterministic: given the candidates, this item had to stand here.
                propensity: 1.0,
                features: scored.features(place).to_vec(),
            })
            .collect();
        let feature_names = ranker.map(|_| FEATURE_NAMES.clone()).unwrap_or_default();
        Ok(RankResponse { slate, feature_names })
    }
}
