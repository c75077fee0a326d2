//! The one task that writes.

use std::{collections::BTreeMap, fs::File, path::PathBuf, sync::Arc};

use sqlx::{AssertSqlSafe, Connection, SqliteConnection, SqlitePool};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use waggle_model::Timestamp;

use super::{
    Ends,
    block::Block,
    file::{self, SYNC_FAILURES},
};
use crate::log::{LogError, NewRecord, Position, Topic};

/// Most bytes of one transaction, unless a single request has more.
const GROUP_BYTES: usize = 8 << 20;
/// Most rows of one INSERT: keeps the number of different statements, all cached, small.
const ROWS_PER_INSERT: usize = 64;

pub(super) enum Command {
    Append(Append),
    SetMaxBytes { max_bytes: Option<u64>, answer: oneshot::Sender<Result<(), LogError>> },
    Close,
}

pub(super) struct Append {
    pub(super) topic: Topic,
    pub(super) records: Vec<NewRecord>,
    /// Partition of each record.
    pub(super) partitions: Vec<u32>,
    pub(super) size_bytes: usize,
    pub(super) answer: oneshot::Sender<Result<Vec<Position>, LogError>>,
    /// Returned to the queue's allowance once the request is answered.
    pub(super) _permit: OwnedSemaphorePermit,
}

pub(super) struct Writer {
    pub(super) path: PathBuf,
    pub(super) connection: SqliteConnection,
    /// Closed before the writing connection: the last one to go folds the write-ahead log into the file, and readers
    /// may not write.
    pub(super) readers: SqlitePool,
    pub(super) ends: Arc<Ends>,
    /// Held as long as the file may be written.
    pub(super) lock: File,
}

/// What became of a group.
enum Outcome {
    Written,
    Refused(LogError),
    /// Nobody knows what the disk holds; only reading the file anew tells.
    Lost(LogError),
}

impl Writer {
    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Command>) {
        let mut held_back = None;
        loop {
            let command = match held_back.take() {
                Some(command) => command,
                None => match queue.recv().await {
                    Some(command) => command,
                    None => break,
                },
            };
            match command {
                Command::Append(first) => {
                    let group = gather(first, &mut queue, &mut held_back);
                    if !self.write_group(group).await {
                        break;
                    }
                }
                Command::SetMaxBytes { max_bytes, answer } => {
                    let set = file::set_max_bytes(&mut self.connection, max_bytes).await;
                    // The asker may have gone.
                    answer.send(set.map_err(|e| file::failure(&self.path, &e))).ok();
                }
                Command::Close => break,
            }
        }
        self.ends.close();
        queue.close();
        self.readers.close().await;
        if let Err(failure) = self.connection.close().await {
            tracing::warn!(log = %self.path.display(), %failure, "closing the log failed");
        }
        drop(self.lock);
    }

    /// Writes the group and answers its callers; `false` if the log cannot be written any more.
    async fn write_group(&mut self, group: Vec<Append>) -> bool {
        let mut ends = BTreeMap::new();
        let mut blocks = BTreeMap::new();
        let positions =
            group.iter().map(|append| self.place(append, &mut ends, &mut blocks)).collect::<Vec<_>>();
        let rows = blocks
            .into_iter()
            .flat_map(|((topic, partition), blocks)| {
                blocks.into_iter().map(move |block| (topic, partition, block))
            })
            .collect::<Vec<_>>();
        match self.insert(rows).await {
            Outcome::Written => {
                for ((topic, partition), end) in ends {
                    if let Some(slot) = self.ends.slot(topic, partition) {
                        slot.send_replace(end);
                    }
                }
                for (append, positions) in group.into_iter().zip(positions) {
                    append.answer.send(Ok(positions)).ok();
                }
                true
            }
            Outcome::Refused(error) if group.len() > 1 && matches!(error, LogError::Full(_)) => {
                // One large request must not fail the small ones that happened to share its transaction.
                for append in group {
                    if !Box::pin(self.write_group(vec![append])).await {
                        return false;
                    }
                }
                true
            }
            Outcome::Refused(error) => {
                answer_all(group, &error);
                true
            }
            Outcome::Lost(error) => {
                tracing::error!(log = %self.path.display(), %error, "the log stops accepting records");
                answer_all(group, &error);
                false
            }
        }
    }

    /// Gives each record its position and packs it into the newest block of its partition.
    fn place(
        &self,
        append: &Append,
        ends: &mut BTreeMap<(Topic, u32), u64>,
        blocks: &mut BTreeMap<(Topic, u32), Vec<Block>>,
    ) -> Vec<Position> {
        let now = Timestamp::now();
        let mut positions = Vec::with_capacity(append.records.len());
        for (record, &partition) in append.records.iter().zip(&append.partitions) {
            let slot = (append.topic, partition);
            let end = ends.entry(slot).or_insert_with(|| {
                self.ends.slot(append.topic, partition).map_or(0, |committed| *committed.borrow())
            });
            let blocks = blocks.entry(slot).or_default();
            if blocks.last().is_none_or(Block::is_full) {
                blocks.push(Block::new(*end));
            }
            if let Some(block) = blocks.last_mut() {
                block.push(record, now);
            }
            positions.push(Position { partition, offset: *end });
            *end += 1;
        }
        positions
    }

    async fn insert(&mut self, rows: Vec<(Topic, u32, Block)>) -> Outcome {
        // A single statement is a transaction by itself: one round trip to SQLite's thread instead of three.
        let error = if rows.len() <= ROWS_PER_INSERT {
            insert_rows(&mut self.connection, rows).await.err()
        } else {
            insert_in_transaction(&mut self.connection, rows).await.err()
        };
        let Some(error) = error else { return Outcome::Written };
        let described = file::failure(&self.path, &error);
        // After a failed fsync the kernel may have dropped the very pages it could not write, so a retry that
        // succeeds proves nothing.
        if file::code(&error).is_some_and(|code| SYNC_FAILURES.contains(&code)) {
            return Outcome::Lost(described);
        }
        match file::ends(&mut self.connection, self.ends.n_partitions).await {
            // The write was refused as a whole, as it should be.
            Ok(stored)
                if stored.iter().zip(&self.ends.slots).all(|(stored, known)| *stored == *known.borrow()) =>
            {
                Outcome::Refused(described)
            }
            Ok(_) => {
                Outcome::Lost(LogError::Storage(format!("{described}, and the file changed all the same")))
            }
            Err(again) => Outcome::Lost(LogError::Storage(format!("{described}, then {again}"))),
        }
    }
}

