//! What the stores in Redis share: configuration, and connections from a pool.

use std::{fmt, time::Duration};

use deadpool_redis::{
    Connection, Manager, Pool, PoolError, Runtime,
    redis::{
        AsyncConnectionConfig, ConnectionInfo, FromRedisValue, IntoConnectionInfo, Pipeline, RedisError,
        io::tcp::TcpSettings, parse_redis_url,
    },
};
use serde::{Deserialize, Serialize, Serializer};

/// Where Redis is, and how long to wait for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RedisConfig {
    /// `redis://[[user]:password@]host[:port][/database]` or `redis+unix:///path`. Its password is never shown.
    pub url: RedisUrl,
    /// Most connections at once, per store.
    pub pool_size: usize,
    /// Longest wait for a new connection, in milliseconds.
    pub connect_timeout_ms: u64,
    /// Longest wait for an answer to one request of the online state, in milliseconds; a commit of several megabytes
    /// has to fit.
    pub timeout_ms: u64,
    /// Longest wait for the cache, connecting included, in milliseconds; later counts as a failure of the cache.
    pub cache_timeout_ms: u64,
}

impl Default for RedisConfig {
    fn default() -> Self {
        Self {
            url: RedisUrl("redis://127.0.0.1:6379".to_owned()),
            pool_size: 16,
            connect_timeout_ms: 2_000,
            timeout_ms: 5_000,
            cache_timeout_ms: 25,
        }
    }
}

/// A URL that may hold a password: whatever shows it, or writes it out, shows `***` in its place.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct RedisUrl(String);

impl RedisUrl {
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    fn masked(&self) -> String {
        let Some(mut url) = parse_redis_url(&self.0) else { return "***".to_owned() };
        if url.password().is_some() && url.set_password(Some("***")).is_err() {
            return "***".to_owned();
        }
        // A unix socket's password is in the query.
        if url.query_pairs().any(|(name, _)| name == "pass") {
            url.set_query(Some("***"));
        }
        url.into()
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.masked(), f)
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

impl Serialize for RedisUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.masked())
    }
}

/// A request that failed.
#[derive(Debug)]
pub(crate) struct Failed {
    /// Names the server, never the password.
    pub(crate) message: String,
    /// Whether the server may have done what it was asked, now or a little later.
    pub(crate) in_doubt: bool,
}

/// Connections to one server.
#[derive(Debug, Clone)]
pub(crate) struct Redis {
    pool: Pool,
    address: String,
    timeout: Duration,
}

impl Redis {
    /// Checks the configuration; connections are made when they are needed.
    pub(crate) fn new(config: &RedisConfig, timeout: Duration) -> Result<Self, Failed> {
        let refused = |message: String| Failed { message, in_doubt: false };
        let info = parse_redis_url(&config.url.0)
            .and_then(|url| url.into_connection_info().ok())
            .ok_or_else(|| refused("the configured url of redis is not one".to_owned()))?;
        // A request is written in one go, and must not wait for the server to acknowledge the one before it.
        let info: ConnectionInfo = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let address = info.addr().to_string();
        let connect_timeout = Duration::from_millis(config.connect_timeout_ms.max(1)).min(timeout);
        let connections = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(connect_timeout))
            .set_response_timeout(Some(timeout));
        let manager = Manager::new_with_config(info, connections)
            .map_err(|e| refused(format!("redis at {address}: {e}")))?;
        let pool = Pool::builder(manager)
            .max_size(config.pool_size.max(1))
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(timeout))
            .create_timeout(Some(connect_timeout))
            .recycle_timeout(Some(timeout))
            .build()
            .map_err(|e| refused(format!("redis at {address}: {e}")))?;
        Ok(Self { pool, address, timeout })
    }

    /// Sends one pipeline and waits for its answers.
    pub(crate) async fn query<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, Failed> {
        self.with(async |connection| pipeline.query_async(connection).await).await
    }

    /// Runs one exchange on a connection of the pool. One that failed is not used again: whatever is wrong with the
    /// server behind it (it restarts, it became a replica), the next one may reach a better one.
    pub(crate) async fn with<T>(
        &self,
        exchange: impl AsyncFnOnce(&mut Connection) -> Result<T, RedisError>,
    ) -> Result<T, Failed> {
        let mut connection = self.pool.get().await.map_err(|e| self.unconnected(e))?;
        match exchange(&mut connection).await {
            Ok(answer) => Ok(answer),
            Err(error) => {
                drop(Connection::take(connection));
                Err(self.failed(&error))
            }
        }
    }

    fn unconnected(&self, error: PoolError) -> Failed {
        let address = &self.address;
        let message = match error {
            PoolError::Backend(error) => return Failed { in_doubt: false, ..self.failed(&error) },
            PoolError::Timeout(_) => format!("redis at {address}: no connection within {:?}", self.timeout),
            other => format!("redis at {address}: {other}"),
        };
        Failed { message, in_doubt: false }
    }

    fn failed(&self, error: &RedisError) -> Failed {
        // An error with a code is the server's own answer: it did nothing.
        Failed { message: format!("redis at {}: {error}", self.address), in_doubt: error.code().is_none() }
    }
}

/// Checks what all names in Redis begin with.
pub(crate) fn check_prefix(prefix: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    if prefix.is_empty() || prefix.len() > 100 || !prefix.chars().all(fits) {
        return Err(format!(
            "the prefix {prefix:?} is not 1 to 100 letters, digits, '-', '_', '.' or ':' (of ASCII)"
        ));
    }
    Ok(())
}
