//! The ranking role: scores candidates with the learned ranker and arranges the slate by the placement's policy.
//!
//! It gets all it needs in the request (the person, the candidates, their counters and attributes) and reads nothing but
//! the snapshot's ranker: ranking never asks a database.
//!
//! - [`service`]: the role itself, behind [`waggle_contracts::Ranking`]. Start here.
//! - [`score`]: features and scores of all candidates of a request.
//! - [`policy`]: what the score alone does not decide. [`likeness`]: how alike two candidates are, for variety.

pub mod likeness;
pub mod policy;
pub mod score;
pub mod service;

pub use service::RankingService;

#[cfg(test)]
mod tests;
