//! Section `[ingest]` of the configuration.

use std::{borrow::Borrow, collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use waggle_model::{InteractionKind, Signal, wire};

use crate::mapping::TopicConfig;

/// What ingest lets in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IngestConfig {
    /// How far an event may be ahead of our clock, in seconds, wherever it comes from; those further ahead are rejected.
    pub max_future_s: u32,
    /// How old a client's event may be, in seconds; older ones belong into an import.
    pub max_past_s: u32,
    /// How long a request's body may take to arrive, in seconds.
    pub body_timeout_s: u32,
    /// Events that may be on their way to the log at once; beyond them requests are refused with 503.
    pub max_in_flight_events: u32,
    /// Bytes that may be on their way to the log at once; beyond them requests are refused with 503.
    pub max_in_flight_bytes: u32,
    /// How many of the newest event ids are remembered to tell a client's retry early.
    pub n_recent_ids: usize,
    /// What becomes of events whose type is neither known nor among `types`.
    pub unknown_types: UnknownTypes,
    /// What the installation's own types mean: `wishlist = { counts_as = "cart", weight = 0.5 }`. An event keeps the
    /// meaning that its type had when it came in.
    pub types: BTreeMap<OwnType, Signal>,
    /// Topics that others fill, read like requests. They are on the brokers that `log.kafka` names, wherever the log is.
    pub topics: Vec<TopicConfig>,
}

/// What becomes of events of a type that nobody gave a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownTypes {
    /// They are history: kept and archived, and counted nowhere.
    Keep,
    Reject,
}

/// A type of the installation's own, by its name on the wire.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OwnType(String);

impl TryFrom<String> for OwnType {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        wire::check_type(&name)?;
        let has_meaning = !matches!(InteractionKind::from(name.clone()), InteractionKind::Custom(_));
        if has_meaning || name == "impression" {
            return Err(format!("type \"{name}\" has a meaning already"));
        }
        Ok(Self(name))
    }
}

impl From<OwnType> for String {
    fn from(name: OwnType) -> Self {
        name.0
    }
}

impl Borrow<str> for OwnType {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Default for IngestConfig {
    fn default() -> Self {
        Self {
            max_future_s: 5 * 60,
            max_past_s: 30 * 24 * 3600,
            body_timeout_s: 60,
            max_in_flight_events: 200_000,
            max_in_flight_bytes: 128 << 20,
            n_recent_ids: 1 << 17,
            unknown_types: UnknownTypes::Keep,
            types: BTreeMap::new(),
            topics: Vec::new(),
        }
    }
}

impl IngestConfig {
    pub fn max_future(&self) -> Duration {
        Duration::from_secs(self.max_future_s.into())
    }

    pub fn max_past(&self) -> Duration {
        Duration::from_secs(self.max_past_s.into())
    }

    pub fn body_timeout(&self) -> Duration {
        Duration::from_secs(self.body_timeout_s.into())
    }

    /// What `kind` means here, if it is one of the installation's own.
    ///
    /// # Errors
    /// One sentence if events of this kind are not let in.
    pub fn signal(&self, kind: &InteractionKind) -> Result<Option<Signal>, String> {
        let InteractionKind::Custom(name) = kind else { return Ok(None) };
        match (self.types.get(name.as_str()), self.unknown_types) {
            (None, UnknownTypes::Reject) => Err(format!(
                "type \"{name}\" is neither known nor configured ([ingest.types]), and such events are not let in"
            )),
            (signal, _) => Ok(signal.copied()),
        }
    }
}

#[cfg(test)]
mod tests;
