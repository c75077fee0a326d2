//! Events as a client sends them, and a client that sends them; the load generator for all else.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use clap::Parser as _;
use load_tests::{Cli, Command, Report, run_scenario};
use reqwest::Client;
use serde_json::{Value, json};
use waggle_contracts::api::IngestReport;
use waggle_model::{Event, Timestamp, wire::WireEvent};

/// Persons and items of the load.
const PERSONS: usize = 50_000;
const ITEMS: usize = 5_000;
const KINDS: [&str; 4] = ["view", "view", "click", "cart"];

/// The `n`-th event of a run: ids that no other run has, persons and items spread evenly.
fn wire_event(run: &str, n: usize) -> Value {
    json!({
        "event_id": format!("{run}-{n}"),
        "type": KINDS[n % KINDS.len()],
        "user_id": format!("person-{}", n.wrapping_mul(7_919) % PERSONS),
        "item_id": format!("item-{}", n.wrapping_mul(104_729) % ITEMS),
        "price": 4.95,
        "currency": "GBP",
        "context": {"page": "bench"},
    })
}

/// The bodies of requests of `batch` events each, as NDJSON.
pub(super) fn bodies(run: &str, first: usize, n_events: usize, batch: usize) -> Vec<Bytes> {
    let body = |from: usize| {
        let to = (from + batch).min(first + n_events);
        let lines = (from..to).map(|n| format!("{}\n", wire_event(run, n)));
        Bytes::from(lines.collect::<String>())
    };
    (first..first + n_events).step_by(batch).map(body).collect()
}

/// The same events as they lie in the log.
pub(super) fn events(run: &str, first: usize, n_events: usize, now: Timestamp) -> Result<Vec<Event>> {
    (first..first + n_events)
        .map(|n| {
            let wire: WireEvent = serde_json::from_value(wire_event(run, n))?;
            wire.into_event(now).map_err(anyhow::Error::msg)
        })
        .collect()
}

/// Posts every body once over `connections` connections and gives the time that took.
///
/// # Errors
/// If anything but all events of a body is acknowledged.
pub(super) async fn post_all(
    url: &str,
    bodies: Vec<Bytes>,
    batch: usize,
    connections: usize,
) -> Result<Duration> {
    let client = Client::builder().pool_max_idle_per_host(connections).build()?;
    let (bodies, next) = (Arc::new(bodies), Arc::new(AtomicUsize::new(0)));
    let started = Instant::now();
    let posters: Vec<_> = (0..connections)
        .map(|_| {
            let (client, url) = (client.clone(), url.to_owned());
            let (bodies, next) = (bodies.clone(), next.clone());
            tokio::spawn(async move {
                while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let accepted = post(&client, &url, body.clone()).await?.accepted;
                    ensure!(accepted == batch, "{accepted} of {batch} events were accepted");
                }
                Ok(())
            })
        })
        .collect();
    for poster in posters {
        poster.await.context("a client panicked")??;
    }
    Ok(started.elapsed())
}

/// One request.
pub(super) async fn post(client: &Client, url: &str, body: Bytes) -> Result<IngestReport> {
    let request = client.post(url).header("content-type", "application/x-ndjson").body(body);
    let reply = request.send().await?;
    let (status, text) = (reply.status(), reply.text().await?);
    ensure!(status.as_u16() == 202, "events were answered with {status}: {text}");
    Ok(serde_json::from_str(&text)?)
}

/// Runs the load generator in this thread.
pub(super) fn load(line: Vec<&str>) -> Result<Report> {
    let Command::Run(args) = Cli::try_parse_from(line)?.command;
    run_scenario(args)
}

/// Requests that failed, and checked answers that were wrong.
pub(super) fn n_wrong(report: &Report) -> u64 {
    report.errors.values().sum::<u64>() + report.check_failures.values().sum::<u64>()
}
