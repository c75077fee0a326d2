//! The scan: every inner product, exactly.

use std::sync::Arc;

use ndarray::Array2;
use waggle_model::{ItemIdx, Scored};

use super::{Allow, AnnError, AnnIndex, best::Best};
use crate::linalg::{self, dot_gathered, dot_rows};

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

    /// Row-major, tightly packed.
    pub(super) fn values(&self) -> &[f32] {
        self.vectors.as_slice().expect("kept in standard layout")
    }

    pub(super) fn row(&self, row: u32) -> &[f32] {
        let width = self.vectors.ncols();
        &self.values()[row as usize * width..][..width]
    }

    /// The `k` best of `rows`, which are rows of this index, by their exact scores.
    pub(super) fn best_of(
        &self,
        query: &[f32],
        rows: &[u32],
        scores: &mut Vec<f32>,
        k: usize,
    ) -> Vec<Scored> {
        /// `f32` of a line of the cache.
        const LINE: usize = 16;
        for &row in rows {
            for at in (0..query.len()).step_by(LINE) {
                linalg::prefetch(self.values(), row as usize * query.len() + at);
            }
        }
        scores.resize(rows.len(), 0.0);
        dot_gathered(self.values(), query, rows, scores);
        let scored = rows.iter().zip(&*scores).map(|(&row, &score)| Scored { item: ItemIdx(row), score });
        let mut list: Vec<Scored> = scored.filter(|scored| scored.score.is_finite()).collect();
        if k < list.len() {
            list.select_nth_unstable_by(k, Scored::best_first);
            list.truncate(k);
        }
        list.sort_unstable_by(Scored::best_first);
        list
    }

    pub(super) fn accepts(&self, query: &[f32]) -> bool {
        let has_opinion = query.iter().any(|x| *x != 0.0);
        has_opinion && query.len() == self.vectors.ncols() && query.iter().all(|x| x.is_finite())
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
        let vectors = self.values();
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

    fn search_rows(&self, query: &[f32], rows: &[ItemIdx], k: usize) -> Vec<Scored> {
        if !self.accepts(query) {
            return Vec::new();
        }
        let n_items = self.vectors.nrows();
        let mut present: Vec<u32> =
            rows.iter().filter(|item| item.row() < n_items).map(|item| item.0).collect();
        if !present.is_sorted_by(|a, b| a < b) {
            present.sort_unstable();
            present.dedup();
        }
        self.best_of(query, &present, &mut Vec::new(), k)
    }

    fn size_bytes(&self) -> usize {
        size_of_val(self.values())
    }
}
