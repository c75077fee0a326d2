//! One item in the places of a page: how often it was seen there, and what followed.

use serde::{Deserialize, Serialize};
use waggle_model::{InteractionKind, Placement, Timestamp};

use crate::{
    Decayed,
    codec::{Reader, StateDecodeError, Writer},
};

/// Most placements kept per item; the one with the smallest counts goes first, so that names made up by a client
/// displace each other and not the real ones.
pub const MAX_PLACEMENTS: usize = 8;
/// Half-life of the counters, in days.
const HALF_LIFE_DAYS: f64 = 30.0;
const HALF_LIVES: [f64; PlacementCounter::COUNT] = [HALF_LIFE_DAYS; PlacementCounter::COUNT];

/// What is counted per placement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlacementCounter {
    Seen = 0,
    /// Views and clicks that an answer led to.
    Click = 1,
    Cart = 2,
    Purchase = 3,
}

impl PlacementCounter {
    pub const COUNT: usize = 4;

    /// What an interaction of this kind counts as.
    pub fn of(kind: &InteractionKind) -> Option<Self> {
        match kind {
            InteractionKind::View | InteractionKind::Click => Some(Self::Click),
            InteractionKind::Cart => Some(Self::Cart),
            InteractionKind::Purchase => Some(Self::Purchase),
            _ => None,
        }
    }

    /// Mean and weight (in impressions) of the Beta prior of its rate: one in twenty that see an item click, one in a
    /// hundred take it into the cart, one in two hundred buy it. Twenty impressions of evidence weigh as much as the
    /// prior of clicks.
    fn prior(self) -> (f64, f64) {
        match self {
            Self::Seen => (1.0, 0.0),
            Self::Click => (0.05, 20.0),
            Self::Cart => (0.01, 100.0),
            Self::Purchase => (0.005, 200.0),
        }
    }
}

/// Decayed counters by placement.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Placements(Vec<(u32, Decayed<{ PlacementCounter::COUNT }>)>);

impl Placements {
    pub(super) fn add(&mut self, placement: &Placement, done: PlacementCounter, time: Timestamp) {
        let key = key_of(placement);
        let mut weights = [0.0; PlacementCounter::COUNT];
        weights[done as usize] = 1.0;
        if let Some((_, counts)) = self.0.iter_mut().find(|(known, _)| *known == key) {
            counts.add(weights, time, HALF_LIVES);
            return;
        }
        if self.0.len() == MAX_PLACEMENTS {
            self.drop_least();
        }
        let mut counts = Decayed::default();
        counts.add(weights, time, HALF_LIVES);
        self.0.push((key, counts));
    }

    /// Decayed count as of `now`.
    pub fn count(&self, placement: &Placement, counter: PlacementCounter, now: Timestamp) -> f64 {
        let key = key_of(placement);
        let known = self.0.iter().find(|(known, _)| *known == key);
        known.map_or(0.0, |(_, counts)| counts.value_at(counter as usize, now, HALF_LIFE_DAYS))
    }

    /// How many of those who saw the item there did this, `(n + m·w) / (seen + w)` with the prior's mean `m` and weight
    /// `w`; at most 1. Without evidence it is the prior's mean.
    pub fn rate(&self, placement: &Placement, counter: PlacementCounter, now: Timestamp) -> f64 {
        let (mean, weight) = counter.prior();
        let seen = self.count(placement, PlacementCounter::Seen, now);
        let done = self.count(placement, counter, now);
        if seen + weight <= 0.0 { mean } else { ((done + mean * weight) / (seen + weight)).min(1.0) }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[must_use]
    pub(super) fn merged(&self, other: &Self) -> Self {
        let mut sum = self.clone();
        for (key, counts) in &other.0 {
            match sum.0.iter_mut().find(|(known, _)| known == key) {
                Some((_, mine)) => *mine = mine.merged(counts, HALF_LIVES),
                None => sum.0.push((*key, *counts)),
            }
        }
        while sum.0.len() > MAX_PLACEMENTS {
            sum.drop_least();
        }
        sum
    }

    fn drop_least(&mut self) {
        let now = self.0.iter().map(|(_, counts)| counts.at()).max().unwrap_or_default();
        let total = |counts: &Decayed<{ PlacementCounter::COUNT }>| -> f64 {
            (0..PlacementCounter::COUNT).map(|n| counts.value_at(n, now, HALF_LIFE_DAYS)).sum()
        };
        let least = (0..self.0.len()).min_by(|&a, &b| {
            total(&self.0[a].1).total_cmp(&total(&self.0[b].1)).then(self.0[a].0.cmp(&self.0[b].0))
        });
        least.map(|place| self.0.remove(place));
    }

    pub(super) fn write(&self, near: Timestamp, writer: &mut Writer) {
        writer.varint(self.0.len() as u64);
        for (key, counts) in &self.0 {
            writer.u32(*key);
            counts.write(near, writer);
        }
    }

    pub(super) fn read(near: Timestamp, reader: &mut Reader<'_>) -> Result<Self, StateDecodeError> {
        let n = reader.count(MAX_PLACEMENTS, 6)?;
        (0..n).map(|_| Ok((reader.u32()?, Decayed::read(near, reader)?))).collect::<Result<_, _>>().map(Self)
    }
}

/// XXH3 of the placement's name, its lower half.
fn key_of(placement: &Placement) -> u32 {
    xxhash_rust::xxh3::xxh3_64(placement.as_str().as_bytes()) as u32
}
