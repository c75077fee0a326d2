//! Ingest: takes events, checks each, and acknowledges what is on stable storage.

use async_trait::async_trait;
use waggle_model::{CatalogChange, Event};

use crate::{RoleError, api::IngestReport};

#[async_trait]
pub trait Ingest: Send + Sync + 'static {
    /// Appends the events to the log and returns when they are durable. Events that break a rule (time too far in the
    /// future …) are rejected one by one; the others are accepted.
    async fn accept(&self, events: Vec<Event>, origin: Origin) -> Result<IngestReport, RoleError>;

    /// Appends catalogue changes and returns when they are durable.
    async fn change_catalog(&self, changes: Vec<CatalogChange>) -> Result<(), RoleError>;
}

/// Where events come from; decides which rules apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A client's request: times are checked against the clock.
    Client,
    /// An import, a topic that others fill, or a record found in the log: an event may be of any age, but not ahead of
    /// the clock. One from the future would spoil counters that decay for whatever it touches, until its time has come.
    Import,
    /// Waggle itself: answers, merges, erasures, timed by this process.
    System,
}
