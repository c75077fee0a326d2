//! One recommendation request from start to end.
//!
//! The ladder: *personal* from what the person did, *segment* from the page they are on, *trending* for who is unknown,
//! *static* when nothing else can answer. Each failure of another role costs a rung and is counted; the page is never
//! empty as long as the catalogue holds anything.
//!
//! - [`request`]: what a client may ask for; `wanted`: the same, completed by the placement. [`compose`]: the rungs that need other roles. [`last_rung`]: the one that
//!   does not. [`record`]: the slate as a response, and as an answer in the log.

mod compose;
mod explain;
mod last_rung;
mod record;
pub mod request;
mod wanted;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use metrics::counter;
use tracing::{debug, warn};
use waggle_contracts::{
    RoleError,
    api::RecommendationResponse,
    features::PersonView,
    retrieval::{Likeness, SimilarRequest},
};
use waggle_model::{Answer, ItemId, Person, Rung, Timestamp, Watermark};

use crate::{
    answer_cache::{self, CachedAnswer},
    app::App,
    kept::{keep, keep_again},
};
use compose::{Composed, compose, user_properties};
pub use explain::explain;
use last_rung::step_down;
use record::{millis, observe, record, serve_again, shape};
pub use request::{Checked, checked_k, checked_person};
pub use wanted::Wanted;

/// Answers a recommendation request. Never fails: the ladder ends in a list that needs nobody.
pub async fn recommend(app: &App, request: &Checked) -> RecommendationResponse {
    let started = Instant::now();
    let deadline = started + app.config.deadline();
    let wanted = &Wanted::new(request, &app.placements.load(), &app.config);
    let view = if request.is_impersonal { Some(nobody()) } else { person_view(app, &request.person).await };
    let snapshot = app.retrieval.current_snapshot();
    let catalog_version = app.retrieval.catalog_version();
    let cached_under = view
        .as_ref()
        .filter(|_| !wanted.cache_ttl.is_zero() && !request.is_uncached)
        .map(|view| answer_cache::key(wanted, &view.state, snapshot.as_ref(), catalog_version));
    if let Some(key) = &cached_under
        && let Some(cached) = from_cache(app, key).await
    {
        let computed_by = cached.response.answer_id.clone();
        let response = serve_again(app, request, cached, view.as_ref(), started);
        keep_again(app, &response.answer_id, computed_by).await;
        return response;
    }
    let view = view.unwrap_or_else(nobody);
    let composed =
        match tokio::time::timeout_at(deadline.into(), compose(app, wanted, &view, snapshot, deadline)).await
        {
            Ok(Ok(composed)) => composed,
            Ok(Err(e)) => step_down(app, wanted, &view, "failed", &e).await,
            Err(_) => step_down(app, wanted, &view, "late", &RoleError::Deadline { role: "gateway" }).await,
        };
    // What a failure made worse is not kept: the next request may be luckier.
    let cached_under = cached_under.filter(|_| composed.rung != Rung::Static && !composed.is_degraded);
    let (mut response, answer) = shape(wanted, composed, &view, started);
    if let Some(key) = cached_under {
        let value = CachedAnswer { response: response.clone(), n_candidates: answer.n_candidates };
        if let Err(e) = app.cache.set(&key, answer_cache::encode(&value), wanted.cache_ttl).await {
            debug!(error = %e, "the answer could not be cached");
        }
    }
    response.took_ms = millis(started.elapsed());
    let n_candidates = answer.n_candidates;
    keep(app, request, &response, &answer).await;
    record(app, request, Answer { took_ms: response.took_ms, ..answer });
    observe(request, &response, n_candidates, "computed");
    response
}

/// Answers an item page's "similar" or "bought together".
///
/// # Errors
/// [`RoleError`] when the item is unknown or retrieval cannot answer in time: the page itself is about the item, so there
/// is no lower rung that would still be an answer.
pub async fn similar(
    app: &App,
    request: &Checked,
    item_id: ItemId,
    kind: Likeness,
) -> Result<RecommendationResponse, RoleError> {
    let started = Instant::now();
    let wanted = &Wanted::new(request, &app.placements.load(), &app.config);
    let mut asked = SimilarRequest {
        snapshot: app.retrieval.current_snapshot(),
        item_id,
        kind,
        filters: wanted.filters.clone(),
        user: user_properties(app, wanted).await,
        exclude: wanted.exclude.clone(),
        limit: wanted.k,
        now: Timestamp::now(),
    };
    let found = app.ask("retrieval", async {
        match app.retrieval.similar(&asked).await {
            // Swapped out in mid-request: once more on the one that is there.
            Err(RoleError::SnapshotNotLoaded { loaded, .. }) => {
                asked.snapshot = loaded;
                app.retrieval.similar(&asked).await
            }
            outcome => outcome,
        }
    });
    let composed = match found.await {
        Ok(found) => Composed::in_order(app, found).await?,
        // The placement's filter cannot be answered: nothing that it may forbid is shown.
        Err(e @ RoleError::Invalid(_)) if !wanted.filters.is_empty() => {
            degraded("retrieval", &e);
            Composed::empty(Rung::Segment)
        }
        Err(e) => return Err(e),
    };
    let composed = Composed { rung: Rung::Segment, ..composed };
    let (mut response, answer) = shape(wanted, composed, &nobody(), started);
    response.took_ms = millis(started.elapsed());
    let n_candidates = answer.n_candidates;
    keep(app, request, &response, &answer).await;
    record(app, request, Answer { took_ms: response.took_ms, ..answer });
    observe(request, &response, n_candidates, "computed");
    Ok(response)
}

const NO_WATERMARK: Watermark = Watermark { partition: 0, offset: 0, time: Timestamp::from_millis(0) };

/// A stranger, or somebody whose state cannot be read.
fn nobody() -> PersonView {
    PersonView { state: Arc::default(), watermark: NO_WATERMARK }
}

/// What is known of the person; `None` when the features role cannot say in half the time there is.
async fn person_view(app: &App, person: &Person) -> Option<PersonView> {
    match in_time(app.config.deadline() / 2, "features", app.features.person(person)).await {
        Ok(view) => Some(view),
        Err(e) => {
            degraded("features", &e);
            None
        }
    }
}

/// What `role` answers within `time`.
pub(crate) async fn in_time<T>(
    time: Duration,
    role: &'static str,
    answer: impl Future<Output = Result<T, RoleError>>,
) -> Result<T, RoleError> {
    tokio::time::timeout(time, answer).await.unwrap_or(Err(RoleError::Deadline { role }))
}

/// Counts and logs a failure that the answer survives.
fn degraded(role: &'static str, error: &RoleError) {
    let why = if matches!(error, RoleError::Deadline { .. }) { "late" } else { "failed" };
    counter!("waggle_gateway_degraded_total", "role" => role, "why" => why).increment(1);
    warn!(role, error = %error, "an answer goes on without {role}");
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
