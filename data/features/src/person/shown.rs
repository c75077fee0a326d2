//! How often which items were shown to a person since they last acted on them.
//!
//! Impressions are forgotten: a count is halved every [`HALF_LIFE_DAYS`] UTC days of event time. It is kept and decayed in
//! whole numbers, so that a replay gives the same bits on any machine. The [`MAX_SHOWN`] items shown last are kept; where
//! one has to go, one that was shown once goes before one that was shown again.

use serde::{Deserialize, Serialize};
use waggle_model::{ItemKey, Timestamp};

use crate::{
    StateDecodeError,
    codec::{Reader, Writer},
    day_of,
};

/// Most items whose impressions are counted.
pub const MAX_SHOWN: usize = 64;
/// Days after which an impression counts half.
pub const HALF_LIFE_DAYS: u64 = 3;
/// One impression, in the units of [`Shown::count`].
const ONE: u16 = 64;
/// `2^(16 − d/3)` for `d` days.
const DECAY: [u64; HALF_LIFE_DAYS as usize] = [65_536, 52_016, 41_285];

/// The items shown to one person, the one shown longest ago first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownItems(Vec<Shown>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Shown {
    item: ItemKey,
    /// UTC day of the newest impression.
    day: i64,
    /// Impressions as of that day, in 64ths.
    count: u16,
}

impl ShownItems {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All that are counted, the one shown longest ago first.
    pub fn items(&self) -> impl Iterator<Item = ItemKey> + '_ {
        self.0.iter().map(|shown| shown.item)
    }

    /// The items that were shown more than `n` times, with how often as of `now`.
    pub fn more_often_than(&self, n: f32, now: Timestamp) -> impl Iterator<Item = (ItemKey, f32)> + '_ {
        let today = day_of(now);
        let times = move |shown: &Shown| f32::from(shown.as_of(today)) / f32::from(ONE);
        self.0.iter().map(move |shown| (shown.item, times(shown))).filter(move |(_, times)| *times > n)
    }

    /// A number that changes with every impression of an item that was shown more than `n` times, and with hardly any
    /// other.
    pub fn fingerprint(&self, n: f32) -> u64 {
        let often = self.0.iter().filter(|shown| f32::from(shown.count) > n * f32::from(ONE));
        often.fold(0, |hash, shown| {
            let part =
                [shown.item.0.to_le_bytes(), ((shown.day << 16) | i64::from(shown.count)).to_le_bytes()];
            xxhash_rust::xxh3::xxh3_64_with_seed(part.as_flattened(), hash)
        })
    }

    pub(super) fn add(&mut self, item: ItemKey, time: Timestamp) {
        self.put(Shown { item, day: day_of(time), count: ONE });
        self.make_room();
    }

    /// The person acted on the item: what was shown before counts no more.
    pub(super) fn forget(&mut self, item: ItemKey) {
        self.0.retain(|shown| shown.item != item);
    }

    pub(super) fn united_with(&self, other: &Self) -> Self {
        let mut all = self.clone();
        other.0.iter().for_each(|theirs| all.put(*theirs));
        all.0.sort_by_key(|shown| shown.day);
        while all.0.len() > MAX_SHOWN {
            all.make_room();
        }
        all
    }

    fn put(&mut self, more: Shown) {
        let known = self.0.iter().rposition(|shown| shown.item == more.item);
        let shown = match known {
            Some(place) => self.0.remove(place).and(more),
            None => more,
        };
        self.0.push(shown);
    }

    /// The newest one stays.
    fn make_room(&mut self) {
        if self.0.len() > MAX_SHOWN {
            let old = &self.0[..self.0.len() - 1];
            let place = old.iter().position(|shown| shown.count <= ONE).unwrap_or(0);
            self.0.remove(place);
        }
    }

    /// - `near`: a day that is likely close to those of the impressions
    pub(super) fn write(&self, near: i64, writer: &mut Writer) {
        writer.varint(self.0.len() as u64);
        for shown in &self.0 {
            writer.u64(shown.item.0);
            writer.zigzag(near.wrapping_sub(shown.day));
            writer.varint(shown.count.into());
        }
    }

    pub(super) fn read(near: i64, reader: &mut Reader<'_>) -> Result<Self, StateDecodeError> {
        let n = reader.count(MAX_SHOWN, 10)?;
        let one = |reader: &mut Reader<'_>| {
            let item = ItemKey(reader.u64()?);
            let day = near.wrapping_sub(reader.zigzag()?);
            Ok(Shown { item, day, count: reader.narrow()? })
        };
        (0..n).map(|_| one(reader)).collect::<Result<_, _>>().map(Self)
    }
}

impl Shown {
    /// Impressions of the same item counted together, as of the newer day.
    fn and(self, other: Self) -> Self {
        let day = self.day.max(other.day);
        Self { item: self.item, day, count: self.as_of(day).saturating_add(other.as_of(day)) }
    }

    /// The count on a later day; on an earlier one it is what it is.
    fn as_of(&self, day: i64) -> u16 {
        let days = u64::try_from(day.saturating_sub(self.day)).unwrap_or(0);
        let (halvings, rest) = (days / HALF_LIFE_DAYS, days % HALF_LIFE_DAYS);
        let decayed = (u64::from(self.count) * DECAY[rest as usize]) >> 16;
        decayed.checked_shr(halvings.try_into().unwrap_or(u32::MAX)).unwrap_or(0) as u16
    }
}

#[cfg(test)]
mod tests;
