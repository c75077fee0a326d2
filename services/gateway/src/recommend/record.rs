//! The slate as a response for the client, and as a record for the log.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use metrics::{counter, histogram};
use waggle_contracts::{
    api::{RecommendationResponse, RecommendedItem},
    features::PersonView,
};
use waggle_model::{Answer, AnswerId, Event, EventBody, Item, Placement, Timestamp};

use super::{Checked, NO_WATERMARK, Wanted, compose::Composed};
use crate::{answer_cache::CachedAnswer, app::App, reasons::reason_of, served::Served};

/// The response for the client and the record for the log.
pub(super) fn shape(
    wanted: &Wanted<'_>,
    composed: Composed,
    view: &PersonView,
    started: Instant,
) -> (Served, Answer) {
    let Wanted { request, .. } = wanted;
    let answer_id = new_answer_id(&request.placement);
    let watermark = Some(view.watermark).filter(|watermark| *watermark != NO_WATERMARK);
    let items: Vec<RecommendedItem> = composed
        .slate
        .iter()
        .map(|place| RecommendedItem {
            item_id: place.item_id.clone(),
            rank: place.position,
            score: place.score,
            sources: place.sources.clone(),
            reason: reason_of(place, &view.state, wanted, &composed.items),
            rules: place.rules.clone(),
            item: request
                .include_items
                .then(|| composed.items.get(&place.item_id.key()))
                .flatten()
                .map(|item| Item::clone(item)),
        })
        .collect();
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
    (response.into(), answer)
}

/// Serves a cached answer under an id of its own that points to the computed one.
pub(super) fn serve_again(
    app: &App,
    request: &Checked,
    cached: CachedAnswer,
    view: &PersonView,
    started: Instant,
    how: &'static str,
) -> Served {
    let mut served = cached.served;
    let computed_by = std::mem::replace(&mut served.answer_id, new_answer_id(&request.placement));
    served.watermark = Some(view.watermark).filter(|watermark| *watermark != NO_WATERMARK);
    served.took_ms = millis(started.elapsed());
    let answer = Answer {
        answer_id: served.answer_id.clone(),
        placement: served.placement.clone(),
        rung: served.rung,
        snapshot: served.snapshot.clone(),
        watermark: served.watermark,
        computed_by: Some(computed_by),
        items: Vec::new(),
        feature_names: Arc::default(),
        n_candidates: cached.n_candidates,
        took_ms: served.took_ms,
    };
    record(app, request, answer);
    observe(request, &served, cached.n_candidates, how);
    served
}

pub(super) fn record(app: &App, request: &Checked, answer: Answer) {
    if request.is_probe {
        return;
    }
    app.answers.record(Event {
        event_id: None,
        timestamp: Timestamp::now(),
        person: request.person.clone(),
        body: EventBody::Answer(Box::new(answer)),
        context: serde_json::Map::new(),
    });
}

pub(super) fn observe(request: &Checked, served: &Served, n_candidates: u32, how: &'static str) {
    if request.is_probe {
        return;
    }
    counter!("waggle_answers_total", "rung" => served.rung.as_str(), "how" => how).increment(1);
    histogram!("waggle_answer_duration_seconds", "how" => how).record(served.took_ms / 1e3);
    histogram!("waggle_answer_candidates").record(f64::from(n_candidates));
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn new_answer_id(placement: &Placement) -> AnswerId {
    AnswerId::mint(Timestamp::now(), rand::random(), placement)
}
