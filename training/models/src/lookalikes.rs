//! Items that no model knows, by the items they read like: what is newer than the snapshot reaches the people who want
//! such things before anybody has touched it.

use std::{collections::hash_map::Entry, hash::BuildHasherDefault};

use waggle_model::{ItemKey, KeyMap};

/// Most unknown items that one item leads to.
pub const MAX_PER_ITEM: usize = 20;
/// Unknown items that a person's items lead to; more take longer.
const SPACE: usize = 256;

/// For each item, the unknown ones that read like it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Lookalikes {
    /// Best first, ties by the smaller key, at most [`MAX_PER_ITEM`].
    by_item: KeyMap<Vec<(ItemKey, f32)>>,
}

impl Lookalikes {
    /// Turns around what each unknown item reads like: (unknown, its (known item, likeness between 0 and 1)).
    pub fn new<'a>(unknown: impl IntoIterator<Item = (ItemKey, &'a [(ItemKey, f32)])>) -> Self {
        let mut by_item: KeyMap<Vec<(ItemKey, f32)>> = KeyMap::default();
        for (item, likenesses) in unknown {
            for &(known, likeness) in likenesses {
                by_item.entry(known).or_default().push((item, likeness));
            }
        }
        for list in by_item.values_mut() {
            list.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            list.truncate(MAX_PER_ITEM);
        }
        Self { by_item }
    }

    pub fn is_empty(&self) -> bool {
        self.by_item.is_empty()
    }

    /// `score(j) = Σ_i weight_i · likeness(i, j) / √(Σ_i weight_i)` over the items with a positive weight, as item-item
    /// similarities are summed, with the item that contributed most; best first, ties by the smaller key. Costs
    /// [`MAX_PER_ITEM`] additions per item.
    pub fn of(&self, weighted: impl IntoIterator<Item = (ItemKey, f32)>) -> Vec<(ItemKey, f32, ItemKey)> {
        let mut total = 0.0;
        // Growing costs half of the rest.
        let mut places: KeyMap<usize> =
            KeyMap::with_capacity_and_hasher(SPACE, BuildHasherDefault::default());
        let mut sums: Vec<Sum> = Vec::with_capacity(SPACE);
        for (because, weight) in weighted.into_iter().filter(|(_, weight)| *weight > 0.0) {
            total += weight;
            for &(item, likeness) in self.by_item.get(&because).map_or(&[][..], Vec::as_slice) {
                let contribution = weight * likeness;
                match places.entry(item) {
                    Entry::Vacant(place) => {
                        place.insert(sums.len());
                        sums.push(Sum { item, sum: contribution, largest: contribution, because });
                    }
                    Entry::Occupied(place) => sums[*place.get()].add(contribution, because),
                }
            }
        }
        sums.sort_unstable_by(|a, b| b.sum.total_cmp(&a.sum).then(a.item.cmp(&b.item)));
        let scale = if total > 0.0 { total.sqrt().recip() } else { 0.0 };
        sums.into_iter().map(|Sum { item, sum, because, .. }| (item, sum * scale, because)).collect()
    }
}

struct Sum {
    item: ItemKey,
    sum: f32,
    largest: f32,
    because: ItemKey,
}

impl Sum {
    fn add(&mut self, contribution: f32, because: ItemKey) {
        self.sum += contribution;
        if contribution > self.largest {
            (self.largest, self.because) = (contribution, because);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u64) -> ItemKey {
        ItemKey(n)
    }

    #[test]
    fn what_reads_like_several_items_comes_first_because_of_the_one_that_counts_most() {
        let like = |pairs: &[(u64, f32)]| -> Vec<(ItemKey, f32)> {
            pairs.iter().map(|&(n, likeness)| (key(n), likeness)).collect()
        };
        let (both, one) = (like(&[(1, 0.5), (2, 0.5)]), like(&[(1, 0.75)]));
        let lookalikes = Lookalikes::new([(key(90), &both[..]), (key(91), &one[..])]);
        let found = lookalikes.of([(key(1), 1.0), (key(2), 3.0), (key(3), 0.0), (key(4), -1.0)]);
        // √(1 + 3) = 2.
        assert_eq!(found, [(key(90), 1.0, key(2)), (key(91), 0.375, key(1))]);
        assert_eq!(lookalikes.of([(key(3), 1.0)]), []);
    }

    #[test]
    fn an_item_leads_to_the_most_alike_only() {
        let likenesses: Vec<Vec<(ItemKey, f32)>> =
            (0..30_u8).map(|n| vec![(key(1), f32::from(n) / 30.0)]).collect();
        let lookalikes = Lookalikes::new((100..).map(key).zip(likenesses.iter().map(Vec::as_slice)));
        let found = lookalikes.of([(key(1), 1.0)]);
        assert_eq!((found.len(), found[0].0, found[MAX_PER_ITEM - 1].0), (MAX_PER_ITEM, key(129), key(110)));
    }
}
