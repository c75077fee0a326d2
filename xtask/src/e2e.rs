//! End-to-end: the built binary, run as a shop would run it and treated worse.
//!
//! Each scenario is a function with a sentence for a name and can run alone (`cargo xtask e2e --only restart`). They
//! share one running shop ([`shop::Shop`]), which is started when the first of them needs it; scenarios that break
//! things work on a copy of its folder.

pub(crate) mod expect;
pub(crate) mod http;
mod scenarios;
pub(crate) mod server;
mod shop;

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::{
    steps::{Outcome, Steps},
    workspace::{self, Workspace},
};
use scenarios::SCENARIOS;
use shop::Shop;

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// What the shop sells; `auto` is the retail dataset where it is found, else the simulator.
    #[arg(long, value_enum, default_value_t = Data::Auto)]
    data: Data,
    /// Where public datasets lie, one folder each.
    #[arg(long, env = "WAGGLE_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Leave the shop's folder and the logs behind.
    #[arg(long)]
    keep: bool,
    /// Insist on the browser.
    #[arg(long, overrides_with = "no_browser")]
    browser: bool,
    /// Go without the browser.
    #[arg(long)]
    no_browser: bool,
    /// How often the power is cut in the scenario `power`.
    #[arg(long, value_name = "N", default_value_t = 10)]
    power_cuts: usize,
    /// Use this binary instead of building one.
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Data {
    Auto,
    OnlineRetail,
    Sim,
}

/// One thing that has to hold, from outside.
struct Scenario {
    name: &'static str,
    sentence: &'static str,
    run: fn(&mut Shop) -> Result<Outcome>,
}

pub(crate) fn run(workspace: &Workspace, steps: &mut Steps, args: &Args, only: Option<&str>, in_ci: bool) {
    if !steps.wants("e2e") {
        return;
    }
    let is_name = SCENARIOS.iter().any(|s| only == Some(s.name));
    let chosen: Vec<_> = SCENARIOS
        .iter()
        .filter(|s| match only {
            None => true,
            // A whole name means that scenario alone, whatever else contains it.
            Some(only) if is_name => s.name == only,
            Some(only) => s.name.contains(only) || s.sentence.contains(only),
        })
        .collect();
    if chosen.is_empty() {
        let names: Vec<_> = SCENARIOS.iter().map(|s| s.name).collect();
        steps.run_always("e2e", "choosing scenarios", || {
            bail!("no scenario is called {:?}; there are: {}", only.unwrap_or_default(), names.join(", "))
        });
        return;
    }
    let binary = args.binary.clone().unwrap_or_else(|| workspace.binary("waggle"));
    if args.binary.is_none()
        && !steps.run_always("e2e build", "cargo build --release -p waggle", || {
            workspace::run(workspace.cargo().args(["build", "--release", "-p", "waggle"]))?;
            Outcome::passed()
        })
    {
        return;
    }
    let mut shop = match Shop::try_new(workspace, args, binary, in_ci) {
        Ok(shop) => shop,
        Err(error) => {
            steps.run_always("e2e", "preparing a folder", || Err(error));
            return;
        }
    };
    println!("\n   the shop sells {}; logs are in {}", shop.data.describe(), shop.logs.display());
    let mut all_passed = true;
    for scenario in chosen {
        let name = format!("e2e {}", scenario.name);
        all_passed &= steps.run_always(&name, scenario.sentence, || (scenario.run)(&mut shop));
        for (name, value) in shop.take_figures() {
            steps.figure(name, value);
        }
    }
    shop.close(all_passed);
}

impl Args {
    /// Whether the browser may be left out when it cannot be had.
    fn wants_browser(&self) -> bool {
        self.browser || !self.no_browser
    }
}
