//! Follows a topic that others fill.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use waggle_contracts::{RoleError, ingest::Origin};
use waggle_model::{DeadLetter, DeadLetterOrigin, Timestamp};
use waggle_stores::{EventLog, KafkaConfig, KafkaSource, LogError, Topic};

use crate::{
    IngestService,
    mapping::{Mapped, Mapping, SourceRecord},
    service::{Arrival, letter_record},
};

/// Records taken in and committed at once. What a crash leaves in doubt is one such batch, which is read again: far less
/// than the 65,536 positions of a partition over which the log's consumers tell duplicates.
const BATCH: usize = 1_000;
/// Of a record beside which the broker keeps no time.
const NO_TIME: Timestamp = Timestamp::from_millis(0);
/// How long one wait for records lasts before it is renewed.
const WAIT: Duration = Duration::from_secs(1);
/// Pause after a failure, doubled up to the second value. The group waits minutes before it gives the partitions to
/// others.
const BACKOFF: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(10)];

/// Takes the topic's records in until `shutdown` is cancelled; the batch in hand is finished.
///
/// A batch is committed in the group after every record of it is durable here, so nothing is lost; after a crash in
/// between it is read again, and its events are told by their `event_id`. Whatever fails, brokers that are away, a topic
/// that is not there yet, a log that takes nothing, is logged and tried again.
pub async fn follow(intake: Intake, kafka: KafkaConfig, shutdown: CancellationToken) {
    let topic = intake.mapping.config().topic.clone();
    let mut pause = BACKOFF[0];
    let mut source = None;
    let mut batch = Vec::new();
    while !shutdown.is_cancelled() {
        match step(&intake, &kafka, &mut source, &mut batch, &shutdown).await {
            Ok(()) => pause = BACKOFF[0],
            Err(error) => {
                tracing::warn!(topic, %error, "reading a topic failed and is tried again in {pause:?}");
                shutdown.run_until_cancelled(tokio::time::sleep(pause)).await;
                pause = (pause * 2).min(BACKOFF[1]);
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error(transparent)]
    Source(#[from] LogError),
    #[error(transparent)]
    Intake(#[from] RoleError),
}

/// One batch, as far as there is one. A `batch` that was read and not taken in stays for the next step.
async fn step(
    intake: &Intake,
    kafka: &KafkaConfig,
    source: &mut Option<KafkaSource>,
    batch: &mut Vec<SourceRecord>,
    shutdown: &CancellationToken,
) -> Result<(), StepError> {
    let config = intake.mapping.config();
    let source = match source {
        Some(source) => source,
        None => source.insert(KafkaSource::subscribe(kafka, &config.topic, &config.group).await?),
    };
    if batch.is_empty() {
        let Some(next) = shutdown.run_until_cancelled(source.next(BATCH, WAIT)).await else { return Ok(()) };
        *batch = next?;
        let now = Timestamp::now();
        for record in batch.iter_mut().filter(|record| record.timestamp == NO_TIME) {
            record.timestamp = now;
        }
    }
    if !batch.is_empty() {
        intake.take_in(batch, Timestamp::now()).await?;
        batch.clear();
        source.commit().await?;
    }
    Ok(())
}

/// Takes records of one topic in: what maps to an event goes to the log, what does not to the dead letters.
pub struct Intake {
    service: Arc<IngestService>,
    log: Arc<dyn EventLog>,
    mapping: Mapping,
}

/// What became of a batch of records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub taken_in: usize,
    /// Known already, by their `event_id`.
    pub duplicates: usize,
    pub dead_letters: usize,
    /// Of types that are passed over.
    pub skipped: usize,
}

impl Intake {
    /// `service` appends to `log`.
    pub fn new(service: Arc<IngestService>, log: Arc<dyn EventLog>, mapping: Mapping) -> Self {
        Self { service, log, mapping }
    }

    /// Returns once every record is durable here, as an event or as a dead letter. Whoever is not told so reads the
    /// records again: that they were here before shows in their `event_id`.
    ///
    /// # Errors
    /// As [`waggle_contracts::Ingest::accept`]; trying again is harmless.
    pub async fn take_in(&self, records: &[SourceRecord], now: Timestamp) -> Result<Counts, RoleError> {
        let (mut arrivals, mut places, mut refused) = (Vec::new(), Vec::new(), Vec::new());
        let mut counts = Counts::default();
        for record in records {
            match self.mapping.map(record, |name| self.service.is_own_type(name)) {
                Ok(Mapped::Event(event)) => {
                    arrivals.push(Arrival { event: *event, origin: Origin::Import, at: now });
                    places.push(record);
                }
                Ok(Mapped::Skipped) => counts.skipped += 1,
                Err(detail) => refused.push((detail, record)),
            }
        }
        if !arrivals.is_empty() {
            let report = self.service.take_in(arrivals.into_iter()).await?;
            (counts.taken_in, counts.duplicates) = (report.accepted, report.duplicates);
            refused.extend(report.rejected.into_iter().map(|r| (r.detail, places[r.index])));
        }
        counts.dead_letters = refused.len();
        if !refused.is_empty() {
            let letters =
                refused.iter().map(|(detail, record)| letter_record(&self.letter(detail, record, now)));
            self.log.append(Topic::DeadLetters, letters.collect()).await.map_err(|error| {
                RoleError::Failed { role: "ingest", detail: format!("dead letters: {error}") }
            })?;
        }
        self.count(counts);
        Ok(counts)
    }

    fn letter(&self, detail: &str, record: &SourceRecord, now: Timestamp) -> DeadLetter {
        let origin = DeadLetterOrigin::Source {
            topic: self.mapping.config().topic.clone(),
            partition: record.partition,
            offset: record.offset,
            key: record.key.clone(),
            timestamp: record.timestamp,
        };
        DeadLetter::new(detail, origin, now, &record.value.clone().unwrap_or_default())
    }

    fn count(&self, counts: Counts) {
        let Counts { taken_in, duplicates, dead_letters, skipped } = counts;
        let by_outcome = [
            ("accepted", taken_in),
            ("duplicate", duplicates),
            ("dead_letter", dead_letters),
            ("skipped", skipped),
        ];
        for (outcome, n) in by_outcome.into_iter().filter(|(_, n)| *n > 0) {
            let topic = self.mapping.config().topic.clone();
            metrics::counter!("waggle_ingest_topic_records_total", "topic" => topic, "outcome" => outcome)
                .increment(n as u64);
        }
    }
}
