//! Opening and checking the log's file.

use std::{fs::File, path::Path, path::PathBuf, time::Duration};

use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Row, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{SqliteLogOptions, block};
use crate::log::{LogError, Topic};

/// "WGLG": tells a log from any other SQLite file.
const APPLICATION_ID: i64 = 0x5747_4c47;
/// 2: blocks may be compressed.
const SCHEMA_VERSION: i64 = 2;
/// Those before it are read, and become the newest when they are opened.
const OLDEST_VERSION: i64 = 1;
const PAGE_BYTES: u32 = 8_192;
/// Up to this size the whole file is checked when it is opened.
const QUICK_CHECK_BYTES: u64 = 64 << 20;

const SQLITE_FULL: i32 = 13;
/// `SQLITE_IOERR_FSYNC`, `SQLITE_IOERR_DIR_FSYNC`.
pub(super) const SYNC_FAILURES: [i32; 2] = [1_034, 1_290];

pub(super) struct Opened {
    pub(super) writer: SqliteConnection,
    pub(super) readers: SqlitePool,
    /// End of each partition, in the order of [`slot_index`].
    pub(super) ends: Vec<u64>,
    pub(super) lock: File,
}

pub(super) async fn open(
    path: &Path,
    options: &SqliteLogOptions,
    n_readers: u32,
) -> Result<Opened, LogError> {
    let fail = |e: sqlx::Error| failure(path, &e);
    let lock = lock(path)?;
    let connect = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .page_size(PAGE_BYTES)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(10))
        .disable_statement_logging();
    let mut writer = connect.clone().connect().await.map_err(fail)?;
    let prepared = prepare(&mut writer, path, options).await;
    let ends = match prepared {
        Ok(ends) => ends,
        Err(error) => {
            writer.close().await.ok();
            return Err(error);
        }
    };
    // A reader holds a few blocks at most, however many a query could give.
    let read = connect.create_if_missing(false).read_only(true).row_buffer_size(2);
    let pool =
        SqlitePoolOptions::new().max_connections(n_readers).test_before_acquire(false).idle_timeout(None);
    let readers = pool.max_lifetime(None).connect_with(read).await.map_err(fail)?;
    Ok(Opened { writer, readers, ends, lock })
}

/// Row of `block.topic`; part of the stored format.
pub(super) fn topic_code(topic: Topic) -> i64 {
    match topic {
        Topic::Events => 0,
        Topic::Answers => 1,
        Topic::Catalog => 2,
        Topic::DeadLetters => 3,
    }
}

pub(super) fn slot_index(topic: Topic, partition: u32, n_partitions: u32) -> usize {
    topic_code(topic).unsigned_abs() as usize * n_partitions as usize + partition as usize
}

/// An error of SQLite in the log's words, naming the file.
pub(super) fn failure(path: &Path, error: &sqlx::Error) -> LogError {
    let described = format!("{}: {error}", path.display());
    if code(error).is_some_and(|code| code & 0xff == SQLITE_FULL) {
        LogError::Full(described)
    } else {
        LogError::Storage(described)
    }
}

/// SQLite's extended result code.
pub(super) fn code(error: &sqlx::Error) -> Option<i32> {
    error.as_database_error()?.code()?.parse().ok()
}

