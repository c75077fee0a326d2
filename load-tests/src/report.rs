//! What a run says: a line per second, a table at the end, and the same as JSON.

use std::{collections::BTreeMap, fs};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::{run::Outcome, tally::Tally};

/// Larger shares of late requests make a run invalid.
const MAX_LATE_SHARE: f64 = 0.01;

/// What became of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    pub(crate) scenario: &'static str,
    pub(crate) target: String,
    pub(crate) seed: u64,
    /// What was asked for: a rate, or a number of connections in a closed loop.
    pub(crate) load: String,
    pub requests: u64,
    /// Requests per second over the whole run.
    pub rate: f64,
    pub p50_ms: f64,
    pub p90_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
    pub errors: BTreeMap<String, u64>,
    /// Share of the requests that left more than 10 ms after they were meant to, 0 to 1.
    late_share: f64,
    late: BTreeMap<&'static str, u64>,
    is_valid: bool,
    /// Empty when valid.
    invalid_because: Vec<String>,
    /// Of the generator itself.
    pub cpu_us_per_request: f64,
    checked: u64,
    pub check_failures: BTreeMap<&'static str, u64>,
    connections: usize,
    connections_opened: u64,
    pub seconds: f64,
    /// Of the machine at the end: over 1, 5 and 15 minutes.
    load_average: Vec<f64>,
}

impl Report {
    pub(crate) fn new(
        scenario: &'static str,
        target: String,
        seed: u64,
        load: String,
        connections: usize,
        outcome: Outcome,
    ) -> Self {
        let Outcome { tally, took, cpu, n_opened, is_stopped } = outcome;
        let (late_share, requests) = (tally.late_share(), tally.n_requests);
        let mut invalid_because = Vec::new();
        if requests == 0 {
            invalid_because.push("no request was due in so short a run".to_owned());
        }
        if is_stopped {
            invalid_because.push("the target gave no answer for 5 seconds and was given up".to_owned());
        }
        if late_share > MAX_LATE_SHARE {
            invalid_because.push(format!(
                "{:.1} % of the requests left more than 10 ms late ({}): the latencies hold for who waited, but the \
                 target did not see the load asked for",
                100.0 * late_share,
                listed(&tally.n_late)
            ));
        }
        let n = requests.max(1) as f64;
        Self {
            scenario,
            target,
            seed,
            load,
            requests,
            rate: requests as f64 / took.as_secs_f64(),
            p50_ms: quantile_ms(&tally.latency_us, 0.5),
            p90_ms: quantile_ms(&tally.latency_us, 0.9),
            p99_ms: quantile_ms(&tally.latency_us, 0.99),
            max_ms: tally.latency_us.max() as f64 / 1e3,
            errors: tally.errors,
            late_share,
            late: tally.n_late,
            is_valid: invalid_because.is_empty(),
            invalid_because,
            cpu_us_per_request: cpu.as_secs_f64() * 1e6 / n,
            checked: tally.n_checked,
            check_failures: tally.check_failures,
            connections,
            connections_opened: n_opened,
            seconds: took.as_secs_f64(),
            load_average: load_average(),
        }
    }

    /// Whether the schedule was kept, each request answered as expected, and each checked answer right.
    pub fn is_good(&self) -> bool {
        self.is_valid && self.errors.is_empty() && self.check_failures.is_empty()
    }

    pub fn print(&self) {
        let none_or = |text: String| if text.is_empty() { "none".to_owned() } else { text };
        let ms = |ms: f64| format!("{ms:.2} ms");
        println!("\n{} on {}, {}, seed {}", self.scenario, self.target, self.load, self.seed);
        for (name, value) in [
            ("requests", format!("{} in {:.1} s: {:.1}/s", self.requests, self.seconds, self.rate)),
            ("latency p50", ms(self.p50_ms)),
            ("latency p90", ms(self.p90_ms)),
            ("latency p99", ms(self.p99_ms)),
            ("latency max", ms(self.max_ms)),
            ("errors", none_or(listed(&self.errors))),
            ("checked", format!("{}, wrong: {}", self.checked, none_or(listed(&self.check_failures)))),
            ("sent late", format!("{:.3} %", 100.0 * self.late_share)),
            ("connections", format!("{}, opened {}", self.connections, self.connections_opened)),
            ("generator", format!("{:.1} µs of processor per request", self.cpu_us_per_request)),
            ("load average", format!("{:?}", self.load_average)),
        ] {
            println!("  {name:<14}{value}");
        }
        for reason in &self.invalid_because {
            println!("  INVALID: {reason}");
        }
    }
}

pub(crate) fn print_second(second: u32, n_of_second: u64, tally: &Tally) {
    println!(
        "{second:>5} s  sent {:>9}  {n_of_second:>7}/s  p50 {:>8.2} ms  p99 {:>8.2} ms  errors {}",
        tally.n_requests,
        quantile_ms(&tally.second, 0.5),
        quantile_ms(&tally.second, 0.99),
        tally.n_errors()
    );
}

fn load_average() -> Vec<f64> {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_ascii_whitespace().take(3).filter_map(|n| n.parse().ok()).collect()
}

fn quantile_ms(histogram: &Histogram<u64>, q: f64) -> f64 {
    histogram.value_at_quantile(q) as f64 / 1e3
}

fn listed<K: AsRef<str>>(counts: &BTreeMap<K, u64>) -> String {
    let parts: Vec<_> = counts.iter().map(|(kind, n)| format!("{n} × {}", kind.as_ref())).collect();
    parts.join(", ")
}
