//! Sums over items: of item-item similarities, or of what similar sessions say.

use waggle_model::{ItemIdx, Timestamp};

use crate::{ItemItem, Sessions, order, sessions::Neighbourhood};

/// For every item that somebody names: the sum, and the item that contributed most. Kept from request to
/// request; only what was touched is cleared.
///
/// A row has its sum at the place of its lower bits, or at the first free one after. So a small catalogue has a place for
/// every row, and of a large one a thread keeps as much as its longest requests have named, not 12 bytes an item.
#[derive(Default)]
pub(super) struct Accumulator {
    /// A power of two of places.
    sums: Vec<Sum>,
    /// Most places that are needed: as many as there are rows, or more.
    most: usize,
    /// The first `n_touched` are the places in use; there is room for those of the list in hand.
    touched: Vec<u32>,
    n_touched: usize,
    /// What sums are multiplied by.
    scale: f32,
    /// Working memory of [`best_first`](Self::best_first).
    order: Vec<u64>,
    best: Vec<(ItemIdx, f32, ItemIdx)>,
}

/// A place is free while its sum is zero.
#[derive(Clone, Copy, Default)]
struct Sum {
    row: u32,
    /// [`NO_OPINION`], or greater than zero.
    sum: f32,
    /// How far ahead the reason is: its own contribution, or its lead over the others.
    largest: f32,
    because: u32,
}

/// The sum of a row that is named and shall have none. It keeps its place, so that those behind it are found.
const NO_OPINION: f32 = -1.0;

/// Rows that voters get room for at once.
const ROOM: usize = 1_024;

/// Fewest places, unless there are fewer rows: up to so many rows none is in another's place.
const MIN_PLACES: usize = 1 << 16;

impl Accumulator {
    /// Forgets the request before, of a model with any number of items.
    pub(super) fn clear(&mut self, n_items: usize) {
        for place in &self.touched[..self.n_touched] {
            self.sums[*place as usize] = Sum::default();
        }
        self.n_touched = 0;
        self.scale = 0.0;
        self.most = n_items.next_power_of_two();
        // Never fewer: a request without a snapshot comes between two with one.
        let wanted = self.sums.len().max(MIN_PLACES.min(self.most));
        self.sums.resize(wanted, Sum::default());
    }

    /// `score(j) = Σ_i weight_i · sim(i → j) / √(Σ_i weight_i)` over items with a positive weight: the root keeps long and
    /// short histories on one scale without forgetting that more evidence is more.
    pub(super) fn sum(&mut self, model: &ItemItem, weighted: impl IntoIterator<Item = (ItemIdx, f32)>) {
        let mut total = 0.0;
        for (of, weight) in weighted.into_iter().filter(|(_, weight)| *weight > 0.0) {
            total += weight;
            let (items, similarities) = model.neighbours(of);
            self.reserve(items.len());
            for (&item, similarity) in items.iter().zip(similarities) {
                self.add(item, weight * similarity, of);
            }
        }
        self.scale = if total > 0.0 { total.sqrt().recip() } else { 0.0 };
    }

    #[cfg(test)]
    pub(super) fn n_places(&self) -> usize {
        self.sums.len()
    }

    /// Makes room for so many more rows, a quarter of the places in use at most unless every row has its own.
    fn reserve(&mut self, n_more: usize) {
        let n_rows = self.n_touched + n_more;
        if self.touched.len() < n_rows {
            self.touched.resize(n_rows, 0);
        }
        let wanted = (4 * n_rows).next_power_of_two().min(self.most);
        if wanted <= self.sums.len() {
            return;
        }
        let before = std::mem::replace(&mut self.sums, vec![Sum::default(); wanted]);
        for at in 0..self.n_touched {
            let sum = before[self.touched[at] as usize];
            let place = place_of(&self.sums, sum.row);
            self.sums[place] = sum;
            self.touched[at] = u32::try_from(place).expect("rows are numbered by 32 bits");
        }
    }

