//! Appends records of 250 bytes to the embedded log, beside a bare SQLite loop (one
//! transaction per group) with the same durability on the same disk in the same run.
//!
//! `cargo run --release -p waggle-stores --example append [records] [group]`

#![expect(clippy::print_stdout, reason = "prints its result")]

use std::{error::Error, sync::Arc, time::Duration, time::Instant};

use bytes::Bytes;
use waggle_stores::{EventLog, NewRecord, SqliteLog, SqliteLogOptions, Topic, bench::sqlite_appends};

const PARTITIONS: u32 = 8;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let n_records = arguments.next().map_or(Ok(400_000), |a| a.parse())?;
    let group = arguments.next().map_or(Ok(1_000), |a| a.parse())?;
    let folder = tempfile::tempdir()?;
    println!("records of 250 bytes, {PARTITIONS} partitions, groups of {group}, fsync per commit");
    for round in 1..=3 {
        let groups = (0..n_records).step_by(group).map(|first| records(first, group.min(n_records - first)));
        let groups = groups.collect::<Vec<_>>();
        let bare = sqlite_appends(&folder.path().join(format!("bare-{round}")), &groups).await?;
        let path = folder.path().join(format!("ours-{round}"));
        let options = SqliteLogOptions { n_partitions: PARTITIONS, max_bytes: None };
        let log = Arc::new(SqliteLog::open(&path, options).await?);
        let ours = one_caller(&log, n_records, group).await?;
        let (read, n_read) = read_back(&log).await?;
        let (single, p50, p99) = lone_records(&log).await?;
        let many = many_callers(&log, 64, 200).await?;
        log.close().await;
        let size_mb = std::fs::metadata(&path)?.len() as f64 / 1e6;
        println!("round {round}");
        println!("  bare sqlite, 1 caller     {:>9.0} records/s", per_second(n_records, bare));
        println!("  ours, 1 caller            {:>9.0} records/s", per_second(n_records, ours));
        println!("  ours, read back           {:>9.0} records/s", per_second(n_read, read));
        println!(
            "  ours, 1 record at a time  {:>9.0} records/s, p50 {p50:.2?}, p99 {p99:.2?}",
            per_second(2_000, single)
        );
        println!("  ours, 64 callers of 1     {:>9.0} records/s", per_second(64 * 200, many));
        println!("  file                      {size_mb:>9.1} MB");
    }
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

async fn one_caller(log: &SqliteLog, n_records: usize, group: usize) -> Result<Duration, Box<dyn Error>> {
    let start = Instant::now();
    for first in (0..n_records).step_by(group) {
        log.append(Topic::Events, records(first, group.min(n_records - first))).await?;
    }
    Ok(start.elapsed())
}

async fn read_back(log: &SqliteLog) -> Result<(Duration, usize), Box<dyn Error>> {
    let start = Instant::now();
    let mut n_read = 0;
    for partition in 0..PARTITIONS {
        let mut offset = 0;
        loop {
            let records = log.read(Topic::Events, partition, offset, 2_000).await?;
            let Some(last) = records.last() else { break };
            offset = last.offset + 1;
            n_read += records.len();
        }
    }
    Ok((start.elapsed(), n_read))
}

async fn lone_records(log: &SqliteLog) -> Result<(Duration, Duration, Duration), Box<dyn Error>> {
    let start = Instant::now();
    let mut latencies = Vec::new();
    for i in 0..2_000 {
        let sent = Instant::now();
        log.append(Topic::Events, records(i, 1)).await?;
        latencies.push(sent.elapsed());
    }
    let took = start.elapsed();
    latencies.sort_unstable();
    Ok((took, latencies[1_000], latencies[1_980]))
}

async fn many_callers(log: &Arc<SqliteLog>, callers: usize, each: usize) -> Result<Duration, Box<dyn Error>> {
    let start = Instant::now();
    let tasks = (0..callers)
        .map(|caller| {
            let log = Arc::clone(log);
            tokio::spawn(async move {
                for i in 0..each {
                    log.append(Topic::Events, records(caller * each + i, 1)).await?;
                }
                Ok::<_, waggle_stores::LogError>(())
            })
        })
        .collect::<Vec<_>>();
    for task in tasks {
        task.await??;
    }
    Ok(start.elapsed())
}
