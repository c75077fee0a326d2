//! From a batch of the log to files.

use bytes::Bytes;
use waggle_model::Timestamp;

use super::{
    ArchiveError,
    columns::{self, Row},
};
use crate::{
    artifacts::Artifacts,
    database::ArchiveFile,
    log::{LogRecord, Topic},
};

/// A file is cut at a change of day only once it holds this many rows.
pub const MIN_FILE_ROWS: usize = 8_192;
const DAY_MS: i64 = 86_400_000;

/// Writes one topic's records into the archive.
#[derive(Debug, Clone)]
pub struct ArchiveWriter {
    artifacts: Artifacts,
    topic: Topic,
}

impl ArchiveWriter {
    pub fn new(artifacts: Artifacts, topic: Topic) -> Self {
        Self { artifacts, topic }
    }

    /// Writes consecutive records of one partition as files, durably; they belong to the archive once
    /// [`Database::commit_archive_files`](crate::Database::commit_archive_files) was given them.
    ///
    /// The same records give the same files, byte for byte, so a retry writes over what a crash left.
    ///
    /// # Errors
    /// [`ArchiveError::NotConsecutive`] if an offset is missing or out of order.
    pub async fn write(
        &self,
        partition: u32,
        records: &[LogRecord],
    ) -> Result<Vec<ArchiveFile>, ArchiveError> {
        for pair in records.windows(2) {
            let (expected, got) = (pair[0].offset + 1, pair[1].offset);
            if expected != got {
                return Err(ArchiveError::NotConsecutive { partition, expected, got });
            }
        }
        let (Some(first), Some(last)) = (records.first(), records.last()) else { return Ok(Vec::new()) };
        let (first_offset, last_offset) = (first.offset, last.offset);
        // Handles, not copies; encoding is work for another thread.
        let records = records.to_vec();
        let encoded = tokio::task::spawn_blocking(move || encode_files(&records)).await;
        let encoded = encoded.map_err(|e| ArchiveError::Write(e.to_string()))?;
        let encoded = encoded.map_err(|e| ArchiveError::Write(e.to_string()))?;
        let mut files = Vec::with_capacity(encoded.len());
        for Encoded { content, n_rows, min_time, max_time } in encoded {
            let (topic, day) = (self.topic, day_of(min_time));
            let path = format!(
                "archive/{}/day={day}/{partition}-{first_offset}-{last_offset}.parquet",
                topic.as_str()
            );
            let size_bytes = content.len() as u64;
            let sha256 = self.artifacts.put_with_sha256(&path, content).await?;
            files.push(ArchiveFile {
                topic,
                path,
                day,
                partition,
                first_offset,
                last_offset,
                n_rows,
                size_bytes,
                sha256,
                min_time,
                max_time,
            });
        }
        Ok(files)
    }
}

struct Encoded {
    content: Bytes,
    n_rows: u64,
    min_time: Timestamp,
    max_time: Timestamp,
}

fn encode_files(records: &[LogRecord]) -> parquet::errors::Result<Vec<Encoded>> {
    let mut rows = records.iter().map(Row::new).collect::<Vec<_>>();
    rows.sort_by_key(|row| (row.time, row.offset));
    let mut files = Vec::new();
    let mut rest = rows.as_slice();
    while let (Some(first), n_rows) = (rest.first(), cut(rest)) {
        let (file, after) = rest.split_at(n_rows);
        let max_time = file.last().map_or(first.time, |row| row.time);
        let content = Bytes::from(columns::encode(file)?);
        files.push(Encoded { content, n_rows: n_rows as u64, min_time: first.time, max_time });
        rest = after;
    }
    Ok(files)
}

/// How many of the rows, which are sorted by time, go into the first file.
///
/// Two files never begin on one day: a cut is always at a change of day, so their names differ.
fn cut(rows: &[Row]) -> usize {
    let day = |row: &Row| row.time.as_millis().div_euclid(DAY_MS);
    (MIN_FILE_ROWS..rows.len()).find(|&i| day(&rows[i - 1]) != day(&rows[i])).unwrap_or(rows.len())
}

/// `YYYY-MM-DD` in UTC; `undated` outside the years 0 to 9999.
fn day_of(time: Timestamp) -> String {
    let text = time.to_rfc3339();
    match text.get(..10) {
        Some(day) if text.as_bytes().get(10) == Some(&b'T') => day.to_owned(),
        _ => "undated".to_owned(),
    }
}

#[cfg(test)]
mod tests;
