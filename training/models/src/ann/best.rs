//! The best so far.

use waggle_model::{ItemIdx, Scored};

use crate::order;

/// The `k` best of what is pushed, ties by the smaller row.
///
/// Collects up to twice as many and keeps the better half: pushing costs a few instructions, where a heap of the `k`
/// best would be reordered each time.
pub(crate) struct Best {
    k: usize,
    keys: Vec<u64>,
    /// What a score must exceed once there were twice as many.
    threshold: f32,
}

/// Fewest that are collected before the better half is kept.
const MIN_COLLECTED: usize = 64;

impl Best {
    pub(crate) fn new(k: usize) -> Self {
        Self {
            k,
            keys: Vec::with_capacity(k.saturating_mul(2).clamp(MIN_COLLECTED, 8192)),
            threshold: f32::NEG_INFINITY,
        }
    }

    pub(crate) fn threshold(&self) -> f32 {
        self.threshold
    }

    /// Equal to the threshold is too late, so rows are to be pushed in ascending order. Overflowed scores (±∞, NaN) are
    /// refused.
    #[inline]
    pub(crate) fn admits(&self, score: f32) -> bool {
        score > self.threshold && score.is_finite()
    }

    #[inline]
    pub(crate) fn push(&mut self, Scored { item, score }: Scored) {
        self.keys.push(order::key(score, item.0));
        if self.keys.len() >= self.k.saturating_mul(2).max(MIN_COLLECTED) {
            self.keep_best();
        }
    }

    fn keep_best(&mut self) {
        if self.k > 0 && self.k < self.keys.len() {
            let (_, worst, _) = self.keys.select_nth_unstable(self.k - 1);
            self.threshold = order::score(*worst);
        }
        self.keys.truncate(self.k);
    }

    pub(crate) fn into_list(mut self) -> Vec<Scored> {
        self.keep_best();
        self.keys.sort_unstable();
        let scored = |key| Scored { item: ItemIdx(order::place(key)), score: order::score(key) };
        self.keys.into_iter().map(scored).collect()
    }
}
