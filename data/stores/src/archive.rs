//! The archive: the log's records as Parquet files, for training and for reading back.
//!
//! A batch of consecutive records of one partition becomes one or a few files, whose rows are sorted by (time, offset)
//! and which are named `archive/<topic>/day=<day of the first event>/<partition>-<first>-<last>-<random>.parquet` by the
//! offsets that the batch covers. Files are cut where the day changes, but only once they hold [`MIN_FILE_ROWS`] rows: a
//! live batch gives a file or two, a busy day files of its own, and two years of imported history a few dozen files
//! instead of one per day and batch. Which times a file really spans is in its manifest row, and range reads go by that.
//!
//! A file belongs to the archive while the manifest has its row. It is announced before it is written, gets its row with
//! its batch ([`Database::commit_archive_batch`](crate::Database::commit_archive_batch)), loses it when [`compact`] or
//! [`erase`] put another in its place, in one transaction, and is deleted by [`sweep`] when it has been without one for
//! long enough. A name is used once, so each step may be cut off anywhere and nothing is lost, doubled or left behind.
//!
//! What a partition's batches cover is contiguous; they may hold fewer rows than offsets, because logs leave gaps and the
//! erased are left out.

mod columns;
mod compaction;
mod erasure;
mod merge;
mod reader;
mod rewrite;
mod sweep;
mod writer;

use self::columns::{File, OpenError, VERSION};
pub use self::{
    compaction::{CompactionReport, CompactionRule, compact},
    erasure::{ErasureReport, RewrittenFile, erase, rows_of},
    reader::{ArchiveReader, ArchivedEvents, ArchivedRecords, AsOf},
    sweep::sweep,
    writer::{ArchiveWriter, MIN_FILE_ROWS},
};
use crate::{
    artifacts::{ArtifactError, Artifacts},
    background::{self, Panicked},
    database::{ArchiveFile, DatabaseError},
};

#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error(
        "records to archive must ascend: partition {partition} is at offset {at_least}, and {got} follows"
    )]
    Disordered { partition: u32, at_least: u64, got: u64 },
    #[error("there are no records of partition {partition} to archive")]
    NoRecords { partition: u32 },
    #[error("archive file {path} is damaged: {detail}")]
    Damaged { path: String, detail: String },
    #[error("archive file {path} has version {got}, this build reads {expected}")]
    Version { path: String, got: String, expected: &'static str },
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error("writing the archive failed: {0}")]
    Write(String),
}

async fn open(artifacts: &Artifacts, file: &ArchiveFile) -> Result<File, ArchiveError> {
    let path = &file.path;
    let content = artifacts.get_verified(path, &file.sha256).await?;
    off_thread(path, move || File::open(content)).await?.map_err(|error| match error {
        OpenError::Version(got) => ArchiveError::Version { path: path.clone(), got, expected: VERSION },
        OpenError::Damaged(detail) => ArchiveError::Damaged { path: path.clone(), detail },
    })
}

/// Decoding is work for another thread, where a panic of the Parquet library is an error of the file.
async fn off_thread<T: Send + 'static>(
    path: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ArchiveError> {
    let failure = |e: Panicked| ArchiveError::Damaged { path: path.to_owned(), detail: e.to_string() };
    background::run(work).await.map_err(failure)
}
