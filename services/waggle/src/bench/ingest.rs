//! Durable ingest over HTTP, beside bare appends of the same records.

use std::{net::TcpListener, time::Duration};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use waggle_model::{Timestamp, encode_event};
use waggle_stores::{NewRecord, Topic, bench as peers};

use super::{Mode, Place, Spread, load};
use crate::{
    cli::{BenchIngestArgs, RoleName},
    config::Config,
    process::Process,
    progress::say,
    roles::{IngestRole, Roles},
    stores::Patience,
};

/// What one mode came to.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) mode: Mode,
    pub(crate) events: usize,
    pub(crate) batch: usize,
    pub(crate) connections: usize,
    pub(crate) rounds: usize,
    /// Acknowledged over HTTP, median of the rounds.
    pub(crate) events_per_s: f64,
    pub(crate) peer: &'static str,
    pub(crate) peer_events_per_s: f64,
    /// Median of the rounds' own ratios.
    pub(crate) ratio: f64,
    pub(crate) spread: Spreads,
    /// Kafka's own tool in the same rounds, for comparison: what ours is held to is the peer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kafka_producer_perf_test: Option<PerfTest>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Spreads {
    pub(crate) events_per_s: Spread,
    pub(crate) peer_events_per_s: Spread,
    pub(crate) ratio: Spread,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum PerfTest {
    Measured {
        record_bytes: usize,
        events_per_s: f64,
        /// Ours to it, median of the rounds' own.
        ratio: f64,
        spread: PerfTestSpreads,
    },
    LeftOut {
        left_out: String,
    },
}

#[derive(Debug, Serialize)]
pub(crate) struct PerfTestSpreads {
    pub(crate) events_per_s: Spread,
    pub(crate) ratio: Spread,
}

/// Ours and the peers in turn, `rounds` times; who goes first alternates.
pub(crate) async fn run(config: &Config, mode: Mode, args: &BenchIngestArgs) -> Result<Outcome> {
    let n_events = args.events.next_multiple_of(args.batch);
    ensure!(
        args.batch <= waggle_ingest_role::MAX_EVENTS,
        "a request takes {} events",
        waggle_ingest_role::MAX_EVENTS
    );
    let mut done = Vec::new();
    for n in 0..args.rounds {
        let place = Place::new(config, mode)?;
        let round = round(&place, n, n_events, args).await?;
        place.forget().await?;
        let (name, number) = (mode.as_str(), n + 1);
        let Round { ours, peer, .. } = round;
        say(&format!(
            "  {name} round {number}: {ours:>9.0} events/s over HTTP, {peer:>9.0} events/s {}",
            peer_name(mode)
        ));
        if let Some(Ok(rate)) = &round.perf_test {
            say(&format!("  {name} round {number}: {rate:>9.0} events/s Kafka's own perf test"));
        }
        done.push(round);
    }
    let spread = Spreads {
        events_per_s: Spread::of(done.iter().map(|r| r.ours)),
        peer_events_per_s: Spread::of(done.iter().map(|r| r.peer)),
        ratio: Spread::of(done.iter().map(|r| r.ours / r.peer)),
    };
    Ok(Outcome {
        mode,
        events: n_events,
        batch: args.batch,
        connections: args.connections,
        rounds: args.rounds,
        events_per_s: spread.events_per_s.median,
        peer: peer_name(mode),
        peer_events_per_s: spread.peer_events_per_s.median,
        ratio: spread.ratio.median,
        spread,
        kafka_producer_perf_test: PerfTest::of(&done),
    })
}

fn peer_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Embedded => "bare SQLite appends, same groups, synchronous=FULL",
        Mode::Kafka => "bare rdkafka idempotent producer, acks=all",
    }
}

/// Events per second of one round.
struct Round {
    ours: f64,
    peer: f64,
    record_bytes: usize,
    /// Only over Kafka; else why it is left out.
    perf_test: Option<Result<f64, String>>,
}

