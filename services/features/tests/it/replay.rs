//! The past once more, when retention has taken part of it from the log.

use std::sync::Arc;

use waggle_features_role::{
    Archiver, ArchiverConfig, FoldError,
    position::Position,
    replay::{Past, ReplayError, replay},
};
use waggle_model::EventBody;
use waggle_stores::{
    ArchiveReader, Artifacts, Database, EventLog, KafkaLog, MemoryState, NewRecord, StateStore, Topic,
};

use crate::{
    services::{N_PARTITIONS, Place, Replica, append, assert_same, undisturbed},
    support::{PATIENCE, market},
};

struct Trimmed {
    place: Place,
    log: Arc<KafkaLog>,
    _dir: tempfile::TempDir,
    archiver: Arc<Archiver>,
    archive: ArchiveReader,
}

impl Trimmed {
    /// A market nobody was erased from, with a record among its events that is none.
    async fn new() -> Self {
        let place = Place::new();
        let log = place.log().await;
        let mut events = market(4_000);
        events.retain(|event| event.body != EventBody::Erasure);
        let (early, late) = events.split_at(2_500);
        append(&*log, early).await;
        log.append(Topic::Events, vec![NewRecord { key: "user-1".into(), value: "not an event".into() }])
            .await
            .unwrap();
        append(&*log, late).await;
        let dir = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::open_local(dir.path().join("artifacts"), 1 << 30).await.unwrap();
        let database = Arc::new(Database::open(dir.path().join("waggle.db")).await.unwrap());
        let archive = ArchiveReader::new(artifacts.clone(), database.clone(), Topic::Events);
        let config = ArchiverConfig { batch_records: 300, ..ArchiverConfig::default() };
        let archiver = Archiver::new(log.clone(), &artifacts, database, config, "alone");
        Self { place, log, _dir: dir, archiver, archive }
    }

    async fn ends(&self) -> Vec<u64> {
        let mut ends = Vec::new();
        for partition in 0..N_PARTITIONS {
            ends.push(self.log.end(Topic::Events, partition).await.unwrap());
        }
        ends
    }

    async fn replayed(&self, partition: u32, state: &dyn StateStore) -> Result<Position, ReplayError> {
        let past = Past { log: &*self.log, archive: &self.archive };
        let mut position = Position::load(state, partition, N_PARTITIONS).await?;
        position.adopt(Default::default());
        let until = self.log.end(Topic::Events, partition).await?;
        replay(past, state, position, until, |_| {}).await
    }

    async fn assert_replays_to(&self, original: &dyn StateStore) {
        let again = MemoryState::in_memory(N_PARTITIONS);
        for (partition, end) in (0..).zip(self.ends().await) {
            let position = self.replayed(partition, &again).await.unwrap();
            assert_eq!(position.applied.offset, end);
        }
        assert_same(original, &again).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_retention_took_from_the_log_is_folded_from_the_archive() {
    let past = Trimmed::new().await;
    past.archiver.flush().await.unwrap();
    let original = undisturbed(past.log.clone()).await;

    let ends = past.ends().await;
    past.place.trim(&ends.iter().map(|end| end / 2).collect::<Vec<_>>()).await;
    past.assert_replays_to(&*original).await;

    past.place.trim(&ends).await;
    past.assert_replays_to(&*original).await;
    past.place.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_neither_log_nor_archive_holds_is_named_and_not_passed_over() {
    let past = Trimmed::new().await;
    past.archiver.flush().await.unwrap();
    append(&*past.log, &market(500)).await;
    let ends = past.ends().await;
    past.place.trim(&ends).await;
    let gone = past.replayed(3, &MemoryState::in_memory(N_PARTITIONS)).await.unwrap_err();
    let ReplayError::Gone { partition: 3, from: 0, to, archived_from: 0, archived_to } = gone else {
        panic!("{gone}")
    };
    assert!(to == ends[3] && archived_to < to, "{gone}");

    let late = Replica::start(past.log.clone(), Arc::new(MemoryState::in_memory(N_PARTITIONS)), "late");
    let refused = tokio::time::timeout(PATIENCE, late.task).await.unwrap().unwrap().unwrap_err();
    assert!(matches!(refused, FoldError::Trimmed { applied: 0, .. }), "{refused}");
    assert!(refused.to_string().contains("waggle replay"), "{refused}");
    past.place.remove().await;
}
