//! What people act on together with an item, within one session.

use serde::{Deserialize, Serialize};
use waggle_model::{ItemKey, Timestamp};

use crate::{
    codec::{Reader, StateDecodeError, Writer},
    decay::factor,
};

/// Most neighbours kept per item and partition.
pub const MAX_CO_VISITS: usize = 32;
/// Half-life of a neighbour's weight, in days.
const HALF_LIFE_DAYS: f64 = 30.0;

/// The neighbours with the largest decayed numbers of common sessions.
///
/// When the list is full, a newcomer takes the place of the lightest (of equals, of the one that came first). What is rare
/// is forgotten now and then; what often goes together comes again before 32 others that do not, and stays.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CoVisits {
    /// In the order in which they came.
    list: Vec<(ItemKey, f32)>,
    /// The moment that all weights are as of.
    at: Timestamp,
}

impl CoVisits {
    pub(super) fn add(&mut self, other: ItemKey, time: Timestamp) {
        let weight = self.move_to(time);
        if let Some((_, known)) = self.list.iter_mut().find(|(known, _)| *known == other) {
            *known += weight;
            return;
        }
        if self.list.len() == MAX_CO_VISITS {
            let lightest = (0..MAX_CO_VISITS).min_by(|&a, &b| self.list[a].1.total_cmp(&self.list[b].1));
            lightest.map(|place| self.list.remove(place));
        }
        self.list.push((other, weight));
    }

    /// The neighbours with their weights as of the newest of them, heaviest first, ties by the smaller key.
    pub fn best(&self) -> Vec<(ItemKey, f32)> {
        let mut best = self.list.clone();
        best.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        best
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    #[must_use]
    pub(super) fn merged(&self, other: &Self) -> Self {
        if self.is_empty() {
            return other.clone();
        }
        let mut sum = self.clone();
        sum.move_to(other.at);
        let scale = factor(sum.at.days_since(other.at), HALF_LIFE_DAYS) as f32;
        for (item, weight) in &other.list {
            match sum.list.iter_mut().find(|(known, _)| known == item) {
                Some((_, known)) => *known += weight * scale,
                None => sum.list.push((*item, weight * scale)),
            }
        }
        sum.list.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        sum.list.truncate(MAX_CO_VISITS);
        sum
    }

    /// Brings the weights forward to `time`, and gives the weight of an event of that time.
    fn move_to(&mut self, time: Timestamp) -> f32 {
        if self.list.is_empty() {
            self.at = time;
        }
        let days = time.days_since(self.at);
        if days < 0.0 {
            return factor(-days, HALF_LIFE_DAYS) as f32;
        }
        if days > 0.0 {
            let scale = factor(days, HALF_LIFE_DAYS) as f32;
            self.list.iter_mut().for_each(|(_, weight)| *weight *= scale);
            self.at = time;
        }
        1.0
    }

    pub(super) fn write(&self, near: Timestamp, writer: &mut Writer) {
        writer.varint(self.list.len() as u64);
        writer.zigzag(near.as_millis().wrapping_sub(self.at.as_millis()));
        for (item, weight) in &self.list {
            writer.u64(item.0);
            writer.f32(*weight);
        }
    }

    pub(super) fn read(near: Timestamp, reader: &mut Reader<'_>) -> Result<Self, StateDecodeError> {
        let n = reader.count(MAX_CO_VISITS, 12)?;
        let at = Timestamp::from_millis(near.as_millis().wrapping_sub(reader.zigzag()?));
        let list = (0..n).map(|_| Ok((ItemKey(reader.u64()?), reader.f32()?))).collect::<Result<_, _>>()?;
        Ok(Self { list, at })
    }
}
