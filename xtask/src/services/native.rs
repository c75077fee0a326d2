//! The services as plain processes of this machine (Linux), each in a folder of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::{
    Name, Ports, Started, Status, Voice, folder, kafka, postgres, process::Process, redis, s3, seconds,
    tls::Tls,
};
use crate::tools;

/// How often a service that starts is asked whether it is ready.
const POLL: Duration = Duration::from_millis(50);
/// Generous, for a machine that compiles at the same time; a start that fails ends at once.
const READY_LIMIT: Duration = Duration::from_secs(120);
/// Time for a polite stop.
const STOP_LIMIT: Duration = Duration::from_secs(30);

pub(super) struct Native {
    folder: PathBuf,
    voice: Voice,
}

/// One service's place: what its module needs to prepare and start it.
pub(super) struct Place<'a> {
    /// Everything of the service lies in here.
    pub(super) folder: PathBuf,
    /// The folder of all services.
    pub(super) services: PathBuf,
    pub(super) ports: &'a Ports,
    pub(super) tls: Tls,
}

impl Place<'_> {
    pub(super) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }
}

impl Native {
    pub(super) fn new(folder: PathBuf, voice: Voice) -> Self {
        Self { folder, voice }
    }

    pub(super) fn is_running(&self, name: Name) -> bool {
        Process::find(&self.pid_file(name)).is_some()
    }

    pub(super) fn any_is_running(&self) -> bool {
        Name::ALL.into_iter().any(|name| self.is_running(name))
    }

    /// Starts them side by side; the first that fails is the error, after all have come to an end.
    pub(super) fn up(&self, names: &[Name], ports: &Ports) -> Result<Vec<(Name, Started)>> {
        let missing: Vec<Name> = names.iter().copied().filter(|name| !self.is_running(*name)).collect();
        self.install(&missing)?;
        thread::scope(|scope| {
            let running: Vec<_> =
                names.iter().map(|name| (*name, scope.spawn(move || self.up_one(*name, ports)))).collect();
            running
                .into_iter()
                .map(|(name, thread)| {
                    let started = thread.join().expect("starting a service does not panic");
                    started
                        .map(|started| (name, started))
                        .with_context(|| format!("starting {}", name.as_str()))
                })
                .collect()
        })
    }

    fn up_one(&self, name: Name, ports: &Ports) -> Result<Started> {
        let port = ports.of_service(name);
        if let Some(process) = Process::find(&self.pid_file(name)) {
            // It may have been started a moment ago by somebody who did not wait.
            self.wait_ready(name, ports, process)?;
            self.say(name, &format!("runs on 127.0.0.1:{port} (pid {})", process.pid));
            return Ok(Started::Already);
        }
        let start = Instant::now();
        let place = self.place(name, ports);
        fs::create_dir_all(&place.folder)?;
        match name {
            Name::Kafka => kafka::prepare(&place)?,
            Name::Postgres => postgres::prepare(&place)?,
            Name::Redis => redis::prepare(&place)?,
            Name::S3 => s3::prepare(&place)?,
        }
        let prepared = start.elapsed();
        let pid = self.launch(name, &place)?;
        let (took, prepared) = (seconds(start.elapsed()), seconds(prepared));
        self.say(
            name,
            &format!("ready on 127.0.0.1:{port} after {took} (pid {pid}, {prepared} of them preparing)"),
        );
        Ok(Started::Now)
    }

    fn launch(&self, name: Name, place: &Place<'_>) -> Result<u32> {
        let command = match name {
            Name::Kafka => kafka::command(place),
            Name::Postgres => postgres::command(place)?,
            Name::Redis => redis::command(place)?,
            Name::S3 => s3::command(place),
        };
        let process = Process::spawn(&command, &self.log(name), &self.pid_file(name))?;
        self.wait_ready(name, place.ports, process)?;
        if name == Name::Postgres {
            postgres::create_database(place)?;
        }
        Ok(process.pid)
    }

    fn wait_ready(&self, name: Name, ports: &Ports, process: Process) -> Result<()> {
        let start = Instant::now();
        let place = self.place(name, ports);
        loop {
            let is_ready = match name {
                Name::Kafka => kafka::is_ready(ports),
                Name::Postgres => postgres::is_ready(&place),
                Name::Redis => redis::is_ready(ports),
                Name::S3 => s3::is_ready(ports),
            };
            // In this order: somebody else may answer on the port of a process that has ended.
            if !process.is_alive() {
                bail!("it ended before it was ready; it wrote:\n{}", tail(&self.log(name)));
            }
            if is_ready {
                return Ok(());
            }
            if start.elapsed() > READY_LIMIT {
                bail!("it was not ready after {READY_LIMIT:?}; it wrote:\n{}", tail(&self.log(name)));
            }
            thread::sleep(POLL);
        }
    }

