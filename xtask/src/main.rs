//! What continuous integration and people run: `cargo xtask check`, `test`, `e2e`, `services`, `chaos`, `peers` and
//! `records`.
//! There is no second way.
//!
//! Each command is a list of named steps ([`steps`]); a step that lacks a tool tries to install it ([`tools`]) and
//! otherwise says which line would. Start reading at [`check`], [`e2e`], [`services`] and [`chaos`].
#![expect(clippy::print_stdout, reason = "a command line tool talks to its terminal")]

mod arrows;
mod chaos;
mod check;
mod e2e;
mod peers;
mod records;
mod services;
mod steps;
mod suite;
mod tools;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{steps::Steps, workspace::Workspace};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Checks, tests and drives Waggle", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Set by continuous integration: what a person may go without is then required.
    #[arg(long, global = true, env = "CI", hide = true, default_value = "", hide_env = true)]
    ci: String,
}

#[derive(Subcommand)]
enum Command {
    /// Format, lints, arrows between the crates, licences and the files under version control.
    Check {
        /// Only the steps whose name contains this.
        #[arg(long)]
        only: Option<String>,
    },
    /// `check`, then with the services up every test of the workspace and those of TLS to Kafka, then `e2e`.
    Test {
        /// Leave out the end-to-end tests.
        #[arg(long)]
        no_e2e: bool,
        /// Only the steps whose name contains this (`format`, `clippy`, `services`, `tests`, `tls`, `e2e` …).
        #[arg(long)]
        only: Option<String>,
        #[command(flatten)]
        e2e: e2e::Args,
    },
    /// The built binary as a shop would run it: real data, kills, damage, and a browser.
    E2e {
        /// Only the scenarios whose name or sentence contains this.
        #[arg(long)]
        only: Option<String>,
        #[command(flatten)]
        e2e: e2e::Args,
    },
    /// Kills roles, Kafka and Redis under load: nothing acknowledged may be lost or counted twice.
    Chaos(chaos::Args),
    /// Builds Serenade, the peer of `waggle bench serving --serenade PROGRAM`, and says where its program is.
    Peers,
    /// Searches, fits and measures models on published splits, and writes `docs/records.md`.
    ///
    /// Takes two hours; a run that was cut off goes on where it stopped.
    Records(records::Args),
    /// Kafka, PostgreSQL and Redis for tests and development, under `target/services`.
    Services {
        #[command(subcommand)]
        command: services::Command,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let in_ci = !matches!(cli.ci.as_str(), "" | "0" | "false");
    match run(cli.command, in_ci) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every step passed.
fn run(command: Command, in_ci: bool) -> anyhow::Result<bool> {
    let workspace = Workspace::find()?;
    let only = match &command {
        Command::Check { only } | Command::Test { only, .. } => only.clone(),
        Command::E2e { .. } => None,
        Command::Chaos(args) => return chaos::run(&workspace, args),
        Command::Services { command } => return services::run(&workspace, command).map(|()| true),
        Command::Records(args) => return records::run(&workspace, args),
        Command::Peers => {
            println!("{}", peers::serenade(&workspace)?.display());
            return Ok(true);
        }
    };
    let mut steps = Steps::new(only);
    match command {
        Command::Check { .. } => check::run(&workspace, &mut steps),
        Command::Test { no_e2e, e2e: args, .. } => {
            check::run(&workspace, &mut steps);
            let needs_services = ["services", "tests", "tls"].iter().any(|step| steps.wants(step));
            let services = needs_services.then(|| services::Lease::take(&workspace, &mut steps)).flatten();
            let variables = services.as_ref().map(|lease| lease.variables.clone()).unwrap_or_default();
            steps.run("tests", "cargo test --release --workspace", || suite::run(&workspace, &variables));
            steps.run("tls", "TLS and SASL to Kafka, in a build with that feature", || {
                suite::run_tls(&workspace, &variables)
            });
            if !no_e2e {
                e2e::run(&workspace, &mut steps, &args, None, in_ci);
            }
        }
        Command::E2e { only, e2e: args } => e2e::run(&workspace, &mut steps, &args, only.as_deref(), in_ci),
        Command::Services { .. } | Command::Chaos(_) | Command::Peers | Command::Records(_) => {
            unreachable!("returned above")
        }
    }
    Ok(steps.finish())
}
