//! Answers per second and how long they take, of the whole system as somebody would run it: `waggle demo` in a process of
//! its own, asked over HTTP from this one on the same processors.

mod narrowed;
mod serenade;
mod swaps;

use std::{collections::BTreeMap, thread};

use anyhow::{Context, Result, ensure};
use load_tests::Report;
use serde::Serialize;
use serde_json::Value;

use self::{
    narrowed::{Narrowed, narrowed},
    serenade::Serenade,
    swaps::{Swaps, swaps},
};
use super::{
    Spread,
    load::{load, n_wrong},
    server::{self, Market, Memory, Server},
};
use crate::{
    cli::{BenchServingArgs, Global},
    config::Config,
    progress::say,
};

/// What all rounds came to.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) data: &'static str,
    pub(crate) seed: u64,
    pub(crate) rounds: usize,
    pub(crate) seconds: u16,
    pub(crate) processors: usize,
    /// Events of other people per second meanwhile.
    pub(crate) background: u32,
    pub(crate) cases: Vec<Case>,
    /// Items that were ranked for one answer, on average.
    pub(crate) candidates_per_answer: f64,
    /// After everything was imported, trained and asked for.
    pub(crate) memory: Memory,
    pub(crate) swaps: Option<Swaps>,
    /// Of the same lists over HTTP, on held-out data.
    pub(crate) ndcg_at_10: Option<Value>,
}

/// One way of asking.
#[derive(Debug, Serialize)]
pub(crate) struct Case {
    /// `waggle`, or the peer's name.
    pub(crate) system: &'static str,
    /// `uncached`: every answer is computed (`Cache-Control: no-store`).
    /// `filter S %`: the same with a filter that lets that share of the catalogue through.
    pub(crate) case: String,
    pub(crate) connections: u16,
    pub(crate) requests_per_s: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) errors: u64,
    pub(crate) spread: CaseSpread,
    /// Of the generator, in microseconds of processor per request.
    pub(crate) generator_us: f64,
}

/// Over the rounds.
#[derive(Debug, Serialize)]
pub(crate) struct CaseSpread {
    pub(crate) requests_per_s: Spread,
    pub(crate) p99_ms: Spread,
}

/// Imports and trains where that was not done yet, asks in rounds, and stops the server.
pub(crate) fn run(config: &Config, global: &Global, args: &BenchServingArgs) -> Result<Outcome> {
    let dir = config.dir.join(market(args).folder());
    let server = Server::start(config, global, market(args), &dir)?;
    let peer = match &args.serenade {
        Some(program) => Some(Serenade::start(program, global, &dir.join("serenade"))?),
        None => None,
    };
    let filters = narrowed(&server.catalogue(narrowed::Asked::from)?);
    let mut reports: BTreeMap<usize, (Asked, Vec<Report>)> = BTreeMap::new();
    for round in 0..args.rounds {
        say(&format!("round {} of {}", round + 1, args.rounds));
        for (nth, asked) in cases(args, peer.is_some(), &filters).into_iter().enumerate() {
            let report = match (asked.system, &peer) {
                (SERENADE, Some(peer)) => asked.measure(&peer.url, args, &["--paths", &peer.paths])?,
                _ => with_background(&server.url, args, || asked.measure(&server.url, args, &[]))?,
            };
            say(&asked.line(&report));
            reports.entry(nth).or_insert_with(|| (asked, Vec::new())).1.push(report);
        }
    }
    let (candidates_per_answer, memory) = (server.candidates_per_answer()?, server.memory()?);
    let of_folder = config.embedded(dir.clone());
    let during = Asked { connections: SWAP_CONNECTIONS, ..uncached() };
    let ask = || with_background(&server.url, args, || during.measure(&server.url, args, &[]));
    let swaps = if args.no_swaps { None } else { Some(swaps(&of_folder, &server, &ask)?) };
    server.stop()?;
    drop(peer);
    let ndcg_at_10 = if args.no_quality { None } else { Some(quality(config, global, args)?) };
    Ok(Outcome {
        data: args.data.as_str(),
        seed: args.simulator.seed,
        rounds: args.rounds,
        seconds: args.seconds,
        processors: thread::available_parallelism()?.get(),
        background: args.background,
        cases: reports.into_values().map(|(asked, reports)| asked.case(&reports)).collect(),
        candidates_per_answer,
        memory,
        swaps,
        ndcg_at_10,
    })
}

