//! Topics that others fill, on a real broker.

use std::{
    process::Stdio,
    sync::atomic::{AtomicU64, Ordering},
};

use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    producer::{FutureProducer, FutureRecord},
};
use waggle_ingest_role::{
    follower::{Intake, follow},
    mapping::Mapping,
};
use waggle_stores::{KafkaConfig, KafkaLog, KafkaSource};

use super::*;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const N_SOURCE_PARTITIONS: i32 = 2;

fn brokers() -> String {
    #[expect(clippy::disallowed_methods, reason = "says where the services for the tests are")]
    std::env::var("WAGGLE_TEST_KAFKA").unwrap_or_else(|_| {
        panic!(
            "WAGGLE_TEST_KAFKA is not set: run `cargo xtask test`, or `cargo xtask services up` and source the file \
             it names"
        )
    })
}

fn admin() -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", brokers()).create().unwrap()
}

/// A clickstream topic and a log of its own.
struct Place {
    kafka: KafkaConfig,
    /// Of the log, and the source's name.
    prefix: String,
    log: Arc<KafkaLog>,
}

impl Place {
    async fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let (now, process) = (Timestamp::now().as_millis(), std::process::id());
        let prefix = format!("test-ingest-{now}-{process}-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let kafka = KafkaConfig { brokers: brokers(), replication_factor: 1, ..KafkaConfig::default() };
        let log = Arc::new(KafkaLog::connect(&kafka, &prefix, N_PARTITIONS).await.unwrap());
        let place = Self { kafka, prefix, log };
        let source = NewTopic::new(&place.prefix, N_SOURCE_PARTITIONS, TopicReplication::Fixed(1));
        let source = source.set("max.message.bytes", "12000000");
        admin().create_topics(&[source], &AdminOptions::new()).await.unwrap();
        place
    }

    fn mapping(&self) -> Mapping {
        let config = json!({
            "topic": self.prefix,
            "group": self.prefix,
            "time": "unix_ms",
            "fields": { "type": "event", "user_id": "@key", "item_id": "product.sku", "timestamp": "ts" },
            "types": { "page_view": "view" },
        });
        Mapping::try_new(serde_json::from_value(config).unwrap()).unwrap()
    }

    fn intake(&self) -> Intake {
        let service = Arc::new(IngestService::new(self.log.clone(), IngestConfig::default()));
        Intake::new(service, self.log.clone(), self.mapping())
    }

    /// Returns when the topic of the log holds `n` records.
    async fn records(&self, topic: Topic, n: usize) -> Vec<LogRecord> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let records = all_records(&*self.log, topic).await;
            if records.len() >= n {
                return records;
            }
            assert!(tokio::time::Instant::now() < deadline, "{} of {n} records arrived", records.len());
            let waits = (0..N_PARTITIONS).map(|partition| async move {
                let end = self.log.end(topic, partition).await.unwrap();
                self.log.wait(topic, partition, end, Duration::from_secs(1)).await.unwrap();
            });
            futures::future::select_all(waits.map(Box::pin)).await;
        }
    }

    /// By event id, with how often the log holds each.
    async fn ids(&self, n: usize) -> std::collections::BTreeMap<String, usize> {
        let mut ids = std::collections::BTreeMap::new();
        for record in self.records(Topic::Events, n).await {
            let id = decode_event(&record.value).unwrap().event_id.unwrap();
            *ids.entry(id.to_string()).or_default() += 1;
        }
        ids
    }

    async fn remove(self) {
        self.log.close().await;
        let names = Topic::ALL.map(|topic| format!("{}.{}", self.prefix, topic.as_str()));
        let names: Vec<_> = names.iter().map(String::as_str).chain([self.prefix.as_str()]).collect();
        admin().delete_topics(&names, &AdminOptions::new()).await.unwrap();
    }
}

fn click(sku: usize) -> String {
    json!({ "event": "page_view", "product": { "sku": sku }, "ts": Timestamp::now().as_millis() }).to_string()
}

