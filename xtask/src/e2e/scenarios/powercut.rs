//! Power cuts and full disks under load: the promise about acknowledged events, where `kill -9` is not the worst.
//!
//! The server runs on the layer of `powercut`, which throws away what was not synced. The drivers of the kill scenario
//! post events and know what was acknowledged; it must all be in the profiles and in the archive, once.

use std::{
    ffi::OsString,
    path::PathBuf,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use powercut::{Fate, Losses, PowerCut, Room};
use rand::{Rng, rngs::StdRng};
use serde_json::Value;

use super::kill::{self, Truth};
use crate::{
    e2e::{
        expect,
        http::{Client, encoded},
        server::{Server, free_port},
        shop::Shop,
    },
    steps::Outcome,
    workspace,
};

/// The power goes this long after the server became ready, at a random moment of the span.
const LIFE_MS: std::ops::Range<u64> = 20..1_500;
/// Every so many cuts the disk was full before.
const FULL_DISK_EVERY: usize = 4;
/// Every so many cuts a training run is cut off, too.
const TRAINING_EVERY: usize = 10;
/// How long the disk is full, and what fits into it before.
const FULL_MS: std::ops::Range<u64> = 50..800;
const LAST_BYTES: std::ops::Range<u32> = 0..300_000;
/// The archive waits a second for more.
const ARCHIVED_WITHIN: Duration = Duration::from_millis(1_500);
/// How long the archive may stand still while acknowledged events are missing in it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Frequent archive files and checkpoints, so that the power goes in the middle of them, too.
const SETTINGS: [(&str, &str); 4] = [
    ("WAGGLE__ARCHIVE__BATCH_RECORDS", "400"),
    ("WAGGLE__ARCHIVE__MAX_AGE_S", "1"),
    ("WAGGLE__FEATURES__CHECKPOINT_RECORDS", "300"),
    ("WAGGLE__FEATURES__CHECKPOINT_EVERY_S", "1"),
];

pub(in crate::e2e) fn power_cuts_lose_nothing(shop: &mut Shop) -> Result<Outcome> {
    let n_cuts = shop.n_power_cuts;
    let mut house = House::prepare(shop)?;
    let mut server = house.start(shop)?;
    let items: Arc<[String]> = catalogue(&server.client)?.into();
    let stop = Arc::new(AtomicBool::new(false));
    let n_retries = Arc::new(AtomicU64::new(0));
    let run = format!("power-{:x}", house.rng.r#gen::<u64>());
    let drivers: Vec<_> = (0..kill::N_DRIVERS)
        .map(|driver| {
            let (client, items) = (Client::try_new(&server.url)?, Arc::clone(&items));
            let (stop, n_retries) = (Arc::clone(&stop), Arc::clone(&n_retries));
            let name = format!("{run}-{driver}");
            Ok(thread::spawn(move || kill::drive(&client, &name, &items, &stop, &n_retries)))
        })
        .collect::<Result<_>>()?;

    let started = Instant::now();
    for nth in 1..=n_cuts {
        house.live(nth, &server)?;
        server.kill()?;
        let cut = house.cut().with_context(|| format!("power cut {nth} of {n_cuts}"));
        cut.with_context(|| format!("the server had written:\n{}", server.output()))?;
        if nth.is_multiple_of(TRAINING_EVERY) {
            house.cut_training(shop)?;
        }
        server = house.start(shop).with_context(|| format!("the start after power cut {nth} of {n_cuts}"))?;
    }
    stop.store(true, Ordering::SeqCst);
    let mut truth = Truth::new();
    for driver in drivers {
        truth.extend(driver.join().map_err(|_| anyhow!("a driver panicked"))??);
    }

    let n_events: u64 = truth.values().sum();
    let n_retries = n_retries.load(Ordering::SeqCst);
    house.report(shop, n_cuts, started.elapsed(), n_events, n_retries);
    expect::that("events acknowledged", n_events > 20 * n_cuts as u64, "20 per cut", n_events)?;
    expect::that("requests repeated", n_retries > 0, "some, or no cut met a request in flight", n_retries)?;
    expect::that(
        "changes thrown away",
        house.losses.lost_pages > 0,
        "some, or nothing was cut",
        house.losses,
    )?;
    house.compare_profiles(&server, &truth).context("in the profiles, after the last start")?;
    house.compare_archive(shop, server, &run, &truth).context("in the archive")?;
    let server = house.start(shop)?;
    house.compare_profiles(&server, &truth).context("in the profiles, after one more cut")?;
    Ok(Outcome::Passed(format!("{n_events} events over {n_cuts} power cuts")))
}

/// A copy of the shop whose power can be cut.
struct House {
    dir: PathBuf,
    port: u16,
    power: PowerCut,
    layer: PathBuf,
    binary: PathBuf,
    rng: StdRng,
    losses: Losses,
    n_full: usize,
    n_trainings: usize,
    slowest_start: Duration,
}

impl House {
    fn prepare(shop: &mut Shop) -> Result<Self> {
        let mut build = Command::new(workspace::cargo());
        workspace::run(build.current_dir(&shop.root).args(["build", "--release", "-p", "powercut-layer"]))?;
        let dir = shop.copy("power")?;
        let seed: u64 = rand::thread_rng().r#gen();
        println!("   what the cuts throw away follows from seed {seed}");
        Ok(Self {
            power: PowerCut::try_new(&dir, &shop.scratch_path().join("power-work"))?,
            dir,
            port: free_port()?,
            layer: shop.target.join("release/libpowercut_layer.so"),
            binary: shop.binary.clone(),
            rng: rand::SeedableRng::seed_from_u64(seed),
            losses: Losses::default(),
            n_full: 0,
            n_trainings: 0,
            slowest_start: Duration::ZERO,
        })
    }

    fn start(&mut self, shop: &mut Shop) -> Result<Server> {
        self.power.arm()?;
        let mut command = self.command("serve");
        command.args(["--port", &self.port.to_string()]);
        let mut server = Server::run(&mut command, self.port, &shop.next_log())?;
        let took = server.wait_ready(Shop::READY_LIMIT)?;
        self.slowest_start = self.slowest_start.max(took);
        Ok(server)
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg(name).arg("--dir").arg(&self.dir).envs(SETTINGS);
        command.envs::<_, _, OsString>(self.power.environment(&self.layer));
        command
    }

    /// Lets the server live for a while, at times with a full disk.
    fn live(&mut self, nth: usize, server: &Server) -> Result<()> {
        thread::sleep(self.duration(LIFE_MS));
        if !nth.is_multiple_of(FULL_DISK_EVERY) {
            return Ok(());
        }
        self.n_full += 1;
        let room =
            if self.rng.gen_bool(0.5) { Room::Bytes(self.rng.gen_range(LAST_BYTES)) } else { Room::Nothing };
        self.power.set_room(room)?;
        thread::sleep(self.duration(FULL_MS));
        // Whatever it writes to, it lives, and answers what it has in memory.
        let alive = server.client.get("/healthz").context("asking for health while the disk is full");
        alive.with_context(|| format!("it wrote:\n{}", server.output()))?;
        // Every second time the power goes while the disk is full.
        if self.rng.gen_bool(0.5) {
            self.power.set_room(Room::Unlimited)?;
            thread::sleep(self.duration(FULL_MS));
        }
        Ok(())
    }

    fn cut(&mut self) -> Result<()> {
        let fate = if self.rng.gen_bool(0.3) { Fate::AllLost } else { Fate::Random };
        let losses = self.power.cut(fate, &mut self.rng)?;
        self.losses.add(losses);
        Ok(())
    }

    /// Starts to learn and cuts the power somewhere in between: what is served next is the old or the new, and whole.
    fn cut_training(&mut self, shop: &mut Shop) -> Result<()> {
        self.n_trainings += 1;
        self.power.arm()?;
        let log = shop.next_log();
        let output = std::fs::File::create(&log)?;
        let mut training =
            self.command("train").stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).spawn()?;
        thread::sleep(self.duration(300..6_000));
        training.kill()?;
        training.wait()?;
        self.cut().with_context(|| format!("while learning; the log is {}", log.display()))
    }

    /// Every event that was acknowledged counts once, and somebody with a history is served from the snapshot.
    fn compare_profiles(&self, server: &Server, truth: &Truth) -> Result<()> {
        for (session, n) in truth {
            kill::wait_for_count(&server.client, session, *n)?;
        }
        kill::compare(&server.client, truth)?;
        let users = server.client.get("/v1/users?limit=1")?;
        let user = users["users"][0]["user_id"].as_str().context("the list of users is empty")?;
        let list = server.client.get(&format!("/v1/recommendations?user_id={}&k=10", encoded(user)))?;
        let n_items = list["items"].as_array().map_or(0, Vec::len);
        expect::equal("items of a list", n_items, 10)?;
        expect::that("snapshot", list["snapshot"].is_string(), "one", &list["snapshot"])
    }

    /// Every event that was acknowledged is archived once. Only one process may work on the folder, so the power goes
    /// before each look, and the archive goes on where it was.
    fn compare_archive(
        &mut self,
        shop: &mut Shop,
        mut server: Server,
        run: &str,
        truth: &Truth,
    ) -> Result<()> {
        let (mut grown, mut n_before) = (Instant::now(), 0);
        loop {
            thread::sleep(ARCHIVED_WITHIN);
            server.kill()?;
            self.cut()?;
            let archived = self.archived(run)?;
            if archived == *truth {
                return Ok(());
            }
            let n: u64 = archived.values().sum();
            if n != n_before {
                (grown, n_before) = (Instant::now(), n);
            }
            let is_more =
                archived.iter().any(|(session, n)| truth.get(session).is_none_or(|known| n > known));
            if is_more || grown.elapsed() > PATIENCE {
                let wrong: Vec<_> = truth
                    .iter()
                    .map(|(session, n)| (session, *n, archived.get(session).copied().unwrap_or_default()))
                    .filter(|(_, acknowledged, archived)| acknowledged != archived)
                    .collect();
                bail!("session, acknowledged, archived: {wrong:?}");
            }
            server = self.start(shop)?;
        }
    }

    /// The archive as the product reads it.
    fn archived(&self, run: &str) -> Result<Truth> {
        let mut export = Command::new(&self.binary);
        let output = export.arg("--dir").arg(&self.dir).args(["export", "events"]).output()?;
        if !output.status.success() {
            bail!("exporting the archive: {}", String::from_utf8_lossy(&output.stderr));
        }
        let mut counts = Truth::new();
        for line in output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let event: Value = serde_json::from_slice(line).context("a line that is not JSON")?;
            if let Some(session) = event["session_id"].as_str().filter(|session| session.starts_with(run)) {
                *counts.entry(session.to_owned()).or_default() += 1;
            }
        }
        Ok(counts)
    }

    fn report(&self, shop: &mut Shop, n_cuts: usize, took: Duration, n_events: u64, n_retries: u64) {
        let Losses { unsynced_writes, lost_pages, torn_pages, changed_lengths, unsynced_names, lost_names } =
            self.losses;
        shop.figure(
            "power cuts",
            format!(
                "{n_cuts} in {:.0} s, {} of them after a full disk; {} training runs cut off",
                took.as_secs_f64(),
                self.n_full,
                self.n_trainings
            ),
        );
        shop.figure(
            "thrown away",
            format!(
                "{lost_pages} pages of {unsynced_writes} writes not synced, {torn_pages} of them torn; {changed_lengths} \
                 lengths of files; {lost_names} of {unsynced_names} names not synced"
            ),
        );
        shop.figure(
            "events acknowledged between power cuts",
            format!("{n_events}, {n_retries} requests had to be repeated"),
        );
        shop.figure("slowest start after a power cut", format!("{:.2} s", self.slowest_start.as_secs_f64()));
    }

    fn duration(&mut self, span_ms: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.rng.gen_range(span_ms))
    }
}

fn catalogue(client: &Client) -> Result<Vec<String>> {
    let page = client.get("/v1/items?limit=200")?;
    let items = page["items"].as_array().context("a page without items")?;
    let ids: Vec<_> =
        items.iter().filter_map(|item| item["item_id"].as_str()).map(ToOwned::to_owned).collect();
    expect::that("items on offer", !ids.is_empty(), "some", ids.len())?;
    Ok(ids)
}
