//! How sure a mean is, and whether two recommenders really differ: resampling of persons.
//!
//! Persons are drawn, not cases: cases of one person are not independent. The percentile interval is Efron's (Efron and
//! Tibshirani 1993, chapter 13); differences are paired, both recommenders seeing the same drawn persons.

#[cfg(test)]
mod tests;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::Serialize;

use crate::{Evaluation, EvaluationError};

/// How to resample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bootstrap {
    pub n_resamples: usize,
    /// Probability that the interval is to cover, for example 0.95.
    pub confidence: f64,
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { n_resamples: 2000, confidence: 0.95, seed: 0x5eed }
    }
}

/// A mean and where it may lie.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

/// One mean minus another over the same cases.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Difference {
    pub value: f64,
    pub low: f64,
    pub high: f64,
    /// Two-sided: twice the share of resamples on the other side of zero (one added above and below the line), at most 1.
    pub p_value: f64,
}

impl Bootstrap {
    /// The mean of every metric of `evaluation` with its interval, in their order.
    ///
    /// # Errors
    /// [`EvaluationError::NoCases`] when there is nothing to resample.
    pub fn intervals(&self, evaluation: &Evaluation) -> Result<Vec<Interval>, EvaluationError> {
        let columns: Vec<Vec<f64>> = evaluation.values.clone();
        let sample = self.resample(&columns, &evaluation.persons)?;
        Ok(sample
            .into_iter()
            .map(|(value, mut means)| {
                let (low, high) = self.percentiles(&mut means);
                Interval { value, low, high }
            })
            .collect())
    }

    /// `mean(a) − mean(b)` of one metric, paired case by case.
    ///
    /// # Errors
    /// [`EvaluationError`] when the two were not evaluated on the same cases, or one does not know the metric.
    pub fn difference(
        &self,
        a: &Evaluation,
        b: &Evaluation,
        metric: &str,
    ) -> Result<Difference, EvaluationError> {
        if a.persons != b.persons {
            return Err(EvaluationError::DifferentCases(a.name.clone(), b.name.clone()));
        }
        let of = |e: &Evaluation| e.values(metric).map(<[f64]>::to_vec);
        let unknown = || EvaluationError::UnknownMetric(metric.to_owned());
        let (left, right) = (of(a).ok_or_else(unknown)?, of(b).ok_or_else(unknown)?);
        let gaps: Vec<f64> = left.iter().zip(&right).map(|(x, y)| x - y).collect();
        let (value, mut means) = self.resample(&[gaps], &a.persons)?.remove(0);
        let (low, high) = self.percentiles(&mut means);
        let not_above = means.iter().filter(|mean| **mean <= 0.0).count();
        let not_below = means.iter().filter(|mean| **mean >= 0.0).count();
        let tail = (not_above.min(not_below) + 1) as f64 / (means.len() + 1) as f64;
        Ok(Difference { value, low, high, p_value: (2.0 * tail).min(1.0) })
    }

    /// Per column: the mean over all cases, and the means of the resamples. Each resample has a seed of its own, so the
    /// result does not depend on threads.
    fn resample(
        &self,
        columns: &[Vec<f64>],
        persons: &[u32],
    ) -> Result<Vec<(f64, Vec<f64>)>, EvaluationError> {
        let n_persons = persons.iter().max().map_or(0, |max| *max as usize + 1);
        if n_persons == 0 {
            return Err(EvaluationError::NoCases);
        }
        // Sums per person and metric, and the number of cases in the last place.
        let width = columns.len() + 1;
        let mut sums = vec![0.0; n_persons * width];
        for (case, &person) in persons.iter().enumerate() {
            let row = &mut sums[person as usize * width..][..width];
            for (sum, column) in row.iter_mut().zip(columns) {
                *sum += column[case];
            }
            row[width - 1] += 1.0;
        }
        let means_of = |draw: &mut dyn FnMut(usize) -> usize| -> Vec<f64> {
            let mut total = vec![0.0; width];
            for place in 0..n_persons {
                for (total, sum) in total.iter_mut().zip(&sums[draw(place) * width..][..width]) {
                    *total += sum;
                }
            }
            total[..width - 1].iter().map(|sum| sum / total[width - 1]).collect()
        };
        let whole = means_of(&mut |place| place);
        let resamples: Vec<Vec<f64>> = (0..self.n_resamples as u64)
            .into_par_iter()
            .map(|resample| {
                let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
                rng.set_stream(resample);
                means_of(&mut |_| rng.gen_range(0..n_persons))
            })
            .collect();
        Ok(whole
            .into_iter()
            .enumerate()
            .map(|(column, value)| (value, resamples.iter().map(|means| means[column]).collect()))
            .collect())
    }

    /// The interval between the two tails, by linear interpolation between order statistics; sorts `means`.
    fn percentiles(&self, means: &mut [f64]) -> (f64, f64) {
        means.sort_unstable_by(f64::total_cmp);
        let tail = ((1.0 - self.confidence) / 2.0).clamp(0.0, 0.5);
        let at = |quantile: f64| match means.len() {
            0 => f64::NAN,
            n => {
                let place = quantile * (n - 1) as f64;
                let below = means[place.floor() as usize];
                below + (means[place.ceil() as usize] - below) * place.fract()
            }
        };
        (at(tail), at(1.0 - tail))
    }
}
