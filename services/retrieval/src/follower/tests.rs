use bytes::Bytes;
use waggle_contracts::Ingest;
use waggle_ingest_role::{IngestConfig, IngestService};
use waggle_model::{Item, ItemId};
use waggle_stores::{NewRecord, SqliteLog, SqliteLogOptions};

use super::*;
use crate::lexical::SearchQuery;

const PATIENCE: Duration = Duration::from_secs(30);

struct World {
    log: Arc<SqliteLog>,
    ingest: IngestService,
    _dir: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = SqliteLogOptions { n_partitions: 2, max_bytes: None };
        let log = Arc::new(SqliteLog::open(dir.path().join("log.db"), options).await.unwrap());
        Self { ingest: IngestService::new(log.clone(), IngestConfig::default()), log, _dir: dir }
    }

    fn follower(&self) -> Arc<Follower> {
        let lexical = Arc::new(LexicalIndex::try_new().unwrap());
        Arc::new(Follower::new(self.log.clone(), Arc::new(ItemTable::default()), lexical))
    }

    async fn put(&self, id: &str, title: &str) {
        let item = Item::new(ItemId::try_new(id).unwrap(), title);
        self.ingest.change_catalog(vec![CatalogChange::Put(item)]).await.unwrap();
    }

    async fn delete(&self, id: &str) {
        self.ingest.change_catalog(vec![CatalogChange::Delete(ItemId::try_new(id).unwrap())]).await.unwrap();
    }
}

fn n_found(follower: &Follower, text: &str) -> usize {
    let entries = follower.table.load();
    let query = SearchQuery { text, completes: false };
    follower.lexical.search(query, |slot| entries.offered().has(slot.place())).unwrap().hits.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_topic_holds_is_there_after_catching_up() {
    let world = World::new().await;
    for n in 0..10 {
        world.put(&format!("item-{n}"), "lamp").await;
    }
    world.put("item-3", "sofa").await;
    world.delete("item-4").await;
    let unreadable = NewRecord { key: Bytes::from_static(b"item-5"), value: Bytes::from_static(b"no event") };
    world.log.append(Topic::Catalog, vec![unreadable]).await.unwrap();
    let follower = world.follower();
    let offsets = follower.catch_up().await.unwrap();
    assert_eq!(offsets.iter().sum::<u64>(), 13);
    assert_eq!(*follower.applied().borrow(), 13);
    assert_eq!(follower.table.load().len(), 9);
    assert_eq!((n_found(&follower, "lamp"), n_found(&follower, "sofa")), (8, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_later_is_followed_until_cancelled() {
    let world = World::new().await;
    world.put("old", "lamp").await;
    let follower = world.follower();
    let offsets = follower.catch_up().await.unwrap();
    let cancel = CancellationToken::new();
    let tasks: Vec<_> = (0..)
        .zip(offsets)
        .map(|(partition, offset)| tokio::spawn(follower.clone().run(partition, offset, cancel.clone())))
        .collect();
    world.put("new", "sofa").await;
    world.delete("old").await;
    let mut applied = follower.applied();
    tokio::time::timeout(PATIENCE, applied.wait_for(|n| *n == 3)).await.unwrap().unwrap();
    assert_eq!((n_found(&follower, "lamp"), n_found(&follower, "sofa")), (0, 1));
    cancel.cancel();
    for task in tasks {
        tokio::time::timeout(PATIENCE, task).await.unwrap().unwrap();
    }
}
