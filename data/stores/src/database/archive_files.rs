//! Table `archive_files`: the archive's manifest. A file belongs to the archive once its row is here.

use std::{collections::BTreeMap, ops::Range};

use waggle_model::Timestamp;

use super::{
    Database, DatabaseError, ROWS_PER_STATEMENT, bulk_sql, corrupt, projectors,
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
    /// Offsets of the batch that the file is part of, both included; the files of one batch share them.
    pub first_offset: u64,
    pub last_offset: u64,
    /// Records in this file.
    pub n_rows: u64,
    pub size_bytes: u64,
    /// Lower-case hexadecimal.
    pub sha256: String,
    /// Event times, both included.
    pub min_time: Timestamp,
    pub max_time: Timestamp,
}

const COLUMNS: &str = "topic, path, day, log_partition, first_offset, last_offset, n_rows, size_bytes, sha256, \
                       min_time, max_time";

impl Database {
    /// Offset of the first record of the partition that the archive does not hold.
    pub async fn archive_offset(&self, topic: Topic, partition: u32) -> Result<u64, DatabaseError> {
        self.projector_offset(&projector(topic), partition).await
    }

    /// Adds the files to the archive and moves its offsets, in one transaction. `files` holds whole batches.
    ///
    /// # Errors
    /// [`DatabaseError::Fenced`] if a batch does not start where the partition's archive ends (a gap or an overlap),
    /// [`DatabaseError::ArchiveBatch`] if a batch is not complete; nothing is changed then.
    pub async fn commit_archive_files(&self, files: &[ArchiveFile]) -> Result<(), DatabaseError> {
        let mut batches = BTreeMap::<(Topic, u32, u64, u64), u64>::new();
        for file in files {
            let batch = (file.topic, file.partition, file.first_offset, file.last_offset);
            *batches.entry(batch).or_default() += file.n_rows;
        }
        for (&(_, partition, first, last), &n_rows) in &batches {
            if last.checked_sub(first).is_none_or(|span| span.checked_add(1) != Some(n_rows)) {
                let path = files.iter().find(|f| (f.partition, f.first_offset) == (partition, first));
                let path = path.map_or_else(String::new, |f| f.path.clone());
                let detail = format!("offsets {first} to {last} are not {n_rows} records");
                return Err(DatabaseError::ArchiveBatch { path, partition, detail });
            }
        }
        let mut transaction = self.begin().await?;
        for &(topic, partition, first, last) in batches.keys() {
            projectors::advance(&mut transaction, &projector(topic), partition, first, last + 1).await?;
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