const WAGGLE: &str = "waggle";
const SERENADE: &str = "serenade";
/// Connections of the cached case.
const CACHED_CONNECTIONS: u16 = 32;
/// Connections of the cases with a filter.
const FILTERED_CONNECTIONS: u16 = 8;
/// Connections that ask while the snapshot is swapped.
const SWAP_CONNECTIONS: u16 = 2;
const UNCACHED: &str = "uncached";

#[derive(Debug, Clone)]
struct Asked {
    system: &'static str,
    case: String,
    connections: u16,
    narrowed: Option<Narrowed>,
}

fn cases(args: &BenchServingArgs, has_peer: bool, filters: &[Narrowed]) -> Vec<Asked> {
    let asked = |system, case: &str, connections| Asked {
        system,
        case: case.to_owned(),
        connections,
        narrowed: None,
    };
    let mut cases = Vec::new();
    for &connections in &args.connections {
        cases.push(asked(WAGGLE, UNCACHED, connections));
        if has_peer {
            cases.push(asked(SERENADE, UNCACHED, connections));
        }
    }
    cases.push(asked(WAGGLE, "cached", CACHED_CONNECTIONS));
    cases.extend(filters.iter().map(|narrowed| Asked {
        narrowed: Some(narrowed.clone()),
        ..asked(WAGGLE, &narrowed.name, FILTERED_CONNECTIONS)
    }));
    cases
}

fn uncached() -> Asked {
    Asked { system: WAGGLE, case: UNCACHED.to_owned(), connections: 1, narrowed: None }
}

impl Asked {
    fn measure(&self, url: &str, args: &BenchServingArgs, more: &[&str]) -> Result<Report> {
        let scenario = if self.system == SERENADE { "get" } else { "recommendations" };
        let (connections, seconds) = (self.connections.to_string(), args.seconds.to_string());
        let mut line = vec!["load-tests", "run", scenario, "--target", url, "--quiet"];
        line.extend(["--concurrency", &connections, "--seconds", &seconds]);
        line.extend(more);
        if self.case != "cached" && self.system == WAGGLE {
            line.push("--no-store");
        }
        let n_items = self.narrowed.as_ref().map_or(0, |narrowed| narrowed.n_items).to_string();
        if let Some(narrowed) = &self.narrowed {
            line.extend(["--filter", &narrowed.filter, "--n-items", &n_items, "--check-share", "0.1"]);
        }
        load(line)
    }

    fn case(self, reports: &[Report]) -> Case {
        let spread = |value: fn(&Report) -> f64| Spread::of(reports.iter().map(value));
        let (requests_per_s, p99_ms) = (spread(|r| r.rate), spread(|r| r.p99_ms));
        Case {
            system: self.system,
            case: self.case,
            connections: self.connections,
            requests_per_s: requests_per_s.median,
            p50_ms: spread(|r| r.p50_ms).median,
            p99_ms: p99_ms.median,
            errors: reports.iter().map(n_wrong).sum(),
            spread: CaseSpread { requests_per_s, p99_ms },
            generator_us: spread(|r| r.cpu_us_per_request).median,
        }
    }

    fn line(&self, report: &Report) -> String {
        format!(
            "  {:<9} {:<17} {:>3} connections: {:>7.0} answers/s, p50 {:.2} ms, p99 {:.2} ms, {} errors",
            self.system,
            self.case,
            self.connections,
            report.rate,
            report.p50_ms,
            report.p99_ms,
            n_wrong(report)
        )
    }
}

