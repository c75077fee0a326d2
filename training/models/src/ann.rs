//! Which items have the greatest inner product with a person's factors.
//!
//! There are three engines behind one trait: the exact scan, the scan over rounded vectors, and a graph that pays above
//! some ten thousand items. [`choose`] measures them on this machine with this model's own query vectors. Queries of a
//! recommender are not distributed like its items, and graphs over inner products can fail badly there, so recall is
//! measured, never assumed. [`hnsw`] is what the graph is measured beside.

pub(crate) mod best;
pub mod choice;
pub mod exact;
pub mod graph;
pub mod hnsw;
pub mod int8;
#[cfg(test)]
mod tests;

use waggle_model::{ItemIdx, Scored};

pub use choice::{AnnReport, EngineReport, Thresholds, best_of_all, choose, choose_with, mean_recall};
pub use exact::ExactIndex;
pub use graph::{Graph, GraphError, GraphIndex, GraphParams};
pub use hnsw::{HnswIndex, HnswParams};
pub use int8::Int8Index;

/// Decides whether an item may be returned.
pub type Allow<'a> = &'a (dyn Fn(ItemIdx) -> bool + Sync);

/// Whether the row's bit is set; rows beyond the last word have none.
#[inline]
fn has_bit(bits: &[u64], row: u32) -> bool {
    bits.get(row as usize / 64).is_some_and(|word| word >> (row % 64) & 1 == 1)
}

/// Maximum inner product search over one snapshot's items.
pub trait AnnIndex: Send + Sync {
    fn name(&self) -> &'static str;

    /// The `k` items of the greatest inner product with `query`, best first, ties by the smaller row; only allowed
    /// items. A query of another dimension than the items, or with a value that is not finite, finds nothing, and so do
    /// zeros, which all items are alike to.
    fn search(&self, query: &[f32], k: usize, allow: Option<Allow<'_>>) -> Vec<Scored>;

    /// [`search`](Self::search) among the rows whose bit is set (the first row's is the lowest of the first word) and that are
    /// allowed besides: an engine that scans looks at no others.
    fn search_among(&self, query: &[f32], k: usize, bits: &[u64], allow: Allow<'_>) -> Vec<Scored> {
        self.search(query, k, Some(&|item| has_bit(bits, item.0) && allow(item)))
    }

    /// The `k` best of just these rows, by every engine exactly: the way to go when few items are allowed. Rows that do
    /// not exist are passed over, one that is named twice counts once.
    fn search_rows(&self, query: &[f32], rows: &[ItemIdx], k: usize) -> Vec<Scored>;

    /// Memory of all that is searched, the vectors included.
    fn size_bytes(&self) -> usize;
}

/// Why vectors are not an index.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AnnError {
    #[error("vector of row {row} is not all finite")]
    NotFinite { row: usize },
    #[error("vectors have no dimensions")]
    NoDimensions,
    #[error("{name} is {got}, it must be {rule}")]
    Param { name: &'static str, got: usize, rule: &'static str },
    #[error("the graph is over {got} items, there are {expected}")]
    OtherGraph { expected: usize, got: usize },
}
