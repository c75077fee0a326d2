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
    features::PersonView,
    retrieval::{Likeness, SimilarRequest},
};
use waggle_model::{Answer, ItemId, Person, Rung, SnapshotVersion, Timestamp, Watermark};

use crate::{
    answer_cache::{self, CachedAnswer},
    app::App,
    flights::{Flight, Seat},
    kept::{keep, keep_again},
    served::{Served, ServedBody},
};
pub(crate) use compose::properties_of;
use compose::{Composed, compose, user_properties};
pub use explain::explain;
use last_rung::step_down;
use record::{observe, record, serve_again, shape};
pub use request::{Checked, checked_k, checked_person};
pub use wanted::Wanted;

/// Answers a recommendation request. Never fails: the ladder ends in a list that needs nobody.
pub async fn recommend(app: &App, request: &Checked) -> ServedBody {
    let started = Instant::now();
    let wanted = &Wanted::new(request, &app.placements.load(), &app.config);
    let view = if request.is_impersonal { Some(nobody()) } else { person_view(app, &request.person).await };
    let snapshot = app.retrieval.current_snapshot();
    // Somebody whose state cannot be read may have acted since.
    let may_be_shared = view.is_some() && !wanted.cache_ttl.is_zero() && !request.is_uncached;
    let view = view.unwrap_or_else(nobody);
    let key = may_be_shared
        .then(|| answer_cache::key(wanted, &view.state, snapshot.as_ref(), app.retrieval.catalog_version()));
    let asking = Asking { app, wanted, view, snapshot, started };
    match key {
        Some(key) => asking.through_cache(&key).await,
        None => asking.compute().await.hand_out(app, request).await,
    }
}

/// A request with all that its answer depends on.
struct Asking<'a> {
    app: &'a App,
    wanted: &'a Wanted<'a>,
    view: PersonView,
    snapshot: Option<SnapshotVersion>,
    started: Instant,
}

/// An answer that nobody has got yet.
struct Computed {
    served: Served,
    answer: Answer,
    /// A role was missing: the next request may be luckier.
    is_poor: bool,
    /// How long until one of its items is not offered any more.
    whole_for: Duration,
}

impl Asking<'_> {
    /// A fresh answer from the cache; else the one that somebody else is computing for the same question, or a stale one
    /// instead of waiting for it; else a computed one.
    async fn through_cache(self, key: &[u8]) -> ServedBody {
        let Self { app, wanted, .. } = self;
        let cached = from_cache(app, key).await;
        let stale = match cached {
            Some(cached) if cached.is_fresh(wanted.cache_ttl, Timestamp::now()) => {
                return self.serve_again(cached, "cached").await;
            }
            other => other,
        };
        match (app.flights.join(key), stale) {
            (Seat::First(flight), stale) => {
                let computed = self.compute().await;
                match stale {
                    Some(stale) if computed.is_poor => {
                        flight.land(stale.clone());
                        self.serve_again(stale, "stale").await
                    }
                    _ => {
                        self.land(key, flight, &computed).await;
                        computed.hand_out(app, wanted.request).await
                    }
                }
            }
            (Seat::Later(_), Some(stale)) => self.serve_again(stale, "stale").await,
            (Seat::Later(waiting), None) => match waiting.answer(self.deadline()).await {
                Some(answer) => self.serve_again(answer, "shared").await,
                None => self.compute().await.hand_out(app, wanted.request).await,
            },
        }
    }

    async fn compute(&self) -> Computed {
        let Self { app, wanted, view, started, .. } = self;
        let composing = compose(app, wanted, view, self.snapshot.clone(), self.deadline());
        let composed = match tokio::time::timeout_at(self.deadline().into(), composing).await {
            Ok(Ok(composed)) => composed,
            Ok(Err(e)) => step_down(app, wanted, view, "failed", &e).await,
            Err(_) => step_down(app, wanted, view, "late", &RoleError::Deadline { role: "gateway" }).await,
        };
        let is_poor = composed.rung == Rung::Static || composed.is_degraded;
        let whole_for = composed.is_whole_for(Timestamp::now());
        let (served, answer) = shape(wanted, composed, view, *started);
        Computed { served, answer, is_poor, whole_for }
    }

    /// Gives the answer to those who wait for it, and to the cache if it is worth keeping.
    async fn land(&self, key: &[u8], flight: Flight, computed: &Computed) {
        let answer = CachedAnswer {
            served: computed.served.clone(),
            n_candidates: computed.answer.n_candidates,
            computed_at: Timestamp::now(),
        };
        if !computed.is_poor {
            let ttl = (self.wanted.cache_ttl + self.app.config.cache_stale()).min(computed.whole_for);
            if let Err(e) = self.app.cache.set(key, answer_cache::encode(&answer), ttl).await {
                debug!(error = %e, "the answer could not be cached");
            }
        }
        flight.land(answer);
    }

    /// Serves what was computed before, under an id of its own.
    async fn serve_again(&self, cached: CachedAnswer, how: &'static str) -> ServedBody {
        let Self { app, wanted, .. } = self;
        let computed_by = cached.served.answer_id.clone();
        let served = serve_again(app, wanted.request, cached, &self.view, self.started, how);
        keep_again(app, &served.answer_id, computed_by).await;
        served.into_body()
    }

    fn deadline(&self) -> Instant {
        self.started + self.app.config.deadline()
    }
}

impl Computed {
    /// Keeps, records and counts it.
    async fn hand_out(self, app: &App, request: &Checked) -> ServedBody {
        let Self { served, answer, .. } = self;
        observe(request, &served, answer.n_candidates, "computed");
        let took_ms = served.took_ms;
        let body = served.into_body();
        keep(app, request, &body, &answer).await;
        record(app, request, Answer { took_ms, ..answer });
        body
    }
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
) -> Result<ServedBody, RoleError> {
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
    let (served, answer) = shape(wanted, composed, &nobody(), started);
    let computed = Computed { served, answer, is_poor: false, whole_for: Duration::MAX };
    Ok(computed.hand_out(app, request).await)
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
