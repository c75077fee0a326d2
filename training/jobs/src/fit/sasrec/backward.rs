//! What a few histories say about every weight: the loss, and its gradient by hand.
//!
//! Items of all histories are the rows of one matrix, histories one after the other; only attention looks at one history at
//! a time. Every step forward keeps what its way back needs.

use ndarray::{Array1, Array2, ArrayView2, Axis, Zip, linalg::general_mat_mul, s};
use rand::{RngCore as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use waggle_models::{
    SasRecWeights,
    sasrec::{Norm, SasRecBlock, softmax_of_the_past},
};

/// A part of a batch.
pub(super) struct Part<'a> {
    pub(super) weights: &'a SasRecWeights,
    /// Each longer than 1.
    pub(super) sequences: &'a [Vec<u32>],
    pub(super) negatives: &'a [u32],
    /// Items to be told apart in the whole batch, over which the loss is a mean.
    pub(super) n_steps: usize,
}

/// Of the loss by the weights.
pub(super) struct Gradients {
    /// This part's share of the mean.
    pub(super) loss: f32,
    inputs: Vec<u32>,
    /// `[steps, width]`, by `E` of each input.
    by_input: Array2<f32>,
    targets: Vec<u32>,
    /// `[steps, width]`, by `E` of each target.
    by_target: Array2<f32>,
    /// `[negatives, width]`.
    by_negative: Array2<f32>,
    /// In the order of [`SasRecWeights::others_mut`].
    pub(super) others: Vec<Vec<f32>>,
}

impl Gradients {
    pub(super) fn add_items_to(&self, sum: &mut Array2<f32>, negatives: &[u32]) {
        let of = [
            (self.inputs.as_slice(), &self.by_input),
            (self.targets.as_slice(), &self.by_target),
            (negatives, &self.by_negative),
        ];
        for (items, gradients) in of {
            for (item, gradient) in items.iter().zip(gradients.outer_iter()) {
                let mut row = sum.row_mut(*item as usize);
                row += &gradient;
            }
        }
    }
}

/// Zeros at random places, and what is left so much greater that sums stay what they are.
pub(super) struct Dropout {
    /// Of 256.
    n_dropped: u8,
    rng: ChaCha8Rng,
}

impl Dropout {
    /// `stream` tells apart what shares a seed.
    pub(super) fn new(share: f32, seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // The first one shuffles and draws.
        rng.set_stream(stream + 1);
        Self { n_dropped: (share * 256.0).round().min(255.0) as u8, rng }
    }

    /// Factors for every element, which `x` is multiplied with.
    fn apply(&mut self, x: &mut Array2<f32>) -> Array2<f32> {
        let mut bytes = vec![0; x.len()];
        self.rng.fill_bytes(&mut bytes);
        let kept = 256.0 / (256.0 - f32::from(self.n_dropped));
        let factors = bytes.iter().map(|byte| if *byte < self.n_dropped { 0.0 } else { kept }).collect();
        let factors = Array2::from_shape_vec(x.raw_dim(), factors).expect("one byte for every element");
        *x *= &factors;
        factors
    }
}

/// Rows of one history.
type Rows = std::ops::Range<usize>;

struct Normed {
    /// Before scale and shift.
    normalised: Array2<f32>,
    /// `1/√(variance + ε)`.
    inverses: Array1<f32>,
    out: Array2<f32>,
}

struct Attended {
    /// Shares of the past, one matrix per history.
    shares: Vec<Array2<f32>>,
    dropped: Vec<Array2<f32>>,
    out: Array2<f32>,
}

struct BlockPass {
    attention_norm: Normed,
    /// Queries, keys and values.
    y: Array2<f32>,
    attended: Attended,
    attention_dropped: Array2<f32>,
    feed_norm: Normed,
    /// After the ramp.
    hidden: Array2<f32>,
    feed_dropped: Array2<f32>,
}

struct Told {
    loss: f32,
    by_vector: Array2<f32>,
    by_target: Array2<f32>,
    by_negative: Array2<f32>,
}

