//! The stored form of an item's counters.

use waggle_model::Timestamp;

use super::{Counter, ItemState, co_visits::CoVisits, placements::Placements, window::Window};
use crate::{
    Decayed, StateDecodeError,
    codec::{Reader, Writer},
    day_of,
};

const VERSION: u8 = 2;

/// What expiry needs to know of an item, read without the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ItemSeen {
    /// Event time of the newest event that counted.
    pub last: Timestamp,
}

impl ItemSeen {
    pub fn of(state: &ItemState) -> Self {
        Self { last: state.last_seen }
    }

    /// # Errors
    /// As [`ItemState::decode`], as far as the bytes are read.
    pub fn decode(bytes: &[u8]) -> Result<Self, StateDecodeError> {
        Ok(Self { last: Reader::new(VERSION, bytes)?.time()? })
    }
}

impl ItemState {
    /// # Errors
    /// [`StateDecodeError`] for bytes that [`encode`](Self::encode) of this version did not write.
    pub fn decode(bytes: &[u8]) -> Result<Self, StateDecodeError> {
        let reader = &mut Reader::new(VERSION, bytes)?;
        let totals = Self::read_totals(reader)?;
        let last_seen = totals.last_seen;
        let state = Self {
            window: Window::read(day_of(last_seen), reader)?,
            placements: Placements::read(last_seen, reader)?,
            co_visits: CoVisits::read(last_seen, reader)?,
            ..totals
        };
        reader.finish()?;
        Ok(state)
    }

    /// Counters, sums and times, read without the rest, which is empty.
    ///
    /// # Errors
    /// As [`decode`](Self::decode), as far as the bytes are read.
    pub(super) fn decode_totals(bytes: &[u8]) -> Result<Self, StateDecodeError> {
        Self::read_totals(&mut Reader::new(VERSION, bytes)?)
    }

    fn read_totals(reader: &mut Reader<'_>) -> Result<Self, StateDecodeError> {
        let last_seen = reader.time()?;
        let first_seen =
            Timestamp::from_millis(last_seen.as_millis().wrapping_sub(reader.varint()?.cast_signed()));
        let [n_events, n_orders, n_buyers] = [reader.varint()?, reader.varint()?, reader.varint()?];
        let mask = reader.byte()?;
        if mask >> Counter::COUNT != 0 {
            return Err(StateDecodeError::Malformed("there are more counters than known"));
        }
        let mut counters = [Decayed::default(); Counter::COUNT];
        for (place, counter) in counters.iter_mut().enumerate() {
            if mask & 1 << place != 0 {
                *counter = Decayed::read(last_seen, reader)?;
            }
        }
        Ok(Self { counters, n_events, first_seen, last_seen, n_orders, n_buyers, ..Self::default() })
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new(VERSION, 256);
        writer.time(self.last_seen);
        writer.later(self.last_seen, self.first_seen);
        [self.n_events, self.n_orders, self.n_buyers].iter().for_each(|n| writer.varint(*n));
        let is_used = |counter: &Decayed<3>| *counter != Decayed::default();
        let used = (0..Counter::COUNT).filter(|place| is_used(&self.counters[*place]));
        writer.byte(used.fold(0, |mask, place| mask | 1 << place));
        for counter in self.counters.iter().filter(|counter| is_used(counter)) {
            counter.write(self.last_seen, &mut writer);
        }
        self.window.write(day_of(self.last_seen), &mut writer);
        self.placements.write(self.last_seen, &mut writer);
        self.co_visits.write(self.last_seen, &mut writer);
        writer.finish()
    }
}
