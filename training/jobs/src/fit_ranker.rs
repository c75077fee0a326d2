//! Fits the ranker: logistic regression by L-BFGS on standardised features.
//!
//! Pointwise log-loss over candidates with labels, negatives sampled (the caller says at what rate, the intercept is
//! corrected for it: King and Zeng, "Logistic regression in rare events data", 2001, section 4.1).

use anyhow::{Context as _, ensure};
use linfa::{DatasetBase, traits::Fit as _};
use linfa_logistic::LogisticRegression;
use ndarray::{Array1, Array2, ShapeBuilder as _};
use waggle_features::FEATURES;
use waggle_models::Ranker;

use crate::examples::Question;

/// Candidates with their labels.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    /// `[n, n_features]`, row-major.
    pub values: Vec<f32>,
    pub labels: Vec<bool>,
}

impl Rows {
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}

/// Settings of one fit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RankerFit {
    /// L2 on the weights of standardised features, as a share of the number of rows.
    pub l2: f64,
    pub max_iterations: u64,
    /// Share of the negatives that the rows hold.
    pub negative_rate: f64,
}

/// The weights that minimise log-loss and L2 over the rows, each candidate weighing the same.
///
/// # Errors
/// If the rows do not hold both labels, or the optimisation fails.
pub fn fit_ranker(rows: &Rows, fit: &RankerFit) -> anyhow::Result<Ranker> {
    let n_features = FEATURES.len();
    let n_positive = rows.labels.iter().filter(|label| **label).count();
    ensure!(rows.values.len() == rows.len() * n_features, "rows and labels of the ranker differ in number");
    ensure!(n_positive > 0 && n_positive < rows.len(), "the ranker needs candidates of both labels");
    let (means, scales) = moments(&rows.values, n_features);
    // Column after column: linfa multiplies by the transpose once per step, and walks memory in order that way.
    let n = rows.len();
    let mut columns = Vec::with_capacity(n * n_features);
    for (feature, (mean, scale)) in means.iter().zip(&scales).enumerate() {
        let column = rows.values.iter().skip(feature).step_by(n_features);
        columns.extend(column.map(|value| (f64::from(*value) - mean) / scale));
    }
    let records =
        Array2::from_shape_vec((n, n_features).f(), columns).context("rows of the ranker form a matrix")?;
    let dataset = DatasetBase::new(records, Array1::from_vec(rows.labels.clone()));
    let fitted = LogisticRegression::default()
        .alpha(fit.l2 * rows.len() as f64)
        .max_iterations(fit.max_iterations)
        .gradient_tolerance(1e-4 * rows.len() as f64)
        .fit(&dataset)
        .context("the ranker's logistic regression failed")?;
    // linfa calls the commoner label positive, whatever it means.
    let sign = if fitted.labels().pos.class { 1.0 } else { -1.0 };
    let intercept = sign * fitted.intercept() + fit.negative_rate.ln();
    let ranker = Ranker {
        feature_names: FEATURES.iter().map(|feature| feature.name.to_owned()).collect(),
        means: means.iter().map(|mean| *mean as f32).collect(),
        scales: scales.iter().map(|scale| *scale as f32).collect(),
        weights: fitted.params().iter().map(|weight| (sign * weight) as f32).collect(),
        intercept: intercept as f32,
    };
    ranker.validate().context("the fitted ranker is unusable")?;
    Ok(ranker)
}

/// Mean NDCG@k of the ranker's lists over the questions with a truth; what no source proposed counts as missed.
pub fn mean_ndcg(ranker: &Ranker, questions: &[&Question], k: usize) -> f64 {
    let n_features = FEATURES.len();
    let (mut sum, mut n) = (0.0, 0_usize);
    for question in questions.iter().filter(|question| question.n_truth > 0) {
        let scores = question.values.chunks_exact(n_features).map(|row| ranker.score(row));
        let mut ranked: Vec<(f32, bool)> = scores.zip(question.labels.iter().copied()).collect();
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
        let gain = |rank: usize| 1.0 / (rank as f64 + 2.0).log2();
        let gained: f64 =
            ranked.iter().take(k).enumerate().filter(|(_, r)| r.1).map(|(rank, _)| gain(rank)).sum();
        sum += gained / (0..question.n_truth.min(k)).map(gain).sum::<f64>();
        n += 1;
    }
    if n == 0 { 0.0 } else { sum / n as f64 }
}

/// Mean and standard deviation per feature; the deviation of a constant is 1, so that its weight stays 0.
fn moments(values: &[f32], n_features: usize) -> (Vec<f64>, Vec<f64>) {
    let n = (values.len() / n_features).max(1) as f64;
    let mut means = vec![0.0; n_features];
    for row in values.chunks_exact(n_features) {
        for (mean, value) in means.iter_mut().zip(row) {
            *mean += f64::from(*value) / n;
        }
    }
    let mut variances = vec![0.0; n_features];
    for row in values.chunks_exact(n_features) {
        for ((variance, mean), value) in variances.iter_mut().zip(&means).zip(row) {
            *variance += (f64::from(*value) - mean).powi(2) / n;
        }
    }
    let scales = variances.iter().map(|v: &f64| if *v > 1e-12 { v.sqrt() } else { 1.0 }).collect();
    (means, scales)
}

#[cfg(test)]
mod tests;
