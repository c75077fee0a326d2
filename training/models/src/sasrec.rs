//! `SASRec`: a history as a sequence, read by self-attention.
//!
//! Kang and `McAuley`, "Self-attentive sequential recommendation" (ICDM 2018, section 3). With `x_t = E[i_t] + P[t]`, every
//! block is `x += attention(norm(x))`, `x += feed_forward(norm(x))`, where an item attends to itself and to those before
//! it; a person's vector is `norm(x)` of the newest item, and `score(j) = E[j] · vector`.
//!
//! Where we depart: the norms are before what they feed and never on the path around it; places are counted from the
//! newest item, which is what padding on the left comes to; and there is one head.

#[cfg(test)]
mod tests;

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayViewMut2, Axis, s};
use rand::distributions::{Distribution as _, Uniform};
use rand_chacha::ChaCha8Rng;

use crate::{ItemScorer, Query, RecommendError};

/// All that is learned. Gradients have the same form.
#[derive(Debug, Clone, PartialEq)]
pub struct SasRecWeights {
    /// `E`: `[items, width]`, of what is read and of what is scored.
    pub items: Array2<f32>,
    /// `P`: `[places, width]`; row 0 is the newest item's.
    pub places: Array2<f32>,
    pub blocks: Vec<SasRecBlock>,
    pub last_norm: Norm,
}

/// Of one block; vectors are rows, so that a layer is `x·weights`.
#[derive(Debug, Clone, PartialEq)]
pub struct SasRecBlock {
    pub attention_norm: Norm,
    /// `[width, 3·width]`: queries, keys and values side by side.
    pub attention_in: Array2<f32>,
    /// `[width, width]`.
    pub attention_out: Array2<f32>,
    pub feed_norm: Norm,
    /// `[width, width]`.
    pub feed_in: Array2<f32>,
    pub feed_in_shift: Array1<f32>,
    /// `[width, width]`.
    pub feed_out: Array2<f32>,
    pub feed_out_shift: Array1<f32>,
}

/// `(x − mean)/√(variance + ε)·scale + shift` over each row.
#[derive(Debug, Clone, PartialEq)]
pub struct Norm {
    pub scale: Array1<f32>,
    pub shift: Array1<f32>,
}

/// Why weights are not a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SasRecError {
    #[error("SASRec's weights are not all finite")]
    NotFinite,
    #[error("SASRec's weights do not fit each other")]
    Shape,
}

/// A fitted `SASRec`.
#[derive(Debug, Clone, PartialEq)]
pub struct SasRec {
    weights: SasRecWeights,
}

impl Norm {
    /// `ε`.
    pub const EPSILON: f32 = 1e-5;

    fn identity(width: usize) -> Self {
        Self { scale: Array1::ones(width), shift: Array1::zeros(width) }
    }

    fn apply(&self, x: ArrayView1<'_, f32>) -> Array1<f32> {
        let mean = x.sum() / x.len() as f32;
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / x.len() as f32;
        let inverse = 1.0 / (variance + Self::EPSILON).sqrt();
        x.mapv(|x| (x - mean) * inverse) * &self.scale + &self.shift
    }

    fn apply_to_rows(&self, x: ArrayView2<'_, f32>) -> Array2<f32> {
        let mut out = Array2::zeros(x.raw_dim());
        for (row, mut out) in x.outer_iter().zip(out.outer_iter_mut()) {
            out.assign(&self.apply(row));
        }
        out
    }
}

impl SasRecWeights {
    /// Where training starts: layers by Glorot's uniform rule, items uniform within `±1/√width` (by that rule they would be a
    /// sixth of it among 10,000 items, and training would reach less), the places 0, norms the identity.
    pub fn initial(
        n_items: usize,
        n_places: usize,
        width: usize,
        n_blocks: usize,
        rng: &mut ChaCha8Rng,
    ) -> Self {
        let mut matrix = |rows: usize, columns: usize, bound: f32| {
            let uniform = Uniform::new_inclusive(-bound, bound);
            Array2::from_shape_simple_fn((rows, columns), || uniform.sample(rng))
        };
        let items = matrix(n_items, width, 1.0 / (width as f32).sqrt());
        let mut layer =
            |rows: usize, columns: usize| matrix(rows, columns, (6.0 / (rows + columns) as f32).sqrt());
        let mut block = || SasRecBlock {
            attention_norm: Norm::identity(width),
            attention_in: layer(width, 3 * width),
            attention_out: layer(width, width),
            feed_norm: Norm::identity(width),
            feed_in: layer(width, width),
            feed_in_shift: Array1::zeros(width),
            feed_out: layer(width, width),
            feed_out_shift: Array1::zeros(width),
        };
        Self {
            items,
            blocks: (0..n_blocks).map(|_| block()).collect(),
            places: Array2::zeros((n_places, width)),
            last_norm: Norm::identity(width),
        }
    }

    pub fn n_items(&self) -> usize {
        self.items.nrows()
    }

    pub fn width(&self) -> usize {
        self.items.ncols()
    }

    /// With no row of [`items`](Self::items).
    pub fn without_items(&self) -> Self {
        Self {
            items: Array2::zeros((0, self.width())),
            places: self.places.clone(),
            blocks: self.blocks.clone(),
            last_norm: self.last_norm.clone(),
        }
    }

