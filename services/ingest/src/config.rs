//! Section `[ingest]` of the configuration.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What ingest lets in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IngestConfig {
    /// How far a client's clock may be ahead, in seconds; events further ahead are rejected.
    pub max_future_s: u32,
    /// How old a client's event may be, in seconds; older ones belong into an import.
    pub max_past_s: u32,
    /// Events that may be on their way to the log at once; beyond them requests are refused with 503.
    pub max_in_flight_events: u32,
    /// Bytes that may be on their way to the log at once; beyond them requests are refused with 503.
    pub max_in_flight_bytes: u32,
    /// How many of the newest event ids are remembered to tell a client's retry early.
    pub n_recent_ids: usize,
}

impl Default for IngestConfig {
    fn default() -> Self {
        Self {
            max_future_s: 5 * 60,
            max_past_s: 30 * 24 * 3600,
            max_in_flight_events: 200_000,
            max_in_flight_bytes: 128 << 20,
            n_recent_ids: 1 << 17,
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
}
