//! The best so far.

use std::{cmp::Ordering, collections::BinaryHeap};

use waggle_model::Scored;

/// The `k` best of what is pushed; of equal scores, those pushed first.
pub(super) struct Best {
    k: usize,
    heap: BinaryHeap<WorstFirst>,
    /// What a score must exceed once the list is full.
    threshold: f32,
}

impl Best {
    pub(super) fn new(k: usize) -> Self {
        Self { k, heap: BinaryHeap::with_capacity(k.min(4096) + 1), threshold: f32::NEG_INFINITY }
    }

    pub(super) fn threshold(&self) -> f32 {
        self.threshold
    }

    /// Equal to the threshold is too late. Overflowed scores (±∞, NaN) are refused.
    #[inline]
    pub(super) fn admits(&self, score: f32) -> bool {
        score > self.threshold && score.is_finite()
    }

    pub(super) fn push(&mut self, scored: Scored) {
        self.heap.push(WorstFirst(scored));
        if self.heap.len() > self.k {
            self.heap.pop();
        }
        if self.heap.len() == self.k {
            self.threshold = self.heap.peek().map_or(f32::NEG_INFINITY, |worst| worst.0.score);
        }
    }

    pub(super) fn into_list(self) -> Vec<Scored> {
        self.heap.into_sorted_vec().into_iter().map(|worst| worst.0).collect()
    }
}

struct WorstFirst(Scored);

impl Ord for WorstFirst {
    fn cmp(&self, other: &Self) -> Ordering {
        Scored::best_first(&self.0, &other.0)
    }
}

impl PartialOrd for WorstFirst {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for WorstFirst {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for WorstFirst {}
