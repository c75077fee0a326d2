//! The second stage: a linear ranker over the features of `waggle_features::ranking`.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use waggle_features::FEATURES;

use crate::linalg::dot_rows;

/// Log-odds that a candidate is taken, linear in standardised features:
/// `intercept + Σ_f weight_f · (value_f − mean_f)/scale_f`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ranker {
    /// Names of the features, in the order of the values.
    pub feature_names: Vec<String>,
    pub means: Vec<f32>,
    /// Standard deviations; 1 where a feature was constant in training (its weight is 0 then).
    pub scales: Vec<f32>,
    pub weights: Vec<f32>,
    pub intercept: f32,
}

/// Why a ranker cannot be used by this build.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RankerError {
    #[error("ranker has {got} {name}, it has {expected} features")]
    Length { name: &'static str, expected: usize, got: usize },
    #[error("ranker knows {got} features, this build computes {expected}")]
    FeatureCount { expected: usize, got: usize },
    #[error("feature {place} of the ranker is \"{got}\", this build computes \"{expected}\" there")]
    FeatureName { place: usize, expected: &'static str, got: String },
    #[error("{name} of feature \"{feature}\" is {got}, it must be {rule}")]
    Value { name: &'static str, feature: String, got: f32, rule: &'static str },
    #[error("intercept of the ranker is {0}, it must be finite")]
    Intercept(f32),
}

impl Ranker {
    /// Log-odds of one candidate; higher is better.
    ///
    /// # Panics
    /// If `features` is not as long as the ranker's list.
    pub fn score(&self, features: &[f32]) -> f32 {
        assert_eq!(features.len(), self.weights.len(), "one value per feature");
        let mut sum = f64::from(self.intercept);
        for (place, value) in features.iter().enumerate() {
            sum += f64::from(self.contribution(place, *value));
        }
        sum as f32
    }

    /// The scores of many candidates: `rows` is `[n, n_features]`, `out` has `n`. Computed as
    /// `b + Σ_f (weight_f/scale_f)·value_f` with `b = intercept − Σ_f weight_f·mean_f/scale_f`, so the last bits may differ
    /// from [`score`](Self::score).
    ///
    /// # Panics
    /// If the lengths do not agree.
    pub fn score_all(&self, rows: &[f32], out: &mut [f32]) {
        let (mut slopes, mut base) = (Vec::with_capacity(self.weights.len()), f64::from(self.intercept));
        for ((weight, mean), scale) in self.weights.iter().zip(&self.means).zip(&self.scales) {
            slopes.push(weight / scale);
            base -= f64::from(*weight) * f64::from(*mean) / f64::from(*scale);
        }
        dot_rows(rows, &slopes, out);
        out.iter_mut().for_each(|score| *score += base as f32);
    }

    /// What each feature adds to the score: `out[f] = weight_f · (value_f − mean_f)/scale_f`. With the intercept they sum
    /// to [`score`](Self::score).
    ///
    /// # Panics
    /// If `features` or `out` is not as long as the ranker's list.
    pub fn contributions(&self, features: &[f32], out: &mut [f32]) {
        assert_eq!(features.len(), self.weights.len(), "one value per feature");
        assert_eq!(out.len(), self.weights.len(), "one place per feature");
        for (place, (value, out)) in features.iter().zip(out).enumerate() {
            *out = self.contribution(place, *value);
        }
    }

    fn contribution(&self, place: usize, value: f32) -> f32 {
        self.weights[place] * (value - self.means[place]) / self.scales[place]
    }

    /// The same ranker over this build's features: those that it was fitted without weigh nothing. One that knows a feature
    /// which this build does not compute stays as it is, and [`validate`](Self::validate) refuses it.
    #[must_use]
    pub fn with_newer_features(self) -> Self {
        let Self { feature_names, means, scales, weights, intercept } = &self;
        let n = feature_names.len();
        let is_whole = [means.len(), scales.len(), weights.len()] == [n; 3];
        let is_known = |name: &String| FEATURES.iter().any(|feature| feature.name == name);
        if !is_whole || !feature_names.iter().all(is_known) {
            return self;
        }
        let places: Vec<Option<usize>> = FEATURES
            .iter()
            .map(|feature| feature_names.iter().position(|name| name == feature.name))
            .collect();
        let filled = |values: &[f32], without: f32| {
            places.iter().map(|place| place.map_or(without, |place| values[place])).collect()
        };
        Self {
            feature_names: FEATURES.iter().map(|feature| feature.name.to_owned()).collect(),
            means: filled(means, 0.0),
            scales: filled(scales, 1.0),
            weights: filled(weights, 0.0),
            intercept: *intercept,
        }
    }

    /// Checks that this build computes the features the ranker was fitted on, and that all numbers are usable.
    ///
    /// # Errors
    /// [`RankerError`] names the first thing that is wrong.
    pub fn validate(&self) -> Result<(), RankerError> {
        let expected = self.feature_names.len();
        for (name, got) in
            [("means", self.means.len()), ("scales", self.scales.len()), ("weights", self.weights.len())]
        {
            if got != expected {
                return Err(RankerError::Length { name, expected, got });
            }
        }
        if expected != FEATURES.len() {
            return Err(RankerError::FeatureCount { expected: FEATURES.len(), got: expected });
        }
        for (place, (got, feature)) in self.feature_names.iter().zip(FEATURES).enumerate() {
            if got != feature.name {
                return Err(RankerError::FeatureName { place, expected: feature.name, got: got.clone() });
            }
            let check = |name, got: f32, ok: bool, rule| {
                if ok {
                    Ok(())
                } else {
                    Err(RankerError::Value { name, feature: feature.name.to_owned(), got, rule })
                }
            };
            let (mean, scale, weight) = (self.means[place], self.scales[place], self.weights[place]);
            check("mean", mean, mean.is_finite(), "finite")?;
            check("scale", scale, scale.is_finite() && scale > 0.0, "finite and greater than 0")?;
            check("weight", weight, weight.is_finite(), "finite")?;
        }
        if !self.intercept.is_finite() {
            return Err(RankerError::Intercept(self.intercept));
        }
        Ok(())
    }
}
