//! Fit, evaluate, gate: from the archive's events to a snapshot that may be published.

pub mod examples;
pub mod fit;
pub mod fit_ranker;
pub mod models;
pub mod progress;
pub mod replay;
pub mod two_stage;
