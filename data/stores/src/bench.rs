//! What benchmarks need beside the ports, and nothing else may use.
//!
//! - Settings that are fixed elsewhere: [`kafka_lingering`].
//! - Peers: bare loops over the libraries beneath the ports, with nothing of ours between, and Kafka's own tool, to print
//!   beside our own figures: in the same run, on the same servers and disk, with the same records.
//! - Forgetting: a benchmark works under a prefix of its own, and removes it at the end.

mod kafka;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use deadpool_redis::redis::{AsyncCommands, AsyncIter};
use sqlx::{
    Connection, PgConnection, QueryBuilder, Sqlite, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use crate::{DatabaseError, NewRecord, PostgresConfig, RedisConfig, StateError, database, redis::Redis};

pub use kafka::{forget_kafka, kafka_lingering, kafka_perf_test, kafka_produces};

/// Longest wait for a server's answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Rows of one of the bare appends' statements.
const ROWS_PER_INSERT: usize = 250;

/// Appends the groups to a new SQLite file at `path`, a row per record and a transaction per group, with WAL and
/// `synchronous=FULL`, so each group is on disk before the next begins. Gives the time of the appends alone.
///
/// A statement inserts many rows: sqlx hands each statement to SQLite's thread and waits for it, which costs more than
/// the row, and would be a measurement of that.
///
/// # Errors
/// Those of SQLite.
pub async fn sqlite_appends(path: &Path, groups: &[Vec<NewRecord>]) -> Result<Duration, sqlx::Error> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .page_size(8_192)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let mut connection = SqliteConnection::connect_with(&options).await?;
    sqlx::query("CREATE TABLE record (id INTEGER PRIMARY KEY, key BLOB, value BLOB)")
        .execute(&mut connection)
        .await?;
    let started = Instant::now();
    for group in groups {
        let mut transaction = connection.begin().await?;
        for rows in group.chunks(ROWS_PER_INSERT) {
            let mut insert = QueryBuilder::<Sqlite>::new("INSERT INTO record (key, value) ");
            insert.push_values(rows, |mut row, record| {
                row.push_bind(record.key.as_ref()).push_bind(record.value.as_ref());
            });
            insert.build().execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
    }
    let took = started.elapsed();
    connection.close().await?;
    Ok(took)
}

/// Removes every key of an installation.
///
/// # Errors
/// [`StateError::Storage`] if Redis cannot be asked.
pub async fn forget_redis(config: &RedisConfig, prefix: &str) -> Result<(), StateError> {
    let redis = Redis::new(config, PATIENCE)?;
    for pattern in [format!("{prefix}:*"), format!("{{{prefix}:*")] {
        let forget = async |connection: &mut deadpool_redis::Connection| {
            let found: AsyncIter<'_, String> = connection.scan_match(&pattern).await?;
            let keys = futures::TryStreamExt::try_collect::<Vec<_>>(found).await?;
            for keys in keys.chunks(1_000) {
                let _: () = connection.unlink(keys).await?;
            }
            Ok(())
        };
        redis.with(forget).await?;
    }
    Ok(())
}

/// Removes the schema of an installation.
///
/// # Errors
/// [`DatabaseError`] if Postgres cannot be asked.
pub async fn forget_postgres(config: &PostgresConfig, prefix: &str) -> Result<(), DatabaseError> {
    let (server, _) = database::postgres::server_of(config, prefix)?;
    let failed =
        |e: sqlx::Error| DatabaseError::Storage(format!("the schema {prefix} cannot be removed: {e}"));
    let mut connection = PgConnection::connect_with(&server).await.map_err(failed)?;
    let drop = sqlx::AssertSqlSafe(format!("DROP SCHEMA IF EXISTS \"{prefix}\" CASCADE"));
    sqlx::query(drop).execute(&mut connection).await.map_err(failed)?;
    connection.close().await.map_err(failed)
}
