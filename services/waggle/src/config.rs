//! The configuration: `waggle.toml`, then variables like `WAGGLE__GATEWAY__DEADLINE_MS`, then flags.
//!
//! `deploy/waggle.toml` shows the production shape with every key that such an installation looks at.

mod error;
mod stores;

use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
};

use anyhow::Result;
use figment::{
    Figment,
    providers::{Env, Format, Serialized, Toml},
};
use serde::{Deserialize, Serialize};
use waggle_features_role::{ArchiverConfig, ConsumerConfig};
use waggle_filter::Declaration;
use waggle_gateway_role::{GatewayConfig, PlacementConfigs};
use waggle_ingest_role::IngestConfig;
use waggle_jobs::TrainParams;
use waggle_retrieval_role::RetrievalConfig;
use waggle_stores::S3Config;

use self::error::explained;
pub(crate) use self::stores::{
    CacheConfig, CacheKind, DatabaseConfig, LogConfig, LogKind, StateConfig, StateKind,
};
use crate::{
    cli::{Global, RoleName},
    roles::Roles,
};

/// Name of the file looked for in the working folder.
const FILE: &str = "waggle.toml";
/// What every variable of the configuration begins with.
const VARIABLES: &str = "WAGGLE__";
/// Longest prefix and member name, in bytes.
const MAX_NAME_BYTES: usize = 100;

/// Everything that can be set. A misspelt key stops the start.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// The file that was read, if there is one.
    #[serde(skip)]
    pub(crate) file: Option<PathBuf>,
    /// Folder for all state of the embedded default.
    pub(crate) dir: PathBuf,
    /// What all names in Kafka, Redis and Postgres begin with: one installation, one catalogue. Several installations
    /// share servers by having different ones.
    pub(crate) prefix: String,
    /// Name of this process among its replicas, the same after a restart; absent: host, roles and port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) member: Option<String>,
    pub(crate) server: ServerConfig,
    pub(crate) log: LogConfig,
    pub(crate) state: StateConfig,
    pub(crate) cache: CacheConfig,
    pub(crate) database: DatabaseConfig,
    /// Snapshots and archive: in a bucket if it has a `url`, otherwise in the folder.
    pub(crate) artifacts: S3Config,
    pub(crate) ingest: IngestConfig,
    pub(crate) features: ConsumerConfig,
    pub(crate) archive: ArchiverConfig,
    /// Types of the items' own properties; what is not declared is learned from the items.
    pub(crate) catalog: Declaration,
    pub(crate) retrieval: RetrievalConfig,
    pub(crate) training: TrainingConfig,
    pub(crate) gateway: GatewayConfig,
    /// What each place on a page is made of, by name; read again when the file changes.
    pub(crate) placements: PlacementConfigs,
    pub(crate) web: WebConfig,
    pub(crate) canary: CanaryConfig,
}

/// Section `[training]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TrainingConfig {
    /// Dimensions of the embeddings, 1 to 1,024: more of them tell more items apart, and each costs time and memory in
    /// every answer.
    pub(crate) n_factors: usize,
}

impl Default for TrainingConfig {
    fn default() -> Self {
        Self { n_factors: TrainParams::default().models.als.n_factors }
    }
}

/// Section `[canary]`: freshness, measured by the gateway all the time.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CanaryConfig {
    /// An event is timed until it shows in an answer this often, in milliseconds; 0: never.
    pub(crate) every_ms: u32,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ServerConfig {
    /// Address to listen on. Anything but loopback opens the API to the network, which has no keys yet.
    pub(crate) bind: IpAddr,
    /// Absent: 8080 for the gateway and for all roles together, 8081 for ingest, 8082 for features.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) port: Option<u16>,
    /// Threads that answer requests; 0 is one per core.
    pub(crate) workers: usize,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct WebConfig {
    /// Whether the demonstration shop is served at `/`.
    pub(crate) enabled: bool,
    /// Name above the door.
    pub(crate) name: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            file: None,
            dir: PathBuf::from("./waggle-data"),
            prefix: "waggle".to_owned(),
            member: None,
            server: ServerConfig::default(),
            log: LogConfig::default(),
            state: StateConfig::default(),
            cache: CacheConfig::default(),
            database: DatabaseConfig::default(),
            artifacts: S3Config::default(),
            ingest: IngestConfig::default(),
            features: ConsumerConfig::default(),
            archive: ArchiverConfig::default(),
            catalog: Declaration::default(),
            retrieval: RetrievalConfig::default(),
            training: TrainingConfig::default(),
            gateway: GatewayConfig::default(),
            placements: PlacementConfigs::new(),
            web: WebConfig::default(),
            canary: CanaryConfig::default(),
        }
    }
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self { bind: IpAddr::V4(Ipv4Addr::LOCALHOST), port: None, workers: 0 }
    }
}

impl Default for WebConfig {
    fn default() -> Self {
        Self { enabled: true, name: "The Waggle Shop".to_owned() }
    }
}

