//! What is counted and logged about requests.

use std::{sync::LazyLock, time::Duration};

use actix_web::http::{Method, StatusCode};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Upper bounds of the request duration histogram, in seconds: dense where answers should be, open towards timeouts.
const BUCKETS_S: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.035, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// Upper bounds of the freshness histogram, in seconds: powers of two from a millisecond to a minute, as native histograms
/// have them, so that either kind gives the same quantiles.
const FRESHNESS_BUCKETS_S: [f64; 17] = doubling(1.0 / 1024.0);

/// Upper bounds of the histograms of parts of an answer, in seconds: from a microsecond to a quarter of a second.
const PART_BUCKETS_S: [f64; 19] = doubling(1.0 / 1_048_576.0);

/// Upper bounds of what one search reads: from 64 postings to 4 million.
const POSTINGS_BUCKETS: [f64; 17] = doubling(64.0);

const fn doubling<const N: usize>(first: f64) -> [f64; N] {
    let mut bounds = [first; N];
    let mut i = 1;
    while i < N {
        bounds[i] = bounds[i - 1] * 2.0;
        i += 1;
    }
    bounds
}

const REQUESTS: &str = "waggle_http_requests_total";
const DURATION: &str = "waggle_http_request_duration_seconds";

/// The process's metrics. The first call installs the recorder; metrics recorded before it are lost, so the binary
/// calls it early.
///
/// # Panics
/// If another recorder was installed before.
pub fn metrics_handle() -> PrometheusHandle {
    static HANDLE: LazyLock<PrometheusHandle> = LazyLock::new(|| {
        let handle = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &BUCKETS_S)
            .and_then(|builder| {
                let freshness = Matcher::Full("waggle_freshness_seconds".to_owned());
                builder.set_buckets_for_metric(freshness, &FRESHNESS_BUCKETS_S)
            })
            .and_then(|builder| {
                let parts = Matcher::Prefix("waggle_candidates_".to_owned());
                builder.set_buckets_for_metric(parts, &PART_BUCKETS_S)
            })
            .and_then(|builder| {
                let postings = Matcher::Full("waggle_search_postings".to_owned());
                builder.set_buckets_for_metric(postings, &POSTINGS_BUCKETS)
            })
            .expect("the lists of buckets are not empty")
            .install_recorder()
            .expect("nobody else installs a metrics recorder");
        metrics::describe_counter!(REQUESTS, "Requests answered, by route pattern, method and status.");
        metrics::describe_histogram!(
            DURATION,
            metrics::Unit::Seconds,
            "Time from a request's head to its response's head, by route pattern and method."
        );
        handle
    });
    HANDLE.clone()
}

/// One answered request.
pub(crate) fn record(method: &Method, route: Option<String>, status: StatusCode, took: Duration) {
    // Paths hold ids: only the pattern is a label or a log field, and unknown paths share one.
    let route = route.unwrap_or_else(|| "unmatched".to_owned());
    let method = known_method(method);
    let took_ms = took.as_secs_f64() * 1e3;
    if is_probe(&route) {
        tracing::debug!(method, route, status = status.as_u16(), took_ms, "answered");
    } else {
        tracing::info!(method, route, status = status.as_u16(), took_ms, "answered");
    }
    metrics::counter!(
        REQUESTS, "route" => route.clone(), "method" => method, "status" => status.as_u16().to_string()
    )
    .increment(1);
    metrics::histogram!(DURATION, "route" => route, "method" => method).record(took.as_secs_f64());
}

/// A client chooses its method freely; labels are for the known ones.
fn known_method(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    KNOWN.into_iter().find(|known| method.as_str() == *known).unwrap_or("other")
}

/// Asked every few seconds by machines; not worth a line each.
fn is_probe(route: &str) -> bool {
    matches!(route, "/healthz" | "/readyz" | "/metrics")
}