    /// Everything but [`items`](Self::items), flat, always in the same order.
    pub fn others_mut(&mut self) -> Vec<&mut [f32]> {
        let blocks = self.blocks.iter_mut().flat_map(|block| {
            let vectors = [
                &mut block.attention_norm.scale,
                &mut block.attention_norm.shift,
                &mut block.feed_norm.scale,
                &mut block.feed_norm.shift,
                &mut block.feed_in_shift,
                &mut block.feed_out_shift,
            ];
            let matrices =
                [&mut block.attention_in, &mut block.attention_out, &mut block.feed_in, &mut block.feed_out];
            let vectors = vectors.map(|vector| vector.as_slice_mut());
            let matrices = matrices.map(|matrix| matrix.as_slice_mut());
            vectors.into_iter().chain(matrices)
        });
        let ends = [
            self.places.as_slice_mut(),
            self.last_norm.scale.as_slice_mut(),
            self.last_norm.shift.as_slice_mut(),
        ];
        blocks.chain(ends).map(|slice| slice.expect("made in standard layout")).collect()
    }

    fn check(&self) -> Result<(), SasRecError> {
        let width = self.width();
        let fits = |block: &SasRecBlock| {
            block.attention_in.dim() == (width, 3 * width)
                && [&block.attention_out, &block.feed_in, &block.feed_out]
                    .iter()
                    .all(|matrix| matrix.dim() == (width, width))
        };
        if width == 0
            || self.places.nrows() == 0
            || self.places.ncols() != width
            || !self.blocks.iter().all(fits)
        {
            return Err(SasRecError::Shape);
        }
        let finite_items = self.items.iter().all(|weight| weight.is_finite());
        let mut others = self.without_items();
        let finite_others =
            others.others_mut().iter().all(|slice| slice.iter().all(|weight| weight.is_finite()));
        if finite_items && finite_others { Ok(()) } else { Err(SasRecError::NotFinite) }
    }
}

impl SasRec {
    /// # Errors
    /// [`SasRecError`] if the weights are not those of a model.
    pub fn try_new(weights: SasRecWeights) -> Result<Self, SasRecError> {
        weights.check()?;
        Ok(Self { weights })
    }

    pub fn weights(&self) -> &SasRecWeights {
        &self.weights
    }

    /// The person's vector; `None` without a history.
    ///
    /// Costs `O(n·width² + n²·width)` for the `n` newest items that have places.
    ///
    /// # Errors
    /// For an item that the model does not know.
    pub fn vector(&self, query: &Query<'_>) -> Result<Option<Array1<f32>>, RecommendError> {
        let SasRecWeights { items, places, blocks, last_norm } = &self.weights;
        let newest = &query.history[query.history.len().saturating_sub(places.nrows())..];
        if newest.is_empty() {
            return Ok(None);
        }
        let mut x = Array2::zeros((newest.len(), self.weights.width()));
        for ((entry, mut x), place) in newest.iter().zip(x.outer_iter_mut()).zip((0..newest.len()).rev()) {
            let (row, n_items) = (entry.item.row(), items.nrows());
            if row >= n_items {
                return Err(RecommendError::UnknownItem { row, n_items });
            }
            x.assign(&(&items.row(row) + &places.row(place)));
        }
        for block in blocks {
            let y = block.attention_norm.apply_to_rows(x.view()).dot(&block.attention_in);
            x += &attention(y.view()).dot(&block.attention_out);
            let hidden = block.feed_norm.apply_to_rows(x.view()).dot(&block.feed_in) + &block.feed_in_shift;
            x += &(hidden.mapv(|x| x.max(0.0)).dot(&block.feed_out) + &block.feed_out_shift);
        }
        Ok(Some(last_norm.apply(x.row(newest.len() - 1))))
    }
}

/// `softmax(Q·Kᵀ/√width)·V` over each item and those before it, of rows `[Q, K, V]`.
fn attention(y: ArrayView2<'_, f32>) -> Array2<f32> {
    let width = y.ncols() / 3;
    let (queries, keys) = (y.slice(s![.., ..width]), y.slice(s![.., width..2 * width]));
    let mut shares = queries.dot(&keys.t()) / (width as f32).sqrt();
    softmax_of_the_past(shares.view_mut());
    shares.dot(&y.slice(s![.., 2 * width..]))
}

/// Row `t` becomes shares of its first `t + 1` elements; the others become 0.
pub fn softmax_of_the_past(mut logits: ArrayViewMut2<'_, f32>) {
    for (t, mut row) in logits.outer_iter_mut().enumerate() {
        row.slice_mut(s![t + 1..]).fill(0.0);
        let mut past = row.slice_mut(s![..=t]);
        let greatest = past.fold(f32::NEG_INFINITY, |greatest, logit| greatest.max(*logit));
        past.mapv_inplace(|logit| (logit - greatest).exp());
        let sum = past.sum();
        past /= sum;
    }
}

impl ItemScorer for SasRec {
    fn name(&self) -> &'static str {
        "sasrec"
    }

    fn n_items(&self) -> usize {
        self.weights.n_items()
    }

    fn score_items(&self, query: &Query<'_>, scores: &mut [f32]) -> Result<(), RecommendError> {
        self.score_items_for_all(std::slice::from_ref(query), scores)
    }

    /// No opinion for those who have no history.
    fn score_items_for_all(&self, queries: &[Query<'_>], scores: &mut [f32]) -> Result<(), RecommendError> {
        let mut vectors = Array2::zeros((queries.len(), self.weights.width()));
        let mut strangers = Vec::new();
        for (at, query) in queries.iter().enumerate() {
            match self.vector(query)? {
                Some(vector) => vectors.row_mut(at).assign(&vector),
                None => strangers.push(at),
            }
        }
        let mut scores = ArrayViewMut2::from_shape((queries.len(), self.n_items()), scores)
            .expect("one score for every query and item");
        ndarray::linalg::general_mat_mul(1.0, &vectors, &self.weights.items.t(), 0.0, &mut scores);
        for at in strangers {
            scores.index_axis_mut(Axis(0), at).fill(f32::NEG_INFINITY);
        }
        Ok(())
    }
}
