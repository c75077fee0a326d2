//! The newest event ids that are known to be in the log.

use std::{
    collections::{HashSet, VecDeque, hash_map::RandomState},
    hash::{BuildHasher, BuildHasherDefault, Hasher},
};

use waggle_model::EventId;
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// A set of bounded size: remembering one more forgets the oldest.
#[derive(Debug)]
pub(crate) struct RecentIds {
    capacity: usize,
    known: FingerprintSet,
    oldest_first: VecDeque<u128>,
}

impl RecentIds {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, known: HashSet::default(), oldest_first: VecDeque::new() }
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

/// Stands 128 bits for an id: among 2^17 of them an accidental match has odds of one in 2^94. The seed is this
/// process's own, so that nobody can choose ids that fall together.
pub(crate) struct Fingerprints {
    seed: u64,
}

impl Default for Fingerprints {
    fn default() -> Self {
        Self { seed: RandomState::new().hash_one(()) }
    }
}

impl Fingerprints {
    pub(crate) fn of(&self, id: &EventId) -> u128 {
        xxh3_128_with_seed(id.as_str().as_bytes(), self.seed)
    }
}

/// Fingerprints are hashes already.
pub(crate) type FingerprintSet = HashSet<u128, BuildHasherDefault<LowBits>>;

/// The lower half of a fingerprint.
#[derive(Debug, Default)]
pub(crate) struct LowBits(u64);

impl Hasher for LowBits {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u128(&mut self, fingerprint: u128) {
        self.0 = fingerprint as u64;
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only fingerprints are hashed");
    }
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

    #[test]
    fn an_id_has_one_fingerprint_here_and_another_elsewhere() {
        let (here, elsewhere) = (Fingerprints::default(), Fingerprints::default());
        let id = EventId::try_new("order-7").unwrap();
        assert_eq!(here.of(&id), here.of(&id));
        assert_ne!(here.of(&id), elsewhere.of(&id));
        assert_ne!(here.of(&id), here.of(&EventId::try_new("order-8").unwrap()));
    }
}
