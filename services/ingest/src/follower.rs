//! Follows a topic that others fill.

use std::sync::Arc;

use waggle_contracts::{RoleError, ingest::Origin};
use waggle_model::{DeadLetter, DeadLetterOrigin, Timestamp};
use waggle_stores::{EventLog, Topic};

use crate::{
    IngestService,
    mapping::{Mapped, Mapping, Record},
    service::{Arrival, letter_record},
};

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
    pub async fn take_in(&self, records: &[Record], now: Timestamp) -> Result<Counts, RoleError> {
        let (mut arrivals, mut places, mut refused) = (Vec::new(), Vec::new(), Vec::new());
        let mut counts = Counts::default();
        for record in records {
            match self.mapping.map(record, |name| self.service.is_own_type(name)) {
                Ok(Mapped::Event(event)) => {
                    arrivals.push(Arrival { event: *event, origin: Origin::Topic, at: now });
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

    fn letter(&self, detail: &str, record: &Record, now: Timestamp) -> DeadLetter {
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
