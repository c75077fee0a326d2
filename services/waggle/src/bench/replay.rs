//! The online state rebuilt from a log of simulated events, beside reading that log alone.

use std::time::Instant;

use anyhow::{Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use waggle_model::{Event, Timestamp, encode_event};
use waggle_simulator::{Market, SimulatorParams};
use waggle_stores::{EventLog, LogError, NewRecord, Topic};

use super::{Mode, Place};
use crate::{
    cli::BenchReplayArgs,
    config::Config,
    progress::Steps,
    replay::{Pace, rebuild},
    stores::Stores,
};

/// Records of one append, and of one reading of the peer's.
const CHUNK: usize = 5_000;
/// Appends under way at once.
const IN_FLIGHT: usize = 4;
/// Events of an average shopper, which sets how many there are.
const EVENTS_PER_SHOPPER: usize = 15;

/// What one mode came to.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) mode: Mode,
    pub(crate) events: u64,
    /// Until the whole state is stored.
    pub(crate) took_s: f64,
    pub(crate) events_per_s: f64,
    pub(crate) peer: &'static str,
    pub(crate) peer_events_per_s: f64,
    pub(crate) ratio: f64,
}

/// Fills a log and rebuilds the state from it, once.
pub(crate) async fn run(config: &Config, mode: Mode, args: &BenchReplayArgs) -> Result<Outcome> {
    let place = Place::new(config, mode)?;
    let stores = Stores::for_command(&place.config)?;
    let measured = measure(&place.config, &stores, args).await;
    stores.close().await?;
    place.forget().await?;
    let (took_s, ours, read) = measured?;
    Ok(Outcome {
        mode,
        events: ours.records,
        took_s,
        events_per_s: ours.records_per_s,
        peer: "reading the same log and folding nothing",
        peer_events_per_s: read.records_per_s,
        ratio: ours.records_per_s / read.records_per_s,
    })
}

async fn measure(config: &Config, stores: &Stores, args: &BenchReplayArgs) -> Result<(f64, Pace, Pace)> {
    let log = stores.log().await?;
    let steps = Steps::new();
    fill(&*log, args, &steps).await?;
    let read = read_all(&*log, &steps).await?;
    let started = Instant::now();
    let ours = rebuild(config, stores, &steps).await?;
    let took_s = started.elapsed().as_secs_f64();
    ensure!(
        ours.records == args.events as u64 && read.records == ours.records,
        "{} events were appended, {} read and {} folded",
        args.events,
        read.records,
        ours.records
    );
    Ok((took_s, ours, read))
}

/// Appends the events of a simulated market as large as it takes.
async fn fill(log: &dyn EventLog, args: &BenchReplayArgs, steps: &Steps) -> Result<()> {
    // A tenth more than asked for: how many events a market has is random.
    let n_users = u32::try_from(args.events * 11 / 10 / EVENTS_PER_SHOPPER)?.max(100);
    let market =
        Market::new(SimulatorParams { n_users, n_items: args.items, seed: args.seed, ..Default::default() })?;
    let total = args.events as u64;
    steps.begin("simulated events into the log", total);
    let events = market.events(Timestamp::now()).take(args.events).map(|event| record(&event));
    let mut chunks = Chunks(events);
    let chunks = std::iter::from_fn(move || chunks.next());
    let mut appends = stream::iter(chunks.map(|chunk| append(log, chunk))).buffered(IN_FLIGHT);
    let mut n_done = 0;
    while let Some(n) = appends.try_next().await? {
        n_done += n;
        steps.at(n_done, total);
    }
    steps.finish(&format!("{n_done} events of {n_users} shoppers and {} items", args.items));
    Ok(())
}

/// Groups of [`CHUNK`].
struct Chunks<I>(I);

impl<I: Iterator<Item = NewRecord>> Iterator for Chunks<I> {
    type Item = Vec<NewRecord>;

    fn next(&mut self) -> Option<Vec<NewRecord>> {
        let chunk: Vec<NewRecord> = self.0.by_ref().take(CHUNK).collect();
        (!chunk.is_empty()).then_some(chunk)
    }
}

async fn append(log: &dyn EventLog, records: Vec<NewRecord>) -> Result<u64, LogError> {
    let n = records.len() as u64;
    log.append(Topic::Events, records).await.map(|_| n)
}

fn record(event: &Event) -> NewRecord {
    let key = event.person.partition_key().unwrap_or_default().as_bytes().to_vec();
    NewRecord { key: key.into(), value: encode_event(event).into() }
}

/// The peer: every record once, partition by partition.
async fn read_all(log: &dyn EventLog, steps: &Steps) -> Result<Pace> {
    steps.begin("read alone", 0);
    let started = Instant::now();
    let mut n_records = 0;
    for partition in 0..log.n_partitions(Topic::Events) {
        let (mut offset, end) = (0, log.end(Topic::Events, partition).await?);
        while offset < end {
            let records = log.read(Topic::Events, partition, offset, CHUNK).await?;
            let Some(last) = records.last() else { break };
            offset = last.offset + 1;
            n_records += records.len() as u64;
        }
    }
    let pace = Pace::since(started, n_records);
    steps.finish(&pace.to_string());
    Ok(pace)
}
