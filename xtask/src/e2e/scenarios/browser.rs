//! The storefront in a real browser: `e2e/shop.mjs`, driven by Playwright.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{
    e2e::{expect, shop::Shop},
    steps::Outcome,
    tools, workspace,
};

pub(in crate::e2e) fn a_person_shops_in_a_browser(shop: &mut Shop) -> Result<Outcome> {
    if !shop.wants_browser && !shop.in_ci {
        return Ok(Outcome::Skipped("--no-browser was given".to_owned()));
    }
    tools::node()?;
    let chromium = tools::chromium()?;
    let (source, work) = (shop.browser_source.clone(), shop.browser_work.clone());
    install_playwright(&source, &work)?;
    let screenshots = work.join("screenshots");
    if screenshots.is_dir() {
        fs::remove_dir_all(&screenshots)?;
    }
    fs::create_dir_all(&screenshots)?;
    let url = shop.server()?.url.clone();
    let mut command = Command::new("node");
    command.current_dir(&work).arg("shop.mjs").args(["--url", &url, "--chromium"]).arg(&chromium);
    command.arg("--screenshots").arg(&screenshots);
    workspace::run(&mut command)?;
    let n_pictures = fs::read_dir(&screenshots)?.count();
    expect::that("screenshots", n_pictures >= 4, "at least four", n_pictures)?;
    Ok(Outcome::Passed(format!("{n_pictures} screenshots in {}", screenshots.display())))
}

/// Puts the script and the pinned Playwright side by side in the target folder, so that the checkout stays clean.
fn install_playwright(source: &Path, work: &Path) -> Result<()> {
    for file in ["package.json", "package-lock.json", ".npmrc", "shop.mjs"] {
        fs::copy(source.join(file), work.join(file)).with_context(|| format!("copying e2e/{file}"))?;
    }
    let read = |path: &Path| -> Option<Value> { serde_json::from_slice(&fs::read(path).ok()?).ok() };
    let wanted = read(&work.join("package.json")).context("e2e/package.json is not JSON")?;
    let wanted = &wanted["dependencies"]["playwright-core"];
    let installed = read(&work.join("node_modules/playwright-core/package.json"));
    if installed.is_some_and(|package| package["version"] == *wanted) {
        return Ok(());
    }
    let mut npm = Command::new("npm");
    npm.current_dir(work).args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]);
    workspace::run(&mut npm)
        .context("Playwright cannot be installed; run it again with a network, or --no-browser")
}
