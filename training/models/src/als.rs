//! Implicit matrix factorisation (iALS): item factors are learned, a person's factors are *solved* from the history.
//!
//! Loss and regularisation follow Rendle, Krichene, Zhang and Koren, "Revisiting the performance of iALS on item
//! recommendation benchmarks" (2022, section 2 and 4.1):
//!
//! `Σ_{(u,i)∈S} c_ui (x_u·y_i − 1)² + α₀ Σ_u Σ_i (x_u·y_i)² + Σ_u λ_u‖x_u‖² + Σ_i λ_i‖y_i‖²`,
//! `λ_u = λ (Σ_{i∈S_u} c_ui + α₀ n_items)^ν`, `λ_i` likewise.
//!
//! Where we depart: an observation has a confidence `c` (1 in the paper), and it counts in the frequency as often as
//! it counts in the loss, so a pair of weight 2 is the same as the pair twice.

mod half_step;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};
use waggle_model::ItemIdx;

use crate::{HistoryEntry, ItemScorer, Query, RecommendError, linalg};
pub use half_step::{HalfStep, SolveBuffers, SolveError};

/// Settings of iALS.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlsParams {
    /// Length of every vector.
    pub n_factors: usize,
    /// `α₀`: weight of every cell of the matrix, seen or not, towards zero.
    pub unobserved_weight: f32,
    /// `λ`.
    pub regularization: f32,
    /// `ν`: 1 regularises in proportion to frequency, 0 regularises everybody alike.
    pub regularization_exponent: f32,
    /// Times that users and items are solved once each.
    pub n_iterations: usize,
    /// Items start from `N(0, (init_stddev/√n_factors)²)`.
    pub init_stddev: f32,
}

impl Default for AlsParams {
    fn default() -> Self {
        Self {
            n_factors: 64,
            unobserved_weight: 0.1,
            regularization: 0.003,
            regularization_exponent: 1.0,
            n_iterations: 16,
            init_stddev: 0.1,
        }
    }
}

/// Why settings or matrices are not a model.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AlsError {
    #[error("{name} is {got}, it must be {rule}")]
    Param { name: &'static str, got: f64, rule: &'static str },
    #[error("item factors have {got} columns, the settings say {expected}")]
    Shape { expected: usize, got: usize },
    #[error("item factors of row {row} are not all finite")]
    NotFinite { row: usize },
    #[error("the eigenvectors of the item factors could not be found")]
    Eigen,
}

impl AlsParams {
    /// # Errors
    /// [`AlsError::Param`] names the first setting that is out of range.
    pub fn validate(&self) -> Result<(), AlsError> {
        let check = |ok: bool, name, got: f64, rule| {
            if ok { Ok(()) } else { Err(AlsError::Param { name, got, rule }) }
        };
        check((1..=4096).contains(&self.n_factors), "n_factors", self.n_factors as f64, "from 1 to 4096")?;
        check(
            self.unobserved_weight.is_finite() && self.unobserved_weight >= 0.0,
            "unobserved_weight",
            self.unobserved_weight.into(),
            "finite and not negative",
        )?;
        check(
            self.regularization.is_finite() && self.regularization > 0.0,
            "regularization",
            self.regularization.into(),
            "finite and greater than 0",
        )?;
        check(
            (0.0..=2.0).contains(&self.regularization_exponent),
            "regularization_exponent",
            self.regularization_exponent.into(),
            "from 0 to 2",
        )?;
        check(self.n_iterations <= 10_000, "n_iterations", self.n_iterations as f64, "at most 10000")?;
        check(
            self.init_stddev.is_finite() && self.init_stddev > 0.0,
            "init_stddev",
            self.init_stddev.into(),
            "finite and greater than 0",
        )
    }

    /// `λ (total_weight + α₀ n_columns)^ν`: the regularisation of one row whose observations weigh `total_weight`, in a
    /// matrix with `n_columns` columns.
    pub fn row_regularization(&self, total_weight: f64, n_columns: usize) -> f32 {
        let frequency = total_weight + f64::from(self.unobserved_weight) * n_columns as f64;
        (f64::from(self.regularization) * frequency.powf(f64::from(self.regularization_exponent))) as f32
    }
}

/// A fitted iALS model.
#[derive(Debug, Clone)]
pub struct Als {
    params: AlsParams,
    name: String,
    item_factors: Arc<Array2<f32>>,
    /// The item factors turned into the axes in which their Gram matrix is diagonal; solves happen there.
    half_step: HalfStep,
}

impl Als {
    /// `item_factors` is `[n_items, n_factors]`. Costs `O(n_items·f² + f³)` for the Gram matrix and its eigenvectors.
    ///
    /// # Errors
    /// [`AlsError`] when settings, shape and values do not make a model.
    pub fn try_new(item_factors: Array2<f32>, params: AlsParams) -> Result<Self, AlsError> {
        params.validate()?;
        if item_factors.ncols() != params.n_factors {
            return Err(AlsError::Shape { expected: params.n_factors, got: item_factors.ncols() });
        }
        // Not copied where it need not be: it is most of a snapshot.
        let is_standard = item_factors.is_standard_layout();
        let item_factors =
            Arc::new(if is_standard { item_factors } else { item_factors.as_standard_layout().into_owned() });
        if let Some(row) = item_factors.outer_iter().position(|row| row.iter().any(|x| !x.is_finite())) {
            return Err(AlsError::NotFinite { row });
        }
        let half_step = HalfStep::over(&item_factors, params.unobserved_weight)?;
        let name = format!("ials-{}", params.n_factors);
        Ok(Self { params, name, item_factors, half_step })
    }

