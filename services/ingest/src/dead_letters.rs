//! What was set aside, to be looked at and sent again.
//!
//! Letters and the notes about them are records of one topic: a note names letters that were taken in since. So what is
//! still open is known wherever the log is, and a letter is not taken in twice.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use bytes::Bytes;
use waggle_contracts::{RoleError, api::Rejection, ingest::Origin};
use waggle_model::{
    DeadLetter, DeadLetterOrigin, DeadLetterRecord, Event, EventId, Retried, Timestamp, decode_event,
};
use waggle_stores::{EventLog, LogError, LogRecord, LogSection, NewRecord, Position, Topic};

use crate::{
    IngestService, body,
    mapping::{Mapped, Mapping, SourceRecord},
    service::{Arrival, DEAD_LETTER_KEY},
};

/// Records read at once.
const BATCH: usize = 1_000;

/// The dead letters as they stood at one moment.
pub struct DeadLetters {
    log: Arc<dyn EventLog>,
    /// Per partition; later records are not part of it.
    ends: Vec<u64>,
    retried: HashSet<Position>,
}

impl DeadLetters {
    /// # Errors
    /// [`LogError`] if the log cannot be read.
    pub async fn open(log: Arc<dyn EventLog>) -> Result<Self, LogError> {
        let mut ends = Vec::new();
        for partition in 0..log.n_partitions(Topic::DeadLetters) {
            ends.push(log.end(Topic::DeadLetters, partition).await?);
        }
        let mut letters = Self { log, ends, retried: HashSet::new() };
        let mut retried = HashSet::new();
        letters
            .visit(|record| {
                if let Ok(DeadLetterRecord::Retried(note)) = DeadLetterRecord::decode(&record.value) {
                    let positions = note.letters.into_iter();
                    retried.extend(positions.map(|(partition, offset)| Position { partition, offset }));
                }
            })
            .await?;
        letters.retried = retried;
        Ok(letters)
    }

    /// Shows every letter to `look`, partition by partition, the oldest first, and says whether it was taken in since.
    ///
    /// # Errors
    /// [`LogError`] if the log cannot be read.
    pub async fn each(&self, mut look: impl FnMut(Position, DeadLetter, bool)) -> Result<(), LogError> {
        self.visit(|record| {
            let position = Position { partition: record.partition, offset: record.offset };
            match DeadLetterRecord::decode(&record.value) {
                Ok(DeadLetterRecord::Letter(letter)) => {
                    look(position, letter, self.retried.contains(&position));
                }
                Ok(DeadLetterRecord::Retried(_)) => {}
                // Somebody else wrote into the topic.
                Err(error) => {
                    let reason = format!("not a dead letter: {error}");
                    let origin = DeadLetterOrigin::Log {
                        topic: Topic::DeadLetters.as_str().to_owned(),
                        partition: record.partition,
                        offset: record.offset,
                    };
                    look(
                        position,
                        DeadLetter::new(reason, origin, record.timestamp, &record.value),
                        self.retried.contains(&position),
                    );
                }
            }
        })
        .await
    }

    async fn visit(&self, mut look: impl FnMut(&LogRecord)) -> Result<(), LogError> {
        for (partition, &end) in (0..).zip(&self.ends) {
            let mut letters = LogSection::new(&*self.log, Topic::DeadLetters, partition, 0, end);
            while let Some(records) = letters.next(BATCH).await? {
                records.iter().for_each(&mut look);
            }
        }
        Ok(())
    }
}

/// What became of a letter that was sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Its event is in the log, or would be taken in.
    TakenIn,
    /// The mapping of its topic passes over events of its type.
    Skipped,
    /// Why it is still no event.
    Refused(String),
}

/// Sends dead letters again, under today's rules: configuration, mappings, and what this build can read. Only an event's
/// time is measured as it was when the letter came, which nobody can claim was later than now.
pub struct Retry {
    service: Arc<IngestService>,
    log: Arc<dyn EventLog>,
    mappings: BTreeMap<String, Mapping>,
}

impl Retry {
    /// `service` appends to `log`, which is where the letters are; `mappings` are of the topics that others fill.
    pub fn new(
        service: Arc<IngestService>,
        log: Arc<dyn EventLog>,
        mappings: impl IntoIterator<Item = Mapping>,
    ) -> Self {
        let by_topic = |mapping: Mapping| (mapping.config().topic.clone(), mapping);
        Self { service, log, mappings: mappings.into_iter().map(by_topic).collect() }
    }

