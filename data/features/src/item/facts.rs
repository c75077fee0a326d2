//! What ranking wants to know of an item's counters.

use serde::{Deserialize, Serialize};
use waggle_model::Timestamp;

use super::{Counter, ItemState};
use crate::StateDecodeError;

/// What everybody does with an item, as of one moment: the part of an item's features that is the same for all persons.
///
/// Counters decay, so these numbers age; within the seconds that they are kept, by less than one part in ten thousand.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ItemFacts {
    /// `ln(1 + decayed demand)` for each of [`HALF_LIVES_DAYS`](super::HALF_LIVES_DAYS).
    pub ln_demand: [f32; 3],
    /// Decayed demand of a month below 1.
    pub is_hardly_wanted: bool,
    /// `ln(demand per day now / demand per day of the week)`, one unit added to both.
    pub trend_day: f32,
    /// `ln(demand per day of the week / demand per day of the month)`, one unit added to both.
    pub trend_week: f32,
    /// [`ItemState::rebuy_rate`].
    pub rebuy_rate: f32,
    /// `ln(1 + decayed negative verdicts)`, half-life 30 days.
    pub ln_refusal: f32,
    /// Event time of the first event; the epoch where there was none.
    pub first_seen: Timestamp,
}

impl ItemFacts {
    /// Of counters, partials summed, as of `now`.
    pub fn of(state: &ItemState, now: Timestamp) -> Self {
        let demand = [0, 1, 2].map(|half_life| state.demand(half_life, now) as f32);
        // A decayed count of half-life h holds h/ln 2 days' worth; the constant cancels in the ratios.
        let [per_day, per_week, per_month] = [demand[0] + 1.0, demand[1] / 7.0 + 1.0, demand[2] / 30.0 + 1.0];
        Self {
            ln_demand: demand.map(f32::ln_1p),
            is_hardly_wanted: demand[2] < 1.0,
            trend_day: (per_day / per_week).ln(),
            trend_week: (per_week / per_month).ln(),
            rebuy_rate: state.rebuy_rate() as f32,
            ln_refusal: (state.count(Counter::Negative, 2, now) as f32).ln_1p(),
            first_seen: state.first_seen,
        }
    }
}

impl ItemFacts {
    /// Of the stored partials of one item, in the order of their partitions, as of `now`; what else they hold is not
    /// read.
    ///
    /// # Errors
    /// [`StateDecodeError`] for bytes that are no partial.
    pub fn of_partials<'a>(
        partials: impl IntoIterator<Item = &'a [u8]>,
        now: Timestamp,
    ) -> Result<Self, StateDecodeError> {
        let mut total: Option<ItemState> = None;
        for bytes in partials {
            let partial = ItemState::decode_totals(bytes)?;
            total = Some(match total {
                None => partial,
                Some(total) => total.merged_totals(&partial),
            });
        }
        Ok(total.map(|total| Self::of(&total, now)).unwrap_or_default())
    }
}

impl Default for ItemFacts {
    /// Of an item that nothing happened to.
    fn default() -> Self {
        Self::of(&ItemState::default(), Timestamp::default())
    }
}
