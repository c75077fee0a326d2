//! One side of the factorisation held fixed, ready to solve rows of the other side against it.

use std::sync::Arc;

use ndarray::{Array2, ArrayView2, Axis, parallel::prelude::*};
use waggle_model::ItemIdx;

use super::AlsError;
use crate::linalg::{
    NotPositiveDefinite, add_gram, add_row_gram, add_weighted_rows, cholesky, cholesky_solve, dot_rows,
    padded, symmetric_eigen,
};

/// Rows whose Gram matrix is added up in one piece; pieces are summed in order, so threads never change the result.
const GRAM_BLOCK: usize = 1024;
/// Rows turned by one matrix product.
const ROTATION_BLOCK: usize = 512;

/// Factors `F` in the axes in which `FᵀF` is diagonal.
///
/// There the system of every row, `(α₀FᵀF + λI + F_Sᵀ C F_S) x = F_Sᵀ c`, is a diagonal plus `|S|` rank-one terms, so
/// it can be solved in whichever of the two spaces is smaller.
#[derive(Debug, Clone)]
pub struct HalfStep {
    n_factors: usize,
    /// `[n_rows, n_factors]`: `F·Q`.
    factors: Arc<Array2<f32>>,
    /// `α₀ ·` eigenvalues of the Gram matrix, not negative.
    unobserved: Vec<f32>,
    /// `Q`: `[n_factors, n_factors]`, its columns the eigenvectors of `FᵀF`; `None` where `F` came in these axes.
    axes: Option<Array2<f32>>,
}

