//! The production shape, fed by a client that is not ours: kcat fills a topic, answers change, and what the mapping did not
//! know goes to the dead letters until it does.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    e2e::{
        expect,
        http::Client,
        server::{Server, free_port},
        shop::Shop,
    },
    services::{Lease, Variables},
    steps::Outcome,
};

/// What their clickstream is called.
const TOPIC: &str = "shop.clickstream";
const ITEMS: [&str; 4] = ["lamp", "sofa", "rug", "vase"];
/// Until all roles are ready, on empty stores.
const READY: Duration = Duration::from_secs(60);
/// Until what was written shows.
const SHOWN: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

pub(in crate::e2e) fn what_others_write_into_their_topic_changes_answers(shop: &mut Shop) -> Result<Outcome> {
    shop.stop()?;
    // Of its own, so that nothing of it stays behind.
    let services = Lease::of_own(&shop.root, &shop.target.join("e2e/services"))?;
    Installation::new(shop, &services.variables)?.run(shop)
}

/// Roles over the services, and what configures them.
struct Installation {
    folder: PathBuf,
    brokers: String,
    roles: Vec<Server>,
}

impl Installation {
    fn new(shop: &mut Shop, variables: &Variables) -> Result<Self> {
        let folder = shop.scratch_path().join("topics");
        fs::create_dir_all(&folder)?;
        let brokers = variables.get("KAFKA")?.to_owned();
        fs::write(folder.join("waggle.toml"), configuration(&folder, variables)?)?;
        let mut installation = Self { folder, brokers, roles: Vec::new() };
        // The topic is there first, with a record from before anybody reads it.
        installation.kcat(&[viewed("early", "rug")])?;
        let binary = fs::canonicalize(&shop.binary)?;
        for role in ["ingest", "features", "gateway"] {
            let port = free_port()?;
            let mut command = Command::new(&binary);
            command.args(["--config", "waggle.toml", "serve", role, "--port", &port.to_string()]);
            let log = shop.next_log();
            installation.roles.push(Server::run(command.current_dir(&installation.folder), port, &log)?);
        }
        Ok(installation)
    }

    fn run(mut self, shop: &mut Shop) -> Result<Outcome> {
        for role in &mut self.roles[..2] {
            role.wait_ready(READY)?;
        }
        for item in ITEMS {
            self.put(item)?;
        }

        // Forty people look at the lamp, and fifty at what is not in the catalogue yet.
        let views = (0..40).map(|n| viewed(&format!("visitor-{n}"), "lamp"));
        let views: Vec<_> = views.chain((0..50).map(|n| viewed(&format!("scout-{n}"), "mirror"))).collect();
        let written = Instant::now();
        self.kcat(&views)?;
        self.eventually("a visitor of the topic has a history", |gateway| {
            Ok(n_events(gateway, "visitor-39")? == 1)
        })?;
        let shown_after = written.elapsed();
        self.eventually("what they looked at is on top", |gateway| {
            Ok(top(gateway)?.as_deref() == Some("lamp"))
        })?;
        self.eventually("who looked at an unknown item has a history", |gateway| {
            Ok(n_events(gateway, "scout-49")? == 1 && top(gateway)?.as_deref() == Some("lamp"))
        })?;
        self.put("mirror")?;
        self.eventually("what was done with an item counts once it is known", |gateway| {
            Ok(top(gateway)?.as_deref() == Some("mirror"))
        })?;
        self.eventually("a record from before the start counts", |gateway| {
            Ok(n_events(gateway, "early")? == 1)
        })?;

        // Nobody has told the mapping what a basket_add is, nor can anybody say what the last line is.
        let mut odd: Vec<_> = (0..60).map(|n| added(&format!("buyer-{n}"), "sofa")).collect();
        odd.push(("buyer-0".to_owned(), "not JSON".to_owned()));
        odd.push(viewed("last", "vase"));
        self.kcat(&odd)?;
        self.eventually("the topic flows on behind them", |gateway| Ok(n_events(gateway, "last")? == 1))?;
        self.open_letters(shop, &[], 61)?;
        self.open_letters(shop, &["--reason", "\"basket_add\" is not mapped"], 60)?;
        let hopeless = self.dead_letters(shop, &["retry", "--all", "--json"])?;
        expect::equal("taken in without a mapping", &hopeless["taken_in"], &json!(0))?;

        // Now somebody does, beside the running roles.
        let config = self.folder.join("waggle.toml");
        let mapped = fs::read_to_string(&config)?
            .replace("page_view = \"view\"", "page_view = \"view\"\nbasket_add = \"cart\"");
        fs::write(&config, mapped)?;
        let retried = self.dead_letters(shop, &["retry", "--all", "--json"])?;
        expect::equal("taken in", &retried["taken_in"], &json!(60))?;
        expect::equal("still refused", retried["refused"].as_array().map(Vec::len), Some(1))?;
        self.eventually("what they put into the basket is on top", |gateway| {
            Ok(top(gateway)?.as_deref() == Some("sofa"))
        })?;
        let again = self.dead_letters(shop, &["retry", "--all", "--json"])?;
        expect::equal("taken in again", &again["taken_in"], &json!(0))?;
        self.kcat(&[viewed("end", "vase")])?;
        self.eventually("the topic still flows", |gateway| Ok(n_events(gateway, "end")? == 1))?;
        expect::equal("events of a buyer", n_events(&self.gateway().client, "buyer-59")?, 1)?;

        for role in &mut self.roles {
            let status = role.stop()?;
            expect::that("a role's end", status.success(), "exit code 0", status)?;
        }
        Ok(Outcome::Passed(format!("a record of the topic showed after {shown_after:.1?}")))
    }

