//! What happened to one item: decayed counters by kind and half-life. Each log partition holds its own partial.

use serde::{Deserialize, Serialize};
use waggle_model::{CountsAs, Interaction, InteractionKind, Timestamp};

use crate::{Decayed, StateDecodeError, decode_versioned, encode_versioned};

const VERSION: u8 = 1;

/// Half-lives of the counters, in days: "now", "this week", "this season".
pub const HALF_LIVES_DAYS: [f64; 3] = [1.0, 7.0, 30.0];

/// What the counters tell apart. Several interaction kinds may share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counter {
    /// Views and clicks.
    Attention = 0,
    Cart = 1,
    Purchase = 2,
    /// Dislikes, dismissals and cancelled purchases.
    Negative = 3,
}

impl Counter {
    pub const COUNT: usize = 4;

    /// The counter that an act moves, and by how much; `None` for kinds that nobody gave a meaning.
    pub fn of(interaction: &Interaction) -> Option<(Self, f64)> {
        let counter = match &interaction.kind {
            InteractionKind::View | InteractionKind::Click => Self::Attention,
            InteractionKind::Cart | InteractionKind::Like | InteractionKind::Rating => Self::Cart,
            InteractionKind::Purchase => Self::Purchase,
            InteractionKind::Dislike | InteractionKind::Dismiss | InteractionKind::PurchaseCancelled => {
                Self::Negative
            }
            InteractionKind::Custom(_) => {
                return interaction.signal.map(|signal| (signal.counts_as().into(), signal.weight()));
            }
        };
        Some((counter, 1.0))
    }
}

impl From<CountsAs> for Counter {
    fn from(counts_as: CountsAs) -> Self {
        match counts_as {
            CountsAs::Attention => Self::Attention,
            CountsAs::Cart => Self::Cart,
            CountsAs::Purchase => Self::Purchase,
            CountsAs::Negative => Self::Negative,
        }
    }
}

/// Decayed counters of one item, in one partition or (after [`merged`](Self::merged)) in all.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ItemState {
    counters: [[Decayed; HALF_LIVES_DAYS.len()]; Counter::COUNT],
    /// All interactions ever.
    pub n_events: u64,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    /// Orders that held it, and how many of them were the person's first with it (as far as histories reach). What is
    /// left are re-buys.
    #[serde(default)]
    pub n_orders: u64,
    #[serde(default)]
    pub n_buyers: u64,
}

impl ItemState {
    /// # Errors
    /// [`StateDecodeError`] for bytes that [`encode`](Self::encode) of this version did not write.
    pub fn decode(bytes: &[u8]) -> Result<Self, StateDecodeError> {
        decode_versioned(VERSION, bytes)
    }

    pub fn encode(&self) -> Vec<u8> {
        encode_versioned(VERSION, self)
    }

    pub fn apply(&mut self, interaction: &Interaction, time: Timestamp) {
        if self.n_events == 0 {
            self.first_seen = time;
            self.last_seen = time;
        }
        self.n_events += 1;
        self.first_seen = self.first_seen.min(time);
        self.last_seen = self.last_seen.max(time);
        if let Some((counter, weight)) = Counter::of(interaction) {
            for (decayed, half_life) in self.counters[counter as usize].iter_mut().zip(HALF_LIVES_DAYS) {
                decayed.add(weight, time, half_life);
            }
        }
    }

    /// An order held it; `is_first` if the person had not bought it before.
    pub(crate) fn count_order(&mut self, is_first: bool) {
        self.n_orders += 1;
        self.n_buyers += u64::from(is_first);
    }

    /// Share of its orders that were re-buys, `(re-buys + 1) / (orders + 5)`: unknown items start at one in five.
    pub fn rebuy_rate(&self) -> f64 {
        (self.n_orders.saturating_sub(self.n_buyers) as f64 + 1.0) / (self.n_orders as f64 + 5.0)
    }

    /// Decayed count as of `time`; `half_life` is a place in [`HALF_LIVES_DAYS`].
    pub fn count(&self, counter: Counter, half_life: usize, time: Timestamp) -> f64 {
        self.counters[counter as usize][half_life].value_at(time, HALF_LIVES_DAYS[half_life])
    }

    /// How much people want the item, as of `time`: purchases, plus half the carts, plus a tenth of the attention,
    /// minus what speaks against it. Not below zero.
    pub fn demand(&self, half_life: usize, time: Timestamp) -> f64 {
        let count = |counter| self.count(counter, half_life, time);
        (count(Counter::Purchase) + 0.5 * count(Counter::Cart) + 0.1 * count(Counter::Attention)
            - count(Counter::Negative))
        .max(0.0)
    }

    /// The sum of two partials.
    #[must_use]
    pub fn merged(&self, other: &Self) -> Self {
        if self.n_events == 0 {
            return other.clone();
        }
        if other.n_events == 0 {
            return self.clone();
        }
        let mut sum = self.clone();
        for (mine, theirs) in sum.counters.iter_mut().zip(&other.counters) {
            for ((a, b), half_life) in mine.iter_mut().zip(theirs).zip(HALF_LIVES_DAYS) {
                *a = a.merged(b, half_life);
            }
        }
        sum.n_events += other.n_events;
        sum.n_orders += other.n_orders;
        sum.n_buyers += other.n_buyers;
        sum.first_seen = sum.first_seen.min(other.first_seen);
        sum.last_seen = sum.last_seen.max(other.last_seen);
        sum
    }
}

#[cfg(test)]
mod tests;