    pub(super) fn down(&self, names: &[Name], volumes: bool) -> Result<()> {
        thread::scope(|scope| {
            let stopping: Vec<_> =
                names.iter().map(|name| scope.spawn(move || self.down_one(*name, volumes))).collect();
            stopping.into_iter().try_for_each(|thread| thread.join().expect("stopping does not panic"))
        })
    }

    fn down_one(&self, name: Name, volumes: bool) -> Result<()> {
        let start = Instant::now();
        match Process::find(&self.pid_file(name)) {
            None => self.say(name, "did not run"),
            Some(process) => {
                // PostgreSQL's word for "now, but properly" is an interrupt; TERM waits for its clients.
                let signal = if name == Name::Postgres { "INT" } else { "TERM" };
                let was_killed = process.stop(signal, STOP_LIMIT)?;
                let how = if was_killed { "killed, it did not stop by itself," } else { "stopped" };
                self.say(name, &format!("{how} after {}", seconds(start.elapsed())));
            }
        }
        if volumes {
            folder::remove(&self.folder_of(name).join("data"))?;
            self.say(name, "data removed");
        }
        Ok(())
    }

    pub(super) fn kill(&self, name: Name) -> Result<()> {
        let running = Process::find(&self.pid_file(name));
        let process = running.with_context(|| format!("{} does not run", name.as_str()))?;
        process.kill()?;
        self.say(name, &format!("killed (pid {})", process.pid));
        Ok(())
    }

    pub(super) fn status(&self, ports: &Ports) -> Vec<Status> {
        let status = |name| {
            let process = Process::find(&self.pid_file(name));
            Status {
                name,
                port: ports.of_service(name),
                pid: process.map(|process| process.pid),
                version: match name {
                    Name::Kafka => kafka::version(),
                    Name::Postgres => postgres::version(),
                    Name::Redis => redis::version(),
                    Name::S3 => Some(s3::VERSION.to_owned()),
                },
                memory_bytes: process.and_then(|process| process.memory_bytes()),
                data_bytes: Some(folder::size_bytes(&self.folder_of(name).join("data"))),
            }
        };
        Name::ALL.map(status).into()
    }

    pub(super) fn logs(&self, names: &[Name], follow: bool) -> Result<()> {
        let logs: Vec<PathBuf> =
            names.iter().map(|name| self.log(*name)).filter(|log| log.is_file()).collect();
        if logs.is_empty() {
            bail!("nothing has been started yet: cargo xtask services up");
        }
        let mut command = Command::new("tail");
        command.args(["-n", "200"]).args(follow.then_some("-F")).args(&logs);
        let status = command.status().context("tail cannot be started")?;
        if !status.success() {
            bail!("tail ended with {status}");
        }
        Ok(())
    }

    /// Everything that is missing in one go: two package managers at once would wait for each other.
    fn install(&self, names: &[Name]) -> Result<()> {
        let mut packages = Vec::new();
        for name in names {
            match name {
                Name::Kafka => packages.extend(kafka::missing_packages(&self.folder_of(*name))?),
                Name::Postgres => packages.extend(postgres::missing_packages()),
                Name::Redis => packages.extend(redis::missing_packages()),
                Name::S3 => packages.extend(s3::missing_packages(&self.folder_of(*name))?),
            }
        }
        if names.contains(&Name::Kafka)
            && !Tls::in_folder(&self.folder).exists()
            && !tools::is_on_path("openssl")
        {
            packages.push("openssl");
        }
        if packages.is_empty() {
            return Ok(());
        }
        packages.sort_unstable();
        packages.dedup();
        tools::apt_install("what the services need", &packages)
    }

    fn say(&self, name: Name, what: &str) {
        if self.voice == Voice::Terminal {
            println!("   {:<9} {what}", name.as_str());
        }
    }

    fn place<'a>(&self, name: Name, ports: &'a Ports) -> Place<'a> {
        Place {
            folder: self.folder_of(name),
            services: self.folder.clone(),
            ports,
            tls: Tls::in_folder(&self.folder),
        }
    }

    fn folder_of(&self, name: Name) -> PathBuf {
        self.folder.join(name.as_str())
    }

    fn pid_file(&self, name: Name) -> PathBuf {
        self.folder_of(name).join("pid")
    }

    fn log(&self, name: Name) -> PathBuf {
        self.folder_of(name).join("log")
    }
}

fn tail(log: &Path) -> String {
    const LINES: usize = 30;
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].iter().map(|line| format!("     | {line}\n")).collect()
}
