//! The rules, and the way to the log.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{Semaphore, SemaphorePermit};
use waggle_contracts::{
    Ingest, RoleError,
    api::{IngestReport, Rejection},
    ingest::Origin,
};
use waggle_model::{
    CatalogChange, DeadLetter, DeadLetterOrigin, Event, EventBody, Person, Timestamp,
    codec::{MAX_RECORD_BYTES, append_event},
};
use waggle_stores::{EventLog, LogError, NewRecord, Topic};

use crate::{
    IngestConfig, MAX_EVENTS,
    body::{BodyError, Format, elements, event},
    recent::{FingerprintSet, Fingerprints, RecentIds},
};

const ROLE: &str = "ingest";
/// When to ask again after a queue was full.
const RETRY_OVERLOAD: Duration = Duration::from_secs(1);
/// When to ask again after the log did not confirm: a broker's restart takes a few seconds.
const RETRY_UNCONFIRMED: Duration = Duration::from_secs(5);
/// When to ask again while the log takes nothing.
const RETRY_LOG: Duration = Duration::from_secs(30);
/// Key of the dead letters written here: they stay in the order in which they were set aside.
pub(crate) const DEAD_LETTER_KEY: &[u8] = b"ingest";

/// Takes events to the log.
///
/// An event is acknowledged when the log has it on stable storage. An `event_id` that this process has acknowledged
/// lately is counted as a duplicate and not appended again; an append whose outcome is unknown is not remembered, so a
/// retry after a failure always reaches the log. That spares the log a client's retries and is no more than advice:
/// after a restart, or with several processes, the same id may be appended twice, and the log's consumers decide.
pub struct IngestService {
    config: IngestConfig,
    in_flight_events: Semaphore,
    in_flight_bytes: Semaphore,
    fingerprints: Fingerprints,
    recent: Mutex<RecentIds>,
    log: Arc<dyn EventLog>,
}

impl IngestService {
    pub fn new(log: Arc<dyn EventLog>, config: IngestConfig) -> Self {
        Self {
            in_flight_events: Semaphore::new(config.max_in_flight_events as usize),
            in_flight_bytes: Semaphore::new(config.max_in_flight_bytes as usize),
            fingerprints: Fingerprints::default(),
            recent: Mutex::new(RecentIds::new(config.n_recent_ids)),
            config,
            log,
        }
    }

    pub(crate) fn config(&self) -> &IngestConfig {
        &self.config
    }

    /// Sets aside elements of a request that were refused, with the reason. What a client sends is worth a bounded
    /// effort only: if the log does not take them, that is logged and the client has its answer anyway.
    async fn set_aside(&self, refused: &[(Rejection, Bytes)], now: Timestamp) {
        if refused.is_empty() {
            return;
        }
        let records = refused.iter().map(|(rejection, original)| {
            let origin = DeadLetterOrigin::Request { index: rejection.index };
            letter_record(&DeadLetter::new(rejection.detail.as_str(), origin, now, original))
        });
        let n = refused.len();
        if let Err(error) = self.log.append(Topic::DeadLetters, records.collect()).await {
            tracing::error!(n, %error, "refused events could not be set aside");
        }
    }

    /// Takes events to the log that came at different times, in different ways. The report counts places among them.
    ///
    /// # Errors
    /// As [`Ingest::accept`]. After [`RoleError::Overloaded`] nothing was taken in; after another, a log on several
    /// machines may hold some of the events, and whoever sends them again under the same ids has each counted once.
    pub(crate) async fn take_in(
        &self,
        arrivals: impl Iterator<Item = Arrival>,
    ) -> Result<IngestReport, RoleError> {
        let (prepared, rejected) = self.prepare(arrivals);
        let (accepted, duplicates) = self.append(prepared).await?;
        count("rejected", rejected.len());
        Ok(IngestReport { accepted, duplicates, rejected })
    }

    /// What [`take_in`](Self::take_in) would refuse; touches nothing.
    pub(crate) fn refusals(&self, arrivals: impl Iterator<Item = Arrival>) -> Vec<Rejection> {
        self.prepare(arrivals).1
    }

