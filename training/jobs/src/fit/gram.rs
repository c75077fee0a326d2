//! `G = Xᵀ·diag(v)·X`: how strongly items occur together, one row at a time, as a whole, or pair by pair.

use ndarray::Array2;
use rayon::prelude::*;
use waggle_model::{ItemIdx, Timestamp};

use super::{Interactions, Triple};

/// What the rows of `G` are, called *ranks*.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// The rows of the interactions.
    AsGiven,
    /// 0 is the item that most users touched, ties by the smaller row. Pairs of frequent items are a dense corner of `G`
    /// then, and what a rare one shares with more frequent ones is a short list: see [`Pairs`].
    ByFrequency,
}

/// What `G` is made of.
pub(super) struct Gram {
    by_user: Interactions,
    by_item: Interactions,
    /// `v`, one per user.
    voices: Vec<f32>,
    /// Rows of the items, by rank.
    rows: Vec<ItemIdx>,
}

/// One row of `G`. Kept from row to row: what is not touched is zero.
pub(super) struct GramRow {
    pub(super) values: Vec<f32>,
    /// Ranks whose values are not zero, in no order.
    pub(super) touched: Vec<u32>,
}

impl GramRow {
    pub(super) fn new(n_items: usize) -> Self {
        Self { values: vec![0.0; n_items], touched: Vec::new() }
    }

    fn clear(&mut self) {
        for rank in self.touched.drain(..) {
            self.values[rank as usize] = 0.0;
        }
    }
}

impl Gram {
    /// A history of `n` items speaks with `n^−η`, in such a unit that all pairs of user and item together weigh what they
    /// do with `η = 0`: what regularises need not change with it. Of longer histories than `max_history` only the newest
    /// items count, which bounds the cost.
    pub(super) fn new(
        order: Order,
        interactions: &Interactions,
        history_exponent: f32,
        max_history: usize,
    ) -> Self {
        let rows = match order {
            Order::AsGiven => (0..interactions.n_items()).map(ItemIdx::from_row).collect(),
            Order::ByFrequency => by_frequency(interactions),
        };
        let mut ranks = vec![ItemIdx(0); rows.len()];
        for (rank, row) in rows.iter().enumerate() {
            ranks[row.row()] = ItemIdx::from_row(rank);
        }
        let mut triples = Vec::with_capacity(interactions.len());
        for (user, row) in (0..).zip(0..interactions.n_users()) {
            let history = interactions.history(row);
            let newest = &history[history.len().saturating_sub(max_history)..];
            triples.extend(newest.iter().map(|entry| Triple {
                user,
                item: ranks[entry.item.row()],
                weight: entry.weight,
                time: Timestamp::default(),
            }));
        }
        let by_user = Interactions::from_triples(interactions.n_users(), rows.len(), triples)
            .expect("rows, items and weights come from checked interactions");
        let by_item = by_user.transpose();
        let voices = voices(&by_user, history_exponent);
        Self { by_user, by_item, voices, rows }
    }

    pub(super) fn n_items(&self) -> usize {
        self.rows.len()
    }

    /// The item's row where the interactions came from.
    pub(super) fn row_of(&self, rank: usize) -> ItemIdx {
        self.rows[rank]
    }

    /// `G_rank`, its diagonal included. Costs the lengths of the histories with the item.
    pub(super) fn row(&self, rank: usize, row: &mut GramRow) {
        row.clear();
        for (user, own) in self.by_item.items(rank).iter().zip(self.by_item.weights(rank)) {
            let voice = self.voices[user.row()] * own;
            let history = self.by_user.items(user.row());
            for (other, weight) in history.iter().zip(self.by_user.weights(user.row())) {
                let value = &mut row.values[other.row()];
                if *value == 0.0 {
                    row.touched.push(other.0);
                }
                *value += voice * weight;
            }
        }
    }

    /// `diag(G)`.
    pub(super) fn diagonal(&self) -> Vec<f32> {
        let of_item = |rank: usize| {
            let who = self.by_item.items(rank).iter().zip(self.by_item.weights(rank));
            who.map(|(user, weight)| self.voices[user.row()] * weight * weight).sum()
        };
        (0..self.n_items()).into_par_iter().map(of_item).collect()
    }

