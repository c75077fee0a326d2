//! The contract of [`EventLog`].

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use waggle_model::Timestamp;
use waggle_stores::{EventLog, LogError, LogRecord, NewRecord, Position, Topic};

/// Long enough for any machine, short enough that a lost wake-up fails a run rather than hanging it.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs the whole suite on an empty log with at least two partitions.
pub(crate) async fn event_log_contract(log: Arc<dyn EventLog>) {
    assert!(log.n_partitions(Topic::Events) >= 2, "the suite needs two partitions");
    an_empty_log_reads_as_empty(&*log).await;
    records_come_back_whole_and_in_order(&*log).await;
    equal_keys_share_a_partition(&*log).await;
    topics_do_not_meet(&*log).await;
    any_bytes_are_kept(&*log).await;
    a_partition_that_is_not_there_is_an_error(&*log).await;
    waiting_ends_with_the_record_or_the_time(Arc::clone(&log)).await;
    concurrent_appends_leave_no_gap(Arc::clone(&log)).await;
    keys_keep_their_order_under_concurrency(Arc::clone(&log)).await;
    a_large_batch_is_appended_whole(&*log).await;
    followers_do_not_disturb_each_other(Arc::clone(&log)).await;
    members_share_every_partition(&*log).await;
    a_given_up_append_harms_nobody(&*log).await;
}

/// The last thing to do with a log: whoever waits is woken, and nothing is taken any more.
pub(crate) async fn closing_ends_everything(log: Arc<dyn EventLog>) {
    let at = log.append(Topic::Answers, vec![record("k", "v")]).await.unwrap()[0];
    let waiter = {
        let log = Arc::clone(&log);
        tokio::spawn(async move { log.wait(Topic::Answers, at.partition, at.offset + 1, PATIENCE * 2).await })
    };
    // Whether the waiter came to wait before the log closes makes no difference to it.
    tokio::task::yield_now().await;
    within(log.close()).await;
    assert!(matches!(within(waiter).await.unwrap(), Err(LogError::Closed)));
    let errors = [
        log.append(Topic::Answers, vec![record("k", "v")]).await.err(),
        log.read(Topic::Answers, at.partition, at.offset, 1).await.err(),
        log.wait(Topic::Answers, at.partition, at.offset + 1, PATIENCE * 2).await.err(),
        log.start(Topic::Answers, at.partition).await.err(),
        log.end(Topic::Answers, at.partition).await.err(),
    ];
    for error in errors {
        assert!(matches!(error, Some(LogError::Closed)), "{error:?}");
    }
    within(log.close()).await;
}

pub(crate) fn record(key: &str, value: impl Into<Bytes>) -> NewRecord {
    let key = Bytes::copy_from_slice(key.as_bytes());
    NewRecord { key, value: value.into() }
}

/// Bytes that cannot be compressed.
pub(crate) fn noise(seed: u64, n_bytes: usize) -> Vec<u8> {
    let words = (0_u64..).map(|nth| xxhash_rust::xxh3::xxh3_64_with_seed(&nth.to_le_bytes(), seed));
    words.flat_map(u64::to_le_bytes).take(n_bytes).collect()
}

/// All of a partition, read in small steps.
pub(crate) async fn read_all(log: &dyn EventLog, topic: Topic, partition: u32) -> Vec<LogRecord> {
    let mut all = Vec::<LogRecord>::new();
    loop {
        let step = log.read(topic, partition, all.len() as u64, 777).await.unwrap();
        if step.is_empty() {
            return all;
        }
        for (i, record) in step.iter().enumerate() {
            assert_eq!(
                (record.partition, record.offset),
                (partition, (all.len() + i) as u64),
                "contiguous from 0"
            );
        }
        all.extend(step);
    }
}

async fn an_empty_log_reads_as_empty(log: &dyn EventLog) {
    for topic in Topic::ALL {
        for partition in 0..log.n_partitions(topic) {
            assert_eq!(log.start(topic, partition).await.unwrap(), 0);
            assert_eq!(log.end(topic, partition).await.unwrap(), 0);
            assert_eq!(log.read(topic, partition, 0, 10).await.unwrap(), []);
            assert_eq!(log.read(topic, partition, 1 << 40, 10).await.unwrap(), []);
        }
    }
    assert_eq!(log.append(Topic::Events, Vec::new()).await.unwrap(), []);
}