    /// Takes the events of a request's body to the log, sets the rest aside, and gives a verdict on each.
    ///
    /// # Errors
    /// As [`take_in`](Self::take_in); then nothing is set aside.
    pub(crate) async fn take_in_body(&self, body: CheckedBody) -> Result<IngestReport, RoleError> {
        let CheckedBody { prepared, refused, now } = body;
        let (accepted, duplicates) = self.append(prepared).await?;
        count("rejected", refused.len());
        self.set_aside(&refused, now).await;
        let rejected = refused.into_iter().map(|(rejection, _)| rejection).collect();
        Ok(IngestReport { accepted, duplicates, rejected })
    }

    /// Checks the elements of a body that came at `now`, each on its own, so that a bad one spoils only itself. An event
    /// is encoded and let go before the next is read: a body in the log's form takes less than its events in memory.
    ///
    /// # Errors
    /// [`BodyError`] if the body as a whole cannot be taken apart, or holds more than [`MAX_EVENTS`].
    pub(crate) fn check_body(
        &self,
        body: &Bytes,
        format: Format,
        now: Timestamp,
    ) -> Result<CheckedBody, BodyError> {
        let mut checked = CheckedBody { prepared: Prepared::default(), refused: Vec::new(), now };
        for (index, element) in elements(body, format, MAX_EVENTS)?.into_iter().enumerate() {
            let outcome = event(element, now).and_then(|event| {
                self.prepare_one(&mut checked.prepared, Arrival { event, origin: Origin::Client, at: now })
            });
            if let Err(detail) = outcome {
                checked.refused.push((Rejection { index, detail }, body.slice_ref(element)));
            }
        }
        Ok(checked)
    }

    /// Returns how many events the log took, and how many it had.
    async fn append(&self, prepared: Prepared) -> Result<(usize, usize), RoleError> {
        let Prepared { batches, n_duplicates, .. } = prepared;
        let n_events = batches.iter().map(|batch| batch.ends.len()).sum();
        let size_bytes = batches.iter().map(|batch| batch.bytes.len()).sum();
        let _events = self.room(&self.in_flight_events, n_events, self.config.max_in_flight_events)?;
        let _bytes = self.room(&self.in_flight_bytes, size_bytes, self.config.max_in_flight_bytes)?;
        for mut batch in batches {
            let started = Instant::now();
            self.log.append(batch.topic, batch.records()).await.map_err(|error| refusal(&error))?;
            metrics::histogram!("waggle_ingest_append_duration_seconds")
                .record(started.elapsed().as_secs_f64());
            self.recent().extend(batch.ids);
        }
        count("accepted", n_events);
        count("duplicate", n_duplicates);
        Ok((n_events, n_duplicates))
    }

    /// Whether the configuration gives a type of the installation's own a meaning.
    pub fn is_own_type(&self, name: &str) -> bool {
        self.config.types.contains_key(name)
    }

    /// Checks and encodes the events, and gives what is refused; touches nothing.
    fn prepare(&self, arrivals: impl Iterator<Item = Arrival>) -> (Prepared, Vec<Rejection>) {
        let (mut prepared, mut rejected) = (Prepared::default(), Vec::new());
        for (index, arrival) in arrivals.enumerate() {
            if let Err(detail) = self.prepare_one(&mut prepared, arrival) {
                rejected.push(Rejection { index, detail });
            }
        }
        (prepared, rejected)
    }

    /// Checks and encodes one event more, or says why it is refused.
    fn prepare_one(&self, prepared: &mut Prepared, arrival: Arrival) -> Result<(), String> {
        let Arrival { mut event, origin, at } = arrival;
        self.admit(&mut event, at, origin)?;
        let id = event.event_id.as_ref().map(|id| self.fingerprints.of(id));
        if id.is_some_and(|id| self.recent().contains(id) || !prepared.ids.insert(id)) {
            prepared.n_duplicates += 1;
            return Ok(());
        }
        let batch = prepared.batch_mut(topic_of(&event.body));
        batch.push(&event)?;
        batch.ids.extend(id);
        Ok(())
    }

