//! Searches of the whole system over HTTP; and of the text index alone, beside tantivy's own queries over the same texts.

mod engine;
mod peer;
mod queries;

use std::{fs, path::Path, thread};

use anyhow::{Context, Result};
use load_tests::Report;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use waggle_contracts::api::UserList;

use self::{engine::EngineCase, queries::Queries};
use super::{
    Spread,
    load::{load, n_wrong},
    server::{Market, Server, absolute, encoded, get_json},
};
use crate::{
    cli::{BenchSearchArgs, Global},
    config::Config,
    progress::say,
};

/// What all rounds came to.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) data: &'static str,
    pub(crate) seed: u64,
    pub(crate) n_items: usize,
    pub(crate) rounds: usize,
    pub(crate) seconds: u16,
    pub(crate) processors: usize,
    /// Over HTTP.
    pub(crate) cases: Vec<Case>,
    /// In this process, one query after the other.
    pub(crate) engines: Vec<EngineCase>,
}

/// One kind of search over HTTP.
#[derive(Debug, Serialize)]
pub(crate) struct Case {
    pub(crate) case: &'static str,
    pub(crate) connections: u16,
    pub(crate) requests_per_s: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) errors: u64,
    pub(crate) p99_ms_spread: Spread,
}

/// Users whose order is asked for.
const USERS: usize = 200;
/// What the system runs for a second before it is measured.
const WARM_UP: &str = "1";

/// Imports and trains where that was not done yet, asks in rounds, and stops the server.
pub(crate) fn run(config: &Config, global: &Global, args: &BenchSearchArgs) -> Result<Outcome> {
    let market = Market { data: args.data, simulator: &args.simulator };
    let dir = config.dir.join(market.folder());
    let server = Server::start(config, global, market, &dir)?;
    let items = server.catalogue(|item| item)?;
    let queries = Queries::new(&items, args.queries, &mut ChaCha8Rng::seed_from_u64(args.simulator.seed));
    let paths = write_paths(&queries, &users(server.port)?, &absolute(&dir)?)?;
    let asked: Vec<Asked<'_>> = args
        .connections
        .iter()
        .flat_map(|&connections| paths.iter().map(move |(case, paths)| Asked { case, paths, connections }))
        .collect();
    for asked in &asked {
        asked.measure(&server.url, WARM_UP)?;
    }
    let mut reports: Vec<Vec<Report>> = asked.iter().map(|_| Vec::new()).collect();
    for round in 0..args.rounds {
        say(&format!("round {} of {}", round + 1, args.rounds));
        for (asked, reports) in asked.iter().zip(&mut reports) {
            let report = asked.measure(&server.url, &args.seconds.to_string())?;
            say(&asked.line(&report));
            reports.push(report);
        }
    }
    server.stop()?;
    let cases = asked.iter().zip(&reports).map(|(asked, reports)| asked.case(reports));
    say("the text index alone, beside tantivy's own queries");
    Ok(Outcome {
        data: args.data.as_str(),
        seed: args.simulator.seed,
        n_items: items.len(),
        rounds: args.rounds,
        seconds: args.seconds,
        processors: thread::available_parallelism()?.get(),
        cases: cases.collect(),
        engines: engine::measure(&items, &queries, args.rounds)?,
    })
}

