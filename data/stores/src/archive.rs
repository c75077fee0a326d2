//! The archive: the log's records as Parquet files, for training and for reading back.
//!
//! A batch of consecutive records of one partition becomes one or a few files, whose rows are sorted by (time, offset)
//! and which are named `archive/<topic>/day=<day of the first event>/<partition>-<first>-<last>.parquet` by the batch's
//! offsets. Files are cut where the day changes, but only once they hold [`MIN_FILE_ROWS`] rows: a live batch gives a
//! file or two, a busy day files of its own, and two years of imported history a few dozen files instead of one per day
//! and batch. Which times a file really spans is in its manifest row, and range reads go by that.
//!
//! A file belongs to the archive once [`Database::commit_archive_files`](crate::Database::commit_archive_files) has
//! its row; what a crash leaves beside it is written over by the retry, or ignored.

mod columns;
mod reader;
mod writer;

pub use self::{
    reader::{ArchiveReader, ArchivedEvents},
    writer::{ArchiveWriter, MIN_FILE_ROWS},
};
use crate::{artifacts::ArtifactError, database::DatabaseError};

#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error(
        "records to archive must be consecutive: offset {expected} of partition {partition} is missing, {got} follows"
    )]
    NotConsecutive { partition: u32, expected: u64, got: u64 },
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
