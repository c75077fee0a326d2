//! Exact counts of the last days: a ring of daily buckets by event time.

use serde::{Deserialize, Serialize};
use waggle_model::Timestamp;

use super::Counter;
use crate::{
    codec::{Reader, StateDecodeError, Writer},
    day_of,
};

/// Days (UTC, by event time) that are kept: the newest that an event belongs to and those before it.
pub const WINDOW_DAYS: usize = 8;

/// Counts by day. An event older than the ring is not counted here; one of a newer day moves the ring, and the days that
/// fall off at the other end are gone. So within the days that are kept the counts are exact, whatever the order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    newest_day: i64,
    /// The newest day first.
    days: [[u32; Counter::COUNT]; WINDOW_DAYS],
}

impl Window {
    pub(super) fn add(&mut self, counter: Counter, time: Timestamp) {
        let day = day_of(time);
        self.move_to(day);
        if let Some(counts) = self.bucket(day) {
            counts[counter as usize] = counts[counter as usize].saturating_add(1);
        }
    }

    /// Events of the UTC day of `now` and the `n_days − 1` days before it, as far as they are kept.
    pub fn count(&self, counter: Counter, n_days: usize, now: Timestamp) -> u64 {
        let today = day_of(now);
        let wanted = today.saturating_sub_unsigned(n_days as u64) + 1..=today;
        let buckets = (0..).map(|age| self.newest_day.saturating_sub(age)).zip(&self.days);
        buckets
            .filter(|(day, _)| wanted.contains(day))
            .map(|(_, counts)| u64::from(counts[counter as usize]))
            .sum()
    }

    #[must_use]
    pub(super) fn merged(&self, other: &Self) -> Self {
        let mut sum = *self;
        sum.move_to(other.newest_day);
        for (age, counts) in (0..).zip(&other.days) {
            if let Some(mine) = sum.bucket(other.newest_day.saturating_sub(age)) {
                for (mine, theirs) in mine.iter_mut().zip(counts) {
                    *mine = mine.saturating_add(*theirs);
                }
            }
        }
        sum
    }

    /// Makes `day` the newest, if it is newer.
    fn move_to(&mut self, day: i64) {
        if self.is_empty() {
            self.newest_day = day;
        } else if day > self.newest_day {
            let n_moved =
                usize::try_from(day.abs_diff(self.newest_day)).unwrap_or(WINDOW_DAYS).min(WINDOW_DAYS);
            self.days.rotate_right(n_moved);
            self.days[..n_moved].fill([0; Counter::COUNT]);
            self.newest_day = day;
        }
    }

    fn bucket(&mut self, day: i64) -> Option<&mut [u32; Counter::COUNT]> {
        let age = usize::try_from(self.newest_day.checked_sub(day)?).ok()?;
        self.days.get_mut(age)
    }

    fn is_empty(&self) -> bool {
        self.days.iter().flatten().all(|n| *n == 0)
    }

    /// - `near`: a day that is likely the newest, known to the reader too.
    pub(super) fn write(&self, near: i64, writer: &mut Writer) {
        writer.zigzag(near.wrapping_sub(self.newest_day));
        let used = (0..WINDOW_DAYS).filter(|age| self.days[*age] != [0; Counter::COUNT]);
        writer.byte(used.fold(0, |mask, age| mask | 1 << age));
        for counts in self.days.iter().filter(|counts| **counts != [0; Counter::COUNT]) {
            counts.iter().for_each(|n| writer.varint((*n).into()));
        }
    }

    pub(super) fn read(near: i64, reader: &mut Reader<'_>) -> Result<Self, StateDecodeError> {
        let newest_day = near.wrapping_sub(reader.zigzag()?);
        let mask = reader.byte()?;
        let mut days = [[0; Counter::COUNT]; WINDOW_DAYS];
        for (age, counts) in days.iter_mut().enumerate() {
            if mask & 1 << age != 0 {
                for n in counts {
                    *n = reader.narrow()?;
                }
            }
        }
        Ok(Self { newest_day, days })
    }
}
