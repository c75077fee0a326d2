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
}

#[derive(Debug, Serialize)]
pub(crate) struct Spreads {
    pub(crate) events_per_s: Spread,
    pub(crate) peer_events_per_s: Spread,
    pub(crate) ratio: Spread,
}

/// Ours and the peer's in turn, `rounds` times; who goes first alternates.
pub(crate) async fn run(config: &Config, mode: Mode, args: &BenchIngestArgs) -> Result<Outcome> {
    let n_events = args.events.next_multiple_of(args.batch);
    ensure!(
        args.batch <= waggle_ingest_role::MAX_EVENTS,
        "a request takes {} events",
        waggle_ingest_role::MAX_EVENTS
    );
    let (mut ours, mut peers) = (Vec::new(), Vec::new());
    for round in 0..args.rounds {
        let place = Place::new(config, mode)?;
        let run = format!("round-{round}");
        if round % 2 == 0 {
            ours.push(over_http(&place, &run, n_events, args).await?);
            peers.push(bare(&place, mode, &run, n_events, args.batch).await?);
        } else {
            peers.push(bare(&place, mode, &run, n_events, args.batch).await?);
            ours.push(over_http(&place, &run, n_events, args).await?);
        }
        place.forget().await?;
        let rate = |took: &[Duration]| n_events as f64 / took[round].as_secs_f64();
        say(&format!(
            "  {} round {}: {:>9.0} events/s over HTTP, {:>9.0} events/s {}",
            mode.as_str(),
            round + 1,
            rate(&ours),
            rate(&peers),
            peer_name(mode),
        ));
    }
    let rates = |took: &[Duration]| Spread::of(took.iter().map(|t| n_events as f64 / t.as_secs_f64()));
    let ratio = Spread::of(ours.iter().zip(&peers).map(|(o, p)| p.as_secs_f64() / o.as_secs_f64()));
    let spread = Spreads { events_per_s: rates(&ours), peer_events_per_s: rates(&peers), ratio };
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
    })
}

fn peer_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Embedded => "bare SQLite appends, same groups, synchronous=FULL",
        Mode::Kafka => "bare rdkafka idempotent producer, acks=all",
    }
}

/// The ingest role as `waggle serve ingest` runs it, and clients of the same machine.
async fn over_http(place: &Place, run: &str, n_events: usize, args: &BenchIngestArgs) -> Result<Duration> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/v1/events", listener.local_addr()?);
    let process = Process::new(&place.config, &Roles::of(&[RoleName::Ingest]), &listener, Patience::None)?;
    let role = IngestRole::open(&process.stores, &place.config).await?;
    let server = process.serve(listener, role.routes());
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
async fn bare(place: &Place, mode: Mode, run: &str, n_events: usize, batch: usize) -> Result<Duration> {
    let groups = groups(run, n_events, batch)?;
    match mode {
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
    NewRecord { key: key.into(), value: encode_event(event).into(), timestamp: event.timestamp }
}
