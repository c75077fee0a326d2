//! The configuration: `waggle.toml`, then variables like `WAGGLE__GATEWAY__DEADLINE_MS`, then flags.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use figment::{
    Figment,
    providers::{Env, Format, Serialized, Toml},
};
use serde::{Deserialize, Serialize};
use waggle_features_role::{ArchiverConfig, ConsumerConfig};
use waggle_gateway_role::GatewayConfig;
use waggle_ingest_role::IngestConfig;
use waggle_retrieval_role::RetrievalConfig;

use crate::cli::Global;

/// Name of the file looked for in the working folder.
const FILE: &str = "waggle.toml";

/// Everything that can be set. A misspelt key stops the start.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Folder for all state of the embedded default.
    pub(crate) dir: PathBuf,
    pub(crate) server: ServerConfig,
    pub(crate) log: LogConfig,
    pub(crate) cache: CacheConfig,
    pub(crate) ingest: IngestConfig,
    pub(crate) features: ConsumerConfig,
    pub(crate) archive: ArchiverConfig,
    pub(crate) retrieval: RetrievalConfig,
    pub(crate) gateway: GatewayConfig,
    pub(crate) web: WebConfig,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ServerConfig {
    /// Address to listen on. Anything but loopback opens the API to the network, which has no keys yet.
    pub(crate) bind: IpAddr,
    pub(crate) port: u16,
    /// Threads that answer requests; 0 is one per core.
    pub(crate) workers: usize,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LogConfig {
    /// Partitions of every topic, fixed when the folder is made.
    pub(crate) n_partitions: u32,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CacheConfig {
    /// Memory for cached answers, in bytes.
    pub(crate) max_bytes: u64,
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
            dir: PathBuf::from("./waggle-data"),
            server: ServerConfig::default(),
            log: LogConfig::default(),
            cache: CacheConfig::default(),
            ingest: IngestConfig::default(),
            features: ConsumerConfig::default(),
            archive: ArchiverConfig::default(),
            retrieval: RetrievalConfig::default(),
            gateway: GatewayConfig::default(),
            web: WebConfig::default(),
        }
    }
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self { bind: IpAddr::V4(Ipv4Addr::LOCALHOST), port: 8080, workers: 0 }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { n_partitions: 1 }
    }
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self { max_bytes: 64 << 20 }
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
    /// Names the file and the key that is wrong.
    pub(crate) fn load(flags: &Global) -> Result<Self> {
        let mut figment = Figment::from(Serialized::defaults(Self::default()));
        match &flags.config {
            Some(path) => {
                anyhow::ensure!(path.is_file(), "configuration file {} does not exist", path.display());
                figment = figment.merge(Toml::file_exact(path));
            }
            None if Path::new(FILE).is_file() => figment = figment.merge(Toml::file_exact(FILE)),
            None => {}
        }
        figment = figment.merge(Env::prefixed("WAGGLE__").split("__"));
        let mut config: Self = figment.extract().context("the configuration is not valid")?;
        if let Some(dir) = &flags.dir {
            config.dir.clone_from(dir);
        }
        anyhow::ensure!(
            (1..=1024).contains(&config.log.n_partitions),
            "log.n_partitions is {}, it must be between 1 and 1024",
            config.log.n_partitions
        );
        Ok(config)
    }
}

#[cfg(test)]
mod tests;
