//! `cargo xtask chaos`: proves by killing things that an acknowledged event is never lost and counts exactly once.
//!
//! Two replicas each of the roles ingest and features run as processes of their own over Kafka, Redis and PostgreSQL that
//! belong to this run alone. Clients post events and repeat each request, with the same ids, until it is acknowledged
//! ([`load`]). Meanwhile the roles are killed with `kill -9` and started again, and Kafka and Redis are killed or restarted,
//! at times of a Poisson process that waits for nothing ([`kills`], [`fleet`]). What was acknowledged is the truth
//! ([`truth`]), kept on disk, so that an interrupted run goes on with `--resume`. Every [`CHECK_EVERY`] kills and at the
//! end the clients pause, and each person's counters and the archive's rows have to equal the truth ([`check`]). After the
//! last kill the whole state has to equal, bit for bit, what one undisturbed fold of the log gives.

mod check;
mod fleet;
mod kills;
mod load;
mod report;
mod truth;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{
    services::{Name, Services, Voice},
    workspace::{self, Workspace},
};
use fleet::Fleet;
use kills::{Schedule, Strike};
use load::{Load, Shared};
pub(crate) use report::Report;
use truth::{Journal, Plan};

/// Kills between two comparisons with the truth.
const CHECK_EVERY: u64 = 50;
/// Partitions of every topic, and canaries: one looks at each.
const N_PARTITIONS: u32 = 4;
/// How often it is looked whether a process has ended by itself.
const LOOK: Duration = Duration::from_millis(20);

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Kills, of roles and of services.
    #[arg(long, default_value_t = 100)]
    kills: u64,
    /// Of the times and victims; any by default.
    #[arg(long)]
    seed: Option<u64>,
    /// Mean of the time between two kills, in seconds.
    #[arg(long, default_value_t = 4.0, value_name = "SECONDS")]
    mean: f64,
    /// Events a second that the clients aim at.
    #[arg(long, default_value_t = 400)]
    rate: u32,
    /// Ends with a check after so many minutes, whatever the number of kills; `--resume` goes on.
    #[arg(long)]
    minutes: Option<f64>,
    /// Goes on with the run that was interrupted, with its data, its truth and its seed.
    #[arg(long)]
    resume: bool,
    /// The result as JSON on standard output; how it goes is told on standard error.
    #[arg(long)]
    json: bool,
    /// Use this binary instead of building one.
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

impl Args {
    pub(crate) fn of_test(kills: u64, binary: PathBuf) -> Self {
        let binary = Some(binary);
        Self { kills, seed: None, mean: 4.0, rate: 400, minutes: None, resume: false, json: false, binary }
    }
}

/// Whether nothing was lost and nothing counted twice.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<bool> {
    let binary = match &args.binary {
        Some(binary) => binary.clone(),
        None => {
            let mut build = workspace.cargo();
            workspace::run_quietly(build.args(["build", "--release", "-p", "waggle"]))?;
            workspace.binary("waggle")
        }
    };
    let args = Args { binary: Some(binary), ..args.clone() };
    let report = prove(&workspace.root, &workspace.target, &args)?;
    if args.json {
        println!("{}", report.to_json());
    } else {
        println!("{report}");
    }
    Ok(report.is_clean())
}

/// What the roles run over; the archive lies in a folder.
const SERVICES: [Name; 3] = [Name::Kafka, Name::Postgres, Name::Redis];

/// One run, from wherever it stands to its end or to what stops it.
pub(crate) fn prove(root: &Path, target: &Path, args: &Args) -> Result<Report> {
    let binary = args.binary.as_ref().context("the binary was built")?;
    // The roles work in another folder.
    let binary = &fs::canonicalize(binary).with_context(|| format!("no {}", binary.display()))?;
    let folder = target.join("chaos");
    fs::create_dir_all(&folder)?;
    let lock = fs::File::create(folder.join("lock"))?;
    if lock.try_lock().is_err() {
        bail!("another chaos run works in {}", folder.display());
    }
    // A driver that was killed leaves its roles behind.
    fleet::end_leftovers(&folder)?;
    let services = Arc::new(Services::open(root, &folder.join("services"), Voice::Silent)?);
    let plan = if args.resume {
        Plan::read(&folder)?
    } else {
        services.down(&SERVICES, true)?;
        Plan::begin(&folder, args.seed.unwrap_or_else(rand::random))?
    };
    say(&format!("run {} with seed {}, in {}", plan.run, plan.seed, folder.display()));
    services.up(&SERVICES)?;
    let fleet = Fleet::start(binary, &folder, &services, &plan)?;
    let outcome = Run::new(&folder, &services, fleet, plan, args).and_then(Run::finish);
    let is_over = outcome.as_ref().is_ok_and(|report| report.is_complete && report.is_clean());
    // What shows a failure, or is gone on with, stays.
    services.down(&SERVICES, is_over)?;
    outcome
}

/// A run in progress.
struct Run {
    services: Arc<Services>,
    fleet: Fleet,
    shared: Arc<Shared>,
    schedule: Schedule,
    report: Report,
    target: u64,
    limit: Option<Duration>,
    load: Option<Load>,
    interrupted: Arc<AtomicBool>,
    started: Instant,
}

