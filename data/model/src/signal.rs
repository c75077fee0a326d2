//! What an act of the installation's own kind says about its item.

use serde::{Deserialize, Serialize};

/// Heaviest signal: one act may count as this many acts of the kind it counts as.
pub const MAX_WEIGHT: f64 = 100.0;

/// The meaning of a kind that Waggle does not know by name.
///
/// It is configured, and written into each event when the event is taken in. So the log says all that a fold needs,
/// and a replay comes to the same state whatever the configuration says by then.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Signal {
    counts_as: CountsAs,
    weight: f64,
}

/// Which of the known acts a signal counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CountsAs {
    /// Views and clicks.
    Attention,
    Cart,
    /// Moves the item's counter of purchases and what ties the person to it. It is not an order.
    Purchase,
    /// Speaks against the item, like a dislike.
    Negative,
}

/// Why numbers are not a signal.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("weight is {0}, it must be more than 0 and at most {MAX_WEIGHT}")]
pub struct WeightError(f64);

impl Signal {
    /// - `weight`: how many acts of the kind it counts as; more than 0, at most [`MAX_WEIGHT`].
    ///
    /// # Errors
    /// [`WeightError`] for any other weight.
    pub fn try_new(counts_as: CountsAs, weight: f64) -> Result<Self, WeightError> {
        if weight.is_finite() && weight > 0.0 && weight <= MAX_WEIGHT {
            Ok(Self { counts_as, weight })
        } else {
            Err(WeightError(weight))
        }
    }

    pub fn counts_as(self) -> CountsAs {
        self.counts_as
    }

    pub fn weight(self) -> f64 {
        self.weight
    }
}

#[derive(Deserialize)]
struct Raw {
    counts_as: CountsAs,
    #[serde(default = "one")]
    weight: f64,
}

fn one() -> f64 {
    1.0
}

impl TryFrom<Raw> for Signal {
    type Error = WeightError;

    fn try_from(raw: Raw) -> Result<Self, WeightError> {
        Self::try_new(raw.counts_as, raw.weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_weight_within_its_bounds_makes_a_signal() {
        for weight in [f64::MIN_POSITIVE, 0.5, MAX_WEIGHT] {
            assert!(Signal::try_new(CountsAs::Cart, weight).is_ok());
        }
        for weight in [0.0, -1.0, 100.1, f64::NAN, f64::INFINITY] {
            let sentence = Signal::try_new(CountsAs::Cart, weight).unwrap_err().to_string();
            assert!(sentence.contains("at most 100"), "{sentence}");
        }
    }

    #[test]
    fn a_stored_weight_is_checked_like_a_new_one() {
        let read = |weight: f64| {
            let bytes =
                rmp_serde::to_vec_named(&serde_json::json!({ "counts_as": "cart", "weight": weight }));
            rmp_serde::from_slice::<Signal>(&bytes.unwrap())
        };
        assert_eq!(read(0.5).unwrap(), Signal::try_new(CountsAs::Cart, 0.5).unwrap());
        assert!(read(1e9).is_err());
        let plain: Signal = serde_json::from_str(r#"{"counts_as":"negative"}"#).unwrap();
        assert_eq!(plain, Signal::try_new(CountsAs::Negative, 1.0).unwrap());
    }
}
