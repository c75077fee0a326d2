//! From an event's acknowledgement to the first answer that has seen it, with other people's events in the background.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use reqwest::Client;
use serde::Serialize;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use waggle_gateway_role::canary::measure_once;
use waggle_stores::Topic;

use super::{Mode, Place, load};
use crate::{cli::BenchFreshnessArgs, config::Config, system::System};

/// Events of one background request.
const BACKGROUND_BATCH: usize = 10;
/// Unmeasured first, so that connections, caches and groups have settled.
const WARM_UP: usize = 20;

/// What one mode came to.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) mode: Mode,
    pub(crate) samples: usize,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
    /// What the background was asked for, and what it reached, in events/s.
    pub(crate) background_rate: u32,
    pub(crate) background_reached: f64,
}

/// Runs every role in this process and measures `samples` events of canaries, one after the other, partition after
/// partition.
pub(crate) async fn run(config: &Config, mode: Mode, args: &BenchFreshnessArgs) -> Result<Outcome> {
    let place = Place::new(config, mode)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/v1/events", listener.local_addr()?);
    let system = System::start((*place.config).clone(), &listener).await?;
    let server = system.serve(listener)?;
    let stop = CancellationToken::new();
    let background = tokio::spawn(background(url, args.background, stop.clone()));
    let measured = measure(&system, args.samples, args.background).await;
    stop.cancel();
    let background_reached = background.await.context("the background panicked")?;
    system.stop(Some(server)).await?;
    place.forget().await?;
    let mut took_ms = measured?;
    took_ms.sort_by(f64::total_cmp);
    let quantile = |q: f64| took_ms[((took_ms.len() - 1) as f64 * q).ceil() as usize];
    Ok(Outcome {
        mode,
        samples: took_ms.len(),
        p50_ms: quantile(0.5),
        p99_ms: quantile(0.99),
        max_ms: quantile(1.0),
        background_rate: args.background,
        background_reached: background_reached?,
    })
}

/// At random moments of the background's rhythm: a pause that is no multiple of its period.
async fn measure(system: &System, n_samples: usize, background: u32) -> Result<Vec<f64>> {
    let log = system.process.stores.log().await?;
    let n_partitions = log.n_partitions(Topic::Events);
    let mut took_ms = Vec::with_capacity(n_samples);
    for (nth, partition) in (0..n_partitions).cycle().take(WARM_UP + n_samples).enumerate() {
        tokio::time::sleep(Duration::from_micros(7_300)).await;
        let took = measure_once(&system.gateway.app, &*log, partition).await?;
        let took =
            took.with_context(|| format!("an event did not show, with {background} events/s beside it"))?;
        if nth >= WARM_UP {
            took_ms.push(took.as_secs_f64() * 1e3);
        }
    }
    Ok(took_ms)
}

/// Posts events at `rate` per second until told to stop; gives the rate it reached.
async fn background(url: String, rate: u32, stop: CancellationToken) -> Result<f64> {
    if rate == 0 {
        return Ok(0.0);
    }
    let client = Client::new();
    let period = Duration::from_secs_f64(BACKGROUND_BATCH as f64 / f64::from(rate));
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (started, mut n_sent) = (Instant::now(), 0);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        for body in load::bodies("background", n_sent, BACKGROUND_BATCH, BACKGROUND_BATCH) {
            let report = load::post(&client, &url, body).await?;
            ensure!(report.accepted == BACKGROUND_BATCH, "the background's events are refused");
        }
        n_sent += BACKGROUND_BATCH;
    }
    Ok(n_sent as f64 / started.elapsed().as_secs_f64())
}
