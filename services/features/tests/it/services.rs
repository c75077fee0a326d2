//! Kafka and Redis for one test, and consumers over them, as replicas in production are.

use std::{
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use deadpool_redis::redis::{Client, Commands};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use waggle_features_role::{ConsumerConfig, FeaturesConsumer, FoldError, Progress};
use waggle_model::{Event, encode_event};
use waggle_stores::{
    ALL_SLOTS, Applied, EventLog, KafkaConfig, KafkaLog, LogError, LogRecord, Membership, MemoryState,
    NewRecord, Position, RedisConfig, RedisState, RedisUrl, SoleMember, StateKey, StateKind, StateStore,
    Topic,
};

use crate::support::PATIENCE;

pub(crate) const N_PARTITIONS: u32 = 8;
/// Says to the process of [`groups::replica_that_is_killed`](crate::groups) where to work.
pub(crate) const REPLICA_OF: &str = "WAGGLE_TEST_REPLICA_OF";

/// Topics and keys of one test's own on the shared servers.
pub(crate) struct Place {
    pub(crate) brokers: String,
    redis: String,
    pub(crate) prefix: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self::at(format!("test-{:016x}", rand::random::<u64>()))
    }

    pub(crate) fn at(prefix: String) -> Self {
        Self { brokers: variable("WAGGLE_TEST_KAFKA"), redis: variable("WAGGLE_TEST_REDIS"), prefix }
    }

    /// A connection of its own, as every process has.
    pub(crate) async fn log(&self) -> Arc<KafkaLog> {
        let brokers = self.brokers.clone();
        let config = KafkaConfig { brokers, replication_factor: 1, ..KafkaConfig::default() };
        Arc::new(KafkaLog::connect(&config, &self.prefix, N_PARTITIONS).await.unwrap())
    }

    pub(crate) async fn state(&self) -> Arc<RedisState> {
        let config = RedisConfig { url: RedisUrl::new(&*self.redis), ..RedisConfig::default() };
        Arc::new(RedisState::connect(&config, &self.prefix, N_PARTITIONS).await.unwrap())
    }

    /// A replica in a process of its own, which can be killed.
    pub(crate) fn replica_process(&self) -> Child {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "groups::replica_that_is_killed", "--ignored"])
            .env(REPLICA_OF, &self.prefix)
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Takes the events before these offsets from the log, by partition, as retention does.
    pub(crate) async fn trim(&self, starts: &[u64]) {
        let name = format!("{}.{}", self.prefix, Topic::Events.as_str());
        let mut list = TopicPartitionList::new();
        for (partition, start) in (0..).zip(starts) {
            list.add_partition_offset(&name, partition, Offset::Offset(start.cast_signed())).unwrap();
        }
        self.admin().delete_records(&list, &AdminOptions::new()).await.unwrap();
    }

    pub(crate) async fn remove(self) {
        let topics = Topic::ALL.map(|topic| format!("{}.{}", self.prefix, topic.as_str()));
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        self.admin().delete_topics(&topics, &AdminOptions::new()).await.unwrap();
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        ClientConfig::new().set("bootstrap.servers", &self.brokers).create().unwrap()
    }
}

/// Also when the test fails, so that nothing stays behind in a server that is shared.
impl Drop for Place {
    fn drop(&mut self) {
        let Ok(mut connection) = Client::open(&*self.redis).and_then(|client| client.get_connection()) else {
            return;
        };
        let keys: Vec<String> = connection
            .scan_match(format!("*{}*", self.prefix))
            .map(|keys| keys.filter_map(Result::ok).collect())
            .unwrap_or_default();
        for keys in keys.chunks(1_000) {
            let _: Result<(), _> = connection.unlink(keys);
        }
    }
}

pub(crate) fn variable(name: &str) -> String {
    #[expect(clippy::disallowed_methods, reason = "tests learn from the environment where services are")]
    std::env::var(name).unwrap_or_else(|_| {
        panic!(
            "{name} is not set: run `cargo xtask test`, or `cargo xtask services up` and source the file it names"
        )
    })
}

/// One consumer.
pub(crate) struct Replica {
    pub(crate) progress: Arc<Progress>,
    shutdown: CancellationToken,
    pub(crate) task: JoinHandle<Result<(), FoldError>>,
}

