//! Linear autoencoders: a person's scores are the history times a matrix of item weights, `score = x·B`.
//!
//! SLIM, EASE, EDLAE and the closed forms for sequences are all of this kind and differ in how `B` was fitted. Weights
//! have signs: an item may speak against another, which no similarity does.

#[cfg(test)]
mod tests;

use ndarray::Array2;
use serde::{Deserialize, Serialize};
use waggle_model::ItemIdx;

use crate::{ItemScorer, Query, RecommendError, linalg};

/// How a history becomes the row `x`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LinearScoring {
    /// `τ`: an item that `n` others followed counts `e^(−n/τ)`. `None`: the order of the history does not matter.
    pub steps: Option<f32>,
}

/// `B`: row `i` is what item `i` says about every other.
#[derive(Debug, Clone, PartialEq)]
pub enum ItemWeights {
    /// `[n_items, n_items]`, row-major.
    Dense(Array2<f32>),
    Sparse(SparseWeights),
}

/// Compressed rows: item `i` speaks of `targets[indptr[i]..indptr[i + 1]]`, which ascend.
#[derive(Debug, Clone, PartialEq)]
pub struct SparseWeights {
    indptr: Vec<usize>,
    targets: Vec<ItemIdx>,
    weights: Vec<f32>,
}

/// A fitted linear autoencoder.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearAutoencoder {
    name: String,
    weights: ItemWeights,
    scoring: LinearScoring,
}

/// Why arrays are not the weights of a linear autoencoder.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LinearError {
    #[error("item weights are {rows} by {columns}, they must be square")]
    Shape { rows: usize, columns: usize },
    #[error(
        "row pointers must start at 0, never fall, and end at the {n_entries} entries; they do not at {at}"
    )]
    Pointers { at: usize, n_entries: usize },
    #[error("{n_targets} targets have {n_weights} weights")]
    Lengths { n_targets: usize, n_weights: usize },
    #[error("targets of item {of} must ascend and be below {n_items}")]
    Targets { of: usize, n_items: usize },
    #[error("a weight of item {of} is {got}, it must be finite")]
    Weight { of: usize, got: f32 },
    #[error("steps are {0}, they must be greater than 0")]
    Steps(f32),
}

impl SparseWeights {
    /// # Errors
    /// [`LinearError`] says what is wrong with the arrays.
    pub fn try_new(
        indptr: Vec<usize>,
        targets: Vec<ItemIdx>,
        weights: Vec<f32>,
    ) -> Result<Self, LinearError> {
        let n_entries = targets.len();
        if n_entries != weights.len() {
            return Err(LinearError::Lengths { n_targets: n_entries, n_weights: weights.len() });
        }
        if indptr.first() != Some(&0) {
            return Err(LinearError::Pointers { at: 0, n_entries });
        }
        if let Some(at) = indptr.windows(2).position(|pair| pair[0] > pair[1]) {
            return Err(LinearError::Pointers { at, n_entries });
        }
        if indptr.last() != Some(&n_entries) {
            return Err(LinearError::Pointers { at: indptr.len() - 1, n_entries });
        }
        let sparse = Self { indptr, targets, weights };
        (0..sparse.n_items()).try_for_each(|of| sparse.check_row(of))?;
        Ok(sparse)
    }

    fn check_row(&self, of: usize) -> Result<(), LinearError> {
        let n_items = self.n_items();
        let (targets, weights) = self.row(of);
        if let Some(&got) = weights.iter().find(|weight| !weight.is_finite()) {
            return Err(LinearError::Weight { of, got });
        }
        let ascend = targets.windows(2).all(|pair| pair[0] < pair[1]);
        if !ascend || targets.last().is_some_and(|last| last.row() >= n_items) {
            return Err(LinearError::Targets { of, n_items });
        }
        Ok(())
    }

    pub fn n_items(&self) -> usize {
        self.indptr.len() - 1
    }

    pub fn n_entries(&self) -> usize {
        self.targets.len()
    }

    /// What item `of` speaks of, and its weights.
    ///
    /// # Panics
    /// If there is no such item.
    pub fn row(&self, of: usize) -> (&[ItemIdx], &[f32]) {
        let places = self.indptr[of]..self.indptr[of + 1];
        (&self.targets[places.clone()], &self.weights[places])
    }
}

impl ItemWeights {
    fn n_items(&self) -> usize {
        match self {
            Self::Dense(weights) => weights.nrows(),
            Self::Sparse(weights) => weights.n_items(),
        }
    }

    /// `scores += weight · B[of]`.
    fn add_row(&self, of: usize, weight: f32, scores: &mut [f32]) {
        match self {
            Self::Dense(weights) => {
                let row = weights.row(of);
                linalg::add_weighted_rows(row.as_slice().expect("stored row-major"), &[weight], scores);
            }
            Self::Sparse(sparse) => {
                let (targets, weights) = sparse.row(of);
                for (target, own) in targets.iter().zip(weights) {
                    scores[target.row()] += weight * own;
                }
            }
        }
    }
}

impl LinearAutoencoder {
    /// `name` is the one in tables, such as `ease`.
    ///
    /// # Errors
    /// [`LinearError`] where weights are not square or not finite, or `steps` are out of range.
    pub fn try_new(
        name: impl Into<String>,
        weights: ItemWeights,
        scoring: LinearScoring,
    ) -> Result<Self, LinearError> {
        if let ItemWeights::Dense(dense) = &weights {
            let (rows, columns) = dense.dim();
            if rows != columns || !dense.is_standard_layout() {
                return Err(LinearError::Shape { rows, columns });
            }
            for (of, row) in dense.outer_iter().enumerate() {
                if let Some(&got) = row.iter().find(|weight| !weight.is_finite()) {
                    return Err(LinearError::Weight { of, got });
                }
            }
        }
        match scoring.steps {
            Some(steps) if steps.is_nan() || steps <= 0.0 => Err(LinearError::Steps(steps)),
            _ => Ok(Self { name: name.into(), weights, scoring }),
        }
    }

    pub fn weights(&self) -> &ItemWeights {
        &self.weights
    }

    pub fn scoring(&self) -> &LinearScoring {
        &self.scoring
    }
}

impl ItemScorer for LinearAutoencoder {
    fn name(&self) -> &str {
        &self.name
    }

    fn n_items(&self) -> usize {
        self.weights.n_items()
    }

    /// `score(j) = Σ_{i∈history} weight_i · e^(−later_i/τ) · B_ij`; no opinion on anything for a person without history.
    fn score_items(&self, query: &Query<'_>, scores: &mut [f32]) -> Result<(), RecommendError> {
        let n_items = self.weights.n_items();
        let history = query.history;
        if let Some(entry) = history.iter().find(|entry| entry.item.row() >= n_items) {
            return Err(RecommendError::UnknownItem { row: entry.item.row(), n_items });
        }
        scores.fill(if history.is_empty() { f32::NEG_INFINITY } else { 0.0 });
        for (entry, n_later) in history.iter().rev().zip(0_u32..) {
            let recency = self.scoring.steps.map_or(1.0, |steps| (-(n_later as f32) / steps).exp());
            self.weights.add_row(entry.item.row(), entry.weight * recency, scores);
        }
        Ok(())
    }
}
