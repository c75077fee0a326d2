//! Sums over items: of item-item similarities, or of what similar sessions say.

use waggle_model::{ItemIdx, Timestamp};

use crate::{ItemItem, Sessions, order, sessions::Neighbourhood};

/// For every item that somebody names: the sum, and the item that contributed most. Kept from request to
/// request; only what was touched is cleared.
#[derive(Default)]
pub(super) struct Accumulator {
    by_row: Vec<Sum>,
    /// As long as `by_row`; the first `n_touched` are the rows that are not zero.
    touched: Vec<ItemIdx>,
    n_touched: usize,
    /// What sums are multiplied by.
    scale: f32,
    /// Working memory of [`best_first`](Self::best_first).
    order: Vec<u64>,
    best: Vec<(ItemIdx, f32, ItemIdx)>,
}

#[derive(Clone, Copy, Default)]
struct Sum {
    sum: f32,
    /// How far ahead the reason is: its own contribution, or its lead over the others.
    largest: f32,
    because: u32,
}

impl Accumulator {
    /// Forgets the request before, of a model with any number of items.
    pub(super) fn clear(&mut self, n_items: usize) {
        for item in &self.touched[..self.n_touched] {
            self.by_row[item.row()] = Sum::default();
        }
        self.n_touched = 0;
        self.by_row.resize(n_items, Sum::default());
        self.touched.resize(n_items, ItemIdx(0));
        self.scale = 0.0;
    }

    /// `score(j) = Σ_i weight_i · sim(i → j) / √(Σ_i weight_i)` over items with a positive weight: the root keeps long and
    /// short histories on one scale without forgetting that more evidence is more.
    pub(super) fn sum(&mut self, model: &ItemItem, weighted: impl IntoIterator<Item = (ItemIdx, f32)>) {
        let mut total = 0.0;
        for (of, weight) in weighted.into_iter().filter(|(_, weight)| *weight > 0.0) {
            total += weight;
            let (items, similarities) = model.neighbours(of);
            for (&item, similarity) in items.iter().zip(similarities) {
                self.add(item, weight * similarity, of);
            }
        }
        self.scale = if total > 0.0 { total.sqrt().recip() } else { 0.0 };
    }

    /// Without branches, which would be guessed wrong every other time, ten thousand times a request.
    #[inline]
    fn add(&mut self, item: ItemIdx, contribution: f32, of: ItemIdx) {
        let place = &mut self.by_row[item.row()];
        if self.n_touched < self.touched.len() {
            self.touched[self.n_touched] = item;
        }
        let is_larger = contribution > place.largest;
        self.n_touched += usize::from(is_larger) & usize::from(place.largest == 0.0);
        place.sum += contribution;
        place.because = if is_larger { of.0 } else { place.because };
        place.largest = if is_larger { contribution } else { place.largest };
    }

    /// [`Sessions::votes`] on all items but the session's own.
    ///
    /// The reason is found by majority vote (Boyer and Moore, 1981), in the memory of one number: an item of the session
    /// that led to more than half of a sum is its reason, where none did it is one of those that led to much.
    pub(super) fn poll(
        &mut self,
        model: &Sessions,
        session: &[(ItemIdx, f32)],
        now: Timestamp,
        memory: &mut Neighbourhood,
    ) {
        self.scale = 1.0;
        model.votes(session, now, memory, |item, share, of| self.vote(item, share, of));
        for (item, _) in session {
            self.by_row[item.row()].sum = 0.0;
        }
    }

    /// Without branches, as [`add`](Self::add).
    #[inline]
    fn vote(&mut self, item: ItemIdx, share: f32, of: ItemIdx) {
        let place = &mut self.by_row[item.row()];
        if self.n_touched < self.touched.len() {
            self.touched[self.n_touched] = item;
        }
        // An item of all sessions has an idf of 0 and is never touched.
        self.n_touched += usize::from(place.sum == 0.0) & usize::from(share > 0.0);
        place.sum += share;
        let lead = if place.because == of.0 { place.largest + share } else { place.largest - share };
        place.because = if lead < 0.0 { of.0 } else { place.because };
        place.largest = lead.abs();
    }

    /// Score of an item and the item that contributed most; `None` if nobody names it.
    pub(super) fn get(&self, item: ItemIdx) -> Option<(f32, ItemIdx)> {
        let Sum { sum, because, .. } = *self.by_row.get(item.row())?;
        (sum > 0.0).then_some((sum * self.scale, ItemIdx(because)))
    }

    /// The `k` best items that `keep` lets through, with score and reason, ties by the smaller row.
    pub(super) fn best_first(
        &mut self,
        k: usize,
        keep: impl Fn(ItemIdx) -> bool,
    ) -> &[(ItemIdx, f32, ItemIdx)] {
        self.order.clear();
        self.best.clear();
        for item in &self.touched[..self.n_touched] {
            let Sum { sum, .. } = self.by_row[item.row()];
            if sum > 0.0 {
                self.order.push(order::key(sum * self.scale, item.0));
            }
        }
        // The best in order, as many as are wanted and let through: most of a long list is never sorted.
        let mut sorted = 0;
        while self.best.len() < k && sorted < self.order.len() {
            let rest = &mut self.order[sorted..];
            let n_next = (k + SPARE).min(rest.len());
            if n_next < rest.len() {
                rest.select_nth_unstable(n_next);
            }
            rest[..n_next].sort_unstable();
            for key in &rest[..n_next] {
                let item = ItemIdx(order::place(*key));
                if self.best.len() < k && keep(item) {
                    let Sum { sum, because, .. } = self.by_row[item.row()];
                    self.best.push((item, sum * self.scale, ItemIdx(because)));
                }
            }
            sorted += n_next;
        }
        &self.best
    }
}

/// Sorted beyond what is asked for at once: some will not be let through.
const SPARE: usize = 64;
