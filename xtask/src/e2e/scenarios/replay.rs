//! The log folded once more, after everything that was done to the shop.

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::{
    e2e::{expect, server::run_to_end, shop::Shop},
    steps::Outcome,
};

/// What one command may take.
const LIMIT: Duration = Duration::from_secs(120);

pub(in crate::e2e) fn the_state_is_what_the_log_says(shop: &mut Shop) -> Result<Outcome> {
    let user = shop.known_user()?;
    let profile = format!("/v1/profile?user_id={}", crate::e2e::http::encoded(&user));
    let before = shop.client()?.get(&profile)?;
    shop.stop()?;
    let dir = shop.dir.clone();
    let n_records = verify(shop, &dir).context("of the state that was served")?;

    // Gone, as after the loss of a disk that held nothing but the state.
    let rebuilt = shop.copy("rebuilt")?;
    std::fs::remove_dir_all(rebuilt.join("state")).context("the state of the embedded default")?;
    let output = waggle(shop, &rebuilt, &["replay"])?;
    expect::that("waggle replay", output.contains("records/s"), "its rate", &output)?;
    expect::equal("records, again", verify(shop, &rebuilt).context("of the rebuilt state")?, n_records)?;

    // It warns of the dead letters that earlier scenarios leave, and succeeds as long as no part has failed.
    let findings = json_in(&waggle(shop, &dir, &["doctor", "--json"])?)?;
    let fold =
        findings["findings"].as_array().into_iter().flatten().find(|finding| finding["part"] == "fold");
    let verdict = fold.context("waggle doctor says nothing of the fold")?["verdict"].clone();
    expect::equal("what waggle doctor finds of the fold", verdict, json!("ok"))?;

    let after = shop.client()?.get(&profile)?;
    expect::equal(&format!("events of {user}"), &after["n_events"], &before["n_events"])?;
    Ok(Outcome::Passed(format!("{n_records} records")))
}

/// Gives the number of records that were folded.
fn verify(shop: &mut Shop, dir: &Path) -> Result<u64> {
    let found = json_in(&waggle(shop, dir, &["replay", "--verify", "--json"])?)?;
    expect::equal("the log folded once more", &found["verified"], &json!(true))?;
    let n_records = found["records"].as_u64().unwrap_or_default();
    expect::that("records", n_records > 0, "some", n_records)?;
    Ok(n_records)
}

/// The result on standard output, which follows what was told on standard error.
fn json_in(output: &str) -> Result<Value> {
    let start = output.find('{').with_context(|| format!("no JSON in {output}"))?;
    serde_json::from_str(&output[start..]).with_context(|| format!("not JSON: {output}"))
}

/// What a command that has to succeed wrote.
fn waggle(shop: &mut Shop, dir: &Path, arguments: &[&str]) -> Result<String> {
    let log = shop.next_log();
    let mut command = Command::new(&shop.binary);
    command.arg("--dir").arg(dir).args(arguments);
    let (status, output) = run_to_end(&mut command, &log, LIMIT)?;
    expect::that(&format!("waggle {arguments:?}"), status.success(), "success", &output)?;
    Ok(output)
}
