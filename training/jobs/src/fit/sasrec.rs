//! `SASRec` by stochastic gradients.

mod backward;
#[cfg(test)]
mod tests;

use ndarray::Array2;
use rand::{Rng as _, SeedableRng as _, seq::SliceRandom as _};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use waggle_models::{SasRec, SasRecWeights, sasrec::SasRecError};

use self::backward::{Dropout, Gradients, Part};
use super::{FitError, Interactions, param};

/// Settings of [`fit_sasrec`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SasRecParams {
    /// Length of every vector.
    pub width: usize,
    pub n_blocks: usize,
    /// Of longer histories only the newest items are read.
    pub max_history: usize,
    /// Share of the elements that are 0 in a step, of what is read and of what every layer adds.
    pub dropout: f32,
    /// Items that nobody chose, which all steps of a batch are told apart from.
    pub n_negatives: usize,
    pub batch_size: usize,
    pub learning_rate: f32,
    /// Times that every history is learned from.
    pub n_epochs: usize,
}

impl Default for SasRecParams {
    fn default() -> Self {
        Self {
            width: 64,
            n_blocks: 1,
            max_history: 50,
            dropout: 0.4,
            n_negatives: 256,
            batch_size: 128,
            learning_rate: 1e-3,
            n_epochs: 40,
        }
    }
}

/// Histories of a batch that one thread works on at a time. Not by the number of threads: sums would depend on it.
const PART: usize = 16;

