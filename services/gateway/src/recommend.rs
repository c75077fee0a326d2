//! One recommendation request from start to end.
//!
//! The ladder: *personal* from what the person did, *segment* from the page they are on, *trending* for who is unknown,
//! *static* when nothing else can answer. Each failure of another role costs a rung and is counted; the page is never
//! empty as long as the catalogue holds anything.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use metrics::{counter, histogram};
use tracing::{debug, warn};
use waggle_contracts::{
    RoleError,
    api::{Reason, RecommendationRequest, RecommendationResponse, RecommendedItem},
    features::PersonView,
    ranking::{RankRequest, RankResponse},
    retrieval::{CandidateRequest, CandidateResponse, Likeness, ProposedItem, SimilarRequest},
};
use waggle_features::PersonState;
use waggle_model::{
    Answer, AnswerId, AnsweredItem, CandidateSource, Event, EventBody, Item, ItemId, Person, Placement, Rung,
    SessionId, SnapshotVersion, SourceScore, Timestamp, UserId, Watermark,
};

use crate::{
    answer_cache::{self, CachedAnswer},
    app::App,
    reasons::{add_titles, reason_of},
};

/// Most items in each list of a request.
pub const MAX_LISTED: usize = 200;
/// Most items kept for the last rung.
const MAX_LAST_GOOD: usize = 200;

/// A request whose every field was checked.
#[derive(Debug, Clone, Default)]
pub struct Checked {
    pub person: Person,
    pub placement: Placement,
    pub k: usize,
    pub items: Vec<ItemId>,
    pub exclude: Vec<ItemId>,
    pub pin: Vec<ItemId>,
    pub category: Option<String>,
    pub exclude_known: bool,
    pub diversity: Option<f32>,
    pub include_items: bool,
    /// Which sources may propose; empty means all.
    pub sources: Vec<CandidateSource>,
    /// The same list for everybody: the person is only kept for the record.
    pub is_impersonal: bool,
}

impl Checked {
    /// # Errors
    /// One sentence that names the field and its limit.
    pub fn try_new(request: RecommendationRequest) -> Result<Self, String> {
        let text = |e: waggle_model::IdError| e.to_string();
        let ids = |name: &str, ids: &[String]| -> Result<Vec<ItemId>, String> {
            if ids.len() > MAX_LISTED {
                return Err(format!("{name} has {} entries, at most {MAX_LISTED} are allowed", ids.len()));
            }
            ids.iter().map(|id| ItemId::try_new(id).map_err(|e| format!("{name}: {e}"))).collect()
        };
        if request.diversity.is_some_and(|d| !(0.0..=1.0).contains(&d)) {
            return Err(format!(
                "diversity is {}, it must be between 0 and 1",
                request.diversity.unwrap_or(0.0)
            ));
        }
        for (name, value) in [("placement", &request.placement), ("category", &request.category)] {
            if value.as_ref().is_some_and(|v| v.is_empty() || v.len() > waggle_model::ids::MAX_ID_BYTES) {
                return Err(format!("{name} must have 1 to {} bytes", waggle_model::ids::MAX_ID_BYTES));
            }
        }
        Ok(Self {
            person: Person {
                user_id: request.user_id.map(UserId::try_new).transpose().map_err(text)?,
                session_id: request.session_id.map(SessionId::try_new).transpose().map_err(text)?,
            },
            placement: request.placement.map(Placement::from).unwrap_or_default(),
            k: checked_k(request.k)?,
            items: ids("items", &request.items)?,
            exclude: ids("exclude", &request.exclude)?,
            pin: ids("pin", &request.pin)?,
            category: request.category,
            exclude_known: request.exclude_known,
            diversity: request.diversity,
            include_items: request.include_items,
            sources: Vec::new(),
            is_impersonal: false,
        })
    }
}

/// # Errors
/// Names the value and the range.
pub fn checked_k(k: Option<i64>) -> Result<usize, String> {
    use waggle_contracts::api::{DEFAULT_K, MAX_K};
    let k = k.unwrap_or(DEFAULT_K as i64);
    usize::try_from(k)
        .ok()
        .filter(|k| (1..=MAX_K).contains(k))
        .ok_or_else(|| format!("k is {k}, it must be between 1 and {MAX_K}"))
}

