//! The database: catalogue, users, registry, projector offsets, the archive's manifest.
//!
//! SQLite in one file, with SQL kept to what Postgres shares: `$n`, `ON CONFLICT`, BIGINT / TEXT / DOUBLE PRECISION /
//! SMALLINT, times as BIGINT ms, booleans as SMALLINT, JSON as TEXT. One module per table; the migrations lie in
//! `/migrations` and are applied when the database is opened.

mod archive_files;
mod catalog;
mod meta;
mod projectors;
mod registry;
mod users;

use std::{borrow::Cow, fmt::Write, path::Path, time::Duration};

use sqlx::{
    AssertSqlSafe, Connection, Sqlite, SqlitePool,
    migrate::{Migration, MigrationType, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use waggle_model::{ItemId, SnapshotVersion};

pub use self::{
    archive_files::ArchiveFile,
    registry::{NewSnapshot, SnapshotRecord, SnapshotState},
    users::UserRecord,
};

/// In the order they are applied. A released one never changes: another change is another file.
const MIGRATIONS: [(i64, &str, &str); 6] = [
    (1, "items", include_str!("../../../migrations/0001_items.sql")),
    (2, "projector offsets", include_str!("../../../migrations/0002_projector_offsets.sql")),
    (3, "snapshots", include_str!("../../../migrations/0003_snapshots.sql")),
    (4, "users", include_str!("../../../migrations/0004_users.sql")),
    (5, "meta", include_str!("../../../migrations/0005_meta.sql")),
    (6, "archive files", include_str!("../../../migrations/0006_archive_files.sql")),
];

/// Connections for reading.
const READERS: u32 = 4;
/// Rows of one bulk statement.
const ROWS_PER_STATEMENT: usize = 100;

type Transaction<'c> = sqlx::Transaction<'c, Sqlite>;

#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    #[error("{database} was written by a newer build (migration {migration} is unknown to this one)")]
    Newer { database: String, migration: i64 },
    #[error("{database} does not have the schema of this build: {detail}")]
    Schema { database: String, detail: String },
    /// The stored offset is not the expected one: somebody else moved it.
    #[error("projector {name} of partition {partition} is at offset {stored}, the batch expects {expected}")]
    Fenced { name: String, partition: u32, stored: u64, expected: u64 },
    #[error("projector {name} cannot move back from offset {from} to {to}")]
    Backwards { name: String, from: u64, to: u64 },
    #[error("item {item_id} has the same 64-bit key as item {other}; one of them needs another id")]
    KeyCollision { item_id: ItemId, other: ItemId },
    #[error("snapshot {0} is not registered")]
    NoSuchSnapshot(SnapshotVersion),
    #[error("snapshot {0} is registered already")]
    SnapshotExists(SnapshotVersion),
    #[error("snapshot {0} was refused and cannot be promoted")]
    SnapshotRefused(SnapshotVersion),
    #[error("no snapshot was promoted before the current one")]
    NothingToRollBackTo,
    #[error("archive batch {path} of partition {partition}: {detail}")]
    ArchiveBatch { path: String, partition: u32, detail: String },
    #[error("table {table} holds something this build cannot read: {detail}")]
    Corrupt { table: &'static str, detail: String },
    #[error("database is full: {0}")]
    Full(String),
    #[error("database failed: {0}")]
    Storage(String),
}

/// The database. Cheap to share behind an `Arc`; every method takes `&self`.
#[derive(Debug)]
pub struct Database {
    /// One connection: SQLite has one writer at a time, and waiting here beats failing there.
    writer: SqlitePool,
    readers: SqlitePool,
}

impl Database {
    /// Opens the database at `path`, creating it if there is none, and applies the migrations it lacks.
    ///
    /// # Errors
    /// [`DatabaseError::Newer`] for a database that a newer build has written, [`DatabaseError::Schema`] for one whose
    /// migrations were changed, [`DatabaseError::Storage`], naming the file, for anything that is not a database.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, DatabaseError> {
        let path = path.as_ref();
        let named = |e: &dyn std::fmt::Display| DatabaseError::Storage(format!("{}: {e}", path.display()));
        if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
            tokio::fs::create_dir_all(folder).await.map_err(|e| named(&e))?;
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(10));
        let writer = pool(1).after_release(|connection, _| {
            Box::pin(async move {
                // A full disk makes SQLite roll back behind sqlx's back, which then takes the next transaction for a
                // nested one. Such a connection is thrown away. The ping lets a rollback that is under way finish.
                connection.ping().await?;
                Ok(!connection.is_in_transaction())
            })
        });
        let writer = writer.connect_with(options.clone()).await.map_err(|e| named(&e))?;
        if let Err(error) = migrator().run(&writer).await {
            writer.close().await;
            return Err(migration_failure(path, error));
        }
        let readers = pool(READERS).connect_with(options.read_only(true)).await.map_err(|e| named(&e))?;
        Ok(Self { writer, readers })
    }

    /// Waits for what is under way and closes the file.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    async fn begin(&self) -> Result<Transaction<'static>, DatabaseError> {
        Ok(self.writer.begin().await?)
    }
}

