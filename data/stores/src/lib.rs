//! Where Waggle keeps things: one port per need, each with real implementations behind it.
//!
//! | port | embedded default | in production | what it is for |
//! | --- | --- | --- | --- |
//! | [`EventLog`] | [`SqliteLog`] | [`KafkaLog`] | ordered, durable, replayable records |
//! | [`StateStore`] | [`MemoryState`] | [`RedisState`] | online state, moved together with the log offset it has reached |
//! | [`Cache`] | [`MokaCache`] | [`RedisCache`] | answers that may be served again |
//! | [`Database`] | SQLite | Postgres by [`Database::connect`] | catalogue, registry, projector offsets, the archive's manifest |
//! | [`Artifacts`] | a local folder | S3 and alike by [`Artifacts::connect`] | snapshots, archive |
//!
//! Each port has one contract suite that runs against every implementation. Nothing here knows a feature, a model or
//! HTTP.

pub mod archive;
pub mod artifacts;
pub mod background;
pub mod bench;
pub mod cache;
pub mod database;
pub mod log;

pub mod redis;
pub mod secret;
pub mod state;

pub use archive::{
    ArchiveError, ArchiveReader, ArchiveWriter, ArchivedEvents, ArchivedRecords, AsOf, CompactionRule,
};
pub use artifacts::{ArtifactError, ArtifactInfo, Artifacts, S3Config};
pub use cache::{Cache, CacheError, CacheStats, MokaCache, RedisCache};
pub use database::{
    ArchiveBatch, ArchiveFile, Database, DatabaseError, Erasure, NewSnapshot, PostgresConfig, PostgresUrl,
    SnapshotRecord, SnapshotState, UserRecord,
};
pub use log::{
    EventLog, LogError, LogRecord, LogSection, Membership, NewRecord, Position, SoleMember, Topic,
    kafka::{KafkaConfig, KafkaLog, KafkaSource, SourceRecord},
    sqlite::{SqliteLog, SqliteLogOptions},
};
pub use redis::{RedisConfig, RedisUrl};
pub use secret::Secret;
pub use state::{
    ALL_SLOTS, Applied, StateBatch, StateDigest, StateError, StateKey, StateKind, StateStore,
    memory::MemoryState, redis::RedisState,
};
