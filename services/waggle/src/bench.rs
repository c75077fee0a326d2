//! Our own benchmarks, each beside its peer in the same run.
//!
//! - [`ingest`]: durable ingest over HTTP, beside bare appends of the same records.
//! - [`serving`]: answers of the whole system over HTTP, beside Serenade.
//! - [`search`]: searches of the whole system over HTTP, and of the text index alone beside tantivy's own queries.
//! - [`freshness`]: from an event's acknowledgement to the answer that has seen it, under load in the background.
//! - [`replay`]: the online state rebuilt from the log, beside reading the log alone.
//! - [`ann`]: the index of items, beside hnswlib and faiss-cpu.
//! - [`training`]: how long models take to fit, beside implicit and scipy, and how much memory.
//!
//! All but the last two run in one or two modes: embedded, in a folder of its own under `--dir`; and, where the configuration names
//! other servers, on those, under a prefix of its own that is removed at the end.

pub(crate) mod ann;
pub(crate) mod freshness;
pub(crate) mod ingest;
mod load;
mod python;
pub(crate) mod replay;
pub(crate) mod search;
mod server;
pub(crate) mod serving;
pub(crate) mod training;

use std::sync::Arc;

use anyhow::{Context, Result};
use serde::Serialize;
use tempfile::TempDir;
use waggle_model::Timestamp;
use waggle_stores::bench as servers;

use crate::config::{CacheKind, Config, LogKind, StateKind};

/// Where a benchmark runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    /// Everything in this process: SQLite log, state in memory.
    Embedded,
    /// The servers of the configuration: Kafka, Redis, Postgres.
    Kafka,
}

impl Mode {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Kafka => "kafka",
        }
    }

    /// The modes that `config` allows.
    pub(crate) fn of(config: &Config) -> Vec<Self> {
        match config.log.kind {
            LogKind::Sqlite => vec![Self::Embedded],
            LogKind::Kafka => vec![Self::Embedded, Self::Kafka],
        }
    }
}

/// A place for one run: a folder under `--dir`, gone when this is dropped, and a prefix of its own.
struct Place {
    config: Arc<Config>,
    mode: Mode,
    dir: TempDir,
}

impl Place {
    fn new(config: &Config, mode: Mode) -> Result<Self> {
        std::fs::create_dir_all(&config.dir)
            .with_context(|| format!("cannot make the folder {}", config.dir.display()))?;
        let dir = tempfile::Builder::new().prefix("bench-").tempdir_in(&config.dir)?;
        let own = dir.path().join("data");
        let config = match mode {
            Mode::Embedded => config.embedded(own),
            Mode::Kafka => {
                let suffix = Timestamp::now().as_millis();
                Config { prefix: format!("{}-bench-{suffix:x}", config.prefix), dir: own, ..config.clone() }
            }
        };
        Ok(Self { config: Arc::new(config), mode, dir })
    }

    /// Removes what the run left on the servers.
    async fn forget(self) -> Result<()> {
        if self.mode == Mode::Embedded {
            return Ok(());
        }
        let Config { prefix, log, state, cache, database, .. } = &*self.config;
        servers::forget_kafka(&log.kafka, prefix).await?;
        if state.kind == StateKind::Redis {
            servers::forget_redis(&state.redis, prefix).await?;
        }
        if cache.kind == CacheKind::Redis {
            servers::forget_redis(&cache.redis, prefix).await?;
        }
        if let Some(postgres) = database.postgres() {
            servers::forget_postgres(&postgres, prefix).await?;
        }
        Ok(())
    }
}

/// The middle, and the range.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// Of at least one value.
    fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let last = values.len() - 1;
        // Of an even number the mean of the two in the middle.
        Self {
            median: f64::midpoint(values[last / 2], values[values.len() / 2]),
            min: values[0],
            max: values[last],
        }
    }
}
