//! What happened to one item: decayed and windowed counters, placements, and what it is acted on together with. Each log
//! partition holds its own partial; they add up.
//!
//! Only what counts comes here: [`fold`](crate::fold) first holds one person's acts against their share of the day.

mod co_visits;
mod encoding;
mod facts;
mod placements;
mod window;

use serde::{Deserialize, Serialize};
use waggle_model::{CountsAs, Interaction, InteractionKind, ItemKey, Placement, Timestamp};

use crate::Decayed;
pub use co_visits::{CoVisits, MAX_CO_VISITS};
pub use encoding::ItemSeen;
pub use facts::ItemFacts;
pub use placements::{MAX_PLACEMENTS, PlacementCounter, Placements};
pub use window::{WINDOW_DAYS, Window};

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

/// Counters of one item, in one partition or (after [`merged`](Self::merged)) in all.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ItemState {
    counters: [Decayed<{ HALF_LIVES_DAYS.len() }>; Counter::COUNT],
    /// All interactions that counted.
    pub n_events: u64,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    /// Orders that held it, and how many of them were the person's first with it (as far as histories reach). What is
    /// left are re-buys.
    pub n_orders: u64,
    pub n_buyers: u64,
    /// Exact counts of the last days; an act of an own kind counts once, whatever its weight.
    pub window: Window,
    pub placements: Placements,
    pub co_visits: CoVisits,
}

impl ItemState {
    pub fn apply(&mut self, interaction: &Interaction, time: Timestamp) {
        self.touch(time);
        self.n_events += 1;
        let Some((counter, weight)) = Counter::of(interaction) else { return };
        self.counters[counter as usize].add([weight; HALF_LIVES_DAYS.len()], time, HALF_LIVES_DAYS);
        self.window.add(counter, time);
        let done = PlacementCounter::of(&interaction.kind);
        if let (Some(placement), Some(done)) = (&interaction.placement, done) {
            self.placements.add(placement, done, time);
        }
    }

    /// Somebody saw it there.
    pub fn see(&mut self, placement: &Placement, time: Timestamp) {
        self.touch(time);
        self.placements.add(placement, PlacementCounter::Seen, time);
    }

    /// Somebody acted on it and on `other` within one session.
    pub fn co_visit(&mut self, other: ItemKey, time: Timestamp) {
        self.touch(time);
        self.co_visits.add(other, time);
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
        self.counters[counter as usize].value_at(half_life, time, HALF_LIVES_DAYS[half_life])
    }

    /// How much people want the item, as of `time`: purchases, plus half the carts, plus a tenth of the attention,
    /// minus what speaks against it. Not below zero.
    pub fn demand(&self, half_life: usize, time: Timestamp) -> f64 {
        demand(|counter| self.count(counter, half_life, time))
    }

    /// [`demand`](Self::demand) of exact counts: of the UTC day of `time` and the `n_days − 1` days before it, at most
    /// [`WINDOW_DAYS`] together.
    pub fn demand_in_days(&self, n_days: usize, time: Timestamp) -> f64 {
        demand(|counter| self.window.count(counter, n_days, time) as f64)
    }

    /// The sum of two partials.
    #[must_use]
    pub fn merged(&self, other: &Self) -> Self {
        if self.is_empty() {
            return other.clone();
        }
        if other.is_empty() {
            return self.clone();
        }
        Self {
            window: self.window.merged(&other.window),
            placements: self.placements.merged(&other.placements),
            co_visits: self.co_visits.merged(&other.co_visits),
            ..self.merged_totals(other)
        }
    }

    /// The sums of two partials to which something happened, without window, placements and co-visits.
    fn merged_totals(&self, other: &Self) -> Self {
        Self {
            counters: std::array::from_fn(|n| self.counters[n].merged(&other.counters[n], HALF_LIVES_DAYS)),
            n_events: self.n_events + other.n_events,
            first_seen: self.first_seen.min(other.first_seen),
            last_seen: self.last_seen.max(other.last_seen),
            n_orders: self.n_orders + other.n_orders,
            n_buyers: self.n_buyers + other.n_buyers,
            ..Self::default()
        }
    }

    /// Nothing ever happened to it.
    pub fn is_empty(&self) -> bool {
        self.n_events == 0 && self.placements.is_empty() && self.co_visits.is_empty()
    }

    fn touch(&mut self, time: Timestamp) {
        if self.is_empty() {
            (self.first_seen, self.last_seen) = (time, time);
        }
        self.first_seen = self.first_seen.min(time);
        self.last_seen = self.last_seen.max(time);
    }
}

fn demand(count: impl Fn(Counter) -> f64) -> f64 {
    (count(Counter::Purchase) + 0.5 * count(Counter::Cart) + 0.1 * count(Counter::Attention)
        - count(Counter::Negative))
    .max(0.0)
}

#[cfg(test)]
mod tests;
