//! The stores of an installation, each opened when the first role asks for it.

use std::{future::Future, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use tokio::sync::OnceCell;
use tracing::warn;
use waggle_http::Readiness;
use waggle_stores::{
    ArtifactError, Artifacts, Cache, CacheError, Database, DatabaseError, EventLog, KafkaLog, LogError,
    MemoryState, MokaCache, RedisCache, RedisState, SqliteLog, SqliteLogOptions, StateError, StateStore,
};

use crate::{
    config::{CacheKind, Config, LogKind, StateKind},
    dir::{DataDir, Paths},
    secret::masked,
};

/// Largest artifact, in bytes.
const MAX_ARTIFACT_BYTES: u64 = 16 << 30;
/// Longest attempt to reach a store.
const ATTEMPT: Duration = Duration::from_secs(30);
/// Pause between two attempts, doubled up to the second value.
const PAUSE: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(5)];

/// What to do about a store that does not answer at start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Say so and end: somebody sits in front of it.
    None,
    /// Say so and try again, as long as it takes: services start in any order.
    Unbounded,
}

/// The stores that a configuration names.
///
/// Opened once and shared by the roles of the process, as their ports. What is wrong for good (another partition count, a
/// schema of another build, a damaged file) is an error whatever the patience.
pub(crate) struct Stores {
    config: Arc<Config>,
    patience: Patience,
    readiness: Arc<Readiness>,
    log: OnceCell<Arc<dyn EventLog>>,
    state: OnceCell<Arc<dyn StateStore>>,
    cache: OnceCell<Arc<dyn Cache>>,
    database: OnceCell<Arc<Database>>,
    artifacts: OnceCell<Artifacts>,
    paths: Paths,
    // Released last: the folder is ours until everything is closed.
    _lock: Option<DataDir>,
}

impl Stores {
    /// Opens nothing yet, but takes the folder where a store of it bears one process only.
    ///
    /// # Errors
    /// A folder that another process works on, or that cannot be made.
    pub(crate) fn new(config: Arc<Config>, readiness: Arc<Readiness>, patience: Patience) -> Result<Self> {
        let lock = if config.owns_folder() { Some(DataDir::open(&config.dir)?) } else { None };
        Ok(Self::with_lock(config, readiness, patience, lock))
    }

    fn with_lock(
        config: Arc<Config>,
        readiness: Arc<Readiness>,
        patience: Patience,
        lock: Option<DataDir>,
    ) -> Self {
        Self {
            patience,
            readiness,
            log: OnceCell::new(),
            state: OnceCell::new(),
            cache: OnceCell::new(),
            database: OnceCell::new(),
            artifacts: OnceCell::new(),
            paths: Paths::new(&config.dir),
            config,
            _lock: lock,
        }
    }

    /// For a command that somebody waits for: what does not answer is an error.
    pub(crate) fn for_command(config: &Config) -> Result<Self> {
        Self::new(Arc::new(config.clone()), Arc::new(Readiness::default()), Patience::None)
    }

    /// For a command that works on the log alone, beside running services where the log bears that.
    pub(crate) fn for_log(config: &Config) -> Result<Self> {
        let lock = match config.log.kind {
            LogKind::Sqlite => Some(DataDir::open(&config.dir)?),
            LogKind::Kafka => None,
        };
        let (config, readiness) = (Arc::new(config.clone()), Arc::new(Readiness::default()));
        Ok(Self::with_lock(config, readiness, Patience::None, lock))
    }

    /// Whether what does not answer is waited for.
    pub(crate) fn waits(&self) -> bool {
        self.patience == Patience::Unbounded
    }

    pub(crate) async fn log(&self) -> Result<Arc<dyn EventLog>> {
        let is_remote = self.config.log.kind == LogKind::Kafka;
        let may_pass = |e: &LogError| is_remote && matches!(e, LogError::Storage(_) | LogError::Busy);
        let open = || open_log(&self.config, &self.paths);
        let open = || self.reach("log", "the event log", open, may_pass);
        self.log.get_or_try_init(open).await.cloned()
    }

    pub(crate) async fn state(&self) -> Result<Arc<dyn StateStore>> {
        let is_remote = self.config.state.kind == StateKind::Redis;
        let may_pass = |e: &StateError| is_remote && matches!(e, StateError::Storage(_));
        let open = || open_state(&self.config, &self.paths);
        let open = || self.reach("state", "the online state", open, may_pass);
        self.state.get_or_try_init(open).await.cloned()
    }

    pub(crate) async fn cache(&self) -> Result<Arc<dyn Cache>> {
        let open = || self.reach("cache", "the cache", || open_cache(&self.config), |_| false);
        self.cache.get_or_try_init(open).await.cloned()
    }

