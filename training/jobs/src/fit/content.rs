//! From what an item is said to be to where it belongs: a place for items that nobody touched yet.

#[cfg(test)]
mod tests;

use ndarray::{Array1, Array2, ArrayView2, Axis, Zip, parallel::prelude::*};
use serde::{Deserialize, Serialize};
use waggle_model::{ItemIdx, Timestamp};
use waggle_models::Als;

use super::{FitError, Interactions, SparseRows, Triple, param};

/// Settings of [`fit_content`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ContentParams {
    /// `λ`.
    pub l2: f32,
    /// `κ`: an item that `n` touched teaches with weight `n/(n + κ)`.
    pub half_trust: f32,
    /// Of the conjugate gradients, at most.
    pub max_iterations: usize,
}

impl Default for ContentParams {
    fn default() -> Self {
        // Chosen on a tenth of the items of citeulike-a that another tenth, the test, was not among.
        Self { l2: 0.5, half_trust: 1.0, max_iterations: 500 }
    }
}

/// Terms of items, `[n_items, n_terms]`, as tf-idf: `x_it = ln(n_items/df_t)`, every row scaled to length 1. A term is there or is not,
/// how often does not count; a term of one item alone, which says nothing about another, is left out, and so is one of all.
///
/// `terms` are one list per item; numbers below `n_terms`, which may occur again.
///
/// # Errors
/// [`FitError`] for a term that is out of range.
pub fn tf_idf<'a>(
    n_terms: usize,
    terms: impl ExactSizeIterator<Item = &'a [u32]>,
) -> Result<SparseRows, FitError> {
    let n_items = terms.len();
    let triples = (0..).zip(terms).flat_map(|(user, terms)| {
        let triple =
            move |&term| Triple { user, item: ItemIdx(term), weight: 1.0, time: Timestamp::default() };
        terms.iter().map(triple)
    });
    let there = Interactions::from_triples(n_items, n_terms, triples.collect())?;
    let mut n_with = vec![0_usize; n_terms];
    (0..n_items).flat_map(|item| there.items(item)).for_each(|term| n_with[term.row()] += 1);
    let idf = |term: &ItemIdx| match n_with[term.row()] {
        0 | 1 => 0.0,
        n => (n_items as f32 / n as f32).ln(),
    };
    let mut weighted = Vec::with_capacity(there.len());
    for (user, item) in (0..).zip(0..n_items) {
        let length = there.items(item).iter().map(|term| idf(term).powi(2)).sum::<f32>().sqrt();
        weighted.extend(there.items(item).iter().filter(|term| idf(term) > 0.0).map(|&item| Triple {
            user,
            item,
            weight: idf(&item) / length,
            time: Timestamp::default(),
        }));
    }
    Ok(Interactions::from_triples(n_items, n_terms, weighted)?.into_matrix())
}

/// Factors of an item as a linear function of its content.
#[derive(Debug, Clone, PartialEq)]
pub struct ContentRegression {
    /// `[n_terms, n_factors]`.
    pub weights: Array2<f32>,
    /// `[n_factors]`: of an item of which nothing is said.
    pub bias: Array1<f32>,
}

