//! Sums of item-item similarities over weighted items.

use waggle_model::ItemIdx;

use crate::ItemItem;

/// For every item that some neighbour list names: the sum, and the item that contributed most.
pub(super) struct Accumulator {
    /// By row. Zeroed memory is mapped lazily, so a large catalogue costs only the pages that are touched.
    sums: Vec<f32>,
    largest: Vec<f32>,
    because: Vec<u32>,
    touched: Vec<ItemIdx>,
    /// `1/√(Σ weights)`.
    scale: f32,
}

impl Accumulator {
    /// `score(j) = Σ_i weight_i · sim(i → j) / √(Σ_i weight_i)` over items with a positive weight.
    pub(super) fn sum(model: &ItemItem, weighted: impl IntoIterator<Item = (ItemIdx, f32)>) -> Self {
        let n_items = model.n_items();
        let mut all = Self {
            sums: vec![0.0; n_items],
            largest: vec![0.0; n_items],
            because: vec![0; n_items],
            touched: Vec::new(),
            scale: 0.0,
        };
        let mut total = 0.0;
        for (of, weight) in weighted.into_iter().filter(|(_, weight)| *weight > 0.0) {
            total += weight;
            let (items, similarities) = model.neighbours(of);
            for (&item, similarity) in items.iter().zip(similarities) {
                all.add(item, weight * similarity, of);
            }
        }
        all.scale = if total > 0.0 { total.sqrt().recip() } else { 0.0 };
        all
    }

    fn add(&mut self, item: ItemIdx, contribution: f32, of: ItemIdx) {
        let row = item.row();
        if self.largest[row] == 0.0 {
            self.touched.push(item);
        }
        self.sums[row] += contribution;
        if contribution > self.largest[row] {
            self.largest[row] = contribution;
            self.because[row] = of.0;
        }
    }

    /// Score of an item and the item that contributed most; `None` if no neighbour list names it.
    pub(super) fn get(&self, item: ItemIdx) -> Option<(f32, ItemIdx)> {
        let row = item.row();
        let sum = *self.sums.get(row)?;
        (sum > 0.0).then(|| (sum * self.scale, ItemIdx(self.because[row])))
    }

    /// The `k` best items that `keep` lets through, with score and reason, ties by the smaller row.
    pub(super) fn best_first(
        &self,
        k: usize,
        keep: impl Fn(ItemIdx) -> bool,
    ) -> Vec<(ItemIdx, f32, ItemIdx)> {
        let mut best: Vec<(ItemIdx, f32, ItemIdx)> = self
            .touched
            .iter()
            .filter(|item| keep(**item))
            .filter_map(|&item| self.get(item).map(|(score, because)| (item, score, because)))
            .collect();
        best.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        best.truncate(k);
        best
    }
}
