//! `G = Xᵀ·diag(v)·X`: how strongly items occur together, one row at a time, as a whole, or pair by pair.

use ndarray::Array2;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use waggle_model::{ItemIdx, Timestamp};

use super::{FitError, Interactions, Triple, param};

/// What the rows of `G` are, called *ranks*.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// The rows of the interactions.
    AsGiven,
    /// 0 is the item that most users touched, ties by the smaller row. Pairs of frequent items are a dense corner of `G`
    /// then, and what a rare one shares with more frequent ones is a short list: see [`Pairs`].
    ByFrequency,
}

/// What the fits of linear autoencoders take for histories.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Histories {
    /// `η`: a history of `n` items speaks with `n^−η`, in such a unit that all pairs of user and item together weigh what
    /// they do with `η = 0`: what regularises need not change with it.
    pub(super) exponent: f32,
    /// Of longer ones only the newest items count, which bounds the cost.
    pub(super) max_len: usize,
    pub(super) sequence: Option<SequenceParams>,
}

impl Histories {
    pub(super) fn validate(&self) -> Result<(), FitError> {
        let exponent = self.exponent;
        param((0.0..=2.0).contains(&exponent), "history_exponent", exponent.into(), "from 0 to 2")?;
        param(self.max_len >= 2, "max_history", self.max_len as f64, "at least 2")?;
        let Some(SequenceParams { share, steps }) = self.sequence else { return Ok(()) };
        param((0.0..=1.0).contains(&share), "share", share.into(), "from 0 to 1")?;
        param(steps.is_finite() && steps > 0.0, "steps", steps.into(), "finite and greater than 0")
    }
}

/// How much it counts what comes next, beside what occurs together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SequenceParams {
    /// `1 − α`, from 0 (the order does not matter) to 1 (only what comes next does).
    pub share: f32,
    /// `τ`: an item that `n` others followed explains the next one with `e^(−n/τ)`.
    pub steps: f32,
}

/// What `G` is made of.
///
/// Without a sequence `G_ij = Σ_u v_u x_ui x_uj`. With one, every item of a history is to be explained by those before
/// it, the row `s` of weights `e^(−n/τ)`: `G_ij = Σ_u v_u (α x_ui x_uj + (1 − α) Σ_next s_i s_j)`, and what explains `j`
/// is `Σ_u v_u (α x_ui x_uj + (1 − α) Σ_{next = j} s_i)`.
pub(super) struct Gram {
    /// Times are places in the history.
    by_user: Interactions,
    by_item: Interactions,
    /// `v`, one per user.
    voices: Vec<f32>,
    sequence: Option<Fading>,
    /// Rows of the items, by rank.
    rows: Vec<ItemIdx>,
}

/// Powers of `e^(−1/τ)`.
struct Fading {
    share: f32,
    /// `e^(−n/τ)`.
    steps: Vec<f32>,
    /// `Σ_{m<n} e^(−2m/τ)`.
    sums: Vec<f32>,
}

/// One row of `G`. Kept from row to row: what is not touched is zero.
pub(super) struct GramRow {
    pub(super) values: Vec<f32>,
    /// Ranks whose values are not zero, in no order.
    pub(super) touched: Vec<u32>,
}

/// An item in a history.
#[derive(Clone, Copy)]
struct Entry {
    weight: f32,
    place: usize,
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

    fn add(&mut self, rank: ItemIdx, value: f32) {
        let sum = &mut self.values[rank.row()];
        if *sum == 0.0 && value != 0.0 {
            self.touched.push(rank.0);
        }
        *sum += value;
    }
}

impl Fading {
    fn new(params: &SequenceParams, max_len: usize) -> Self {
        let step = |n: usize| (-(n as f64) / f64::from(params.steps)).exp();
        let sums = (0..=max_len).scan(0.0, |sum, n| {
            let before = *sum;
            *sum += step(2 * n);
            Some(before as f32)
        });
        Self {
            share: params.share,
            steps: (0..=max_len).map(|n| step(n) as f32).collect(),
            sums: sums.collect(),
        }
    }