    /// The same model in the axes of its solves, so that one matrix serves both: inner products of vectors that are turned
    /// alike are the same.
    ///
    /// # Errors
    /// As [`try_new`](Self::try_new).
    pub fn in_its_own_axes(self) -> Result<Self, AlsError> {
        /// Turning rounds by the largest axis, which a small one may show; turned once more, by next to nothing, it does not.
        const MAX_TURNS: usize = 3;
        let mut model = self;
        for _ in 0..MAX_TURNS {
            if Arc::ptr_eq(&model.item_factors, model.half_step.factors()) {
                break;
            }
            let Self { params, item_factors, half_step, .. } = model;
            drop(item_factors);
            let turned = half_step.into_factors();
            model = Self::try_new(Arc::unwrap_or_clone(turned), params)?;
        }
        Ok(model)
    }

    pub fn params(&self) -> &AlsParams {
        &self.params
    }

    pub fn n_factors(&self) -> usize {
        self.item_factors.ncols()
    }

    pub fn n_items(&self) -> usize {
        self.item_factors.nrows()
    }

    /// `[n_items, n_factors]`, row-major.
    pub fn item_factors(&self) -> ArrayView2<'_, f32> {
        self.item_factors.view()
    }

    /// [`item_factors`](Self::item_factors), shared instead of copied.
    pub fn shared_item_factors(&self) -> Arc<Array2<f32>> {
        Arc::clone(&self.item_factors)
    }

    /// Solves a person's factors from the history, exactly; zeros for an empty history.
    ///
    /// `out` has `n_factors` elements. Order of the history does not matter to the loss; an item that occurs twice
    /// counts twice. Costs `O(min(|S|, f)² · max(|S|, f) + f²)`.
    ///
    /// # Errors
    /// [`SolveError`] when an item is outside the model, a weight is negative or not finite, or the system cannot be
    /// solved. `out` is unspecified then.
    ///
    /// # Panics
    /// If `out` does not have `n_factors` elements.
    pub fn fold_in(&self, history: &[HistoryEntry], out: &mut [f32]) -> Result<(), SolveError> {
        self.fold_in_with(history, &mut SolveBuffers::default(), out)
    }

    /// [`fold_in`](Self::fold_in) with buffers that are kept from call to call.
    ///
    /// # Errors
    /// As [`fold_in`](Self::fold_in).
    ///
    /// # Panics
    /// As [`fold_in`](Self::fold_in).
    pub fn fold_in_with(
        &self,
        history: &[HistoryEntry],
        buffers: &mut SolveBuffers,
        out: &mut [f32],
    ) -> Result<(), SolveError> {
        let total: f64 = history.iter().map(|entry| f64::from(entry.weight)).sum();
        let regularization = self.params.row_regularization(total, self.n_items());
        let observed = history.iter().map(|entry| (entry.item, entry.weight));
        self.half_step.solve(observed, regularization, buffers, out)?;
        self.half_step.to_original_axes(buffers, out);
        Ok(())
    }

    /// `out[i] = factors · item i` for every item.
    ///
    /// # Panics
    /// If the lengths are not `n_factors` and `n_items`.
    pub fn score_all(&self, factors: &[f32], out: &mut [f32]) {
        linalg::dot_rows(self.item_factors.as_slice().expect("stored in standard layout"), factors, out);
    }

    /// The score of one item.
    pub fn score(&self, factors: &[f32], item: ItemIdx) -> f32 {
        linalg::dot(self.item_factors.row(item.row()).to_slice().expect("stored in standard layout"), factors)
    }
}

impl ItemScorer for Als {
    fn name(&self) -> &str {
        &self.name
    }

    fn n_items(&self) -> usize {
        Self::n_items(self)
    }

    /// No opinion on anything for a person without history.
    fn score_items(&self, query: &Query<'_>, scores: &mut [f32]) -> Result<(), RecommendError> {
        if query.history.is_empty() {
            scores.fill(f32::NEG_INFINITY);
            return Ok(());
        }
        let mut factors = vec![0.0; self.n_factors()];
        self.fold_in(query.history, &mut factors)?;
        self.score_all(&factors, scores);
        Ok(())
    }

    /// Some items at a time for everybody: they stay in the cache, and memory is read once for all people instead of once
    /// for each.
    fn score_items_for_all(&self, queries: &[Query<'_>], scores: &mut [f32]) -> Result<(), RecommendError> {
        /// Of the second-level cache of a core, half or less.
        const TILE_BYTES: usize = 256 << 10;
        let (f, n_items) = (self.n_factors(), Self::n_items(self));
        let mut factors = vec![0.0; queries.len() * f];
        let mut buffers = SolveBuffers::default();
        for (query, factors) in queries.iter().zip(factors.chunks_exact_mut(f)) {
            self.fold_in_with(query.history, &mut buffers, factors)?;
        }
        let items = self.item_factors.as_slice().expect("stored in standard layout");
        let n_tile = (TILE_BYTES / size_of::<f32>() / f).max(1);
        for (tile, items) in items.chunks(n_tile * f).enumerate() {
            for (person, factors) in factors.chunks_exact(f).enumerate() {
                let start = person * n_items + tile * n_tile;
                linalg::dot_rows(items, factors, &mut scores[start..start + items.len() / f]);
            }
        }
        for (query, scores) in queries.iter().zip(scores.chunks_exact_mut(n_items.max(1))) {
            if query.history.is_empty() {
                scores.fill(f32::NEG_INFINITY);
            }
        }
        Ok(())
    }
}

impl From<SolveError> for RecommendError {
    fn from(error: SolveError) -> Self {
        match error {
            SolveError::UnknownRow { row, n_rows } => Self::UnknownItem { row, n_items: n_rows },
            other => Self::Solve(other.to_string()),
        }
    }
}
