//! Kafka, PostgreSQL, Redis and an S3 server for tests and development: `cargo xtask services up|down|status|logs|restart|kill`.
//!
//! Where a container engine answers they run under Docker Compose ([`compose`], `deploy/compose.yaml`), otherwise as
//! plain processes ([`native`]). Either way they listen on loopback ports of their own, chosen once ([`ports`]), keep
//! everything under `target/services`, and have nothing to do with servers the machine may run for others.

mod compose;
mod folder;
mod java;
mod kafka;
mod native;
mod ports;
mod postgres;
pub(crate) mod process;
mod redis;
mod s3;
#[cfg(test)]
mod tests;
mod tls;
mod variables;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::{
    steps::{Outcome, Steps},
    tools,
    workspace::Workspace,
};
use compose::Compose;
use native::Native;
use ports::Ports;
pub(crate) use variables::Variables;

/// File of the remembered ports.
const PORTS: &str = "ports";

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Starts what does not run yet, all at once, and waits until each answers.
    Up {
        /// Only these; all without a name.
        names: Vec<Name>,
    },
    /// Stops what runs; the data stays.
    Down {
        /// Removes the data too.
        #[arg(long)]
        volumes: bool,
    },
    /// Which run, where, since which process, in which version, and how much memory and disk they take.
    Status {
        /// For programs.
        #[arg(long)]
        json: bool,
    },
    /// What they wrote.
    Logs {
        /// Only this one.
        name: Option<Name>,
        /// Goes on as they write.
        #[arg(long, short)]
        follow: bool,
    },
    /// Stops one politely and starts it again.
    Restart { name: Name },
    /// `kill -9` for one; `up` starts it again.
    Kill { name: Name },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum)]
pub(crate) enum Name {
    Kafka,
    Postgres,
    Redis,
    S3,
}

impl Name {
    pub(crate) const ALL: [Self; 4] = [Self::Kafka, Self::Postgres, Self::Redis, Self::S3];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::Postgres => "postgres",
            Self::Redis => "redis",
            Self::S3 => "s3",
        }
    }
}

/// What `up` found or did for one service.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Started {
    Already,
    Now,
}

/// One service as it is now.
#[derive(Debug)]
pub(crate) struct Status {
    name: Name,
    port: u16,
    pid: Option<u32>,
    version: Option<String>,
    /// Resident, in bytes, with what is shared counted once; unknown under Compose.
    memory_bytes: Option<u64>,
    /// On disk, in bytes; unknown under Compose.
    data_bytes: Option<u64>,
}

pub(crate) fn run(workspace: &Workspace, command: &Command) -> Result<()> {
    let services = Services::open(&workspace.root, &workspace.target.join("services"), Voice::Terminal)?;
    match command {
        Command::Up { names } => services.up(names).map(drop),
        Command::Down { volumes } => services.down(&Name::ALL, *volumes),
        Command::Status { json } => services.print_status(*json),
        Command::Logs { name, follow } => services.logs(*name, *follow),
        Command::Restart { name } => services.restart(*name),
        Command::Kill { name } => services.kill(*name),
    }
}

/// The services of one target folder.
pub(crate) struct Services {
    folder: PathBuf,
    engine: Engine,
    voice: Voice,
}

/// Whether what is done is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Voice {
    Terminal,
    Silent,
}

enum Engine {
    Native(Native),
    Compose(Compose),
}