    fn put(&mut self, item: &str) -> Result<()> {
        self.eventually("the gateway takes an item", |gateway| {
            let put = json!({ "title": format!("A {item}"), "price": 10.0 });
            Ok(gateway.send_json(Method::PUT, &format!("/v1/items/{item}"), &put)?.status < 300)
        })
    }

    /// Writes records to the topic, as `key|value` lines.
    fn kcat(&self, records: &[(String, String)]) -> Result<()> {
        let mut kcat = Command::new("kcat")
            .args(["-P", "-b", &self.brokers, "-t", TOPIC, "-K", "|"])
            .stdin(Stdio::piped())
            .spawn()
            .context("kcat cannot be started")?;
        let mut input = kcat.stdin.take().context("kcat has no input")?;
        for (key, value) in records {
            writeln!(input, "{key}|{value}")?;
        }
        drop(input);
        let status = kcat.wait()?;
        if !status.success() {
            bail!("kcat ended with {status}");
        }
        Ok(())
    }

    /// Waits until so many letters are open: they are written after the events that stood beside them.
    fn open_letters(&self, shop: &mut Shop, selection: &[&str], n: usize) -> Result<()> {
        let start = Instant::now();
        loop {
            let list = [&["list", "--json", "--limit", "1000"], selection].concat();
            let letters = self.dead_letters(shop, &list)?;
            let n_open = letters.as_array().map(Vec::len);
            if n_open == Some(n) || start.elapsed() > SHOWN {
                return expect::equal(&format!("letters of {selection:?}"), n_open, Some(n));
            }
            thread::sleep(POLL);
        }
    }

    /// What `waggle dead-letters` prints, which has to be JSON.
    fn dead_letters(&self, shop: &mut Shop, args: &[&str]) -> Result<Value> {
        let binary = fs::canonicalize(&shop.binary)?;
        let output = Command::new(&binary)
            .args(["--config", "waggle.toml", "dead-letters"])
            .args(args)
            .current_dir(&self.folder)
            .output()?;
        if !output.status.success() {
            bail!(
                "dead-letters {args:?} ended with {}: {}",
                output.status,
                String::from_utf8_lossy(&output.stderr)
            );
        }
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("dead-letters {args:?} printed no JSON"))
    }

    fn gateway(&self) -> &Server {
        self.roles.last().expect("the gateway is the last role")
    }

    fn eventually(&mut self, what: &str, holds: impl Fn(&Client) -> Result<bool>) -> Result<()> {
        let start = Instant::now();
        loop {
            // An answer that cannot be had is no answer yet.
            let held = holds(&self.gateway().client);
            if matches!(held, Ok(true)) {
                return Ok(());
            }
            for role in &mut self.roles {
                if !role.is_alive()? {
                    bail!("{what}: a role has ended; it wrote:\n{}", role.output());
                }
            }
            if start.elapsed() > SHOWN {
                let outputs: String = self.roles.iter().map(Server::output).collect();
                bail!("{what}: not within {SHOWN:?} ({held:?}); the roles wrote:\n{outputs}");
            }
            thread::sleep(POLL);
        }
    }
}

/// Their words for what somebody did, as key and value.
fn viewed(user: &str, sku: &str) -> (String, String) {
    record("page_view", user, sku)
}

fn added(user: &str, sku: &str) -> (String, String) {
    record("basket_add", user, sku)
}

fn record(event: &str, user: &str, sku: &str) -> (String, String) {
    (user.to_owned(), json!({ "event": event, "product": { "sku": sku }, "url": "/p" }).to_string())
}

fn n_events(gateway: &Client, user: &str) -> Result<u64> {
    let profile = gateway.get(&format!("/v1/profile?user_id={user}"))?;
    profile["n_events"].as_u64().with_context(|| format!("a profile without n_events: {profile}"))
}

/// The first item that a stranger gets.
fn top(gateway: &Client) -> Result<Option<String>> {
    let answer = gateway.get("/v1/recommendations?session_id=stranger&k=3")?;
    Ok(answer["items"][0]["item_id"].as_str().map(str::to_owned))
}

/// Of roles that read the others' topic.
fn configuration(folder: &Path, variables: &Variables) -> Result<String> {
    let of_services = variables.configuration(&folder.join("data"), "e2e", 4)?;
    Ok(format!(
        r#"{of_services}
[gateway]
cache_ttl_s = 1

[[ingest.topics]]
topic = "{TOPIC}"

[ingest.topics.fields]
type = "event"
user_id = "@key"
item_id = "product.sku"

[ingest.topics.context]
page = "url"

[ingest.topics.types]
page_view = "view"
"#
    ))
}
