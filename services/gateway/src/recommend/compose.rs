//! The rungs that need other roles: candidates, their counters, their order.

use std::{
    cmp::Reverse,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Map, Value};
use waggle_contracts::{
    RoleError,
    features::PersonView,
    ranking::{RankRequest, RankResponse, RankedItem, Rules},
    retrieval::{CandidateRequest, CandidateResponse, ProposedItem},
};
use waggle_features::{ItemAttributes, ItemFacts, Opinion, PersonState};
use waggle_model::{
    AnsweredItem, CandidateSource, Item, ItemId, ItemKey, KeyMap, Rung, SnapshotVersion, SourceScore,
    Timestamp, UserId,
};

use super::{
    Checked, Wanted, degraded, in_time,
    last_rung::{fill, remember},
};
use crate::app::App;

/// Time that the database has to say what is known of a user.
const PROPERTIES: Duration = Duration::from_millis(50);

/// A slate before it becomes a response.
pub(super) struct Composed {
    pub(super) rung: Rung,
    pub(super) snapshot: Option<SnapshotVersion>,
    pub(super) n_candidates: usize,
    pub(super) slate: Vec<AnsweredItem>,
    pub(super) feature_names: Arc<[String]>,
    /// Catalogue entries of the slate's items and of those that led to them.
    pub(super) items: KeyMap<Arc<Item>>,
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
            feature_names: Arc::default(),
            items: KeyMap::default(),
            is_degraded: false,
        }
    }

    /// How long after `now` nothing of the slate leaves the offer by itself.
    pub(super) fn is_whole_for(&self, now: Timestamp) -> Duration {
        let items = self.slate.iter().filter_map(|place| self.items.get(&place.item_id.key()));
        let first_end = items.filter_map(|item| item.available_until).min();
        first_end.map_or(Duration::MAX, |end| end.since(now))
    }

    /// The candidates as they came, best first.
    pub(super) async fn in_order(app: &App, found: CandidateResponse) -> Result<Self, RoleError> {
        let CandidateResponse { snapshot, candidates, .. } = found;
        let first_score = |c: &ProposedItem| c.opinions.iter().next().map_or(0.0, |o| o.score);
        let ranked = candidates.iter().enumerate().map(|(place, c)| unexplored(place, first_score(c)));
        let (slate, items) = looked_up(app, &candidates, ranked.collect()).await?;
        Ok(Self { snapshot, n_candidates: candidates.len(), slate, items, ..Self::empty(Rung::Trending) })
    }
}

/// Asks retrieval, features and ranking. A snapshot that was swapped out in mid-request is replaced once.
pub(super) async fn compose(
    app: &App,
    wanted: &Wanted<'_>,
    view: &PersonView,
    snapshot: Option<SnapshotVersion>,
    deadline: Instant,
) -> Result<Composed, RoleError> {
    match compose_on(app, wanted, view, snapshot, deadline).await {
        Err(RoleError::SnapshotNotLoaded { loaded, .. }) => {
            compose_on(app, wanted, view, loaded, deadline).await
        }
        outcome => outcome,
    }
}

async fn compose_on(
    app: &App,
    wanted: &Wanted<'_>,
    view: &PersonView,
    snapshot: Option<SnapshotVersion>,
    deadline: Instant,
) -> Result<Composed, RoleError> {
    let Wanted { request, .. } = wanted;
    let now = Timestamp::now();
    let rung = rung_of(request, &view.state);
    // What nobody asked to be personal is the same for everybody, and needs no snapshot.
    let snapshot = if rung == Rung::Trending { None } else { snapshot };
    // Half of what is left: items' counters, ranking and the slate come after.
    let until = Instant::now() + left(deadline) / 2;
    let proposed = propose(app, wanted, view, snapshot.clone(), (now, Some(until))).await?;
    let candidates = proposed.candidates.clone();
    let mut composed = Composed {
        snapshot: snapshot.clone(),
        n_candidates: candidates.len(),
        is_degraded: proposed.lacks_sources,
        ..Composed::empty(rung)
    };
    let ranked = match rank(app, wanted, view, proposed, (wanted.k, wanted.rules.clone()), deadline).await {
        Ok(Ranked { slate, feature_names, is_degraded }) => {
            composed.feature_names = feature_names;
            composed.is_degraded |= is_degraded;
            slate
        }
        Err(e @ RoleError::SnapshotNotLoaded { .. }) => return Err(e),
        Err(e) => {
            degraded("ranking", &e);
            composed.is_degraded = true;
            in_order_of_sources(wanted, &candidates)
        }
    };
    (composed.slate, composed.items) = looked_up(app, &candidates, ranked).await?;
    if rung == Rung::Trending && !composed.is_degraded {
        remember(app, wanted, &composed);
    }
    if composed.slate.is_empty() {
        composed.rung = Rung::Static;
    }
    fill(app, wanted, view, &mut composed).await;
    Ok(composed)
}

