//! The retrieval role: proposes candidates from the snapshot and the live catalogue.
//!
//! It keeps two things apart. The *snapshot* is what training published; it changes as a whole. The *live table* follows
//! the catalogue topic; it changes with every edit of the shop, so a hidden item is gone within a second although the
//! snapshot still knows it. Candidates come from the snapshot's models and from live counters, and only items that the
//! live table offers right now leave this role.
//!
//! - [`service`]: the role itself, behind [`waggle_contracts::Retrieval`]. Start here.
//! - [`table`]: the live item table. [`follower`]: keeps it and the text index in step with the catalogue topic.
//! - [`offer`]: what a request may be answered with.
//! - [`filters`]: expressions over the whole table at once.
//! - [`lexical`]: full-text search over the live catalogue. `search`: the same with filters, counts and orders.
//! - [`lists`]: trending and new items, recomputed from live counters. [`lookalikes`]: what items that the snapshot does not
//!   know read like.
//!
//! Scoring candidates against each other is ranking's work; it happens elsewhere.

pub mod bits;
pub mod filters;
pub mod follower;
pub mod lexical;
pub mod lists;
pub mod lookalikes;
pub mod offer;
mod search;
pub mod service;
pub mod table;

pub use service::{RetrievalConfig, RetrievalService};
