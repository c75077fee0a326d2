//! Opening a SQLite file.

use std::{path::Path, time::Duration};

use sqlx::{
    Connection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{DatabaseError, migration_failure, migrator};

/// Connections for reading.
const READERS: u32 = 4;

/// The connection that writes, and those that read.
pub(super) async fn open(path: &Path) -> Result<(SqlitePool, SqlitePool), DatabaseError> {
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
        return Err(migration_failure(&path.display().to_string(), error));
    }
    let readers = pool(READERS).connect_with(options.read_only(true)).await.map_err(|e| named(&e))?;
    Ok((writer, readers))
}

fn pool(max_connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(max_connections)
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
}
