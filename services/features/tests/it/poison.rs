//! What a stranger writes into our own topics, on a real Kafka.

use std::{collections::BTreeMap, sync::Arc};

use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier},
    client::DefaultClientContext,
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
};
use tokio_util::sync::CancellationToken;
use waggle_features::Admission;
use waggle_features_role::{Archiver, ArchiverConfig};
use waggle_model::{
    DeadLetter, DeadLetterOrigin, Event, EventBody, Interaction, InteractionKind, Person, Placement,
    Timestamp, encode_event, partition_of,
};
use waggle_stores::{ArchiveReader, Artifacts, Database, EventLog, KafkaLog, StateStore, Topic};

use crate::{
    services::*,
    support::{PATIENCE, event, item, purchase, user, with_id},
};

/// What only a topic that somebody has set up differently takes.
const LARGEST: &str = "12000000";

/// A record as a stranger may send it, and what has to become of it.
struct Poison {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    /// What the dead letter says; `None` for what is an event after all.
    reason: Option<&'static str>,
}

fn poison(key: &[u8], value: &[u8], reason: &'static str) -> Poison {
    Poison { key: Some(key.to_vec()), value: Some(value.to_vec()), reason: Some(reason) }
}

fn noise(n: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let mut bytes: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(n)
    .collect();
    bytes[0] = 1;
    bytes
}

