//! What a report shows besides its figures.

#[cfg(test)]
mod tests;

use anyhow::{Context as _, Result};
use linfa::{
    dataset::DatasetBase,
    traits::{Fit as _, Predict as _},
};
use linfa_reduction::Pca;
use ndarray::{Array2, Axis};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use serde_json::Value;
use waggle_evaluation::{TailPoint, evaluate};
use waggle_models::AlsParams;

use super::{SingleModel, Split};
use crate::{
    Progress, Silent,
    fit::{Interactions, fit_als},
    models::ModelParams,
};

/// Curves and a map.
#[derive(Debug, Clone, Serialize)]
pub struct Plots {
    /// Items from the most touched on, against what is recommended.
    pub long_tail: Vec<TailPoint>,
    /// By the share of the users that is learned from.
    pub learning_curve: Vec<LearningPoint>,
    /// The most touched items, those that are touched together near each other.
    pub item_map: Vec<MapPoint>,
}

/// The same people asked by a model that learned from a part of all users.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LearningPoint {
    pub share: f64,
    pub n_pairs: usize,
    pub ndcg_at_20: f64,
}

/// An item on the map.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MapPoint {
    pub item: u32,
    pub x: f64,
    pub y: f64,
    /// Users who touched it.
    pub count: usize,
}

/// Shares of the users that are learned from, before all of them are.
const SHARES: [f64; 4] = [0.1, 0.25, 0.5, 0.75];
/// Items on the map; more would be a blot.
const MAX_MAPPED: usize = 3_000;

/// Fits the model on ever more of the users, drawn by `seed`, those before always among them. `last` is the fit on all of them.
///
/// # Errors
/// As [`SingleModel::fit`], or when the model fails on a case.
pub(super) fn learning_curve(
    split: &Split,
    model: SingleModel,
    settings: &Value,
    seed: u64,
    last: LearningPoint,
    progress: &dyn Progress,
) -> Result<Vec<LearningPoint>> {
    let mut users: Vec<usize> =
        (0..split.train.n_users()).filter(|&user| !split.train.items(user).is_empty()).collect();
    users.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    let mut points = Vec::new();
    for (done, share) in (1..).zip(SHARES) {
        let mut some = users[..(users.len() as f64 * share) as usize].to_vec();
        if some.is_empty() {
            continue;
        }
        some.sort_unstable();
        let part = split.train.of_users(&some);
        let fitted = model.fit(&part, split.content.as_ref(), settings, seed, &Silent)?;
        let evaluation = evaluate(&split.restricted(&fitted), &split.cases, &[20], split.n_candidates())?;
        let ndcg_at_20 = evaluation.mean("ndcg@20").context("nobody was asked")?;
        points.push(LearningPoint { share, n_pairs: part.len(), ndcg_at_20 });
        progress.report("learning curve", done, SHARES.len());
    }
    points.push(last);
    Ok(points)
}

/// The two main axes of the items' factors by iALS (32 of them at most, of length 1), by principal component analysis.
///
/// # Errors
/// If there is nothing to learn from, or too little to see axes in.
pub(super) fn item_map(train: &Interactions, seed: u64) -> Result<Vec<MapPoint>> {
    // With as many factors as items every item would have an axis of its own.
    let n_factors = (train.n_items() / 8).clamp(2, 32);
    let params = AlsParams { n_factors, n_iterations: 6, ..ModelParams::default().als_for(train) };
    let als = fit_als(train, &params, seed, &|_, _| {}).context("the map of items")?;
    let counts = train.item_counts();
    let mut items: Vec<usize> = (0..counts.len()).filter(|&item| counts[item] > 0).collect();
    items.sort_by_key(|&item| std::cmp::Reverse(counts[item]));
    items.truncate(MAX_MAPPED);
    let mut factors = als.item_factors().select(Axis(0), &items).mapv(f64::from);
    for mut row in factors.outer_iter_mut() {
        let length = row.dot(&row).sqrt();
        row /= length.max(f64::MIN_POSITIVE);
    }
    let places = principal_axes(factors)?;
    let points = items.iter().zip(places.outer_iter());
    Ok(points
        .map(|(&item, place)| MapPoint { item: item as u32, x: place[0], y: place[1], count: counts[item] })
        .collect())
}

/// `[n, 2]`; zeros where there are too few rows to have two axes.
fn principal_axes(rows: Array2<f64>) -> Result<Array2<f64>> {
    if rows.nrows() < 3 {
        return Ok(Array2::zeros((rows.nrows(), 2)));
    }
    let dataset = DatasetBase::from(rows);
    let axes = Pca::params(2).fit(&dataset).context("the main axes of the items")?;
    Ok(axes.predict(dataset.records()))
}