async fn records_come_back_whole_and_in_order(log: &dyn EventLog) {
    let began = Timestamp::now();
    let sent =
        (0..2_000).map(|i| record(&format!("user-{}", i % 97), format!("value {i}"))).collect::<Vec<_>>();
    let positions = log.append(Topic::Events, sent.clone()).await.unwrap();
    let mut expected = BTreeMap::<u32, Vec<(u64, NewRecord)>>::new();
    for (record, at) in sent.into_iter().zip(&positions) {
        expected.entry(at.partition).or_default().push((at.offset, record));
    }
    for (&partition, expected) in &expected {
        assert_eq!(log.end(Topic::Events, partition).await.unwrap(), expected.len() as u64);
        let all = read_all(log, Topic::Events, partition).await;
        assert_eq!(&as_sent(&all), expected);
        let is_now = |record: &LogRecord| (began..=Timestamp::now()).contains(&record.timestamp);
        assert!(all.iter().all(is_now), "the log's clock and ours are the same machine's");
        // From any offset, any number.
        for (from, max) in
            [(0, 1), (1, 3), (expected.len() / 2, 5), (expected.len() - 1, 9), (expected.len(), 9)]
        {
            let part = log.read(Topic::Events, partition, from as u64, max).await.unwrap();
            assert_eq!(as_sent(&part), expected[from..(from + max).min(expected.len())]);
        }
        assert_eq!(log.read(Topic::Events, partition, 0, 0).await.unwrap(), []);
    }
}

/// What was read, as it was appended at each offset.
fn as_sent(read: &[LogRecord]) -> Vec<(u64, NewRecord)> {
    let record = |r: &LogRecord| NewRecord { key: r.key.clone(), value: r.value.clone() };
    read.iter().map(|r| (r.offset, record(r))).collect()
}

async fn equal_keys_share_a_partition(log: &dyn EventLog) {
    let mut seen = BTreeMap::<&str, Position>::new();
    for key in ["anna", "ben", "chloe", "anna", "ben", "anna"] {
        let at = log.append(Topic::Answers, vec![record(key, "x")]).await.unwrap()[0];
        if let Some(before) = seen.insert(key, at) {
            assert_eq!(before.partition, at.partition);
            assert!(before.offset < at.offset, "a key's records stay in order");
        }
    }
}

async fn topics_do_not_meet(log: &dyn EventLog) {
    let at = log.append(Topic::Catalog, vec![record("item", "a change")]).await.unwrap()[0];
    assert_eq!(at.offset, 0, "offsets count per topic");
    let records = log.read(Topic::Catalog, at.partition, 0, 10).await.unwrap();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].value, "a change");
}

async fn any_bytes_are_kept(log: &dyn EventLog) {
    let huge = (0..900_000_u32).map(|i| (i % 251) as u8).collect::<Vec<_>>();
    let values = [Vec::new(), vec![0; 3], vec![0xff; 1_000], b"\xc3\x28 not utf-8".to_vec(), huge];
    let records = values.iter().map(|v| record("k", v.clone())).collect::<Vec<_>>();
    let positions = log.append(Topic::DeadLetters, records).await.unwrap();
    let read = log.read(Topic::DeadLetters, positions[0].partition, positions[0].offset, 10).await.unwrap();
    assert_eq!(read.iter().map(|r| r.value.to_vec()).collect::<Vec<_>>(), values);
    let keyless = NewRecord { key: Bytes::new(), value: Bytes::new() };
    let at = log.append(Topic::DeadLetters, vec![keyless]).await.unwrap()[0];
    let read = log.read(Topic::DeadLetters, at.partition, at.offset, 1).await.unwrap();
    assert_eq!((read.len(), read[0].key.len(), read[0].value.len()), (1, 0, 0));
}

async fn a_partition_that_is_not_there_is_an_error(log: &dyn EventLog) {
    let beyond = log.n_partitions(Topic::Events);
    let errors = [
        log.read(Topic::Events, beyond, 0, 1).await.err(),
        log.start(Topic::Events, beyond).await.err(),
        log.end(Topic::Events, beyond).await.err(),
        log.wait(Topic::Events, beyond, 0, Duration::ZERO).await.err(),
    ];
    for error in errors {
        assert!(
            matches!(error, Some(LogError::NoSuchPartition { partition, .. }) if partition == beyond),
            "{error:?}"
        );
    }
}

