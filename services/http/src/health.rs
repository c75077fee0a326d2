//! `/healthz`, `/readyz` and `/metrics`, and what readiness is made of.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use actix_web::{
    HttpResponse,
    web::{self, Data, ServiceConfig},
};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

use crate::{
    ApiError, Kind, Problem,
    problem::responses::NotReady,
    routes::{Routes, mount},
};

/// Describes the three routes.
#[derive(OpenApi)]
#[openapi(
    paths(healthz, readyz, metrics_text),
    tags((name = "operations", description = "For machines that look after the service."))
)]
pub struct Document;

pub fn routes() -> Routes {
    vec![
        ("/healthz", vec![web::get().to(healthz)]),
        ("/readyz", vec![web::get().to(readyz)]),
        ("/metrics", vec![web::get().to(metrics_text)]),
    ]
}

/// Mounts the three routes.
pub fn configure(
    readiness: Arc<Readiness>,
    metrics: PrometheusHandle,
) -> impl FnOnce(&mut ServiceConfig) + Clone + Send + 'static {
    move |config| {
        config.app_data(Data::from(readiness)).app_data(Data::new(metrics));
        mount(config, routes());
    }
}

/// Mounts 503 for every path that nobody else answers: for a process that waits for what it needs.
pub fn configure_waiting(config: &mut ServiceConfig) {
    config.service(web::resource("/{path:.*}").to(not_ready));
}

/// What a process still waits for before it wants requests.
#[derive(Debug, Default)]
pub struct Readiness {
    /// Parts by name; `Some` says what is missing.
    parts: RwLock<BTreeMap<&'static str, Option<String>>>,
}

impl Readiness {
    /// All `parts` have to become ready.
    pub fn new(parts: &[&'static str]) -> Self {
        let parts = parts.iter().map(|part| (*part, Some("starting".to_owned()))).collect();
        Self { parts: RwLock::new(parts) }
    }

    pub fn set_ready(&self, part: &'static str) {
        self.set(part, None);
    }

    /// The part is not ready (yet, or any more): `why` is shown to whoever asks.
    pub fn set_missing(&self, part: &'static str, why: impl Into<String>) {
        self.set(part, Some(why.into()));
    }

    pub fn is_ready(&self) -> bool {
        self.read(|parts| parts.values().all(Option::is_none))
    }

    /// What is missing, as `part: why`, by part.
    pub fn missing(&self) -> Vec<String> {
        self.read(|parts| {
            parts.iter().filter_map(|(part, why)| why.as_ref().map(|why| format!("{part}: {why}"))).collect()
        })
    }

    fn set(&self, part: &'static str, why: Option<String>) {
        self.parts.write().unwrap_or_else(PoisonError::into_inner).insert(part, why);
    }

    fn read<T>(&self, look: impl FnOnce(&BTreeMap<&'static str, Option<String>>) -> T) -> T {
        look(&self.parts.read().unwrap_or_else(PoisonError::into_inner))
    }
}

#[derive(Serialize, ToSchema)]
struct Alive {
    alive: bool,
}

/// Whether the process answers at all.
#[utoipa::path(
    get, path = "/healthz", tag = "operations", operation_id = "health",
    responses((status = 200, description = "It does.", body = Alive)),
)]
async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(Alive { alive: true })
}

#[derive(Serialize, ToSchema)]
struct Ready {
    ready: bool,
}

/// Whether every part is ready; if not, what is missing.
#[utoipa::path(
    get, path = "/readyz", tag = "operations", operation_id = "readiness",
    responses((status = 200, description = "Every part is.", body = Ready), NotReady),
)]
async fn readyz(readiness: Data<Readiness>) -> Result<HttpResponse, ApiError> {
    if readiness.is_ready() {
        return Ok(HttpResponse::Ok().json(Ready { ready: true }));
    }
    not_ready(readiness).await
}

async fn not_ready(readiness: Data<Readiness>) -> Result<HttpResponse, ApiError> {
    Err(Problem::new(Kind::NotReady).detail(readiness.missing().join("; ")).retry_after_s(1).into())
}

/// Counters and histograms, as Prometheus reads them.
#[utoipa::path(
    get, path = "/metrics", tag = "operations", operation_id = "metrics",
    responses((status = 200, description = "Prometheus' text format.", body = String, content_type = "text/plain")),
)]
async fn metrics_text(metrics: Data<PrometheusHandle>) -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(metrics.render())
}
