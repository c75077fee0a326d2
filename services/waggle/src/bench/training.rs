//! How long models take to fit, and how much memory: iALS beside implicit, the inverse of EASE beside scipy's LAPACK, both in
//! the same run on the same pairs; Turbo-CF; and iALS over ever more pairs.

mod closed_forms;
mod factorisation;
mod peers;
mod scale;
mod sets;

use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;
use waggle_evaluation::{Case as Asked, evaluate};
use waggle_models::Recommender;

use self::sets::Set;
use super::Spread;
use crate::{
    cli::{BenchTrainingArgs, BenchTrainingCase},
    config::Config,
    progress::{Steps, say},
};

/// Of the published tables.
const CUTOFF: usize = 20;
/// People who are asked for; more would hardly change a mean.
const MAX_ASKED: usize = 6_000;

/// What the run came to.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) seed: u64,
    pub(crate) threads: usize,
    pub(crate) cases: Vec<Case>,
    /// What was not measured, and why.
    pub(crate) left_out: Vec<String>,
}

/// One model on one set, beside a peer where there is one.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Case {
    pub(crate) case: String,
    pub(crate) set: String,
    pub(crate) n_pairs: usize,
    /// Fits; each beside one of the peer, where there is one.
    pub(crate) rounds: usize,
    /// Median of the rounds.
    pub(crate) fit_s: f64,
    pub(crate) fit_spread: Option<Spread>,
    pub(crate) settings: Value,
    pub(crate) ndcg_at_20: Option<f64>,
    pub(crate) peer: Option<String>,
    pub(crate) peer_fit_s: Option<f64>,
    pub(crate) peer_fit_spread: Option<Spread>,
    pub(crate) peer_settings: Value,
    pub(crate) peer_ndcg_at_20: Option<f64>,
    /// `fit_s / peer_fit_s`, median of the rounds.
    pub(crate) ratio: Option<f64>,
    pub(crate) ratio_spread: Option<Spread>,
    /// Asking for everybody.
    pub(crate) evaluate_s: Option<f64>,
    /// Of a process that does nothing else, reading included.
    pub(crate) peak_bytes: Option<u64>,
    /// Pairs as the fit holds them once.
    pub(crate) data_bytes: Option<u64>,
    /// Of users and items.
    pub(crate) factor_bytes: Option<u64>,
}

/// Measures. Sets and the peers' Python stay in the folder `bench-training`, for the next run.
pub(crate) fn run(config: &Config, args: &BenchTrainingArgs) -> Result<Outcome> {
    if let Some(file) = &args.child {
        let case = scale::fit_file(file, args)?;
        return Ok(Outcome { cases: vec![case], ..Outcome::of(args) });
    }
    let home = args.cache.clone().unwrap_or_else(|| config.dir.join("bench-training"));
    let home = std::path::absolute(home)?;
    std::fs::create_dir_all(&home).with_context(|| format!("cannot make the folder {}", home.display()))?;
    let mut bench = Bench { args, home: &home, steps: Steps::new(), outcome: Outcome::of(args) };
    let is_wanted = |case| args.only.is_empty() || args.only.contains(&case);
    if is_wanted(BenchTrainingCase::Scale) {
        let measured = scale::measure(&bench);
        bench.keep("scale", measured);
    }
    let published = Set::published(args);
    if let Err(e) = &published {
        bench.outcome.left_out.push(format!("a published set: {e:#}"));
    }
    if let Ok(set) = &published {
        if is_wanted(BenchTrainingCase::TurboCf) {
            let measured = closed_forms::turbo_cf(&bench, set);
            bench.keep("turbo-cf", measured);
        }
        if is_wanted(BenchTrainingCase::Ials) {
            let measured = factorisation::measure(&bench, set);
            bench.keep("ials", measured);
        }
    }
    if is_wanted(BenchTrainingCase::Ials) && args.interactions > 0 {
        let measured = Set::simulated(&bench).and_then(|set| factorisation::measure(&bench, &set));
        bench.keep("ials, simulated", measured);
    }
    if let Ok(set) = &published
        && is_wanted(BenchTrainingCase::Ease)
    {
        let measured = closed_forms::ease(&bench, set);
        bench.keep("ease", measured);
    }
    Ok(bench.outcome)
}

