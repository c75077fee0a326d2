//! Memory that one request after the other works in, one piece per thread: what a request touched is cleared, nothing is
//! allocated by the size of the catalogue.

use std::{cell::RefCell, collections::HashMap};

use waggle_model::{ItemIdx, ItemKey};

use super::accumulator::Accumulator;
use crate::{Vocabulary, sessions::Neighbourhood};

#[derive(Default)]
pub(super) struct Scratch {
    pub(super) marks: Marks,
    pub(super) by_history: Accumulator,
    pub(super) by_session: Accumulator,
    pub(super) neighbourhood: Neighbourhood,
}

/// An item as a key, and as a row where the snapshot knows it.
#[derive(Clone, Copy)]
pub(super) struct Spot {
    pub(super) item: ItemKey,
    pub(super) idx: Option<ItemIdx>,
}

/// What is known of items within one request.
#[derive(Default)]
pub(super) struct Marks {
    by_row: Vec<Mark>,
    touched: Vec<ItemIdx>,
    /// Of items that the snapshot does not know; there are few.
    others: HashMap<ItemKey, Mark>,
}

#[derive(Clone, Copy, Default)]
struct Mark {
    is_bought: bool,
    is_on_page: bool,
    /// Place among the proposals plus one; 0 is none.
    place: u32,
}

/// Runs `work` with this thread's memory, cleared and large enough for `n_items`.
pub(super) fn with_scratch<T>(n_items: usize, work: impl FnOnce(&mut Scratch) -> T) -> T {
    thread_local! {
        static SCRATCH: RefCell<Scratch> = RefCell::default();
    }
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.marks.clear(n_items);
        scratch.by_history.clear(n_items);
        scratch.by_session.clear(n_items);
        work(scratch)
    })
}

impl Marks {
    fn clear(&mut self, n_items: usize) {
        for item in self.touched.drain(..) {
            self.by_row[item.row()] = Mark::default();
        }
        // Never shorter: a request without a snapshot comes between two with one.
        if self.by_row.len() < n_items {
            self.by_row.resize(n_items, Mark::default());
        }
        self.others.clear();
    }

    /// Notes what the person has bought and what is on the page.
    pub(super) fn begin(
        &mut self,
        vocabulary: &Vocabulary,
        bought: impl Iterator<Item = ItemKey>,
        on_page: &[ItemKey],
    ) {
        for item in bought {
            self.mark(Spot { item, idx: vocabulary.idx_of_key(item) }).is_bought = true;
        }
        for &item in on_page {
            self.mark(Spot { item, idx: vocabulary.idx_of_key(item) }).is_on_page = true;
        }
    }

    /// Neither bought nor on the page.
    pub(super) fn is_free_row(&self, idx: ItemIdx) -> bool {
        let mark = &self.by_row[idx.row()];
        !mark.is_bought && !mark.is_on_page
    }

    pub(super) fn is_bought(&self, spot: Spot) -> bool {
        self.get(spot).is_bought
    }

    pub(super) fn is_on_page(&self, spot: Spot) -> bool {
        self.get(spot).is_on_page
    }

    /// Whether it is among the proposals.
    pub(super) fn is_placed(&self, spot: Spot) -> bool {
        self.get(spot).place > 0
    }

    /// The row's place among the proposals.
    pub(super) fn place_of_row(&self, idx: ItemIdx) -> Option<usize> {
        (self.by_row[idx.row()].place as usize).checked_sub(1)
    }

    /// The item's place among the proposals; `next` from now on if it has none.
    pub(super) fn place_of(&mut self, spot: Spot, next: usize) -> usize {
        let mark = self.mark(spot);
        if mark.place == 0 {
            mark.place = u32::try_from(next + 1).expect("proposals are few");
        }
        mark.place as usize - 1
    }

    fn get(&self, spot: Spot) -> Mark {
        match spot.idx {
            Some(idx) => self.by_row[idx.row()],
            None => self.others.get(&spot.item).copied().unwrap_or_default(),
        }
    }

    fn mark(&mut self, spot: Spot) -> &mut Mark {
        match spot.idx {
            Some(idx) => {
                self.touched.push(idx);
                &mut self.by_row[idx.row()]
            }
            None => self.others.entry(spot.item).or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_without_a_snapshot_does_not_cost_the_next_one_its_memory() {
        let places = |n_items| {
            with_scratch(n_items, |scratch| {
                (scratch.marks.by_row.as_ptr(), scratch.marks.by_row.len(), scratch.by_history.n_places())
            })
        };
        let before = places(100_000);
        assert_eq!(before.1, 100_000);
        assert_eq!(places(0), before);
        assert_eq!(places(100_000), before);
    }
}