/// Answers a recommendation request. Never fails: the ladder ends in a list that needs nobody.
pub async fn recommend(app: &App, request: &Checked) -> RecommendationResponse {
    let started = Instant::now();
    let view = if request.is_impersonal { Some(nobody()) } else { person_view(app, &request.person).await };
    let snapshot = app.retrieval.current_snapshot();
    let cached_under = view
        .as_ref()
        .filter(|_| app.config.cache_ttl_s > 0)
        .map(|view| answer_cache::key(&request.person, &view.state, request, snapshot.as_ref()));
    if let Some(key) = &cached_under
        && let Some(cached) = from_cache(app, key).await
    {
        return serve_again(app, request, cached, view.as_ref(), started);
    }
    let view = view.unwrap_or_else(nobody);
    let remaining = app.config.deadline().saturating_sub(started.elapsed());
    let composed = match tokio::time::timeout(remaining, compose(app, request, &view, snapshot.clone())).await
    {
        Ok(Ok(composed)) => composed,
        Ok(Err(e)) => step_down(app, request, "failed", &e),
        Err(_) => step_down(app, request, "late", &RoleError::Deadline { role: "gateway" }),
    };
    let (mut response, answer) = shape(app, request, composed, &view, started).await;
    if let Some(key) = cached_under.filter(|_| response.rung != Rung::Static) {
        let value = CachedAnswer { response: response.clone(), n_candidates: answer.n_candidates };
        if let Err(e) = app.cache.set(&key, answer_cache::encode(&value), app.config.cache_ttl()).await {
            debug!(error = %e, "the answer could not be cached");
        }
    }
    response.took_ms = millis(started.elapsed());
    record(app, request, Answer { took_ms: response.took_ms, ..answer });
    observe(&response, "computed");
    response
}

/// Answers an item page's "similar" or "bought together".
///
/// # Errors
/// [`RoleError`] when the item is unknown or retrieval cannot answer: the page itself is about the item, so there is no
/// lower rung that would still be an answer.
pub async fn similar(
    app: &App,
    request: &Checked,
    item_id: ItemId,
    kind: Likeness,
) -> Result<RecommendationResponse, RoleError> {
    let started = Instant::now();
    let snapshot = app.retrieval.current_snapshot();
    let asked =
        SimilarRequest { snapshot: snapshot.clone(), item_id, kind, limit: request.k, now: Timestamp::now() };
    let found = app.retrieval.similar(&asked).await?;
    let view = nobody();
    let composed = Composed { rung: Rung::Segment, ..Composed::in_order(found) };
    let (mut response, answer) = shape(app, request, composed, &view, started).await;
    response.took_ms = millis(started.elapsed());
    record(app, request, Answer { took_ms: response.took_ms, ..answer });
    observe(&response, "computed");
    Ok(response)
}

const NO_WATERMARK: Watermark = Watermark { partition: 0, offset: 0, time: Timestamp::from_millis(0) };

/// A stranger, or somebody whose state cannot be read.
fn nobody() -> PersonView {
    PersonView { state: PersonState::default(), watermark: NO_WATERMARK }
}

/// A slate before it becomes a response.
struct Composed {
    rung: Rung,
    snapshot: Option<SnapshotVersion>,
    n_candidates: usize,
    slate: Vec<AnsweredItem>,
    feature_names: Vec<String>,
    /// Catalogue entries of (at least) the slate's items.
    items: Vec<Arc<Item>>,
}

impl Composed {
    /// The candidates as they came, best first.
    fn in_order(found: CandidateResponse) -> Self {
        let slate = (1..)
            .zip(&found.candidates)
            .map(|(position, c)| AnsweredItem {
                item_id: c.item.item_id.clone(),
                position,
                score: c.sources.first().map_or(0.0, |s| s.score),
                propensity: 1.0,
                sources: c.sources.clone(),
                features: Vec::new(),
            })
            .collect();
        Self {
            rung: Rung::Trending,
            snapshot: found.snapshot,
            n_candidates: found.candidates.len(),
            slate,
            feature_names: Vec::new(),
            items: found.candidates.into_iter().map(|c| c.item).collect(),
        }
    }
}

/// What is known of the person; `None` when the features role cannot say in half the time there is.
async fn person_view(app: &App, person: &Person) -> Option<PersonView> {
    let answer = tokio::time::timeout(app.config.deadline() / 2, app.features.person(person)).await;
    match answer {
        Ok(Ok(view)) => Some(view),
        Ok(Err(e)) => {
            counter!("waggle_gateway_degraded_total", "role" => "features", "why" => "failed").increment(1);
            warn!(error = %e, "a person could not be read; answering as for a stranger");
            None
        }
        Err(_) => {
            counter!("waggle_gateway_degraded_total", "role" => "features", "why" => "late").increment(1);
            None
        }
    }
}

