//! Table `archive_files`: the archive's manifest. A file belongs to the archive once its row is here.

use std::{collections::BTreeMap, ops::Range};

use waggle_model::Timestamp;

use super::{
    Database, DatabaseError, ROWS_PER_STATEMENT, Transaction, archive_leftovers, bulk_sql, corrupt,
    erasures::{self, Erasure},
    projectors, retried,
    sql::{Row, query},
    to_i64, to_u64,
};
use crate::log::Topic;

/// One file of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveFile {
    pub topic: Topic,
    pub path: String,
    /// Day (UTC, `YYYY-MM-DD`) of the earliest event in the file.
    pub day: String,
    pub partition: u32,
    /// Offsets that the file's batch covers, both included; the files of one batch share them.
    pub first_offset: u64,
    pub last_offset: u64,
    /// Records in this file. Together a batch may have fewer than offsets: logs leave gaps, and the erased are left out.
    pub n_rows: u64,
    pub size_bytes: u64,
    /// Lower-case hexadecimal.
    pub sha256: String,
    /// Event times, both included.
    pub min_time: Timestamp,
    pub max_time: Timestamp,
}

/// Consecutive records of one partition, written as files and about to become part of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveBatch {
    pub topic: Topic,
    pub partition: u32,
    /// What it covers, both included.
    pub first_offset: u64,
    pub last_offset: u64,
    /// At least one, if only an empty one.
    pub files: Vec<ArchiveFile>,
    /// Erasures among its records.
    pub erasures: Vec<Erasure>,
    /// Revision of the erasures that its rows follow.
    pub erasures_seen: u64,
}

const COLUMNS: &str = "topic, path, day, log_partition, first_offset, last_offset, n_rows, size_bytes, sha256, \
                       min_time, max_time";

impl Database {
    /// Offset of the first record of the partition that the archive does not hold.
    pub async fn archive_offset(&self, topic: Topic, partition: u32) -> Result<u64, DatabaseError> {
        self.projector_offset(&projector(topic), partition).await
    }

    /// Offsets of the first records that the archive does not hold, by partition; those without any are left out.
    pub async fn archive_offsets(&self, topic: Topic) -> Result<BTreeMap<u32, u64>, DatabaseError> {
        let rows = query("SELECT log_partition, next_offset FROM projector_offsets WHERE name = $1")
            .bind(projector(topic))
            .fetch_all(self.read())
            .await?;
        let offset = |row: &Row| {
            let partition = u32::try_from(row.get::<i64>(0)?)
                .map_err(|e| corrupt("projector_offsets", "partition", e))?;
            Ok((partition, to_u64("projector_offsets", row.get(1)?)?))
        };
        rows.iter().map(offset).collect()
    }

    /// Adds the batch's files to the archive, moves its offset, and makes the batch's erasures known, in one
    /// transaction. The files were announced ([`announce_archive_file`](Self::announce_archive_file)) and written.
    ///
    /// # Errors
    /// [`DatabaseError::Fenced`] if the batch does not start where the partition's archive ends (a gap or an overlap),
    /// [`DatabaseError::ArchiveBatch`] if its files do not fit it, or lay about for so long that they were swept away;
    /// nothing is changed then.
    pub async fn commit_archive_batch(&self, batch: &ArchiveBatch) -> Result<(), DatabaseError> {
        batch.check()?;
        retried(|| self.try_commit_archive_batch(batch)).await
    }

    async fn try_commit_archive_batch(&self, batch: &ArchiveBatch) -> Result<(), DatabaseError> {
        let ArchiveBatch { topic, partition, first_offset, last_offset, .. } = *batch;
        // Alone, so that a batch is either there when an erasure looks for rows, or has seen the erasure.
        let mut transaction = self.begin_alone("erasures").await?;
        projectors::advance(&mut transaction, &projector(topic), partition, first_offset, last_offset + 1)
            .await?;
        insert(&mut transaction, &batch.files).await?;
        erasures::reopen(&mut transaction, batch.erasures_seen, batch.min_time()).await?;
        erasures::register(&mut transaction, &batch.erasures).await?;
        transaction.commit().await
    }

    /// Puts `new` in the place of `old`, in one transaction: what `old` covered, `new` covers. The files of `old` become
    /// leftovers.
    ///
    /// # Errors
    /// [`DatabaseError::ArchiveChanged`] if not all of `old` is part of the archive any more,
    /// [`DatabaseError::ArchiveBatch`] if `new` covers something else or was swept away; nothing is changed then.
    pub async fn replace_archive_files(
        &self,
        old: &[ArchiveFile],
        new: &[ArchiveFile],
        at: Timestamp,
    ) -> Result<(), DatabaseError> {
        let covered = |files: &[ArchiveFile]| {
            let first = files.iter().map(|f| (f.topic, f.partition, f.first_offset)).min();
            first.zip(files.iter().map(|f| (f.topic, f.partition, f.last_offset)).max())
        };
        if let Some(file) = new.first().or(old.first())
            && covered(old) != covered(new)
        {
            return Err(batch_error(file, "it covers other records than what it is to replace".to_owned()));
        }
        retried(|| self.try_replace_archive_files(old, new, at)).await
    }