async fn waiting_ends_with_the_record_or_the_time(log: Arc<dyn EventLog>) {
    let at = log.append(Topic::Answers, vec![record("waiter", "first")]).await.unwrap()[0];
    // What is there already is not waited for.
    within(log.wait(Topic::Answers, at.partition, at.offset, PATIENCE * 2)).await.unwrap();
    // What never comes is given up.
    within(log.wait(Topic::Answers, at.partition, at.offset + 1_000_000, Duration::from_millis(5)))
        .await
        .unwrap();
    // What comes wakes every waiter at once.
    let waiters = (0..8)
        .map(|_| {
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                log.wait(Topic::Answers, at.partition, at.offset + 1, PATIENCE * 2).await.unwrap();
                log.read(Topic::Answers, at.partition, at.offset + 1, 1).await.unwrap()
            })
        })
        .collect::<Vec<_>>();
    log.append(Topic::Answers, vec![record("waiter", "second")]).await.unwrap();
    for waiter in waiters {
        let read = within(waiter).await.unwrap();
        assert_eq!(read.len(), 1, "a woken reader finds the record");
        assert_eq!(read[0].value, "second");
    }
}

async fn concurrent_appends_leave_no_gap(log: Arc<dyn EventLog>) {
    let topic = Topic::Catalog;
    let tasks = (0..32)
        .map(|task| {
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                for i in 0..25 {
                    let batch = (0..=task % 5)
                        .map(|j| record(&format!("{task}"), format!("{task}/{i}/{j}")))
                        .collect::<Vec<_>>();
                    let values = batch.iter().map(|r| r.value.clone()).collect::<Vec<_>>();
                    let positions = log.append(topic, batch).await.unwrap();
                    for pair in positions.windows(2) {
                        assert!(pair[0].offset < pair[1].offset, "a batch of one key stays in order");
                    }
                    acknowledged.extend(positions.into_iter().zip(values));
                }
                acknowledged
            })
        })
        .collect::<Vec<_>>();
    let mut acknowledged = BTreeMap::new();
    for task in tasks {
        let mut last = None;
        for (at, value) in within(task).await.unwrap() {
            assert!(last < Some(at.offset), "one caller's appends keep their order");
            last = Some(at.offset);
            assert_eq!(acknowledged.insert(at, value), None, "no position is given twice");
        }
    }
    for partition in 0..log.n_partitions(topic) {
        for record in read_all(&*log, topic, partition).await {
            let at = Position { partition, offset: record.offset };
            if let Some(value) = acknowledged.remove(&at) {
                assert_eq!(record.value, value);
            }
        }
    }
    assert!(acknowledged.is_empty(), "acknowledged but not there: {acknowledged:?}");
}

async fn keys_keep_their_order_under_concurrency(log: Arc<dyn EventLog>) {
    let topic = Topic::Events;
    let n_partitions = log.n_partitions(topic);
    let mut starts = Vec::new();
    for partition in 0..n_partitions {
        starts.push(log.end(topic, partition).await.unwrap());
    }
    let tasks = (0..16)
        .map(|task| {
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                for i in 0..20 {
                    // Three keys of this task's own, in turn within each batch.
                    let batch = (0..30)
                        .map(|j| record(&format!("order-{task}-{}", j % 3), format!("{}", i * 30 + j)));
                    log.append(topic, batch.collect()).await.unwrap();
                }
            })
        })
        .collect::<Vec<_>>();
    for task in tasks {
        within(task).await.unwrap();
    }
    let mut last = BTreeMap::<Bytes, (u32, i32)>::new();
    let mut n_read = 0;
    for (partition, &start) in (0..n_partitions).zip(&starts) {
        let mut offset = start;
        while let Some(next) = {
            let records = log.read(topic, partition, offset, 999).await.unwrap();
            n_read += records.len();
            for record in &records {
                let value = std::str::from_utf8(&record.value).unwrap().parse().unwrap();
                let before = last.insert(record.key.clone(), (partition, value));
                if let Some(before) = before {
                    assert!(before < (partition, value), "a key stays in its partition and in order");
                }
            }
            records.last().map(|record| record.offset + 1)
        } {
            offset = next;
        }
    }
    assert_eq!(n_read, 16 * 20 * 30);
}

