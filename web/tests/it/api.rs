//! A stand-in for the gateway: a few items, the contract's shapes, and a record of the events it was sent.

use std::{
    net::TcpListener,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use actix_web::{
    App, HttpResponse, HttpServer,
    dev::ServerHandle,
    web::{self, Data, Json},
};
use serde_json::{Value, json};

pub(crate) const EVIL: &str = "</a>\"><script>alert(1)</script>";

pub(crate) struct FakeApi {
    port: u16,
    told: Data<Told>,
    server: ServerHandle,
}

#[derive(Default)]
struct Told {
    events: Mutex<Vec<Value>>,
    refuses: AtomicBool,
}

impl FakeApi {
    pub(crate) async fn start() -> Self {
        let told = Data::from(Arc::new(Told::default()));
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = told.clone();
        let server = HttpServer::new(move || App::new().app_data(shared.clone()).configure(routes))
            .workers(1)
            .disable_signals()
            .listen(listener)
            .unwrap()
            .run();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        Self { port, told, server: handle }
    }

    pub(crate) fn base(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn events(&self) -> Vec<Value> {
        self.told.events.lock().unwrap().clone()
    }

    pub(crate) fn refuse_events(&self, refuses: bool) {
        self.told.refuses.store(refuses, Ordering::SeqCst);
    }

    pub(crate) async fn stop(&self) {
        self.server.stop(false).await;
    }
}

pub(crate) fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/v1/recommendations", web::post().to(recommend))
        .route("/v1/trending", web::get().to(async || HttpResponse::Ok().json(trending())))
        .route("/v1/items/{id}/similar", web::get().to(async || HttpResponse::Ok().json(trending())))
        .route("/v1/items/{id}", web::get().to(one))
        .route("/v1/items", web::get().to(shelf))
        .route("/v1/categories", web::get().to(async || HttpResponse::Ok().json(categories())))
        .route("/v1/users", web::get().to(async || HttpResponse::Ok().json(users())))
        .route("/v1/profile", web::get().to(async || HttpResponse::Ok().json(profile())))
        .route("/v1/search", web::post().to(search))
        .route("/v1/events", web::post().to(events));
}

fn items() -> [Value; 5] {
    let item = |id: &str, title: &str, category: &str| json!({"item_id": id, "title": title, "category": category, "price": 2.5, "currency": "GBP"});
    [
        item("mug-1", "Tea Mug", "Mugs"),
        item("mug-2", "Blue Mug", "Mugs"),
        item("mug-3", "Green Mug", "Mugs"),
        item("mug-4", "Red Mug", "Mugs"),
        item(EVIL, EVIL, EVIL),
    ]
}

fn answer(placement: &str, rung: &str, places: &[(usize, Value)]) -> Value {
    let items: Vec<Value> = places
        .iter()
        .zip(1..)
        .map(|((at, reason), rank)| {
            let item = &items()[*at];
            json!({
                "item_id": item["item_id"], "rank": rank, "score": 1.0 / f64::from(rank), "reason": reason, "item": item,
                "sources": [{"source": "item_item", "score": 0.5, "rank": rank, "because": "mug-1"}],
            })
        })
        .collect();
    json!({
        "answer_id": "answer-1", "placement": placement, "rung": rung, "snapshot": "v-7", "took_ms": 2.5, "items": items,
        "watermark": {"partition": 1, "offset": 77, "time": "2026-01-31T12:00:00Z"},
    })
}

async fn recommend(request: Json<waggle_contracts::api::RecommendationRequest>) -> HttpResponse {
    let because = json!({"kind": "because_of", "item_id": "mug-1", "title": "Tea Mug"});
    let evil = json!({"kind": "because_of", "item_id": EVIL, "title": EVIL});
    let places = [(1, because.clone()), (2, because.clone()), (3, because), (4, evil)];
    HttpResponse::Ok().json(answer(request.placement.as_deref().unwrap_or("home"), "personal", &places))
}

fn trending() -> Value {
    let reason = json!({"kind": "trending"});
    answer("home", "trending", &[(1, reason.clone()), (0, reason.clone()), (4, reason)])
}

fn categories() -> Value {
    json!({"categories": [{"category": "Mugs", "n_items": 4}, {"category": EVIL, "n_items": 1}]})
}

fn users() -> Value {
    json!({"users": [
        {"user_id": "14911", "properties": {"country": "United Kingdom"}},
        {"user_id": EVIL, "properties": {"country": EVIL}},
    ]})
}

fn profile() -> Value {
    json!({
        "user_id": "14911", "session_id": null, "n_events": 2, "n_orders": 1, "typical_price": 2.5,
        "first_seen": "2026-01-01T00:00:00Z", "last_seen": "2026-01-31T12:00:00Z",
        "watermark": {"partition": 1, "offset": 77, "time": "2026-01-31T12:00:00Z"},
        "recent": [
            {"kind": "purchase", "time": "2026-01-31T12:00:00Z", "item_id": "mug-1", "title": "Tea Mug"},
            {"kind": EVIL, "time": "2026-01-30T12:00:00Z", "item_id": EVIL, "title": EVIL},
        ],
        "categories": [{"category": "Mugs", "share": 0.5}, {"category": EVIL, "share": 0.5}],
        "n_distinct_items": 2, "rung": "personal", "snapshot": "v-7",
    })
}

async fn one(id: web::Path<String>) -> HttpResponse {
    match items().iter().find(|item| item["item_id"] == id.as_str()) {
        Some(item) => HttpResponse::Ok().json(item),
        None => HttpResponse::NotFound().finish(),
    }
}

#[derive(serde::Deserialize)]
struct Shelf {
    category: String,
}

async fn shelf(query: web::Query<Shelf>) -> HttpResponse {
    let items: Vec<Value> =
        items().into_iter().filter(|item| item["category"] == query.category.as_str()).collect();
    HttpResponse::Ok().json(json!({ "items": items }))
}

/// Finds titles with the text in them, and counts as the real one does.
async fn search(body: Json<waggle_contracts::api::SearchBody>) -> HttpResponse {
    let query = body.q.clone().unwrap();
    let found: Vec<Value> = items()
        .into_iter()
        .filter(|item| item["title"].as_str().unwrap().to_lowercase().contains(&query.to_lowercase()))
        .filter(|item| body.category.as_ref().is_none_or(|category| item["category"] == category.as_str()))
        .collect();
    let n_matches = found.len();
    let facets = json!({
        "category": {"n_items": n_matches, "values": [{"value": "Mugs", "n_items": n_matches}, {"value": EVIL, "n_items": 1}]},
        "price": {"n_items": n_matches, "min": 1.25, "max": 9.0},
    });
    let found: Vec<Value> = found
        .into_iter()
        .zip(1..)
        .map(|(item, rank)| {
            let title = json!({"html": "<mark>marked</mark> &lt;title&gt;", "ranges": []});
            json!({"rank": rank, "score": 1.0, "item": item, "highlights": {"title": title}})
        })
        .collect();
    let order = body.order.unwrap_or_default();
    HttpResponse::Ok().json(json!({
        "query": query, "n_matches": n_matches, "is_corrected": body.filter.is_some(), "order": order,
        "facets": facets, "items": found, "took_ms": 0.4,
    }))
}

/// Refuses what the real one would refuse.
async fn events(told: Data<Told>, batch: Json<Value>) -> HttpResponse {
    if told.refuses.load(Ordering::SeqCst) {
        return HttpResponse::ServiceUnavailable().finish();
    }
    let events = batch["events"].as_array().unwrap();
    for event in events {
        let event: waggle_model::wire::WireEvent = serde_json::from_value(event.clone()).unwrap();
        event.into_event(waggle_model::Timestamp::now()).unwrap();
    }
    told.events.lock().unwrap().extend(events.iter().cloned());
    HttpResponse::Accepted().json(json!({"accepted": events.len(), "duplicates": 0, "rejected": []}))
}
