//! `waggle bench`: our own benchmarks, each beside its peer.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;

use crate::{
    bench::{
        Mode, ann, freshness,
        ingest::{self, PerfTest},
        replay, search, serving, training,
    },
    cli::{BenchCommand, Global},
    config::Config,
    progress::{print, say},
};

pub(super) async fn run(config: &Config, global: &Global, command: BenchCommand) -> Result<()> {
    let (of_config, of_global) = (config.clone(), global.clone());
    // The generator needs a thread of its own.
    match command {
        BenchCommand::Serving(args) => {
            let as_json = args.json;
            let work = move || serving::run(&of_config, &of_global, &args);
            return show_one(as_json, &tokio::task::spawn_blocking(work).await??, serving::text);
        }
        BenchCommand::Search(args) => {
            let as_json = args.json;
            let work = move || search::run(&of_config, &of_global, &args);
            return show_one(as_json, &tokio::task::spawn_blocking(work).await??, search::text);
        }
        BenchCommand::Training(args) => {
            let as_json = args.json;
            let work = move || training::run(&of_config, &args);
            return show_one(as_json, &tokio::task::spawn_blocking(work).await??, training::text);
        }
        _ => {}
    }
    waggle_http::telemetry::metrics_handle();
    if let BenchCommand::Ann(args) = command {
        let outcome = ann::run(config, &args).await?;
        print(&if args.json { serde_json::to_string_pretty(&outcome)? } else { ann::table(&outcome) });
        return Ok(());
    }
    let modes = Mode::of(config);
    if modes.len() == 1 {
        say("embedded only: with log.kind = \"kafka\" in the configuration its servers are measured, too");
    }
    match command {
        BenchCommand::Ann(_)
        | BenchCommand::Serving(_)
        | BenchCommand::Search(_)
        | BenchCommand::Training(_) => Ok(()),
        BenchCommand::Ingest(args) => {
            let mut outcomes = Vec::new();
            for mode in modes {
                outcomes.push(ingest::run(config, mode, &args).await?);
            }
            show(args.json, outcomes, |o| o.mode, ingest_lines)
        }
        BenchCommand::Freshness(args) => {
            let mut outcomes = Vec::new();
            for mode in modes {
                outcomes.push(freshness::run(config, mode, &args).await?);
            }
            show(
                args.json,
                outcomes,
                |o| o.mode,
                |o| {
                    format!(
                        "{:<9} acknowledged → in an answer: p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms of {} events; {:.0} events/s beside",
                        o.mode.as_str(),
                        o.p50_ms,
                        o.p99_ms,
                        o.max_ms,
                        o.samples,
                        o.background_reached,
                    )
                },
            )
        }
        BenchCommand::Replay(args) => {
            let mut outcomes = Vec::new();
            for mode in modes {
                outcomes.push(replay::run(config, mode, &args).await?);
            }
            show(
                args.json,
                outcomes,
                |o| o.mode,
                |o| {
                    format!(
                        "{:<9} {} events folded into the state in {:.1} s: {:.0} events/s, {:.2} × {:.0} events/s ({})",
                        o.mode.as_str(),
                        o.events,
                        o.took_s,
                        o.events_per_s,
                        o.ratio,
                        o.peer_events_per_s,
                        o.peer,
                    )
                },
            )
        }
    }
}

fn show_one<T: Serialize>(as_json: bool, outcome: &T, text: impl Fn(&T) -> String) -> Result<()> {
    print(&if as_json { serde_json::to_string_pretty(outcome)? } else { text(outcome) });
    Ok(())
}

fn ingest_lines(o: &ingest::Outcome) -> String {
    let own = format!(
        "{:<9} {:>9.0} events/s over HTTP in batches of {}, {:.2} × {:>9.0} events/s ({}); ratio {:.2}–{:.2} over {} rounds",
        o.mode.as_str(),
        o.events_per_s,
        o.batch,
        o.ratio,
        o.peer_events_per_s,
        o.peer,
        o.spread.ratio.min,
        o.spread.ratio.max,
        o.rounds,
    );
    match &o.kafka_producer_perf_test {
        None => own,
        Some(PerfTest::LeftOut { left_out }) => {
            format!("{own}\n          Kafka's own kafka-producer-perf-test is left out: {left_out}")
        }
        Some(PerfTest::Measured { record_bytes, events_per_s, ratio, spread }) => format!(
            "{own}\n          {ratio:.2} × {events_per_s:>9.0} events/s (Kafka's own kafka-producer-perf-test, {record_bytes} bytes a \
             record, no keys); ratio {:.2}–{:.2}; the target is half of the bare rdkafka producer",
            spread.ratio.min, spread.ratio.max,
        ),
    }
}

/// One text for each mode, or one object with a member for each.
fn show<T: Serialize>(
    as_json: bool,
    outcomes: Vec<T>,
    mode: impl Fn(&T) -> Mode,
    line: impl Fn(&T) -> String,
) -> Result<()> {
    if as_json {
        let by_mode: BTreeMap<&str, &T> = outcomes.iter().map(|o| (mode(o).as_str(), o)).collect();
        print(&serde_json::to_string_pretty(&by_mode)?);
    } else {
        outcomes.iter().for_each(|outcome| print(&line(outcome)));
    }
    Ok(())
}