/// Takes what is waiting already, without waiting for more. A command that is not an append is held back, so that
/// commands stay in order.
fn gather(
    first: Append,
    queue: &mut mpsc::Receiver<Command>,
    held_back: &mut Option<Command>,
) -> Vec<Append> {
    let mut size_bytes = first.size_bytes;
    let mut group = vec![first];
    while size_bytes < GROUP_BYTES {
        match queue.try_recv() {
            Ok(Command::Append(append)) if size_bytes + append.size_bytes <= GROUP_BYTES => {
                size_bytes += append.size_bytes;
                group.push(append);
            }
            Ok(other) => {
                *held_back = Some(other);
                break;
            }
            Err(_) => break,
        }
    }
    group
}

fn answer_all(group: Vec<Append>, error: &LogError) {
    for append in group {
        let error = match error {
            LogError::Full(detail) => LogError::Full(detail.clone()),
            other => LogError::Storage(other.to_string()),
        };
        append.answer.send(Err(error)).ok();
    }
}

async fn insert_in_transaction(
    connection: &mut SqliteConnection,
    rows: Vec<(Topic, u32, Block)>,
) -> Result<(), sqlx::Error> {
    // Not sqlx's own transaction: a full disk makes SQLite roll back by itself, which sqlx does not notice.
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
    let written = insert_and_commit(connection, rows).await;
    if written.is_err() {
        // Fails if SQLite has rolled back already; `insert` looks at what the file holds.
        sqlx::query("ROLLBACK").execute(connection).await.ok();
    }
    written
}

async fn insert_and_commit(
    connection: &mut SqliteConnection,
    rows: Vec<(Topic, u32, Block)>,
) -> Result<(), sqlx::Error> {
    let mut rows = rows.into_iter();
    loop {
        let chunk = rows.by_ref().take(ROWS_PER_INSERT).collect::<Vec<_>>();
        if chunk.is_empty() {
            return sqlx::query("COMMIT").execute(connection).await.map(drop);
        }
        insert_rows(connection, chunk).await?;
    }
}

async fn insert_rows(
    connection: &mut SqliteConnection,
    rows: Vec<(Topic, u32, Block)>,
) -> Result<(), sqlx::Error> {
    let mut sql =
        String::from("INSERT INTO block (topic, partition, first_offset, n_records, checksum, body) VALUES ");
    for row in 0..rows.len() {
        sql.push_str(if row == 0 { "(?,?,?,?,?,?)" } else { ",(?,?,?,?,?,?)" });
    }
    let mut insert = sqlx::query(AssertSqlSafe(sql));
    for (topic, partition, block) in rows {
        let (first_offset, n_records) = (block.first_offset, block.n_records);
        let (checksum, body) = block.into_parts();
        insert = insert
            .bind(file::topic_code(topic))
            .bind(i64::from(partition))
            .bind(first_offset.cast_signed())
            .bind(i64::from(n_records))
            .bind(checksum)
            .bind(body);
    }
    insert.execute(connection).await.map(drop)
}
