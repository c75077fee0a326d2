//! The load generator: sends requests to a running server at a rate that does not depend on its answers, and says how
//! long they took, which failed, which were wrong, and whether the generator itself kept up.
//!
//! It speaks HTTP and knows no crate of Waggle, so it measures what a customer would. Start reading at [`run`]
//! (`run.rs`), then [`schedule`] for when requests leave and [`scenario`] for what they ask.
#![expect(clippy::print_stdout, reason = "a command line tool talks to its terminal")]

mod check;
mod http;
mod report;
mod run;
mod scenario;
mod schedule;
mod tally;
mod target;

use std::{fs, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};

use crate::{
    http::Connection,
    report::Report,
    run::Plan,
    scenario::{Requests, Scenario},
    schedule::{Poisson, Rate, Schedule},
    target::Target,
};

#[derive(Parser)]
#[command(
    name = "load-tests",
    about = "Sends load to a running Waggle and measures how it is answered",
    max_term_width = 100
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// One scenario against one server.
    #[command(after_help = RUN_HELP)]
    Run(RunArgs),
}

const RUN_HELP: &str = "\
Latency counts from the moment a request was meant to leave, not from when a connection was free for it: a server that \
stalls for a second shows it. A run is invalid when more than 1 % of its requests left over 10 ms late, because the \
server then did not see the load that was asked for.

Examples:
  load-tests run recommendations --target http://127.0.0.1:8080 --rate 200 --seconds 30
  load-tests run mixed --target http://127.0.0.1:8080 --rate 100..2000 --seconds 60 --json ramp.json
  load-tests run recommendations --target http://127.0.0.1:8080 --concurrency 8 --no-store

Exit status: 0 when the run is valid, every request was answered and every checked answer right; 1 when not; \
2 when it could not start.";

#[derive(Args)]
struct RunArgs {
    #[arg(value_enum)]
    scenario: Scenario,
    /// The server: http://host:port.
    #[arg(long, value_name = "URL")]
    target: String,
    /// Open loop: requests per second, `200` or, changing evenly over the run, `100..2000`.
    #[arg(
        long,
        value_name = "R",
        allow_hyphen_values = true,
        required_unless_present = "concurrency",
        conflicts_with = "concurrency"
    )]
    rate: Option<Rate>,
    /// Closed loop: this many connections, each sending as soon as it has its answer.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    concurrency: Option<u16>,
    /// How long requests leave for.
    #[arg(long, value_name = "S", default_value = "10", value_parser = seconds)]
    seconds: Duration,
    /// Open loop: at most this many requests at the same time.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    connections: u16,
    /// How long an answer may take; also how long queued requests are still sent after the end.
    #[arg(long, value_name = "S", default_value = "10", value_parser = seconds)]
    timeout: Duration,
    /// Share of the answers whose content is checked, 0 to 1.
    #[arg(long, value_name = "SHARE", default_value = "0.01", value_parser = share)]
    check_share: f64,
    /// Ask the server to compute each answer anew (`Cache-Control: no-store`).
    #[arg(long)]
    no_store: bool,
    /// Recommendations: user ids, one per line, instead of those the server lists.
    #[arg(long, value_name = "FILE")]
    users: Option<PathBuf>,
    /// How much more popular the first user or item is than the rest: exponent of a Zipf distribution, 0 is uniform.
    #[arg(long, value_name = "S", default_value = "1", value_parser = skew)]
    skew: f64,
    /// The same seed sends the same requests at the same times.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write the result here as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Allow a target on another machine.
    #[arg(long)]
    allow_remote: bool,
}

fn main() -> ExitCode {
    let Command::Run(args) = Cli::parse().command;
    match run_scenario(args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("load-tests: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether all went well.
fn run_scenario(args: RunArgs) -> Result<bool> {
    let target = Target::find(&args.target, args.allow_remote, args.timeout)?;
    let n_connections = usize::from(args.concurrency.unwrap_or(args.connections));
    let mut connections = (0..n_connections)
        .map(|_| Connection::open(target.address, args.timeout))
        .collect::<Result<Vec<_>, _>>()
        .with_context(|| format!("opening {n_connections} connections to {target}"))?;
    let requests = Requests::prepare(
        args.scenario,
        &target,
        &mut connections[0],
        args.users.as_deref(),
        args.no_store,
        args.skew,
        args.seed,
    )?;
    let (schedule, load) = match (args.rate, args.concurrency) {
        (Some(rate), _) => (
            Schedule::Open(Box::new(Poisson::new(rate, args.seconds, args.seed))),
            format!("open loop at {rate}"),
        ),
        (None, _) => (
            Schedule::Closed { length: args.seconds, index: 0 },
            format!("closed loop of {n_connections} connections"),
        ),
    };
    let plan = Plan {
        requests,
        schedule,
        length: args.seconds,
        timeout: args.timeout,
        check_share: args.check_share,
        seed: args.seed,
    };
    let outcome = run::run(plan, connections)?;
    let report =
        Report::new(args.scenario.as_str(), target.to_string(), args.seed, load, n_connections, outcome);
    report.print();
    if let Some(path) = &args.json {
        let json = serde_json::to_string_pretty(&report)?;
        fs::write(path, json + "\n").with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(report.is_good())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = number(text, 0.1, 86_400.0)?;
    Ok(Duration::from_secs_f64(seconds))
}

fn share(text: &str) -> Result<f64, String> {
    number(text, 0.0, 1.0)
}

fn skew(text: &str) -> Result<f64, String> {
    number(text, 0.0, 10.0)
}

fn number(text: &str, least: f64, most: f64) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (least..=most).contains(&number) { Ok(number) } else { Err(format!("{least} to {most} are possible")) }
}
