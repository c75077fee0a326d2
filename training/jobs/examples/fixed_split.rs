//! Fits iALS and item-item on a fixed split in the `LightGCN` form and prints quality and speed.
//!
//! ```sh
//! cargo run --release -p waggle-jobs --example fixed_split -- $WAGGLE_DATA_DIR/gowalla 128
//! ```
//!
//! The folder holds `train.txt.gz` and `test.txt.gz`, one line `user item item …` per user. Training items are never
//! recommended back. Published on Gowalla at 128 factors by `implicit`: recall@20 0.1615, ndcg@20 0.1373.

use std::{
    fs::File,
    io::{BufRead, BufReader, Write},
    path::Path,
    time::Instant,
};

use anyhow::Context;
use waggle_evaluation::{Case, evaluate};
use waggle_jobs::fit::{Interactions, ItemItemParams, Triple, fit_als, fit_item_item};
use waggle_model::{ItemIdx, Timestamp};
use waggle_models::{AlsParams, Recommender};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let folder = Path::new(arguments.first().context("the first argument is the folder of the split")?);
    let n_factors =
        arguments.get(1).map_or(Ok(64), |text| text.parse()).context("the second is n_factors")?;
    let setting = |at: usize, default: f32| arguments.get(at).map_or(Ok(default), |text| text.parse::<f32>());

    let train = read(&folder.join("train.txt.gz"))?;
    let test = read(&folder.join("test.txt.gz"))?;
    let n_users = train.iter().chain(&test).map(|row| row.0 as usize + 1).max().unwrap_or(0);
    let n_items =
        train.iter().chain(&test).flat_map(|row| &row.1).map(|item| item.row() + 1).max().unwrap_or(0);
    let triples = train
        .iter()
        .flat_map(|(user, items)| {
            items.iter().map(|&item| Triple { user: *user, item, weight: 1.0, time: Timestamp::default() })
        })
        .collect();
    let interactions = Interactions::from_triples(n_users, n_items, triples)?;
    let cases: Vec<Case> =
        test.into_iter().map(|(user, truth)| case(&interactions, user as usize, truth)).collect();
    say(&format!("{n_users} users, {n_items} items, {} pairs, {} cases", interactions.len(), cases.len()))?;

    let params = AlsParams {
        n_factors,
        unobserved_weight: setting(2, 0.1)?,
        regularization: setting(3, 0.003)?,
        n_iterations: setting(4, 16.0)? as usize,
        ..AlsParams::default()
    };
    let started = Instant::now();
    let als = fit_als(&interactions, &params, 1, &|_, _| {})?;
    let seconds = started.elapsed().as_secs_f64();
    report(
        &als,
        &cases,
        n_items,
        &format!("{:.3} s per iteration", seconds / params.n_iterations.max(1) as f64),
    )?;

    for (label, params) in [
        ("damped cosine", ItemItemParams::default()),
        (
            "Turbo-CF filter",
            ItemItemParams {
                n_neighbours: 400,
                history_exponent: 1.2,
                source_exponent: 0.4,
                target_exponent: 0.4,
                power: 0.7,
                shrink: 0.0,
                ..ItemItemParams::default()
            },
        ),
    ] {
        let started = Instant::now();
        let model = fit_item_item(&interactions, &params)?;
        report(
            &model,
            &cases,
            n_items,
            &format!("{label}, fitted in {:.2} s", started.elapsed().as_secs_f64()),
        )?;
    }
    Ok(())
}

fn case(interactions: &Interactions, user: usize, truth: Vec<ItemIdx>) -> Case {
    Case {
        person: None,
        history: interactions.history(user),
        truth,
        exclude: interactions.items(user).to_vec(),
        now: Timestamp::default(),
    }
}

fn report(model: &dyn Recommender, cases: &[Case], n_items: usize, remark: &str) -> anyhow::Result<()> {
    let started = Instant::now();
    let evaluation = evaluate(model, cases, &[20], n_items)?;
    let of = |metric: &str| evaluation.mean(metric).unwrap_or(f64::NAN);
    say(&format!(
        "{:<12} recall@20 (of truth) {:.4}  ndcg@20 {:.4}  recall@20 (of possible) {:.4}  coverage {:.3}  {remark}; evaluated in {:.1} s",
        model.name(),
        of("recall_of_truth@20"),
        of("ndcg@20"),
        of("recall@20"),
        evaluation.coverage[&20].share,
        started.elapsed().as_secs_f64(),
    ))
}

fn read(path: &Path) -> anyhow::Result<Vec<(u32, Vec<ItemIdx>)>> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut rows = Vec::new();
    for line in BufReader::new(flate2::read::GzDecoder::new(file)).lines() {
        let line = line?;
        let mut numbers = line.split_whitespace().map(str::parse::<u32>);
        let Some(user) = numbers.next() else { continue };
        let mut items = numbers.map(|n| n.map(ItemIdx)).collect::<Result<Vec<_>, _>>()?;
        items.sort_unstable();
        items.dedup();
        rows.push((user?, items));
    }
    Ok(rows)
}

fn say(line: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}