pub(super) async fn set_max_bytes(
    connection: &mut SqliteConnection,
    max_bytes: Option<u64>,
) -> Result<(), sqlx::Error> {
    let page_bytes = pragma(connection, "page_size").await?.unsigned_abs().max(1);
    let pages =
        max_bytes.map_or(u64::from(u32::MAX) - 1, |bytes| (bytes / page_bytes).clamp(1, 4_294_967_294));
    sqlx::query(AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"))).execute(connection).await.map(drop)
}

/// End of each partition, by the blocks that are there.
pub(super) async fn ends(
    connection: &mut SqliteConnection,
    n_partitions: u32,
) -> Result<Vec<u64>, sqlx::Error> {
    let mut ends = vec![0; Topic::ALL.len() * n_partitions as usize];
    for topic in Topic::ALL {
        for partition in 0..n_partitions {
            let end = sqlx::query_scalar::<_, i64>(
                "SELECT first_offset + n_records FROM block WHERE topic = $1 AND partition = $2
                 ORDER BY first_offset DESC LIMIT 1",
            )
            .bind(topic_code(topic))
            .bind(i64::from(partition))
            .fetch_optional(&mut *connection)
            .await?;
            ends[slot_index(topic, partition, n_partitions)] = end.unwrap_or(0).cast_unsigned();
        }
    }
    Ok(ends)
}

/// Takes the lock that keeps a second process from writing; the system drops it with the process.
fn lock(path: &Path) -> Result<File, LogError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let name = PathBuf::from(name);
    let fail = |e: std::io::Error| LogError::Storage(format!("{}: {e}", name.display()));
    if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(fail)?;
    }
    let file = File::options().create(true).truncate(false).write(true).open(&name).map_err(fail)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(LogError::Storage(format!("{} is open already, here or in another process", path.display())))
        }
        Err(std::fs::TryLockError::Error(e)) => Err(fail(e)),
    }
}

async fn prepare(
    connection: &mut SqliteConnection,
    path: &Path,
    options: &SqliteLogOptions,
) -> Result<Vec<u64>, LogError> {
    let fail = |e: sqlx::Error| failure(path, &e);
    let damaged = |what: String| LogError::Storage(format!("{}: {what}", path.display()));
    let n_objects = sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM sqlite_schema")
        .fetch_one(&mut *connection)
        .await
        .map_err(fail)?;
    let application = pragma(connection, "application_id").await.map_err(fail)?;
    let version = pragma(connection, "user_version").await.map_err(fail)?;
    if n_objects == 0 && version == 0 {
        create(connection, options.n_partitions).await.map_err(fail)?;
    } else if application != APPLICATION_ID {
        return Err(damaged("this SQLite file is not a log of waggle".to_owned()));
    } else if !(OLDEST_VERSION..=SCHEMA_VERSION).contains(&version) {
        return Err(damaged(format!(
            "the log has version {version}, this build reads {OLDEST_VERSION} to {SCHEMA_VERSION}"
        )));
    } else if version < SCHEMA_VERSION {
        set_version(connection).await.map_err(fail)?;
    }
    let is_small = check_length(connection, path).await? <= QUICK_CHECK_BYTES;
    if is_small {
        quick_check(connection, path).await?;
    }
    let stored = sqlx::query_scalar::<_, i64>("SELECT n_partitions FROM log").fetch_one(&mut *connection);
    let stored = u32::try_from(stored.await.map_err(fail)?).unwrap_or(0);
    if stored != options.n_partitions {
        return Err(LogError::PartitionCount { stored, configured: options.n_partitions });
    }
    check_blocks(connection, path, stored, is_small).await?;
    set_max_bytes(connection, options.max_bytes).await.map_err(fail)?;
    ends(connection, stored).await.map_err(fail)
}

async fn create(connection: &mut SqliteConnection, n_partitions: u32) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    for statement in [
        "CREATE TABLE block (
             topic INTEGER NOT NULL, partition INTEGER NOT NULL, first_offset INTEGER NOT NULL,
             n_records INTEGER NOT NULL CHECK (n_records > 0), checksum INTEGER NOT NULL, body BLOB NOT NULL)"
            .to_owned(),
        "CREATE UNIQUE INDEX block_place ON block (topic, partition, first_offset)".to_owned(),
        "CREATE TABLE log (n_partitions INTEGER NOT NULL)".to_owned(),
        format!("INSERT INTO log (n_partitions) VALUES ({n_partitions})"),
        format!("PRAGMA application_id = {APPLICATION_ID}"),
    ] {
        sqlx::query(AssertSqlSafe(statement)).execute(&mut *transaction).await?;
    }
    set_version(&mut transaction).await?;
    transaction.commit().await
}

