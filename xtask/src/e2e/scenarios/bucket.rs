//! Roles as processes over Kafka, Redis, PostgreSQL and S3: what they share, and what each of them bears.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use reqwest::Method;
use serde_json::{Value, json};

use super::answers::checked_slate;
use crate::{
    e2e::{
        expect,
        server::{Server, free_port, run_to_end},
        shop::Shop,
    },
    services::{Lease, Name},
    steps::Outcome,
};

const N_ITEMS: usize = 30;
const N_PERSONS: usize = 40;
/// What a start, a training run or a look into the stores may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(50);

pub(in crate::e2e) fn archive_and_snapshots_lie_in_a_bucket(shop: &mut Shop) -> Result<Outcome> {
    shop.stop()?;
    let services = Lease::of_own(&shop.root, &shop.target.join("e2e").join("services"))?;
    let installation = Installation::prepare(shop, &services)?;
    let ingest = installation.start(shop, "ingest")?;
    let mut features = installation.start(shop, "features")?;
    let mut gateway = installation.start(shop, "gateway")?;
    features.wait_ready(LIMIT)?;

    let items: Vec<Value> = (0..N_ITEMS)
        .map(|i| json!({"item_id": format!("i{i}"), "title": format!("Thing {i}"), "category": "things"}))
        .collect();
    wait_for("the catalogue is taken", || {
        let reply = gateway.client.send_json(Method::POST, "/v1/items", &json!({ "items": items }));
        Ok(reply.is_ok_and(|reply| reply.status < 300))
    })?;
    let mut acknowledged = post(&ingest, 0..N_PERSONS)?;

    // A snapshot goes into the bucket, and whoever serves gets it from there.
    let trained = installation.run(shop, &["train"])?;
    expect::that("train", trained.contains("published snapshot"), "a snapshot", &trained)?;
    gateway.wait_ready(LIMIT)?;
    let snapshot = personal_snapshot(&gateway)?;
    expect::that("train", trained.contains(&snapshot), &snapshot, &trained)?;
    let examined = installation.run(shop, &["doctor"])?;
    let place = format!("MB in {}", installation.url);
    expect::that("doctor", examined.contains(&place), &place, &examined)?;
    let whole = format!("{snapshot} serves and is whole");
    expect::that("doctor", examined.contains(&whole), &whole, &examined)?;
    expect::equal("archived events", installation.archived(shop)?, acknowledged.clone())?;
    expect::that("the folder", !installation.dir.join("artifacts").exists(), "no artifacts in it", "some")?;

    // Without its bucket the installation takes events and answers as before.
    services.kill(Name::S3)?;
    acknowledged.extend(post(&ingest, 0..N_PERSONS)?);
    expect::equal("snapshot without S3", personal_snapshot(&gateway)?, snapshot.clone())?;
    let examined = installation.fail(shop, &["doctor"])?;
    let why = format!("artifacts in {}", installation.url);
    expect::that("doctor", examined.contains(&why), &why, &examined)?;
    expect::that("doctor", !examined.contains(&installation.secret_key), "no secret", &examined)?;
    // One that starts now waits, and says what for.
    gateway.stop()?;
    let mut gateway = installation.start(shop, "gateway")?;
    wait_for("the gateway says what it waits for", || {
        let reply = gateway.client.send(Method::GET, "/readyz", None);
        let body = reply.map(|reply| String::from_utf8_lossy(&reply.body).into_owned()).unwrap_or_default();
        Ok(body.contains("artifacts"))
    })?;

    // And when it is back, nothing is missing.
    services.up(Name::S3)?;
    gateway.wait_ready(LIMIT)?;
    expect::equal("snapshot with S3 again", personal_snapshot(&gateway)?, snapshot)?;
    wait_for("the archive catches up", || Ok(installation.archived(shop)? == acknowledged))?;
    for mut role in [ingest, features, gateway] {
        let status = role.stop()?;
        expect::that("a stop", status.success(), "exit code 0", status)?;
    }
    Outcome::passed()
}

/// One configuration, and the program.
struct Installation {
    config: PathBuf,
    dir: PathBuf,
    /// Where its artifacts are.
    url: String,
    secret_key: String,
}

