//! The rungs that need other roles: candidates, their counters, their order.

use std::{cmp::Reverse, sync::Arc, time::Instant};

use waggle_contracts::{
    RoleError,
    features::PersonView,
    ranking::{RankRequest, RankResponse},
    retrieval::{CandidateRequest, CandidateResponse, ProposedItem},
};
use waggle_features::{ItemAttributes, ItemState, PersonState};
use waggle_model::{
    AnsweredItem, CandidateSource, Item, ItemId, Rung, SnapshotVersion, SourceScore, Timestamp,
};

use super::{
    Checked, degraded, in_time,
    last_rung::{fill, remember},
};
use crate::app::App;

/// A slate before it becomes a response.
pub(super) struct Composed {
    pub(super) rung: Rung,
    pub(super) snapshot: Option<SnapshotVersion>,
    pub(super) n_candidates: usize,
    pub(super) slate: Vec<AnsweredItem>,
    pub(super) feature_names: Vec<String>,
    /// Catalogue entries of (at least) the slate's items.
    pub(super) items: Vec<Arc<Item>>,
    /// A role was missing, so another attempt might be better.
    pub(super) is_degraded: bool,
}

impl Composed {
    pub(super) fn empty(rung: Rung) -> Self {
        Self {
            rung,
            snapshot: None,
            n_candidates: 0,
            slate: Vec::new(),
            feature_names: Vec::new(),
            items: Vec::new(),
            is_degraded: false,
        }
    }

    /// The candidates as they came, best first.
    pub(super) fn in_order(found: CandidateResponse) -> Self {
        let first_score = |c: &ProposedItem| c.sources.first().map_or(0.0, |s| s.score);
        let slate =
            (1..).zip(&found.candidates).map(|(position, c)| placed(c, position, first_score(c))).collect();
        Self {
            snapshot: found.snapshot,
            n_candidates: found.candidates.len(),
            slate,
            items: found.candidates.into_iter().map(|c| c.item).collect(),
            ..Self::empty(Rung::Trending)
        }
    }
}

/// Asks retrieval, features and ranking. A snapshot that was swapped out in mid-request is replaced once.
pub(super) async fn compose(
    app: &App,
    request: &Checked,
    view: &PersonView,
    snapshot: Option<SnapshotVersion>,
    deadline: Instant,
) -> Result<Composed, RoleError> {
    match compose_on(app, request, view, snapshot, deadline).await {
        Err(RoleError::SnapshotNotLoaded { loaded, .. }) => {
            compose_on(app, request, view, loaded, deadline).await
        }
        outcome => outcome,
    }
}

async fn compose_on(
    app: &App,
    request: &Checked,
    view: &PersonView,
    snapshot: Option<SnapshotVersion>,
    deadline: Instant,
) -> Result<Composed, RoleError> {
    let now = Timestamp::now();
    let rung = rung_of(request, &view.state);
    // What nobody asked to be personal is the same for everybody, and needs no snapshot.
    let snapshot = if rung == Rung::Trending { None } else { snapshot };
    let person = Arc::new(view.state.clone());
    let found = app
        .retrieval
        .candidates(&CandidateRequest {
            snapshot: snapshot.clone(),
            person: person.clone(),
            context_items: request.items.clone(),
            category: request.category.clone(),
            exclude: request.exclude.clone(),
            exclude_known: request.exclude_known,
            sources: request.sources.clone(),
            limit: app.config.n_candidates,
            now,
        })
        .await?;
    let CandidateResponse { mut candidates, known_items, .. } = found;
    add_pinned(app, request, &mut candidates).await?;
    let items: Vec<Arc<Item>> = candidates.iter().map(|c| c.item.clone()).collect();
    let mut composed =
        Composed { snapshot: snapshot.clone(), n_candidates: items.len(), ..Composed::empty(rung) };
    let item_states = match item_states(app, &candidates, deadline).await {
        Ok(states) => states,
        Err(e) => {
            degraded("features", &e);
            composed.is_degraded = true;
            vec![ItemState::default(); candidates.len()]
        }
    };
    let by_rank = in_order_of_sources(request, &candidates);
    let ranked = app.ranking.rank(RankRequest {
        snapshot,
        placement: request.placement.clone(),
        person,
        context_items: request.items.clone(),
        candidates,
        item_states,
        known_items,
        now,
        k: request.k,
        diversity: request.diversity,
        pin: request.pin.clone(),
    });
    // A quarter of what is left stays for what comes after.
    let RankResponse { slate, feature_names } = match in_time(left(deadline) * 3 / 4, "ranking", ranked).await
    {
        Ok(response) => response,
        Err(e @ RoleError::SnapshotNotLoaded { .. }) => return Err(e),
        Err(e) => {
            degraded("ranking", &e);
            composed.is_degraded = true;
            RankResponse { slate: by_rank, feature_names: Vec::new() }
        }
    };
    composed.slate = slate;
    composed.feature_names = feature_names;
    composed.items = items;
    if rung == Rung::Trending && !composed.is_degraded {
        remember(app, request, &composed);
    }
    if composed.slate.is_empty() {
        composed.rung = Rung::Static;
    }
    fill(app, request, view, &mut composed).await;
    Ok(composed)
}