impl Services {
    /// - `root`: the checkout, for the Compose file
    /// - `folder`: where everything of the services lies; created if need be
    pub(crate) fn open(root: &Path, folder: &Path, voice: Voice) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        // What was started as plain processes is looked after as such, even if an engine has come since.
        let native = Native::new(folder.to_owned(), voice);
        let engine = if !native.any_is_running() && Compose::is_available() {
            Engine::Compose(Compose::new(root, folder))
        } else {
            Engine::Native(native)
        };
        Ok(Self { folder: folder.to_owned(), engine, voice })
    }

    /// Starts those of `names` (all if empty) that do not run, waits until each answers, and writes the file of
    /// variables. Gives those that were started.
    pub(crate) fn up(&self, names: &[Name]) -> Result<Vec<Name>> {
        let names = if names.is_empty() { &Name::ALL } else { names };
        let start = Instant::now();
        let _lock = self.lock(names)?;
        if names.contains(&Name::Kafka) {
            tools::kcat()?;
        }
        self.say(&format!("services in {}, {}", self.folder.display(), self.engine.describe()));
        let ports = self.ports_for_start(names)?;
        let done = match &self.engine {
            Engine::Native(native) => native.up(names, &ports)?,
            Engine::Compose(compose) => compose.up(names, &ports)?,
        };
        let file = self.folder.join("env");
        folder::write(&file, self.variables()?.env_file().as_bytes())?;
        self.say(&format!("ready after {}; the variables: . {}", seconds(start.elapsed()), file.display()));
        Ok(done.into_iter().filter(|(_, s)| *s == Started::Now).map(|(name, _)| name).collect())
    }

    pub(crate) fn down(&self, names: &[Name], volumes: bool) -> Result<()> {
        let _lock = self.lock(names)?;
        match &self.engine {
            Engine::Native(native) => native.down(names, volumes),
            Engine::Compose(compose) => compose.down(names, volumes, &self.ports()?),
        }
    }

    pub(crate) fn restart(&self, name: Name) -> Result<()> {
        self.down(&[name], false)?;
        self.up(&[name]).map(drop)
    }

    /// Records that a topic of Kafka holds.
    pub(crate) fn n_records(&self, topic: &str, n_partitions: u32) -> Result<u64> {
        kafka::n_records(self.ports()?.kafka, topic, n_partitions)
    }

    /// Ends a service without asking it.
    ///
    /// # Errors
    /// Also if it does not run: whoever kills wants to know that there was something to kill.
    pub(crate) fn kill(&self, name: Name) -> Result<()> {
        let _lock = self.lock(&[name])?;
        match &self.engine {
            Engine::Native(native) => native.kill(name),
            Engine::Compose(compose) => compose.kill(name, &self.ports()?),
        }
    }

    pub(crate) fn status(&self) -> Result<Vec<Status>> {
        let ports = self.ports()?;
        match &self.engine {
            Engine::Native(native) => Ok(native.status(&ports)),
            Engine::Compose(compose) => compose.status(&ports),
        }
    }

    fn logs(&self, name: Option<Name>, follow: bool) -> Result<()> {
        let names = name.map_or_else(|| Name::ALL.to_vec(), |name| vec![name]);
        match &self.engine {
            Engine::Native(native) => native.logs(&names, follow),
            Engine::Compose(compose) => compose.logs(&names, follow, &self.ports()?),
        }
    }

    fn print_status(&self, as_json: bool) -> Result<()> {
        let all = self.status()?;
        if as_json {
            let services: Vec<Value> = all.iter().map(Status::to_json).collect();
            println!("{}", json!({"engine": self.engine.name(), "services": services}));
        } else {
            for status in &all {
                println!("{status}");
            }
        }
        Ok(())
    }

    /// The remembered ports; those of `names` that somebody else took while their service was down are chosen anew.
    fn ports_for_start(&self, names: &[Name]) -> Result<Ports> {
        Ports::of(&self.folder.join(PORTS), |name| match &self.engine {
            Engine::Native(native) => !names.contains(&name) || native.is_running(name),
            // The engine holds the ports itself and says so if it cannot have one.
            Engine::Compose(_) => true,
        })
    }

    /// The remembered ports, whoever holds them now.
    fn ports(&self) -> Result<Ports> {
        Ports::of(&self.folder.join(PORTS), |_| true)
    }

    pub(crate) fn variables(&self) -> Result<Variables> {
        let ports = self.ports()?;
        let tls = tls::Tls::in_folder(&self.folder);
        let password = tls.password().unwrap_or_default();
        // Made at the first `up` of each.
        let (access_key, secret_key) = s3::Keys::in_folder(&self.folder)
            .map_or_else(|_| Default::default(), |keys| (keys.access_key, keys.secret_key));
        Ok(Variables::new([
            ("KAFKA", format!("127.0.0.1:{}", ports.kafka)),
            ("KAFKA_TLS", format!("127.0.0.1:{}", ports.kafka_tls)),
            ("KAFKA_CA", tls.authority().display().to_string()),
            ("KAFKA_USER", tls::USER.to_owned()),
            ("KAFKA_PASSWORD", password),
            ("REDIS", format!("redis://127.0.0.1:{}", ports.redis)),
            ("POSTGRES", format!("postgres://waggle@127.0.0.1:{}/waggle", ports.postgres)),
            ("S3", format!("http://127.0.0.1:{}", ports.s3)),
            ("S3_BUCKET", s3::BUCKET.to_owned()),
            ("S3_ACCESS_KEY", access_key),
            ("S3_SECRET_KEY", secret_key),
        ]))
    }

    /// Only one at a time starts or stops a service. Always taken in one order, so that nobody waits in a circle.
    fn lock(&self, names: &[Name]) -> Result<Vec<File>> {
        let all = Name::ALL.into_iter().filter(|name| names.contains(name));
        all.map(|name| {
            let path = self.folder.join(format!("{}.lock", name.as_str()));
            let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
            if file.try_lock().is_err() {
                self.say(&format!("waiting for another xtask that starts or stops {}", name.as_str()));
                file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
            }
            Ok(file)
        })
        .collect()
    }

    fn say(&self, line: &str) {
        if self.voice == Voice::Terminal {
            println!("   {line}");
        }
    }
}