    pub(crate) async fn database(&self) -> Result<Arc<Database>> {
        let may_pass = |e: &DatabaseError| matches!(e, DatabaseError::Unreachable { .. });
        let open = async || open_database(&self.config, &self.paths).await.map(Arc::new);
        let open = || self.reach("database", "the database", open, may_pass);
        self.database.get_or_try_init(open).await.cloned()
    }

    pub(crate) async fn artifacts(&self) -> Result<&Artifacts> {
        let may_pass = |e: &ArtifactError| matches!(e, ArtifactError::Unreachable { .. });
        let open = || open_artifacts(&self.config, &self.paths);
        let open = || self.reach("artifacts", "the place of the artifacts", open, may_pass);
        self.artifacts.get_or_try_init(open).await
    }

    /// Closes what was opened; state that lives in memory is saved first.
    pub(crate) async fn close(self) -> Result<()> {
        if let Some(state) = self.state.get() {
            state.checkpoint().await?;
        }
        if let Some(log) = self.log.get() {
            log.close().await;
        }
        if let Some(database) = self.database.get() {
            database.close().await;
        }
        Ok(())
    }

    /// Opens a store, as often as it takes if it may pass and somebody may wait.
    async fn reach<T, E, F>(
        &self,
        part: &'static str,
        name: &'static str,
        open: impl Fn() -> F,
        may_pass: impl Fn(&E) -> bool,
    ) -> Result<T>
    where
        E: std::error::Error + Send + Sync + 'static,
        F: Future<Output = Result<T, E>>,
    {
        self.readiness.set_missing(part, "connecting");
        let mut pause = PAUSE[0];
        loop {
            let why = match tokio::time::timeout(ATTEMPT, open()).await {
                Ok(Ok(store)) => {
                    self.readiness.set_ready(part);
                    return Ok(store);
                }
                Ok(Err(error)) if self.patience == Patience::None || !may_pass(&error) => {
                    return Err(error).with_context(|| format!("{name} cannot be opened"));
                }
                Ok(Err(error)) => masked(&error.to_string()),
                Err(_) if self.patience == Patience::None => {
                    anyhow::bail!("{name} did not answer within {ATTEMPT:?}");
                }
                Err(_) => format!("no answer within {ATTEMPT:?}"),
            };
            warn!(part, "{name} cannot be reached ({why}); trying again in {pause:?}");
            self.readiness.set_missing(part, "not reachable yet, trying again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE[1]);
        }
    }
}

async fn open_log(config: &Config, paths: &Paths) -> Result<Arc<dyn EventLog>, LogError> {
    let n_partitions = config.log.n_partitions;
    let log: Arc<dyn EventLog> = match config.log.kind {
        LogKind::Sqlite => {
            let options = SqliteLogOptions { n_partitions, max_bytes: None };
            Arc::new(SqliteLog::open(paths.log(), options).await?)
        }
        LogKind::Kafka => Arc::new(KafkaLog::connect(&config.log.kafka, &config.prefix, n_partitions).await?),
    };
    Ok(log)
}

async fn open_state(config: &Config, paths: &Paths) -> Result<Arc<dyn StateStore>, StateError> {
    let n_partitions = config.log.n_partitions;
    let state: Arc<dyn StateStore> = match config.state.kind {
        StateKind::Memory => Arc::new(MemoryState::open(paths.state(), n_partitions).await?),
        StateKind::Redis => {
            Arc::new(RedisState::connect(&config.state.redis, &config.prefix, n_partitions).await?)
        }
    };
    Ok(state)
}

async fn open_cache(config: &Config) -> Result<Arc<dyn Cache>, CacheError> {
    let cache: Arc<dyn Cache> = match config.cache.kind {
        CacheKind::Memory => Arc::new(MokaCache::new(config.cache.max_bytes)),
        CacheKind::Redis => Arc::new(RedisCache::connect(&config.cache.redis, &config.prefix).await?),
    };
    Ok(cache)
}

async fn open_artifacts(config: &Config, paths: &Paths) -> Result<Artifacts, ArtifactError> {
    match &config.artifacts.url {
        Some(_) => Artifacts::connect(&config.artifacts, MAX_ARTIFACT_BYTES).await,
        None => Artifacts::open_local(paths.artifacts(), MAX_ARTIFACT_BYTES).await,
    }
}

/// The database alone, for commands that work beside running services: it bears several processes, in a file too.
///
/// # Errors
/// [`DatabaseError`]; a file that is not there is made.
pub(crate) async fn open_database(config: &Config, paths: &Paths) -> Result<Database, DatabaseError> {
    match config.database.postgres() {
        Some(postgres) => Database::connect(&postgres, &config.prefix).await,
        None => Database::open(paths.database()).await,
    }
}
