//! Exponentially decayed sums over event time.

use serde::{Deserialize, Serialize};
use waggle_model::Timestamp;

/// `Σ_e w_e · 2^(−(t − t_e)/half_life)`, kept as the value at the newest event seen.
///
/// Events may arrive out of order: a late one is added with its own decay, so the order does not matter (up to
/// rounding).
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Decayed {
    value: f64,
    at: Timestamp,
}

impl Decayed {
    /// Adds an event of weight `weight` at `time`.
    pub fn add(&mut self, weight: f64, time: Timestamp, half_life_days: f64) {
        if self.value == 0.0 {
            // Nothing to decay: any first event, however old, starts the sum at full weight.
            (self.value, self.at) = (weight, time);
        } else if time >= self.at {
            self.value = self.value_at(time, half_life_days) + weight;
            self.at = time;
        } else {
            self.value += weight * factor(self.at.days_since(time), half_life_days);
        }
    }

    /// The sum as of `time`. Asked for a time before the newest event, it gives the value at that event: a feature
    /// never un-happens.
    pub fn value_at(&self, time: Timestamp, half_life_days: f64) -> f64 {
        if self.value == 0.0 {
            return 0.0;
        }
        self.value * factor(time.days_since(self.at).max(0.0), half_life_days)
    }

    /// The sum of two partials, as of the newer of their times.
    #[must_use]
    pub fn merged(&self, other: &Self, half_life_days: f64) -> Self {
        let at = self.at.max(other.at);
        Self { value: self.value_at(at, half_life_days) + other.value_at(at, half_life_days), at }
    }
}

/// `2^(−days/half_life_days)`.
fn factor(days: f64, half_life_days: f64) -> f64 {
    (-days / half_life_days).exp2()
}

#[cfg(test)]
mod tests;
