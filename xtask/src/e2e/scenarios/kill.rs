//! `kill -9` at random moments under load: the promise about acknowledged events.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use rand::{Rng, seq::SliceRandom};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    e2e::{expect, http::Client, shop::Shop},
    steps::Outcome,
};

const N_KILLS: usize = 20;
pub(super) const N_DRIVERS: usize = 4;
const SESSIONS_PER_DRIVER: usize = 10;
/// Most events of one request.
const MAX_BATCH: usize = 5;
/// The server is killed this long after it became ready, at a random moment of the span.
const LIFE_MS: std::ops::Range<u64> = 20..600;
/// How long an acknowledged event may take to show in the profile when all is over.
const PATIENCE: Duration = Duration::from_secs(20);

/// Acknowledged events by session: what a driver knows to be true.
pub(super) type Truth = BTreeMap<String, u64>;

pub(in crate::e2e) fn twenty_kills_lose_nothing_and_count_nothing_twice(shop: &mut Shop) -> Result<Outcome> {
    let items: Arc<[String]> = shop.catalogue()?.ids().into_iter().map(ToOwned::to_owned).collect();
    let url = shop.server()?.url.clone();
    let stop = Arc::new(AtomicBool::new(false));
    let n_retries = Arc::new(AtomicU64::new(0));
    let mut rng = rand::thread_rng();
    let run: u64 = rng.r#gen();
    let drivers: Vec<_> = (0..N_DRIVERS)
        .map(|driver| {
            let (client, items) = (Client::try_new(&url)?, Arc::clone(&items));
            let (stop, n_retries) = (Arc::clone(&stop), Arc::clone(&n_retries));
            let name = format!("kill-{run:x}-{driver}");
            Ok(thread::spawn(move || drive(&client, &name, &items, &stop, &n_retries)))
        })
        .collect::<Result<_>>()?;

    let mut slowest = Duration::ZERO;
    let killed: Result<()> = (1..=N_KILLS).try_for_each(|nth| {
        thread::sleep(Duration::from_millis(rng.gen_range(LIFE_MS)));
        shop.server()?.kill()?;
        let took = shop.reopen().with_context(|| format!("the start after kill {nth} of {N_KILLS}"))?;
        slowest = slowest.max(took);
        Ok(())
    });
    stop.store(true, Ordering::SeqCst);
    if killed.is_err() {
        // The drivers wait for a server that will not come back; they end with the process.
        killed?;
    }
    let mut truth = Truth::new();
    for driver in drivers {
        truth.extend(driver.join().map_err(|_| anyhow!("a driver panicked"))??);
    }

    let n_events: u64 = truth.values().sum();
    let n_retries = n_retries.load(Ordering::SeqCst);
    shop.figure("slowest start of twenty after kill -9", format!("{:.2} s", slowest.as_secs_f64()));
    shop.figure(
        "events acknowledged between kills",
        format!("{n_events}, {n_retries} requests had to be repeated"),
    );
    expect::that("events acknowledged", n_events > 500, "more than 500", n_events)?;
    expect::that("requests repeated", n_retries > 0, "some, or no kill met a request in flight", n_retries)?;
    let client = shop.client()?;
    for (session, n) in &truth {
        wait_for_count(client, session, *n)?;
    }
    // Once more when all have arrived: a late second copy would show now. A replay has to agree as well.
    compare(client, &truth).context("after the last start")?;
    shop.server()?.kill()?;
    shop.reopen()?;
    compare(shop.client()?, &truth).context("after a replay")?;
    Ok(Outcome::Passed(format!("{n_events} events over {N_KILLS} kills")))
}

/// Posts events until told to stop, repeating every request until it is acknowledged.
pub(super) fn drive(
    client: &Client,
    name: &str,
    items: &[String],
    stop: &AtomicBool,
    n_retries: &AtomicU64,
) -> Result<Truth> {
    const KINDS: [&str; 4] = ["view", "click", "cart", "purchase"];
    let mut rng = rand::thread_rng();
    let mut truth = Truth::new();
    let mut n_sent = 0_u64;
    while !stop.load(Ordering::SeqCst) {
        let session = format!("{name}-{}", rng.gen_range(0..SESSIONS_PER_DRIVER));
        let events: Vec<Value> = (0..rng.gen_range(1..=MAX_BATCH))
            .map(|_| {
                n_sent += 1;
                let (kind, item) = (KINDS.choose(&mut rng), items.choose(&mut rng));
                json!({"type": kind, "item_id": item, "session_id": session, "event_id": format!("{name}-{n_sent}")})
            })
            .collect();
        let body = json!({ "events": events });
        while !acknowledged(client, &body)? {
            n_retries.fetch_add(1, Ordering::SeqCst);
            // The server is down or starting; this is a client backing off.
            thread::sleep(Duration::from_millis(20));
        }
        *truth.entry(session).or_default() += events.len() as u64;
    }
    Ok(truth)
}

/// Whether the events are on stable storage now; false if the request has to be repeated.
fn acknowledged(client: &Client, body: &Value) -> Result<bool> {
    let Ok(reply) = client.send_json(Method::POST, "/v1/events", body) else { return Ok(false) };
    match reply.status {
        202 => {
            let report = reply.json_of(202)?;
            expect::equal("rejected under load", &report["rejected"], &json!([]))?;
            Ok(true)
        }
        503 => Ok(false),
        _ => bail!("events under load: {:?}", reply.problem(&[202])),
    }
}

/// Waits until the session's profile counts exactly `expected` events.
pub(super) fn wait_for_count(client: &Client, session: &str, expected: u64) -> Result<()> {
    let started = Instant::now();
    loop {
        let got = count(client, session)?;
        if got == expected {
            return Ok(());
        }
        if got > expected || started.elapsed() > PATIENCE {
            bail!("events of {session}: acknowledged {expected}, counted {got}");
        }
    }
}

pub(super) fn compare(client: &Client, truth: &Truth) -> Result<()> {
    let mut wrong = Vec::new();
    for (session, expected) in truth {
        let got = count(client, session)?;
        if got != *expected {
            wrong.push(format!("{session}: acknowledged {expected}, counted {got}"));
        }
    }
    expect::that("sessions whose count is wrong", wrong.is_empty(), "none", wrong)
}

fn count(client: &Client, session: &str) -> Result<u64> {
    let profile = client.get(&format!("/v1/profile?session_id={session}"))?;
    profile["n_events"].as_u64().context("a profile without n_events")
}
