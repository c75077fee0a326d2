//! A model, fitted on a split and asked about everybody, over the whole catalogue.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, time::Instant};

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::Value;
use waggle_evaluation::{
    Bootstrap, Evaluation, Interval, Slice, Touched, by_activity, by_item_age, evaluate,
};

use super::{
    SingleModel, Split,
    plots::{LearningPoint, Plots, item_map, learning_curve},
};
use crate::progress::{Progress, peak_bytes};

/// Cut-offs of the published tables.
const CUTOFFS: [usize; 2] = [20, 10];
/// Of people by activity.
const N_GROUPS: usize = 5;
/// Of the curve of the long tail.
const TAIL_POINTS: usize = 100;

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub struct SplitReport {
    pub protocol: &'static str,
    pub model: String,
    /// As the fit took them.
    pub settings: Value,
    pub seed: u64,
    pub n_users: usize,
    pub n_items: usize,
    pub n_train: usize,
    pub n_test: usize,
    pub n_overlap: usize,
    /// Users with anything to be asked about; means are over them.
    pub n_cases: usize,
    /// `hits/|truth|`, as the tables of `LightGCN` have it.
    pub recall_at_20: f64,
    /// `hits/min(20, |truth|)`, as those of Mult-VAE have it.
    pub recall_of_possible_at_20: f64,
    pub ndcg_at_20: f64,
    pub hr_at_10: f64,
    pub ndcg_at_10: f64,
    /// Mean average precision.
    pub map_at_20: f64,
    /// Different items among everybody's first 20, as a share of the catalogue.
    pub coverage_at_20: f64,
    /// Bits: see [`Touched::novelty`].
    pub novelty_at_20: Option<f64>,
    /// See [`Touched::popularity_share`].
    pub popularity_share_at_20: Option<f64>,
    /// 95 % intervals of the figures above, over users.
    pub intervals: BTreeMap<&'static str, (f64, f64)>,
    /// People by how much is known of them, the least active first.
    pub by_activity: Vec<Slice>,
    /// What people chose among cold items, and among the others.
    pub by_item_age: Vec<Slice>,
    /// Where they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plots: Option<Plots>,
    pub fit_s: f64,
    pub evaluate_s: f64,
    /// Most memory that the process has held so far, reading included; `None` where the system does not say.
    pub peak_bytes: Option<u64>,
}

/// Fits the model and asks it about everybody. Plots take another two and a half fits or so.
///
/// # Errors
/// As [`SingleModel::fit`], or when the model fails on a case.
pub fn evaluate_split(
    split: &Split,
    model: SingleModel,
    settings: &Value,
    seed: u64,
    with_plots: bool,
    progress: &dyn Progress,
) -> Result<SplitReport> {
    let settings = model.settings(settings)?;
    let started = Instant::now();
    let fitted = model.fit(&split.train, split.content.as_ref(), &settings, seed, progress)?;
    let fit_s = started.elapsed().as_secs_f64();
    progress.report("fit", 1, 1);
    let started = Instant::now();
    let evaluation = evaluate(&split.restricted(&fitted), &split.cases, &CUTOFFS, split.n_candidates())?;
    let evaluate_s = started.elapsed().as_secs_f64();
    let bootstrap = Bootstrap { seed, ..Bootstrap::default() };
    let intervals = bootstrap.intervals(&evaluation)?;
    let of = |metric: &str| interval(&evaluation, &intervals, metric);
    let figures = [
        ("recall_at_20", of("recall_of_truth@20")?),
        ("recall_of_possible_at_20", of("recall@20")?),
        ("ndcg_at_20", of("ndcg@20")?),
        ("hr_at_10", of("hit_rate@10")?),
        ("ndcg_at_10", of("ndcg@10")?),
        ("map_at_20", of("map@20")?),
    ];
    let counts = split.train.item_counts();
    let touched = Touched { counts: &counts, n_users: split.train.n_users() };
    progress.report("evaluation", 1, 1);
    let plots = if with_plots {
        let long_tail = touched.long_tail(&evaluation.lists, CUTOFFS[0], TAIL_POINTS);
        let last = LearningPoint { share: 1.0, n_pairs: split.train.len(), ndcg_at_20: of("ndcg@20")?.value };
        let learning_curve = learning_curve(split, model, &settings, seed, last, progress)?;
        Some(Plots { long_tail, learning_curve, item_map: item_map(&split.train, seed)? })
    } else {
        None
    };
    let [recall, recall_of_possible, ndcg_20, hr_10, ndcg_10, map_20] =
        figures.map(|(_, figure)| figure.value);
    Ok(SplitReport {
        protocol: split.protocol,
        model: model.name(&*fitted),
        settings,
        seed,
        n_users: split.train.n_users(),
        n_items: split.train.n_items(),
        n_train: split.train.len(),
        n_test: split.n_test,
        n_overlap: split.n_overlap,
        n_cases: split.cases.len(),
        recall_at_20: recall,
        recall_of_possible_at_20: recall_of_possible,
        ndcg_at_20: ndcg_20,
        hr_at_10: hr_10,
        ndcg_at_10: ndcg_10,
        map_at_20: map_20,
        coverage_at_20: evaluation.coverage.get(&CUTOFFS[0]).map_or(0.0, |coverage| coverage.share),
        novelty_at_20: touched.novelty(&evaluation.lists, CUTOFFS[0]),
        popularity_share_at_20: touched.popularity_share(&evaluation.lists, CUTOFFS[0]),
        by_activity: by_activity(&evaluation, &split.cases, N_GROUPS, &bootstrap)?,
        by_item_age: by_item_age(&evaluation, &split.cases, &counts, &bootstrap)?,
        plots,
        intervals: figures.map(|(name, figure)| (name, (figure.low, figure.high))).into(),
        fit_s,
        evaluate_s,
        peak_bytes: peak_bytes(),
    })
}

fn interval(evaluation: &Evaluation, intervals: &[Interval], metric: &str) -> Result<Interval> {
    let at = evaluation.metrics.iter().position(|name| name == metric);
    at.and_then(|at| intervals.get(at)).copied().with_context(|| format!("{metric} was not evaluated"))
}
