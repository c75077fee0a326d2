//! Appends records of 250 bytes to the log on Kafka, beside a bare idempotent producer of the same records with the
//! same acknowledgement (all replicas) on the same broker in the same run.
//!
//! `WAGGLE_TEST_KAFKA=127.0.0.1:9092 cargo run --release -p waggle-stores --example append_kafka [records] [group]`
//!
//! Makes topics under a prefix of its own and removes them. Kafka's own measure of the same broker:
//! `kafka-producer-perf-test --num-records 400000 --record-size 250 --throughput -1 --topic TOPIC --producer-props
//! bootstrap.servers=127.0.0.1:9092 acks=all`.

#![expect(clippy::print_stdout, reason = "prints its result")]

use std::{
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::future::try_join_all;
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
    producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer},
};
use waggle_model::{Timestamp, partition_of};
use waggle_stores::{EventLog, KafkaConfig, KafkaLog, NewRecord, Topic};

const PARTITIONS: u32 = 8;
type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let n_records = arguments.next().map_or(Ok(400_000), |a| a.parse())?;
    let group = arguments.next().map_or(Ok(1_000), |a| a.parse())?;
    #[expect(clippy::disallowed_methods, reason = "says where the broker is")]
    let brokers = std::env::var("WAGGLE_TEST_KAFKA").map_err(|_| "WAGGLE_TEST_KAFKA is not set")?;
    let config = KafkaConfig { brokers: brokers.clone(), replication_factor: 1, ..KafkaConfig::default() };
    let prefix = format!("append-{}", Timestamp::now().as_millis());
    let log = Arc::new(KafkaLog::connect(&config, &prefix, PARTITIONS).await?);
    println!(
        "records of 250 bytes, {PARTITIONS} partitions, groups of {group}, acknowledged by all replicas"
    );
    for round in 1..=3 {
        let bare = bare_producer(&brokers, &format!("{prefix}.answers"), n_records)?;
        let one = callers(&log, 1, n_records, group).await?;
        let eight = callers(&log, 8, n_records, group).await?;
        let many = callers(&log, 64, 64 * 400, 1).await?;
        let (read, n_read) = read_back(&log).await?;
        let (p50, p99) = lone_records(&log).await?;
        println!("round {round}");
        println!("  bare producer             {:>9.0} records/s", per_second(n_records, bare));
        println!("  ours, 1 caller            {:>9.0} records/s", per_second(n_records, one));
        println!("  ours, 8 callers           {:>9.0} records/s", per_second(n_records, eight));
        println!("  ours to bare, 8 callers   {:>9.2}", bare.as_secs_f64() / eight.as_secs_f64());
        println!("  ours, 64 callers of 1     {:>9.0} records/s", per_second(64 * 400, many));
        println!("  ours, read back           {:>9.0} records/s", per_second(n_read, read));
        println!("  ours, 1 record at a time  p50 {p50:.2?}, p99 {p99:.2?}");
    }
    log.close().await;
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &brokers).create()?;
    let topics = Topic::ALL.map(|topic| format!("{prefix}.{}", topic.as_str()));
    admin.delete_topics(&topics.each_ref().map(String::as_str), &AdminOptions::new()).await?;
    Ok(())
}

fn per_second(n: usize, took: Duration) -> f64 {
    n as f64 / took.as_secs_f64()
}

fn records(first: usize, n: usize) -> Vec<NewRecord> {
    let value = Bytes::from(vec![b'v'; 238]);
    let record = |i: usize| NewRecord {
        key: Bytes::from(format!("user-{:07}", i % 50_000)),
        value: value.clone(),
        timestamp: Timestamp::from_millis(1_700_000_000_000 + i as i64),
    };
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

/// As fast as the library goes: no groups, no waiting for single reports, everything acknowledged at the end.
fn bare_producer(brokers: &str, topic: &str, n_records: usize) -> Outcome<Duration> {
    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("queue.buffering.max.messages", "1000000")
        .create()?;
    let start = Instant::now();
    for first in (0..n_records).step_by(1_000) {
        for record in records(first, 1_000.min(n_records - first)) {
            let partition = partition_of(&record.key, PARTITIONS).cast_signed();
            let message = BaseRecord::to(topic).partition(partition).key(&record.key[..]);
            producer.send(message.payload(&record.value[..])).map_err(|(error, _)| error)?;
        }
    }
    producer.flush(Duration::from_secs(60))?;
    Ok(start.elapsed())
}
