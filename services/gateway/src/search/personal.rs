//! What a person is likely to want of the found items.

use std::{sync::Arc, time::Instant};

use tracing::warn;
use waggle_contracts::{
    RoleError,
    api::NotPersonal,
    ranking::{RankRequest, RankResponse, Rules},
    retrieval::{CandidateResponse, OpinionRequest},
};
use waggle_features::PersonState;
use waggle_model::{ItemKey, KeyMap, Person, SnapshotVersion, Timestamp};

use super::Scored;
use crate::{app::App, recommend::in_time};

/// The ranker's order of the found items.
pub(super) struct Personal {
    /// Of each item, in the order asked: 1 for the ranker's first, 0 for its last and for what it was not asked about.
    pub(super) places: Vec<f32>,
    pub(super) snapshot: SnapshotVersion,
}

/// Asks sources and ranker about the items as they are asked about a list of recommendations.
pub(super) async fn personal(
    app: &App,
    person: &Person,
    items: &[Scored],
    now: Timestamp,
    deadline: Instant,
) -> Result<Personal, NotPersonal> {
    let left = deadline.saturating_duration_since(Instant::now());
    let view = in_time(left / 2, "features", app.features.person(person)).await.map_err(failed)?;
    if view.state.n_events == 0 {
        return Err(NotPersonal::UnknownPerson);
    }
    let snapshot = app.retrieval.current_snapshot().ok_or(NotPersonal::NoRanker)?;
    let keys: Vec<ItemKey> = items.iter().map(|(item, _)| item.item_id.key()).collect();
    let left = deadline.saturating_duration_since(Instant::now());
    let ranked = async {
        match rank(app, view.state.clone(), &keys, snapshot.clone(), now).await {
            // Swapped out in mid-request: once more on the one that is there.
            Err(RoleError::SnapshotNotLoaded { loaded: Some(loaded), .. }) => {
                Ok((rank(app, view.state.clone(), &keys, loaded.clone(), now).await?, loaded))
            }
            outcome => Ok((outcome?, snapshot)),
        }
    };
    // A quarter of what is left stays for what comes after.
    let (ranked, snapshot) = in_time(left * 3 / 4, "ranking", ranked).await.map_err(failed)?;
    let ranked = ranked.ok_or(NotPersonal::NoRanker)?;
    let n = ranked.len().max(2) as f32;
    let share: KeyMap<f32> =
        ranked.into_iter().enumerate().map(|(place, key)| (key, 1.0 - place as f32 / (n - 1.0))).collect();
    let places = keys.iter().map(|key| share.get(key).copied().unwrap_or(0.0)).collect();
    Ok(Personal { places, snapshot })
}

/// The items from best to worst; `None` without a ranker.
async fn rank(
    app: &App,
    person: Arc<PersonState>,
    items: &[ItemKey],
    snapshot: SnapshotVersion,
    now: Timestamp,
) -> Result<Option<Vec<ItemKey>>, RoleError> {
    let asked = OpinionRequest {
        snapshot: Some(snapshot.clone()),
        person: person.clone(),
        items: items.to_vec(),
        now,
    };
    let CandidateResponse { candidates, known_items, .. } = app.retrieval.opinions(&asked).await?;
    let keys: Vec<ItemKey> = candidates.iter().map(|candidate| candidate.item).collect();
    let item_facts = app.features.items(&keys, now).await?;
    let request = RankRequest {
        snapshot: Some(snapshot),
        person,
        context_items: Vec::new(),
        k: candidates.len(),
        candidates: Arc::new(candidates),
        item_facts,
        known_items,
        now,
        rules: Rules::default(),
        groups: Vec::new(),
    };
    let RankResponse { slate, feature_names } = app.ranking.rank(request).await?;
    // Without a ranker the sources' ranks make the order, which is nobody's taste.
    let has_ranker = !feature_names.is_empty();
    Ok(has_ranker.then(|| slate.iter().map(|place| keys[place.candidate]).collect()))
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn failed(error: RoleError) -> NotPersonal {
    warn!(error = %error, "a search goes on without personal order");
    match error {
        RoleError::Deadline { .. } => NotPersonal::Late,
        _ => NotPersonal::Failed,
    }
}
