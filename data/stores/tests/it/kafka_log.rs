//! The log on Kafka: its contract on a real broker, and what only Kafka does.

use std::sync::{Arc, atomic::AtomicU64, atomic::Ordering};

use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions},
};
use waggle_stores::{EventLog, KafkaConfig, KafkaLog, LogError, Topic};

use crate::contract::log::{closing_ends_everything, event_log_contract};

/// The brokers that the tests run on.
fn brokers() -> String {
    #[expect(clippy::disallowed_methods, reason = "says where the services for the tests are")]
    std::env::var("WAGGLE_TEST_KAFKA").unwrap_or_else(|_| {
        panic!(
            "WAGGLE_TEST_KAFKA is not set: run `cargo xtask test`, or `cargo xtask services up` and source the file \
             it names"
        )
    })
}

fn config() -> KafkaConfig {
    KafkaConfig { brokers: brokers(), replication_factor: 1, ..KafkaConfig::default() }
}

/// Topics of one test's own.
struct Place {
    prefix: String,
}

impl Place {
    fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let now = waggle_model::Timestamp::now().as_millis();
        let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Self { prefix: format!("test-{now}-{process}-{count}") }
    }

    async fn log(&self, n_partitions: u32) -> Result<KafkaLog, LogError> {
        KafkaLog::connect(&config(), &self.prefix, n_partitions).await
    }

    fn name(&self, topic: Topic) -> String {
        format!("{}.{}", self.prefix, topic.as_str())
    }

    async fn remove(self) {
        let names = Topic::ALL.map(|topic| self.name(topic));
        let names = names.iter().map(String::as_str).collect::<Vec<_>>();
        admin().delete_topics(&names, &AdminOptions::new()).await.unwrap();
    }
}

fn admin() -> AdminClient<rdkafka::client::DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", brokers()).create().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_keeps_the_contract() {
    let place = Place::new();
    let log = Arc::new(place.log(4).await.unwrap());
    event_log_contract(Arc::clone(&log) as Arc<dyn EventLog>).await;
    closing_ends_everything(log).await;
    place.remove().await;
}
