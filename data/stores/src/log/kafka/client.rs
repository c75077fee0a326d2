//! What all clients of a broker have in common.

use std::{
    fs::File,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, ClientContext,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::KafkaError,
    metadata::Metadata,
    types::RDKafkaErrorCode,
};

use super::config::KafkaConfig;
use crate::log::LogError;

/// Longest wait for a broker's answer to a question about topics and offsets.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The settings that say where the brokers are and who we are.
///
/// # Errors
/// [`LogError::Storage`] if they cannot work: no broker, a port that is not a number, TLS in a build without it, a
/// file that cannot be read.
pub(crate) fn client_config(config: &KafkaConfig) -> Result<ClientConfig, LogError> {
    check(config).map_err(LogError::Storage)?;
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", &config.brokers)
        .set("client.id", &config.client_id)
        .set("security.protocol", config.security.protocol.as_str())
        .set("socket.nagle.disable", "true")
        .set("socket.keepalive.enable", "true")
        // A broker that restarts is found again within a second.
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "1000")
        .set("retry.backoff.ms", "50")
        .set("retry.backoff.max.ms", "500")
        .set("log.connection.close", "false")
        .set_log_level(RDKafkaLogLevel::Warning);
    if config.security.protocol.authenticates() {
        client
            .set("sasl.mechanism", config.security.mechanism.as_str())
            .set("sasl.username", &config.security.username)
            .set("sasl.password", config.security.password.expose());
    }
    if let Some(ca_file) = &config.security.ca_file {
        client.set("ssl.ca.location", ca_file.display().to_string());
    }
    Ok(client)
}

fn check(config: &KafkaConfig) -> Result<(), String> {
    for broker in config.brokers.split(',').map(str::trim) {
        let port = broker.rsplit_once(':').map(|(host, port)| (!host.is_empty(), port.parse::<u16>()));
        if !matches!(port, Some((true, Ok(1..)))) {
            return Err(format!("`{broker}` in the Kafka brokers is not of the form host:port"));
        }
    }
    if !(1..=300).contains(&config.delivery_timeout_s) {
        return Err(format!("a delivery timeout of {} s, 1 to 300 are allowed", config.delivery_timeout_s));
    }
    let security = &config.security;
    if cfg!(not(feature = "tls")) && security.protocol != super::KafkaProtocol::Plaintext {
        let protocol = security.protocol.as_str();
        return Err(format!("Kafka's security protocol {protocol} needs a build with the feature `tls`"));
    }
    if security.protocol.authenticates() && security.username.is_empty() {
        return Err(format!("Kafka's security protocol {} needs a username", security.protocol.as_str()));
    }
    if let Some(ca_file) = &security.ca_file
        && let Err(error) = File::open(ca_file)
    {
        return Err(format!(
            "the authorities of Kafka's brokers in {} cannot be read: {error}",
            ca_file.display()
        ));
    }
    Ok(())
}

/// Passes what a client reports on to the log of this process, and remembers the newest complaint.
#[derive(Debug, Clone, Default)]
pub(super) struct Reports {
    newest: Arc<Mutex<Option<String>>>,
}

impl Reports {
    /// `: reason`, or nothing.
    pub(super) fn reason(&self) -> String {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        newest.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default()
    }

    pub(super) fn complaint(&self, error: &KafkaError, reason: &str) {
        if matches!(error, KafkaError::Global(RDKafkaErrorCode::PartitionEOF)) {
            return;
        }
        // That all brokers are down says less than why the last one is.
        if !matches!(error, KafkaError::Global(RDKafkaErrorCode::AllBrokersDown)) {
            *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
        }
        tracing::warn!(%error, reason, "kafka client");
    }
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.complaint(&error, reason);
    }
}

impl ConsumerContext for Reports {}

pub(super) fn log_line(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::error!(facility, "kafka client: {message}");
        }
        // Lost connections are the client's business until it complains through `error`.
        _ => tracing::debug!(facility, "kafka client: {message}"),
    }
}

/// Whether a consumer's client tries again by itself after this error.
pub(super) fn is_passing(error: &KafkaError) -> bool {
    matches!(
        error,
        KafkaError::MessageConsumption(
            RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::RequestTimedOut
                | RDKafkaErrorCode::NotLeaderForPartition
                | RDKafkaErrorCode::LeaderNotAvailable
        )
    )
}

/// Asks brokers about topics and offsets. Its calls block.
pub(super) struct Inquiry {
    consumer: BaseConsumer<Reports>,
    brokers: String,
}

impl Inquiry {
    pub(super) fn new(config: &KafkaConfig) -> Result<Self, LogError> {
        let client = client_config(config)?;
        let consumer = client.create_with_context(Reports::default()).map_err(refused)?;
        Ok(Self { consumer, brokers: config.brokers.clone() })
    }

    pub(super) fn metadata(&self, topic: &str) -> Result<Metadata, LogError> {
        let answer = self.consumer.fetch_metadata(Some(topic), ANSWER_TIMEOUT);
        answer.map_err(|error| self.unanswered(&error))
    }

    /// Oldest offset held and the offset after the newest.
    pub(super) fn bounds(&self, topic: &str, partition: u32) -> Result<(u64, u64), LogError> {
        let answer = self.consumer.fetch_watermarks(topic, partition.cast_signed(), ANSWER_TIMEOUT);
        let (start, end) = answer.map_err(|error| self.unanswered(&error))?;
        Ok((u64::try_from(start).unwrap_or(0), u64::try_from(end).unwrap_or(0)))
    }

    fn unanswered(&self, error: &KafkaError) -> LogError {
        self.hear_out();
        LogError::Storage(format!(
            "no good answer from Kafka at {} within {} s: {error}{}",
            self.brokers,
            ANSWER_TIMEOUT.as_secs(),
            self.consumer.context().reason(),
        ))
    }

    /// Takes in what the client has to say: why it fails stands behind lines for its own log.
    fn hear_out(&self) {
        const QUIET: Duration = Duration::from_millis(50);
        let began = Instant::now();
        while self.consumer.poll(QUIET).is_some() && began.elapsed() < Duration::from_secs(1) {}
    }
}

/// Ends a group member's part in its group, after which it can be closed. Blocks for some hundred milliseconds.
///
/// The library's own closing hangs if it meets a rebalance event that came too late; so they are served before.
pub(super) fn settle<C: ConsumerContext>(consumer: &BaseConsumer<C>) {
    const QUIET: Duration = Duration::from_millis(200);
    consumer.unsubscribe();
    let began = Instant::now();
    while began.elapsed() < ANSWER_TIMEOUT {
        let polled = Instant::now();
        let is_quiet = consumer.poll(QUIET).is_none() && polled.elapsed() >= QUIET;
        if is_quiet && consumer.assignment().is_ok_and(|assignment| assignment.count() == 0) {
            return;
        }
    }
    tracing::warn!("a member of a consumer group did not come to rest");
}

/// A client that could not even be made: its settings are wrong.
pub(super) fn refused(error: KafkaError) -> LogError {
    LogError::Storage(format!("the Kafka client refuses its settings: {error}"))
}

/// Runs what blocks where blocking is allowed.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LogError> + Send + 'static,
) -> Result<T, LogError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|failure| {
        Err(LogError::Storage(format!("a task of the Kafka log failed: {failure}")))
    })
}
