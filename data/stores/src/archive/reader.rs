//! From files back to events, in the order of their time.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    iter::Peekable,
    ops::Range,
    sync::Arc,
};

use waggle_model::{Event, Timestamp};

use super::{
    ArchiveError,
    columns::{File, OpenError, VERSION},
};
use crate::{
    artifacts::Artifacts,
    database::{ArchiveFile, Database},
    log::{Position, Topic},
};

/// Events handed out at once.
const BATCH: usize = 8_192;

/// Reads one topic's events from the archive.
#[derive(Debug, Clone)]
pub struct ArchiveReader {
    artifacts: Artifacts,
    database: Arc<Database>,
    topic: Topic,
}

impl ArchiveReader {
    pub fn new(artifacts: Artifacts, database: Arc<Database>, topic: Topic) -> Self {
        Self { artifacts, database, topic }
    }

    /// Events with a time in `range`, sorted by (time, partition, offset). What is archived later is not part of it.
    pub async fn events(&self, range: Range<Timestamp>) -> Result<ArchivedEvents, ArchiveError> {
        let files = self.database.archive_files(self.topic, range.clone()).await?;
        Ok(ArchivedEvents {
            artifacts: self.artifacts.clone(),
            range,
            waiting: files.into(),
            open: Vec::new(),
            heads: BinaryHeap::new(),
            n_skipped: 0,
        })
    }
}

/// Events on their way out of the archive: a merge of the files, each opened when its time comes.
pub struct ArchivedEvents {
    artifacts: Artifacts,
    range: Range<Timestamp>,
    /// By earliest event.
    waiting: VecDeque<ArchiveFile>,
    open: Vec<Option<OpenFile>>,
    /// The next event of each open file: time, partition, offset, place in `open`.
    heads: BinaryHeap<Reverse<(Timestamp, u32, u64, usize)>>,
    n_skipped: u64,
}

struct OpenFile {
    path: String,
    partition: u32,
    file: File,
    rows: Peekable<std::vec::IntoIter<(u64, Event)>>,
}

impl ArchivedEvents {
    /// The next events, some thousands at most; `None` at the end.
    ///
    /// # Errors
    /// [`ArchiveError::Damaged`] and [`ArchiveError::Version`] name the file.
    pub async fn next_batch(&mut self) -> Result<Option<Vec<(Position, Event)>>, ArchiveError> {
        let mut batch = Vec::new();
        while batch.len() < BATCH {
            self.open_files_that_are_due().await?;
            let Some(Reverse((_, partition, _, place))) = self.heads.pop() else { break };
            let Some(open) = self.open.get_mut(place).and_then(Option::as_mut) else { continue };
            // While this file is ahead of all others its events need no heap.
            let limit =
                self.heads.peek().map(|Reverse((time, partition, offset, _))| (*time, *partition, *offset));
            let due = self.waiting.front().map(|file| file.min_time);
            while let Some((offset, event)) = open.rows.next() {
                batch.push((Position { partition, offset }, event));
                let Some((offset, event)) = open.rows.peek() else { break };
                let next = (event.timestamp, partition, *offset);
                let is_ahead = limit.is_none_or(|limit| next < limit) && due.is_none_or(|due| next.0 < due);
                if !is_ahead || batch.len() >= BATCH {
                    break;
                }
            }
            self.refill(place).await?;
        }
        Ok((!batch.is_empty()).then_some(batch))
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
        self.n_skipped
    }

    /// Opens every file that may hold the next event.
    async fn open_files_that_are_due(&mut self) -> Result<(), ArchiveError> {
        while let Some(next) = self.waiting.front() {
            if self.heads.peek().is_some_and(|Reverse((time, ..))| *time < next.min_time) {
                return Ok(());
            }
            let Some(file) = self.waiting.pop_front() else { return Ok(()) };
            let content = self.artifacts.get_verified(&file.path, &file.sha256).await?;
            let (path, partition) = (file.path, file.partition);
            let opened = off_thread(&path, move || File::open(content)).await?;
            let file = opened.map_err(|e| match e {
                OpenError::Version(got) => {
                    ArchiveError::Version { path: path.clone(), got, expected: VERSION }
                }
                OpenError::Damaged(detail) => ArchiveError::Damaged { path: path.clone(), detail },
            })?;
            let open = OpenFile { path, partition, file, rows: Vec::new().into_iter().peekable() };
            let place = self.open.iter().position(Option::is_none).unwrap_or(self.open.len());
            if place == self.open.len() {
                self.open.push(None);
            }
            self.open[place] = Some(open);
            self.refill(place).await?;
        }
        Ok(())
    }

    /// Sees to it that the file's next event is among the heads, or closes the file.
    async fn refill(&mut self, place: usize) -> Result<(), ArchiveError> {
        let Some(mut open) = self.open.get_mut(place).and_then(Option::take) else { return Ok(()) };
        loop {
            if let Some((offset, event)) = open.rows.peek() {
                self.heads.push(Reverse((event.timestamp, open.partition, *offset, place)));
                self.open[place] = Some(open);
                return Ok(());
            }
            let OpenFile { path, partition, mut file, .. } = open;
            let read = off_thread(&path, move || {
                let rows = file.next_rows();
                (file, rows)
            });
            let (file, rows) = read.await?;
            let rows =
                rows.map_err(|e| ArchiveError::Damaged { path: path.clone(), detail: e.to_string() })?;
            let Some(rows) = rows else { return Ok(()) };
            let mut events = Vec::with_capacity(rows.len());
            for (offset, event) in rows {
                match event {
                    Some(event) if self.range.contains(&event.timestamp) => events.push((offset, event)),
                    Some(_) => {}
                    None => self.n_skipped += 1,
                }
            }
            open = OpenFile { path, partition, file, rows: events.into_iter().peekable() };
        }
    }
}

/// Decoding is work for another thread, where a panic of the Parquet library is an error of the file.
async fn off_thread<T: Send + 'static>(
    path: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ArchiveError> {
    let failure =
        |e: tokio::task::JoinError| ArchiveError::Damaged { path: path.to_owned(), detail: e.to_string() };
    tokio::task::spawn_blocking(work).await.map_err(failure)
}
