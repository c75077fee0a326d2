//! The newest event ids that are known to be in the log.

use std::collections::{HashSet, VecDeque};

use waggle_model::EventId;
use xxhash_rust::xxh3::xxh3_128;

/// A set of bounded size: remembering one more forgets the oldest.
#[derive(Debug)]
pub(crate) struct RecentIds {
    capacity: usize,
    known: HashSet<u128>,
    oldest_first: VecDeque<u128>,
}

impl RecentIds {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, known: HashSet::new(), oldest_first: VecDeque::new() }
    }

    pub(crate) fn contains(&self, id: u128) -> bool {
        self.known.contains(&id)
    }

    pub(crate) fn extend(&mut self, ids: impl IntoIterator<Item = u128>) {
        for id in ids {
            if self.known.insert(id) {
                self.oldest_first.push_back(id);
            }
        }
        while self.oldest_first.len() > self.capacity {
            if let Some(oldest) = self.oldest_first.pop_front() {
                self.known.remove(&oldest);
            }
        }
    }
}

/// 128 bits stand for the id: among 2^17 of them an accidental match has odds of one in 2^94.
pub(crate) fn fingerprint(id: &EventId) -> u128 {
    xxh3_128(id.as_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_id_is_forgotten_first() {
        let mut recent = RecentIds::new(2);
        recent.extend([1, 2, 1, 3]);
        assert_eq!([1, 2, 3].map(|id| recent.contains(id)), [false, true, true]);
    }
}
