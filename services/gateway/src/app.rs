//! What the role is made of.

use std::{
    sync::{Arc, RwLock},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use waggle_contracts::{Features, Ingest, Ranking, Retrieval, RoleError};
use waggle_filter::Declaration;
use waggle_model::Item;
use waggle_stores::{Cache, Database};

use crate::{AnswerLog, Flights, Held, ItemLocks, Placements, Projector, recommend::in_time};

/// `[gateway]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GatewayConfig {
    /// Time that one recommendation may take before it steps down a rung, in milliseconds.
    pub deadline_ms: u64,
    /// Candidates that retrieval may propose for one answer. The default is more than all sources propose together, so
    /// that nothing is cut before it is ranked.
    pub n_candidates: usize,
    /// How long an answer may be served again to a person who did nothing since, in seconds; 0 turns the cache off.
    pub cache_ttl_s: u64,
    /// How much longer it may be where a fresh one would have to be waited for, or cannot be had, in seconds.
    pub cache_stale_s: u64,
    /// How long an answer can be asked for again, paged through and explained, in seconds; 0 keeps none. They lie in the
    /// cache and may make room earlier.
    pub answer_retention_s: u64,
    /// Answers waiting for the log; beyond it they are dropped from the record (and counted), never delayed.
    pub answer_queue: usize,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            deadline_ms: 250,
            n_candidates: 700,
            cache_ttl_s: 30,
            cache_stale_s: 30,
            answer_retention_s: 600,
            answer_queue: 10_000,
        }
    }
}

impl App {
    /// What a role answers within the deadline of one request: no page waits for a role that does not.
    ///
    /// # Errors
    /// The role's own failure, or [`RoleError::Deadline`].
    pub(crate) async fn ask<T>(
        &self,
        role: &'static str,
        answer: impl Future<Output = Result<T, RoleError>>,
    ) -> Result<T, RoleError> {
        in_time(self.config.deadline(), role, answer).await
    }
}

impl GatewayConfig {
    pub fn deadline(&self) -> Duration {
        Duration::from_millis(self.deadline_ms)
    }

    pub fn answer_retention(&self) -> Duration {
        Duration::from_secs(self.answer_retention_s)
    }

    pub fn cache_ttl(&self) -> Duration {
        Duration::from_secs(self.cache_ttl_s)
    }

    pub fn cache_stale(&self) -> Duration {
        Duration::from_secs(self.cache_stale_s)
    }
}

/// The other roles behind their traits, and what the gateway keeps for itself. Built once, shared by all requests.
pub struct App {
    pub config: GatewayConfig,
    /// What items that come in have to fit.
    pub catalog: Declaration,
    pub placements: Arc<Placements>,
    pub ingest: Arc<dyn Ingest>,
    pub features: Arc<dyn Features>,
    pub retrieval: Arc<dyn Retrieval>,
    pub ranking: Arc<dyn Ranking>,
    pub database: Arc<Database>,
    pub held: Held,
    pub cache: Arc<dyn Cache>,
    pub flights: Flights,
    pub answers: AnswerLog,
    pub projector: Arc<Projector>,
    pub item_locks: ItemLocks,
    /// The last rung: what was trending when all was well, else the first items of the catalogue.
    pub last_good: RwLock<Vec<Arc<Item>>>,
}