impl Run {
    fn new(folder: &Path, services: &Arc<Services>, fleet: Fleet, plan: Plan, args: &Args) -> Result<Self> {
        let journal = Journal::open(folder)?;
        let schedule = Schedule::new(plan.seed, Duration::try_from_secs_f64(args.mean)?, journal.n_kills());
        let report = Report::new(&plan, &journal);
        let shared = Shared::new(plan, journal, fleet.ingest_clients()?, fleet.gateway_client()?, args.rate);
        Ok(Self {
            services: Arc::clone(services),
            fleet,
            shared: Arc::new(shared),
            schedule,
            report,
            target: args.kills,
            limit: args.minutes.map(|m| Duration::try_from_secs_f64(m * 60.0)).transpose()?,
            load: None,
            interrupted: on_interrupt()?,
            started: Instant::now(),
        })
    }

    fn finish(mut self) -> Result<Report> {
        let driven = self.drive();
        self.shared.give_up.store(true, Ordering::SeqCst);
        let stopped = self.fleet.stop();
        driven?;
        stopped?;
        Ok(self.report)
    }

    fn drive(&mut self) -> Result<()> {
        self.fleet.wait_ready()?;
        self.load = Some(Load::start(&self.shared));
        let mut next = Instant::now();
        let mut last_checked = self.shared.journal.n_kills();
        while self.shared.journal.n_kills() < self.target && !self.is_over() {
            next += self.schedule.pause();
            while Instant::now() < next && !self.is_over() {
                self.look_after()?;
                thread::sleep(LOOK.min(next.saturating_duration_since(Instant::now())));
            }
            if self.is_over() {
                break;
            }
            self.strike()?;
            let n_kills = self.shared.journal.n_kills();
            if n_kills.is_multiple_of(CHECK_EVERY) && n_kills < self.target {
                let paused = Instant::now();
                if !self.check()? {
                    return Ok(());
                }
                last_checked = n_kills;
                self.load = Some(Load::start(&self.shared));
                next += paused.elapsed();
            }
        }
        let n_kills = self.shared.journal.n_kills();
        self.report.is_complete = n_kills >= self.target;
        if self.load.is_some() || n_kills > last_checked {
            let is_clean = self.check()?;
            if is_clean && self.report.is_complete {
                self.verify_replay()?;
            }
        }
        Ok(())
    }

    /// Counts can agree where states differ: in the end the state has to be what one undisturbed fold of the log gives.
    fn verify_replay(&mut self) -> Result<()> {
        let start = Instant::now();
        let replayed = self.fleet.commands().verify_replay()?;
        let verdict = if replayed.verified { "equal bit for bit" } else { "DIFFERENT" };
        let (records, took) = (replayed.records, start.elapsed().as_secs_f64());
        say(&format!(
            "{records} records folded once more and compared with the live state in {took:.1} s: {verdict}"
        ));
        self.report.replayed = Some(replayed);
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.interrupted.load(Ordering::SeqCst)
            || self.limit.is_some_and(|limit| self.started.elapsed() > limit)
    }

    /// Also notices a client that cannot go on.
    fn look_after(&mut self) -> Result<()> {
        self.look_after_roles()?;
        if self.load.as_ref().is_some_and(Load::has_failed) {
            self.load.take().expect("was looked at just now").finish()?;
            bail!("a client ended before its time");
        }
        Ok(())
    }

    fn look_after_roles(&mut self) -> Result<()> {
        for name in self.fleet.restart_ended()? {
            say(&format!("{name} ended by itself and was started again"));
            self.report.ended_by_themselves += 1;
        }
        Ok(())
    }

    fn strike(&mut self) -> Result<()> {
        let strike: Strike = self.schedule.next(|victim| self.fleet.can_strike(victim));
        let moment = self.shared.moment(strike.victim);
        self.fleet.strike(strike.victim, &self.services)?;
        self.shared.journal.killed(strike.victim.as_str(), moment.is_inside_a_batch())?;
        self.report.struck(strike.victim, &moment, self.shared.elapsed());
        Ok(())
    }

    /// Pauses the clients and compares; true if all is as it must be.
    fn check(&mut self) -> Result<bool> {
        let start = Instant::now();
        if let Some(load) = self.load.take() {
            self.report.paused(self.shared.elapsed());
            // They end when what they have sent is acknowledged, for which everything has to stand.
            let finishing = thread::spawn(move || load.finish());
            while !finishing.is_finished() {
                self.look_after_roles()?;
                thread::sleep(LOOK);
            }
            self.report.loaded(finishing.join().expect("waiting for clients does not panic")?);
        }
        self.fleet.wait_services()?;
        let (shared, commands) = (Arc::clone(&self.shared), self.fleet.commands());
        let mut found = check::compare(&shared, &commands, || self.look_after_roles())?;
        found.n_records = self.services.n_records(&format!("{}.events", shared.plan.run), N_PARTITIONS)?;
        let n_kills = self.shared.journal.n_kills();
        say(&format!("after {n_kills} kills {found}; checked in {:.1} s", start.elapsed().as_secs_f64()));
        let is_clean = found.is_clean();
        self.report.checked(&self.shared, found);
        Ok(is_clean)
    }
}

/// Set when the terminal sends an interrupt: the run then ends with a check, and goes on with `--resume`.
fn on_interrupt() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let interrupted = Arc::clone(&flag);
    thread::spawn(move || {
        if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
            say("interrupted: one last check; `--resume` goes on from here");
            interrupted.store(true, Ordering::SeqCst);
        }
    });
    Ok(flag)
}

/// How it goes, apart from the result.
fn say(line: &str) {
    eprintln!("   chaos: {line}");
}
