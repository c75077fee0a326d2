//! Exponentially decayed sums over event time.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use waggle_model::Timestamp;

use crate::codec::{Reader, StateDecodeError, Writer};

/// `N` sums `Σ_e w_e · 2^(−(t − t_e)/half_life)`, kept as their values at the newest event that any of them saw.
///
/// Events may arrive out of order: a late one is added with its own decay, so the order does not matter (up to
/// rounding). An event from the future moves the sums to its own time: what comes after it counts as late, with the
/// decay between the two.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decayed<const N: usize> {
    values: [f64; N],
    at: Timestamp,
}

impl<const N: usize> Default for Decayed<N> {
    fn default() -> Self {
        Self { values: [0.0; N], at: Timestamp::default() }
    }
}

impl<const N: usize> Decayed<N> {
    /// Adds an event at `time` with a weight for each of the sums.
    pub fn add(&mut self, weights: [f64; N], time: Timestamp, half_lives_days: [f64; N]) {
        if self.is_zero() {
            // Nothing to decay: any first event, however old, starts the sums at full weight.
            (self.values, self.at) = (weights, time);
        } else if time >= self.at {
            let days = time.days_since(self.at);
            for ((value, weight), half_life) in self.values.iter_mut().zip(weights).zip(half_lives_days) {
                *value = *value * factor(days, half_life) + weight;
            }
            self.at = time;
        } else {
            let days = self.at.days_since(time);
            for ((value, weight), half_life) in self.values.iter_mut().zip(weights).zip(half_lives_days) {
                *value += weight * factor(days, half_life);
            }
        }
    }

    /// One of the sums as of `time`. Asked for a time before the newest event, it gives the value at that event: a
    /// feature never un-happens.
    pub fn value_at(&self, place: usize, time: Timestamp, half_life_days: f64) -> f64 {
        let value = self.values[place];
        if value == 0.0 {
            return 0.0;
        }
        value * factor(time.days_since(self.at).max(0.0), half_life_days)
    }

    /// The sums of two partials, as of the newer of their times.
    #[must_use]
    pub fn merged(&self, other: &Self, half_lives_days: [f64; N]) -> Self {
        if self.is_zero() {
            return *other;
        }
        if other.is_zero() {
            return *self;
        }
        let at = self.at.max(other.at);
        let values = std::array::from_fn(|place| {
            let half_life = half_lives_days[place];
            self.value_at(place, at, half_life) + other.value_at(place, at, half_life)
        });
        Self { values, at }
    }

    /// Time of the newest event.
    pub(crate) fn at(&self) -> Timestamp {
        self.at
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.values.iter().all(|value| *value == 0.0)
    }

    /// - `near`: a time that is likely close to the newest event's, known to the reader too.
    pub(crate) fn write(&self, near: Timestamp, writer: &mut Writer) {
        let mask = (0..N)
            .filter(|place| self.values[*place].to_bits() != 0)
            .fold(0, |mask, place| mask | 1 << place);
        writer.byte(mask);
        writer.zigzag(near.as_millis().wrapping_sub(self.at.as_millis()));
        for value in self.values.iter().filter(|value| value.to_bits() != 0) {
            writer.f64(*value);
        }
    }

    pub(crate) fn read(near: Timestamp, reader: &mut Reader<'_>) -> Result<Self, StateDecodeError> {
        let mask = reader.byte()?;
        if u32::from(mask) >> N != 0 {
            return Err(StateDecodeError::Malformed("a counter has more values than there are"));
        }
        let at = Timestamp::from_millis(near.as_millis().wrapping_sub(reader.zigzag()?));
        let mut values = [0.0; N];
        for (place, value) in values.iter_mut().enumerate() {
            if mask & 1 << place != 0 {
                *value = reader.f64()?;
            }
        }
        Ok(Self { values, at })
    }
}

impl<const N: usize> Serialize for Decayed<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.values.as_slice(), self.at).serialize(serializer)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Decayed<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (values, at): (Vec<f64>, Timestamp) = Deserialize::deserialize(deserializer)?;
        let n = values.len();
        let values = values
            .try_into()
            .map_err(|_| D::Error::custom(format!("{n} decayed values where {N} are expected")))?;
        Ok(Self { values, at })
    }
}

/// `2^(−days/half_life_days)`.
pub(crate) fn factor(days: f64, half_life_days: f64) -> f64 {
    (-days / half_life_days).exp2()
}

#[cfg(test)]
mod tests;
