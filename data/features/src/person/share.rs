//! How much of what one person does in a day counts for the items.
//!
//! The person's own history records everything. What reaches the items' counters, and with them everybody's lists, is
//! bounded per person, item and day: clicking a thousand times says no more than clicking four times.
//!
//! **The day** is the UTC day of event time, and a person's day only moves forward: a late event draws on the share of the
//! newest day, so going back in time opens no new share. A late event of an item that a full history does not hold gets
//! none, because nobody knows whether the item had it and was pushed out.
//!
//! **Over all items** at most [`MAX_COUNTED_PER_DAY`] acts count per day. That is less than the number of items a history
//! holds ([`MAX_ITEMS`](super::MAX_ITEMS)), so no item that was acted on and counted today can have been pushed out of the
//! history today, and cycling over many items opens no new share either. (An item that counted by late events alone can be
//! pushed out by other late ones: it may get its share twice.)

use serde::{Deserialize, Serialize};
use waggle_model::{Interaction, ItemKey, Placement, Timestamp};

use super::PersonState;
use crate::{day_of, item::Counter};

/// Most acts of one person that count in one day, over all items. An eager person looks at some hundred things a day.
pub const MAX_COUNTED_PER_DAY: u16 = 400;
/// Most impressions of one person that count in one day, over all items and placements.
pub const MAX_SEEN_PER_DAY: u16 = 400;
/// Impressions remembered so that the same item in the same place counts once.
const MAX_SEEN_REMEMBERED: usize = 32;

/// Acts of one person on one item that count in one day, by counter: looking twice in the morning and twice in the
/// evening, putting it into the cart, taking it out and putting it in again, buying it and buying one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DailyCaps;

impl DailyCaps {
    pub const ATTENTION: u8 = 4;
    pub const CART: u8 = 2;
    pub const PURCHASE: u8 = 2;
    pub const NEGATIVE: u8 = 2;
    /// Of the installation's own kinds that nobody gave a meaning, together.
    pub const CUSTOM: u8 = 4;

    const ALL: [u8; Counted::N] = [Self::ATTENTION, Self::CART, Self::PURCHASE, Self::NEGATIVE, Self::CUSTOM];
}

/// Acts on one item that counted in the person's newest day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted([u8; Counted::N]);

impl Counted {
    const N: usize = Counter::COUNT + 1;
    const BITS: u32 = 3;
    /// Nothing more counts today.
    pub(super) const EXHAUSTED: Self = Self(DailyCaps::ALL);

    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }

    /// Three bits each: no cap is larger.
    pub(super) fn packed(self) -> u64 {
        self.0.iter().rev().fold(0, |packed, n| packed << Self::BITS | u64::from(*n & 7))
    }

    pub(super) fn unpacked(packed: u64) -> Option<Self> {
        let mut left = packed;
        let counts = std::array::from_fn(|_| {
            let n = (left & 7) as u8;
            left >>= Self::BITS;
            n
        });
        (left == 0).then_some(Self(counts))
    }
}

const _: () = assert!(DailyCaps::ATTENTION <= 7 && DailyCaps::CUSTOM <= 7, "three bits hold every cap");
const _: () =
    assert!((MAX_COUNTED_PER_DAY as usize) < super::MAX_ITEMS, "what counted today stays in the history");

/// What of the person's newest day has counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Today {
    /// UTC days since 1970-01-01; the newest that any event of the person belongs to.
    pub day: i64,
    pub n_counted: u16,
    pub n_seen: u16,
    /// Fingerprints of the newest impressions, oldest first.
    pub(super) seen: Vec<u16>,
}

impl Today {
    /// Takes an act from what is left of the share, if anything is.
    pub(super) fn take(&mut self, item: &mut Counted, interaction: &Interaction) -> bool {
        let place = Counter::of(interaction).map_or(Counter::COUNT, |(counter, _)| counter as usize);
        let is_within = item.0[place] < DailyCaps::ALL[place] && self.n_counted < MAX_COUNTED_PER_DAY;
        if is_within {
            item.0[place] += 1;
            self.n_counted += 1;
        }
        is_within
    }
}

impl PersonState {
    /// The person saw the item in the placement. It counts for the person; says whether it counts for the item: at most [`MAX_SEEN_PER_DAY`] times
    /// a day, and not again while it is among the last 32 that did.
    pub fn see(&mut self, item: ItemKey, placement: &Placement, time: Timestamp) -> bool {
        self.enter_day(time);
        self.shown.add(item, time);
        let place = xxhash_rust::xxh3::xxh3_64_with_seed(placement.as_str().as_bytes(), item.0);
        let fingerprint = (place >> 48) as u16;
        if self.today.n_seen >= MAX_SEEN_PER_DAY || self.today.seen.contains(&fingerprint) {
            return false;
        }
        self.today.n_seen += 1;
        self.today.seen.push(fingerprint);
        super::trim_front(&mut self.today.seen, MAX_SEEN_REMEMBERED);
        true
    }

    /// Moves to the day of `time` if that is newer; says whether it is older.
    pub(super) fn enter_day(&mut self, time: Timestamp) -> bool {
        let day = day_of(time);
        if day > self.today.day {
            self.today = Today { day, ..Today::default() };
            self.items.iter_mut().for_each(|entry| entry.counted = Counted::default());
        }
        day < self.today.day
    }

    /// Time of the newest event of any kind, to the day at least.
    pub fn last_active(&self) -> Timestamp {
        let day = Timestamp::from_millis(self.today.day.saturating_mul(crate::DAY_MS));
        if self.n_events == 0 { day } else { day.max(self.last_seen) }
    }

    pub(super) const fn max_seen_remembered() -> usize {
        MAX_SEEN_REMEMBERED
    }
}

#[cfg(test)]
mod tests;