impl Part<'_> {
    pub(super) fn gradients(&self, dropout: &mut Dropout) -> Gradients {
        let (mut inputs, mut targets, mut rows) = (Vec::new(), Vec::new(), Vec::new());
        for sequence in self.sequences {
            let (_, read) = sequence.split_last().expect("longer than 1");
            rows.push(inputs.len()..inputs.len() + read.len());
            inputs.extend_from_slice(read);
            targets.extend_from_slice(&sequence[1..]);
        }
        let weights = self.weights;
        let mut x = Array2::zeros((inputs.len(), weights.width()));
        for rows in &rows {
            for row in rows.clone() {
                let place = rows.end - 1 - row;
                let item = weights.items.row(inputs[row] as usize);
                x.row_mut(row).assign(&(&item + &weights.places.row(place)));
            }
        }
        let input_dropped = dropout.apply(&mut x);
        let passes: Vec<BlockPass> =
            weights.blocks.iter().map(|block| forward(block, &mut x, &rows, dropout)).collect();
        let last = norm(&weights.last_norm, x.view());
        let told = self.tell_apart(last.out.view(), &targets);

        let mut by = weights.without_items();
        by.others_mut().into_iter().for_each(|slice| slice.fill(0.0));
        let mut dx = norm_back(&weights.last_norm, &last, &told.by_vector, &mut by.last_norm);
        for ((block, pass), by) in weights.blocks.iter().zip(&passes).zip(&mut by.blocks).rev() {
            backward(block, pass, &mut dx, &rows, by);
        }
        dx *= &input_dropped;
        for rows in &rows {
            for row in rows.clone() {
                let mut place = by.places.row_mut(rows.end - 1 - row);
                place += &dx.row(row);
            }
        }
        Gradients {
            loss: told.loss,
            inputs,
            by_input: dx,
            targets,
            by_target: told.by_target,
            by_negative: told.by_negative,
            others: by.others_mut().into_iter().map(|slice| slice.to_vec()).collect(),
        }
    }

    /// The loss of the vectors, `[steps, width]`. A negative that is the target does not count.
    fn tell_apart(&self, vectors: ArrayView2<'_, f32>, targets: &[u32]) -> Told {
        let items = &self.weights.items;
        let negatives: Vec<usize> = self.negatives.iter().map(|item| *item as usize).collect();
        let negatives = items.select(Axis(0), &negatives);
        let of_targets: Vec<usize> = targets.iter().map(|item| *item as usize).collect();
        let of_targets = items.select(Axis(0), &of_targets);
        let share = 1.0 / self.n_steps as f32;

        // Logits become what the loss changes with them.
        let mut changes = vectors.dot(&negatives.t());
        let mut by_target = vectors.to_owned();
        let mut by_vector = of_targets.clone();
        let mut loss = 0.0;
        for (step, target) in targets.iter().enumerate() {
            let mut logits = changes.row_mut(step);
            for (logit, negative) in logits.iter_mut().zip(self.negatives) {
                if negative == target {
                    *logit = f32::NEG_INFINITY;
                }
            }
            let own = vectors.row(step).dot(&of_targets.row(step));
            let greatest = logits.fold(own, |greatest, logit| greatest.max(*logit));
            let own_share = (own - greatest).exp();
            logits.mapv_inplace(|logit| (logit - greatest).exp());
            let sum = own_share + logits.sum();
            logits *= share / sum;
            loss += share * (sum.ln() - (own - greatest));
            let change = share * (own_share / sum - 1.0);
            by_target.row_mut(step).mapv_inplace(|x| x * change);
            by_vector.row_mut(step).mapv_inplace(|x| x * change);
        }
        general_mat_mul(1.0, &changes, &negatives, 1.0, &mut by_vector);
        Told { loss, by_vector, by_target, by_negative: changes.t().dot(&vectors) }
    }
}

/// `x += attention(norm(x))`, `x += feed_forward(norm(x))`.
fn forward(block: &SasRecBlock, x: &mut Array2<f32>, rows: &[Rows], dropout: &mut Dropout) -> BlockPass {
    let attention_norm = norm(&block.attention_norm, x.view());
    let y = attention_norm.out.dot(&block.attention_in);
    let attended = attend(&y, rows, dropout);
    let mut added = attended.out.dot(&block.attention_out);
    let attention_dropped = dropout.apply(&mut added);
    *x += &added;

    let feed_norm = norm(&block.feed_norm, x.view());
    let mut hidden = feed_norm.out.dot(&block.feed_in) + &block.feed_in_shift;
    hidden.mapv_inplace(|x| x.max(0.0));
    let mut added = hidden.dot(&block.feed_out) + &block.feed_out_shift;
    let feed_dropped = dropout.apply(&mut added);
    *x += &added;
    BlockPass { attention_norm, y, attended, attention_dropped, feed_norm, hidden, feed_dropped }
}

/// Turns the gradient by what the block gives into that by what it got.
fn backward(
    block: &SasRecBlock,
    pass: &BlockPass,
    dx: &mut Array2<f32>,
    rows: &[Rows],
    by: &mut SasRecBlock,
) {
    let added = &*dx * &pass.feed_dropped;
    add_product(pass.hidden.t(), added.view(), &mut by.feed_out);
    by.feed_out_shift += &added.sum_axis(Axis(0));
    let mut hidden = added.dot(&block.feed_out.t());
    Zip::from(&mut hidden).and(&pass.hidden).for_each(|by, hidden| {
        if *hidden <= 0.0 {
            *by = 0.0;
        }
    });
    add_product(pass.feed_norm.out.t(), hidden.view(), &mut by.feed_in);
    by.feed_in_shift += &hidden.sum_axis(Axis(0));
    let normed = hidden.dot(&block.feed_in.t());
    *dx += &norm_back(&block.feed_norm, &pass.feed_norm, &normed, &mut by.feed_norm);

    let added = &*dx * &pass.attention_dropped;
    add_product(pass.attended.out.t(), added.view(), &mut by.attention_out);
    let attended = added.dot(&block.attention_out.t());
    let y = attend_back(&pass.y, &pass.attended, &attended, rows);
    add_product(pass.attention_norm.out.t(), y.view(), &mut by.attention_in);
    let normed = y.dot(&block.attention_in.t());
    *dx += &norm_back(&block.attention_norm, &pass.attention_norm, &normed, &mut by.attention_norm);
}

