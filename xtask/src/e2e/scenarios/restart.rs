//! Starting for the first time, and starting again.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use crate::{
    e2e::{expect, http::encoded, shop::Shop},
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
