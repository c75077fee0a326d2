//! Items that go together, with weights: the neighbours of every item, best first.

#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use waggle_model::ItemIdx;

use crate::{ItemScorer, Query, RecommendError};

/// How a person's history is weighted when neighbours are summed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ItemItemScoring {
    /// An item touched this long ago counts half. `None`: the order of the history does not matter.
    pub half_life: Option<Duration>,
}

/// Compressed rows: the neighbours of item `i` are `items[indptr[i]..indptr[i + 1]]`, best first.
#[derive(Debug, Clone, PartialEq)]
pub struct ItemItem {
    indptr: Vec<usize>,
    items: Vec<ItemIdx>,
    similarities: Vec<f32>,
    scoring: ItemItemScoring,
}

/// Why arrays are not a neighbour list.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ItemItemError {
    #[error(
        "row pointers must start at 0, never fall, and end at the {n_entries} entries; they do not at {at}"
    )]
    Pointers { at: usize, n_entries: usize },
    #[error("{n_items} neighbours have {n_similarities} similarities")]
    Lengths { n_items: usize, n_similarities: usize },
    #[error("neighbour {got} of item {of} is outside the {n_items} items")]
    OutOfRange { of: usize, got: u32, n_items: usize },
    #[error("similarity of item {of} to item {to} is {got}, it must be finite and greater than 0")]
    Similarity { of: usize, to: u32, got: f32 },
    #[error("neighbours of item {of} are not best first, or one is repeated or the item itself")]
    Order { of: usize },
    #[error("half-life must be longer than zero")]
    HalfLife,
}

impl ItemItem {
    /// # Errors
    /// [`ItemItemError`] says what is wrong with the arrays.
    pub fn try_new(
        indptr: Vec<usize>,
        items: Vec<ItemIdx>,
        similarities: Vec<f32>,
        scoring: ItemItemScoring,
    ) -> Result<Self, ItemItemError> {
        let n_entries = items.len();
        if n_entries != similarities.len() {
            return Err(ItemItemError::Lengths { n_items: n_entries, n_similarities: similarities.len() });
        }
        if indptr.first() != Some(&0) || indptr.last() != Some(&n_entries) {
            return Err(ItemItemError::Pointers {
                at: if indptr.first() == Some(&0) { indptr.len() - 1 } else { 0 },
                n_entries,
            });
        }
        if let Some(at) = indptr.windows(2).position(|pair| pair[0] > pair[1]) {
            return Err(ItemItemError::Pointers { at, n_entries });
        }
        if scoring.half_life.is_some_and(|half_life| half_life.is_zero()) {
            return Err(ItemItemError::HalfLife);
        }
        let model = Self { indptr, items, similarities, scoring };
        (0..model.n_items()).try_for_each(|of| model.check_row(of))?;
        Ok(model)
    }

    fn check_row(&self, of: usize) -> Result<(), ItemItemError> {
        let n_items = self.n_items();
        let (items, similarities) = self.neighbours(ItemIdx::from_row(of));
        for (item, &got) in items.iter().zip(similarities) {
            if item.row() >= n_items {
                return Err(ItemItemError::OutOfRange { of, got: item.0, n_items });
            }
            if !(got.is_finite() && got > 0.0) {
                return Err(ItemItemError::Similarity { of, to: item.0, got });
            }
        }
        let mut distinct: Vec<ItemIdx> = items.to_vec();
        distinct.sort_unstable();
        let repeated = distinct.windows(2).any(|pair| pair[0] == pair[1]);
        let falling = similarities.windows(2).all(|pair| pair[0] >= pair[1]);
        if repeated || !falling || distinct.binary_search(&ItemIdx::from_row(of)).is_ok() {
            return Err(ItemItemError::Order { of });
        }
        Ok(())
    }

    pub fn n_items(&self) -> usize {
        self.indptr.len() - 1
    }

    pub fn n_entries(&self) -> usize {
        self.items.len()
    }

    /// The neighbours of `item` and their similarities, best first; empty for an item outside the model.
    pub fn neighbours(&self, item: ItemIdx) -> (&[ItemIdx], &[f32]) {
        match (self.indptr.get(item.row()), self.indptr.get(item.row() + 1)) {
            (Some(&from), Some(&to)) => (&self.items[from..to], &self.similarities[from..to]),
            _ => (&[], &[]),
        }
    }

    pub fn scoring(&self) -> &ItemItemScoring {
        &self.scoring
    }

    /// `n_items + 1` row pointers.
    pub fn indptr(&self) -> &[usize] {
        &self.indptr
    }

    /// All neighbours, row after row.
    pub fn items(&self) -> &[ItemIdx] {
        &self.items
    }

    /// All similarities, row after row.
    pub fn similarities(&self) -> &[f32] {
        &self.similarities
    }
}

impl ItemScorer for ItemItem {
    fn name(&self) -> &str {
        "item-item"
    }

    fn n_items(&self) -> usize {
        Self::n_items(self)
    }

    /// `score(j) = Σ_{i∈history} weight_i · 2^(−age_i/half_life) · sim(i → j)`; no opinion on items that no neighbour
    /// list of the history names.
    fn score_items(&self, query: &Query<'_>, scores: &mut [f32]) -> Result<(), RecommendError> {
        let n_items = self.n_items();
        scores.fill(f32::NEG_INFINITY);
        for entry in query.history {
            if entry.item.row() >= n_items {
                return Err(RecommendError::UnknownItem { row: entry.item.row(), n_items });
            }
            let recency = self.scoring.half_life.map_or(1.0, |half_life| {
                let age = query.now.since(entry.time).as_secs_f64();
                (-age / half_life.as_secs_f64()).exp2() as f32
            });
            let weight = entry.weight * recency;
            let (items, similarities) = self.neighbours(entry.item);
            for (item, similarity) in items.iter().zip(similarities) {
                let score = &mut scores[item.row()];
                *score = score.max(0.0) + weight * similarity;
            }
        }
        Ok(())
    }
}
