//! How fast the fold is, and how large its states are: the same simulated market folded in memory and, given a server,
//! into Redis. One partition, one batch after the other, so the figures are per core.
//!
//! `cargo run --release -p waggle-features-role --example fold [REDIS_URL] [events]`
//!
//! In Redis everything lies under a prefix of its own and is removed at the end.

#![expect(clippy::print_stdout, reason = "prints its result")]

use std::{error::Error, time::Instant};

use bytes::Bytes;
use deadpool_redis::redis::{self, Commands};
use waggle_features_role::{folding::fold_records, position::Position};
use waggle_model::{EventId, Timestamp, encode_event};
use waggle_simulator::{Market, SimulatorParams};
use waggle_stores::{
    ALL_SLOTS, LogRecord, MemoryState, RedisConfig, RedisState, RedisUrl, StateKind, StateStore,
};

const BATCH: usize = 2_000;
const END: Timestamp = Timestamp::from_millis(1_700_000_000_000);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).peekable();
    let url = arguments.next_if(|argument| argument.starts_with("redis"));
    let n_events = arguments.next().map_or(Ok(300_000), |n| n.parse::<usize>())?;
    let records = records(n_events)?;
    println!("{} events of a simulated market, in batches of {BATCH}", records.len());

    let memory = MemoryState::in_memory(1);
    let per_second = fold_all(&memory, &records).await?;
    println!("memory  {per_second:>9.0} events/s");
    for (kind, name) in [(StateKind::Person, "person"), (StateKind::Item, "item")] {
        let mut sizes: Vec<usize> =
            memory.scan(0, kind, ALL_SLOTS).await?.into_iter().map(|(_, blob)| blob.len()).collect();
        sizes.sort_unstable();
        let mean = sizes.iter().sum::<usize>() as f64 / sizes.len().max(1) as f64;
        let largest = sizes.last().copied().unwrap_or_default();
        println!("  {:>7} {name}s, {mean:.0} bytes each, {largest} the largest", sizes.len());
    }
    if let Some(url) = url {
        let prefix = format!("fold-{}", std::process::id());
        let config = RedisConfig { url: RedisUrl::new(url.as_str()), ..RedisConfig::default() };
        let state = RedisState::connect(&config, &prefix, 1).await?;
        let per_second = fold_all(&state, &records).await;
        let keys = remove(&url, &prefix)?;
        println!("redis   {:>9.0} events/s, {keys} keys", per_second?);
    }
    Ok(())
}

fn records(n_events: usize) -> Result<Vec<LogRecord>, Box<dyn Error>> {
    let n_users = u32::try_from(n_events / 15)?.max(1);
    let market = Market::new(SimulatorParams { n_users, ..SimulatorParams::default() })?;
    let mut records = Vec::with_capacity(n_events);
    for (offset, mut event) in (0..).zip(market.events(END).take(n_events)) {
        event.event_id = Some(EventId::try_new(format!("event-{offset}"))?);
        records.push(LogRecord {
            partition: 0,
            offset,
            key: Bytes::new(),
            timestamp: event.timestamp,
            value: encode_event(&event).into(),
        });
    }
    Ok(records)
}

/// Events per second, reading and committing included.
async fn fold_all(state: &dyn StateStore, records: &[LogRecord]) -> Result<f64, Box<dyn Error>> {
    let mut position = Position::load(state, 0, 1).await?;
    let started = Instant::now();
    for batch in records.chunks(BATCH) {
        let folded = fold_records(state, position, batch.to_vec(), END).await?;
        state.commit(folded.commit).await?;
        position = folded.position;
    }
    Ok(records.len() as f64 / started.elapsed().as_secs_f64())
}

fn remove(url: &str, prefix: &str) -> Result<usize, redis::RedisError> {
    let mut connection = redis::Client::open(url)?.get_connection()?;
    let keys: Vec<Vec<u8>> = connection.scan_match(format!("*{prefix}:*"))?.collect::<Result<_, _>>()?;
    for chunk in keys.chunks(1_000) {
        connection.unlink::<_, ()>(chunk)?;
    }
    Ok(keys.len())
}
