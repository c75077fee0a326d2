//! How alike two candidates are, for variety.

use ndarray::ArrayView2;
use waggle_contracts::retrieval::ProposedItem;
use waggle_model::ItemIdx;
use waggle_models::{Snapshot, linalg::dot};

/// Likeness of candidates: the cosine of their embeddings where both have one, else 1 within a category and 0 outside.
pub struct Likeness<'a> {
    candidates: &'a [ProposedItem],
    /// Row and `1/‖row‖` of those that the snapshot knows; empty where nobody asks.
    rows: Vec<Option<(ItemIdx, f32)>>,
    factors: Option<ArrayView2<'a, f32>>,
}

impl<'a> Likeness<'a> {
    /// Without a snapshot categories decide.
    pub fn new(candidates: &'a [ProposedItem], snapshot: Option<&'a Snapshot>) -> Self {
        let Some(snapshot) = snapshot else { return Self { candidates, rows: Vec::new(), factors: None } };
        let factors = snapshot.als.item_factors();
        let row = |candidate: &ProposedItem| {
            let idx = snapshot.vocabulary.idx_of_key(candidate.item)?;
            let row = factors.row(idx.row()).to_slice()?;
            let norm = dot(row, row).sqrt();
            (norm > 0.0).then(|| (idx, norm.recip()))
        };
        Self { candidates, rows: candidates.iter().map(row).collect(), factors: Some(factors) }
    }

    /// From 0 to 1.
    pub fn of(&self, a: usize, b: usize) -> f32 {
        let row = |place: usize| self.rows.get(place).copied().flatten();
        if let (Some((a, per_a)), Some((b, per_b)), Some(factors)) = (row(a), row(b), &self.factors)
            && let (Some(a), Some(b)) = (factors.row(a.row()).to_slice(), factors.row(b.row()).to_slice())
        {
            return (dot(a, b) * per_a * per_b).clamp(0.0, 1.0);
        }
        let category = |place: usize| self.candidates[place].attributes.category;
        f32::from(u8::from(category(a) != 0 && category(a) == category(b)))
    }
}