    async fn try_replace_archive_files(
        &self,
        old: &[ArchiveFile],
        new: &[ArchiveFile],
        at: Timestamp,
    ) -> Result<(), DatabaseError> {
        let mut transaction = self.begin().await?;
        for file in old {
            let removed = query("DELETE FROM archive_files WHERE path = $1 AND sha256 = $2")
                .bind(file.path.as_str())
                .bind(file.sha256.as_str())
                .execute(transaction.target())
                .await?;
            if removed == 0 {
                return Err(DatabaseError::ArchiveChanged { path: file.path.clone() });
            }
        }
        let paths = old.iter().map(|file| file.path.as_str()).collect::<Vec<_>>();
        archive_leftovers::leave(&mut transaction, &paths, at).await?;
        insert(&mut transaction, new).await?;
        transaction.commit().await
    }

    /// Files that may hold an event with a time in `range`, by their earliest event.
    pub async fn archive_files(
        &self,
        topic: Topic,
        range: Range<Timestamp>,
    ) -> Result<Vec<ArchiveFile>, DatabaseError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM archive_files WHERE topic = $1 AND min_time < $2 AND max_time >= $3
             ORDER BY min_time, log_partition, first_offset, path"
        );
        let rows = query(sqlx::AssertSqlSafe(sql))
            .bind(topic.as_str())
            .bind(range.end.as_millis())
            .bind(range.start.as_millis())
            .fetch_all(self.read())
            .await?;
        rows.iter().map(read_file).collect()
    }

    /// Every file of the topic, by partition and offset.
    pub async fn all_archive_files(&self, topic: Topic) -> Result<Vec<ArchiveFile>, DatabaseError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM archive_files WHERE topic = $1
             ORDER BY log_partition, first_offset, last_offset, min_time, path"
        );
        let rows = query(sqlx::AssertSqlSafe(sql)).bind(topic.as_str()).fetch_all(self.read()).await?;
        rows.iter().map(read_file).collect()
    }
}

impl ArchiveBatch {
    /// Earliest event time of its records.
    fn min_time(&self) -> Timestamp {
        self.files.iter().map(|file| file.min_time).min().unwrap_or(Timestamp::from_millis(i64::MIN))
    }

    fn check(&self) -> Result<(), DatabaseError> {
        let (topic, partition) = (self.topic, self.partition);
        let (first, last) = (self.first_offset, self.last_offset);
        let error = |path: &str, detail| {
            Err(DatabaseError::ArchiveBatch { path: path.to_owned(), partition, detail })
        };
        let Some(file) = self.files.first() else { return error("", "it has no file".to_owned()) };
        let place = |f: &ArchiveFile| (f.topic, f.partition, f.first_offset, f.last_offset);
        if let Some(stray) = self.files.iter().find(|f| place(f) != (topic, partition, first, last)) {
            return error(&stray.path, format!("it is not of offsets {first} to {last} of the batch"));
        }
        let n_rows = self.files.iter().map(|f| f.n_rows).sum::<u64>();
        if last.checked_sub(first).is_none_or(|span| n_rows > span.saturating_add(1)) {
            return error(&file.path, format!("offsets {first} to {last} cannot be {n_rows} records"));
        }
        Ok(())
    }
}

fn batch_error(file: &ArchiveFile, detail: String) -> DatabaseError {
    DatabaseError::ArchiveBatch { path: file.path.clone(), partition: file.partition, detail }
}

async fn insert(transaction: &mut Transaction<'_>, files: &[ArchiveFile]) -> Result<(), DatabaseError> {
    let paths = files.iter().map(|file| file.path.as_str());
    if let Some(path) = archive_leftovers::withdraw(transaction, paths).await?
        && let Some(file) = files.iter().find(|file| file.path == path)
    {
        return Err(batch_error(file, "it was not announced, or was swept away meanwhile".to_owned()));
    }
    for chunk in files.chunks(ROWS_PER_STATEMENT) {
        let mut statement =
            query(bulk_sql(&format!("INSERT INTO archive_files ({COLUMNS})"), 11, chunk.len(), ""));
        for file in chunk {
            statement = statement
                .bind(file.topic.as_str())
                .bind(file.path.as_str())
                .bind(file.day.as_str())
                .bind(i64::from(file.partition))
                .bind(to_i64(file.first_offset))
                .bind(to_i64(file.last_offset))
                .bind(to_i64(file.n_rows))
                .bind(to_i64(file.size_bytes))
                .bind(file.sha256.as_str())
                .bind(file.min_time.as_millis())
                .bind(file.max_time.as_millis());
        }
        statement.execute(transaction.target()).await?;
    }
    Ok(())
}

fn projector(topic: Topic) -> String {
    format!("archive:{}", topic.as_str())
}

fn read_file(row: &Row) -> Result<ArchiveFile, DatabaseError> {
    let number = |column: usize| to_u64("archive_files", row.get(column)?);
    let name = row.get::<&str>(0)?;
    let topic = Topic::ALL.into_iter().find(|topic| topic.as_str() == name);
    Ok(ArchiveFile {
        topic: topic.ok_or_else(|| corrupt("archive_files", "unknown topic", name))?,
        path: row.get(1)?,
        day: row.get(2)?,
        partition: u32::try_from(number(3)?).map_err(|e| corrupt("archive_files", "partition", e))?,
        first_offset: number(4)?,
        last_offset: number(5)?,
        n_rows: number(6)?,
        size_bytes: number(7)?,
        sha256: row.get(8)?,
        min_time: Timestamp::from_millis(row.get(9)?),
        max_time: Timestamp::from_millis(row.get(10)?),
    })
}