    /// What would become of the letters; touches nothing.
    pub fn rehearse(&self, letters: &[(Position, DeadLetter)], now: Timestamp) -> Vec<Verdict> {
        let Opened { arrivals, places, mut verdicts } = self.open(letters, now);
        refuse(&mut verdicts, &places, self.service.refusals(arrivals.into_iter()));
        verdicts
    }

    /// Takes in what is an event by now and then notes it. An event without an id of its own is named after its letter,
    /// so that it counts once even if the note was lost.
    ///
    /// # Errors
    /// As [`waggle_contracts::Ingest::accept`]; some of the letters may have been taken in then.
    pub async fn send(
        &self,
        letters: &[(Position, DeadLetter)],
        now: Timestamp,
    ) -> Result<Vec<Verdict>, RoleError> {
        let Opened { arrivals, places, mut verdicts } = self.open(letters, now);
        let report = self.service.take_in(arrivals.into_iter()).await?;
        refuse(&mut verdicts, &places, report.rejected);
        let done =
            letters.iter().zip(&verdicts).filter(|(_, verdict)| !matches!(verdict, Verdict::Refused(_)));
        let done: Vec<_> = done.map(|((place, _), _)| (place.partition, place.offset)).collect();
        if !done.is_empty() {
            let note = Retried { at: now, letters: done }.encode();
            let record = NewRecord { key: Bytes::from_static(DEAD_LETTER_KEY), value: note.into() };
            self.log.append(Topic::DeadLetters, vec![record]).await.map_err(|error| RoleError::Failed {
                role: "ingest",
                detail: format!("the events were taken in, but that could not be noted: {error}"),
            })?;
        }
        Ok(verdicts)
    }

    fn open(&self, letters: &[(Position, DeadLetter)], now: Timestamp) -> Opened {
        let mut opened = Opened::default();
        for (index, (position, letter)) in letters.iter().enumerate() {
            opened.verdicts.push(match self.arrival(*position, letter, now) {
                Ok(Some(arrival)) => {
                    opened.arrivals.push(arrival);
                    opened.places.push(index);
                    Verdict::TakenIn
                }
                Ok(None) => Verdict::Skipped,
                Err(detail) => Verdict::Refused(detail),
            });
        }
        opened
    }

    fn arrival(
        &self,
        position: Position,
        letter: &DeadLetter,
        now: Timestamp,
    ) -> Result<Option<Arrival>, String> {
        if letter.is_truncated {
            return Err("not all of it was kept".to_owned());
        }
        let (mut event, origin) = match &letter.origin {
            DeadLetterOrigin::Request { .. } => (body::event(&letter.payload, letter.at)?, Origin::Client),
            DeadLetterOrigin::Log { topic, .. } => logged(topic, letter)?,
            DeadLetterOrigin::Source { topic, partition, offset, key, timestamp } => {
                let Some(mapping) = self.mappings.get(topic) else {
                    return Err(format!("topic \"{topic}\" is not among ingest.topics any more"));
                };
                let record = SourceRecord {
                    partition: *partition,
                    offset: *offset,
                    key: key.clone(),
                    value: Some(letter.payload.clone()),
                    timestamp: *timestamp,
                };
                match mapping.map(&record, |name| self.service.is_own_type(name))? {
                    Mapped::Event(event) => (*event, Origin::Import),
                    Mapped::Skipped => return Ok(None),
                }
            }
        };
        let id = || EventId::try_new(format!("dead-letter/{}/{}", position.partition, position.offset));
        event.event_id = match event.event_id {
            Some(id) => Some(id),
            None => Some(id().map_err(|e| e.to_string())?),
        };
        Ok(Some(Arrival { event, origin, at: letter.at.min(now) }))
    }
}

/// Letters on their way to the log.
#[derive(Default)]
struct Opened {
    arrivals: Vec<Arrival>,
    /// Which letter each arrival is of.
    places: Vec<usize>,
    /// Of every letter.
    verdicts: Vec<Verdict>,
}

fn refuse(verdicts: &mut [Verdict], places: &[usize], rejected: Vec<Rejection>) {
    for rejection in rejected {
        verdicts[places[rejection.index]] = Verdict::Refused(rejection.detail);
    }
}

/// A record of the log that was no event to the build that met it: one of a later version, or one that a stranger
/// wrote there as JSON.
fn logged(topic: &str, letter: &DeadLetter) -> Result<(Event, Origin), String> {
    let error = match decode_event(&letter.payload) {
        // Whoever wrote it may not have asked ingest.
        Ok(event) => return Ok((event, Origin::Import)),
        Err(error) => error,
    };
    if topic == Topic::Events.as_str() && letter.payload.first() == Some(&b'{') {
        return Ok((body::event(&letter.payload, letter.at)?, Origin::Client));
    }
    Err(error.to_string())
}