impl Replica {
    pub(crate) fn start(log: Arc<dyn EventLog>, state: Arc<dyn StateStore>, member: &str) -> Self {
        // Small batches: a replica is killed in the middle of many.
        let config = ConsumerConfig { batch_records: 50, ..ConsumerConfig::default() };
        let consumer = FeaturesConsumer::new(log, state, config, member);
        let (progress, shutdown) = (consumer.progress(), CancellationToken::new());
        let task = tokio::spawn(consumer.run(shutdown.clone()));
        Self { progress, shutdown, task }
    }

    /// Partitions that it has come to know the state of.
    pub(crate) fn n_begun(&self) -> usize {
        (0..N_PARTITIONS).filter(|partition| self.progress.applied(*partition) > 0).count()
    }

    pub(crate) async fn stop(self) -> Result<(), FoldError> {
        self.shutdown.cancel();
        self.task.await.unwrap()
    }
}

/// A log whose groups divide nothing: every member believes to own every partition.
pub(crate) struct Undivided(pub(crate) Arc<KafkaLog>);

#[async_trait]
impl EventLog for Undivided {
    fn n_partitions(&self, topic: Topic) -> u32 {
        self.0.n_partitions(topic)
    }

    async fn append(&self, topic: Topic, records: Vec<NewRecord>) -> Result<Vec<Position>, LogError> {
        self.0.append(topic, records).await
    }

    async fn read(
        &self,
        topic: Topic,
        partition: u32,
        offset: u64,
        max: usize,
    ) -> Result<Vec<LogRecord>, LogError> {
        self.0.read(topic, partition, offset, max).await
    }

    async fn start(&self, topic: Topic, partition: u32) -> Result<u64, LogError> {
        self.0.start(topic, partition).await
    }

    async fn end(&self, topic: Topic, partition: u32) -> Result<u64, LogError> {
        self.0.end(topic, partition).await
    }

    async fn longest_kept(&self, topic: Topic) -> Result<Option<Duration>, LogError> {
        self.0.longest_kept(topic).await
    }

    async fn wait(
        &self,
        topic: Topic,
        partition: u32,
        offset: u64,
        timeout: Duration,
    ) -> Result<(), LogError> {
        self.0.wait(topic, partition, offset, timeout).await
    }

    async fn join(&self, _group: &str, topic: Topic, _member: &str) -> Result<Box<dyn Membership>, LogError> {
        Ok(Box::new(SoleMember::new(self.n_partitions(topic))))
    }

    async fn close(&self) {
        self.0.close().await;
    }
}

pub(crate) async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) async fn append(log: &dyn EventLog, events: &[Event]) {
    let records = events.iter().map(|event| NewRecord {
        key: Bytes::copy_from_slice(event.person.partition_key().unwrap().as_bytes()),
        value: encode_event(event).into(),
    });
    log.append(Topic::Events, records.collect()).await.unwrap();
}

/// The same log, folded by one consumer in peace.
pub(crate) async fn undisturbed(log: Arc<KafkaLog>) -> Arc<MemoryState> {
    let state = Arc::new(MemoryState::in_memory(N_PARTITIONS));
    let alone = Replica::start(Arc::new(Undivided(log)), state.clone(), "alone");
    assert!(alone.progress.wait_until_caught_up(PATIENCE).await.unwrap());
    alone.stop().await.unwrap();
    state
}

pub(crate) async fn assert_same(left: &dyn StateStore, right: &dyn StateStore) {
    let ((left_at, left), (right_at, right)) = (everything(left).await, everything(right).await);
    assert_eq!(left_at, right_at);
    assert!(left.len() > 300, "{} blobs", left.len());
    let different = left.iter().zip(&right).find(|(l, r)| l != r);
    assert!(left.len() == right.len() && different.is_none(), "{different:?}");
}

/// How far every partition is, and every blob in a fixed order.
pub(crate) async fn everything(state: &dyn StateStore) -> (Vec<Applied>, Vec<(StateKey, Bytes)>) {
    let (mut applied, mut all) = (Vec::new(), Vec::new());
    for partition in 0..N_PARTITIONS {
        applied.push(state.applied(partition).await.unwrap());
        for kind in [StateKind::Person, StateKind::Item, StateKind::Fold] {
            let blobs = state.scan(partition, kind, ALL_SLOTS).await.unwrap();
            all.extend(blobs.into_iter().map(|(key, blob)| (StateKey { partition, kind, key }, blob)));
        }
    }
    all.sort_by_key(|(key, _)| *key);
    (applied, all)
}