async fn set_version(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let set = format!("PRAGMA user_version = {SCHEMA_VERSION}");
    sqlx::query(AssertSqlSafe(set)).execute(connection).await.map(drop)
}

/// Folds the write-ahead log into the file, compares the file's length with what its header promises, and gives it.
async fn check_length(connection: &mut SqliteConnection, path: &Path) -> Result<u64, LogError> {
    let fail = |e: sqlx::Error| failure(path, &e);
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut *connection).await.map_err(fail)?;
    let pages = pragma(connection, "page_count").await.map_err(fail)?.unsigned_abs();
    let page_bytes = pragma(connection, "page_size").await.map_err(fail)?.unsigned_abs();
    let length =
        std::fs::metadata(path).map_err(|e| LogError::Storage(format!("{}: {e}", path.display())))?.len();
    let promised = pages.saturating_mul(page_bytes);
    if length < promised {
        let path = path.display();
        return Err(LogError::Storage(format!(
            "{path}: the file has {length} bytes of {promised}, it was cut off"
        )));
    }
    Ok(length)
}

/// SQLite's own check of its structure; reads the whole file.
async fn quick_check(connection: &mut SqliteConnection, path: &Path) -> Result<(), LogError> {
    let verdict = sqlx::query_scalar::<_, String>("PRAGMA quick_check(1)").fetch_one(connection).await;
    let verdict = verdict.map_err(|e| failure(path, &e))?;
    if verdict == "ok" {
        return Ok(());
    }
    Err(LogError::Storage(format!("{}: the file is damaged: {verdict}", path.display())))
}

/// Each partition starts at 0 and its last block is whole. With `is_thorough` there must be no gap in between either;
/// that reads a page per block, and otherwise a gap shows when it is read.
async fn check_blocks(
    connection: &mut SqliteConnection,
    path: &Path,
    n_partitions: u32,
    is_thorough: bool,
) -> Result<(), LogError> {
    let fail = |e: sqlx::Error| failure(path, &e);
    for topic in Topic::ALL {
        for partition in 0..n_partitions {
            let damaged = |what: String| {
                LogError::Storage(format!(
                    "{}: {} partition {partition}: {what}",
                    path.display(),
                    topic.as_str()
                ))
            };
            let last = sqlx::query(
                "SELECT first_offset, n_records, checksum, body,
                        (SELECT MIN(first_offset) FROM block WHERE topic = $1 AND partition = $2)
                 FROM block WHERE topic = $1 AND partition = $2 ORDER BY first_offset DESC LIMIT 1",
            )
            .bind(topic_code(topic))
            .bind(i64::from(partition))
            .fetch_optional(&mut *connection)
            .await
            .map_err(fail)?;
            let Some(last) = last else { continue };
            let lowest = last.try_get::<i64, _>(4).map_err(fail)?;
            let last = block::Stored::from_row(&last).map_err(fail)?;
            let end =
                last.decode(partition, last.first_offset, usize::MAX, &mut Vec::new()).map_err(damaged)?;
            if lowest != 0 {
                return Err(damaged(format!("offsets 0 to {lowest} are missing")));
            }
            if is_thorough && count_records(connection, topic, partition).await.map_err(fail)? != end {
                return Err(damaged("blocks are missing".to_owned()));
            }
        }
    }
    Ok(())
}

async fn count_records(
    connection: &mut SqliteConnection,
    topic: Topic,
    partition: u32,
) -> Result<u64, sqlx::Error> {
    let n =
        sqlx::query_scalar::<_, i64>("SELECT SUM(n_records) FROM block WHERE topic = $1 AND partition = $2");
    let n = n.bind(topic_code(topic)).bind(i64::from(partition)).fetch_one(connection).await?;
    Ok(n.cast_unsigned())
}

async fn pragma(connection: &mut SqliteConnection, name: &'static str) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(AssertSqlSafe(format!("PRAGMA {name}"))).fetch_one(connection).await
}
