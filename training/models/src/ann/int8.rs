//! The scan over rounded vectors: a quarter of the bytes, the best scored again exactly.

use std::sync::Arc;

use waggle_model::{ItemIdx, Scored};

use super::{Allow, AnnIndex, ExactIndex, best::Best};
use crate::linalg::{
    dot,
    int8::{Codes, QueryCodes},
};

/// Rows scored at a time.
const BLOCK: usize = 512;

/// Rows with one byte per dimension, in the order of falling norms.
#[derive(Debug, Clone)]
pub struct Int8Index {
    exact: ExactIndex,
    /// The row in `exact` of every row here.
    order: Arc<[u32]>,
    codes: Arc<Codes>,
    /// The norm of the first row of every block: none that follows is longer.
    block_norms: Arc<[f32]>,
}

impl Int8Index {
    pub fn new(exact: ExactIndex) -> Self {
        let order = by_norm(&exact);
        Self::in_order(exact, order.into())
    }

    /// `order` is a permutation of the rows; any other than by falling norms makes the scan longer and finds the same.
    pub(super) fn in_order(exact: ExactIndex, order: Arc<[u32]>) -> Self {
        let norm = |row: u32| dot(exact.row(row), exact.row(row)).sqrt();
        let mut block_norms: Vec<f32> =
            order.chunks(BLOCK).map(|block| block.iter().map(|&row| norm(row)).fold(0.0, f32::max)).collect();
        for at in (1..block_norms.len()).rev() {
            block_norms[at - 1] = block_norms[at - 1].max(block_norms[at]);
        }
        let codes = Codes::new(exact.vectors().ncols(), order.len(), order.iter().map(|&row| exact.row(row)));
        Self { exact, order, codes: Arc::new(codes), block_norms: block_norms.into() }
    }

    pub(super) fn exact(&self) -> &ExactIndex {
        &self.exact
    }

    pub(super) fn codes(&self) -> &Codes {
        &self.codes
    }

    pub(super) fn order(&self) -> &[u32] {
        &self.order
    }

    /// Rows in blocks that hold a longer one than that: what a scan looks at whose list ends with such a score of a query of
    /// norm 1.
    pub(super) fn n_long_enough(&self, norm: f32) -> usize {
        let n_blocks = self.block_norms.partition_point(|block| *block > norm);
        (n_blocks * BLOCK).min(self.order.len())
    }

    pub(super) fn own_bytes(&self) -> usize {
        self.codes.size_bytes() + size_of_val(&*self.order) + size_of_val(&*self.block_norms)
    }
}

/// How many are scored exactly for `k` to be returned: rounding moves an item by some places, not by half the list.
pub(super) fn n_rescored(k: usize) -> usize {
    k.saturating_add(k / 2).saturating_add(16)
}

/// Whether a query's norm allows for rounding: products of tiny values vanish, and sums of enormous ones overflow.
pub(super) fn is_usual(norm: f32) -> bool {
    (1e-15..1e15).contains(&norm)
}

/// Rows by falling norm, ties by the smaller row.
pub(super) fn by_norm(exact: &ExactIndex) -> Vec<u32> {
    let vectors = exact.vectors();
    let norms: Vec<f32> = vectors.outer_iter().map(|row| row.dot(&row)).collect();
    let mut order: Vec<u32> = (0..norms.len()).map(|row| ItemIdx::from_row(row).0).collect();
    order.sort_by(|&a, &b| norms[b as usize].total_cmp(&norms[a as usize]).then(a.cmp(&b)));
    order
}

impl AnnIndex for Int8Index {
    fn name(&self) -> &'static str {
        "int8"
    }

    /// Stops where no row can be long enough to enter the list, since `x·q ≤ ‖x‖·‖q‖`.
    fn search(&self, query: &[f32], k: usize, allow: Option<Allow<'_>>) -> Vec<Scored> {
        if k == 0 || !self.exact.accepts(query) {
            return Vec::new();
        }
        let norm = dot(query, query).sqrt();
        if !is_usual(norm) {
            return self.exact.search(query, k, allow);
        }
        let mut form = QueryCodes::default();
        form.set(query);
        let mut best = Best::new(n_rescored(k).min(self.order.len()));
        let mut scores = [0.0_f32; BLOCK];
        for (block, rows) in self.order.chunks(BLOCK).enumerate() {
            if self.block_norms[block] * norm <= best.threshold() {
                break;
            }
            let scores = &mut scores[..rows.len()];
            self.codes.score_range(&form, block * BLOCK, scores);
            for (&row, &score) in rows.iter().zip(&*scores) {
                if best.admits(score) && allow.is_none_or(|allow| allow(ItemIdx(row))) {
                    best.push(Scored { item: ItemIdx(row), score });
                }
            }
        }
        let rows: Vec<u32> = best.into_list().iter().map(|scored| scored.item.0).collect();
        self.exact.best_of(query, &rows, &mut Vec::new(), k)
    }

    fn search_rows(&self, query: &[f32], rows: &[ItemIdx], k: usize) -> Vec<Scored> {
        self.exact.search_rows(query, rows, k)
    }

    fn size_bytes(&self) -> usize {
        self.own_bytes() + self.exact.size_bytes()
    }
}
