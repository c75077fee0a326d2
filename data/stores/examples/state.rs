//! The online state in memory beside the one in Redis, in one run: what folding a batch costs the store (read all blobs,
//! commit all blobs), what one answer's read costs, what walking costs, and what Redis needs for one person.
//!
//! `cargo run --release -p waggle-stores --example state REDIS_URL [persons] [batches]`
//!
//! The server should be idle otherwise; everything lies under a prefix of its own and is removed at the end.

#![expect(clippy::print_stdout, reason = "prints its result")]

use std::{
    error::Error,
    time::{Duration, Instant},
};

use bytes::Bytes;
use deadpool_redis::redis::{self, Commands};
use waggle_model::Timestamp;
use waggle_stores::{
    ALL_SLOTS, MemoryState, RedisConfig, RedisState, RedisUrl, StateBatch, StateKey, StateKind, StateStore,
    state::N_SLOTS,
};

const PARTITIONS: u32 = 8;
/// A person with a long history.
const PERSON_BYTES: usize = 1_100;
const ITEMS: u64 = 5_000;
/// One batch: 2,000 events of as many persons, on 1,500 different items, and the window of event ids.
const BATCH_EVENTS: u64 = 2_000;
const BATCH_ITEMS: u64 = 1_500;
const WINDOW_CHUNKS: u64 = 8;
/// What one answer reads: the person, and this many items in every partition.
const CANDIDATES: u64 = 300;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().ok_or("the first argument is the URL of a Redis server")?;
    let n_persons = arguments.next().map_or(Ok(100_000), |a| a.parse::<u64>())?;
    let n_batches = arguments.next().map_or(Ok(50), |a| a.parse::<u64>())?;
    let prefix = format!("bench-{:016x}", rand::random::<u64>());
    println!(
        "{PARTITIONS} partitions of {N_SLOTS} slots, {n_persons} persons, {n_batches} batches of {BATCH_EVENTS} events"
    );

    println!("memory");
    let store = MemoryState::in_memory(PARTITIONS);
    fill(&store, n_persons).await?;
    measure(&store, n_persons, n_batches).await?;

    println!("redis");
    let config = RedisConfig { url: RedisUrl::new(url.as_str()), ..RedisConfig::default() };
    let store = RedisState::connect(&config, &prefix, PARTITIONS).await?;
    let mut connection = redis::Client::open(url.as_str())?.get_connection()?;
    let measured = redis(&store, &mut connection, &prefix, n_persons, n_batches).await;
    remove(&mut connection, &prefix)?;
    measured
}

async fn redis(
    store: &RedisState,
    connection: &mut redis::Connection,
    prefix: &str,
    n_persons: u64,
    n_batches: u64,
) -> Result<(), Box<dyn Error>> {
    fill(store, n_persons).await?;
    print_memory(connection, prefix, n_persons)?;
    let before = script_calls(connection)?;
    measure(store, n_persons, n_batches).await?;
    let after = script_calls(connection)?;
    let each_ms = (after.1 - before.1) / (after.0 - before.0) / 1e3;
    println!("  script of a commit     {each_ms:>9.2} ms of the server's time");
    Ok(())
}

async fn measure(store: &dyn StateStore, n_persons: u64, n_batches: u64) -> Result<(), Box<dyn Error>> {
    let mut random = Random(7);
    folds(store, n_persons, n_batches, &mut random).await?;
    answers(store, n_persons, &mut random).await?;
    walks(store).await
}

/// Every person with a long history, every item in every partition.
async fn fill(store: &dyn StateStore, n_persons: u64) -> Result<(), Box<dyn Error>> {
    let mut random = Random(1);
    let start = Instant::now();
    for partition in 0..PARTITIONS {
        let persons = (0..n_persons).filter(|person| person % u64::from(PARTITIONS) == u64::from(partition));
        let mut writes =
            persons.map(|person| (person_key(person), Some(random.blob(PERSON_BYTES)))).collect::<Vec<_>>();
        writes.extend((0..ITEMS).map(|item| (item_key(partition, item), Some(random.blob(300)))));
        for chunk in writes.chunks(5_000) {
            let at = store.applied(partition).await?.offset;
            store.commit(batch(partition, at, at + 1, chunk.to_vec())).await?;
        }
    }
    let n_blobs = n_persons + ITEMS * u64::from(PARTITIONS);
    println!("  filled                 {:>9.0} blobs/s", n_blobs as f64 / start.elapsed().as_secs_f64());
    Ok(())
}

