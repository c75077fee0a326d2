//! Files that nobody reads any more are deleted.

use waggle_model::Timestamp;

use super::ArchiveError;
use crate::{artifacts::Artifacts, database::Database};

/// Files deleted between two looks at the table.
const CHUNK: usize = 500;

/// Deletes the files that have not been part of the archive since `before`: replaced ones, and what crashes left.
/// Gives their number.
///
/// `before` leaves those who began to read earlier the time to finish, and those who write the time to commit: an hour
/// does for both. A writer that took longer is refused, and writes again.
pub async fn sweep(
    artifacts: &Artifacts,
    database: &Database,
    before: Timestamp,
) -> Result<u64, ArchiveError> {
    let mut n_deleted = 0;
    loop {
        let paths = database.condemn_archive_leftovers(before, CHUNK).await?;
        if paths.is_empty() {
            return Ok(n_deleted);
        }
        artifacts.delete_all(&paths).await?;
        database.forget_archive_leftovers(&paths).await?;
        n_deleted += paths.len() as u64;
    }
}