impl Config {
    /// Defaults, then the file, then the environment, then `flags`.
    ///
    /// # Errors
    /// Names the file or variable and the key that is wrong.
    pub(crate) fn load(flags: &Global) -> Result<Self> {
        let file = match &flags.config {
            Some(path) => {
                anyhow::ensure!(path.is_file(), "configuration file {} does not exist", path.display());
                Some(path.clone())
            }
            None => Some(PathBuf::from(FILE)).filter(|path| path.is_file()),
        };
        let mut config = Self::read(file)?;
        if let Some(dir) = &flags.dir {
            config.dir.clone_from(dir);
        }
        config.check()?;
        Ok(config)
    }

    /// Defaults, then the file, then the environment.
    fn read(file: Option<PathBuf>) -> Result<Self> {
        let mut figment = Figment::from(Serialized::defaults(Self::default()));
        if let Some(path) = &file {
            figment = figment.merge(Toml::file_exact(path));
        }
        figment = figment.merge(Env::prefixed(VARIABLES).split("__"));
        let config: Self = figment.extract().map_err(|error| explained(&error))?;
        Ok(Self { file, ..config })
    }

    /// What the file and the environment say now.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub(crate) fn read_again(&self) -> Result<Self> {
        Self::read(self.file.clone())
    }

    /// The same rules for everything, but with all state in a folder of its own: for work that must not touch what
    /// other processes share.
    pub(crate) fn embedded(&self, dir: PathBuf) -> Self {
        Self {
            dir,
            log: LogConfig { kind: LogKind::Sqlite, ..self.log.clone() },
            state: StateConfig::default(),
            cache: CacheConfig { kind: CacheKind::Memory, ..self.cache.clone() },
            database: DatabaseConfig::default(),
            artifacts: S3Config::default(),
            canary: CanaryConfig::default(),
            ..self.clone()
        }
    }

    /// What cannot work whoever runs.
    fn check(&self) -> Result<()> {
        anyhow::ensure!(
            (1..=1024).contains(&self.log.n_partitions),
            "log.n_partitions is {}, it must be between 1 and 1024",
            self.log.n_partitions
        );
        anyhow::ensure!(
            (1..=1024).contains(&self.training.n_factors),
            "training.n_factors is {}, it must be between 1 and 1024",
            self.training.n_factors
        );
        self.features.policy.validate().map_err(|e| anyhow::anyhow!("features.policy: {e}"))?;
        self.catalog.schema().map_err(|e| anyhow::anyhow!("catalog.properties: {e}"))?;
        check_name("prefix", &self.prefix)?;
        self.member.as_deref().map_or(Ok(()), |member| check_name("member", member))?;
        self.artifacts.validate()?;
        if self.log.kind == LogKind::Kafka {
            anyhow::ensure!(
                self.state.kind == StateKind::Redis,
                "log.kind is \"kafka\" and state.kind is \"memory\": processes that share a log share the state that \
                 is made of it, so set state.kind = \"redis\" and state.redis.url"
            );
            anyhow::ensure!(
                self.database.url.is_some(),
                "log.kind is \"kafka\" and database.url is not set: processes that share a log share the database, \
                 so set database.url = \"postgres://…\""
            );
        }
        Ok(())
    }

    /// Whether these roles can run apart from the others.
    ///
    /// # Errors
    /// One sentence that says which store they would have to share and how.
    pub(crate) fn check_roles(&self, roles: &Roles) -> Result<()> {
        if roles.is_whole() {
            return Ok(());
        }
        let apart = format!("`waggle serve {roles}` leaves other roles to other processes, ");
        anyhow::ensure!(
            self.log.kind == LogKind::Kafka,
            "{apart}and the log is a SQLite file, which one process works on alone; set log.kind = \"kafka\", or run \
             `waggle serve` with every role in one process"
        );
        // What `check` demands with Kafka; said here for whoever reads this alone.
        debug_assert!(self.state.kind == StateKind::Redis && self.database.url.is_some());
        Ok(())
    }

    /// Whether any store is on the other side of a network, where it may come up later than this process.
    pub(crate) fn is_networked(&self) -> bool {
        self.log.kind == LogKind::Kafka
            || self.state.kind == StateKind::Redis
            || self.database.url.is_some()
            || self.artifacts.url.is_some()
    }

    /// Whether any store lies in the folder in a form that one process works on alone.
    pub(crate) fn owns_folder(&self) -> bool {
        self.log.kind == LogKind::Sqlite
            || self.state.kind == StateKind::Memory
            || self.database.url.is_none()
    }

    /// The port of a process with these roles.
    pub(crate) fn port(&self, roles: &Roles) -> u16 {
        self.server.port.unwrap_or_else(|| match () {
            () if roles.has(RoleName::Gateway) => 8080,
            () if roles.has(RoleName::Ingest) => 8081,
            () => 8082,
        })
    }
}

/// Names become parts of topics, keys, schemas and member ids, so they keep to what all of those take.
fn check_name(key: &str, name: &str) -> Result<()> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    anyhow::ensure!(
        (1..=MAX_NAME_BYTES).contains(&name.len()) && name.chars().all(is_plain),
        "{key} is \"{name}\", it must have 1 to {MAX_NAME_BYTES} letters, digits or - _ ."
    );
    Ok(())
}

#[cfg(test)]
mod tests;