/// `softmax(Q·Kᵀ/√width)·V` of every history.
fn attend(y: &Array2<f32>, rows: &[Rows], dropout: &mut Dropout) -> Attended {
    let width = y.ncols() / 3;
    let mut out = Array2::zeros((y.nrows(), width));
    let (mut all_shares, mut all_dropped) = (Vec::new(), Vec::new());
    for rows in rows {
        let (queries, keys, values) = parts_of(y, rows);
        let mut shares = queries.dot(&keys.t()) / (width as f32).sqrt();
        softmax_of_the_past(shares.view_mut());
        let mut kept = shares.clone();
        all_dropped.push(dropout.apply(&mut kept));
        all_shares.push(shares);
        general_mat_mul(1.0, &kept, &values, 0.0, &mut out.slice_mut(s![rows.clone(), ..]));
    }
    Attended { shares: all_shares, dropped: all_dropped, out }
}

/// The gradient by queries, keys and values.
fn attend_back(y: &Array2<f32>, attended: &Attended, by_out: &Array2<f32>, rows: &[Rows]) -> Array2<f32> {
    let width = y.ncols() / 3;
    let scale = 1.0 / (width as f32).sqrt();
    let mut by_y = Array2::zeros(y.raw_dim());
    for ((rows, shares), dropped) in rows.iter().zip(&attended.shares).zip(&attended.dropped) {
        let (queries, keys, values) = parts_of(y, rows);
        let by_out = by_out.slice(s![rows.clone(), ..]);
        let kept = shares * dropped;
        let mut logits = by_out.dot(&values.t()) * dropped * shares;
        let sums = logits.sum_axis(Axis(1)).insert_axis(Axis(1));
        logits -= &(shares * &sums);
        let mut by = by_y.slice_mut(s![rows.clone(), ..]);
        general_mat_mul(scale, &logits, &keys, 0.0, &mut by.slice_mut(s![.., ..width]));
        general_mat_mul(scale, &logits.t(), &queries, 0.0, &mut by.slice_mut(s![.., width..2 * width]));
        general_mat_mul(1.0, &kept.t(), &by_out, 0.0, &mut by.slice_mut(s![.., 2 * width..]));
    }
    by_y
}

fn parts_of<'a>(
    y: &'a Array2<f32>,
    rows: &Rows,
) -> (ArrayView2<'a, f32>, ArrayView2<'a, f32>, ArrayView2<'a, f32>) {
    let width = y.ncols() / 3;
    let part = |from: usize| y.slice(s![rows.clone(), from..from + width]);
    (part(0), part(width), part(2 * width))
}

fn norm(norm: &Norm, x: ArrayView2<'_, f32>) -> Normed {
    let width = x.ncols() as f32;
    let mut normalised = x.to_owned();
    let mut inverses = Array1::zeros(x.nrows());
    for (mut row, inverse) in normalised.outer_iter_mut().zip(&mut inverses) {
        let mean = row.sum() / width;
        row -= mean;
        *inverse = 1.0 / (row.dot(&row) / width + Norm::EPSILON).sqrt();
        row *= *inverse;
    }
    let out = &normalised * &norm.scale + &norm.shift;
    Normed { normalised, inverses, out }
}

/// With `g = by_out·scale`: `inverse·(g − mean(g) − normalised·mean(g·normalised))`.
fn norm_back(norm: &Norm, normed: &Normed, by_out: &Array2<f32>, by: &mut Norm) -> Array2<f32> {
    by.scale += &(by_out * &normed.normalised).sum_axis(Axis(0));
    by.shift += &by_out.sum_axis(Axis(0));
    let width = by_out.ncols() as f32;
    let mut by_x = by_out * &norm.scale;
    for ((mut by_x, normalised), inverse) in
        by_x.outer_iter_mut().zip(normed.normalised.outer_iter()).zip(&normed.inverses)
    {
        let mean = by_x.sum() / width;
        let along = by_x.dot(&normalised) / width;
        by_x.zip_mut_with(&normalised, |by, normalised| *by = inverse * (*by - mean - normalised * along));
    }
    by_x
}

/// `sum += a·b`.
fn add_product(a: ArrayView2<'_, f32>, b: ArrayView2<'_, f32>, sum: &mut Array2<f32>) {
    general_mat_mul(1.0, &a, &b, 1.0, sum);
}
