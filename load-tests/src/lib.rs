//! The load generator: sends requests to a running server at a rate that does not depend on its answers, and says how
//! long they took, which failed, which were wrong, and whether the generator itself kept up.
//!
//! It speaks HTTP and knows no service of Waggle, so it measures what a customer would. Start reading at [`run`]
//! (`run.rs`), then [`schedule`] for when requests leave, [`scenario`] for what they ask and [`visits`] for what real
//! shoppers did.
//!
//! The program `load-tests` prints what comes of it; benchmarks take the [`Report`].
#![expect(clippy::print_stdout, reason = "a command line tool talks to its terminal")]

mod check;
mod connection;
mod events;
mod http;
mod report;
mod run;
mod scenario;
mod schedule;
mod sys;
mod tally;
mod target;
mod visits;

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};

use waggle_model::Timestamp;

use crate::{
    events::Form,
    run::Plan,
    scenario::{Options, Requests, Scenario},
    schedule::Rate,
    target::Target,
    visits::Source,
};

pub use report::Report;

/// The command line of the program.
#[derive(Debug, Parser)]
#[command(
    name = "load-tests",
    about = "Sends load to a running Waggle and measures how it is answered",
    max_term_width = 100
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
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
  load-tests run browse --target http://127.0.0.1:8080 --rate 100..2000 --seconds 60 --json ramp.json
  load-tests run recommendations --target http://127.0.0.1:8080 --concurrency 8 --no-store
  load-tests run events --target http://127.0.0.1:8080 --concurrency 4 --batch 1000 --ndjson

Exit status: 0 when the run is valid, every request was answered and every checked answer right; 1 when not; \
2 when it could not start.";

/// A scenario, whom it asks, and how often.
#[derive(Debug, Args)]
pub struct RunArgs {
    #[arg(value_enum)]
    scenario: Scenario,
    /// The server: http://host:port.
    #[arg(long, value_name = "URL")]
    target: String,
    /// Open loop: requests per second, `200` or, changing evenly over the run, `100..2000`.
    #[arg(
        long,
        visible_alias = "ramp",
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
    #[arg(long, visible_alias = "duration", value_name = "S", default_value = "10", value_parser = seconds)]
    seconds: Duration,
    /// Open loop: at most this many requests at the same time.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    connections: u16,
    /// Open loop: requests due within so many milliseconds leave together at their end, and latency counts from there.
    /// Waking for each request would cost the generator most of its processor time; 0 sends each at its own moment.
    #[arg(long, value_name = "MS", default_value = "2", value_parser = grain)]
    grain: Duration,
    /// How long an answer may take; also how long queued requests are still sent after the end.
    #[arg(long, value_name = "S", default_value = "10", value_parser = seconds)]
    timeout: Duration,
    /// Share of the answers whose content is checked, 0 to 1.
    #[arg(long, value_name = "SHARE", default_value = "0.01", value_parser = share)]
    check_share: f64,
    /// Say nothing while it runs.
    #[arg(long)]
    quiet: bool,
    /// Write the result here as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The same seed sends the same requests at the same times.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Allow a target on another machine.
    #[arg(long)]
    allow_remote: bool,
    #[command(flatten)]
    asks: AskArgs,
}

/// What a scenario asks for.
#[derive(Debug, Args)]
#[command(next_help_heading = "What is asked")]
struct AskArgs {
    /// Ask the server to compute each answer anew (`Cache-Control: no-store`).
    #[arg(long)]
    no_store: bool,
    /// recommendations: user ids, one per line, instead of those the server lists.
    #[arg(long, value_name = "FILE")]
    users: Option<PathBuf>,
    /// recommendations: only items that this expression lets through.
    #[arg(long, value_name = "EXPRESSION", default_value = "", hide_default_value = true)]
    filter: String,
    /// recommendations: how many of the ten items asked for must come, where a filter leaves fewer.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u8).range(0..=10))]
    n_items: u8,
    /// events: item ids, one per line, instead of those the server lists; an ingest role alone lists none.
    #[arg(long, value_name = "FILE")]
    items: Option<PathBuf>,
    /// recommendations, events: how much more popular the first user or item is than the rest, exponent of a Zipf
    /// distribution; 0 is uniform.
    #[arg(long, value_name = "S", default_value = "1", value_parser = skew)]
    skew: f64,
    /// events: so many per request.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=5000))]
    batch: u32,
    /// events, browse: send events one a line (`application/x-ndjson`).
    #[arg(long)]
    ndjson: bool,
    /// events, browse: compress bodies of events.
    #[arg(long)]
    gzip: bool,
    /// browse: whose visits; by default those of the simulated market where the target sells its items.
    #[arg(long, value_enum)]
    sessions: Option<Source>,
    /// browse: where public datasets lie, one folder each.
    #[arg(long, env = "WAGGLE_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// get: the path.
    #[arg(long, value_name = "PATH", default_value = "/healthz", value_parser = path)]
    path: String,
    /// get: paths, one per line, asked for as often as `--skew` says, instead of one path.
    #[arg(long, value_name = "FILE", conflicts_with = "path")]
    paths: Option<PathBuf>,
}

/// Runs the scenario to its end, in this thread.
///
/// # Errors
/// When it cannot start: the target does not answer, or has nobody and nothing to ask for.
pub fn run_scenario(args: RunArgs) -> Result<Report> {
    let target = Target::find(&args.target, args.allow_remote, args.timeout)?;
    let n_connections = usize::from(args.concurrency.unwrap_or(args.connections));
    let AskArgs {
        no_store,
        users,
        items,
        filter,
        n_items,
        skew,
        batch,
        ndjson,
        gzip,
        sessions,
        data_dir,
        path,
        paths,
    } = args.asks;
    let run = format!("load-{:x}-{:x}", Timestamp::now().as_millis(), std::process::id());
    let form = Form { ndjson, gzip };
    let options = Options {
        path,
        paths,
        users,
        items,
        filter,
        n_items: n_items.into(),
        no_store,
        skew,
        batch,
        form,
        sessions,
        data_dir,
        seed: args.seed,
        run,
    };
    let requests = Requests::prepare(args.scenario, &target, &options)?;
    let (schedule, load) = match args.rate {
        Some(rate) => {
            let moments = match args.grain {
                Duration::ZERO => "each at its own moment".to_owned(),
                grain => format!("those of {grain:?} together"),
            };
            (requests.open(rate, args.seconds, args.grain), format!("open loop at {rate}, {moments}"))
        }
        None => (requests.closed(args.seconds), format!("closed loop of {n_connections} connections")),
    };
    let plan = Plan {
        requests,
        schedule,
        n_connections,
        length: args.seconds,
        timeout: args.timeout,
        check_share: args.check_share,
        seed: args.seed,
        is_quiet: args.quiet,
    };
    let outcome = run::run(plan, &target)?;
    let report =
        Report::new(args.scenario.as_str(), target.to_string(), args.seed, load, n_connections, outcome);
    if let Some(path) = &args.json {
        let json = serde_json::to_string_pretty(&report)?;
        fs::write(path, json + "\n").with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(report)
}

fn path(text: &str) -> Result<String, String> {
    let is_plain = text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic());
    if is_plain { Ok(text.to_owned()) } else { Err("a path begins with / and has no blanks".to_owned()) }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = number(text, 0.1, 86_400.0)?;
    Ok(Duration::from_secs_f64(seconds))
}

fn grain(text: &str) -> Result<Duration, String> {
    Ok(Duration::from_secs_f64(number(text, 0.0, 100.0)? / 1e3))
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