impl Installation {
    fn prepare(shop: &Shop, services: &Lease) -> Result<Self> {
        let folder = shop.scratch_path().join("bucket");
        fs::create_dir_all(&folder)?;
        let of = |name| services.variables.get(name);
        let dir = folder.join("data");
        let url = format!("s3://{}/of/this=run", of("S3_BUCKET")?);
        let secret_key = of("S3_SECRET_KEY")?.to_owned();
        let of_services = services.variables.configuration(&dir, "bucket", 2)?;
        let (s3, access_key) = (of("S3")?, of("S3_ACCESS_KEY")?);
        let text = format!(
            r#"{of_services}
[artifacts]
url = "{url}"
endpoint = "{s3}"
access_key = "{access_key}"
secret_key = "{secret_key}"
retry_for_ms = 1000

[archive]
max_age_s = 1
"#
        );
        let config = folder.join("waggle.toml");
        fs::write(&config, text)?;
        Ok(Self { config, dir, url, secret_key })
    }

    fn start(&self, shop: &mut Shop, role: &str) -> Result<Server> {
        let (port, log) = (free_port()?, shop.next_log());
        let mut command = self.command(&shop.binary);
        command.args(["serve", role, "--port", &port.to_string()]);
        Server::run(&mut command, port, &log)
    }

    /// What a command writes that must succeed.
    fn run(&self, shop: &mut Shop, args: &[&str]) -> Result<String> {
        let log = shop.next_log();
        let (status, output) = run_to_end(self.command(&shop.binary).args(args), &log, LIMIT)?;
        if !status.success() {
            bail!("waggle {args:?} ended with {status}; it wrote:\n{output}");
        }
        Ok(output)
    }

    /// What a command writes that must fail.
    fn fail(&self, shop: &mut Shop, args: &[&str]) -> Result<String> {
        let log = shop.next_log();
        let (status, output) = run_to_end(self.command(&shop.binary).args(args), &log, LIMIT)?;
        expect::equal(&format!("exit code of waggle {args:?}"), status.code(), Some(1))?;
        Ok(output)
    }

    /// Ids of the events that the archive holds.
    fn archived(&self, shop: &mut Shop) -> Result<BTreeSet<String>> {
        let exported = self.run(shop, &["export", "events"])?;
        let events = exported.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        Ok(events.filter_map(|event| Some(event["event_id"].as_str()?.to_owned())).collect())
    }

    fn command(&self, binary: &Path) -> Command {
        let mut command = Command::new(binary);
        command.arg("--config").arg(&self.config);
        command
    }
}

/// Sends some acts of each person, and gives their ids once they are acknowledged.
fn post(ingest: &Server, persons: std::ops::Range<usize>) -> Result<BTreeSet<String>> {
    let round: u64 = rand::random();
    let event = |person: usize, act: usize| {
        let item = (person * 7 + act * act) % N_ITEMS;
        let kind = if act.is_multiple_of(4) { "purchase" } else { "view" };
        json!({"event_id": format!("{round:x}-{person}-{act}"), "type": kind, "user_id": format!("u{person}"),
            "item_id": format!("i{item}")})
    };
    let events: Vec<Value> =
        persons.flat_map(|person| (0..8).map(move |act| (person, act))).map(|(p, a)| event(p, a)).collect();
    wait_for("events are taken", || Ok(ingest.client.post_events(&events).is_ok()))?;
    Ok(events.iter().filter_map(|event| Some(event["event_id"].as_str()?.to_owned())).collect())
}

/// The snapshot behind the list of a person with a history, who must get a personal one.
fn personal_snapshot(gateway: &Server) -> Result<String> {
    let answer = gateway.client.get("/v1/recommendations?user_id=u1&k=5")?;
    expect::equal("rung", answer["rung"].as_str(), Some("personal"))?;
    expect::equal("items", checked_slate(&answer)?.len(), 5)?;
    Ok(answer["snapshot"].as_str().context("an answer without snapshot")?.to_owned())
}

fn wait_for(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    while !holds()? {
        if start.elapsed() > LIMIT {
            bail!("{what}: not so after {LIMIT:?}");
        }
        thread::sleep(POLL);
    }
    Ok(())
}
