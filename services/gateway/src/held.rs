//! What the installation holds about a person, and until when: for whoever asks for their data, or was asked to be
//! forgotten.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Semaphore;
use waggle_contracts::api::{ArchiveFileTrace, ArchiveTraces, ErasureReport, Kept, LogTraces, SnapshotTrace};
use waggle_model::{
    Event, EventBody, Person, PersonKey, SessionId, Timestamp, UserId, decode_event, partition_of,
};
use waggle_stores::{
    ArchiveError, ArchiveReader, Artifacts, Database, DatabaseError, EventLog, LogError, LogRecord,
    LogSection, Topic, archive::rows_of,
};

/// Records read at once.
const BATCH: usize = 5_000;
/// Exports that are read at once: each goes through the whole archive.
const EXPORTS: usize = 1;

#[derive(Debug, thiserror::Error)]
pub enum HeldError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// How long what follows the log takes to forget, in the usual case.
#[derive(Debug, Clone, Copy)]
pub struct ForgetTimes {
    /// Until the erasure is archived.
    pub archived: Duration,
    /// Between two rounds of the archive's upkeep.
    pub upkeep: Duration,
    /// What replaced files of the archive are kept for readers.
    pub grace: Duration,
    /// Until the online state's next checkpoint is on disk; `None` where the state is in another server.
    pub checkpoint: Option<Duration>,
    /// How long answers are kept.
    pub answers: Duration,
}

/// The stores in which people's records lie.
pub struct Held {
    log: Arc<dyn EventLog>,
    database: Arc<Database>,
    artifacts: Artifacts,
    times: ForgetTimes,
    pub(crate) exports: Semaphore,
}

/// A user and the sessions that turned out to be theirs.
#[derive(Debug, Clone)]
pub struct People {
    pub user: UserId,
    pub sessions: BTreeSet<SessionId>,
}

impl People {
    fn keys(&self) -> HashSet<PersonKey> {
        self.sessions.iter().map(SessionId::key).chain([self.user.key()]).collect()
    }

    /// Keys of records, by the partition that they are in.
    fn by_partition(&self, n_partitions: u32) -> BTreeMap<u32, HashSet<&[u8]>> {
        let mut keys = BTreeMap::<u32, HashSet<&[u8]>>::new();
        let names = self.sessions.iter().map(SessionId::as_str).chain([self.user.as_str()]);
        for name in names.map(str::as_bytes) {
            keys.entry(partition_of(name, n_partitions)).or_default().insert(name);
        }
        keys
    }
}

impl Held {
    pub fn new(
        log: Arc<dyn EventLog>,
        database: Arc<Database>,
        artifacts: Artifacts,
        times: ForgetTimes,
    ) -> Self {
        Self { log, database, artifacts, times, exports: Semaphore::new(EXPORTS) }
    }

    /// What still holds the person, of the records that are there now. Log and archive are looked through for up to
    /// `patience` each; what was not seen by then is reported as a place where records may be.
    ///
    /// - `sessions`: those known to be theirs; merges that the log still holds tell of more
    ///
    /// # Errors
    /// A store that cannot be read.
    pub async fn traces(
        &self,
        user: UserId,
        sessions: impl IntoIterator<Item = SessionId>,
        erased_at: Timestamp,
        patience: Duration,
    ) -> Result<ErasureReport, HeldError> {
        let mut people = People { user, sessions: sessions.into_iter().collect() };
        let log = self.log_traces(&mut people, erased_at, Instant::now() + patience).await?;
        let archive = self.archive_traces(&people, erased_at, patience).await;
        let snapshots = self.database.list_snapshots().await?;
        let snapshots = snapshots.into_iter().filter(|snapshot| snapshot.created_at <= erased_at);
        let snapshots = snapshots.map(|s| SnapshotTrace { version: s.version, created_at: s.created_at });
        Ok(ErasureReport {
            erased_at,
            answers_by: after(erased_at, self.times.answers),
            checkpoint_by: self.times.checkpoint.map(|checkpoint| after(erased_at, checkpoint)),
            log,
            archive,
            snapshots: snapshots.collect(),
            sessions: people.sessions.into_iter().collect(),
            user_id: people.user,
        })
    }

    async fn log_traces(
        &self,
        people: &mut People,
        erased_at: Timestamp,
        deadline: Instant,
    ) -> Result<Vec<LogTraces>, HeldError> {
        let mut traces = Vec::new();
        let n_partitions = self.log.n_partitions(Topic::Events);
        // The merges in the user's partition tell of sessions, so that partition comes first.
        let home = partition_of(people.user.as_str().as_bytes(), n_partitions);
        let alone = People { user: people.user.clone(), sessions: BTreeSet::new() };
        let seen = self.look(Topic::Events, home, &alone, deadline).await?;
        people.sessions.extend(seen.sessions);
        for topic in [Topic::Events, Topic::Answers] {
            let kept = self.kept(topic, erased_at).await;
            for partition in people.by_partition(self.log.n_partitions(topic)).into_keys() {
                let seen = self.look(topic, partition, people, deadline).await?;
                traces.extend(seen.trace(topic, partition, kept));
            }
        }
        Ok(traces)
    }