/// Another client entirely, which compresses as it likes.
async fn kcat(topic: &str, codec: &str, lines: &str) {
    use tokio::io::AsyncWriteExt;
    let brokers = brokers();
    let mut kcat = tokio::process::Command::new("kcat")
        .args(["-P", "-b", &brokers, "-t", topic, "-K", "|", "-z", codec])
        .stdin(Stdio::piped())
        .spawn()
        .expect("kcat is installed (Debian: kcat)");
    let mut input = kcat.stdin.take().unwrap();
    input.write_all(lines.as_bytes()).await.unwrap();
    drop(input);
    assert!(kcat.wait().await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_foreign_clients_write_becomes_events_and_poison_becomes_dead_letters() {
    let place = Place::new().await;
    let shutdown = CancellationToken::new();
    let following = tokio::spawn(follow(place.intake(), place.kafka.clone(), shutdown.clone()));

    for (place_of, codec) in ["none", "gzip", "snappy", "lz4", "zstd"].into_iter().enumerate() {
        let users = 10 * place_of..10 * (place_of + 1);
        let lines: String = users.map(|n| format!("user-{n}|{}\n", click(n))).collect();
        kcat(&place.prefix, codec, &lines).await;
    }
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers())
        .set("message.max.bytes", "12000000")
        .create()
        .unwrap();
    let large = vec![b'x'; 10 << 20];
    let bad_time = json!({ "event": "view", "product": { "sku": 1 }, "ts": "soon" }).to_string();
    type Part<'a> = Option<&'a [u8]>;
    let huge_key = vec![b'k'; 2 << 20];
    let poison: [(Part<'_>, Part<'_>); 8] = [
        (Some(b"u"), Some(b"not json")),
        (Some(b"u"), Some(&[0x01, 0x81, 0xff])),
        (Some(b"u"), Some(&large)),
        (Some(b""), Some(br#"{"event":"page_view","product":{"sku":1}}"#)),
        (Some(b"u"), None),
        (None, None),
        (Some(b"u"), Some(bad_time.as_bytes())),
        (Some(&huge_key), Some(br#"{"event":"page_view","product":{"sku":1}}"#)),
    ];
    for (key, value) in poison {
        let mut record = FutureRecord::<[u8], [u8]>::to(&place.prefix).partition(0);
        (record.key, record.payload) = (key, value);
        producer.send(record, PATIENCE).await.unwrap();
    }
    // Behind all of them, in the same partition.
    let last = click(99);
    let record = FutureRecord::to(&place.prefix).partition(0).key("user-99").payload(&last);
    producer.send(record, PATIENCE).await.unwrap();

    let ids = place.ids(51).await;
    assert_eq!((ids.len(), ids.values().sum::<usize>()), (51, 51));
    let letters = place.records(Topic::DeadLetters, 8).await;
    let mut reasons: Vec<_> =
        letters.iter().map(|record| DeadLetter::decode(&record.value).unwrap().reason).collect();
    reasons.sort();
    for (reason, expected) in reasons.iter().zip([
        "neither user_id",
        "not JSON",
        "not JSON",
        "the record has 10485760 bytes",
        "the record has no value",
        "the record has no value",
        "timestamp is \"soon\"",
        "user_id has 2097152 bytes",
    ]) {
        assert!(reason.starts_with(expected), "{reasons:?}");
    }
    shutdown.cancel();
    following.await.unwrap();
    place.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_ended_between_append_and_commit_leaves_nothing_out_and_nothing_new_behind() {
    let place = Place::new().await;
    let lines: String = (0..100).map(|n| format!("user-{n}|{}\n", click(n))).collect();
    kcat(&place.prefix, "none", &lines).await;

    // It appends what it read, and is gone before it can commit.
    let mut source = KafkaSource::subscribe(&place.kafka, &place.prefix, &place.prefix).await.unwrap();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let mut taken_in = 0;
    while taken_in < 60 {
        assert!(tokio::time::Instant::now() < deadline, "the source gave {taken_in} records");
        let records = source.next(30, Duration::from_secs(1)).await.unwrap();
        taken_in += place.intake().take_in(&records, Timestamp::now()).await.unwrap().taken_in;
    }
    drop(source);

    // Its successor, in a process that remembers nothing, reads them again.
    let shutdown = CancellationToken::new();
    let following = tokio::spawn(follow(place.intake(), place.kafka.clone(), shutdown.clone()));
    let ids = place.ids(100 + taken_in).await;
    assert_eq!(ids.len(), 100, "nothing is lost");
    assert_eq!(
        ids.values().filter(|n| **n == 2).count(),
        taken_in,
        "repeated under the same id, so it counts once"
    );
    shutdown.cancel();
    following.await.unwrap();

    // What was committed stays so: the next one starts behind it.
    kcat(&place.prefix, "none", &format!("user-1|{}\n", click(7))).await;
    let shutdown = CancellationToken::new();
    let following = tokio::spawn(follow(place.intake(), place.kafka.clone(), shutdown.clone()));
    let ids = place.ids(101 + taken_in).await;
    assert_eq!((ids.len(), ids.values().sum::<usize>()), (101, 101 + taken_in));
    shutdown.cancel();
    following.await.unwrap();
    place.remove().await;
}
