//! Appending: one idempotent producer, whose delivery reports are awaited.

use std::{
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use rdkafka::{
    ClientConfig, ClientContext, Message,
    config::RDKafkaLogLevel,
    error::KafkaError,
    message::DeliveryResult,
    producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer},
    types::RDKafkaErrorCode,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use waggle_model::partition_of;

use super::{
    client::{Reports, blocking, client_config, log_line, refused},
    config::KafkaConfig,
    tails::Tails,
};
use crate::log::{LogError, NewRecord, Position, Topic};

/// How long a record waits for others to go with: not at all. While requests are under way the next batch fills by
/// itself. Measured beside 1 and 5 ms in turn (2 cores, one broker): a lone record takes 0.2 ms against 1.4 and 5.6, and
/// eight dense callers reach 0.8 to 0.96 of a bare producer against 0.8 to 1.2 and 0.7
/// (`cargo run --release -p waggle-stores --example append_kafka 200000 1000 0 1 5`).
pub(super) const LINGER: Duration = Duration::ZERO;
/// Most bytes on their way to the brokers.
const QUEUED_BYTES: u32 = 64 << 20;
/// What a record costs in the client's memory beside key and value.
const RECORD_OVERHEAD_BYTES: usize = 512;
/// What a record takes in a batch beside key and value: the header, lengths, and the batch's own head.
const FRAME_BYTES: usize = 160;
/// Records that are handed over in one go; then others get their turn on the thread.
const CHUNK_RECORDS: usize = 1_000;
const CHUNK_BYTES: usize = 4 << 20;
/// How long an append waits for room before it is told that the log is busy.
const ROOM_TIMEOUT: Duration = Duration::from_secs(1);

pub(super) struct Producer {
    settings: ClientConfig,
    tails: Arc<Tails>,
    /// Replaced when the client declares itself unusable.
    client: RwLock<Arc<ThreadedProducer<Deliveries>>>,
    room: Arc<Semaphore>,
    max_record_bytes: usize,
    delivery_timeout: Duration,
}

impl Producer {
    /// - `linger`: how long a record waits for others to go with; [`LINGER`] but for measuring
    /// - `max_message_bytes`: largest batch that the topics take
    pub(super) fn new(
        config: &KafkaConfig,
        linger: Duration,
        max_message_bytes: usize,
        tails: Arc<Tails>,
    ) -> Result<Self, LogError> {
        let delivery_timeout = Duration::from_secs(config.delivery_timeout_s.into());
        let mut settings = client_config(config)?;
        settings
            .set("enable.idempotence", "true")
            .set("acks", "all")
            // Records repeat each other's names; the broker keeps batches as they come.
            .set("compression.type", "zstd")
            .set("compression.level", "1")
            .set("linger.ms", linger.as_millis().to_string())
            .set("delivery.timeout.ms", delivery_timeout.as_millis().to_string())
            .set("message.max.bytes", max_message_bytes.to_string())
            // `room` is the limit; these stay above what it lets in.
            .set("queue.buffering.max.messages", "1000000")
            .set("queue.buffering.max.kbytes", (4 * QUEUED_BYTES / 1_024).to_string());
        let client = connect(&settings, &tails)?;
        Ok(Self {
            settings,
            tails,
            client: RwLock::new(client),
            room: Arc::new(Semaphore::new(QUEUED_BYTES as usize)),
            max_record_bytes: max_message_bytes.saturating_sub(FRAME_BYTES),
            delivery_timeout,
        })
    }

    pub(super) async fn append(
        &self,
        topic: Topic,
        name: &str,
        n_partitions: u32,
        records: Vec<NewRecord>,
    ) -> Result<Vec<Position>, LogError> {
        self.check_sizes(name, &records)?;
        let (done, delivered) = oneshot::channel();
        let batch = Arc::new(Batch::new(records.len(), done));
        let mut records = records.into_iter().enumerate().peekable();
        while let Some((_, first)) = records.peek() {
            let mut chunk = Vec::new();
            let mut cost = cost_bytes(first);
            while let Some((index, record)) = records.next() {
                chunk.push((index, record));
                let Some((_, next)) = records.peek() else { break };
                if chunk.len() == CHUNK_RECORDS || cost + cost_bytes(next) > CHUNK_BYTES {
                    break;
                }
                cost += cost_bytes(next);
            }
            let permit = self.room(cost, chunk[0].0 == 0).await?;
            let group = Arc::new(Group { topic, batch: Arc::clone(&batch), _permit: permit });
            self.send(name, n_partitions, &chunk, &group)?;
        }
        delivered.await.map_err(|_| LogError::Closed)?.map_err(|error| self.undelivered(name, &error))
    }

    fn check_sizes(&self, name: &str, records: &[NewRecord]) -> Result<(), LogError> {
        let too_large =
            records.iter().map(|r| r.key.len() + r.value.len()).find(|&n| n > self.max_record_bytes);
        too_large.map_or(Ok(()), |size_bytes| {
            Err(LogError::Storage(format!(
                "a record of {size_bytes} bytes does not fit into {name}: {} are allowed",
                self.max_record_bytes
            )))
        })
    }

    /// Waits for room for `cost` bytes. Who has nothing on its way yet is turned away soon; who has will get room,
    /// since whatever takes it is delivered or given up.
    async fn room(&self, cost: usize, turn_away: bool) -> Result<OwnedSemaphorePermit, LogError> {
        // A record larger than the whole allowance waits for all of it instead of for ever.
        let share = u32::try_from(cost).unwrap_or(QUEUED_BYTES).min(QUEUED_BYTES);
        let room = Arc::clone(&self.room).acquire_many_owned(share);
        let permit = if turn_away {
            tokio::time::timeout(ROOM_TIMEOUT, room).await.map_err(|_| LogError::Busy)?
        } else {
            room.await
        };
        permit.map_err(|_| LogError::Closed)
    }

    fn send(
        &self,
        name: &str,
        n_partitions: u32,
        chunk: &[(usize, NewRecord)],
        group: &Arc<Group>,
    ) -> Result<(), LogError> {
        let mut client = self.client();
        for (index, record) in chunk {
            let partition = partition_of(&record.key, n_partitions).cast_signed();
            let sent = send_one(&client, name, partition, record, group, *index);
            let sent = match sent {
                Err(KafkaError::MessageProduction(RDKafkaErrorCode::Fatal)) => {
                    client = self.replace(&client)?;
                    send_one(&client, name, partition, record, group, *index)
                }
                sent => sent,
            };
            sent.map_err(|error| match error {
                // Busy says that nothing was taken, which holds for the first record only.
                KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) if *index == 0 => LogError::Busy,
                error => LogError::Storage(format!("sending to {name} failed: {error}")),
            })?;
        }
        Ok(())
    }

    fn client(&self) -> Arc<ThreadedProducer<Deliveries>> {
        Arc::clone(&self.client.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A new client in place of the `lost` one, which lost track of what the broker has.
    fn replace(
        &self,
        lost: &Arc<ThreadedProducer<Deliveries>>,
    ) -> Result<Arc<ThreadedProducer<Deliveries>>, LogError> {
        let mut client = self.client.write().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&client, lost) {
            let fatal = lost.client().fatal_error().map_or_else(String::new, |(_, reason)| reason);
            tracing::error!(reason = fatal, "the Kafka producer gave up; a new one takes over");
            let old = std::mem::replace(&mut *client, connect(&self.settings, &self.tails)?);
            // Its end waits for its thread.
            std::thread::spawn(move || drop(old));
        }
        Ok(Arc::clone(&client))
    }

    fn undelivered(&self, name: &str, error: &KafkaError) -> LogError {
        LogError::Storage(match error {
            KafkaError::MessageProduction(RDKafkaErrorCode::MessageTimedOut) => {
                let reason = self.client().context().reports.reason();
                format!("no broker acknowledged records of {name} within {:?}{reason}", self.delivery_timeout)
            }
            error => format!("records of {name} were not delivered: {error}"),
        })
    }

    /// Returns when everything handed over is delivered or given up.
    pub(super) async fn flush(&self) {
        self.room.close();
        let client = self.client();
        // Delivery is given up earlier than this, so nothing can be left.
        let limit = self.delivery_timeout + Duration::from_secs(5);
        let flushed = blocking(move || {
            client.flush(limit).map_err(|error| LogError::Storage(format!("flushing failed: {error}")))
        });
        if let Err(error) = flushed.await {
            tracing::error!(%error, "records were under way when the Kafka log closed");
        }
    }
}

fn connect(
    settings: &ClientConfig,
    tails: &Arc<Tails>,
) -> Result<Arc<ThreadedProducer<Deliveries>>, LogError> {
    let deliveries = Deliveries { tails: Arc::clone(tails), reports: Reports::default() };
    settings.create_with_context(deliveries).map(Arc::new).map_err(refused)
}

fn cost_bytes(record: &NewRecord) -> usize {
    record.key.len() + record.value.len() + RECORD_OVERHEAD_BYTES
}

fn send_one(
    client: &ThreadedProducer<Deliveries>,
    name: &str,
    partition: i32,
    record: &NewRecord,
    group: &Arc<Group>,
    index: usize,
) -> Result<(), KafkaError> {
    let delivery = Box::new(Delivery { group: Arc::clone(group), index });
    let message = BaseRecord::with_opaque_to(name, delivery)
        .partition(partition)
        .key(&record.key[..])
        .payload(&record.value[..]);
    client.send(message).map_err(|(error, _)| error)
}

/// Records of one append that were handed over together.
struct Group {
    topic: Topic,
    batch: Arc<Batch>,
    /// Returned once all of them are delivered or given up.
    _permit: OwnedSemaphorePermit,
}

/// What comes back with a record's delivery report.
struct Delivery {
    group: Arc<Group>,
    index: usize,
}

/// One append on its way.
struct Batch(Mutex<Progress>);

struct Progress {
    positions: Vec<Position>,
    n_missing: usize,
    failure: Option<KafkaError>,
    done: Option<oneshot::Sender<Result<Vec<Position>, KafkaError>>>,
}

impl Batch {
    fn new(n_records: usize, done: oneshot::Sender<Result<Vec<Position>, KafkaError>>) -> Self {
        let positions = vec![Position { partition: 0, offset: 0 }; n_records];
        Self(Mutex::new(Progress { positions, n_missing: n_records, failure: None, done: Some(done) }))
    }

    fn report(&self, index: usize, result: Result<Position, KafkaError>) {
        let mut progress = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(position) => progress.positions[index] = position,
            Err(error) => progress.failure = progress.failure.take().or(Some(error)),
        }
        progress.n_missing -= 1;
        if progress.n_missing == 0
            && let Some(done) = progress.done.take()
        {
            let positions = std::mem::take(&mut progress.positions);
            // The caller may have gone.
            done.send(progress.failure.take().map_or(Ok(positions), Err)).ok();
        }
    }
}

/// Hands each delivery report to the append that waits for it.
struct Deliveries {
    tails: Arc<Tails>,
    reports: Reports,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.reports.complaint(&error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Delivery>;

    fn delivery(&self, result: &DeliveryResult<'_>, delivery: Box<Delivery>) {
        let Delivery { group, index } = *delivery;
        let result = match result {
            Ok(message) => Ok(Position {
                partition: message.partition().cast_unsigned(),
                offset: message.offset().cast_unsigned(),
            }),
            Err((error, _)) => Err(error.clone()),
        };
        if let Ok(position) = &result
            && let Some(tail) = self.tails.of(group.topic, position.partition)
        {
            tail.raise(position.offset + 1);
        }
        group.batch.report(index, result);
    }
}
