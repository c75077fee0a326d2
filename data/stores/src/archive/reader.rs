//! From files back to events, in the order of their time.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use waggle_model::{Event, PersonKey, Timestamp};

use super::{
    ArchiveError,
    columns::Row,
    merge::{Merge, Taken},
};
use crate::{
    artifacts::Artifacts,
    database::{ArchiveFile, Database},
    log::{LogRecord, Position, Topic},
};

/// Reads one topic's events from the archive.
#[derive(Debug, Clone)]
pub struct ArchiveReader {
    artifacts: Artifacts,
    database: Arc<Database>,
    topic: Topic,
}

/// Up to where the archive of a topic reaches: per partition the offset of the first record that does not belong.
///
/// Whoever read up to it can read the same again later, although the archive has grown; only what was erased since is
/// missing.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct AsOf(pub BTreeMap<u32, u64>);

impl AsOf {
    fn holds(&self, partition: u32, offset: u64) -> bool {
        self.0.get(&partition).is_some_and(|end| offset < *end)
    }
}

impl ArchiveReader {
    pub fn new(artifacts: Artifacts, database: Arc<Database>, topic: Topic) -> Self {
        Self { artifacts, database, topic }
    }

    /// Up to where the archive reaches now.
    pub async fn now(&self) -> Result<AsOf, ArchiveError> {
        Ok(AsOf(self.database.archive_offsets(self.topic).await?))
    }

    /// Events with a time in `range`, sorted by (time, partition, offset). What is archived later is not part of it.
    pub async fn events(&self, range: Range<Timestamp>) -> Result<ArchivedEvents, ArchiveError> {
        let files = self.database.archive_files(self.topic, range.clone()).await?;
        Ok(self.merge(files, move |_, _, time| range.contains(&time)))
    }

    /// [`events`](Self::events) that were in the log at `as_of`: none that came later, also if it tells of an earlier
    /// time.
    pub async fn events_as_of(
        &self,
        range: Range<Timestamp>,
        as_of: &AsOf,
    ) -> Result<ArchivedEvents, ArchiveError> {
        let as_of = as_of.clone();
        let mut files = self.database.archive_files(self.topic, range.clone()).await?;
        files.retain(|file| as_of.holds(file.partition, file.first_offset));
        let takes = move |partition, offset, time| range.contains(&time) && as_of.holds(partition, offset);
        Ok(self.merge(files, takes))
    }

    /// Events of these people up to `as_of`, sorted by (time, partition, offset).
    pub async fn events_of(
        &self,
        persons: &HashSet<PersonKey>,
        as_of: &AsOf,
    ) -> Result<ArchivedEvents, ArchiveError> {
        let mut files = self.database.all_archive_files(self.topic).await?;
        files.retain(|file| as_of.holds(file.partition, file.first_offset));
        let (persons, as_of) = (persons.clone(), as_of.clone());
        let merge = Merge::new(self.artifacts.clone(), files, move |partition, row| {
            let is_theirs = |event: &Event| event.person.key().is_some_and(|key| persons.contains(&key));
            row.event.filter(|event| as_of.holds(partition, row.offset) && is_theirs(event))
        });
        Ok(ArchivedEvents { merge, n_skipped: Arc::default() })
    }