/// Ridge regression of the factors of known items on their content:
///
/// `min_W Σ_i w_i ‖x_i W + b − y_i‖² + λ‖W‖²`, `w_i = n_i/(n_i + κ)`, `b = Σ w_i y_i / Σ w_i`.
///
/// One of the maps from attributes to factors of Gantner et al., "Learning attribute-to-feature mappings for cold-start
/// recommendations" (ICDM 2010, section IV), with weights of our own: factors of items that hardly anybody touched are mostly
/// noise. `counts` are the `n_i`; items of which it is 0 teach nothing.
///
/// The normal equations are solved by conjugate gradients, all factors at once, and are never written out: an iteration costs
/// twice the entries of `content` times the factors.
///
/// # Errors
/// [`FitError`] for settings out of range, lengths that differ, no item that teaches, or where the solution is not found in so
/// many iterations.
pub fn fit_content(
    content: &SparseRows,
    factors: ArrayView2<'_, f32>,
    counts: &[usize],
    params: &ContentParams,
) -> Result<ContentRegression, FitError> {
    /// Of the right-hand side's length.
    const TOLERANCE: f64 = 1e-5;
    params.validate()?;
    for (name, len) in [("items of the content", content.n_rows()), ("counts", counts.len())] {
        param(len == factors.nrows(), name, len as f64, "as many as there are items with factors")?;
    }
    let trust: Vec<f32> = counts.iter().map(|&n| n as f32 / (n as f32 + params.half_trust)).collect();
    let total: f32 = trust.iter().sum();
    if total <= 0.0 {
        return Err(FitError::NoInteractions);
    }
    let weighted = |(row, trust): (ndarray::ArrayView1<'_, f32>, &f32)| row.mapv(|x| x * trust);
    let bias =
        factors.outer_iter().zip(&trust).map(weighted).fold(Array1::zeros(factors.ncols()), |a, b| a + b)
            / total;
    let by_term = content.transpose();
    // `Xᵀ diag(w)` times something with a row per item.
    let weigh_back = |mut of_items: Array2<f32>| {
        Zip::from(of_items.rows_mut()).and(&trust).par_for_each(|mut row, trust| row *= *trust);
        times(&by_term, of_items.view())
    };
    let mut residual = weigh_back(&factors - &bias);
    let first = squared_norms(&residual);
    let mut weights = Array2::zeros(residual.raw_dim());
    let (mut direction, mut now) = (residual.clone(), first.clone());
    for _ in 0..params.max_iterations {
        if now.iter().zip(&first).all(|(now, first)| *now <= TOLERANCE * TOLERANCE * first) {
            return Ok(ContentRegression { weights, bias });
        }
        let mut image = weigh_back(times(content, direction.view()));
        image.scaled_add(params.l2, &direction);
        let curvature = dots(&direction, &image);
        let step = quotients(&now, &curvature);
        add_scaled(&mut weights, &step, 1.0, &direction);
        add_scaled(&mut residual, &step, -1.0, &image);
        let next = squared_norms(&residual);
        let turn = quotients(&next, &now);
        Zip::from(direction.rows_mut()).and(residual.rows()).par_for_each(|mut direction, residual| {
            Zip::from(&mut direction).and(&residual).and(&turn).for_each(|d, r, turn| *d = r + turn * *d);
        });
        now = next;
    }
    Err(FitError::NotConverged { n_iterations: params.max_iterations })
}

impl ContentParams {
    fn validate(&self) -> Result<(), FitError> {
        let Self { l2, half_trust, max_iterations } = *self;
        param(l2.is_finite() && l2 > 0.0, "l2", l2.into(), "finite and greater than 0")?;
        let is_trust = half_trust.is_finite() && half_trust >= 0.0;
        param(is_trust, "half_trust", half_trust.into(), "finite and not negative")?;
        param(max_iterations > 0, "max_iterations", max_iterations as f64, "greater than 0")
    }
}

impl ContentRegression {
    /// `x W + b`: where an item with this content belongs.
    pub fn predict(&self, terms: &[ItemIdx], weights: &[f32]) -> Array1<f32> {
        let mut factors = self.bias.clone();
        for (term, weight) in terms.iter().zip(weights) {
            factors.scaled_add(*weight, &self.weights.row(term.row()));
        }
        factors
    }

    /// Gives every item that nobody touched the place that its content says, if anything is said of it.
    pub fn place_untouched(&self, content: &SparseRows, counts: &[usize], factors: &mut Array2<f32>) {
        for (item, mut row) in factors.outer_iter_mut().enumerate() {
            if counts[item] == 0 && !content.columns(item).is_empty() {
                row.assign(&self.predict(content.columns(item), content.weights(item)));
            }
        }
    }
}

/// The model with a place for every item that nobody touched, where something is said of it: without one it scores 0 for
/// everybody. `content` is as of [`tf_idf`], `touched` what the model was fitted on.
///
/// # Errors
/// As [`fit_content`], or where what comes of it is no model.
pub fn with_untouched_items(
    als: &Als,
    content: &SparseRows,
    touched: &Interactions,
    params: &ContentParams,
) -> Result<Als, FitError> {
    let counts = touched.item_counts();
    let mut factors = als.item_factors().to_owned();
    fit_content(content, factors.view(), &counts, params)?.place_untouched(content, &counts, &mut factors);
    Ok(Als::try_new(factors, als.params().clone())?.in_its_own_axes()?)
}

/// `rows · dense`.
fn times(rows: &SparseRows, dense: ArrayView2<'_, f32>) -> Array2<f32> {
    let mut product = Array2::zeros((rows.n_rows(), dense.ncols()));
    product.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(at, mut row)| {
        for (column, weight) in rows.columns(at).iter().zip(rows.weights(at)) {
            row.scaled_add(*weight, &dense.row(column.row()));
        }
    });
    product
}

/// Of every column.
fn squared_norms(matrix: &Array2<f32>) -> Vec<f64> {
    dots(matrix, matrix)
}

/// Of every column of one with that of the other; summed in order, the same bits for any number of threads.
fn dots(one: &Array2<f32>, other: &Array2<f32>) -> Vec<f64> {
    let mut sums = vec![0.0; one.ncols()];
    for (one, other) in one.outer_iter().zip(other.outer_iter()) {
        for ((sum, a), b) in sums.iter_mut().zip(one).zip(other) {
            *sum += f64::from(*a) * f64::from(*b);
        }
    }
    sums
}

/// 0 where there is nothing to divide by: that column is solved.
fn quotients(numerators: &[f64], denominators: &[f64]) -> Array1<f32> {
    let quotient = |(n, d): (&f64, &f64)| if *d > 0.0 { (n / d) as f32 } else { 0.0 };
    numerators.iter().zip(denominators).map(quotient).collect()
}

/// `to += sign · scales_f · from` in every column `f`.
fn add_scaled(to: &mut Array2<f32>, scales: &Array1<f32>, sign: f32, from: &Array2<f32>) {
    Zip::from(to.rows_mut()).and(from.rows()).par_for_each(|mut to, from| {
        Zip::from(&mut to).and(&from).and(scales).for_each(|to, from, scale| *to += sign * scale * from);
    });
}
