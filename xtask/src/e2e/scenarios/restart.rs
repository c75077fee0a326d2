//! Starting for the first time, and starting again.

use std::{thread, time::Duration};

use anyhow::{Context, Result, bail};
use rand::Rng;
use serde_json::{Value, json};

use crate::{
    e2e::{
        expect,
        http::{Client, encoded},
        server::free_port,
        shop::Shop,
    },
    steps::Outcome,
};

/// What a restart may take on a busy machine; the promise is five seconds.
const RESTART: Duration = Duration::from_secs(10);

pub(in crate::e2e) fn a_shop_on_an_empty_folder_opens(shop: &mut Shop) -> Result<Outcome> {
    expect::that("the folder", !shop.dir.exists(), "not to exist yet", &shop.dir)?;
    let took = shop.open()?;
    shop.figure("empty folder to ready", format!("{:.1} s (promised: 60 s)", took.as_secs_f64()));
    Outcome::passed()
}

pub(in crate::e2e) fn a_restart_takes_seconds_and_forgets_nothing(shop: &mut Shop) -> Result<Outcome> {
    let user = shop.known_user()?;
    let session = "e2e-before-the-restart";
    let item = shop.catalogue()?.ids().first().map(|id| (*id).to_owned()).unwrap_or_default();
    let events: Vec<_> = (0..5)
        .map(|n| json!({"type": "view", "session_id": session, "item_id": item, "event_id": format!("r{n}")}))
        .collect();
    shop.client()?.post_events(&events)?;
    let asked = [format!("user_id={}", encoded(&user)), format!("session_id={session}")];
    let memory = |shop: &mut Shop| -> Result<Vec<Value>> {
        let client = shop.client()?;
        asked
            .iter()
            .map(|who| {
                let profile = client.get(&format!("/v1/profile?{who}"))?;
                let fields = ["n_events", "n_orders", "n_distinct_items", "recent", "snapshot", "first_seen"];
                Ok(fields.iter().map(|field| profile[*field].clone()).collect())
            })
            .collect()
    };
    // Every acknowledged event counts before the stop, so that the comparison is about the restart alone.
    super::kill::wait_for_count(shop.client()?, session, 5)?;
    let before = memory(shop)?;

    shop.stop()?;
    let took = shop.open()?;
    shop.figure("restart to ready", format!("{:.2} s (promised: 5 s)", took.as_secs_f64()));
    let after = memory(shop)?;
    for (who, (before, after)) in asked.iter().zip(before.into_iter().zip(after)) {
        expect::equal(&format!("profile of {who} after the restart"), after, before)?;
    }
    expect::that("time to ready", took <= RESTART, &format!("at most {RESTART:?}"), took)?;
    Outcome::passed()
}

/// Kills of the first start.
const N_EARLY_KILLS: u32 = 4;
/// The part of the first start in which the data is read, imported and folded, at most.
const IMPORTING: Duration = Duration::from_secs(6);

pub(in crate::e2e) fn a_first_start_that_is_killed_goes_on_where_it_was(shop: &mut Shop) -> Result<Outcome> {
    // People whom no other scenario plays.
    const PEOPLE: usize = 20;
    let users = shop.client()?.get("/v1/users?limit=200")?;
    let mut users: Vec<String> = users["users"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|user| user["user_id"].as_str().map(encoded))
        .collect();
    let people = users.split_off(users.len().saturating_sub(PEOPLE));
    expect::equal("people to compare", people.len(), PEOPLE)?;
    let expected = histories(shop.client()?, &people)?;
    let span = shop.first_start.context("the shop has been started")?.min(IMPORTING);
    shop.stop()?;

    let dir = shop.scratch_path().join("killed-while-importing");
    let port = free_port()?;
    let mut rng = rand::thread_rng();
    let mut n_killed = 0;
    for nth in 1..=N_EARLY_KILLS {
        let mut server = shop.start_on(&dir, port)?;
        // At random, each time later: while reading, importing or folding.
        thread::sleep(span.mul_f64(f64::from(nth) / f64::from(N_EARLY_KILLS) * rng.gen_range(0.1..1.0)));
        if !server.is_alive()? {
            bail!("start {nth} ended by itself; it wrote:\n{}", server.output());
        }
        server.kill()?;
        n_killed += 1;
    }
    let mut server = shop.start_on(&dir, port)?;
    let took = server.wait_ready(Shop::READY_LIMIT)?;
    let got = histories(&server.client, &people)?;
    for ((user, expected), got) in people.iter().zip(expected).zip(got) {
        expect::equal(&format!("history of {user} after {n_killed} kills of the import"), got, expected)?;
    }
    Ok(Outcome::Passed(format!("{n_killed} kills, then ready in {:.1} s", took.as_secs_f64())))
}

/// What an import decides of each person's profile; times are relative to when it began.
fn histories(client: &Client, people: &[String]) -> Result<Vec<[Value; 4]>> {
    people
        .iter()
        .map(|user| {
            let profile = client.get(&format!("/v1/profile?user_id={user}")).context("a profile")?;
            Ok(["n_events", "n_orders", "n_distinct_items", "typical_price"]
                .map(|field| profile[field].clone()))
        })
        .collect()
}