async fn round(place: &Place, n: usize, n_events: usize, args: &BenchIngestArgs) -> Result<Round> {
    let run = format!("round-{n}");
    let groups = groups(&run, n_events, args.batch)?;
    let size_bytes: usize = groups.iter().flatten().map(|r| r.key.len() + r.value.len()).sum();
    let record_bytes = size_bytes / n_events;
    let rate = |took: Duration| n_events as f64 / took.as_secs_f64();
    Ok(if n.is_multiple_of(2) {
        let ours = rate(over_http(place, &run, n_events, args).await?);
        let peer = rate(bare(place, groups).await?);
        let perf_test = perf_test(place, n_events, record_bytes, args).await;
        Round { ours, peer, record_bytes, perf_test }
    } else {
        let perf_test = perf_test(place, n_events, record_bytes, args).await;
        let peer = rate(bare(place, groups).await?);
        let ours = rate(over_http(place, &run, n_events, args).await?);
        Round { ours, peer, record_bytes, perf_test }
    })
}

impl PerfTest {
    fn of(rounds: &[Round]) -> Option<Self> {
        let rates: Result<Vec<f64>, String> =
            rounds.iter().filter_map(|round| round.perf_test.clone()).collect();
        let rates = match rates {
            Ok(rates) if rates.is_empty() => return None,
            Ok(rates) => rates,
            Err(left_out) => return Some(Self::LeftOut { left_out }),
        };
        let spread = PerfTestSpreads {
            events_per_s: Spread::of(rates.iter().copied()),
            ratio: Spread::of(rounds.iter().zip(&rates).map(|(round, rate)| round.ours / rate)),
        };
        let (events_per_s, ratio) = (spread.events_per_s.median, spread.ratio.median);
        Some(Self::Measured { record_bytes: rounds[0].record_bytes, events_per_s, ratio, spread })
    }
}

/// The ingest role as `waggle serve ingest` runs it, and clients of the same machine.
async fn over_http(place: &Place, run: &str, n_events: usize, args: &BenchIngestArgs) -> Result<Duration> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/v1/events", listener.local_addr()?);
    let process = Process::new(&place.config, &Roles::of(&[RoleName::Ingest]), &listener, Patience::None)?;
    let role = IngestRole::open(&process.stores, &place.config).await?;
    let server = process.serve(listener, role.routes(), [IngestRole::document()]);
    let bodies = load::bodies(run, 0, n_events, args.batch);
    let took = load::post_all(&url, bodies, args.batch, args.connections).await;
    let log = process.stores.log().await?;
    let mut n_stored = 0;
    for partition in 0..log.n_partitions(Topic::Events) {
        n_stored += log.end(Topic::Events, partition).await?;
    }
    process.stop(Some(server), role).await?;
    let took = took?;
    ensure!(n_stored as usize >= n_events, "{n_stored} of {n_events} acknowledged events are in the log");
    Ok(took)
}

/// The peer, with the records that ours writes.
async fn bare(place: &Place, groups: Vec<Vec<NewRecord>>) -> Result<Duration> {
    match place.mode {
        Mode::Embedded => {
            let path = place.dir.path().join("bare.sqlite");
            peers::sqlite_appends(&path, &groups).await.context("bare SQLite appends failed")
        }
        Mode::Kafka => {
            let (config, n_partitions) = (&place.config.log.kafka, place.config.log.n_partitions);
            let topic = format!("{}.bare", place.config.prefix);
            Ok(peers::kafka_produces(config, &topic, n_partitions, groups).await?)
        }
    }
}

/// Events per second of Kafka's own tool with as many records of that size, over Kafka only.
async fn perf_test(
    place: &Place,
    n_events: usize,
    record_bytes: usize,
    args: &BenchIngestArgs,
) -> Option<Result<f64, String>> {
    if place.mode != Mode::Kafka {
        return None;
    }
    let (config, n_partitions) = (&place.config.log.kafka, place.config.log.n_partitions);
    let topic = format!("{}.perf-test", place.config.prefix);
    Some(peers::kafka_perf_test(config, &topic, n_partitions, &args.perf_test, n_events, record_bytes).await)
}

fn groups(run: &str, n_events: usize, batch: usize) -> Result<Vec<Vec<NewRecord>>> {
    let now = Timestamp::now();
    (0..n_events)
        .step_by(batch)
        .map(|first| {
            let events = load::events(run, first, batch, now)?;
            Ok(events.iter().map(record).collect())
        })
        .collect()
}

fn record(event: &waggle_model::Event) -> NewRecord {
    let key = event.person.partition_key().unwrap_or_default().as_bytes().to_vec();
    NewRecord { key: key.into(), value: encode_event(event).into() }
}
