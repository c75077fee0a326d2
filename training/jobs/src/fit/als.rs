//! iALS by exact alternating solves.

use std::sync::atomic::{AtomicUsize, Ordering};

use ndarray::{Array2, ArrayView2, Axis};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};
use rayon::prelude::*;
use waggle_models::als::{Als, AlsError, AlsParams, HalfStep, SolveBuffers};

use super::{FitError, Interactions, SparseRows};

/// Rows one thread solves before it takes more: small, because rows differ in length a thousandfold.
const ROWS_PER_TASK: usize = 32;

/// Fits item factors: `n_iterations` times all users, then all items, each row solved exactly against the other side.
///
/// Users' factors are not kept: whoever comes with a history is a user. An item that nobody touched gets zeros, which
/// score 0 for everybody. `progress(done, total)` counts solved sides, from any thread; twice per iteration.
///
/// Costs per iteration `O(Σ_rows min(|S|, f)²·max(|S|, f) + (users + items)·f²)`.
///
/// # Errors
/// [`FitError`] for an empty set, settings out of range, a system that cannot be solved, or settings that leave nothing of
/// the factors.
pub fn fit_als(
    interactions: &Interactions,
    params: &AlsParams,
    seed: u64,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Als, FitError> {
    params.validate()?;
    if interactions.is_empty() {
        return Err(FitError::NoInteractions);
    }
    let by_item = interactions.matrix().transpose();
    let mut item_factors = initial_factors(interactions.n_items(), params, seed)?;
    let done = AtomicUsize::new(0);
    let step = |rows: &SparseRows, fixed: ArrayView2<'_, f32>| {
        let solved = solve_side(rows, fixed, params)?;
        progress(done.fetch_add(1, Ordering::Relaxed) + 1, 2 * params.n_iterations);
        Ok::<_, FitError>(solved)
    };
    for _ in 0..params.n_iterations {
        let user_factors = step(interactions.matrix(), item_factors.view())?;
        item_factors = step(&by_item, user_factors.view())?;
    }
    refuse_vanished(item_factors.view(), params)?;
    Ok(Als::try_new(item_factors, params.clone())?.in_its_own_axes()?)
}

/// Where the regularisation outweighs what was observed, the only solution is zero, and every iteration comes closer to it:
/// scores would still be in some order, of rounding.
fn refuse_vanished(item_factors: ArrayView2<'_, f32>, params: &AlsParams) -> Result<(), FitError> {
    /// Squared; of a score of about 1 for what was observed, a hundred thousandth.
    const SMALLEST_NORM: f32 = 1e-5;
    let largest = item_factors.outer_iter().map(|row| row.dot(&row)).fold(0.0, f32::max);
    if largest < SMALLEST_NORM * SMALLEST_NORM {
        return Err(FitError::Vanished {
            unobserved_weight: params.unobserved_weight,
            regularization: params.regularization,
        });
    }
    Ok(())
}

/// Folds every user in: `[n_users, n_factors]`. A user without items gets zeros.
///
/// # Errors
/// [`FitError::Solve`] when a row cannot be solved, for example since an item is outside the model.
pub fn user_factors(interactions: &Interactions, als: &Als) -> Result<Array2<f32>, FitError> {
    let mut out = Array2::zeros((interactions.n_users(), als.n_factors()));
    out.axis_chunks_iter_mut(Axis(0), ROWS_PER_TASK)
        .into_par_iter()
        .enumerate()
        .map_init(SolveBuffers::default, |buffers, (task, mut rows)| {
            for (offset, mut row) in rows.outer_iter_mut().enumerate() {
                let user = task * ROWS_PER_TASK + offset;
                let out = row.as_slice_mut().expect("rows of a fresh array are contiguous");
                als.fold_in_with(&interactions.history(user), buffers, out)
                    .map_err(|source| FitError::Solve { row: user, source })?;
            }
            Ok(())
        })
        .collect::<Result<(), FitError>>()?;
    Ok(out)
}

fn initial_factors(n_items: usize, params: &AlsParams, seed: u64) -> Result<Array2<f32>, FitError> {
    let stddev = f64::from(params.init_stddev) / (params.n_factors as f64).sqrt();
    let normal = Normal::new(0.0, stddev).map_err(|_| AlsError::Param {
        name: "init_stddev",
        got: stddev,
        rule: "finite and greater than 0",
    })?;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Ok(Array2::from_shape_simple_fn((n_items, params.n_factors), || normal.sample(&mut rng) as f32))
}

/// Solves every row of one side. The result is in the axes in which the fixed side's Gram matrix is diagonal: the fixed
/// side is solved anew next, or dropped, so nobody needs the way back.
fn solve_side(
    rows: &SparseRows,
    fixed: ArrayView2<'_, f32>,
    params: &AlsParams,
) -> Result<Array2<f32>, FitError> {
    let half_step = HalfStep::try_new(fixed, params.unobserved_weight)?;
    let mut solved = Array2::zeros((rows.n_rows(), params.n_factors));
    solved
        .axis_chunks_iter_mut(Axis(0), ROWS_PER_TASK)
        .into_par_iter()
        .enumerate()
        .map_init(SolveBuffers::default, |buffers, (task, mut out)| {
            for (offset, mut out) in out.outer_iter_mut().enumerate() {
                let row = task * ROWS_PER_TASK + offset;
                let (columns, weights) = (rows.columns(row), rows.weights(row));
                let total: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
                let regularization = params.row_regularization(total, rows.n_columns());
                let observed = columns.iter().copied().zip(weights.iter().copied());
                let out = out.as_slice_mut().expect("rows of a fresh array are contiguous");
                half_step
                    .solve(observed, regularization, buffers, out)
                    .map_err(|source| FitError::Solve { row, source })?;
            }
            Ok(())
        })
        .collect::<Result<(), FitError>>()?;
    Ok(solved)
}
