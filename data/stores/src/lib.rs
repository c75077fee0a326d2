//! Where Waggle keeps things: one port per need, each with real implementations behind it.
//!
//! | port | embedded default | what it is for |
//! | --- | --- | --- |
//! | [`EventLog`] | [`SqliteLog`] | ordered, durable, replayable records |
//! | [`StateStore`] | [`MemoryState`] | online state, moved together with the log offset it has reached |
//! | [`Cache`] | [`MokaCache`] | answers that may be served again |
//! | `database::Database` | SQLite | catalogue, registry, projector offsets |
//! | `artifacts::Artifacts` | a local folder | snapshots, archive, checkpoints |
//!
//! Each port has one contract suite that runs against every implementation. Nothing here knows a feature, a model or
//! HTTP.

pub mod cache;
pub mod log;
pub mod state;

pub use cache::{Cache, CacheError, CacheStats, MokaCache};
pub use log::{
    EventLog, LogError, LogRecord, NewRecord, Position, Topic,
    sqlite::{SqliteLog, SqliteLogOptions},
};
pub use state::{Applied, StateBatch, StateError, StateKey, StateKind, StateStore, memory::MemoryState};