/// A file of paths for each kind of search.
fn write_paths(queries: &Queries, users: &[String], dir: &Path) -> Result<Vec<(&'static str, String)>> {
    let by_text = |texts: &[String], more: &dyn Fn(usize) -> String| -> String {
        let line = |(n, text): (usize, &String)| format!("/v1/search?q={}{}\n", encoded(text), more(n));
        texts.iter().enumerate().map(line).collect()
    };
    let none = |_: usize| String::new();
    let narrowed = |_: usize| {
        format!("&filter={}&facets=category,price", encoded("price in 1..10 and exists(category)"))
    };
    let of_user = |n: usize| format!("&order=personal&user_id={}", encoded(&users[n % users.len().max(1)]));
    let files = [
        ("plain", by_text(&queries.words, &none)),
        ("typo", by_text(&queries.misspelt, &none)),
        ("typing", by_text(&queries.half_typed, &none)),
        ("filter_facets", by_text(&queries.words, &narrowed)),
        ("personal", by_text(&queries.words, &of_user)),
    ];
    files
        .into_iter()
        .map(|(case, paths)| {
            let path = dir.join(format!("search-{case}.txt"));
            fs::write(&path, paths).with_context(|| format!("cannot write {}", path.display()))?;
            Ok((case, path.display().to_string()))
        })
        .collect()
}

/// One kind of search over so many connections.
struct Asked<'a> {
    case: &'static str,
    /// The file of its paths.
    paths: &'a str,
    connections: u16,
}

impl Asked<'_> {
    fn measure(&self, url: &str, seconds: &str) -> Result<Report> {
        let connections = self.connections.to_string();
        let mut line = vec!["load-tests", "run", "get", "--target", url, "--quiet", "--seconds", seconds];
        // Every query as often as any other.
        line.extend(["--paths", self.paths, "--skew", "0", "--concurrency", &connections]);
        load(line)
    }

    fn line(&self, report: &Report) -> String {
        let Self { case, connections, .. } = self;
        let (rate, p50, p99) = (report.rate, report.p50_ms, report.p99_ms);
        format!(
            "  {case:<14} {connections:>3} connections: {rate:>7.0} searches/s, p50 {p50:.2} ms, p99 {p99:.2} ms"
        )
    }

    fn case(&self, reports: &[Report]) -> Case {
        let spread = |value: fn(&Report) -> f64| Spread::of(reports.iter().map(value));
        Case {
            case: self.case,
            connections: self.connections,
            requests_per_s: spread(|r| r.rate).median,
            p50_ms: spread(|r| r.p50_ms).median,
            p99_ms: spread(|r| r.p99_ms).median,
            errors: reports.iter().map(n_wrong).sum(),
            p99_ms_spread: spread(|r| r.p99_ms),
        }
    }
}

fn users(port: u16) -> Result<Vec<String>> {
    let list: UserList = get_json(port, &format!("/v1/users?limit={USERS}"))?;
    Ok(list.users.into_iter().map(|user| user.user_id.to_string()).collect())
}

/// For people.
pub(crate) fn text(outcome: &Outcome) -> String {
    let mut text = format!(
        "{}, {} items, on {} processors, {} rounds of {} s; medians [least, most]\n",
        outcome.data, outcome.n_items, outcome.processors, outcome.rounds, outcome.seconds
    );
    for Case { case, connections, requests_per_s, p50_ms, p99_ms, errors, p99_ms_spread } in &outcome.cases {
        let Spread { min, max, .. } = p99_ms_spread;
        text += &format!(
            "  {case:<14} {connections:>3} connections  {requests_per_s:>7.0} searches/s  p50 {p50_ms:.2} ms  p99 {p99_ms:.2} ms [{min:.2}, {max:.2}]  {errors} errors\n"
        );
    }
    for EngineCase { engine, case, queries_per_s, p50_us, p99_us, found_in_top_10, same_top_10, .. } in
        &outcome.engines
    {
        let percent =
            |share: &Option<f64>, of: &str| share.map(|share| format!("  {:.1}% {of}", 100.0 * share));
        let found = percent(found_in_top_10, "have their item among the first ten");
        let same = percent(same_top_10, "of what the right spelling has first");
        text += &format!(
            "  {engine:<8} {case:<14} {queries_per_s:>7.0} queries/s  p50 {p50_us:.0} µs  p99 {p99_us:.0} µs{}\n",
            found.or(same).unwrap_or_default()
        );
    }
    text.trim_end().to_owned()
}