    /// `Σ_next s_a s_b` over a history of `len` items.
    fn explaining(&self, a: usize, b: usize, len: usize) -> f32 {
        let (first, last) = (a.min(b), a.max(b));
        self.steps[last - first] * self.sums[len - 1 - last]
    }

    /// `s_from` where the next item is at `to`.
    fn explained(&self, from: usize, to: usize) -> f32 {
        if from < to { self.steps[to - 1 - from] } else { 0.0 }
    }
}

impl Gram {
    pub(super) fn new(order: Order, interactions: &Interactions, histories: &Histories) -> Self {
        let rows = match order {
            Order::AsGiven => (0..interactions.n_items()).map(ItemIdx::from_row).collect(),
            Order::ByFrequency => by_frequency(interactions),
        };
        let mut ranks = vec![ItemIdx(0); rows.len()];
        for (rank, row) in rows.iter().enumerate() {
            ranks[row.row()] = ItemIdx::from_row(rank);
        }
        let mut triples = Vec::with_capacity(interactions.len());
        let mut longest = 0;
        for (user, row) in (0..).zip(0..interactions.n_users()) {
            let history = interactions.history(row);
            let newest = &history[history.len().saturating_sub(histories.max_len)..];
            longest = longest.max(newest.len());
            triples.extend(newest.iter().zip(0..).map(|(entry, place)| Triple {
                user,
                item: ranks[entry.item.row()],
                weight: entry.weight,
                time: Timestamp::from_millis(place),
            }));
        }
        let by_user = Interactions::from_triples(interactions.n_users(), rows.len(), triples)
            .expect("rows, items and weights come from checked interactions");
        let by_item = by_user.transpose();
        let voices = voices(&by_user, histories.exponent);
        let sequence = histories.sequence.as_ref().map(|params| Fading::new(params, longest));
        Self { by_user, by_item, voices, sequence, rows }
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
        self.sum(rank, row, |fading, other, own, len| fading.explaining(other.place, own.place, len));
    }

    /// What explains the item, by rank. [`row`](Self::row) without a sequence.
    pub(super) fn explaining_row(&self, rank: usize, row: &mut GramRow) {
        self.sum(rank, row, |fading, other, own, _| fading.explained(other.place, own.place));
    }

    fn sum(&self, rank: usize, row: &mut GramRow, in_sequence: impl Fn(&Fading, Entry, Entry, usize) -> f32) {
        row.clear();
        for (user, own) in entries(&self.by_item, rank) {
            let user = user.row();
            let (voice, len) = (self.voices[user], self.by_user.items(user).len());
            for (rank, other) in entries(&self.by_user, user) {
                let together = own.weight * other.weight;
                let value = self.sequence.as_ref().map_or(together, |fading| {
                    (1.0 - fading.share) * together + fading.share * in_sequence(fading, other, own, len)
                });
                row.add(rank, voice * value);
            }
        }
    }

    /// `diag(G)`.
    pub(super) fn diagonal(&self) -> Vec<f32> {
        let of_user = |(user, own): (ItemIdx, Entry)| {
            let together = own.weight * own.weight;
            let value = self.sequence.as_ref().map_or(together, |fading| {
                let len = self.by_user.items(user.row()).len();
                (1.0 - fading.share) * together + fading.share * fading.explaining(own.place, own.place, len)
            });
            self.voices[user.row()] * value
        };
        let of_item = |rank| entries(&self.by_item, rank).map(of_user).sum();
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

/// Columns of a row, with what stands there.
fn entries(interactions: &Interactions, row: usize) -> impl Iterator<Item = (ItemIdx, Entry)> {
    let places = interactions.times(row).iter().map(|time| time.as_millis() as usize);
    let entries = interactions.weights(row).iter().zip(places);
    interactions
        .items(row)
        .iter()
        .zip(entries)
        .map(|(&column, (&weight, place))| (column, Entry { weight, place }))
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