/// Every item of a history is to be told apart from items drawn at random, by those before it: the mean over all of them of
///
/// `−log(e^(h·E[next]) / (e^(h·E[next]) + Σ_negatives e^(h·E[negative])))`,
///
/// the sampled softmax, with uniform negatives that a batch shares, by Adam with its published constants (Kingma and Ba,
/// 2015, algorithm 1). Width, blocks, history, negatives and rate are those published for `SASRec` with sampled softmax
/// (Klenitskiy and Vasilev, "Turning dross into gold loss: is `BERT4Rec` really better than `SASRec`?", `RecSys` 2023, and
/// `eSASRec`, 2025); dropout and epochs are the best of a few on the validation part of S3-Rec's Beauty.
///
/// Costs in an epoch `O(interactions·width·(blocks·width + n_negatives))` and `items·width` for every batch.
///
/// # Errors
/// [`FitError`] for an empty set, settings out of range, or weights that grow beyond all bounds.
pub fn fit_sasrec(
    interactions: &Interactions,
    params: &SasRecParams,
    seed: u64,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<SasRec, FitError> {
    params.validate()?;
    if interactions.is_empty() {
        return Err(FitError::NoInteractions);
    }
    let n_items = interactions.n_items();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut weights =
        SasRecWeights::initial(n_items, params.max_history, params.width, params.n_blocks, &mut rng);
    let mut sequences = sequences(interactions, params.max_history);
    let mut adam = Adam::new(&mut weights, params.learning_rate);
    let mut n_parts = 0;
    for epoch in 0..params.n_epochs {
        sequences.shuffle(&mut rng);
        for batch in sequences.chunks(params.batch_size) {
            let negatives: Vec<u32> =
                (0..params.n_negatives).map(|_| rng.gen_range(0..n_items as u32)).collect();
            let n_steps = batch.iter().map(|sequence| sequence.len() - 1).sum();
            let parts: Vec<(usize, &[Vec<u32>])> = (n_parts..).zip(batch.chunks(PART)).collect();
            n_parts += parts.len();
            let gradients: Vec<Gradients> = parts
                .into_par_iter()
                .map(|(number, sequences)| {
                    let mut dropout = Dropout::new(params.dropout, seed, number as u64);
                    Part { weights: &weights, sequences, negatives: &negatives, n_steps }
                        .gradients(&mut dropout)
                })
                .collect();
            if !gradients.iter().all(|part| part.loss.is_finite()) {
                return Err(SasRecError::NotFinite.into());
            }
            adam.step(&mut weights, &gradients, &negatives);
        }
        progress(epoch + 1, params.n_epochs);
    }
    Ok(SasRec::try_new(weights)?)
}

/// Histories with something to learn: the newest items, of which all but the last are read.
fn sequences(interactions: &Interactions, max_history: usize) -> Vec<Vec<u32>> {
    let newest = |user| {
        let history = interactions.history(user);
        let from = history.len().saturating_sub(max_history + 1);
        history[from..].iter().map(|entry| entry.item.0).collect::<Vec<u32>>()
    };
    (0..interactions.n_users()).map(newest).filter(|sequence| sequence.len() > 1).collect()
}

/// Means of the gradients and of their squares.
struct Adam {
    learning_rate: f32,
    n_steps: i32,
    items: Moments,
    others: Vec<Moments>,
    /// Scratch: the sum over the parts.
    item_gradient: Array2<f32>,
}

struct Moments {
    mean: Vec<f32>,
    square: Vec<f32>,
}

impl Moments {
    fn new(len: usize) -> Self {
        Self { mean: vec![0.0; len], square: vec![0.0; len] }
    }

    /// `rate` and `epsilon` have the corrections for the first steps in them.
    fn step(&mut self, weights: &mut [f32], gradient: &[f32], rate: f32, epsilon: f32) {
        const BETA_1: f32 = 0.9;
        const BETA_2: f32 = 0.999;
        const AT_ONCE: usize = 1 << 14;
        let weights = weights.par_chunks_mut(AT_ONCE).zip(gradient.par_chunks(AT_ONCE));
        let moments = self.mean.par_chunks_mut(AT_ONCE).zip(self.square.par_chunks_mut(AT_ONCE));
        weights.zip(moments).for_each(|((weights, gradient), (mean, square))| {
            let moments = mean.iter_mut().zip(square);
            for ((weight, &gradient), (mean, square)) in weights.iter_mut().zip(gradient).zip(moments) {
                *mean = BETA_1 * *mean + (1.0 - BETA_1) * gradient;
                *square = BETA_2 * *square + (1.0 - BETA_2) * gradient * gradient;
                *weight -= rate * *mean / (square.sqrt() + epsilon);
            }
        });
    }
}

impl Adam {
    fn new(weights: &mut SasRecWeights, learning_rate: f32) -> Self {
        Self {
            learning_rate,
            n_steps: 0,
            items: Moments::new(weights.items.len()),
            others: weights.others_mut().iter().map(|slice| Moments::new(slice.len())).collect(),
            item_gradient: Array2::zeros(weights.items.raw_dim()),
        }
    }

    fn step(&mut self, weights: &mut SasRecWeights, parts: &[Gradients], negatives: &[u32]) {
        const EPSILON: f32 = 1e-8;
        self.n_steps += 1;
        let correction = (1.0 - 0.999_f32.powi(self.n_steps)).sqrt();
        let rate = self.learning_rate * correction / (1.0 - 0.9_f32.powi(self.n_steps));
        let epsilon = EPSILON * correction;

        self.item_gradient.fill(0.0);
        for part in parts {
            part.add_items_to(&mut self.item_gradient, negatives);
        }
        let gradient = self.item_gradient.as_slice().expect("made in standard layout");
        let items = weights.items.as_slice_mut().expect("made in standard layout");
        self.items.step(items, gradient, rate, epsilon);

        let sums = sum_of_others(parts);
        for ((moments, weights), gradient) in self.others.iter_mut().zip(weights.others_mut()).zip(&sums) {
            moments.step(weights, gradient, rate, epsilon);
        }
    }
}

/// In the order of [`SasRecWeights::others_mut`].
fn sum_of_others(parts: &[Gradients]) -> Vec<Vec<f32>> {
    let mut sums: Vec<Vec<f32>> = Vec::new();
    for part in parts {
        if sums.is_empty() {
            sums.clone_from(&part.others);
            continue;
        }
        for (sum, gradient) in sums.iter_mut().zip(&part.others) {
            sum.iter_mut().zip(gradient).for_each(|(sum, gradient)| *sum += gradient);
        }
    }
    sums
}

impl SasRecParams {
    /// Multiply-adds of a fit, about.
    pub fn cost(&self, interactions: &Interactions) -> f64 {
        let [width, n_blocks, n_negatives] = [self.width, self.n_blocks, self.n_negatives].map(|n| n as f64);
        // Forward, and back by weights and by what was read.
        let of_steps = 3.0 * interactions.len() as f64 * width * (6.0 * width * n_blocks + n_negatives);
        let n_batches = interactions.n_users().div_ceil(self.batch_size.max(1)) as f64;
        let of_adam = 5.0 * n_batches * interactions.n_items() as f64 * width;
        (of_steps + of_adam) * self.n_epochs as f64
    }

    fn validate(&self) -> Result<(), FitError> {
        let count = |value: usize, name, rule| param((1..=4096).contains(&value), name, value as f64, rule);
        const RULE: &str = "from 1 to 4096";
        count(self.width, "width", RULE)?;
        count(self.max_history, "max_history", RULE)?;
        count(self.n_negatives, "n_negatives", RULE)?;
        count(self.batch_size, "batch_size", RULE)?;
        param((1..=16).contains(&self.n_blocks), "n_blocks", self.n_blocks as f64, "from 1 to 16")?;
        param(self.n_epochs <= 10_000, "n_epochs", self.n_epochs as f64, "at most 10000")?;
        param((0.0..1.0).contains(&self.dropout), "dropout", self.dropout.into(), "from 0 to less than 1")?;
        let rate = self.learning_rate;
        param(rate.is_finite() && rate > 0.0, "learning_rate", rate.into(), "finite and greater than 0")
    }
}
