//! Which events of a partition are repetitions: the one rule that every consumer of the log decides by.
//!
//! **An event is a duplicate if one of the [`WINDOW`] positions before it in its partition holds an event with the same
//! `event_id`.** The rule looks at the log alone, whatever became of the earlier event, so a replay, the archive and
//! the metrics decide alike and independently of how they cut the log into batches. An event without an id is never a
//! duplicate.

use std::collections::HashMap;

use waggle_model::EventId;
use xxhash_rust::xxh3::xxh3_64;

/// How many positions back an id is remembered.
pub const WINDOW: u64 = 65_536;
/// Positions per chunk, the unit in which a window is stored.
pub const CHUNK: u64 = 1_024;
/// Chunks of a window.
pub const N_CHUNKS: usize = (WINDOW / CHUNK) as usize;

/// The ids of the last [`WINDOW`] positions of one partition.
///
/// A position's fingerprint has a fixed slot, `offset mod WINDOW`, so the stored form is an array that says nothing but
/// the fingerprints: with the offset that the partition has reached, it is clear which position each slot is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DedupWindow {
    /// Offset of the next position.
    next: u64,
    /// By `offset mod WINDOW`; 0 where the position has no id.
    slots: Box<[u64]>,
    /// Newest offset of each fingerprint in the window.
    newest: HashMap<u64, u64>,
    /// Chunks changed since [`take_touched`](Self::take_touched).
    touched: [bool; N_CHUNKS],
}

impl DedupWindow {
    /// The window of a partition of which nothing before `next` is known.
    pub fn new(next: u64) -> Self {
        Self {
            next,
            slots: vec![0; WINDOW as usize].into_boxed_slice(),
            newest: HashMap::new(),
            touched: [false; N_CHUNKS],
        }
    }

    /// The window as stored when the partition had reached `next`; a chunk that was never stored is empty.
    ///
    /// # Errors
    /// The number of the chunk whose bytes [`chunk`](Self::chunk) did not write.
    pub fn load<'a>(next: u64, chunks: impl IntoIterator<Item = Option<&'a [u8]>>) -> Result<Self, usize> {
        let mut window = Self::new(next);
        for (place, bytes) in chunks.into_iter().enumerate().take(N_CHUNKS) {
            let Some(bytes) = bytes else { continue };
            let (words, tail) = bytes.as_chunks::<8>();
            if words.len() != CHUNK as usize || !tail.is_empty() {
                return Err(place);
            }
            let first = place * CHUNK as usize;
            for (slot, word) in window.slots[first..].iter_mut().zip(words) {
                *slot = u64::from_le_bytes(*word);
            }
        }
        // Oldest first, so that the newest offset of a repeated id stays.
        for offset in next.saturating_sub(WINDOW)..next {
            let fingerprint = window.slots[slot_of(offset)];
            if fingerprint != 0 {
                window.newest.insert(fingerprint, offset);
            }
        }
        Ok(window)
    }

    /// Offset of the next position.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Moves to `offset`, which must not lie behind, records its id, and says whether it is a duplicate.
    ///
    /// Positions passed over (a log may leave gaps) have no id.
    pub fn record(&mut self, offset: u64, id: Option<&EventId>) -> bool {
        debug_assert!(offset >= self.next, "the log is read forwards");
        for passed in self.next.max(offset.saturating_sub(WINDOW))..offset {
            self.put(passed, 0);
        }
        let fingerprint = id.map_or(0, fingerprint);
        // Asked before the slot is overwritten; what stands there is WINDOW positions back, the last that counts.
        let is_duplicate =
            fingerprint != 0 && self.newest.get(&fingerprint).is_some_and(|seen| offset - seen <= WINDOW);
        self.put(offset, fingerprint);
        self.next = offset + 1;
        is_duplicate
    }

    /// Chunks changed since the last call, in ascending order; these are to be stored.
    pub fn take_touched(&mut self) -> Vec<usize> {
        let touched = std::mem::replace(&mut self.touched, [false; N_CHUNKS]);
        (0..N_CHUNKS).filter(|place| touched[*place]).collect()
    }

    /// The stored form of a chunk: [`CHUNK`] fingerprints, little-endian.
    pub fn chunk(&self, place: usize) -> Vec<u8> {
        let first = place * CHUNK as usize;
        self.slots[first..first + CHUNK as usize].iter().flat_map(|slot| slot.to_le_bytes()).collect()
    }

    fn put(&mut self, offset: u64, fingerprint: u64) {
        let slot = &mut self.slots[slot_of(offset)];
        let old = std::mem::replace(slot, fingerprint);
        if old != 0 && self.newest.get(&old).is_some_and(|newest| newest + WINDOW <= offset) {
            self.newest.remove(&old);
        }
        if fingerprint != 0 {
            self.newest.insert(fingerprint, offset);
        }
        if old != fingerprint {
            self.touched[slot_of(offset) / CHUNK as usize] = true;
        }
    }
}

fn slot_of(offset: u64) -> usize {
    (offset % WINDOW) as usize
}

/// Never 0. Among the window's ids an accidental match has odds of one in 2^48.
fn fingerprint(id: &EventId) -> u64 {
    xxh3_64(id.as_str().as_bytes()).max(1)
}

#[cfg(test)]
mod tests;
