//! The database: catalogue, users, registry, projector offsets, the archive's manifest.
//!
//! SQLite in one file ([`Database::open`]) or Postgres ([`Database::connect`]), with SQL kept to what both share: `$n`,
//! `ON CONFLICT`, BIGINT / TEXT / DOUBLE PRECISION / SMALLINT, times as BIGINT ms, booleans as SMALLINT, JSON as TEXT. One
//! module per table; the migrations lie in `/migrations` and are applied when the database is opened.
//!
//! SQLite has one writer at a time. Postgres has many, in READ COMMITTED: what one transaction decides by a row it holds
//! by writing that row first (offsets), by a unique constraint (facts, files, keys), or by a lock on the small table it
//! decides about (the registry). What the server gives up on as a conflict of two is tried again here.
//!
//! Postgres holds no U+0000 in text. Ids have none and JSON escapes it; the columns of an item that repeat its text hold
//! U+FFFD in its place, and a fact with one is refused ([`DatabaseError::Nul`]) by both databases.

mod archive_files;
mod archive_leftovers;
mod catalog;
mod erasures;
mod meta;
pub(crate) mod postgres;
mod projectors;
mod registry;
mod sql;
mod sqlite;
mod users;

use std::{borrow::Cow, fmt, fmt::Write, future::Future, path::Path, time::Duration};

use sqlx::{
    AssertSqlSafe, PgPool, SqlitePool,
    migrate::{Migration, MigrationType, Migrator},
};
use waggle_model::{ItemId, SnapshotVersion};

use self::sql::{On, OpenTransaction, Target, Transaction, waited_for};
pub use self::{
    archive_files::{ArchiveBatch, ArchiveFile},
    erasures::Erasure,
    postgres::{PostgresConfig, PostgresUrl},
    registry::{NewSnapshot, SnapshotRecord, SnapshotState},
    users::UserRecord,
};

/// In the order they are applied. A released one never changes: another change is another file.
const MIGRATIONS: [(i64, &str, &str); 9] = [
    (1, "items", include_str!("../../../migrations/0001_items.sql")),
    (2, "projector offsets", include_str!("../../../migrations/0002_projector_offsets.sql")),
    (3, "snapshots", include_str!("../../../migrations/0003_snapshots.sql")),
    (4, "users", include_str!("../../../migrations/0004_users.sql")),
    (5, "meta", include_str!("../../../migrations/0005_meta.sql")),
    (6, "archive files", include_str!("../../../migrations/0006_archive_files.sql")),
    (7, "archive leftovers", include_str!("../../../migrations/0007_archive_leftovers.sql")),
    (8, "erasures", include_str!("../../../migrations/0008_erasures.sql")),
    (9, "items available until", include_str!("../../../migrations/0009_items_available_until.sql")),
];

/// Rows of one bulk statement.
const ROWS_PER_STATEMENT: usize = 100;
/// Tries of a transaction that conflicts with others.
const MAX_ATTEMPTS: u32 = 8;

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
    #[error("archive file {path} was replaced meanwhile")]
    ArchiveChanged { path: String },
    /// No server there, or one that does not answer in time.
    #[error("{database} is not reachable: {detail}")]
    Unreachable { database: String, detail: String },
    /// Never holds the URL, which has a password in it.
    #[error("the settings of the database are not usable: {0}")]
    Settings(String),
    /// Nothing was changed; the same call may pass.
    #[error("a transaction conflicted with others: {0}")]
    Conflict(String),
    #[error("a row with that key is there already: {0}")]
    Duplicate(String),
    #[error("{what} holds the character U+0000, which a database cannot hold")]
    Nul { what: String },
    #[error("table {table} holds something this build cannot read: {detail}")]
    Corrupt { table: &'static str, detail: String },
    #[error("database is full: {0}")]
    Full(String),
    #[error("database failed: {0}")]
    Storage(String),
}

/// The database. Cheap to share behind an `Arc`; every method takes `&self`.
pub struct Database {
    /// As errors name it; without password.
    name: String,
    pools: Pools,
    /// Longest wait for one answer of a server.
    patience: Option<Duration>,
}

enum Pools {
    Sqlite {
        /// One connection: SQLite has one writer at a time, and waiting here beats failing there.
        writer: SqlitePool,
        readers: SqlitePool,
    },
    Postgres(PgPool),
}

