//! The processes: two of each role that is killed, one gateway to look through, and the services under them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use reqwest::Method;
use serde_json::Value;

use super::{
    N_PARTITIONS,
    kills::{N_REPLICAS, Victim},
    truth::Plan,
};
use crate::{
    e2e::{http::Client, server::free_port},
    services::{Name, Services, Variables, process::Process},
};

/// For a client's request: an ingest whose broker is away keeps a request for some time before it says so.
const TIMEOUT: Duration = Duration::from_secs(10);
/// For the first start, on empty stores.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// A process that ends at once is not started more often than this.
const RESPAWN: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(50);

/// In the order of the fields that name them: ingest, features, then the gateway.
const ROLES: [(&str, &str); 2 * N_REPLICAS + 1] = [
    ("ingest-0", "ingest"),
    ("ingest-1", "ingest"),
    ("features-0", "features"),
    ("features-1", "features"),
    ("gateway", "gateway"),
];

pub(super) struct Fleet {
    roles: Vec<Role>,
    binary: PathBuf,
    config: PathBuf,
    /// Services that are on their way up again.
    repairs: Vec<(Name, JoinHandle<Result<()>>)>,
}

struct Role {
    name: &'static str,
    command: Command,
    url: String,
    log: PathBuf,
    pid_file: PathBuf,
    process: Process,
    spawned: Instant,
}

/// Ends what a driver that was killed has left running.
pub(super) fn end_leftovers(folder: &Path) -> Result<()> {
    for (name, _) in ROLES {
        if let Some(process) = Process::find(&pid_file(folder, name)) {
            process.kill()?;
        }
    }
    Ok(())
}

impl Fleet {
    pub(super) fn start(binary: &Path, folder: &Path, services: &Services, plan: &Plan) -> Result<Self> {
        let config = folder.join("waggle.toml");
        fs::write(&config, configuration(folder, &services.variables()?, plan)?)?;
        fs::create_dir_all(folder.join("logs"))?;
        let start = |(name, role): (&'static str, &str)| -> Result<Role> {
            let port = free_port()?.to_string();
            let mut command = Command::new(binary);
            command.arg("--config").arg(&config).args(["serve", role, "--port", &port]);
            // The same after a restart, so that a replica is known again.
            command.env("WAGGLE__MEMBER", name).current_dir(folder);
            let (log, pid_file) = (folder.join("logs").join(format!("{name}.log")), pid_file(folder, name));
            let process = Process::spawn(&command, &log, &pid_file)?;
            let url = format!("http://127.0.0.1:{port}");
            Ok(Role { name, command, url, log, pid_file, process, spawned: Instant::now() })
        };
        let roles = ROLES.into_iter().map(start).collect::<Result<_>>()?;
        Ok(Self { roles, binary: binary.to_owned(), config, repairs: Vec::new() })
    }

    pub(super) fn ingest_clients(&self) -> Result<[Client; N_REPLICAS]> {
        let clients = self.roles[..N_REPLICAS].iter().map(|role| Client::with_timeout(&role.url, TIMEOUT));
        let clients = clients.collect::<Result<Vec<_>>>()?;
        clients.try_into().ok().context("there is a client for each replica")
    }

    pub(super) fn gateway_client(&self) -> Result<Client> {
        Client::with_timeout(&self.gateway().url, TIMEOUT)
    }

    /// Waits until every role takes requests: ingest and features say so, the gateway (which has neither catalogue nor
    /// model here) shows a person.
    pub(super) fn wait_ready(&mut self) -> Result<()> {
        let start = Instant::now();
        for place in 0..self.roles.len() {
            let role = &self.roles[place];
            let path = if role.name == "gateway" { "/v1/profile?session_id=nobody" } else { "/readyz" };
            let client = Client::with_timeout(&role.url, TIMEOUT)?;
            while !client.send(Method::GET, path, None).is_ok_and(|reply| reply.status == 200) {
                if !role.process.is_alive() || start.elapsed() > READY_LIMIT {
                    let log = fs::read_to_string(&role.log).unwrap_or_default();
                    bail!("{} is not ready after {:.1?}; it wrote:\n{log}", role.name, start.elapsed());
                }
                thread::sleep(POLL);
            }
        }
        Ok(())
    }

    /// Whether it runs; a service that is on its way up again cannot be struck.
    pub(super) fn can_strike(&self, victim: Victim) -> bool {
        match victim {
            Victim::Ingest(_) | Victim::Features(_) => {
                self.role(victim).is_some_and(|role| role.process.is_alive())
            }
            Victim::KafkaKill | Victim::KafkaRestart => self.is_up(Name::Kafka),
            Victim::RedisKill | Victim::RedisRestart => self.is_up(Name::Redis),
        }
    }