impl From<sqlx::Error> for DatabaseError {
    fn from(error: sqlx::Error) -> Self {
        const SQLITE_FULL: i32 = 13;
        let code = error.as_database_error().and_then(|e| e.code()?.parse::<i32>().ok());
        match code {
            Some(code) if code & 0xff == SQLITE_FULL => Self::Full(error.to_string()),
            _ => Self::Storage(error.to_string()),
        }
    }
}

fn pool(max_connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(max_connections)
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
}

fn migrator() -> Migrator {
    // Built by hand: sqlx's macro would compile SQLite a second time, for the compiler's own use.
    Migrator::with_migrations(
        MIGRATIONS
            .iter()
            .map(|&(version, description, sql)| {
                let sql = sqlx::SqlSafeStr::into_sql_str(sql);
                Migration::new(version, Cow::Borrowed(description), MigrationType::Simple, sql, false)
            })
            .collect(),
    )
}

fn migration_failure(path: &Path, error: sqlx::migrate::MigrateError) -> DatabaseError {
    use sqlx::migrate::MigrateError;
    let database = path.display().to_string();
    match error {
        MigrateError::VersionMissing(migration) | MigrateError::VersionTooNew(migration, _) => {
            DatabaseError::Newer { database, migration }
        }
        MigrateError::VersionMismatch(_) | MigrateError::Dirty(_) | MigrateError::ExecuteMigration(..) => {
            DatabaseError::Schema { database, detail: error.to_string() }
        }
        other => DatabaseError::Storage(format!("{database}: {other}")),
    }
}

/// `head ($1,$2,…),(…) tail`, for `n_rows` rows of `n_columns`.
fn bulk_sql(head: &str, n_columns: usize, n_rows: usize, tail: &str) -> AssertSqlSafe<String> {
    let mut sql = format!("{head} VALUES ");
    for row in 0..n_rows {
        sql.push_str(if row == 0 { "(" } else { ",(" });
        push_placeholders(&mut sql, row * n_columns + 1, n_columns);
        sql.push(')');
    }
    sql.push(' ');
    sql.push_str(tail);
    AssertSqlSafe(sql)
}

/// `$first,$first+1,…`.
fn push_placeholders(sql: &mut String, first: usize, n: usize) {
    for i in 0..n {
        let comma = if i == 0 { "" } else { "," };
        write!(sql, "{comma}${}", first + i).expect("writing to a string");
    }
}

/// The ids in groups for `IN (…)`, each padded by repetition to a power of two: few different statements to prepare.
fn id_groups<'a>(ids: &[&'a str]) -> Vec<Vec<&'a str>> {
    ids.chunks(512)
        .map(|chunk| {
            let mut group = chunk.to_vec();
            group.resize(chunk.len().next_power_of_two(), chunk[0]);
            group
        })
        .collect()
}

/// Offsets and counts are far below 2^63; a negative one was never written by us.
fn to_i64(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn to_u64(table: &'static str, n: i64) -> Result<u64, DatabaseError> {
    u64::try_from(n)
        .map_err(|_| DatabaseError::Corrupt { table, detail: format!("a count or offset is {n}") })
}

fn corrupt(table: &'static str, what: &str, error: impl std::fmt::Display) -> DatabaseError {
    DatabaseError::Corrupt { table, detail: format!("{what}: {error}") }
}

#[cfg(test)]
mod tests;
