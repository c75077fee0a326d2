//! The log on Kafka: its contract on a real broker, and what only Kafka does.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::AdminOptions,
    consumer::{BaseConsumer, Consumer},
    producer::{FutureProducer, FutureRecord, Producer},
};
use waggle_model::{Timestamp, partition_of};
use waggle_stores::{
    EventLog, KafkaConfig, KafkaLog, KafkaSource, LogError, LogSection, SourceRecord, Topic,
};

use crate::{
    contract::log::{closing_ends_everything, event_log_contract, noise, read_all, record},
    support::kafka::{PATIENCE, Place, admin, brokers, check_refused, config, take, within},
};

/// A producer as others use it.
fn foreign_producer(settings: &[(&str, &str)]) -> FutureProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers());
    for (key, value) in settings {
        config.set(*key, *value);
    }
    config.create().unwrap()
}

async fn foreign_send(producer: &FutureProducer, topic: &str, key: Option<&str>, value: Option<&str>) {
    let mut record = FutureRecord::<str, str>::to(topic).partition(0);
    (record.key, record.payload) = (key, value);
    producer.send(record, PATIENCE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_keeps_the_contract() {
    let place = Place::new();
    let log = Arc::new(place.log(4).await.unwrap());
    event_log_contract(Arc::clone(&log) as Arc<dyn EventLog>).await;
    closing_ends_everything(log).await;
    place.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_there_after_connecting_again() {
    let place = Place::new();
    let log = place.log(3).await.unwrap();
    for i in 0..50 {
        log.append(Topic::Events, vec![record(&format!("{i}"), format!("v{i}"))]).await.unwrap();
    }
    let mut before = Vec::new();
    for partition in 0..3 {
        before.push(read_all(&log, Topic::Events, partition).await);
    }
    log.close().await;
    check_refused(place.log(4).await, "3 partitions");
    let log = place.log(3).await.unwrap();
    for (partition, before) in (0..).zip(&before) {
        assert_eq!(&read_all(&log, Topic::Events, partition).await, before);
    }
    place.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_cannot_work_are_refused_with_the_reason() {
    let place = Place::new();
    for prefix in ["", "a b", "a/b", "ü", &"x".repeat(201)] {
        check_refused(KafkaLog::connect(&config(), prefix, 1).await, "cannot begin the names of topics");
    }
    check_refused(place.log(0).await, "1 to 1024 are allowed");
    for brokers in ["", "localhost", "localhost:", ":9092", "localhost:70000", "127.0.0.1:9092,"] {
        let config = KafkaConfig { brokers: brokers.to_owned(), ..config() };
        check_refused(KafkaLog::connect(&config, "p", 1).await, "host:port");
    }
    check_refused(
        KafkaLog::connect(&KafkaConfig { delivery_timeout_s: 0, ..config() }, "p", 1).await,
        "1 to 300",
    );
    // Port 1 refuses connections.
    let began = Instant::now();
    let config = KafkaConfig { brokers: "127.0.0.1:1".to_owned(), ..config() };
    let refused = KafkaLog::connect(&config, "p", 1).await.expect_err("nobody listens").to_string();
    assert!(refused.contains("127.0.0.1:1 within 10 s"), "{refused}");
    assert!(refused.contains("Connection refused"), "the reason is told: {refused}");
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_says_how_long_its_records_are_there_at_most() {
    const DAY: Duration = Duration::from_secs(24 * 3_600);
    let place = Place::new();
    place.create("events", 1, &[("retention.ms", "86400000"), ("segment.ms", "3600000")]).await;
    let log = place.log(1).await.unwrap();
    let removal = Duration::from_secs(600);
    let events = log.longest_kept(Topic::Events).await.unwrap();
    assert_eq!(events, Some(DAY + Duration::from_secs(3_600) + removal), "a segment's newest record counts");
    // As they are made by default: 90 days of answers in segments of a week, and the catalogue for ever.
    assert_eq!(log.longest_kept(Topic::Answers).await.unwrap(), Some(97 * DAY + removal));
    assert_eq!(log.longest_kept(Topic::Catalog).await.unwrap(), None);
    log.close().await;
    place.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_that_would_lose_records_are_refused() {
    let check = async |topic: &str, settings: &[(&str, &str)], expected: &str| {
        let place = Place::new();
        place.create(topic, 1, settings).await;
        check_refused(place.log(1).await, expected);
        place.remove().await;
    };
    check("events", &[("cleanup.policy", "compact")], "records of one key would replace each other").await;
    check("answers", &[("cleanup.policy", "compact,delete")], "set cleanup.policy=delete").await;
    check("catalog", &[("retention.ms", "86400000")], "items would be forgotten").await;
    // Removal of old events is somebody's decision, and noticed by who needs them.
    let place = Place::new();
    place.create("events", 1, &[("retention.ms", "86400000")]).await;
    place.log(1).await.unwrap();
    place.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_producers_choose_the_same_partitions() {
    let place = Place::new();
    let log = place.log(7).await.unwrap();
    let producer = foreign_producer(&[("partitioner", "murmur2_random")]);
    let name = place.name(Topic::Events);
    for i in 0..300 {
        let key = format!("{}{i}", "k".repeat(i % 9));
        let (partition, _) = {
            let record = FutureRecord::to(&name).key(&key).payload("v");
            let delivery = producer.send(record, PATIENCE).await.unwrap();
            (delivery.partition, delivery.offset)
        };
        assert_eq!(partition.cast_unsigned(), partition_of(key.as_bytes(), 7), "{key}");
    }
    let mut n_read = 0;
    for partition in 0..7 {
        n_read += read_all(&log, Topic::Events, partition).await.len();
    }
    assert_eq!(n_read, 300);
    place.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_others_wrote_do_not_break_reading() {
    let place = Place::new();
    let log = place.log(1).await.unwrap();
    let producer = foreign_producer(&[]);
    let name = place.name(Topic::Events);
    let before = Timestamp::now();
    foreign_send(&producer, &name, None, Some("no key")).await;
    foreign_send(&producer, &name, Some("tombstone"), None).await;
    foreign_send(&producer, &name, None, None).await;
    let odd = rdkafka::message::OwnedHeaders::new()
        .insert(rdkafka::message::Header::<&str> { key: "empty", value: None });
    producer
        .send(FutureRecord::<str, str>::to(&name).payload("odd header").headers(odd), PATIENCE)
        .await
        .unwrap();
    log.append(Topic::Events, vec![record("ours", "v")]).await.unwrap();
    let read = log.read(Topic::Events, 0, 0, 10).await.unwrap();
    let seen = read.iter().map(|r| (&r.key[..], &r.value[..])).collect::<Vec<_>>();
    let expected: [(&[u8], &[u8]); 5] =
        [(b"", b"no key"), (b"tombstone", b""), (b"", b""), (b"", b"odd header"), (b"ours", b"v")];
    assert_eq!(seen, expected);
    for record in &read {
        assert!((record.timestamp.as_millis() - before.as_millis()).abs() < 60_000, "{record:?}");
    }
    place.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn markers_of_transactions_are_passed_over() {
    let place = Place::new();
    let log = place.log(1).await.unwrap();
    let producer = foreign_producer(&[("transactional.id", &place.prefix)]);
    let name = place.name(Topic::Events);
    producer.init_transactions(PATIENCE).unwrap();
    for value in ["first", "second"] {
        producer.begin_transaction().unwrap();
        foreign_send(&producer, &name, Some("k"), Some(value)).await;
        producer.commit_transaction(PATIENCE).unwrap();
    }
    producer.begin_transaction().unwrap();
    foreign_send(&producer, &name, Some("k"), Some("given up")).await;
    producer.abort_transaction(PATIENCE).unwrap();
    let read = within(log.read(Topic::Events, 0, 0, 10)).await.unwrap();
    let seen = read.iter().map(|r| (r.offset, &r.value[..])).collect::<Vec<_>>();
    let expected: [(u64, &[u8]); 2] = [(0, b"first"), (2, b"second")];
    assert_eq!(seen, expected);
    // Behind the last record there are only markers: nothing to read, and nothing to be woken for.
    assert_eq!(log.end(Topic::Events, 0).await.unwrap(), 6);
    assert_eq!(within(log.read(Topic::Events, 0, 3, 10)).await.unwrap(), []);
    let began = Instant::now();
    log.wait(Topic::Events, 0, 3, Duration::from_millis(700)).await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(700), "woken for nothing after {:?}", began.elapsed());
    let at = log.append(Topic::Events, vec![record("k", "third")]).await.unwrap()[0];
    within(log.wait(Topic::Events, 0, 3, PATIENCE * 2)).await.unwrap();
    let read = within(log.read(Topic::Events, 0, 3, 10)).await.unwrap();
    assert_eq!((read.len(), read[0].offset, &read[0].value[..]), (1, at.offset, &b"third"[..]));
    place.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_records_are_reported_and_never_jumped_over() {
    let place = Place::new();
    let log = place.log(1).await.unwrap();
    // Compressed, all of them would fit into what is fetched ahead.
    let batch = (0..5_000).map(|i| record("k", noise(i, 1_000))).collect();
    log.append(Topic::Events, batch).await.unwrap();
    // A follower that has read a little when retention strikes.
    assert_eq!(log.read(Topic::Events, 0, 0, 5).await.unwrap().len(), 5);
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&place.name(Topic::Events), 0, Offset::Offset(4_990)).unwrap();
    admin().delete_records(&list, &AdminOptions::new()).await.unwrap();
    assert_eq!(log.start(Topic::Events, 0).await.unwrap(), 4_990);
    let trimmed = log.read(Topic::Events, 0, 100, 10).await;
    assert!(matches!(trimmed, Err(LogError::Trimmed { offset: 100, start: 4_990, .. })), "{trimmed:?}");
    // What it had fetched ahead is as good as before; then it hits the gap.
    let mut offset = 5;
    let gap = loop {
        match within(log.read(Topic::Events, 0, offset, 500)).await {
            Ok(records) => {
                assert_eq!(records[0].offset, offset, "nothing is left out");
                offset = records.last().unwrap().offset + 1;
            }
            Err(error) => break error,
        }
        assert!(offset < 4_990, "read what was removed");
    };
    assert!(matches!(gap, LogError::Trimmed { start: 4_990, offset: o, .. } if o == offset), "{gap:?}");
    assert_eq!(within(log.read(Topic::Events, 0, 4_990, 100)).await.unwrap().len(), 10);
    // Who wants what there is gets it, and nothing that comes later.
    let mut rest = LogSection::new(&log, Topic::Events, 0, 100, 4_995);
    let offsets = rest.next(100).await.unwrap().unwrap().iter().map(|r| r.offset).collect::<Vec<_>>();
    assert_eq!(offsets, (4_990..4_995).collect::<Vec<_>>());
    assert_eq!((rest.next(100).await.unwrap(), rest.rest()), (None, (4_995, 4_995)));
    place.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_the_topic_does_not_take_is_refused_before_it_is_sent() {
    let place = Place::new();
    place.create("events", 1, &[("max.message.bytes", "100000")]).await;
    let log = place.log(1).await.unwrap();
    let batch = vec![record("k", "small"), record("k", vec![0; 100_000])];
    let refused = log.append(Topic::Events, batch).await.unwrap_err().to_string();
    assert!(refused.contains("a record of 100001 bytes does not fit into"), "{refused}");
    assert_eq!(log.end(Topic::Events, 0).await.unwrap(), 0, "nothing of the batch was sent");
    // What just fits is taken by the broker too, alone and in company.
    let largest = 100_000 - 200;
    let batch = (0..5).map(|_| record("k", vec![7; largest])).collect();
    within(log.append(Topic::Events, batch)).await.unwrap();
    place.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_record_reaches_whoever_waits_within_milliseconds() {
    let place = Place::new();
    let log = Arc::new(place.log(2).await.unwrap());
    let writer = place.log(2).await.unwrap();
    let follower = {
        let log = Arc::clone(&log);
        tokio::spawn(async move {
            let mut arrivals = Vec::new();
            let mut offset = 0;
            while arrivals.len() < 200 {
                log.wait(Topic::Events, partition_of(b"k", 2), offset, PATIENCE).await.unwrap();
                for record in log.read(Topic::Events, partition_of(b"k", 2), offset, 10).await.unwrap() {
                    arrivals.push(Instant::now());
                    offset = record.offset + 1;
                }
            }
            arrivals
        })
    };
    let mut acknowledged = Vec::new();
    for _ in 0..200 {
        // Through another connection, so that the broker has to tell.
        writer.append(Topic::Events, vec![record("k", "v")]).await.unwrap();
        acknowledged.push(Instant::now());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let arrivals = within(follower).await.unwrap();
    let mut delays = arrivals
        .iter()
        .zip(&acknowledged)
        .map(|(arrived, sent)| arrived.saturating_duration_since(*sent))
        .collect::<Vec<_>>();
    delays.sort_unstable();
    assert!(delays[100] < Duration::from_millis(20), "median {:?}, p99 {:?}", delays[100], delays[198]);
    place.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_members_divide_the_partitions_and_report_their_offsets() {
    let place = Place::new();
    let log = place.log(6).await.unwrap();
    let members = [
        log.join("folds", Topic::Events, "a").await.unwrap(),
        log.join("folds", Topic::Events, "b").await.unwrap(),
        log.join("folds", Topic::Events, "c").await.unwrap(),
    ];
    let settled = || {
        let owned = members.each_ref().map(|member| member.owned().borrow().clone());
        let union = owned.iter().flatten().collect::<BTreeSet<_>>();
        union.len() == 6 && owned.iter().all(|owned| owned.len() == 2)
    };
    let mut changes = members.each_ref().map(|member| member.owned());
    let [a, b, c] = &mut changes;
    while !settled() {
        within(async {
            tokio::select! { _ = a.changed() => {} _ = b.changed() => {} _ = c.changed() => {} }
        })
        .await;
    }
    for member in &members {
        for &partition in &*member.owned().borrow() {
            log.append(Topic::Events, Vec::new()).await.unwrap();
            member.report(partition, 40 + u64::from(partition)).await;
        }
    }
    // As the standard tools ask for it.
    let group = format!("{}.folds", place.prefix);
    let tool =
        ClientConfig::new().set("bootstrap.servers", brokers()).set("group.id", &group).create().unwrap();
    let tool: BaseConsumer = tool;
    let began = Instant::now();
    loop {
        let mut list = TopicPartitionList::new();
        list.add_partition_range(&place.name(Topic::Events), 0, 5);
        let committed = tool.committed_offsets(list, PATIENCE).unwrap();
        let offsets =
            committed.elements().iter().map(|e| (e.partition(), e.offset())).collect::<BTreeMap<_, _>>();
        if (0..6).all(|p| offsets[&p] == Offset::Offset(40 + i64::from(p))) {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{offsets:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Who leaves hands over at once, and the others keep what they have.
    let kept = members[1].owned().borrow().clone();
    let began = Instant::now();
    within(members[0].leave()).await;
    within(members[1].owned().wait_for(|owned| owned.len() == 3)).await.unwrap();
    within(members[2].owned().wait_for(|owned| owned.len() == 3)).await.unwrap();
    let took = began.elapsed();
    assert!(took < Duration::from_secs(4), "sooner than the session's end: {took:?}");
    assert!(kept.is_subset(&members[1].owned().borrow()));
    for member in &members[1..] {
        within(member.leave()).await;
    }
    place.remove().await;
}

const CHILD: &str = "WAGGLE_TEST_KAFKA_MEMBER";

#[tokio::test(flavor = "multi_thread")]
async fn a_member_whose_name_another_takes_learns_that_it_is_out_and_may_come_back() {
    let place = Place::new();
    let log = place.log(2).await.unwrap();
    let first = log.join("folds", Topic::Events, "twin").await.unwrap();
    let mut owned = first.owned();
    within(owned.wait_for(|owned| owned.len() == 2)).await.unwrap();
    let second = log.join("folds", Topic::Events, "twin").await.unwrap();
    within(second.owned().wait_for(|owned| owned.len() == 2)).await.unwrap();
    within(async { while owned.changed().await.is_ok() {} }).await;
    assert!(owned.borrow().is_empty(), "who is out owns nothing");
    within(second.leave()).await;
    let again = log.join("folds", Topic::Events, "twin").await.unwrap();
    within(again.owned().wait_for(|owned| owned.len() == 2)).await.unwrap();
    within(again.leave()).await;
    place.remove().await;
}

/// Not a test of its own: the process that `a_killed_members_partitions_move_on_within_ten_seconds` kills.
#[tokio::test(flavor = "multi_thread")]
async fn child_that_stays_a_member_until_it_is_killed() {
    #[expect(
        clippy::disallowed_methods,
        reason = "tells the child process of a test from a run of all tests"
    )]
    let Ok(prefix) = std::env::var(CHILD) else { return };
    let log = KafkaLog::connect(&config(), &prefix, 4).await.unwrap();
    let member = log.join("folds", Topic::Events, "child").await.unwrap();
    member.owned().wait_for(|owned| owned.len() == 2).await.unwrap();
    std::io::Write::write_all(&mut std::io::stdout().lock(), b"member\n").unwrap();
    std::future::pending().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_members_partitions_move_on_within_ten_seconds() {
    let place = Place::new();
    let log = place.log(4).await.unwrap();
    let member = log.join("folds", Topic::Events, "survivor").await.unwrap();
    within(member.owned().wait_for(|owned| owned.len() == 4)).await.unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kafka_log::child_that_stays_a_member_until_it_is_killed", "--nocapture"])
        .env(CHILD, &place.prefix)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let said = tokio::task::spawn_blocking(|| {
        stdout.lines().map_while(Result::ok).any(|line| line.ends_with("member"))
    });
    assert!(within(said).await.unwrap(), "the child has joined");
    within(member.owned().wait_for(|owned| owned.len() == 2)).await.unwrap();
    let began = Instant::now();
    child.kill().unwrap();
    child.wait().unwrap();
    within(member.owned().wait_for(|owned| owned.len() == 4)).await.unwrap();
    let took = began.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
    within(member.leave()).await;
    place.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_comes_back_in_time_keeps_its_partitions() {
    let place = Place::new();
    let log = place.log(4).await.unwrap();
    let stays = log.join("folds", Topic::Events, "stays").await.unwrap();
    within(stays.owned().wait_for(|owned| owned.len() == 4)).await.unwrap();
    let goes = log.join("folds", Topic::Events, "goes").await.unwrap();
    let owned = within(goes.owned().wait_for(|owned| owned.len() == 2)).await.unwrap().clone();
    within(stays.owned().wait_for(|owned| owned.len() == 2)).await.unwrap();
    // As if the process had been killed: no word to the group.
    drop(goes);
    let back = log.join("folds", Topic::Events, "goes").await.unwrap();
    let again = within(back.owned().wait_for(|owned| owned.len() == 2)).await.unwrap().clone();
    assert_eq!(again, owned);
    within(back.leave()).await;
    within(stays.leave()).await;
    place.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_gives_what_was_not_committed_again() {
    let place = Place::new();
    let topic = place.create("clicks", 3, &[]).await;
    let producer = foreign_producer(&[]);
    for i in 0..300 {
        let (key, value) = (format!("{}", i % 7), format!("{i}"));
        let record = FutureRecord::to(&topic).key(&key).payload(&value).timestamp(1_700_000_000_000 + i);
        producer.send(record, PATIENCE).await.unwrap();
    }
    foreign_send(&producer, &topic, None, None).await;
    let group = format!("{}.importer", place.prefix);
    let mut source = KafkaSource::subscribe(&config(), &topic, &group).await.unwrap();
    let first = take(&mut source, 100).await;
    assert_eq!(first.len(), 100);
    source.commit().await.unwrap();
    let lost = take(&mut source, 50).await;
    drop(source);

    let mut source = KafkaSource::subscribe(&config(), &topic, &group).await.unwrap();
    let rest = take(&mut source, 201).await;
    let place_of = |record: &SourceRecord| (record.partition, record.offset);
    let all = first.iter().chain(&rest).map(place_of).collect::<BTreeSet<_>>();
    assert_eq!(all.len(), 301, "from the oldest record on, none left out, none committed given again");
    assert!(lost.iter().all(|record| rest.contains(record)));
    let tombstone = first.iter().chain(&rest).find(|record| record.value.is_none()).unwrap();
    assert_eq!(tombstone.key, None);
    let tenth = first.iter().chain(&rest).find(|r| r.value.as_deref() == Some(b"10")).unwrap();
    assert_eq!((tenth.key.clone(), tenth.timestamp.as_millis()), (Some(Bytes::from("3")), 1_700_000_000_010));
    assert_eq!(source.next(10, Duration::from_millis(200)).await.unwrap(), []);
    source.commit().await.unwrap();
    drop(source);

    let missing = KafkaSource::subscribe(&config(), &format!("{topic}-not"), &group).await;
    let message = missing.err().expect("a topic that is not there").to_string();
    assert!(message.contains("-not cannot be read"), "{message}");
    place.remove().await;
}
