//! Where the services are, for whoever uses them.

use std::path::Path;

use anyhow::{Context, Result};

/// Of the name of each variable.
const PREFIX: &str = "WAGGLE_TEST_";

/// What a test needs to know, by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Variables(Vec<(String, String)>);

impl Variables {
    /// Of names without their prefix.
    pub(super) fn new<const N: usize>(values: [(&str, String); N]) -> Self {
        Self(values.map(|(name, value)| (format!("{PREFIX}{name}"), value)).into())
    }

    /// Of a name without its prefix.
    pub(crate) fn get(&self, name: &str) -> Result<&str> {
        let found = self.iter().find(|(full, _)| full.strip_prefix(PREFIX) == Some(name));
        found.map(|(_, value)| value).with_context(|| format!("the services have no {PREFIX}{name}"))
    }

    /// With the full names, for an environment.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// A `waggle.toml` over Kafka, Redis and PostgreSQL, without the shop; more sections may follow.
    ///
    /// - `dir`: for what is kept on the machine
    /// - `prefix`: what sets the installation apart from others on the same services
    pub(crate) fn configuration(&self, dir: &Path, prefix: &str, n_partitions: u32) -> Result<String> {
        let (dir, kafka, redis) = (dir.display(), self.get("KAFKA")?, self.get("REDIS")?);
        let postgres = self.get("POSTGRES")?;
        Ok(format!(
            r#"dir = "{dir}"
prefix = "{prefix}"

[log]
kind = "kafka"
n_partitions = {n_partitions}

[log.kafka]
brokers = "{kafka}"

[state]
kind = "redis"

[state.redis]
url = "{redis}"

[database]
url = "{postgres}"

[web]
enabled = false
"#
        ))
    }

    /// As a shell reads them.
    pub(super) fn env_file(&self) -> String {
        self.iter().map(|(name, value)| format!("export {name}={}\n", quoted(value))).collect()
    }
}

/// One word for a shell.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests;