/// Candidates with what else ranking needs.
pub(super) struct Proposed {
    snapshot: Option<SnapshotVersion>,
    now: Timestamp,
    pub(super) candidates: Arc<Vec<ProposedItem>>,
    known_items: Vec<(ItemKey, ItemAttributes)>,
    groups: Vec<u64>,
    /// Some had no time left.
    lacks_sources: bool,
}

/// Asks retrieval for candidates, and adds what is pinned.
///
/// - `now`: the moment of the request
/// - `until`: sources whose turn comes later are left out
pub(super) async fn propose(
    app: &App,
    wanted: &Wanted<'_>,
    view: &PersonView,
    snapshot: Option<SnapshotVersion>,
    (now, until): (Timestamp, Option<Instant>),
) -> Result<Proposed, RoleError> {
    let Wanted { request, .. } = wanted;
    let asked = CandidateRequest {
        snapshot: snapshot.clone(),
        person: view.state.clone(),
        context_items: request.items.clone(),
        category: request.category.clone(),
        filters: wanted.filters.clone(),
        conditions: wanted.rules.boost.iter().map(|rule| rule.when.clone()).collect(),
        group_by: wanted.rules.max_per.iter().map(|(attribute, _)| attribute.clone()).collect(),
        user: user_properties(app, wanted).await,
        exclude: wanted.exclude.clone(),
        seen: wanted.seen,
        sources: wanted.sources.clone(),
        at_least: wanted.at_least(),
        limit: wanted.n_candidates,
        deadline: until,
        now,
    };
    let CandidateResponse { mut candidates, known_items, mut groups, missing, .. } =
        app.retrieval.candidates(&asked).await?;
    add_pinned(app, wanted, &mut candidates).await?;
    // Pinned items are not capped.
    groups.resize(candidates.len() * wanted.rules.max_per.len(), 0);
    let lacks_sources = !missing.is_empty();
    Ok(Proposed { snapshot, now, candidates: Arc::new(candidates), known_items, groups, lacks_sources })
}

/// What ranking made of candidates.
pub(super) struct Ranked {
    pub(super) slate: Vec<RankedItem>,
    feature_names: Arc<[String]>,
    /// Counters were missing.
    is_degraded: bool,
}

/// Reads what everybody does with the candidates, and asks ranking for the best so many by these rules.
pub(super) async fn rank(
    app: &App,
    wanted: &Wanted<'_>,
    view: &PersonView,
    proposed: Proposed,
    (k, rules): (usize, Rules),
    deadline: Instant,
) -> Result<Ranked, RoleError> {
    let Proposed { snapshot, now, candidates, known_items, groups, .. } = proposed;
    let (item_facts, is_degraded) = match item_facts(app, &candidates, now, deadline).await {
        Ok(facts) => (facts, false),
        Err(e) => {
            degraded("features", &e);
            (vec![ItemFacts::default(); candidates.len()], true)
        }
    };
    let ranked = app.ranking.rank(RankRequest {
        snapshot,
        person: view.state.clone(),
        context_items: wanted.request.items.iter().map(ItemId::key).collect(),
        candidates,
        item_facts,
        known_items,
        now,
        k,
        rules,
        groups,
    });
    // A quarter of what is left stays for what comes after.
    let RankResponse { slate, feature_names } = in_time(left(deadline) * 3 / 4, "ranking", ranked).await?;
    Ok(Ranked { slate, feature_names, is_degraded })
}

/// What the sources say of one candidate, with the ids of the items that led to it.
pub(super) async fn by_ids(app: &App, candidate: &ProposedItem) -> Result<Vec<SourceScore>, RoleError> {
    let ranked = vec![unexplored(0, 0.0)];
    let (slate, _) = looked_up(app, std::slice::from_ref(candidate), ranked).await?;
    Ok(slate.into_iter().next().map(|place| place.sources).unwrap_or_default())
}

/// What `user.…` in expressions refers to, if one of them does. Somebody unknown has no properties, and neither has
/// somebody whose properties cannot be read now.
pub(super) async fn user_properties(app: &App, wanted: &Wanted<'_>) -> Arc<Map<String, Value>> {
    match wanted.request.person.user_id.as_ref().filter(|_| wanted.uses_user()) {
        Some(user_id) => properties_of(app, user_id).await,
        None => Arc::default(),
    }
}

