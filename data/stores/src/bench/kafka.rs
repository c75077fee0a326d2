//! What benchmarks need of Kafka.

use std::{
    ffi::OsStr,
    process::Stdio,
    time::{Duration, Instant},
};

use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer},
};
use tokio::process::Command;

use super::PATIENCE;
use waggle_model::partition_of;

use crate::{KafkaConfig, KafkaLog, LogError, NewRecord, Topic, log::kafka};

/// The log on Kafka with a producer whose records wait for others to go with for `linger`, in whole milliseconds: to
/// measure what that costs and gains.
///
/// # Errors
/// As [`KafkaLog::connect`].
pub async fn kafka_lingering(
    config: &KafkaConfig,
    prefix: &str,
    n_partitions: u32,
    linger: Duration,
) -> Result<KafkaLog, LogError> {
    KafkaLog::connect_lingering(config, prefix, n_partitions, linger).await
}

/// Produces the records to a new topic of that name, which is removed again: an idempotent producer with `acks=all`, as
/// fast as it takes them, its queue never empty. Gives the time until the last one is acknowledged.
///
/// # Errors
/// [`LogError::Storage`] for whatever Kafka refuses.
pub async fn kafka_produces(
    config: &KafkaConfig,
    topic: &str,
    n_partitions: u32,
    groups: Vec<Vec<NewRecord>>,
) -> Result<Duration, LogError> {
    let failed =
        |error: &dyn std::fmt::Display| LogError::Storage(format!("the bare producer failed: {error}"));
    let mut settings = kafka::client_config(config)?;
    settings.set("enable.idempotence", "true").set("acks", "all");
    let producer: ThreadedProducer<DefaultProducerContext> = settings.create().map_err(|e| failed(&e))?;
    on_new_topic(config, topic, n_partitions, async {
        let name = topic.to_owned();
        let produced = tokio::task::spawn_blocking(move || produce(&producer, &name, n_partitions, &groups));
        produced.await.map_err(|e| failed(&e))?.map_err(|e| failed(&e))
    })
    .await
}

fn produce(
    producer: &ThreadedProducer<DefaultProducerContext>,
    topic: &str,
    n_partitions: u32,
    groups: &[Vec<NewRecord>],
) -> Result<Duration, KafkaError> {
    let started = Instant::now();
    for record in groups.iter().flatten() {
        let partition = partition_of(&record.key, n_partitions).cast_signed();
        let mut next =
            BaseRecord::to(topic).partition(partition).key(&record.key[..]).payload(&record.value[..]);
        while let Err((error, back)) = producer.send(next) {
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(error);
            }
            next = back;
            std::thread::yield_now();
        }
    }
    producer.flush(PATIENCE)?;
    Ok(started.elapsed())
}

/// Kafka's own measure of a producer, on a new topic of that name, which is removed again: `program` is
/// `kafka-producer-perf-test` or a script like it. It sends `n_records` of `record_bytes` each, without keys, idempotent
/// with `acks=all`, and with its own settings otherwise. Gives the records per second that it reports, which leaves out
/// the start of its virtual machine.
///
/// # Errors
/// A sentence that says why there is no figure: it cannot be started, does not report all records, or would need to be
/// told a secret.
pub async fn kafka_perf_test(
    config: &KafkaConfig,
    topic: &str,
    n_partitions: u32,
    program: &OsStr,
    n_records: usize,
    record_bytes: usize,
) -> Result<f64, String> {
    if config.security.protocol != kafka::KafkaProtocol::Plaintext {
        return Err("it is run where Kafka is spoken to in plain text only".to_owned());
    }
    let mut command = Command::new(program);
    command
        .args(["--topic", topic, "--num-records", &n_records.to_string()])
        .args(["--record-size", &record_bytes.to_string(), "--throughput", "-1", "--producer-props"])
        .args([&format!("bootstrap.servers={}", config.brokers), "acks=all", "enable.idempotence=true"])
        // Decimal points, whatever the user's language has.
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let ran = on_new_topic(config, topic, n_partitions, async { Ok(command.output().await) });
    let program = program.display();
    let output = ran.await.map_err(|error| error.to_string())?;
    let output = output.map_err(|error| format!("{program} cannot be started: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    reported_rate(&said, n_records).ok_or_else(|| {
        let complaints = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().chain(complaints.lines()).rfind(|line| !line.trim().is_empty());
        format!("{program} ended with {}: {}", output.status, last.unwrap_or("no word"))
    })
}

/// From `200000 records sent, 61274.509804 records/sec (13.79 MB/sec), …`; lines before it count fewer records.
fn reported_rate(said: &str, n_records: usize) -> Option<f64> {
    let head = format!("{n_records} records sent, ");
    let rest = said.lines().rev().find_map(|line| line.strip_prefix(&head))?;
    rest.split_once(" records/sec")?.0.parse().ok().filter(|rate| *rate > 0.0)
}

/// Does the work while there is a topic of that name.
async fn on_new_topic<T>(
    config: &KafkaConfig,
    topic: &str,
    n_partitions: u32,
    work: impl Future<Output = Result<T, LogError>>,
) -> Result<T, LogError> {
    let failed = |error: &dyn std::fmt::Display| {
        LogError::Storage(format!("the topic {topic} cannot be had: {error}"))
    };
    let admin = admin(config)?;
    let new = NewTopic::new(topic, n_partitions.cast_signed(), TopicReplication::Fixed(-1));
    let made = admin.create_topics([&new], &AdminOptions::new()).await.map_err(|e| failed(&e))?;
    if let Some(Err((_, error))) = made.into_iter().next() {
        return Err(failed(&error));
    }
    let done = work.await;
    admin.delete_topics(&[topic], &AdminOptions::new()).await.map_err(|e| failed(&e))?;
    done
}

/// Removes the topics of an installation.
///
/// # Errors
/// [`LogError::Storage`] if Kafka cannot be asked; a topic that is not there is fine.
pub async fn forget_kafka(config: &KafkaConfig, prefix: &str) -> Result<(), LogError> {
    let names = Topic::ALL.map(|topic| format!("{prefix}.{}", topic.as_str()));
    let names = names.each_ref().map(String::as_str);
    let deleted = admin(config)?.delete_topics(&names, &AdminOptions::new()).await;
    deleted.map(drop).map_err(|e| LogError::Storage(format!("the topics of {prefix} cannot be removed: {e}")))
}

fn admin(config: &KafkaConfig) -> Result<AdminClient<DefaultClientContext>, LogError> {
    let made = kafka::client_config(config)?.create();
    made.map_err(|e: KafkaError| LogError::Storage(format!("the Kafka client refuses its settings: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_the_one_of_all_records() {
        let said = "5001 records sent, 1000.2 records/sec (0.24 MB/sec), 4.7 ms avg latency\n\
                    9000 records sent, 61274.509804 records/sec (13.79 MB/sec), 512.08 ms avg latency\n";
        assert_eq!(reported_rate(said, 9_000), Some(61_274.509_804));
        assert_eq!(reported_rate(said, 9_001), None);
        assert_eq!(reported_rate("0 records sent, 0.000000 records/sec (0.00 MB/sec)", 0), None);
        assert_eq!(reported_rate("", 1), None);
    }
}
