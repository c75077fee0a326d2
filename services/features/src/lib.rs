//! Features: folds the log into online state and reads it back; keeps the archive.
//!
//! - [`service`]: [`FeaturesService`], reads a person and items; implements `waggle_contracts::Features`.
//! - [`consumer`]: [`FeaturesConsumer`], one task per owned partition of the log: read, fold, commit. How far it has come is
//!   watched through [`Progress`].
//! - [`folding`]: one batch from records to what is to be committed. What it does to the state is in [`batch`], which is
//!   pure; [`position`] is what the fold of a partition remembers of itself.
//! - [`archiver`]: [`Archiver`], the log's records into Parquet files, for training.
//! - `ownership`: which partitions are ours and whose work starts and stops with that. `lag`: how far behind we are.
//!
//! What an event does to a state is not decided here: that is `waggle_features::fold`, shared with training.
//!
//! # Erasure
//!
//! An erasure removes the person's state and leaves a tombstone, a [`StateKind::Fold`](waggle_stores::StateKind) blob
//! of the person's partition. While it stands, events of that id are read and dropped: they change no state, neither
//! the person's nor an item's. An explicit `UserChange` of the id removes it. What the person did before stays in the
//! items' anonymous counters. The rule is `waggle_features::admission`.
//!
//! A user's erasure follows the aliases: whoever erases a user asks for them ([`Features::aliases`]) and erases each
//! session as well. An erased session stays erased, also if it is merged again.
//!
//! [`Features::aliases`]: waggle_contracts::Features::aliases

pub mod archiver;
pub mod batch;
pub mod consumer;
mod facts_cache;
pub mod folding;
mod lag;
mod ownership;
pub mod position;
pub mod progress;
pub mod replay;
pub mod service;
pub mod upkeep;

pub use archiver::{Archiver, ArchiverConfig};
pub use consumer::{ConsumerConfig, FeaturesConsumer, FoldError};
pub use progress::Progress;
pub use service::FeaturesService;