/// Runs `work` while other people's events flow.
fn with_background(
    url: &str,
    args: &BenchServingArgs,
    work: impl FnOnce() -> Result<Report>,
) -> Result<Report> {
    if args.background == 0 {
        return work();
    }
    // Ten events a request, as a page sends them.
    let (rate, seconds) = ((f64::from(args.background) / 10.0).to_string(), args.seconds.to_string());
    let line = ["load-tests", "run", "events", "--target", url, "--quiet", "--rate", &rate, "--batch", "10"];
    let mut line = line.to_vec();
    line.extend(["--seconds", &seconds]);
    thread::scope(|scope| {
        let background = scope.spawn(|| load(line));
        let report = work();
        let events = background.join().map_err(|_| anyhow::anyhow!("the background panicked"))??;
        ensure!(n_wrong(&events) == 0, "events of the background were refused: {:?}", events.errors);
        report
    })
}

fn market(args: &BenchServingArgs) -> Market<'_> {
    Market { data: args.data, simulator: &args.simulator }
}

/// NDCG@10 over all items of the lists as they are served, by `waggle evaluate`.
fn quality(config: &Config, global: &Global, args: &BenchServingArgs) -> Result<Value> {
    say("how good the lists are: waggle evaluate --protocol time");
    let file = tempfile::NamedTempFile::new_in(&config.dir)?;
    server::evaluate(global, market(args), file.path())?;
    let report: Value = serde_json::from_slice(&std::fs::read(file.path())?)?;
    served_ndcg(&report).context("the evaluation has no row of what is served")
}

fn served_ndcg(report: &Value) -> Option<Value> {
    let rows = report["all_items"]["rows"].as_array()?;
    let served = rows.iter().find(|row| row["name"] == "two-stage over HTTP")?;
    Some(served["metrics"]["ndcg@10"].clone())
}

/// For people.
pub(crate) fn text(outcome: &Outcome) -> String {
    let mut text = format!(
        "{} on {} processors, {} rounds of {} s, {} events/s of other people meanwhile; medians [least, most]\n",
        outcome.data, outcome.processors, outcome.rounds, outcome.seconds, outcome.background
    );
    for case in &outcome.cases {
        let Spread { median, min, max } = case.spread.requests_per_s;
        text += &format!(
            "  {:<9} {:<17} {:>3} connections  {median:>7.0} [{min:.0}, {max:.0}] answers/s  p50 {:.2} ms  p99 {:.2} ms [{:.2}, {:.2}]  {} errors\n",
            case.system,
            case.case,
            case.connections,
            case.p50_ms,
            case.p99_ms,
            case.spread.p99_ms.min,
            case.spread.p99_ms.max,
            case.errors
        );
    }
    let Memory { resident_mib, anonymous_mib, of_files_mib, peak_mib } = outcome.memory;
    text += &format!(
        "  {:.0} candidates per answer; {resident_mib:.0} MiB resident ({anonymous_mib:.0} anonymous, {of_files_mib:.0} of files), {peak_mib:.0} at most",
        outcome.candidates_per_answer
    );
    if let Some(swaps) = &outcome.swaps {
        let resident: Vec<String> =
            swaps.swaps.iter().map(|swap| format!("{:.0}", swap.resident_mib)).collect();
        text += &format!(
            "\n  vectors {:.0} MiB ({} × {}); swaps: {:.0} MiB at most, {} after each; resident {:.2} × the vectors before, {:.2} × after, {:.2} × at most",
            swaps.vectors_mib,
            swaps.n_items,
            swaps.n_factors,
            swaps.swap_peak_mib,
            resident.join(", "),
            swaps.before_per_vectors,
            swaps.after_per_vectors,
            swaps.peak_per_vectors
        );
    }
    if let Some(ndcg) = &outcome.ndcg_at_10 {
        text += &format!(
            "\n  NDCG@10 over HTTP, all items: {:.4} [{:.4}, {:.4}]",
            number(ndcg, "value"),
            number(ndcg, "low"),
            number(ndcg, "high")
        );
    }
    text
}

fn number(value: &Value, field: &str) -> f64 {
    value[field].as_f64().unwrap_or(f64::NAN)
}
