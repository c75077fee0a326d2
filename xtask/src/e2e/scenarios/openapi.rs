//! The API held to its own description: schemathesis makes requests of `/openapi.json` and judges the answers.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result};
use serde_json::Value;

use super::input::lives_on;
use crate::{
    e2e::{
        expect,
        server::{free_port, run_to_end},
        shop::Shop,
    },
    steps::Outcome,
    tools,
};

/// The requests are the same every time and take a minute or so; a run that takes much longer hangs.
const LIMIT: Duration = Duration::from_secs(400);

pub(in crate::e2e) fn every_answer_is_as_described(shop: &mut Shop) -> Result<Outcome> {
    let source = shop.root.join("e2e/openapi");
    let home = shop.target.join("e2e/openapi");
    fs::create_dir_all(&home)?;
    let programs = tools::python_environment(&home, &source.join("requirements.txt"))?;

    // It writes items and erases people: on a copy, so that nobody else meets what it leaves behind.
    let dir = shop.copy("openapi")?;
    let mut server = shop.start_on(&dir, free_port()?)?;
    server.wait_ready(Shop::READY_LIMIT)?;

    let report = home.join("report.json");
    let mut run = Command::new(programs.join("st"));
    run.current_dir(&home)
        .env("NO_PROXY", "*")
        .env("SCHEMATHESIS_HOOKS", source.join("media_types.py"))
        .arg("--config-file")
        .arg(source.join("schemathesis.toml"));
    run.args(["run", &format!("{}/openapi.json", server.url), "--url", &server.url]);
    run.arg("--report-json-path").arg(&report);
    let (status, output) = run_to_end(&mut run, &shop.next_log(), LIMIT)?;
    expect::that("what schemathesis found", status.success(), "nothing", &output)?;

    let n_requests = judged(&report)?;
    expect::that("the server", server.is_alive()?, "to run", server.output())?;
    let said = server.whole_output();
    expect::that("what the server wrote", !said.contains("panic"), "no panic", &said)?;
    lives_on(&server.client)?;
    Ok(Outcome::Passed(format!("{n_requests} requests")))
}

/// How many requests were made, once every operation had its share.
fn judged(report: &Path) -> Result<u64> {
    let report: Value = serde_json::from_slice(&fs::read(report)?).context("the report is not JSON")?;
    let operations = &report["operations"];
    expect::that("operations tested", operations["tested"].as_u64() > Some(20), "all", operations)?;
    expect::equal("operations tested", &operations["tested"], &operations["total"])?;
    report["test_cases"]["generated"].as_u64().context("a report without the number of its requests")
}