/// What the shop has stored about the user.
pub(crate) async fn properties_of(app: &App, user_id: &UserId) -> Arc<Map<String, Value>> {
    match tokio::time::timeout(PROPERTIES, app.database.user(user_id)).await {
        Ok(Ok(user)) => Arc::new(user.map(|user| user.properties).unwrap_or_default()),
        _ => {
            degraded("database", &RoleError::Deadline { role: "database" });
            Arc::default()
        }
    }
}

fn left(deadline: Instant) -> Duration {
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
    wanted: &Wanted<'_>,
    candidates: &mut Vec<ProposedItem>,
) -> Result<(), RoleError> {
    let mut missing: Vec<ItemId> = Vec::new();
    for pin in &wanted.pin {
        if !missing.contains(pin) && !candidates.iter().any(|c| c.item == pin.key()) {
            missing.push(pin.clone());
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let now = Timestamp::now();
    let found = app.retrieval.items(&missing).await?;
    candidates.extend(found.into_iter().flatten().filter(|item| item.is_available(now)).map(|item| {
        ProposedItem {
            item: item.item_id.key(),
            attributes: ItemAttributes::of(&item),
            opinions: [static_opinion(1)].into_iter().collect(),
            matches: 0,
        }
    }));
    Ok(())
}

/// What everybody does with the candidates, in the same order, in half of the time that is left.
async fn item_facts(
    app: &App,
    candidates: &[ProposedItem],
    now: Timestamp,
    deadline: Instant,
) -> Result<Vec<ItemFacts>, RoleError> {
    let keys: Vec<ItemKey> = candidates.iter().map(|c| c.item).collect();
    in_time(left(deadline) / 2, "features", app.features.items(&keys, now)).await
}

/// The slate without a ranker: pinned items, then whatever some source places highest.
fn in_order_of_sources(wanted: &Wanted<'_>, candidates: &[ProposedItem]) -> Vec<RankedItem> {
    let best_rank = |c: &ProposedItem| c.opinions.best_rank().unwrap_or(u32::MAX);
    let pinned = |c: &ProposedItem| wanted.pin.iter().position(|pin| pin.key() == c.item);
    let mut order: Vec<(usize, &ProposedItem)> = candidates.iter().enumerate().collect();
    order.sort_by_key(|(_, c)| {
        (pinned(c).unwrap_or(usize::MAX), best_rank(c), Reverse(c.opinions.iter().count()))
    });
    order.truncate(wanted.k);
    order.into_iter().map(|(place, c)| unexplored(place, 1.0 / best_rank(c) as f32)).collect()
}

/// A place that nothing but its score led to.
fn unexplored(candidate: usize, score: f32) -> RankedItem {
    RankedItem { candidate, score, propensity: 1.0, features: Vec::new(), rules: Vec::new() }
}

/// The slate by ids, and the catalogue's entries of its items and of those that led to them. What has left the catalogue
/// since it was proposed is left out.
async fn looked_up(
    app: &App,
    candidates: &[ProposedItem],
    ranked: Vec<RankedItem>,
) -> Result<(Vec<AnsweredItem>, KeyMap<Arc<Item>>), RoleError> {
    let mut keys: Vec<ItemKey> = Vec::with_capacity(2 * ranked.len());
    for place in &ranked {
        let ProposedItem { item, opinions, .. } = &candidates[place.candidate];
        keys.push(*item);
        keys.extend(opinions.iter().filter_map(|opinion| opinion.because));
    }
    keys.sort_unstable();
    keys.dedup();
    let found = app.retrieval.items_by_key(&keys).await?;
    let items: KeyMap<Arc<Item>> =
        keys.into_iter().zip(found).filter_map(|(key, item)| Some((key, item?))).collect();
    let id_of = |key: ItemKey| items.get(&key).map(|item| item.item_id.clone());
    let of_source = |Opinion { source, score, rank, because }: Opinion| SourceScore {
        source,
        score,
        rank,
        because: because.and_then(id_of),
    };
    let known = ranked.into_iter().filter_map(|place| {
        let ProposedItem { item, opinions, .. } = &candidates[place.candidate];
        Some((id_of(*item)?, opinions.by_rank(), place))
    });
    let slate = (1..)
        .zip(known)
        .map(|(position, (item_id, opinions, place))| AnsweredItem {
            item_id,
            position,
            score: place.score,
            propensity: place.propensity,
            sources: opinions.into_iter().map(of_source).collect(),
            rules: place.rules,
            features: place.features,
        })
        .collect();
    Ok((slate, items))
}

fn static_opinion(rank: u32) -> Opinion {
    Opinion { source: CandidateSource::Static, score: 0.0, rank, because: None }
}

pub(super) fn static_source(rank: u32) -> SourceScore {
    SourceScore { source: CandidateSource::Static, score: 0.0, rank, because: None }
}
