//! Many files as one run of rows, in the order of (time, partition, offset).

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    iter::Peekable,
};

use waggle_model::Timestamp;

use super::{
    ArchiveError,
    columns::{File, Row},
    off_thread, open,
};
use crate::{artifacts::Artifacts, database::ArchiveFile};

/// Rows handed out at once.
const BATCH: usize = 8_192;

/// A merge of files, each opened when its time comes; of an open file one row group is in memory, besides its bytes.
///
/// `T` is what becomes of a row; what becomes nothing is left out.
pub(super) struct Merge<T> {
    artifacts: Artifacts,
    take: Take<T>,
    /// By earliest event.
    waiting: VecDeque<ArchiveFile>,
    open: Vec<Option<OpenFile<T>>>,
    /// The next row of each open file: time, partition, offset, place in `open`.
    heads: BinaryHeap<Reverse<(Timestamp, u32, u64, usize)>>,
}

type Take<T> = Box<dyn FnMut(u32, Row) -> Option<T> + Send>;

/// What became of a row, and where the row stood.
pub(super) struct Taken<T> {
    pub(super) partition: u32,
    pub(super) offset: u64,
    pub(super) row: T,
}

struct OpenFile<T> {
    path: String,
    partition: u32,
    file: File,
    rows: Peekable<std::vec::IntoIter<(Timestamp, u64, T)>>,
}

impl<T: Send + 'static> Merge<T> {
    pub(super) fn new(
        artifacts: Artifacts,
        mut files: Vec<ArchiveFile>,
        take: impl FnMut(u32, Row) -> Option<T> + Send + 'static,
    ) -> Self {
        files.sort_by_key(|file| file.min_time);
        Self {
            artifacts,
            take: Box::new(take),
            waiting: files.into(),
            open: Vec::new(),
            heads: BinaryHeap::new(),
        }
    }

    /// The next rows, some thousands at most; `None` at the end.
    pub(super) async fn next_batch(&mut self) -> Result<Option<Vec<Taken<T>>>, ArchiveError> {
        let mut batch = Vec::new();
        while batch.len() < BATCH {
            self.open_files_that_are_due().await?;
            let Some(Reverse((_, partition, _, place))) = self.heads.pop() else { break };
            let Some(open) = self.open.get_mut(place).and_then(Option::as_mut) else { continue };
            // While this file is ahead of all others its rows need no heap.
            let limit =
                self.heads.peek().map(|Reverse((time, partition, offset, _))| (*time, *partition, *offset));
            let due = self.waiting.front().map(|file| file.min_time);
            while let Some((_, offset, row)) = open.rows.next() {
                batch.push(Taken { partition, offset, row });
                let Some((time, offset, _)) = open.rows.peek() else { break };
                let next = (*time, partition, *offset);
                let is_ahead = limit.is_none_or(|limit| next < limit) && due.is_none_or(|due| next.0 < due);
                if !is_ahead || batch.len() >= BATCH {
                    break;
                }
            }
            self.refill(place).await?;
        }
        Ok((!batch.is_empty()).then_some(batch))
    }

    /// Opens every file that may hold the next row.
    async fn open_files_that_are_due(&mut self) -> Result<(), ArchiveError> {
        while let Some(next) = self.waiting.front() {
            if self.heads.peek().is_some_and(|Reverse((time, ..))| *time < next.min_time) {
                return Ok(());
            }
            let Some(file) = self.waiting.pop_front() else { return Ok(()) };
            let opened = open(&self.artifacts, &file).await?;
            let (path, partition) = (file.path, file.partition);
            let open = OpenFile { path, partition, file: opened, rows: Vec::new().into_iter().peekable() };
            let place = self.open.iter().position(Option::is_none).unwrap_or(self.open.len());
            if place == self.open.len() {
                self.open.push(None);
            }
            self.open[place] = Some(open);
            self.refill(place).await?;
        }
        Ok(())
    }

    /// Sees to it that the file's next row is among the heads, or closes the file.
    async fn refill(&mut self, place: usize) -> Result<(), ArchiveError> {
        let Some(mut open) = self.open.get_mut(place).and_then(Option::take) else { return Ok(()) };
        loop {
            if let Some((time, offset, _)) = open.rows.peek() {
                self.heads.push(Reverse((*time, open.partition, *offset, place)));
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
            let mut taken = Vec::with_capacity(rows.len());
            for row in rows {
                let (time, offset) = (row.time, row.offset);
                taken.extend((self.take)(partition, row).map(|row| (time, offset, row)));
            }
            open = OpenFile { path, partition, file, rows: taken.into_iter().peekable() };
        }
    }
}
