//! What is recommended, apart from whether it is right: how novel, how popular, how far into the long tail.

#[cfg(test)]
mod tests;

use serde::Serialize;
use waggle_model::ItemIdx;

/// How often each item was touched in what was learned from.
#[derive(Debug, Clone, Copy)]
pub struct Touched<'a> {
    /// Users by item.
    pub counts: &'a [usize],
    pub n_users: usize,
}

/// Of the catalogue, the most touched items: the *short head*.
const HEAD_SHARE: f64 = 0.1;

impl Touched<'_> {
    /// Mean self-information `−log₂(n_i/n_users)` of the items among the first `k` of all lists, in bits: how seldom people come by
    /// them (Zhou et al., "Solving the apparent diversity–accuracy dilemma of recommender systems", PNAS 2010). An item that
    /// nobody touched counts as if one had. `None` where nothing is recommended.
    pub fn novelty(&self, lists: &[Vec<ItemIdx>], k: usize) -> Option<f64> {
        let bits = |item: ItemIdx| (self.n_users.max(1) as f64 / self.count(item).max(1) as f64).log2();
        mean(shown(lists, k).map(bits))
    }

    /// Of the places among the first `k` of all lists, the share that goes to the most touched tenth of the catalogue. `None`
    /// where nothing is recommended.
    pub fn popularity_share(&self, lists: &[Vec<ItemIdx>], k: usize) -> Option<f64> {
        let order = self.most_touched_first();
        let mut is_head = vec![false; order.len()];
        let n_head = (order.len() as f64 * HEAD_SHARE).ceil() as usize;
        order[..n_head].iter().for_each(|item| is_head[item.row()] = true);
        mean(shown(lists, k).map(|item| f64::from(u8::from(is_head.get(item.row()) == Some(&true)))))
    }

    /// Items from the most touched on: which share of the catalogue they are, of what was touched, and of what is recommended
    /// among the first `k` of all lists.
    pub fn long_tail(&self, lists: &[Vec<ItemIdx>], k: usize, n_points: usize) -> Vec<TailPoint> {
        let mut n_shown = vec![0_usize; self.counts.len()];
        for item in shown(lists, k) {
            if let Some(n) = n_shown.get_mut(item.row()) {
                *n += 1;
            }
        }
        let order = self.most_touched_first();
        let (all_touched, all_shown) = (self.counts.iter().sum::<usize>(), n_shown.iter().sum::<usize>());
        let share = |n: usize, all: usize| if all == 0 { 0.0 } else { n as f64 / all as f64 };
        let mut points = vec![TailPoint::default()];
        let (mut touched, mut shown, mut n_items) = (0, 0, 0);
        for point in 1..=n_points {
            let end = order.len() * point / n_points;
            for item in &order[n_items..end] {
                touched += self.counts[item.row()];
                shown += n_shown[item.row()];
            }
            n_items = end;
            points.push(TailPoint {
                of_items: share(n_items, order.len()),
                of_touched: share(touched, all_touched),
                of_recommended: share(shown, all_shown),
            });
        }
        points
    }

    fn count(&self, item: ItemIdx) -> usize {
        self.counts.get(item.row()).copied().unwrap_or(0)
    }

    fn most_touched_first(&self) -> Vec<ItemIdx> {
        let mut order: Vec<ItemIdx> = (0..self.counts.len()).map(ItemIdx::from_row).collect();
        order.sort_by_key(|item| std::cmp::Reverse(self.counts[item.row()]));
        order
    }
}

/// A point of the curve of the long tail; all shares from 0 to 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct TailPoint {
    pub of_items: f64,
    pub of_touched: f64,
    pub of_recommended: f64,
}

fn shown(lists: &[Vec<ItemIdx>], k: usize) -> impl Iterator<Item = ItemIdx> {
    lists.iter().flat_map(move |list| list.iter().take(k).copied())
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, n) = values.fold((0.0, 0_usize), |(sum, n), value| (sum + value, n + 1));
    (n > 0).then(|| sum / n as f64)
}