    /// Strikes and starts again, the latter without waiting for it.
    pub(super) fn strike(&mut self, victim: Victim, services: &Arc<Services>) -> Result<()> {
        let (name, is_kill) = match victim {
            Victim::Ingest(replica) => return self.roles[replica].kill(),
            Victim::Features(replica) => return self.roles[N_REPLICAS + replica].kill(),
            Victim::KafkaKill => (Name::Kafka, true),
            Victim::KafkaRestart => (Name::Kafka, false),
            Victim::RedisKill => (Name::Redis, true),
            Victim::RedisRestart => (Name::Redis, false),
        };
        self.finish_repairs(|repair| repair.is_finished())?;
        let services = Arc::clone(services);
        let repair = thread::spawn(move || {
            if is_kill {
                services.kill(name)?;
                services.up(&[name]).map(drop)
            } else {
                services.restart(name)
            }
        });
        self.repairs.push((name, repair));
        Ok(())
    }

    /// Starts what ended although nobody killed it; gives the names.
    pub(super) fn restart_ended(&mut self) -> Result<Vec<&'static str>> {
        let mut ended = Vec::new();
        for role in &mut self.roles {
            if role.spawned.elapsed() > RESPAWN && !role.process.is_alive() {
                role.spawn()?;
                ended.push(role.name);
            }
        }
        Ok(ended)
    }

    /// Waits until every service is up.
    pub(super) fn wait_services(&mut self) -> Result<()> {
        self.finish_repairs(|_| true)
    }

    pub(super) fn commands(&self) -> Commands {
        Commands { binary: self.binary.clone(), config: self.config.clone() }
    }

    /// Ends all roles, and waits for the services to be up, so that they can be stopped properly.
    pub(super) fn stop(&mut self) -> Result<()> {
        for role in &self.roles {
            role.process.kill()?;
        }
        self.wait_services()
    }

    fn finish_repairs(&mut self, which: impl Fn(&JoinHandle<Result<()>>) -> bool) -> Result<()> {
        let (done, left) =
            std::mem::take(&mut self.repairs).into_iter().partition(|(_, repair)| which(repair));
        self.repairs = left;
        let done: Vec<(Name, JoinHandle<Result<()>>)> = done;
        done.into_iter().try_for_each(|(name, repair)| {
            let repaired = repair.join().expect("starting a service does not panic");
            repaired.with_context(|| format!("bringing {} up again", name.as_str()))
        })
    }

    fn is_up(&self, name: Name) -> bool {
        !self.repairs.iter().any(|(repaired, repair)| *repaired == name && !repair.is_finished())
    }

    fn role(&self, victim: Victim) -> Option<&Role> {
        match victim {
            Victim::Ingest(replica) => self.roles.get(replica),
            Victim::Features(replica) => self.roles.get(N_REPLICAS + replica),
            _ => None,
        }
    }

    fn gateway(&self) -> &Role {
        self.roles.last().expect("the gateway is the last role")
    }
}

/// Commands of the product, run beside its roles.
pub(super) struct Commands {
    binary: PathBuf,
    config: PathBuf,
}

impl Commands {
    /// The archive: one line of JSON for each event that counts.
    pub(super) fn export_events(&self) -> Result<Child> {
        self.command(&["export", "events"]).spawn().context("waggle export cannot be started")
    }

    /// The log folded once more and compared with the live state, bit for bit.
    ///
    /// # Errors
    /// If it could not compare; a difference is a result.
    pub(super) fn verify_replay(&self) -> Result<Replayed> {
        let run = self.command(&["replay", "--verify", "--json"]).stderr(Stdio::piped()).output();
        let output = run.context("waggle replay cannot be started")?;
        let said: Option<Value> = serde_json::from_slice(&output.stdout).ok();
        let replayed = said.and_then(|said| {
            Some(Replayed { verified: said["verified"].as_bool()?, records: said["records"].as_u64()? })
        });
        replayed.with_context(|| format!("waggle replay: {}", String::from_utf8_lossy(&output.stderr)))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("--config").arg(&self.config).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command
    }
}

/// What `waggle replay --verify --json` says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Replayed {
    /// Every partition is what the log says.
    pub(super) verified: bool,
    pub(super) records: u64,
}

impl Role {
    fn kill(&mut self) -> Result<()> {
        self.process.kill()?;
        self.spawn()
    }

    fn spawn(&mut self) -> Result<()> {
        self.process = Process::spawn(&self.command, &self.log, &self.pid_file)?;
        self.spawned = Instant::now();
        Ok(())
    }
}

/// Small batches of the archive, so that kills meet them.
fn configuration(folder: &Path, variables: &Variables, plan: &Plan) -> Result<String> {
    let of_services = variables.configuration(&folder.join("data"), &plan.run, N_PARTITIONS)?;
    Ok(format!("{of_services}\n[archive]\nbatch_records = 500\nmax_age_s = 2\n"))
}

fn pid_file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.pid"))
}
