//! Sections of the stores: which implementation, and where it is.

use serde::{Deserialize, Serialize};
use waggle_stores::{KafkaConfig, PostgresConfig, PostgresUrl, RedisConfig};

/// Section `[log]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LogConfig {
    pub(crate) kind: LogKind,
    /// Partitions of every topic, fixed when the log is made. State belongs to a partition, so it can never be changed;
    /// no more replicas than this share the work of the features role.
    pub(crate) n_partitions: u32,
    pub(crate) kafka: KafkaConfig,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogKind {
    /// A SQLite file in the folder.
    #[default]
    Sqlite,
    Kafka,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { kind: LogKind::default(), n_partitions: 1, kafka: KafkaConfig::default() }
    }
}

/// Section `[state]`: what is known of persons and items.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StateConfig {
    pub(crate) kind: StateKind,
    pub(crate) redis: RedisConfig,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StateKind {
    /// In this process, with checkpoints in the folder.
    #[default]
    Memory,
    Redis,
}

/// Section `[cache]`: answers that may be served again.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CacheConfig {
    pub(crate) kind: CacheKind,
    /// Memory for cached answers in this process, in bytes; Redis has its own limit.
    pub(crate) max_bytes: u64,
    pub(crate) redis: RedisConfig,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CacheKind {
    /// In this process.
    #[default]
    Memory,
    Redis,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self { kind: CacheKind::default(), max_bytes: 64 << 20, redis: RedisConfig::default() }
    }
}

/// Section `[database]`: catalogue, users, registry, the archive's manifest.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DatabaseConfig {
    /// `postgres://user:password@host:port/database`; absent: a SQLite file in the folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<PostgresUrl>,
    /// Most connections of this process to Postgres.
    pub(crate) pool_size: u32,
}

impl DatabaseConfig {
    /// How to reach Postgres, if that is where the database is.
    pub(crate) fn postgres(&self) -> Option<PostgresConfig> {
        let url = self.url.clone()?;
        Some(PostgresConfig { url, pool_size: self.pool_size, ..PostgresConfig::default() })
    }
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self { url: None, pool_size: PostgresConfig::default().pool_size }
    }
}