fn left(deadline: Instant) -> std::time::Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// The rung that the request itself allows, before anything fails.
fn rung_of(request: &Checked, person: &PersonState) -> Rung {
    if person.n_events > 0 {
        Rung::Personal
    } else if !request.items.is_empty() || request.category.is_some() {
        Rung::Segment
    } else {
        Rung::Trending
    }
}

/// Pinned items that nobody proposed join the candidates. The shop asked for them by name, so the request's other rules
/// (its category, what the person has already) do not apply; what cannot be bought is left out all the same.
async fn add_pinned(
    app: &App,
    request: &Checked,
    candidates: &mut Vec<ProposedItem>,
) -> Result<(), RoleError> {
    let mut missing: Vec<ItemId> = Vec::new();
    for pin in &request.pin {
        if !missing.contains(pin) && !candidates.iter().any(|c| c.item.item_id == *pin) {
            missing.push(pin.clone());
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let now = Timestamp::now();
    let found = app.retrieval.items(&missing).await?;
    candidates.extend(found.into_iter().flatten().filter(|item| item.is_available(now)).map(|item| {
        ProposedItem { attributes: ItemAttributes::of(&item), sources: vec![static_source(1)], item }
    }));
    Ok(())
}

/// Counters of the candidates, in the same order, in half of the time that is left.
async fn item_states(
    app: &App,
    candidates: &[ProposedItem],
    deadline: Instant,
) -> Result<Vec<ItemState>, RoleError> {
    let keys: Vec<_> = candidates.iter().map(|c| c.item.item_id.key()).collect();
    in_time(left(deadline) / 2, "features", app.features.items(&keys)).await
}

/// The slate without a ranker: pinned items, then whatever some source places highest.
fn in_order_of_sources(request: &Checked, candidates: &[ProposedItem]) -> Vec<AnsweredItem> {
    let best_rank = |c: &ProposedItem| c.sources.iter().map(|s| s.rank).min().unwrap_or(u32::MAX);
    let pinned = |c: &ProposedItem| request.pin.iter().position(|pin| *pin == c.item.item_id);
    let mut order: Vec<&ProposedItem> = candidates.iter().collect();
    order.sort_by_key(|c| (pinned(c).unwrap_or(usize::MAX), best_rank(c), Reverse(c.sources.len())));
    order.truncate(request.k);
    (1..).zip(order).map(|(position, c)| placed(c, position, 1.0 / best_rank(c) as f32)).collect()
}

fn placed(candidate: &ProposedItem, position: u32, score: f32) -> AnsweredItem {
    AnsweredItem {
        item_id: candidate.item.item_id.clone(),
        position,
        score,
        propensity: 1.0,
        sources: candidate.sources.clone(),
        features: Vec::new(),
    }
}

pub(super) fn static_source(rank: u32) -> SourceScore {
    SourceScore { source: CandidateSource::Static, score: 0.0, rank, because: None }
}
