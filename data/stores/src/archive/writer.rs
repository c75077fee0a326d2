//! From a batch of the log to files.

use waggle_model::{EventBody, Timestamp};

use super::{
    ArchiveError,
    columns::{Encoded, Encoder, Row},
    erasure::Rules,
};
use crate::{
    artifacts::Artifacts,
    background,
    database::{ArchiveBatch, ArchiveFile, Database, Erasure},
    log::{LogRecord, Topic},
};

/// A file is cut at a change of day only once it holds this many rows.
pub const MIN_FILE_ROWS: u64 = 8_192;
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

    /// Writes the records of one partition from the offset `from` to that of the last of them as files, durably; they
    /// belong to the archive once [`Database::commit_archive_batch`] was given the batch.
    ///
    /// Offsets that the log has left out are passed over, and so is what somebody has erased.
    ///
    /// # Errors
    /// [`ArchiveError::NoRecords`]; [`ArchiveError::Disordered`] if offsets do not ascend from `from` on.
    pub async fn write(
        &self,
        database: &Database,
        partition: u32,
        from: u64,
        records: &[LogRecord],
    ) -> Result<ArchiveBatch, ArchiveError> {
        let last_offset = check_order(partition, from, records)?;
        // Handles, not copies; decoding and encoding are work for another thread.
        let records = records.to_vec();
        let rows = blocking(move || Ok(records.iter().map(Row::new).collect::<Vec<_>>())).await?;
        let min_time = rows.iter().map(|row| row.time).min().unwrap_or(Timestamp::from_millis(0));
        let (erasures_seen, known) = database.erasures_since(min_time).await?;
        let topic = self.topic;
        let mut erasures = if topic == Topic::Events { erasures_in(partition, &rows) } else { Vec::new() };
        let rules = Rules::new(known.iter().chain(&erasures));
        let (kept, merged) = blocking(move || Ok(apart(rows, topic, partition, &rules))).await?;
        erasures.extend(merged);
        let encoded = blocking(move || encode_files(kept)).await?;
        let place = Place { topic, partition, first_offset: from, last_offset, empty_time: min_time };
        let mut files = Vec::with_capacity(encoded.len());
        for encoded in encoded {
            files.push(place.store(&self.artifacts, database, encoded).await?);
        }
        let Place { first_offset, last_offset, .. } = place;
        Ok(ArchiveBatch { topic, partition, first_offset, last_offset, files, erasures, erasures_seen })
    }
}

/// Gives the last offset.
fn check_order(partition: u32, from: u64, records: &[LogRecord]) -> Result<u64, ArchiveError> {
    let mut at_least = from;
    for record in records {
        if record.offset < at_least {
            return Err(ArchiveError::Disordered { partition, at_least, got: record.offset });
        }
        at_least = record.offset + 1;
    }
    records.last().map(|record| record.offset).ok_or(ArchiveError::NoRecords { partition })
}

fn erasures_in(partition: u32, rows: &[Row]) -> Vec<Erasure> {
    let erasure = |row: &Row| {
        let event = row.event.as_ref().filter(|event| event.body == EventBody::Erasure)?;
        let (partition, before_offset) = (Some(partition), row.offset);
        Some(Erasure {
            person: event.person.key()?,
            partition,
            before_offset,
            erased_at: row.time,
            revision: 0,
        })
    };
    rows.iter().filter_map(erasure).collect()
}

/// The rows that stay, and the erasures of sessions that went with the others.
fn apart(rows: Vec<Row>, topic: Topic, partition: u32, rules: &Rules) -> (Vec<Row>, Vec<Erasure>) {
    let (mut kept, mut merged) = (Vec::with_capacity(rows.len()), Vec::new());
    for row in rows {
        match row.head().filter(|head| rules.removes(topic, partition, head)) {
            None => kept.push(row),
            Some(head) => merged.extend(rules.of_merged_session(&head)),
        }
    }
    (kept, merged)
}

/// At least one file, if only an empty one: what a batch covers is seen by its files.
fn encode_files(mut rows: Vec<Row>) -> parquet::errors::Result<Vec<Encoded>> {
    rows.sort_by_key(|row| (row.time, row.offset));
    let mut files = Vec::new();
    let mut encoder = Encoder::try_new()?;
    for row in rows {
        if is_cut(&encoder, row.time) {
            files.push(std::mem::replace(&mut encoder, Encoder::try_new()?).finish()?);
        }
        encoder.push(row)?;
    }
    files.push(encoder.finish()?);
    Ok(files)
}

/// Whether the file ends before a row of that time.
pub(super) fn is_cut(file: &Encoder, next: Timestamp) -> bool {
    let day = |time: Timestamp| time.as_millis().div_euclid(DAY_MS);
    file.n_rows() >= MIN_FILE_ROWS && file.last_time().is_some_and(|last| day(last) != day(next))
}

/// Where a file belongs in the log.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) topic: Topic,
    pub(super) partition: u32,
    pub(super) first_offset: u64,
    pub(super) last_offset: u64,
    /// What an empty file has for a time.
    pub(super) empty_time: Timestamp,
}

impl Place {
    /// Writes the file under a name that was never used: what a crash leaves is nobody's, and is swept.
    pub(super) async fn store(
        &self,
        artifacts: &Artifacts,
        database: &Database,
        encoded: Encoded,
    ) -> Result<ArchiveFile, ArchiveError> {
        let Self { topic, partition, first_offset, last_offset, empty_time } = *self;
        let Encoded { content, n_rows, times } = encoded;
        let (min_time, max_time) = times.unwrap_or((empty_time, empty_time));
        let day = day_of(min_time);
        let path = format!(
            "archive/{}/day={day}/{partition}-{first_offset}-{last_offset}-{:08x}.parquet",
            topic.as_str(),
            rand::random::<u32>()
        );
        let size_bytes = content.len() as u64;
        database.announce_archive_file(&path, Timestamp::now()).await?;
        let sha256 = artifacts.put_with_sha256(&path, content).await?;
        Ok(ArchiveFile {
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
        })
    }
}

/// Runs the work on another thread, which stands back.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> parquet::errors::Result<T> + Send + 'static,
) -> Result<T, ArchiveError> {
    let done = background::run(work).await.map_err(|e| ArchiveError::Write(e.to_string()))?;
    done.map_err(|e| ArchiveError::Write(e.to_string()))
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
