//! A hash of everything in one partition, to tell whether two states are the same bit for bit.

use std::fmt;

use xxhash_rust::xxh3::Xxh3;

use super::{ALL_SLOTS, Applied, StateError, StateKind, StateStore};

/// What one partition holds. Two stores with equal `applied`, `n_blobs` and `hash` hold the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateDigest {
    /// How far the state had come when the walk began.
    pub applied: Applied,
    /// Whether a commit moved the partition meanwhile: the hash is then of no state there ever was.
    pub has_moved: bool,
    pub n_blobs: u64,
    /// Of the blobs, without keys.
    pub size_bytes: u64,
    /// XXH3-128 over kind, key, length and bytes of every blob, in the order of kind and key.
    pub hash: u128,
}

impl fmt::Display for StateDigest {
    /// The hash, in 32 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.hash)
    }
}

/// Walks through one partition, one slot in memory at a time.
///
/// # Errors
/// Those of the store.
pub async fn digest(store: &dyn StateStore, partition: u32) -> Result<StateDigest, StateError> {
    let applied = store.applied(partition).await?;
    let (mut hash, mut n_blobs, mut size_bytes) = (Xxh3::new(), 0, 0);
    for (code, kind) in [(0, StateKind::Person), (1, StateKind::Item), (2, StateKind::Fold)] {
        for slot in ALL_SLOTS {
            let mut blobs = store.scan(partition, kind, slot..=slot).await?;
            // Ascending slots are ascending keys, so this orders all of them.
            blobs.sort_unstable_by_key(|&(key, _)| key);
            for (key, blob) in &blobs {
                let length = blob.len() as u64;
                hash.update(&[code]);
                hash.update(&key.to_le_bytes());
                hash.update(&length.to_le_bytes());
                hash.update(blob);
                n_blobs += 1;
                size_bytes += length;
            }
        }
    }
    let has_moved = store.applied(partition).await? != applied;
    Ok(StateDigest { applied, has_moved, n_blobs, size_bytes, hash: hash.digest128() })
}
