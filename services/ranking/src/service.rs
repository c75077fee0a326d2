//! The role behind its trait.

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use waggle_contracts::{
    Ranking, RoleError,
    api::Contribution,
    ranking::{RankRequest, RankResponse, RankedItem},
};
use waggle_features::FEATURES;
use waggle_model::SnapshotVersion;
use waggle_models::SnapshotSlot;

use crate::{
    likeness::Likeness,
    policy::{Place, apply_odds, arrange},
    score::score_all,
};

static FEATURE_NAMES: LazyLock<Arc<[String]>> =
    LazyLock::new(|| FEATURES.iter().map(|feature| feature.name.to_owned()).collect());

/// Ranks with the ranker of whichever snapshot the request names.
pub struct RankingService {
    snapshots: Arc<SnapshotSlot>,
}

impl RankingService {
    pub fn new(snapshots: Arc<SnapshotSlot>) -> Self {
        Self { snapshots }
    }
}

#[async_trait]
impl Ranking for RankingService {
    async fn contributions(
        &self,
        snapshot: &SnapshotVersion,
        features: &[f32],
    ) -> Result<Vec<Contribution>, RoleError> {
        let loaded = self.snapshots.get(snapshot).ok_or_else(|| RoleError::SnapshotNotLoaded {
            wanted: snapshot.clone(),
            loaded: self.snapshots.current().map(|s| s.manifest.version.clone()),
        })?;
        let Some(ranker) = loaded.ranker.as_ref().filter(|ranker| ranker.weights.len() == features.len())
        else {
            return Ok(Vec::new());
        };
        let mut each = vec![0.0; features.len()];
        ranker.contributions(features, &mut each);
        let named = ranker.feature_names.iter().zip(features).zip(each);
        let contribution = |((feature, value), contribution): ((&String, &f32), f32)| Contribution {
            feature: feature.clone(),
            value: *value,
            contribution,
        };
        Ok(named.map(contribution).collect())
    }

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
        let mut scored = score_all(ranker, &request);
        apply_odds(&request, ranker.is_some(), &mut scored.scores);
        let embedded = snapshot.as_deref().filter(|_| request.rules.diversity > 0.0);
        let likeness = Likeness::new(&request.candidates, embedded);
        let places = arrange(&request, &scored.scores, &likeness, &mut rand::thread_rng());
        let slate = places
            .into_iter()
            .map(|Place { candidate, propensity, rules }| RankedItem {
                candidate,
                score: scored.scores[candidate],
                propensity,
                features: scored.features(candidate).to_vec(),
                rules,
            })
            .collect();
        let feature_names = ranker.map(|_| FEATURE_NAMES.clone()).unwrap_or_default();
        Ok(RankResponse { slate, feature_names })
    }
}
