//! The services as containers, `deploy/compose.yaml`.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{Name, Ports, Started, Status, kafka, s3, seconds, tls::Tls};
use crate::workspace;

pub(super) struct Compose {
    file: PathBuf,
    tls: Tls,
    folder: PathBuf,
}

impl Compose {
    /// Whether an engine answers and knows Compose; that the client is installed says nothing.
    pub(super) fn is_available() -> bool {
        let answers = |args: &[&str]| {
            Command::new("docker")
                .args(args)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success())
        };
        answers(&["info"]) && answers(&["compose", "version"])
    }

    pub(super) fn new(root: &Path, folder: &Path) -> Self {
        Self {
            file: root.join("deploy").join("compose.yaml"),
            tls: Tls::in_folder(folder),
            folder: folder.to_owned(),
        }
    }

    pub(super) fn up(&self, names: &[Name], ports: &Ports) -> Result<Vec<(Name, Started)>> {
        self.tls.make(true)?;
        s3::Keys::make(&self.folder)?;
        let before = self.status(ports)?;
        let start = std::time::Instant::now();
        let mut command = self.command(ports);
        // Waits for the health checks, which ask what the native side asks.
        command.args(["up", "--detach", "--wait"]).args(names.iter().map(|name| name.as_str()));
        workspace::run(&mut command)?;
        println!("   containers ready after {}", seconds(start.elapsed()));
        let ran = |name| before.iter().any(|status| status.name == name && status.pid.is_some());
        Ok(names
            .iter()
            .map(|name| (*name, if ran(*name) { Started::Already } else { Started::Now }))
            .collect())
    }

    pub(super) fn down(&self, names: &[Name], volumes: bool, ports: &Ports) -> Result<()> {
        let mut command = self.command(ports);
        if volumes {
            command.args(["down", "--volumes"]);
        } else {
            command.arg("stop").args(names.iter().map(|name| name.as_str()));
        }
        workspace::run(&mut command)
    }

    pub(super) fn kill(&self, name: Name, ports: &Ports) -> Result<()> {
        workspace::run(self.command(ports).args(["kill", "--signal", "KILL", name.as_str()]))
    }

    pub(super) fn logs(&self, names: &[Name], follow: bool, ports: &Ports) -> Result<()> {
        let mut command = self.command(ports);
        command.args(["logs", "--tail", "200"]).args(follow.then_some("--follow"));
        workspace::run(command.args(names.iter().map(|name| name.as_str())))
    }

    pub(super) fn status(&self, ports: &Ports) -> Result<Vec<Status>> {
        let output = self.command(ports).args(["ps", "--format", "json"]).output();
        let output = output.context("docker cannot be started")?;
        if !output.status.success() {
            bail!("docker compose ps: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let running = parse_running(&String::from_utf8_lossy(&output.stdout));
        let status = |name: Name| {
            let container = running.iter().find(|(service, _)| service == name.as_str());
            Status {
                name,
                port: ports.of_service(name),
                pid: container.and_then(|(_, id)| self.pid(id)),
                version: match name {
                    Name::Kafka => Some(kafka::VERSION.to_owned()),
                    Name::S3 => Some(s3::VERSION.to_owned()),
                    Name::Postgres | Name::Redis => None,
                },
                memory_bytes: None,
                data_bytes: None,
            }
        };
        Ok(Name::ALL.map(status).into())
    }

    fn pid(&self, container: &str) -> Option<u32> {
        let output = Command::new("docker")
            .args(["inspect", "--format", "{{.State.Pid}}", container])
            .output()
            .ok()?;
        String::from_utf8_lossy(&output.stdout).trim().parse().ok().filter(|pid| *pid > 0)
    }

    fn command(&self, ports: &Ports) -> Command {
        let mut command = Command::new("docker");
        command.arg("compose").arg("--file").arg(&self.file);
        // The ports are this target folder's own, and so is the project that holds its containers and volumes.
        command.args(["--project-name", &format!("waggle-{}", ports.kafka)]);
        command.env("WAGGLE_KAFKA_VERSION", kafka::VERSION);
        command.env("WAGGLE_KAFKA_PORT", ports.kafka.to_string());
        command.env("WAGGLE_KAFKA_TLS_PORT", ports.kafka_tls.to_string());
        command.env("WAGGLE_POSTGRES_PORT", ports.postgres.to_string());
        command.env("WAGGLE_REDIS_PORT", ports.redis.to_string());
        command.env("WAGGLE_TLS_DIR", self.folder.join("tls"));
        command.env("WAGGLE_KAFKA_PASSWORD", self.tls.password().unwrap_or_default());
        command.env("WAGGLE_S3_VERSION", s3::VERSION);
        command.env("WAGGLE_S3_PORT", ports.s3.to_string());
        if let Ok(keys) = s3::Keys::in_folder(&self.folder) {
            command.env("WAGGLE_S3_ACCESS_KEY", keys.access_key);
            command.env("WAGGLE_S3_SECRET_KEY", keys.secret_key);
        }
        command
    }
}

/// Service and container of each that runs. Older versions print one array, newer ones an object a line.
fn parse_running(text: &str) -> Vec<(String, String)> {
    let containers = match serde_json::from_str::<Value>(text) {
        Ok(Value::Array(all)) => all,
        _ => text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect(),
    };
    let text = |container: &Value, key: &str| container[key].as_str().map(ToOwned::to_owned);
    containers
        .iter()
        .filter(|container| container["State"] == "running")
        .filter_map(|container| Some((text(container, "Service")?, text(container, "ID")?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_are_listed_as_an_array_or_line_by_line() {
        let kafka = r#"{"ID":"c1","Service":"kafka","State":"running","Health":"healthy"}"#;
        let redis = r#"{"ID":"c2","Service":"redis","State":"exited"}"#;
        let expected = vec![("kafka".to_owned(), "c1".to_owned())];
        assert_eq!(parse_running(&format!("[{kafka},{redis}]")), expected);
        assert_eq!(parse_running(&format!("{kafka}\n{redis}\n")), expected);
        assert_eq!(parse_running(""), []);
        assert_eq!(parse_running(kafka), expected);
    }
}
