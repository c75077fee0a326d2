//! The scan over rounded vectors: a quarter of the bytes, the best scored again exactly.

use std::sync::Arc;

use waggle_model::{ItemIdx, Scored};

use super::{Allow, AnnIndex, ExactIndex, best::Best, has_bit};
use crate::linalg::{
    dot,
    int8::{Codes, QueryCodes},
};

/// Rows scored at a time.
const BLOCK: usize = 512;

/// One row in so many, or fewer, is fetched by itself; of more the whole block is scored.
const FETCHED: usize = 4;

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

    /// Stops where no row can be long enough to enter the list, since `x·q ≤ ‖x‖·‖q‖`.
    fn scan(&self, query: &[f32], k: usize, bits: Option<&[u64]>, allow: Option<Allow<'_>>) -> Vec<Scored> {
        if k == 0 || !self.exact.accepts(query) {
            return Vec::new();
        }
        let is_allowed = |row: u32| {
            bits.is_none_or(|bits| has_bit(bits, row)) && allow.is_none_or(|allow| allow(ItemIdx(row)))
        };
        let norm = dot(query, query).sqrt();
        if !is_usual(norm) {
            return self.exact.search(query, k, Some(&|item| is_allowed(item.0)));
        }
        let mut form = QueryCodes::default();
        form.set(query);
        let mut best = Best::new(n_rescored(k).min(self.order.len()));
        let mut scores = [0.0_f32; BLOCK];
        let mut places = [0_u32; BLOCK];
        for (block, rows) in self.order.chunks(BLOCK).enumerate() {
            if self.block_norms[block] * norm <= best.threshold() {
                break;
            }
            let first = block * BLOCK;
            let n_picked = bits.map_or(rows.len(), |bits| pick(first, rows, bits, &mut places));
            let mut meet = |row: u32, score: f32| {
                if best.admits(score) && is_allowed(row) {
                    best.push(Scored { item: ItemIdx(row), score });
                }
            };
            if n_picked * FETCHED > rows.len() {
                let scores = &mut scores[..rows.len()];
                self.codes.score_range(&form, first, scores);
                rows.iter().zip(&*scores).for_each(|(&row, &score)| meet(row, score));
            } else {
                let (places, scores) = (&places[..n_picked], &mut scores[..n_picked]);
                self.codes.score_rows(&form, places, scores);
                places
                    .iter()
                    .zip(&*scores)
                    .for_each(|(&place, &score)| meet(self.order[place as usize], score));
            }
        }
        let rows: Vec<u32> = best.into_list().iter().map(|scored| scored.item.0).collect();
        self.exact.best_of(query, &rows, &mut Vec::new(), k)
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

/// Writes the places of those of a block's rows whose bit is set, and gives their number. Without a branch on the bit, which
/// would be guessed wrong.
fn pick(first: usize, rows: &[u32], bits: &[u64], places: &mut [u32; BLOCK]) -> usize {
    let mut n_picked = 0;
    for (place, &row) in (first..).zip(rows) {
        // At most as many were picked before as the block has rows.
        places[n_picked] = ItemIdx::from_row(place).0;
        n_picked += usize::from(has_bit(bits, row));
    }
    n_picked
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

    fn search(&self, query: &[f32], k: usize, allow: Option<Allow<'_>>) -> Vec<Scored> {
        self.scan(query, k, None, allow)
    }

    fn search_among(&self, query: &[f32], k: usize, bits: &[u64], allow: Allow<'_>) -> Vec<Scored> {
        self.scan(query, k, Some(bits), Some(allow))
    }

    fn search_rows(&self, query: &[f32], rows: &[ItemIdx], k: usize) -> Vec<Scored> {
        self.exact.search_rows(query, rows, k)
    }

    fn size_bytes(&self) -> usize {
        self.own_bytes() + self.exact.size_bytes()
    }
}