    /// Shows every event up to `as_of` in the order of the log, partition by partition. In memory is what `take` makes of
    /// the events of one batch, which has [`CompactionRule::max_rows`](super::CompactionRule) rows at most unless a
    /// larger one was archived at once.
    pub async fn each_in_log_order<T: Send + 'static>(
        &self,
        as_of: &AsOf,
        take: impl Fn(Event) -> T + Clone + Send + 'static,
        mut look: impl FnMut(Position, T),
    ) -> Result<(), ArchiveError> {
        let mut files = self.database.all_archive_files(self.topic).await?;
        files.retain(|file| as_of.holds(file.partition, file.first_offset));
        for batch in batches(files) {
            let (as_of, take) = (as_of.clone(), take.clone());
            let takes = move |partition, row: Row| {
                row.event.filter(|_| as_of.holds(partition, row.offset)).map(&take)
            };
            for taken in self.in_log_order(batch, takes).await? {
                look(Position { partition: taken.partition, offset: taken.offset }, taken.row);
            }
        }
        Ok(())
    }

    /// Offsets of the partition that the archive covers; those of gaps and of what was erased are among them.
    ///
    /// # Errors
    /// Those of the manifest.
    pub async fn covers(&self, partition: u32) -> Result<Range<u64>, ArchiveError> {
        let end = self.database.archive_offset(self.topic, partition).await?;
        let files = self.database.all_archive_files(self.topic).await?;
        let firsts = files.iter().filter(|file| file.partition == partition).map(|file| file.first_offset);
        Ok(firsts.min().unwrap_or(end)..end)
    }

    /// What the log held in the partition between the two offsets, batch by batch, whether the log still has it or not.
    /// Of the erased there is only the erasure; keys are not kept, and the time of each record is its event's.
    ///
    /// # Errors
    /// Those of the manifest.
    pub async fn records(
        &self,
        partition: u32,
        offsets: Range<u64>,
    ) -> Result<ArchivedRecords, ArchiveError> {
        let mut files = self.database.all_archive_files(self.topic).await?;
        files.retain(|file| {
            file.partition == partition
                && file.first_offset < offsets.end
                && file.last_offset >= offsets.start
        });
        Ok(ArchivedRecords { reader: self.clone(), batches: batches(files).into(), offsets })
    }

    /// The rows of one batch by offset.
    async fn in_log_order<T: Send + 'static>(
        &self,
        batch: Vec<ArchiveFile>,
        takes: impl FnMut(u32, Row) -> Option<T> + Send + 'static,
    ) -> Result<Vec<Taken<T>>, ArchiveError> {
        let mut merge = Merge::new(self.artifacts.clone(), batch, takes);
        let mut rows = Vec::new();
        while let Some(taken) = merge.next_batch().await? {
            rows.extend(taken);
        }
        rows.sort_unstable_by_key(|taken| taken.offset);
        Ok(rows)
    }

    fn merge(
        &self,
        files: Vec<ArchiveFile>,
        takes: impl Fn(u32, u64, Timestamp) -> bool + Send + 'static,
    ) -> ArchivedEvents {
        let n_skipped = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&n_skipped);
        let merge = Merge::new(self.artifacts.clone(), files, move |partition, row| {
            if !takes(partition, row.offset, row.time) {
                return None;
            }
            if row.event.is_none() {
                counter.fetch_add(1, Ordering::Relaxed);
            }
            row.event
        });
        ArchivedEvents { merge, n_skipped }
    }
}

/// Records of one partition on their way out of the archive.
pub struct ArchivedRecords {
    reader: ArchiveReader,
    batches: VecDeque<Vec<ArchiveFile>>,
    offsets: Range<u64>,
}

impl ArchivedRecords {
    /// The records of the next batch that has any; `None` at the end.
    ///
    /// # Errors
    /// [`ArchiveError::Damaged`] and [`ArchiveError::Version`] name the file.
    pub async fn next_batch(&mut self) -> Result<Option<Vec<LogRecord>>, ArchiveError> {
        while let Some(batch) = self.batches.pop_front() {
            let offsets = self.offsets.clone();
            let takes =
                move |partition, row: Row| offsets.contains(&row.offset).then(|| row.into_record(partition));
            let records = self.reader.in_log_order(batch, takes).await?;
            if !records.is_empty() {
                return Ok(Some(records.into_iter().map(|taken| taken.row).collect()));
            }
        }
        Ok(None)
    }
}

/// Files of one partition whose offsets overlap, together; `files` come by partition and offset.
fn batches(files: Vec<ArchiveFile>) -> Vec<Vec<ArchiveFile>> {
    let mut batches: Vec<Vec<ArchiveFile>> = Vec::new();
    let mut last = None;
    for file in files {
        let (place, end) = (file.partition, file.last_offset);
        match (last, batches.last_mut()) {
            (Some((partition, last_offset)), Some(batch))
                if partition == place && file.first_offset <= last_offset =>
            {
                last = Some((partition, end.max(last_offset)));
                batch.push(file);
            }
            _ => {
                last = Some((place, end));
                batches.push(vec![file]);
            }
        }
    }
    batches
}

/// Events on their way out of the archive.
pub struct ArchivedEvents {
    merge: Merge<Event>,
    n_skipped: Arc<AtomicU64>,
}

impl ArchivedEvents {
    /// The next events, some thousands at most; `None` at the end.
    ///
    /// # Errors
    /// [`ArchiveError::Damaged`] and [`ArchiveError::Version`] name the file.
    pub async fn next_batch(&mut self) -> Result<Option<Vec<(Position, Event)>>, ArchiveError> {
        let Some(batch) = self.merge.next_batch().await? else { return Ok(None) };
        let placed = batch
            .into_iter()
            .map(|taken| (Position { partition: taken.partition, offset: taken.offset }, taken.row));
        Ok(Some(placed.collect()))
    }

    /// All that is left, in memory.
    pub async fn collect(mut self) -> Result<Vec<(Position, Event)>, ArchiveError> {
        let mut all = Vec::new();
        while let Some(batch) = self.next_batch().await? {
            all.extend(batch);
        }
        Ok(all)
    }

    /// Archived records passed over so far because they are not events.
    pub fn n_skipped(&self) -> u64 {
        self.n_skipped.load(Ordering::Relaxed)
    }
}
