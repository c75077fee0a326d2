//! Ingest: takes events, checks each, and acknowledges what is on stable storage.
//!
//! - [`service`]: [`IngestService`], the rules and the way to the log; implements `waggle_contracts::Ingest`.
//! - [`routes`]: `POST /v1/events`, alone or mounted by the gateway.
//! - [`encoding`]: decompresses a request's body.
//! - [`mapping`]: from the records of a topic that others fill to events; [`follower`] reads such a topic.
//! - [`dead_letters`]: what was set aside, to be looked at and sent again.
//! - [`body`]: takes a request's body apart, so that one bad event does not spoil its neighbours.
//!
//! It folds nothing and knows no state: consumers of the log decide what an event means, and whether it is a duplicate.

pub mod body;
pub mod config;
pub mod dead_letters;
pub mod encoding;
pub mod follower;
pub mod mapping;
mod recent;
pub mod routes;
pub mod service;

pub use config::{IngestConfig, OwnType, UnknownTypes};
pub use routes::{MAX_BODY_BYTES, MAX_EVENTS, configure};
pub use service::IngestService;