    /// Without branches on what is already there, which would be guessed wrong every other time, ten thousand times a
    /// request.
    #[inline]
    fn add(&mut self, item: ItemIdx, contribution: f32, of: ItemIdx) {
        let at = place_of(&self.sums, item.0);
        let place = &mut self.sums[at];
        if self.n_touched < self.touched.len() {
            self.touched[self.n_touched] = at as u32;
        }
        let is_larger = contribution > place.largest;
        self.n_touched += usize::from(place.sum == 0.0) & usize::from(contribution > 0.0);
        place.row = item.0;
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
            let place = place_of(&self.sums, item.0);
            if self.sums[place].sum > 0.0 {
                self.sums[place].sum = NO_OPINION;
            }
        }
    }

    /// Without branches, as [`add`](Self::add).
    #[inline]
    fn vote(&mut self, item: ItemIdx, share: f32, of: ItemIdx) {
        if self.n_touched == self.touched.len() {
            self.reserve(ROOM);
        }
        let at = place_of(&self.sums, item.0);
        let place = &mut self.sums[at];
        self.touched[self.n_touched] = at as u32;
        place.row = item.0;
        // An item of all sessions has an idf of 0 and is never touched.
        self.n_touched += usize::from(place.sum == 0.0) & usize::from(share > 0.0);
        place.sum += share;
        let lead = if place.because == of.0 { place.largest + share } else { place.largest - share };
        place.because = if lead < 0.0 { of.0 } else { place.because };
        place.largest = lead.abs();
    }

    /// Score of an item and the item that contributed most; `None` if nobody names it.
    pub(super) fn get(&self, item: ItemIdx) -> Option<(f32, ItemIdx)> {
        if self.sums.is_empty() {
            return None;
        }
        let Sum { sum, because, .. } = self.sums[place_of(&self.sums, item.0)];
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
        for place in &self.touched[..self.n_touched] {
            let Sum { row, sum, .. } = self.sums[*place as usize];
            if sum > 0.0 {
                self.order.push(order::key(sum * self.scale, row));
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
                    let Sum { sum, because, .. } = self.sums[place_of(&self.sums, item.0)];
                    self.best.push((item, sum * self.scale, ItemIdx(because)));
                }
            }
            sorted += n_next;
        }
        &self.best
    }
}

/// Where the row's sum is, or would be.
#[inline]
fn place_of(sums: &[Sum], row: u32) -> usize {
    let mask = sums.len() - 1;
    let mut place = row as usize & mask;
    // One comparison that hardly ever fails, whichever of the two holds.
    while !((sums[place].row == row) | (sums[place].sum == 0.0)) {
        place = (place + 1) & mask;
    }
    place
}

