//! Connecting to Postgres.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize, Serializer};
use sqlx::{
    ConnectOptions, Connection, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::{
    DatabaseError, migration_failure, migrator,
    sql::{On, Target, query, waited_for},
};

/// How long processes that start at once wait for the one that migrates.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(300);
/// What the client waits beyond the time after which the server itself ends a statement.
const GRACE: Duration = Duration::from_secs(5);
/// Longest name of a schema.
const MAX_PREFIX_BYTES: usize = 63;

/// Where Postgres is, and how long to wait for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PostgresConfig {
    /// `postgres://user:password@host:port/database`. Its password is never shown.
    pub url: PostgresUrl,
    /// Most connections at once, per process.
    pub pool_size: u32,
    /// Longest wait for the first connection, in milliseconds.
    pub connect_timeout_ms: u64,
    /// Longest wait until a connection is free, or a broken one replaced, in milliseconds.
    pub acquire_timeout_ms: u64,
    /// After which the server ends a statement, also one that waits for a lock, in milliseconds. A server that says
    /// nothing at all is given up five seconds later.
    pub statement_timeout_ms: u64,
}

impl Default for PostgresConfig {
    fn default() -> Self {
        Self {
            url: PostgresUrl("postgres://waggle@127.0.0.1:5432/waggle".to_owned()),
            pool_size: 10,
            connect_timeout_ms: 5_000,
            acquire_timeout_ms: 5_000,
            statement_timeout_ms: 30_000,
        }
    }
}

impl PostgresConfig {
    /// Longest wait for one answer.
    pub(super) fn patience(&self) -> Duration {
        Duration::from_millis(self.acquire_timeout_ms.saturating_add(self.statement_timeout_ms)) + GRACE
    }
}

/// A URL that may hold a password: whatever shows it, or writes it out, shows `***` in its place.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct PostgresUrl(String);

impl PostgresUrl {
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    fn masked(&self) -> String {
        let Ok(server) = server(self) else { return "***".to_owned() };
        let place = match server.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => format!("{}:{}", server.get_host(), server.get_port()),
        };
        format!("postgres://{}:***@{place}/{}", server.get_username(), database_of(&server))
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.masked(), f)
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

impl Serialize for PostgresUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.masked())
    }
}

/// The server's name, without password, and its connections; the schema is up to date.
pub(super) async fn connect(
    config: &PostgresConfig,
    prefix: &str,
) -> Result<(String, PgPool), DatabaseError> {
    let (server, name) = server_of(config, prefix)?;
    if config.pool_size == 0 {
        return Err(DatabaseError::Settings("pool_size is 0, at least 1 is needed".to_owned()));
    }
    // A name within quotes is taken as it is; the prefix holds neither quotes nor what needs escaping.
    let server = server.options([("search_path", format!("\"{prefix}\""))]);
    migrate(&server, &name, prefix, Duration::from_millis(config.connect_timeout_ms)).await?;
    let server = server.options([
        ("statement_timeout", config.statement_timeout_ms.to_string()),
        // A process that was stopped in the middle must not hold its locks for ever.
        ("idle_in_transaction_session_timeout", config.patience().as_millis().to_string()),
    ]);
    let pool = PgPoolOptions::new()
        .max_connections(config.pool_size)
        .acquire_timeout(Duration::from_millis(config.acquire_timeout_ms))
        // A round trip per use, which finds connections that the server has dropped.
        .test_before_acquire(true);
    Ok((name, pool.connect_lazy_with(server)))
}

/// The server that is meant, and its name in errors; checks what can be checked without it.
pub(crate) fn server_of(
    config: &PostgresConfig,
    prefix: &str,
) -> Result<(PgConnectOptions, String), DatabaseError> {
    let server = server(&config.url)?;
    check_prefix(prefix)?;
    let name = name_of(&server);
    Ok((server, name))
}

fn server(url: &PostgresUrl) -> Result<PgConnectOptions, DatabaseError> {
    let refuse = |detail: &str| Err(DatabaseError::Settings(format!("{detail} (the URL is not shown)")));
    if !["postgres://", "postgresql://"].iter().any(|scheme| url.0.starts_with(scheme)) {
        return refuse("a URL beginning with postgres:// is needed");
    }
    let Ok(server) = PgConnectOptions::from_str(&url.0) else {
        return refuse("the URL is not of the form postgres://user:password@host:port/database");
    };
    let is_named = server.get_application_name().is_some();
    Ok(if is_named { server } else { server.application_name("waggle") })
}

fn name_of(server: &PgConnectOptions) -> String {
    let database = database_of(server);
    match server.get_socket() {
        Some(socket) => format!("postgres at {}/{database}", socket.display()),
        None => format!("postgres at {}:{}/{database}", server.get_host(), server.get_port()),
    }
}

fn database_of(server: &PgConnectOptions) -> &str {
    server.get_database().unwrap_or_else(|| server.get_username())
}

fn check_prefix(prefix: &str) -> Result<(), DatabaseError> {
    let is_plain = prefix.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b));
    if prefix.is_empty() || prefix.len() > MAX_PREFIX_BYTES || !is_plain || prefix.starts_with("pg_") {
        return Err(DatabaseError::Settings(format!(
            "{prefix:?} cannot name a schema: 1 to {MAX_PREFIX_BYTES} of a-z 0-9 _ -, not beginning with pg_"
        )));
    }
    Ok(())
}

/// Makes the schema and applies what it lacks, on a connection of its own that holds the prefix's lock meanwhile.
async fn migrate(
    server: &PgConnectOptions,
    name: &str,
    prefix: &str,
    connect_timeout: Duration,
) -> Result<(), DatabaseError> {
    let mut connection = waited_for(name, Some(connect_timeout), server.connect()).await?;
    let migrated = migrate_on(&mut connection, name, prefix).await;
    // The lock goes with the connection, in whatever state that is.
    connection.close().await.ok();
    migrated
}

async fn migrate_on(connection: &mut PgConnection, name: &str, prefix: &str) -> Result<(), DatabaseError> {
    query("SELECT pg_advisory_lock(hashtextextended($1, 0))")
        .bind(format!("waggle migrations of {prefix}"))
        .fetch_one(target(connection, name))
        .await?;
    let is_there = query("SELECT 1 FROM pg_namespace WHERE nspname = $1").bind(prefix);
    // Asked first, because a role that may not create schemas may well own this one.
    if is_there.fetch_optional(target(connection, name)).await?.is_none() {
        let create = sqlx::AssertSqlSafe(format!("CREATE SCHEMA IF NOT EXISTS \"{prefix}\""));
        query(create).execute(target(connection, name)).await?;
    }
    let mut migrator = migrator();
    migrator.set_locking(false);
    let migrated =
        tokio::time::timeout(MIGRATION_TIMEOUT, migrator.run_direct(None, connection, false)).await;
    let Ok(migrated) = migrated else {
        let detail = format!("migrations took longer than {} s", MIGRATION_TIMEOUT.as_secs());
        return Err(DatabaseError::Unreachable { database: name.to_owned(), detail });
    };
    migrated.map_err(|e| migration_failure(name, e))
}

fn target<'c>(connection: &'c mut PgConnection, database: &'c str) -> Target<'c> {
    Target { on: On::Postgres(connection), database, patience: Some(MIGRATION_TIMEOUT) }
}