    /// `G` as a whole, row-major.
    pub(super) fn to_dense(&self) -> Array2<f32> {
        let n_items = self.n_items();
        let mut dense = Array2::zeros((n_items, n_items));
        let rows = dense.as_slice_mut().expect("made in standard layout").par_chunks_mut(n_items.max(1));
        rows.enumerate().for_each_init(
            || GramRow::new(n_items),
            |row, (rank, out)| {
                self.row(rank, row);
                out.copy_from_slice(&row.values);
            },
        );
        dense
    }

    /// Every pair at hand; needs [`Order::ByFrequency`].
    pub(super) fn pairs(&self) -> Pairs {
        /// 256 MiB: most of what is looked up is of frequent items.
        const MAX_HEAD: usize = 8_192;
        let n_head = self.n_items().min(MAX_HEAD);
        let mut head = vec![0.0; n_head * n_head];
        head.par_chunks_mut(n_head.max(1)).enumerate().for_each_init(
            || GramRow::new(self.n_items()),
            |row, (rank, out)| {
                self.row(rank, row);
                out.copy_from_slice(&row.values[..n_head]);
            },
        );
        let with_more_frequent = |row: &mut GramRow, rank: usize| {
            self.row(rank, row);
            let mut others: Vec<u32> =
                row.touched.iter().copied().filter(|other| (*other as usize) < rank).collect();
            others.sort_unstable();
            let values = others.iter().map(|other| row.values[*other as usize]).collect();
            TailRow { others, values }
        };
        let tail = (n_head..self.n_items())
            .into_par_iter()
            .map_init(|| GramRow::new(self.n_items()), with_more_frequent)
            .collect();
        Pairs { n_head, head, tail }
    }
}

/// Elements of `G`: a dense corner of the most frequent items, and for every other one what it shares with more frequent
/// ones.
pub(super) struct Pairs {
    n_head: usize,
    /// `[n_head, n_head]`.
    head: Vec<f32>,
    /// Of rank `n_head + i`.
    tail: Vec<TailRow>,
}

struct TailRow {
    /// Ascending.
    others: Vec<u32>,
    values: Vec<f32>,
}

impl Pairs {
    /// `G` among the `ranks`, which ascend: the upper triangle of the leading rows of `out`, whose rows have `stride`
    /// elements. The diagonal is left alone.
    pub(super) fn gather(&self, ranks: &[u32], stride: usize, out: &mut [f32]) {
        for (column, &rank) in ranks.iter().enumerate() {
            let more_frequent = &ranks[..column];
            if (rank as usize) < self.n_head {
                let row = &self.head[rank as usize * self.n_head..];
                for (at, &other) in more_frequent.iter().enumerate() {
                    out[at * stride + column] = row[other as usize];
                }
            } else {
                let TailRow { others, values } = &self.tail[rank as usize - self.n_head];
                let mut from = 0;
                for (at, other) in more_frequent.iter().enumerate() {
                    from += others[from..].partition_point(|shared| shared < other);
                    let is_shared = others.get(from) == Some(other);
                    out[at * stride + column] = if is_shared { values[from] } else { 0.0 };
                }
            }
        }
    }
}

/// Rows of items, the most frequent first.
fn by_frequency(interactions: &Interactions) -> Vec<ItemIdx> {
    let mut frequency = vec![0_u32; interactions.n_items()];
    for user in 0..interactions.n_users() {
        for item in interactions.items(user) {
            frequency[item.row()] += 1;
        }
    }
    let mut rows: Vec<ItemIdx> = (0..frequency.len()).map(ItemIdx::from_row).collect();
    rows.sort_by_key(|row| std::cmp::Reverse(frequency[row.row()]));
    rows
}

fn voices(by_user: &Interactions, history_exponent: f32) -> Vec<f32> {
    let lengths = (0..by_user.n_users()).map(|user| by_user.items(user).len() as f64);
    let voices: Vec<f64> =
        lengths.clone().map(|n| if n == 0.0 { 0.0 } else { n.powf(-f64::from(history_exponent)) }).collect();
    let spoken: f64 = voices.iter().zip(lengths.clone()).map(|(voice, n)| voice * n).sum();
    let unit = lengths.sum::<f64>() / spoken.max(f64::MIN_POSITIVE);
    voices.into_iter().map(|voice| (voice * unit) as f32).collect()
}