impl Database {
    /// Opens the SQLite database at `path`, creating it if there is none, and applies the migrations it lacks.
    ///
    /// # Errors
    /// [`DatabaseError::Newer`] for a database that a newer build has written, [`DatabaseError::Schema`] for one whose
    /// migrations were changed, [`DatabaseError::Storage`], naming the file, for anything that is not a database.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, DatabaseError> {
        let path = path.as_ref();
        let (writer, readers) = sqlite::open(path).await?;
        let name = path.display().to_string();
        Ok(Self { name, pools: Pools::Sqlite { writer, readers }, patience: None })
    }

    /// Connects to Postgres and applies the migrations it lacks; of processes that start at once, one does.
    ///
    /// - `prefix`: the schema that holds the tables, created if there is none, so that installations share a server: 1
    ///   to 63 of `a-z 0-9 _ -`, not beginning with `pg_`.
    ///
    /// Connections that break are replaced; only what was under way on them fails.
    ///
    /// # Errors
    /// [`DatabaseError::Settings`] for a URL, prefix or setting that cannot be used; [`DatabaseError::Unreachable`] after
    /// at most `connect_timeout_ms`, naming host, port and database; otherwise as [`open`](Self::open).
    pub async fn connect(config: &PostgresConfig, prefix: &str) -> Result<Self, DatabaseError> {
        let (name, pool) = postgres::connect(config, prefix).await?;
        Ok(Self { name, pools: Pools::Postgres(pool), patience: Some(config.patience()) })
    }

    /// Waits for what is under way and closes the connections.
    pub async fn close(&self) {
        match &self.pools {
            Pools::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Pools::Postgres(pool) => pool.close().await,
        }
    }

    /// For statements by themselves that only read.
    fn read(&self) -> Target<'_> {
        let on = match &self.pools {
            Pools::Sqlite { readers, .. } => On::SqlitePool(readers),
            Pools::Postgres(pool) => On::PostgresPool(pool),
        };
        Target { on, database: &self.name, patience: self.patience }
    }

    /// For statements by themselves that write.
    fn write(&self) -> Target<'_> {
        let on = match &self.pools {
            Pools::Sqlite { writer, .. } => On::SqlitePool(writer),
            Pools::Postgres(pool) => On::PostgresPool(pool),
        };
        Target { on, database: &self.name, patience: self.patience }
    }

    async fn begin(&self) -> Result<Transaction<'_>, DatabaseError> {
        let begin = async {
            match &self.pools {
                // Another process may write too: to read first and write then would fail if it did between.
                Pools::Sqlite { writer, .. } => {
                    writer.begin_with("BEGIN IMMEDIATE").await.map(OpenTransaction::Sqlite)
                }
                Pools::Postgres(pool) => pool.begin().await.map(OpenTransaction::Postgres),
            }
        };
        let on = waited_for(&self.name, self.patience, begin).await?;
        Ok(Transaction { on, database: &self.name, patience: self.patience })
    }

    /// A transaction beside which nobody else writes to `table`; reading goes on.
    async fn begin_alone(&self, table: &'static str) -> Result<Transaction<'_>, DatabaseError> {
        let mut transaction = self.begin().await?;
        if matches!(self.pools, Pools::Postgres(_)) {
            let lock = format!("LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE");
            sql::query(AssertSqlSafe(lock)).execute(transaction.target()).await?;
        }
        Ok(transaction)
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Tries a transaction again that conflicted with others.
async fn retried<T, F>(mut attempt: impl FnMut() -> F) -> Result<T, DatabaseError>
where
    F: Future<Output = Result<T, DatabaseError>>,
{
    for n in 1..MAX_ATTEMPTS {
        match attempt().await {
            Err(DatabaseError::Conflict(detail)) => {
                tracing::debug!(detail, n, "a transaction is tried again");
                tokio::time::sleep(Duration::from_millis(5 << n)).await;
            }
            done => return done,
        }
    }
    attempt().await
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

fn migration_failure(database: &str, error: sqlx::migrate::MigrateError) -> DatabaseError {
    use sqlx::migrate::MigrateError;
    let database = database.to_owned();
    match error {
        MigrateError::VersionMissing(migration) | MigrateError::VersionTooNew(migration, _) => {
            DatabaseError::Newer { database, migration }
        }
        MigrateError::VersionMismatch(_) | MigrateError::Dirty(_) | MigrateError::ExecuteMigration(..) => {
            DatabaseError::Schema { database, detail: error.to_string() }
        }
        MigrateError::Execute(error) => sql::failure(&database, &error),
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