/// The rungs that need other roles. A snapshot that was swapped out in mid-request is replaced once.
async fn compose(
    app: &App,
    request: &Checked,
    view: &PersonView,
    snapshot: Option<SnapshotVersion>,
) -> Result<Composed, RoleError> {
    match compose_on(app, request, view, snapshot).await {
        Err(RoleError::SnapshotNotLoaded { loaded, .. }) => compose_on(app, request, view, loaded).await,
        outcome => outcome,
    }
}

async fn compose_on(
    app: &App,
    request: &Checked,
    view: &PersonView,
    snapshot: Option<SnapshotVersion>,
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
    let keys: Vec<_> = candidates.iter().map(|c| c.item.item_id.key()).collect();
    let item_states = app.features.items(&keys).await?;
    let items: Vec<Arc<Item>> = candidates.iter().map(|c| c.item.clone()).collect();
    let n_candidates = candidates.len();
    let RankResponse { slate, feature_names } = app
        .ranking
        .rank(RankRequest {
            snapshot: snapshot.clone(),
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
        })
        .await?;
    if rung == Rung::Trending && request.category.is_none() && request.exclude.is_empty() {
        remember(app, &items, &slate);
    }
    let mut composed = Composed { rung, snapshot, n_candidates, slate, feature_names, items };
    if composed.slate.is_empty() {
        composed.rung = Rung::Static;
    }
    fill(app, request, &mut composed);
    Ok(composed)
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

/// Pinned items that nobody proposed join the candidates.
async fn add_pinned(
    app: &App,
    request: &Checked,
    candidates: &mut Vec<ProposedItem>,
) -> Result<(), RoleError> {
    let missing: Vec<ItemId> = request
        .pin
        .iter()
        .filter(|pin| !candidates.iter().any(|c| c.item.item_id == **pin))
        .cloned()
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let now = Timestamp::now();
    let found = app.retrieval.items(&missing).await?;
    candidates.extend(found.into_iter().flatten().filter(|item| item.is_available(now)).map(|item| {
        ProposedItem {
            attributes: waggle_features::ItemAttributes::of(&item),
            sources: vec![static_source(1)],
            item,
        }
    }));
    Ok(())
}

/// Keeps what is trending for the day when nobody can say.
fn remember(app: &App, items: &[Arc<Item>], slate: &[AnsweredItem]) {
    if slate.is_empty() {
        return;
    }
    let Ok(mut last_good) = app.last_good.try_write() else { return };
    let mut list: Vec<Arc<Item>> = slate
        .iter()
        .filter_map(|place| items.iter().find(|item| item.item_id == place.item_id).cloned())
        .collect();
    list.extend(
        last_good.iter().filter(|old| !slate.iter().any(|place| place.item_id == old.item_id)).cloned(),
    );
    list.truncate(MAX_LAST_GOOD);
    *last_good = list;
}

/// The last rung, counted.
fn step_down(app: &App, request: &Checked, why: &'static str, error: &RoleError) -> Composed {
    counter!("waggle_gateway_degraded_total", "role" => "compose", "why" => why).increment(1);
    warn!(error = %error, "an answer fell to the last rung");
    let mut composed = Composed {
        rung: Rung::Static,
        snapshot: None,
        n_candidates: 0,
        slate: Vec::new(),
        feature_names: Vec::new(),
        items: Vec::new(),
    };
    fill(app, request, &mut composed);
    composed
}

/// Fills a short slate from the list of the last rung.
fn fill(app: &App, request: &Checked, composed: &mut Composed) {
    if composed.slate.len() >= request.k {
        return;
    }
    let now = Timestamp::now();
    let last_good = app.last_good.read().unwrap_or_else(std::sync::PoisonError::into_inner);
    for item in last_good.iter() {
        if composed.slate.len() >= request.k {
            break;
        }
        let is_fit = item.is_available(now)
            && request.category.as_ref().is_none_or(|c| item.category.as_ref() == Some(c))
            && !request.exclude.contains(&item.item_id)
            && !request.items.contains(&item.item_id)
            && !composed.slate.iter().any(|place| place.item_id == item.item_id);
        if !is_fit {
            continue;
        }
        let position = u32::try_from(composed.slate.len() + 1).unwrap_or(u32::MAX);
        composed.slate.push(AnsweredItem {
            item_id: item.item_id.clone(),
            position,
            // Below whatever was ranked, in the order of the list.
            score: composed.slate.last().map_or(0.0, |last| last.score - 1.0),
            propensity: 1.0,
            sources: vec![static_source(position)],
            features: Vec::new(),
        });
        composed.items.push(item.clone());
    }
}

fn static_source(rank: u32) -> SourceScore {
    SourceScore { source: CandidateSource::Static, score: 0.0, rank, because: None }
}

/// The response for the client and the record for the log.
async fn shape(
    app: &App,
    request: &Checked,
    composed: Composed,
    view: &PersonView,
    started: Instant,
) -> (RecommendationResponse, Answer) {
    let answer_id = new_answer_id();
    let watermark = (view.watermark != NO_WATERMARK).then_some(view.watermark);
    let mut items: Vec<RecommendedItem> = composed
        .slate
        .iter()
        .map(|place| RecommendedItem {
            item_id: place.item_id.clone(),
            rank: place.position,
            score: place.score,
            sources: place.sources.clone(),
            reason: reason_of(place, &view.state, &request.pin, request.category.as_deref()),
            item: request
                .include_items
                .then(|| composed.items.iter().find(|item| item.item_id == place.item_id))
                .flatten()
                .map(|item| Item::clone(item)),
        })
        .collect();
    if items.iter().any(|item| matches!(item.reason, Reason::BecauseOf { .. })) {
        add_titles(&app.retrieval, &mut items).await;
    }
    let response = RecommendationResponse {
        answer_id: answer_id.clone(),
        placement: request.placement.clone(),
        rung: composed.rung,
        snapshot: composed.snapshot.clone(),
        watermark,
        items,
        took_ms: millis(started.elapsed()),
    };
    let answer = Answer {
        answer_id,
        placement: request.placement.clone(),
        rung: composed.rung,
        snapshot: composed.snapshot,
        watermark,
        computed_by: None,
        items: composed.slate,
        feature_names: composed.feature_names,
        n_candidates: u32::try_from(composed.n_candidates).unwrap_or(u32::MAX),
        took_ms: 0.0,
    };
    (response, answer)
}

async fn from_cache(app: &App, key: &[u8]) -> Option<CachedAnswer> {
    match app.cache.get(key).await {
        Ok(value) => value.and_then(|bytes| answer_cache::decode(&bytes)),
        Err(e) => {
            counter!("waggle_gateway_degraded_total", "role" => "cache", "why" => "failed").increment(1);
            debug!(error = %e, "the cache could not be asked");
            None
        }
    }
}

/// Serves a cached answer under an id of its own that points to the computed one.
fn serve_again(
    app: &App,
    request: &Checked,
    cached: CachedAnswer,
    view: Option<&PersonView>,
    started: Instant,
) -> RecommendationResponse {
    let mut response = cached.response;
    let computed_by = std::mem::replace(&mut response.answer_id, new_answer_id());
    response.watermark = view.map(|view| view.watermark).filter(|w| *w != NO_WATERMARK);
    response.took_ms = millis(started.elapsed());
    record(
        app,
        request,
        Answer {
            answer_id: response.answer_id.clone(),
            placement: response.placement.clone(),
            rung: response.rung,
            snapshot: response.snapshot.clone(),
            watermark: response.watermark,
            computed_by: Some(computed_by),
            items: Vec::new(),
            feature_names: Vec::new(),
            n_candidates: cached.n_candidates,
            took_ms: response.took_ms,
        },
    );
    observe(&response, "cached");
    response
}

fn record(app: &App, request: &Checked, answer: Answer) {
    app.answers.record(Event {
        event_id: None,
        timestamp: Timestamp::now(),
        person: request.person.clone(),
        body: EventBody::Answer(Box::new(answer)),
        context: serde_json::Map::new(),
    });
}

fn observe(response: &RecommendationResponse, how: &'static str) {
    counter!("waggle_answers_total", "rung" => response.rung.as_str(), "how" => how).increment(1);
    histogram!("waggle_answer_duration_seconds", "how" => how).record(response.took_ms / 1e3);
}

/// Sorts by time of minting: 48 bits of milliseconds, then 80 random bits, as hexadecimal.
fn new_answer_id() -> AnswerId {
    let millis = Timestamp::now().as_millis();
    let random = rand::random::<u128>() & ((1 << 80) - 1);
    AnswerId::try_new(format!("{millis:012x}{random:020x}")).expect("hexadecimal digits are a valid id")
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
