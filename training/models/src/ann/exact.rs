//! The scan: every inner product, exactly.

use std::{cmp::Ordering, collections::BinaryHeap, sync::Arc};

use ndarray::Array2;
use waggle_model::{ItemIdx, Scored};

use super::{Allow, AnnError, AnnIndex};
use crate::linalg::dot_rows;

/// Rows scored at a time: their scores stay in the first-level cache until they are compared.
const BLOCK: usize = 512;

/// All vectors, row-major.
#[derive(Debug, Clone)]
pub struct ExactIndex {
    vectors: Arc<Array2<f32>>,
}

impl ExactIndex {
    /// `vectors` is `[n_items, n_factors]`.
    ///
    /// # Errors
    /// [`AnnError`] for vectors without dimensions or with values that are not finite.
    pub fn try_new(vectors: Arc<Array2<f32>>) -> Result<Self, AnnError> {
        if vectors.ncols() == 0 {
            return Err(AnnError::NoDimensions);
        }
        if let Some(row) = vectors.outer_iter().position(|row| row.iter().any(|x| !x.is_finite())) {
            return Err(AnnError::NotFinite { row });
        }
        let vectors = if vectors.is_standard_layout() {
            vectors
        } else {
            Arc::new(vectors.as_standard_layout().into_owned())
        };
        Ok(Self { vectors })
    }

    /// `[n_items, n_factors]`.
    pub fn vectors(&self) -> &Array2<f32> {
        &self.vectors
    }

    pub(super) fn accepts(&self, query: &[f32]) -> bool {
        query.len() == self.vectors.ncols() && query.iter().all(|x| x.is_finite())
    }
}

impl AnnIndex for ExactIndex {
    fn name(&self) -> &'static str {
        "exact"
    }

    /// Costs `n_items · n_factors` multiply-adds; the filter is asked only about items that would enter the list.
    fn search(&self, query: &[f32], k: usize, allow: Option<Allow<'_>>) -> Vec<Scored> {
        if k == 0 || !self.accepts(query) {
            return Vec::new();
        }
        let vectors = self.vectors.as_slice().expect("kept in standard layout");
        let mut best = Best::new(k);
        let mut scores = [0.0_f32; BLOCK];
        for (block, rows) in vectors.chunks(BLOCK * query.len()).enumerate() {
            let scores = &mut scores[..rows.len() / query.len()];
            dot_rows(rows, query, scores);
            for (place, &score) in scores.iter().enumerate() {
                if best.admits(score) {
                    let item = ItemIdx::from_row(block * BLOCK + place);
                    if allow.is_none_or(|allow| allow(item)) {
                        best.push(Scored { item, score });
                    }
                }
            }
        }
        best.into_list()
    }
}

/// The `k` best of what is pushed in ascending row order.
struct Best {
    k: usize,
    heap: BinaryHeap<WorstFirst>,
    /// What a score must exceed once the list is full.
    threshold: f32,
}

impl Best {
    fn new(k: usize) -> Self {
        Self { k, heap: BinaryHeap::with_capacity(k.min(4096) + 1), threshold: f32::NEG_INFINITY }
    }

    /// Equal to the threshold is too late: the row that holds it is smaller. Overflowed scores (±∞, NaN) are refused.
    fn admits(&self, score: f32) -> bool {
        score > self.threshold && score.is_finite()
    }

    fn push(&mut self, scored: Scored) {
        self.heap.push(WorstFirst(scored));
        if self.heap.len() > self.k {
            self.heap.pop();
        }
        if self.heap.len() == self.k {
            self.threshold = self.heap.peek().map_or(f32::NEG_INFINITY, |worst| worst.0.score);
        }
    }

    fn into_list(self) -> Vec<Scored> {
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