/// What all measurements need.
struct Bench<'a> {
    args: &'a BenchTrainingArgs,
    home: &'a Path,
    steps: Steps,
    outcome: Outcome,
}

impl Bench<'_> {
    fn keep(&mut self, what: &str, measured: Result<Vec<Case>>) {
        match measured {
            Ok(cases) => self.outcome.cases.extend(cases),
            Err(e) => {
                say(&format!("  {what}: {e:#}"));
                self.outcome.left_out.push(format!("{what}: {e:#}"));
            }
        }
    }
}

impl Outcome {
    fn of(args: &BenchTrainingArgs) -> Self {
        let threads = rayon::current_num_threads();
        Self { seed: args.seed, threads, cases: Vec::new(), left_out: Vec::new() }
    }
}

impl Case {
    /// Rounds in which both were measured one after the other.
    fn with_rounds(self, own: &[f64], peer: &[f64]) -> Self {
        let ratios = own.iter().zip(peer).map(|(own, peer)| own / peer);
        let spread = |values: &[f64]| (!values.is_empty()).then(|| Spread::of(values.iter().copied()));
        let (fit, peer_fit) = (spread(own), spread(peer));
        let ratio = peer_fit.map(|_| Spread::of(ratios));
        Self {
            rounds: own.len(),
            fit_s: fit.map_or(self.fit_s, |spread| spread.median),
            fit_spread: fit,
            peer_fit_s: peer_fit.map(|spread| spread.median),
            peer_fit_spread: peer_fit,
            ratio: ratio.map(|spread| spread.median),
            ratio_spread: ratio,
            ..self
        }
    }
}

fn ndcg(model: &dyn Recommender, cases: &[Asked], n_items: usize) -> Result<f64> {
    let evaluation = evaluate(model, cases, &[CUTOFF], n_items)?;
    evaluation.mean(&format!("ndcg@{CUTOFF}")).context("nobody was asked")
}

/// For people.
pub(crate) fn text(outcome: &Outcome) -> String {
    let Outcome { seed, threads, cases, left_out } = outcome;
    let mut text = format!("{threads} threads, medians of rounds in turn, seed {seed}\n");
    for case in cases {
        text += &format!(
            "{:<12} {:<22} {:>11} pairs  {} rounds  fit {:>8.2} s",
            case.case, case.set, case.n_pairs, case.rounds, case.fit_s
        );
        if let Some(ndcg) = case.ndcg_at_20 {
            text += &format!("  NDCG@20 {ndcg:.4}");
        }
        if let Some(evaluate_s) = case.evaluate_s {
            text += &format!("  asked for everybody in {evaluate_s:.2} s");
        }
        if let (Some(peer), Some(peer_s), Some(ratio)) = (&case.peer, case.peer_fit_s, case.ratio_spread) {
            text += &format!(
                "  {:.2} × {peer} ({:.2} – {:.2}): {peer_s:.2} s",
                ratio.median, ratio.min, ratio.max
            );
        }
        if let Some(ndcg) = case.peer_ndcg_at_20 {
            text += &format!("  NDCG@20 {ndcg:.4}");
        }
        if let (Some(peak), Some(data), Some(factors)) = (case.peak_bytes, case.data_bytes, case.factor_bytes)
        {
            let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
            text += &format!(
                "  {:.2} s per million, peak {:.0} MiB = {:.2} × (data {:.0} + factors {:.0})",
                case.fit_s / (case.n_pairs as f64 / 1e6),
                mib(peak),
                peak as f64 / (data + factors) as f64,
                mib(data),
                mib(factors)
            );
        }
        text.push('\n');
    }
    for reason in left_out {
        text += &format!("left out: {reason}\n");
    }
    text.trim_end().to_owned()
}