impl Engine {
    fn name(&self) -> &'static str {
        match self {
            Self::Native(_) => "native",
            Self::Compose(_) => "compose",
        }
    }

    fn describe(&self) -> &'static str {
        match self {
            Self::Native(_) => "as plain processes (no container engine answers)",
            Self::Compose(_) => "under Docker Compose",
        }
    }
}

impl Status {
    fn to_json(&self) -> Value {
        json!({
            "name": self.name.as_str(),
            "running": self.pid.is_some(),
            "port": self.port,
            "pid": self.pid,
            "version": self.version,
            "memory_bytes": self.memory_bytes,
            "data_bytes": self.data_bytes,
        })
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mib = |bytes: Option<u64>| {
            bytes.map_or_else(|| "?".to_owned(), |b| format!("{:.1} MiB", b as f64 / f64::from(1 << 20)))
        };
        let state = self.pid.map_or_else(|| "stopped".to_owned(), |pid| format!("pid {pid}"));
        let version = self.version.as_deref().unwrap_or("version unknown");
        let (memory, data) = (mib(self.memory_bytes), mib(self.data_bytes));
        let (name, port) = (self.name.as_str(), self.port);
        write!(f, "{name:<9} {state:<12} 127.0.0.1:{port:<6} {version:<18} memory {memory}, data {data}")
    }
}

/// Services that are up for the tests of one run; those that were not before go down at its end.
pub(crate) struct Lease {
    services: Services,
    started: Vec<Name>,
    /// Whether the data goes as well.
    is_own: bool,
    /// For the environment of the tests.
    pub(crate) variables: Variables,
}

impl Lease {
    /// As a step of its own. Nothing if they cannot be had: the tests that need them say so themselves.
    pub(crate) fn take(workspace: &Workspace, steps: &mut Steps) -> Option<Self> {
        let mut lease = None;
        steps.run_always("services", "Kafka, PostgreSQL, Redis and S3 for the tests", || {
            let services =
                Services::open(&workspace.root, &workspace.target.join("services"), Voice::Terminal)?;
            let start = Instant::now();
            let started = services.up(&[])?;
            // The lease exists from here on, so that whatever fails next, nothing is left running.
            let variables = services.variables()?;
            let lease = lease.insert(Self { services, started, is_own: false, variables });
            let took = start.elapsed();
            let again = lease.services.up(&[])?;
            if !again.is_empty() {
                bail!("a second `services up` started {again:?} although all were ready");
            }
            let detail = match lease.started.len() {
                0 => "were running".to_owned(),
                n => format!("{n} started in {}", seconds(took)),
            };
            Ok(Outcome::Passed(detail))
        });
        lease
    }

    /// All services, empty, in a folder where nobody else uses them.
    pub(crate) fn of_own(root: &Path, folder: &Path) -> Result<Self> {
        let services = Services::open(root, folder, Voice::Silent)?;
        // Whoever was killed here left them behind.
        services.down(&Name::ALL, true)?;
        let mut lease =
            Self { services, started: Name::ALL.into(), is_own: true, variables: Variables::default() };
        lease.services.up(&[])?;
        lease.variables = lease.services.variables()?;
        Ok(lease)
    }

    pub(crate) fn kill(&self, name: Name) -> Result<()> {
        self.services.kill(name)
    }

    pub(crate) fn up(&self, name: Name) -> Result<()> {
        self.services.up(&[name]).map(drop)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.started.is_empty() {
            return;
        }
        if !self.is_own {
            println!("\n── stopping the services that were started for the tests");
        }
        if let Err(error) = self.services.down(&self.started, self.is_own) {
            println!("   they could not be stopped: {error:#}");
        }
    }
}

fn seconds(took: Duration) -> String {
    format!("{:.1} s", took.as_secs_f64())
}
