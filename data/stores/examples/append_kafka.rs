//! Appends records of 250 bytes to the log on Kafka, beside a bare idempotent producer of the same records with the
//! same acknowledgement (all replicas) on the same broker in the same run.
//!
//! `WAGGLE_TEST_KAFKA=127.0.0.1:9092 cargo run --release -p waggle-stores --example append_kafka [records] [group]
//! [linger_ms…]`
//!
//! Several times to linger are measured in turn within each round: `append_kafka 200000 1000 0 1 5` shows why the
//! log's own is 0. Makes topics under prefixes of its own and removes them.

#![expect(clippy::print_stdout, reason = "prints its result")]

use std::{
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::future::try_join_all;
use waggle_model::Timestamp;
use waggle_stores::{EventLog, KafkaConfig, KafkaLog, NewRecord, Topic, bench};

const PARTITIONS: u32 = 8;
const ROUNDS: usize = 3;
/// Callers that append one record at a time, and records of each.
const LONELY: (usize, usize) = (64, 400);
type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let n_records = arguments.next().map_or(Ok(400_000), |a| a.parse())?;
    let group = arguments.next().map_or(Ok(1_000), |a| a.parse())?;
    let mut lingers = arguments.map(|a| a.parse()).collect::<Result<Vec<u64>, _>>()?;
    if lingers.is_empty() {
        lingers.push(0);
    }
    #[expect(clippy::disallowed_methods, reason = "says where the broker is")]
    let brokers = std::env::var("WAGGLE_TEST_KAFKA").map_err(|_| "WAGGLE_TEST_KAFKA is not set")?;
    let config = KafkaConfig { brokers, replication_factor: 1, ..KafkaConfig::default() };
    let prefix = format!("append-{}", Timestamp::now().as_millis());
    let mut logs = Vec::new();
    for &ms in &lingers {
        let own = format!("{prefix}-{ms}");
        let log = bench::kafka_lingering(&config, &own, PARTITIONS, Duration::from_millis(ms)).await?;
        logs.push((ms, own, Arc::new(log)));
    }
    println!(
        "records of 250 bytes, {PARTITIONS} partitions, groups of {group}, acknowledged by all replicas"
    );
    for round in 1..=ROUNDS {
        println!("round {round}");
        let groups = (0..n_records).step_by(group).map(|first| records(first, group.min(n_records - first)));
        let topic = format!("{prefix}.bare");
        let bare = bench::kafka_produces(&config, &topic, PARTITIONS, groups.collect()).await?;
        println!("  bare producer             {:>9.0} records/s", per_second(n_records, bare));
        // Whoever comes later in a round finds the machine in another state, so each goes first once.
        let n_logs = logs.len();
        for (ms, _, log) in logs.iter().cycle().skip(round % n_logs).take(n_logs) {
            println!("  ours, linger {ms} ms");
            measure(log, n_records, group, bare).await?;
        }
    }
    for (_, own, log) in &logs {
        log.close().await;
        bench::forget_kafka(&config, own).await?;
    }
    Ok(())
}

async fn measure(log: &Arc<KafkaLog>, n_records: usize, group: usize, bare: Duration) -> Outcome<()> {
    let one = callers(log, 1, n_records, group).await?;
    let eight = callers(log, 8, n_records, group).await?;
    let (n_callers, each) = LONELY;
    let many = callers(log, n_callers, n_callers * each, 1).await?;
    let (read, n_read) = read_back(log).await?;
    let (p50, p99) = lone_records(log).await?;
    println!("    1 caller                {:>9.0} records/s", per_second(n_records, one));
    println!("    8 callers               {:>9.0} records/s", per_second(n_records, eight));
    println!("    8 callers to bare       {:>9.2}", bare.as_secs_f64() / eight.as_secs_f64());
    println!("    {n_callers} callers of 1         {:>9.0} records/s", per_second(n_callers * each, many));
    println!("    read back               {:>9.0} records/s", per_second(n_read, read));
    println!("    1 record at a time      p50 {p50:.2?}, p99 {p99:.2?}");
    Ok(())
}

fn per_second(n: usize, took: Duration) -> f64 {
    n as f64 / took.as_secs_f64()
}

fn records(first: usize, n: usize) -> Vec<NewRecord> {
    let value = Bytes::from(vec![b'v'; 238]);
    let record =
        |i: usize| NewRecord { key: Bytes::from(format!("user-{:07}", i % 50_000)), value: value.clone() };
    (first..first + n).map(record).collect()
}

async fn callers(log: &Arc<KafkaLog>, n_callers: usize, n_records: usize, group: usize) -> Outcome<Duration> {
    let start = Instant::now();
    let each = n_records / n_callers;
    let tasks = (0..n_callers).map(|caller| {
        let log = Arc::clone(log);
        tokio::spawn(async move {
            for first in (0..each).step_by(group) {
                log.append(Topic::Events, records(caller * each + first, group.min(each - first))).await?;
            }
            Ok::<_, waggle_stores::LogError>(())
        })
    });
    for ended in try_join_all(tasks).await? {
        ended?;
    }
    Ok(start.elapsed())
}

async fn read_back(log: &KafkaLog) -> Outcome<(Duration, usize)> {
    let start = Instant::now();
    let mut n_read = 0;
    for partition in 0..PARTITIONS {
        let end = log.end(Topic::Events, partition).await?;
        let mut offset = end.saturating_sub(50_000);
        while offset < end {
            let records = log.read(Topic::Events, partition, offset, 2_000).await?;
            n_read += records.len();
            offset = records.last().map_or(end, |last| last.offset + 1);
        }
    }
    Ok((start.elapsed(), n_read))
}

async fn lone_records(log: &KafkaLog) -> Outcome<(Duration, Duration)> {
    let mut latencies = Vec::new();
    for i in 0..2_000 {
        let sent = Instant::now();
        log.append(Topic::Events, records(i, 1)).await?;
        latencies.push(sent.elapsed());
    }
    latencies.sort_unstable();
    Ok((latencies[1_000], latencies[1_980]))
}
