//! A log with events, and a consumer over it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use waggle_features::FoldPolicy;
use waggle_features_role::{ConsumerConfig, FeaturesConsumer, FoldError, Progress};
use waggle_model::{
    Event, EventBody, EventId, Interaction, InteractionKind, ItemId, Person, SessionId, Timestamp,
    UserChange, UserId, encode_event,
};
use waggle_stores::{
    ALL_SLOTS, EventLog, MemoryState, NewRecord, SqliteLog, SqliteLogOptions, StateKey, StateKind,
    StateStore, Topic,
};

pub(crate) const N_PARTITIONS: u32 = 3;
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

pub(crate) struct World {
    pub(crate) log: Arc<SqliteLog>,
    pub(crate) dir: TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = SqliteLogOptions { n_partitions: N_PARTITIONS, max_bytes: None };
        let log = Arc::new(SqliteLog::open(dir.path().join("log.db"), options).await.unwrap());
        Self { log, dir }
    }

    pub(crate) async fn append(&self, events: &[Event]) {
        let records = events.iter().map(|event| NewRecord {
            key: Bytes::copy_from_slice(event.person.partition_key().unwrap().as_bytes()),
            value: encode_event(event).into(),
        });
        self.log.append(Topic::Events, records.collect()).await.unwrap();
    }

    /// [`fold`](Self::fold) under a policy of the test's choice.
    pub(crate) async fn fold_under(
        &self,
        state: &Arc<MemoryState>,
        batch_records: usize,
        policy: FoldPolicy,
    ) {
        let running = Running::start_under(self, state, batch_records, policy);
        running.caught_up().await;
        running.stop().await.unwrap();
    }

    /// Folds all that the log holds and stops; the state's own checkpoint is written on the way out.
    pub(crate) async fn fold(&self, state: &Arc<MemoryState>, batch_records: usize) {
        let running = Running::start(self, state, batch_records);
        running.caught_up().await;
        running.stop().await.unwrap();
    }
}

pub(crate) struct Running {
    pub(crate) progress: Arc<Progress>,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), FoldError>>,
}

impl Running {
    pub(crate) fn start(world: &World, state: &Arc<MemoryState>, batch_records: usize) -> Self {
        Self::start_under(world, state, batch_records, FoldPolicy::default())
    }

    fn start_under(
        world: &World,
        state: &Arc<MemoryState>,
        batch_records: usize,
        policy: FoldPolicy,
    ) -> Self {
        let config = ConsumerConfig { batch_records, policy, ..ConsumerConfig::default() };
        let consumer = FeaturesConsumer::new(world.log.clone(), state.clone(), config, "alone");
        let (progress, shutdown) = (consumer.progress(), CancellationToken::new());
        let task = tokio::spawn(consumer.run(shutdown.clone()));
        Self { progress, shutdown, task }
    }

    pub(crate) async fn caught_up(&self) {
        assert!(self.progress.wait_until_caught_up(PATIENCE).await.unwrap());
    }

    pub(crate) async fn stop(self) -> Result<(), FoldError> {
        self.shutdown.cancel();
        self.task.await.unwrap()
    }

    /// As a crash would: nothing is finished, nothing is saved.
    pub(crate) async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }

    /// How it ends by itself.
    pub(crate) async fn end(self) -> Result<(), FoldError> {
        self.task.await.unwrap()
    }
}

/// Every blob and offset of the state, in a fixed order.
pub(crate) async fn everything(state: &MemoryState) -> Vec<(StateKey, Bytes)> {
    let mut all = Vec::new();
    for partition in 0..N_PARTITIONS {
        for kind in [StateKind::Person, StateKind::Item, StateKind::Fold] {
            let blobs = state.scan(partition, kind, ALL_SLOTS).await.unwrap();
            all.extend(blobs.into_iter().map(|(key, blob)| (StateKey { partition, kind, key }, blob)));
        }
    }
    all.sort_by_key(|(key, _)| *key);
    all
}

pub(crate) fn memory() -> Arc<MemoryState> {
    Arc::new(MemoryState::in_memory(N_PARTITIONS))
}

pub(crate) fn user(id: &str) -> Person {
    Person::user(UserId::try_new(id).unwrap())
}

pub(crate) fn session(id: &str) -> Person {
    Person::session(SessionId::try_new(id).unwrap())
}

pub(crate) fn user_in_session(user_id: &str, session_id: &str) -> Person {
    Person { session_id: session(session_id).session_id, ..user(user_id) }
}

pub(crate) fn item(id: &str) -> ItemId {
    ItemId::try_new(id).unwrap()
}

pub(crate) fn event(person: Person, seconds: i64, body: EventBody) -> Event {
    Event {
        event_id: None,
        timestamp: START.shifted_by_millis(seconds * 1_000),
        person,
        body,
        context: empty(),
    }
}

pub(crate) fn purchase(person: Person, seconds: i64, item_id: &str) -> Event {
    event(person, seconds, EventBody::Interaction(Interaction::new(InteractionKind::Purchase, item(item_id))))
}

pub(crate) fn with_id(mut event: Event, id: &str) -> Event {
    event.event_id = Some(EventId::try_new(id).unwrap());
    event
}

pub(crate) fn user_change() -> EventBody {
    EventBody::UserChange(UserChange { properties: empty() })
}

/// A busy market: many people and items, retries, merges, an erasure and its end.
pub(crate) fn market(n: usize) -> Vec<Event> {
    let mut events = Vec::with_capacity(n);
    for i in 0..n {
        let seconds = i64::try_from(i).unwrap();
        let person = user(&format!("user-{}", i * 7 % 97));
        let next = match i % 50 {
            17 => event(
                user_in_session(&format!("user-{}", i % 97), &format!("visit-{i}")),
                seconds,
                EventBody::Merge,
            ),
            29 if i % 700 == 29 => event(person, seconds, EventBody::Erasure),
            31 => event(person, seconds, user_change()),
            _ => purchase(person, seconds, &format!("item-{}", i * 13 % 211)),
        };
        // Every fifth is sent twice, some of them long after.
        let repeated = events.len().checked_sub(if i % 10 == 0 { 3 } else { 400 });
        if let Some(place) = repeated.filter(|_| i % 5 == 0) {
            let repeated: Event = Event::clone(&events[place]);
            events.push(repeated);
        }
        events.push(with_id(next, &format!("event-{i}")));
    }
    events
}

fn empty<T: Default>() -> T {
    T::default()
}