/// Sorted beyond what is asked for at once: some will not be let through.
const SPARE: usize = 64;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::{
        ItemItemScoring,
        sessions::{SessionArrays, SessionScoring},
    };

    /// Each item with so many neighbours of falling similarity, some of them the neighbours of many.
    fn model(n_items: usize, n_neighbours: usize) -> ItemItem {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let (mut indptr, mut items, mut similarities) = (vec![0], Vec::new(), Vec::new());
        for of in 0..n_items {
            for rank in 0..n_neighbours {
                // Distinct, not the item itself, and in few places of a small table.
                let step = 1 + rank * (n_items / n_neighbours) + rng.gen_range(0..4);
                items.push(ItemIdx::from_row((of + step) % n_items));
                similarities.push(1.0 / (1.0 + rank as f32));
            }
            indptr.push(items.len());
        }
        ItemItem::try_new(indptr, items, similarities, ItemItemScoring::default()).unwrap()
    }

    #[test]
    fn sums_are_those_of_a_map_whatever_the_size_of_the_catalogue() {
        let mut accumulator = Accumulator::default();
        // Small, large, small again: more rows than places at first, and memory that was used before.
        for (n_items, n_touched) in [(50, 3), (150_000, 4_000), (150_000, 2), (50, 7), (70_000, 9_000)] {
            let model = model(n_items, 10);
            let history: Vec<(ItemIdx, f32)> =
                (0..n_touched).map(|n| (ItemIdx::from_row(n * 13 % n_items), 1.0 + (n % 3) as f32)).collect();
            let mut expected: HashMap<ItemIdx, f32> = HashMap::new();
            for (of, weight) in &history {
                let (items, similarities) = model.neighbours(*of);
                for (item, similarity) in items.iter().zip(similarities) {
                    *expected.entry(*item).or_default() += weight * similarity;
                }
            }
            let scale = history.iter().map(|(_, weight)| weight).sum::<f32>().sqrt().recip();
            accumulator.clear(n_items);
            accumulator.sum(&model, history);
            for item in (0..n_items).map(ItemIdx::from_row) {
                let score = accumulator.get(item).map(|(score, _)| score);
                assert_eq!(score, expected.get(&item).map(|sum| sum * scale), "{item:?} of {n_items}");
            }
            let best = accumulator.best_first(usize::MAX - SPARE, |_| true);
            assert_eq!(best.len(), expected.len());
            assert!(best.is_sorted_by(|a, b| a.1 >= b.1));
        }
    }

    #[test]
    fn votes_are_those_of_a_map_and_the_items_of_the_session_get_none() {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let mut accumulator = Accumulator::default();
        for n_items in [40, 150_000] {
            // Of rows that share places in a table of the fewest: the session's own stand before others.
            let row = |n: usize| if n_items == 40 { n } else { n % 2 * MIN_PLACES + n / 2 };
            let sessions: Vec<Vec<usize>> = (0..300)
                .map(|_| {
                    let mut items: Vec<usize> = (0..5).map(|_| row(rng.gen_range(0..40))).collect();
                    items.sort_unstable();
                    items.dedup();
                    items
                })
                .collect();
            let model = of_sessions(&sessions, n_items);
            let session = [(ItemIdx::from_row(row(0)), 1.0), (ItemIdx::from_row(row(7)), 0.5)];
            let now = Timestamp::from_millis(0);
            let mut memory = Neighbourhood::default();
            let mut expected: HashMap<ItemIdx, f32> = HashMap::new();
            model.votes(&session, now, &mut memory, |item, share, _| {
                *expected.entry(item).or_default() += share;
            });
            assert!(session.iter().all(|(item, _)| expected.remove(item).is_some()) && expected.len() > 20);
            accumulator.clear(n_items);
            accumulator.poll(&model, &session, now, &mut memory);
            for item in (0..n_items).map(ItemIdx::from_row) {
                let score = accumulator.get(item).map(|(score, _)| score);
                assert_eq!(score, expected.get(&item).copied(), "{item:?} of {n_items}");
            }
            assert_eq!(accumulator.best_first(100, |_| true).len(), expected.len());
        }
    }

    fn of_sessions(sessions: &[Vec<usize>], n_items: usize) -> Sessions {
        let mut of_item = vec![Vec::new(); n_items];
        for (session, items) in sessions.iter().enumerate().rev() {
            items.iter().for_each(|&item| of_item[item].push(session as u32));
        }
        let pointers = |lengths: Vec<usize>| {
            let sums = lengths.into_iter().scan(0, |end, n| {
                *end += n;
                Some(*end)
            });
            std::iter::once(0).chain(sums).collect()
        };
        let arrays = SessionArrays {
            of_items: pointers(of_item.iter().map(Vec::len).collect()),
            sessions: of_item.into_iter().flatten().collect(),
            of_sessions: pointers(sessions.iter().map(Vec::len).collect()),
            items: sessions.iter().flatten().copied().map(ItemIdx::from_row).collect(),
            days: vec![0; sessions.len()],
            idf: vec![1.0; n_items],
        };
        Sessions::try_new(arrays, SessionScoring::default()).unwrap()
    }
}
