//! What a trained model *is*: how it scores, how a person it never saw gets a vector, how it is stored. Fitting lives
//! in the training jobs; serving and evaluation run what is here.
//!
//! - [`recommender`]: the one interface that evaluation, jobs and serving know models by.
//! - [`vocabulary`]: identities outside, rows of matrices inside.
//! - [`snapshot`]: all that one training run publishes, under one version, with a checksum per part.

pub mod recommender;
pub mod snapshot;
pub mod vocabulary;

pub use recommender::{HistoryEntry, Query, RecommendError, Recommender, top_k};
pub use snapshot::{Manifest, PartEntry, SnapshotError};
pub use vocabulary::Vocabulary;