/// Working memory of [`HalfStep::solve`]; grows to what the largest row needs.
#[derive(Debug, Clone, Default)]
pub struct SolveBuffers {
    /// The observed rows, scaled.
    gathered: Vec<f32>,
    system: Vec<f32>,
    diagonal: Vec<f32>,
    right: Vec<f32>,
    observed: Vec<(ItemIdx, f32)>,
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SolveError {
    #[error("row {row} is outside the {n_rows} rows of the factors")]
    UnknownRow { row: usize, n_rows: usize },
    #[error("weight of row {row} is {weight}, it must be finite and not negative")]
    Weight { row: usize, weight: f32 },
    #[error(transparent)]
    Singular(#[from] NotPositiveDefinite),
}

impl HalfStep {
    /// # Errors
    /// [`AlsError`] when a factor is not finite.
    pub fn try_new(factors: ArrayView2<'_, f32>, unobserved_weight: f32) -> Result<Self, AlsError> {
        if let Some(row) = factors.outer_iter().position(|row| row.iter().any(|x| !x.is_finite())) {
            return Err(AlsError::NotFinite { row });
        }
        let n_factors = factors.ncols();
        let eigen = symmetric_eigen(&gram(factors), n_factors).ok_or(AlsError::Eigen)?;
        let axes =
            Array2::from_shape_fn((n_factors, n_factors), |(i, j)| eigen.vectors[i * n_factors + j] as f32);
        let factors = Arc::new(rotate(factors, &axes));
        let unobserved = unobserved_weights(unobserved_weight, eigen.values);
        Ok(Self { n_factors, factors, unobserved, axes: Some(axes) })
    }

    /// [`try_new`](Self::try_new), which keeps no second matrix where the factors are in their own axes already.
    ///
    /// # Errors
    /// As [`try_new`](Self::try_new).
    pub fn over(factors: &Arc<Array2<f32>>, unobserved_weight: f32) -> Result<Self, AlsError> {
        let n_factors = factors.ncols();
        let gram = gram(factors.view());
        if !is_diagonal(&gram, n_factors) {
            return Self::try_new(factors.view(), unobserved_weight);
        }
        let values = (0..n_factors).map(|f| gram[f * n_factors + f]);
        let unobserved = unobserved_weights(unobserved_weight, values);
        Ok(Self { n_factors, factors: Arc::clone(factors), unobserved, axes: None })
    }

    pub(super) fn into_factors(self) -> Arc<Array2<f32>> {
        self.factors
    }

    /// `[n_rows, n_factors]`, in the axes of the solves.
    pub fn factors(&self) -> &Arc<Array2<f32>> {
        &self.factors
    }

    /// Solves one row, exactly: by Cholesky in the space of the factors, or for fewer observations than factors in
    /// the space of the observations (Woodbury). `out` (`n_factors`) is in the axes of the solves.
    ///
    /// # Errors
    /// [`SolveError`]; `out` is unspecified then.
    ///
    /// # Panics
    /// If `out` does not have `n_factors` elements.
    pub fn solve(
        &self,
        observed: impl IntoIterator<Item = (ItemIdx, f32)>,
        regularization: f32,
        buffers: &mut SolveBuffers,
        out: &mut [f32],
    ) -> Result<(), SolveError> {
        assert_eq!(out.len(), self.n_factors, "out must have n_factors elements");
        let n_rows = self.factors.nrows();
        buffers.observed.clear();
        for (item, weight) in observed {
            if item.row() >= n_rows {
                return Err(SolveError::UnknownRow { row: item.row(), n_rows });
            }
            if !weight.is_finite() || weight < 0.0 {
                return Err(SolveError::Weight { row: item.row(), weight });
            }
            buffers.observed.push((item, weight));
        }
        if buffers.observed.is_empty() {
            out.fill(0.0);
            return Ok(());
        }
        buffers.diagonal.clear();
        buffers.diagonal.extend(self.unobserved.iter().map(|value| value + regularization));
        if let Some(row) = buffers.diagonal.iter().position(|&d| !(d > 0.0 && d.is_finite())) {
            return Err(NotPositiveDefinite { row }.into());
        }
        if buffers.observed.len() < self.n_factors {
            self.solve_by_observations(buffers, out)?;
        } else {
            self.solve_by_factors(buffers, out)?;
        }
        Ok(())
    }

    /// Turns a solution back into the axes that the factors came in: `out ← Q·out`.
    ///
    /// # Panics
    /// If `out` does not have `n_factors` elements.
    pub fn to_original_axes(&self, buffers: &mut SolveBuffers, out: &mut [f32]) {
        let Some(axes) = &self.axes else { return };
        buffers.right.clear();
        buffers.right.extend_from_slice(out);
        dot_rows(axes.as_slice().expect("built in standard layout"), &buffers.right, out);
    }

    fn row(&self, item: ItemIdx) -> &[f32] {
        let start = item.row() * self.n_factors;
        &self.factors.as_slice().expect("built in standard layout")[start..start + self.n_factors]
    }

    /// `A = D + VᵀV`, `V = C^½ F_S`; `A x = F_Sᵀ c`.
    fn solve_by_factors(
        &self,
        buffers: &mut SolveBuffers,
        out: &mut [f32],
    ) -> Result<(), NotPositiveDefinite> {
        let f = self.n_factors;
        let stride = padded(f);
        let SolveBuffers { gathered, system, diagonal, right, observed } = buffers;
        gathered.clear();
        gathered.resize(observed.len() * stride, 0.0);
        for (place, &(item, weight)) in gathered.chunks_exact_mut(stride).zip(observed.iter()) {
            let root = weight.sqrt();
            for (place, value) in place.iter_mut().zip(self.row(item)) {
                *place = root * value;
            }
        }
        reset(system, stride * stride);
        add_gram(gathered, stride, system);
        for (j, d) in diagonal.iter().enumerate() {
            system[j * stride + j] += d;
        }
        diagonal.clear();
        diagonal.extend(observed.iter().map(|(_, weight)| weight.sqrt()));
        reset(right, stride);
        add_weighted_rows(gathered, diagonal, right);
        cholesky(system, f, stride)?;
        cholesky_solve(system, f, stride, right);
        out.copy_from_slice(&right[..f]);
        Ok(())
    }

    /// With `W = C^½ F_S D^-½`: `x = D^-½ Wᵀ (I + W Wᵀ)⁻¹ c^½`, the same solution by the Woodbury identity.
    fn solve_by_observations(
        &self,
        buffers: &mut SolveBuffers,
        out: &mut [f32],
    ) -> Result<(), NotPositiveDefinite> {
        let (n, f) = (buffers.observed.len(), self.n_factors);
        let stride = padded(n);
        let SolveBuffers { gathered, system, diagonal, right, observed } = buffers;
        for d in diagonal.iter_mut() {
            *d = 1.0 / d.sqrt();
        }
        reset(right, stride);
        reset(gathered, n.next_multiple_of(4) * f);
        for ((place, root), &(item, weight)) in
            gathered.chunks_exact_mut(f).zip(right.iter_mut()).zip(observed.iter())
        {
            *root = weight.sqrt();
            for ((place, value), d) in place.iter_mut().zip(self.row(item)).zip(diagonal.iter()) {
                *place = *root * d * value;
            }
        }
        reset(system, stride * stride);
        add_row_gram(gathered, f, stride, system);
        for j in 0..n {
            system[j * stride + j] += 1.0;
        }
        cholesky(system, n, stride)?;
        cholesky_solve(system, n, stride, right);
        out.fill(0.0);
        add_weighted_rows(&gathered[..n * f], &right[..n], out);
        for (o, d) in out.iter_mut().zip(diagonal.iter()) {
            *o *= d;
        }
        Ok(())
    }
}

/// Zeros, in the memory that is there.
fn reset(buffer: &mut Vec<f32>, len: usize) {
    buffer.clear();
    buffer.resize(len, 0.0);
}

/// `factorsᵀ·factors`, `[f, f]`, both triangles; `f32` within a block of rows, `f64` over the blocks.
fn gram(factors: ArrayView2<'_, f32>) -> Vec<f64> {
    let f = factors.ncols();
    let stride = padded(f);
    let block = GRAM_BLOCK.max(factors.nrows().div_ceil(64));
    let partial: Vec<Vec<f64>> = factors
        .axis_chunks_iter(Axis(0), block)
        .into_par_iter()
        .map(|rows| {
            // Sums of few rows are kept in `f32`: over many they would lose what tells axes apart.
            let (mut packed, mut sum) = (vec![0.0; GRAM_BLOCK * stride], vec![0.0; stride * stride]);
            let mut total = vec![0.0; stride * stride];
            for rows in rows.axis_chunks_iter(Axis(0), GRAM_BLOCK) {
                let packed = &mut packed[..rows.nrows() * stride];
                for (to, from) in packed.chunks_exact_mut(stride).zip(rows.outer_iter()) {
                    for (to, from) in to.iter_mut().zip(from) {
                        *to = *from;
                    }
                }
                sum.fill(0.0);
                add_gram(packed, stride, &mut sum);
                total.iter_mut().zip(&sum).for_each(|(total, sum)| *total += f64::from(*sum));
            }
            total
        })
        .collect();
    let mut total = vec![0.0; f * f];
    for sum in &partial {
        for i in 0..f {
            for j in i..f {
                total[i * f + j] += sum[i * stride + j];
            }
        }
    }
    for i in 0..f {
        for j in 0..i {
            total[i * f + j] = total[j * f + i];
        }
    }
    total
}

fn unobserved_weights(unobserved_weight: f32, values: impl IntoIterator<Item = f64>) -> Vec<f32> {
    values.into_iter().map(|value| unobserved_weight * value.max(0.0) as f32).collect()
}

/// Off the diagonal there is nothing but what rounding to `f32` leaves (and nothing that is not a number).
fn is_diagonal(gram: &[f64], n: usize) -> bool {
    /// Of the geometric mean of the two squared norms.
    const ROUNDING: f64 = 1e-5;
    let squared_norm = |i: usize| gram[i * n + i];
    (0..n).all(|i| {
        (0..i).all(|j| gram[i * n + j].abs() <= ROUNDING * (squared_norm(i) * squared_norm(j)).sqrt())
    })
}

/// `factors · axes`.
fn rotate(factors: ArrayView2<'_, f32>, axes: &Array2<f32>) -> Array2<f32> {
    let mut turned = Array2::zeros(factors.raw_dim());
    turned
        .axis_chunks_iter_mut(Axis(0), ROTATION_BLOCK)
        .into_par_iter()
        .zip(factors.axis_chunks_iter(Axis(0), ROTATION_BLOCK))
        .for_each(|(mut to, from)| ndarray::linalg::general_mat_mul(1.0, &from, axes, 0.0, &mut to));
    turned
}