/// What the fold asks of the store: read a batch's blobs, write them back changed.
async fn folds(
    store: &dyn StateStore,
    n_persons: u64,
    n_batches: u64,
    random: &mut Random,
) -> Result<(), Box<dyn Error>> {
    let (mut reading, mut committing, mut n_blobs) = (Duration::ZERO, Duration::ZERO, 0);
    for i in 0..n_batches {
        let partition = (i % u64::from(PARTITIONS)) as u32;
        let person =
            |n: u64| n % (n_persons / u64::from(PARTITIONS)) * u64::from(PARTITIONS) + u64::from(partition);
        let mut keys = (0..BATCH_EVENTS).map(|_| person_key(person(random.next()))).collect::<Vec<_>>();
        keys.extend((0..BATCH_ITEMS).map(|_| item_key(partition, random.next() % ITEMS)));
        keys.extend((0..WINDOW_CHUNKS).map(|key| StateKey { partition, kind: StateKind::Fold, key }));
        keys.sort_unstable();
        keys.dedup();
        let start = Instant::now();
        std::hint::black_box(store.read(&keys).await?);
        reading += start.elapsed();
        n_blobs += keys.len();
        let written = |key: StateKey| {
            let size = match key.kind {
                StateKind::Person => 300 + random.next() as usize % 900,
                StateKind::Item => 300,
                StateKind::Fold => 16_000,
            };
            (key, Some(random.blob(size)))
        };
        let writes = keys.into_iter().map(written).collect();
        let at = store.applied(partition).await?.offset;
        let batch = batch(partition, at, at + BATCH_EVENTS, writes);
        let start = Instant::now();
        store.commit(batch).await?;
        committing += start.elapsed();
    }
    let each = |took: Duration| took.as_secs_f64() * 1e3 / n_batches as f64;
    println!("  blobs in a batch       {:>9}", n_blobs as u64 / n_batches);
    println!("  read of a batch        {:>9.2} ms", each(reading));
    println!("  commit of a batch      {:>9.2} ms", each(committing));
    println!("  commits                {:>9.0} /s", 1e3 / each(committing));
    let events = (n_batches * BATCH_EVENTS) as f64 / (reading + committing).as_secs_f64();
    println!("  read and commit        {events:>9.0} events/s, one after the other");
    Ok(())
}

async fn answers(store: &dyn StateStore, n_persons: u64, random: &mut Random) -> Result<(), Box<dyn Error>> {
    let mut latencies = [Vec::new(), Vec::new()];
    for _ in 0..500 {
        let person = [person_key(random.next() % n_persons)];
        let items = (0..CANDIDATES).flat_map(|_| {
            let item = random.next() % ITEMS;
            (0..PARTITIONS).map(move |partition| item_key(partition, item))
        });
        let items = items.collect::<Vec<_>>();
        for (keys, latencies) in [&person[..], &items].into_iter().zip(&mut latencies) {
            let start = Instant::now();
            std::hint::black_box(store.read(keys).await?);
            latencies.push(start.elapsed());
        }
    }
    for (latencies, what) in latencies.iter_mut().zip(["one person", "300 items"]) {
        latencies.sort_unstable();
        println!("  read of {what:<14} {:>9.2?} p50 {:>9.2?} p99", latencies[250], latencies[495]);
    }
    Ok(())
}

async fn walks(store: &dyn StateStore) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    for partition in 0..PARTITIONS {
        std::hint::black_box(store.scan(partition, StateKind::Item, ALL_SLOTS).await?);
    }
    println!("  walk, all items        {:>9.2?}", start.elapsed());
    let start = Instant::now();
    for partition in 0..PARTITIONS {
        for slot in ALL_SLOTS {
            std::hint::black_box(store.scan(partition, StateKind::Person, slot..=slot).await?);
        }
    }
    println!("  walk, persons by slot  {:>9.2?}", start.elapsed());
    Ok(())
}

fn print_memory(
    connection: &mut redis::Connection,
    prefix: &str,
    n_persons: u64,
) -> Result<(), Box<dyn Error>> {
    let hashes = keys(connection, &format!("{{{prefix}:*}}:person:*"))?;
    let mut total_bytes = 0;
    for hash in &hashes {
        total_bytes +=
            redis::cmd("MEMORY").arg("USAGE").arg(hash).arg("SAMPLES").arg(0).query::<u64>(connection)?;
    }
    let each = total_bytes as f64 / n_persons as f64;
    println!("  hashes of persons      {:>9}", hashes.len());
    println!("  memory for a person    {each:>9.0} bytes, of which the blob has {PERSON_BYTES}");
    Ok(())
}

/// Calls of scripts so far, and microseconds in them.
fn script_calls(connection: &mut redis::Connection) -> Result<(f64, f64), Box<dyn Error>> {
    let stats: String = redis::cmd("INFO").arg("commandstats").query(connection)?;
    let line = stats.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:")).unwrap_or_default();
    let value = |name: &str| {
        let field = line.split(',').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
        field.map_or(Ok(0.0), str::parse)
    };
    Ok((value("calls")?, value("usec")?))
}

fn remove(connection: &mut redis::Connection, prefix: &str) -> Result<(), Box<dyn Error>> {
    for keys in keys(connection, &format!("*{prefix}*"))?.chunks(1_000) {
        connection.unlink::<_, ()>(keys)?;
    }
    Ok(())
}

fn keys(connection: &mut redis::Connection, pattern: &str) -> Result<Vec<String>, Box<dyn Error>> {
    let options = redis::ScanOptions::default().with_pattern(pattern).with_count(1_000);
    Ok(connection.scan_options(options)?.collect::<Result<_, _>>()?)
}

fn batch(partition: u32, from: u64, to: u64, writes: Vec<(StateKey, Option<Bytes>)>) -> StateBatch {
    StateBatch { partition, expected_offset: from, next_offset: to, time: Timestamp::from_millis(1), writes }
}

fn person_key(person: u64) -> StateKey {
    let partition = (person % u64::from(PARTITIONS)) as u32;
    StateKey { partition, kind: StateKind::Person, key: spread(person) }
}

fn item_key(partition: u32, item: u64) -> StateKey {
    StateKey { partition, kind: StateKind::Item, key: spread(item) }
}

/// Keys are hashes of ids, so they spread over all slots.
fn spread(n: u64) -> u64 {
    Random(n).next()
}

/// `SplitMix64` (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Bytes that do not compress.
    fn blob(&mut self, length: usize) -> Bytes {
        let words = (0..length.div_ceil(8)).map(|_| self.next().to_le_bytes());
        let mut bytes = words.flatten().collect::<Vec<_>>();
        bytes.truncate(length);
        bytes.into()
    }
}
