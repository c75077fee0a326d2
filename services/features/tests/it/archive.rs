use std::{sync::Arc, time::Duration};

use waggle_features_role::{Archiver, ArchiverConfig, upkeep::round};
use waggle_model::{Event, EventBody, Timestamp};
use waggle_stores::{ArchiveReader, Artifacts, Database, EventLog, Topic};

use crate::support::*;

struct Archive {
    artifacts: Artifacts,
    database: Arc<Database>,
}

impl Archive {
    async fn open(world: &World) -> Self {
        let artifacts = Artifacts::open_local(world.dir.path().join("artifacts"), 1 << 30).await.unwrap();
        let database = Arc::new(Database::open(world.dir.path().join("waggle.db")).await.unwrap());
        Self { artifacts, database }
    }

    fn archiver(&self, world: &World, batch_records: usize) -> Arc<Archiver> {
        let config = ArchiverConfig { batch_records, max_age_s: 3_600, ..ArchiverConfig::default() };
        Archiver::new(world.log.clone(), &self.artifacts, self.database.clone(), config, "alone")
    }

    async fn events(&self) -> Vec<Event> {
        let reader = ArchiveReader::new(self.artifacts.clone(), self.database.clone(), Topic::Events);
        let all = Timestamp::from_millis(i64::MIN)..Timestamp::from_millis(i64::MAX);
        let events = reader.events(all).await.unwrap().collect().await.unwrap();
        events.into_iter().map(|(_, event)| event).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_flush_the_archive_holds_the_whole_log_once() {
    let world = World::new().await;
    let archive = Archive::open(&world).await;
    let events: Vec<_> = (0..500).map(|n| purchase(user(&format!("user-{n}")), n, "lamp")).collect();
    world.append(&events[..300]).await;
    let archiver = archive.archiver(&world, 64);
    assert_eq!(archiver.flush().await.unwrap(), 300);
    assert_eq!(archiver.flush().await.unwrap(), 0);
    world.append(&events[300..]).await;
    // Another process goes on where the manifest ends.
    assert_eq!(archive.archiver(&world, 1_000).flush().await.unwrap(), 200);
    assert_eq!(archive.events().await, events);
}

#[tokio::test(flavor = "multi_thread")]
async fn full_batches_are_archived_without_being_asked() {
    let world = World::new().await;
    let archive = Archive::open(&world).await;
    let archiver = archive.archiver(&world, 10);
    let shutdown = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn(Arc::clone(&archiver).run(shutdown.clone()));
    let events: Vec<_> = (0..25).map(|n| purchase(user("anna"), n, "lamp")).collect();
    world.append(&events).await;
    let partition = waggle_model::partition_of(b"anna", N_PARTITIONS);
    let reached = async {
        while archive.database.archive_offset(Topic::Events, partition).await.unwrap() < 20 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, reached).await.unwrap();
    shutdown.cancel();
    running.await.unwrap();
    assert_eq!(archive.events().await.len(), 20, "five are too few and too young");
    assert_eq!(archiver.flush().await.unwrap(), 5);
    assert_eq!(world.log.end(Topic::Events, partition).await.unwrap(), 25);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_records_are_archived_in_pieces_that_fit_the_memory() {
    let world = World::new().await;
    let archive = Archive::open(&world).await;
    // A reading takes some two thousand records, which is more than these bytes at once.
    let config = ArchiverConfig {
        batch_records: 5_000,
        batch_bytes: 1_000,
        max_age_s: 1,
        ..ArchiverConfig::default()
    };
    let archiver =
        Archiver::new(world.log.clone(), &archive.artifacts, archive.database.clone(), config, "alone");
    let events: Vec<_> = (0..4_500).map(|n| purchase(user("anna"), n, "lamp")).collect();
    world.append(&events).await;
    let shutdown = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn(Arc::clone(&archiver).run(shutdown.clone()));
    let partition = waggle_model::partition_of(b"anna", N_PARTITIONS);
    let reached = async {
        while archive.database.archive_offset(Topic::Events, partition).await.unwrap() < 4_500 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, reached).await.unwrap();
    shutdown.cancel();
    running.await.unwrap();
    let all = Timestamp::from_millis(i64::MIN)..Timestamp::from_millis(i64::MAX);
    let files = archive.database.archive_files(Topic::Events, all).await.unwrap();
    assert!(files.len() >= 3, "{} files", files.len());
    assert_eq!(archive.events().await, events);
}

#[tokio::test(flavor = "multi_thread")]
async fn upkeep_removes_what_an_erased_person_did_and_joins_small_files() {
    let world = World::new().await;
    let archive = Archive::open(&world).await;
    let archiver = archive.archiver(&world, 1_000);
    for n in 0..20 {
        world.append(&[purchase(user("anna"), n, "lamp"), purchase(user("bert"), n, "lamp")]).await;
        archiver.flush().await.unwrap();
    }
    world.append(&[event(user("anna"), 30, EventBody::Erasure)]).await;
    archiver.flush().await.unwrap();
    round(&archive.artifacts, &archive.database, Duration::ZERO).await.unwrap();
    let left = archive.events().await;
    let of = |name: &str| {
        left.iter().filter(|e| e.person == user(name) && matches!(e.body, EventBody::Interaction(_))).count()
    };
    assert_eq!((of("anna"), of("bert")), (0, 20));
    let n_files = archive.artifacts.list("archive/events").await.unwrap().len();
    assert!(n_files < 20, "{n_files} files are left of 40 batches");
}
