//! iALS over ever more pairs, each in a process of its own, so that the most memory it held is its own.

use std::{path::Path, process::Command, time::Instant};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use waggle_datasets::ItemLists;
use waggle_jobs::{fit::Interactions, fit::fit_als, progress::peak_bytes};
use waggle_models::AlsParams;

use super::{Bench, Case, sets::simulated_files};
use crate::cli::BenchTrainingArgs;

/// What a process of its own says.
#[derive(Deserialize)]
struct Said {
    cases: Vec<Measured>,
}

#[derive(Deserialize)]
struct Measured {
    n_pairs: usize,
    fit_s: f64,
    peak_bytes: Option<u64>,
    data_bytes: Option<u64>,
    factor_bytes: Option<u64>,
}

/// Every size.
pub(super) fn measure(bench: &Bench<'_>) -> Result<Vec<Case>> {
    let args = bench.args;
    let n_factors = args.factors.first().context("--factors names none")?;
    let files = simulated_files(bench, &args.scale)?;
    let mut cases = Vec::new();
    for (file, size) in files.iter().zip(&args.scale) {
        bench.steps.begin(&format!("ials {size} pairs"), 0);
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["bench", "training", "--json", "--settings", &args.settings, "--child"]).arg(file);
        command.arg("--seed").arg(args.seed.to_string());
        command.arg("--factors").arg(n_factors.to_string());
        let output = command.output().context("a process of its own cannot be started")?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}: {}", output.status, error.trim());
        let said: Said = serde_json::from_slice(&output.stdout).context("its figures cannot be read")?;
        let measured = said.cases.first().context("it measured nothing")?;
        bench.steps.finish("");
        cases.push(Case {
            case: format!("ials-{n_factors}"),
            set: "simulated".to_owned(),
            n_pairs: measured.n_pairs,
            rounds: 1,
            fit_s: measured.fit_s,
            settings: serde_json::from_str(&args.settings)?,
            peak_bytes: measured.peak_bytes,
            data_bytes: measured.data_bytes,
            factor_bytes: measured.factor_bytes,
            ..Case::default()
        });
    }
    Ok(cases)
}

/// Reads a file of lists and fits.
pub(super) fn fit_file(file: &Path, args: &BenchTrainingArgs) -> Result<Case> {
    let train = {
        let lists = ItemLists::read(file)?;
        let n_items = lists.n_items();
        let histories: Vec<&[u32]> = lists.of_users.values().map(Vec::as_slice).collect();
        Interactions::from_histories(n_items, histories.iter().copied())?
    };
    let settings: AlsParams =
        serde_json::from_str(&args.settings).context("--settings are of another model")?;
    let n_factors = args.factors.first().copied().unwrap_or(settings.n_factors);
    let params = AlsParams { n_factors, ..settings };
    let started = Instant::now();
    fit_als(&train, &params, args.seed, &|_, _| {})?;
    let fit_s = started.elapsed().as_secs_f64();
    let n_rows = train.n_users() + train.n_items();
    Ok(Case {
        case: format!("ials-{n_factors}"),
        set: "simulated".to_owned(),
        n_pairs: train.len(),
        fit_s,
        settings: serde_json::to_value(&params)?,
        peak_bytes: peak_bytes(),
        data_bytes: Some(train.size_bytes() as u64),
        factor_bytes: Some((n_rows * n_factors * size_of::<f32>()) as u64),
        ..Case::default()
    })
}