/// Everything that came to mind, for the partition in which `anna` lives and `bert` does not.
fn everything_bad() -> Vec<Poison> {
    let annas = |change: fn(&mut Interaction)| {
        let mut act = Interaction::new(InteractionKind::Purchase, item("lamp"));
        change(&mut act);
        encode_event(&event(user("anna"), 5, EventBody::Interaction(act)))
    };
    let fits = with_id(purchase(user("anna"), 6, "sofa"), "once");
    let nobodys = Event { person: Person::default(), ..purchase(user("anna"), 7, "lamp") };
    let timed = |millis| {
        encode_event(&Event {
            timestamp: Timestamp::from_millis(millis),
            ..purchase(user("anna"), 0, "lamp")
        })
    };
    let json = br#"{"type":"purchase","user_id":"anna","item_id":"lamp"}"#;
    vec![
        poison(b"anna", b"\x01not MessagePack", "record does not decode as an event"),
        poison(b"anna", json, "record has schema version 123, this build reads 1"),
        poison(b"anna", &[&[9], &encode_event(&fits)[1..]].concat(), "record has schema version 9"),
        poison(b"anna", b"", "record is empty"),
        Poison { key: Some(b"anna".to_vec()), value: None, reason: Some("record is empty") },
        Poison { key: None, value: None, reason: Some("record is empty") },
        poison(b"", b"\xff", "record has schema version 255"),
        poison(b"anna", &noise(900_000), "record does not decode as an event"),
        poison(b"anna", &noise(10 << 20), "record has 10485760 bytes, at most 1048576 are allowed"),
        poison(&noise(2 << 20), b"?", "record has schema version 63"),
        poison(
            b"bert",
            &encode_event(&with_id(purchase(user("bert"), 8, "lamp"), "once")),
            "its person belongs to",
        ),
        poison(b"anna", &encode_event(&nobodys), "neither user_id nor session_id is given"),
        poison(b"anna", &annas(|act| act.price = Some(f64::NAN)), "price is not a finite number"),
        poison(
            b"anna",
            &annas(|act| act.placement = Some(Placement::from("x".repeat(900_000)))),
            "placement must",
        ),
        poison(b"anna", &timed(i64::MAX), "timestamp 9223372036854775807 is not within the years 0 to 9999"),
        poison(b"anna", &timed(i64::MIN), "timestamp -9223372036854775808 is not within the years 0 to 9999"),
        // In the right partition, whatever its key says; the event with the same id before it was none.
        Poison { key: Some(Vec::new()), value: Some(encode_event(&fits)), reason: None },
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_stranger_writes_into_the_events_is_set_aside_once_and_the_partition_flows_on() {
    let place = Place::new();
    let (log, state) = (place.log().await, place.state().await);
    let topic = format!("{}.{}", place.prefix, Topic::Events.as_str());
    let home = partition_of(b"anna", N_PARTITIONS);
    assert_ne!(home, partition_of(b"bert", N_PARTITIONS));
    take_large_records(&place.brokers, &topic).await;
    let archive = Archive::start(log.clone()).await;
    let replica = Replica::start(place.log().await, place.state().await, "alone");

    append(&*log, &[purchase(user("anna"), 0, "lamp")]).await;
    let all = everything_bad();
    for record in &all {
        send(&place.brokers, &topic, home, record).await;
    }
    append(&*log, &[purchase(user("anna"), 9, "lamp"), purchase(user("bert"), 9, "lamp")]).await;
    assert!(replica.progress.wait_until_caught_up(PATIENCE).await.unwrap());
    replica.stop().await.unwrap();

    // Each once, in its order, with its place, its reason, and what there was of it.
    let bad = (1..).zip(&all).filter_map(|(offset, record)| Some((offset, record, record.reason?)));
    let letters = letters(&log).await;
    assert_eq!(letters.len(), bad.clone().count());
    for (letter, (offset, record, reason)) in letters.iter().zip(bad) {
        let origin = DeadLetterOrigin::Log { topic: "events".to_owned(), partition: home, offset };
        assert_eq!(letter.origin, origin);
        assert!(letter.reason.starts_with(reason), "{}: {reason}", letter.reason);
        let value = record.value.as_deref().unwrap_or_default();
        assert!(value.starts_with(&letter.payload));
        assert_eq!(letter.is_truncated, letter.payload.len() < value.len());
        assert!(letter.payload.len() == value.len().min(256 << 10));
    }

    // The archive holds what the fold has counted, and so does a second fold.
    let admitted = archive.admitted(&log).await;
    let mut counted = BTreeMap::new();
    for event in &admitted {
        *counted.entry(event.person.user_id.clone().unwrap().to_string()).or_insert(0) += 1;
    }
    assert_eq!(counted, [("anna".to_owned(), 3), ("bert".to_owned(), 1)].into());
    let again = undisturbed(log.clone()).await;
    assert!(everything(&*state).await == everything(&*again).await, "a replay decides otherwise");
    assert_eq!(state.applied(home).await.unwrap().offset, all.len() as u64 + 2);

    archive.stop().await;
    place.remove().await;
}

async fn letters(log: &KafkaLog) -> Vec<DeadLetter> {
    let mut letters = Vec::new();
    for partition in 0..N_PARTITIONS {
        let records = log.read(Topic::DeadLetters, partition, 0, 1_000).await.unwrap();
        letters.extend(records.iter().map(|record| DeadLetter::decode(&record.value).unwrap()));
    }
    letters
}

async fn take_large_records(brokers: &str, topic: &str) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap();
    let change = AlterConfig::new(ResourceSpecifier::Topic(topic)).set("max.message.bytes", LARGEST);
    for changed in admin.alter_configs([&change], &AdminOptions::new()).await.unwrap() {
        changed.unwrap();
    }
}

/// As another program would send it.
async fn send(brokers: &str, topic: &str, partition: u32, record: &Poison) {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("message.max.bytes", LARGEST)
        .create()
        .unwrap();
    let not_a_time = Header { key: "event_time", value: Some("soon") };
    let mut message = FutureRecord::<[u8], [u8]>::to(topic)
        .partition(partition.cast_signed())
        .headers(OwnedHeaders::new().insert(not_a_time));
    message.key = record.key.as_deref();
    message.payload = record.value.as_deref();
    producer.send(message, PATIENCE).await.unwrap();
}

/// A running archiver.
struct Archive {
    artifacts: Artifacts,
    database: Arc<Database>,
    shutdown: CancellationToken,
    running: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Archive {
    async fn start(log: Arc<KafkaLog>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::open_local(folder.path().join("artifacts"), 1 << 30).await.unwrap();
        let database = Arc::new(Database::open(folder.path().join("waggle.db")).await.unwrap());
        let config = ArchiverConfig { batch_records: 4, max_age_s: 1, ..ArchiverConfig::default() };
        let archiver = Archiver::new(log, &artifacts, database.clone(), config, "alone");
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(archiver.run(shutdown.clone()));
        Self { artifacts, database, shutdown, running, _folder: folder }
    }

    /// Everything that counts of what the log holds now.
    async fn admitted(&self, log: &KafkaLog) -> Vec<Event> {
        for partition in 0..N_PARTITIONS {
            let end = log.end(Topic::Events, partition).await.unwrap();
            eventually("the archive has the log", async || {
                self.database.archive_offset(Topic::Events, partition).await.unwrap() == end
            })
            .await;
        }
        let reader = ArchiveReader::new(self.artifacts.clone(), self.database.clone(), Topic::Events);
        let always = Timestamp::from_millis(i64::MIN)..Timestamp::from_millis(i64::MAX);
        let mut archived = reader.events(always).await.unwrap().collect().await.unwrap();
        archived.sort_unstable_by_key(|(position, _)| *position);
        let mut admission = Admission::new(N_PARTITIONS);
        archived.retain(|(position, event)| admission.admits(position.partition, position.offset, event));
        archived.into_iter().map(|(_, event)| event).collect()
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.running.await.unwrap();
    }
}
