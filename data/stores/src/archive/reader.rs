//! From files back to events, in the order of their time.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use waggle_model::{Event, Timestamp};

use super::{ArchiveError, merge::Merge};
use crate::{
    artifacts::Artifacts,
    database::{ArchiveFile, Database},
    log::{Position, Topic},
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