    /// Applies the rules, and writes down what an act of the installation's own kind means today.
    fn admit(&self, event: &mut Event, at: Timestamp, origin: Origin) -> Result<(), String> {
        check_time(event.timestamp, at, origin, &self.config)?;
        check_person(event)?;
        if let EventBody::Interaction(interaction) = &mut event.body {
            interaction.signal = self.config.signal(&interaction.kind)?;
        }
        Ok(())
    }

    /// Held for one look only: requests of all workers share it.
    fn recent(&self) -> MutexGuard<'_, RecentIds> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Room for `n` on the way to the log, or a refusal. A request larger than all the room takes all of it.
    fn room<'a>(
        &self,
        semaphore: &'a Semaphore,
        n: usize,
        all: u32,
    ) -> Result<SemaphorePermit<'a>, RoleError> {
        let share = u32::try_from(n).unwrap_or(all).min(all);
        semaphore.try_acquire_many(share).map_err(|_| {
            metrics::counter!("waggle_ingest_overloaded_total").increment(1);
            RoleError::Overloaded { retry_after: RETRY_OVERLOAD }
        })
    }
}

#[async_trait]
impl Ingest for IngestService {
    /// What clients and topics send goes to one topic of the log, so it is taken in by one append. A batch of Waggle's own
    /// that spans topics is appended topic by topic; if a later topic fails, the earlier one stays.
    async fn accept(&self, events: Vec<Event>, origin: Origin) -> Result<IngestReport, RoleError> {
        let at = Timestamp::now();
        self.take_in(events.into_iter().map(|event| Arrival { event, origin, at })).await
    }

    async fn change_catalog(&self, changes: Vec<CatalogChange>) -> Result<(), RoleError> {
        let timestamp = Timestamp::now();
        let events = changes.into_iter().map(|change| Event {
            event_id: None,
            timestamp,
            person: Person::default(),
            body: EventBody::CatalogChange(Box::new(change)),
            context: serde_json::Map::new(),
        });
        let report = self.accept(events.collect(), Origin::System).await?;
        match report.rejected.first() {
            None => Ok(()),
            Some(rejection) => {
                Err(RoleError::Invalid(format!("change {}: {}", rejection.index, rejection.detail)))
            }
        }
    }
}

/// An event at the door.
pub(crate) struct Arrival {
    pub(crate) event: Event,
    pub(crate) origin: Origin,
    /// When it came; its own time is measured against it.
    pub(crate) at: Timestamp,
}

/// A body whose elements were checked.
pub(crate) struct CheckedBody {
    prepared: Prepared,
    /// What is not taken in, with the bytes as they came.
    refused: Vec<(Rejection, Bytes)>,
    now: Timestamp,
}

/// Events on their way to the log.
#[derive(Default)]
struct Prepared {
    batches: Vec<Batch>,
    n_duplicates: usize,
    /// Of all events that carry one.
    ids: FingerprintSet,
}

struct Batch {
    topic: Topic,
    /// Key and value of each record, one behind the other: thousands of them in one piece of memory.
    bytes: Vec<u8>,
    /// Where in `bytes` the key of each record ends, and its value.
    ends: Vec<[usize; 2]>,
    /// Of the records that carry an event id.
    ids: Vec<u128>,
}

impl Batch {
    fn new(topic: Topic) -> Self {
        Self { topic, bytes: Vec::new(), ends: Vec::new(), ids: Vec::new() }
    }

    /// Appends the event's record, if it is not too large.
    fn push(&mut self, event: &Event) -> Result<(), String> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key_of(event).as_bytes());
        let key_end = self.bytes.len();
        append_event(&mut self.bytes, event);
        let size = self.bytes.len() - key_end;
        if size > MAX_RECORD_BYTES {
            self.bytes.truncate(start);
            return Err(format!("event has {size} bytes, at most {MAX_RECORD_BYTES} are allowed"));
        }
        self.ends.push([key_end, self.bytes.len()]);
        Ok(())
    }

    /// Takes the records out.
    fn records(&mut self) -> Vec<NewRecord> {
        let mut rest = Bytes::from(std::mem::take(&mut self.bytes));
        let mut start = 0;
        let record = |[key_end, end]: [usize; 2]| {
            let (key, value) = (rest.split_to(key_end - start), rest.split_to(end - key_end));
            start = end;
            NewRecord { key, value }
        };
        std::mem::take(&mut self.ends).into_iter().map(record).collect()
    }
}

