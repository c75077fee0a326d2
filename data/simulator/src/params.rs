//! How large a market is, and what it does per day.

use serde::{Deserialize, Serialize};

use crate::words::CATEGORIES;

/// Why a market cannot be made or asked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SimulatorError {
    #[error("{name} is {got}, it must be {expected}")]
    Parameter { name: &'static str, got: String, expected: String },
    #[error("the market has no shopper \"{id}\"")]
    UnknownUser { id: String },
    #[error("the market has no item \"{id}\"")]
    UnknownItem { id: String },
}

/// The size and habits of a market. [`Default`] is one that a laptop simulates in a second.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimulatorParams {
    pub n_items: u32,
    pub n_users: u32,
    /// At most as many as there are kinds of things in the vocabulary.
    pub n_categories: u32,
    pub n_brands: u32,
    /// Days of events.
    pub days: u32,
    /// Events of an average shopper over all days, in expectation.
    pub events_per_user: f64,
    /// Exponent of the popularity of items by rank; 0 makes all alike.
    pub zipf_exponent: f64,
    /// How far the weights of a shopper's interests swing: 0 keeps tastes as they are.
    pub drift: f64,
    /// Share of the items that appear during the days, the rest is there from the start.
    pub new_items: f64,
    /// Share of the visits without login: their events carry a session only.
    pub anonymous: f64,
    pub seed: u64,
}

impl Default for SimulatorParams {
    fn default() -> Self {
        Self {
            n_items: 2_000,
            n_users: 5_000,
            n_categories: 20,
            n_brands: 60,
            days: 60,
            events_per_user: 15.0,
            zipf_exponent: 0.9,
            drift: 0.8,
            new_items: 0.15,
            anonymous: 0.1,
            seed: 1,
        }
    }
}

impl SimulatorParams {
    /// # Errors
    /// [`SimulatorError::Parameter`] names the first value that is out of range, and the range.
    pub fn validate(&self) -> Result<(), SimulatorError> {
        let whole = |name, got: u32, low: u32, high: u32| {
            if (low..=high).contains(&got) {
                return Ok(());
            }
            Err(SimulatorError::Parameter {
                name,
                got: got.to_string(),
                expected: format!("{low} to {high}"),
            })
        };
        let real = |name, got: f64, low: f64, high: f64| {
            if (low..=high).contains(&got) {
                return Ok(());
            }
            Err(SimulatorError::Parameter {
                name,
                got: got.to_string(),
                expected: format!("{low} to {high}"),
            })
        };
        whole("n_items", self.n_items, 1, 10_000_000)?;
        whole("n_users", self.n_users, 1, 10_000_000)?;
        let n_kinds = u32::try_from(CATEGORIES.len()).expect("the vocabulary is small");
        whole("n_categories", self.n_categories, 1, n_kinds.min(self.n_items))?;
        whole("n_brands", self.n_brands, 1, 2_000)?;
        whole("days", self.days, 1, 3_650)?;
        real("events_per_user", self.events_per_user, 0.01, 10_000.0)?;
        real("zipf_exponent", self.zipf_exponent, 0.0, 3.0)?;
        real("drift", self.drift, 0.0, 5.0)?;
        real("new_items", self.new_items, 0.0, 1.0)?;
        real("anonymous", self.anonymous, 0.0, 1.0)
    }
}