async fn a_large_batch_is_appended_whole(log: &dyn EventLog) {
    let topic = Topic::Answers;
    let sent = (0..20_000)
        .map(|i| record(&format!("{}", i % 1_000), format!("{i} {}", "-".repeat(600))))
        .collect::<Vec<_>>();
    let positions = within(log.append(topic, sent.clone())).await.unwrap();
    assert_eq!(positions.len(), sent.len());
    let distinct =
        positions.iter().map(|at| (at.partition, at.offset)).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(distinct.len(), sent.len());
    for (record, at) in sent.iter().zip(&positions).step_by(1_999) {
        let read = log.read(topic, at.partition, at.offset, 1).await.unwrap();
        assert_eq!((&read[0].key, &read[0].value), (&record.key, &record.value));
    }
}

/// Three followers of one partition, each at its own pace, and one who jumps about.
async fn followers_do_not_disturb_each_other(log: Arc<dyn EventLog>) {
    let topic = Topic::DeadLetters;
    let first = log.append(topic, vec![record("followed", "0")]).await.unwrap()[0];
    let (partition, start) = (first.partition, first.offset);
    let n_records = 600;
    let followers = [1, 7, 1_000].map(|max| {
        let log = Arc::clone(&log);
        tokio::spawn(async move {
            let mut seen = Vec::new();
            let mut offset = start;
            while seen.len() < n_records {
                log.wait(topic, partition, offset, PATIENCE).await.unwrap();
                for record in log.read(topic, partition, offset, max).await.unwrap() {
                    assert!(record.offset >= offset);
                    offset = record.offset + 1;
                    seen.push(record.value);
                }
            }
            seen
        })
    });
    let jumper = {
        let log = Arc::clone(&log);
        tokio::spawn(async move {
            for i in 0..30 {
                let at = start + (i * 7) % 20;
                let end = log.end(topic, partition).await.unwrap();
                let read = log.read(topic, partition, at, 3).await.unwrap();
                assert!(at >= end || read[0].offset == at, "reads what was asked for");
            }
        })
    };
    for i in 1..n_records {
        log.append(topic, vec![record("followed", i.to_string())]).await.unwrap();
    }
    let expected = (0..n_records).map(|i| Bytes::from(i.to_string())).collect::<Vec<_>>();
    for follower in followers {
        assert_eq!(within(follower).await.unwrap(), expected);
    }
    within(jumper).await.unwrap();
}

async fn members_share_every_partition(log: &dyn EventLog) {
    let topic = Topic::Events;
    let all = (0..log.n_partitions(topic)).collect::<std::collections::BTreeSet<_>>();
    let first = log.join("contract", topic, "first").await.unwrap();
    within(first.owned().wait_for(|owned| *owned == all)).await.unwrap();
    let second = log.join("contract", topic, "second").await.unwrap();
    within(second.owned().wait_for(|owned| !owned.is_empty())).await.unwrap();
    let whole =
        |second: &std::collections::BTreeSet<u32>| first.owned().borrow().union(second).count() == all.len();
    within(second.owned().wait_for(whole)).await.unwrap();
    for &partition in &*second.owned().borrow() {
        second.report(partition, 1).await;
    }
    within(first.leave()).await;
    assert!(first.owned().borrow().is_empty());
    within(second.owned().wait_for(|owned| *owned == all)).await.unwrap();
    within(second.leave()).await;
    assert!(second.owned().borrow().is_empty());
}

async fn a_given_up_append_harms_nobody(log: &dyn EventLog) {
    for i in 0..20 {
        let batch = (0..500).map(|j| record(&format!("{j}"), "given up")).collect();
        let append = log.append(Topic::Answers, batch);
        tokio::time::timeout(Duration::from_micros(i * 50), append).await.ok();
    }
    let at = within(log.append(Topic::Answers, vec![record("k", "after")])).await.unwrap()[0];
    let read = within(log.read(Topic::Answers, at.partition, at.offset, 1)).await.unwrap();
    assert_eq!(read[0].value, "after");
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("no wake-up in time")
}