impl Prepared {
    fn batch_mut(&mut self, topic: Topic) -> &mut Batch {
        let place = self.batches.iter().position(|batch| batch.topic == topic).unwrap_or_else(|| {
            self.batches.push(Batch::new(topic));
            self.batches.len() - 1
        });
        &mut self.batches[place]
    }
}

/// A dead letter as a record of its topic.
pub(crate) fn letter_record(letter: &DeadLetter) -> NewRecord {
    NewRecord { key: Bytes::from_static(DEAD_LETTER_KEY), value: letter.encode().into() }
}

fn topic_of(body: &EventBody) -> Topic {
    match body {
        EventBody::Answer(_) => Topic::Answers,
        EventBody::CatalogChange(_) => Topic::Catalog,
        EventBody::Interaction(_)
        | EventBody::Impression(_)
        | EventBody::UserChange(_)
        | EventBody::Merge
        | EventBody::Erasure => Topic::Events,
    }
}

/// What chooses the record's partition: the item for the catalogue, the person for everything else.
fn key_of(event: &Event) -> &str {
    match &event.body {
        EventBody::CatalogChange(change) => change.item_id().as_str(),
        EventBody::Answer(answer) if event.person.is_nobody() => answer.answer_id.as_str(),
        _ => event.person.partition_key().unwrap_or_default(),
    }
}

fn check_time(time: Timestamp, now: Timestamp, origin: Origin, config: &IngestConfig) -> Result<(), String> {
    let (is_future_bound, is_past_bound) = match origin {
        Origin::Client => (true, true),
        Origin::Import => (true, false),
        Origin::System => (false, false),
    };
    if !time.is_expressible() {
        return Err(format!("timestamp {time} is not within the years 0 to 9999"));
    }
    if is_future_bound && time.since(now) > config.max_future() {
        return Err(format!(
            "timestamp {time} is in the future: clocks may be {} s ahead, and it is {now}",
            config.max_future_s
        ));
    }
    if is_past_bound && now.since(time) > config.max_past() {
        return Err(format!(
            "timestamp {time} is more than {} days ago; import older events instead",
            config.max_past_s / 86_400
        ));
    }
    Ok(())
}

fn check_person(event: &Event) -> Result<(), String> {
    let Person { user_id, session_id } = &event.person;
    let missing = match &event.body {
        // A list of what is trending may have been asked for by nobody in particular.
        EventBody::CatalogChange(_) | EventBody::Answer(_) => None,
        EventBody::Merge if user_id.is_none() || session_id.is_none() => {
            Some("a merge needs both user_id and session_id")
        }
        EventBody::UserChange(_) if user_id.is_none() => Some("user_id is missing"),
        _ if event.person.is_nobody() => Some("neither user_id nor session_id is given"),
        _ => None,
    };
    missing.map_or(Ok(()), |sentence| Err(sentence.to_owned()))
}

fn refusal(error: &LogError) -> RoleError {
    match error {
        LogError::Busy => RoleError::Overloaded { retry_after: RETRY_OVERLOAD },
        LogError::Full(_) | LogError::Closed => {
            tracing::error!(%error, "the log takes no events");
            RoleError::NotReady {
                detail: "the log takes no events at the moment".to_owned(),
                retry_after: RETRY_LOG,
            }
        }
        LogError::Storage(_) => {
            tracing::error!(%error, "the log did not confirm events");
            RoleError::NotReady {
                detail: "the log did not confirm the events; it may hold some of them, so send all of them again, \
                         and those with an event_id count once"
                    .to_owned(),
                retry_after: RETRY_UNCONFIRMED,
            }
        }
        other => RoleError::Failed { role: ROLE, detail: other.to_string() },
    }
}

fn count(outcome: &'static str, n: usize) {
    if n > 0 {
        metrics::counter!("waggle_ingest_events_total", "outcome" => outcome).increment(n as u64);
    }
}

#[cfg(test)]
mod tests;