    /// Until when the topic keeps what was there at `erased_at`.
    async fn kept(&self, topic: Topic, erased_at: Timestamp) -> Kept {
        match self.log.longest_kept(topic).await {
            Ok(Some(longest)) => Kept::Until(after(erased_at, longest)),
            Ok(None) => Kept::ForEver,
            Err(error) => {
                tracing::warn!(topic = topic.as_str(), %error, "how long the topic is kept cannot be asked");
                Kept::Unknown
            }
        }
    }

    /// Records of the people in one partition.
    async fn look(
        &self,
        topic: Topic,
        partition: u32,
        people: &People,
        deadline: Instant,
    ) -> Result<Seen, LogError> {
        let by_partition = people.by_partition(self.log.n_partitions(topic));
        let (keys, persons) = (by_partition.get(&partition), people.keys());
        let mut section = LogSection::whole(&*self.log, topic, partition).await?;
        let mut seen = Seen::default();
        while Instant::now() < deadline {
            let Some(records) = section.next(BATCH).await? else { return Ok(seen) };
            let named = records.iter().filter(|record| keys.is_some_and(|keys| keys.contains(&*record.key)));
            named.for_each(|record| seen.add(record, &persons));
        }
        let (next, end) = section.rest();
        seen.unseen = (next < end).then_some((next, end));
        Ok(seen)
    }

    async fn archive_traces(
        &self,
        people: &People,
        erased_at: Timestamp,
        patience: Duration,
    ) -> ArchiveTraces {
        let persons = people.keys();
        let look = rows_of(&self.artifacts, &self.database, &persons);
        let files = match tokio::time::timeout(patience, look).await {
            Ok(Ok(files)) => Some(files),
            // The erasure is in the log: a damaged file must not make it look as if it had failed.
            Ok(Err(error)) => {
                tracing::error!(%error, "the archive cannot be looked through");
                None
            }
            Err(_) => None,
        };
        let rewritten_by = after(after(erased_at, self.times.archived), self.times.upkeep);
        ArchiveTraces {
            is_whole: files.is_some(),
            files: files
                .into_iter()
                .flatten()
                .map(|(file, n_rows)| ArchiveFileTrace { path: file.path, n_rows })
                .collect(),
            rewritten_by,
            deleted_by: after(after(rewritten_by, self.times.grace), self.times.upkeep),
        }
    }

    /// Shows every record of the people that archive and log hold, topic by topic: what is archived by time, then what is
    /// not archived yet.
    ///
    /// `show` is asked for each, and stops it all by `false`.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub async fn each_record(
        &self,
        people: &People,
        topic: Topic,
        mut show: impl AsyncFnMut(Event) -> bool,
    ) -> Result<(), HeldError> {
        let persons = people.keys();
        let reader = ArchiveReader::new(self.artifacts.clone(), self.database.clone(), topic);
        let as_of = reader.now().await?;
        let mut archived = reader.events_of(&persons, &as_of).await?;
        while let Some(batch) = archived.next_batch().await? {
            for (_, event) in batch {
                if !show(event).await {
                    return Ok(());
                }
            }
        }
        for (partition, keys) in people.by_partition(self.log.n_partitions(topic)) {
            let end = self.log.end(topic, partition).await?;
            let archived = as_of.0.get(&partition).copied().unwrap_or(0);
            let mut rest = LogSection::new(&*self.log, topic, partition, archived, end);
            while let Some(records) = rest.next(BATCH).await? {
                let named = records.iter().filter(|record| keys.contains(&*record.key));
                for event in named.filter_map(|record| decode_event(&record.value).ok()) {
                    if is_of(&event.person, &persons) && !show(event).await {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }
}

/// What was seen of some people in a partition.
#[derive(Default)]
struct Seen {
    n_records: u64,
    /// Offsets of the first and the last.
    range: Option<(u64, u64)>,
    /// Of the user's merges.
    sessions: Vec<SessionId>,
    /// From and up to where time did not suffice to look.
    unseen: Option<(u64, u64)>,
}

impl Seen {
    fn add(&mut self, record: &LogRecord, persons: &HashSet<PersonKey>) {
        // A user and a session of one name have the same key; a record that is no event holds the name, too.
        if let Ok(event) = decode_event(&record.value) {
            if !is_of(&event.person, persons) || event.body == EventBody::Erasure {
                return;
            }
            if event.body == EventBody::Merge {
                self.sessions.extend(event.person.session_id);
            }
        }
        self.n_records += 1;
        let first = self.range.map_or(record.offset, |(first, _)| first);
        self.range = Some((first, record.offset));
    }

    fn trace(self, topic: Topic, partition: u32, kept: Kept) -> Option<LogTraces> {
        let is_whole = self.unseen.is_none();
        let first = self.range.map(|(first, _)| first).or(self.unseen.map(|(from, _)| from))?;
        let last = self.unseen.map(|(_, end)| end - 1).or(self.range.map(|(_, last)| last))?;
        Some(LogTraces {
            topic: topic.as_str().to_owned(),
            partition,
            first_offset: first,
            last_offset: last,
            n_records: self.n_records,
            is_whole,
            kept,
        })
    }
}

fn is_of(person: &Person, persons: &HashSet<PersonKey>) -> bool {
    person.key().is_some_and(|key| persons.contains(&key))
}

fn after(time: Timestamp, wait: Duration) -> Timestamp {
    time.shifted_by_millis(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX))
}
