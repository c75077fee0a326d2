//! Kafka for tests: the shared broker with topics of one's own.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
};
use waggle_model::Timestamp;
use waggle_stores::{KafkaConfig, KafkaLog, KafkaSource, LogError, SourceRecord, Topic};

/// Long enough for any machine, short enough that a hang fails a run.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What `cargo xtask services` says about the broker.
pub(crate) fn variable(name: &str) -> String {
    #[expect(clippy::disallowed_methods, reason = "says where the services for the tests are")]
    std::env::var(name).unwrap_or_else(|_| {
        panic!(
            "{name} is not set: run `cargo xtask test`, or `cargo xtask services up` and source the file it names"
        )
    })
}

/// The brokers that the tests run on.
pub(crate) fn brokers() -> String {
    variable("WAGGLE_TEST_KAFKA")
}

pub(crate) fn config() -> KafkaConfig {
    KafkaConfig { brokers: brokers(), replication_factor: 1, ..KafkaConfig::default() }
}

pub(crate) fn admin() -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", brokers()).create().unwrap()
}

/// Topics of one test's own.
pub(crate) struct Place {
    pub(crate) prefix: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let now = Timestamp::now().as_millis();
        let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Self { prefix: format!("test-{now}-{process}-{count}") }
    }

    pub(crate) async fn log(&self, n_partitions: u32) -> Result<KafkaLog, LogError> {
        KafkaLog::connect(&config(), &self.prefix, n_partitions).await
    }

    pub(crate) fn name(&self, topic: Topic) -> String {
        format!("{}.{}", self.prefix, topic.as_str())
    }

    pub(crate) async fn create(&self, topic: &str, n_partitions: i32, settings: &[(&str, &str)]) -> String {
        let name = format!("{}.{topic}", self.prefix);
        let mut new = NewTopic::new(&name, n_partitions, TopicReplication::Fixed(1));
        for (key, value) in settings {
            new = new.set(key, value);
        }
        for result in admin().create_topics([&new], &AdminOptions::new()).await.unwrap() {
            result.unwrap();
        }
        name
    }

    /// Removes whatever topics the test has made.
    pub(crate) async fn remove(self) {
        let client =
            ClientConfig::new().set("bootstrap.servers", brokers()).create::<BaseConsumer>().unwrap();
        let metadata = client.fetch_metadata(None, PATIENCE).unwrap();
        let of_this_test = metadata
            .topics()
            .iter()
            .map(|topic| topic.name())
            .filter(|name| name.strip_prefix(&self.prefix).is_some_and(|rest| rest.starts_with('.')));
        let names = of_this_test.collect::<Vec<_>>();
        for result in admin().delete_topics(&names, &AdminOptions::new()).await.unwrap() {
            result.unwrap();
        }
    }
}

/// The start is refused with a message that says `expected`.
#[track_caller]
pub(crate) fn check_refused(connected: Result<KafkaLog, LogError>, expected: &str) {
    let message = connected.expect_err("connecting is refused").to_string();
    assert!(message.contains(expected), "{message}");
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("in time")
}

pub(crate) async fn take(source: &mut KafkaSource, n: usize) -> Vec<SourceRecord> {
    let mut records = Vec::new();
    while records.len() < n {
        let more = within(source.next(n - records.len(), PATIENCE)).await.unwrap();
        records.extend(more);
    }
    records
}
