//! Trains and prints what the run reached: `cargo run --release -p waggle-jobs --example train`.
//!
//! Finds Online Retail II in `$WAGGLE_DATA_DIR/online-retail`. With a number as argument, the last so many days are left
//! out: settings are compared on such an earlier window, never on the last one. `sim:60000:20000` as argument simulates a
//! market of so many items and people instead. Settings come as JSON in a second argument, for example
//! `{"models":{"als":{"n_factors":32}}}`; what it leaves out keeps its default.

use std::{path::PathBuf, time::Instant};

use anyhow::{Context as _, Result};
use waggle_jobs::{Progress, TrainParams, TrainingInput, train};
use waggle_model::Timestamp;
use waggle_simulator::{Market, SimulatorParams};

#[expect(clippy::print_stdout, reason = "an example prints")]
fn main() -> Result<()> {
    let days_or_market = std::env::args().nth(1).unwrap_or_else(|| "0".to_owned());
    let params: TrainParams =
        std::env::args().nth(2).map_or(Ok(TrainParams::default()), |json| serde_json::from_str(&json))?;
    let input = match days_or_market.strip_prefix("sim:") {
        Some(size) => simulated(size)?,
        None => online_retail(days_or_market.parse()?)?,
    };

    let steps = Steps { started: Instant::now() };
    let trained = train(&input, &params, Timestamp::now(), &steps)?;
    println!("trained in {:.1} s", steps.started.elapsed().as_secs_f64());
    println!("gate: {} ({})", if trained.gate.is_passed { "passed" } else { "failed" }, trained.gate.reason);
    for note in &trained.notes {
        println!("note: {note}");
    }
    if let Some(report) = &trained.evaluation {
        let metrics = ["ndcg@10", "recall@10", "hit_rate@10", "ndcg@20", "recall@20", "hit_rate@20"];
        println!("\n{}\n{}", report.all_items.to_table(&metrics), report.new_to_person.to_table(&metrics));
        for table in [&report.next_items, &report.cold].into_iter().flatten() {
            println!("{}", table.to_table(&metrics));
        }
        println!(
            "two-stage − {}: {:?}\ntwo-stage − {} (new to the person): {:?}",
            report.best_other,
            report.two_stage_vs_best_other,
            report.best_other_new_to_person,
            report.two_stage_vs_best_other_new_to_person
        );
        println!("L2 {}\n{:#?}", report.ranker_l2, report.clicks);
    }
    if let Some(ranker) = &trained.snapshot.ranker {
        let mut weights: Vec<_> = ranker.feature_names.iter().zip(&ranker.weights).collect();
        weights.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()));
        for (name, weight) in weights {
            println!("{weight:+.3}  {name}");
        }
    }
    Ok(())
}

fn online_retail(days_off: i64) -> Result<TrainingInput> {
    #[expect(clippy::disallowed_methods, reason = "an example has no configuration")]
    let dir = std::env::var("WAGGLE_DATA_DIR").context("WAGGLE_DATA_DIR is not set")?;
    let dataset =
        waggle_datasets::online_retail::read(&PathBuf::from(dir).join("online-retail"), &|_, _| {})?;
    let mut input = TrainingInput { events: dataset.events, items: dataset.items };
    if let Some(newest) = input.events.last().map(|event| event.timestamp) {
        let until = newest.shifted_by_millis(-days_off * 86_400_000);
        input.events.retain(|event| event.timestamp <= until);
    }
    Ok(input)
}

/// `size` is `ITEMS:USERS`.
fn simulated(size: &str) -> Result<TrainingInput> {
    let (items, users) = size.split_once(':').context("the market's size is ITEMS:USERS")?;
    let (n_items, n_users) = (items.parse()?, users.parse()?);
    let market = Market::new(SimulatorParams { n_items, n_users, ..SimulatorParams::default() })?;
    let end = Timestamp::now();
    Ok(TrainingInput { events: market.events(end).collect(), items: market.items(end) })
}

/// Prints each step once, when it is finished.
struct Steps {
    started: Instant,
}

impl Progress for Steps {
    #[expect(clippy::print_stdout, reason = "an example prints")]
    fn report(&self, name: &'static str, done: usize, total: usize) {
        if done == total {
            println!("{:6.1} s  {name}", self.started.elapsed().as_secs_f64());
        }
    }
}
