//! Neighbours of items from co-occurrence.

use std::time::Duration;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use waggle_model::{ItemIdx, Scored, Timestamp};
use waggle_models::{ItemItem, item_item::ItemItemScoring};

use super::{FitError, Interactions, Triple, param};

/// When two items of one person occur together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CoOccurrence {
    /// Anywhere in the history.
    Histories,
    /// In one basket: a basket ends where nothing was touched for longer than `max_gap`. Merged pairs know their latest
    /// time only; whose data has order numbers gives every order a row of its own and takes `Histories`.
    Baskets { max_gap: Duration },
}

/// Settings of [`fit_item_item`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ItemItemParams {
    pub co_occurrence: CoOccurrence,
    /// Neighbours kept per item.
    pub n_neighbours: usize,
    /// `η`: a history of `n` items speaks with weight `n^−η`; 0 lets heavy users speak loudest.
    pub history_exponent: f32,
    /// `β`: damping by the frequency of the item in the history.
    pub source_exponent: f32,
    /// `γ`: damping by the frequency of the neighbour; the greater, the rarer the neighbours. `β = γ = ½` is the cosine,
    /// `β = 1` with `γ` from 0 to 1 the damped conditional probability.
    pub target_exponent: f32,
    /// `d_i` counts every history as 1, not as what it speaks with.
    pub counts_histories: bool,
    /// `s`: similarities are raised to it; below 1 lifts weak neighbours.
    pub power: f32,
    /// A pair seen together `n` times is multiplied by `n/(n + shrink)`: chance pairs fall.
    pub shrink: f32,
    /// Pairs seen together fewer times are dropped.
    pub min_count: u32,
    /// Of longer histories only the most recent items are used (ties: the greater row). Bounds the cost, which is
    /// quadratic in it, and the say of robots.
    pub max_history: usize,
    /// How the model will weigh a person's history.
    pub scoring: ItemItemScoring,
}

impl Default for ItemItemParams {
    fn default() -> Self {
        Self {
            co_occurrence: CoOccurrence::Histories,
            n_neighbours: 100,
            history_exponent: 0.5,
            source_exponent: 0.5,
            target_exponent: 0.5,
            counts_histories: false,
            power: 1.0,
            shrink: 5.0,
            min_count: 1,
            max_history: 1000,
            scoring: ItemItemScoring::default(),
        }
    }
}

/// The best neighbours of every item by damped, shrunk co-occurrence:
///
/// `sim(i → j) = (c_ij / (d_i^β · d_j^γ))^s · n_ij/(n_ij + shrink)`, `c_ij = Σ_u |H_u|^−η √(w_ui·w_uj)`,
/// `d_i = Σ_u |H_u|^−η w_ui`, `n_ij` the number of histories with both.
///
/// Cosine and conditional probability with damped popularity are of Deshpande and Karypis, "Item-based top-N
/// recommendation algorithms" (TOIS 2004, section 4.3); `η` and `s` of Park, Shin and Shin, "Turbo-CF" (SIGIR 2024),
/// whose filter is `η = 2a`, `β = γ = 1 − a`, with [`counts_histories`](ItemItemParams::counts_histories) and all neighbours. Ties go to the smaller row. Costs `O(Σ_u |H_u|²)`.
///
/// # Errors
/// [`FitError`] for an empty set or settings out of range.
pub fn fit_item_item(interactions: &Interactions, params: &ItemItemParams) -> Result<ItemItem, FitError> {
    validate(params)?;
    if interactions.is_empty() {
        return Err(FitError::NoInteractions);
    }
    let histories = histories(interactions, params);
    let by_item = histories.transpose();
    let voice: Vec<f32> = (0..histories.n_users())
        .map(|u| (histories.items(u).len() as f32).powf(-params.history_exponent))
        .collect();
    let frequency: Vec<f64> = (0..by_item.n_users())
        .map(|i| {
            let who = by_item.items(i).iter().zip(by_item.weights(i));
            let heard = |user: ItemIdx| if params.counts_histories { 1.0 } else { voice[user.row()] };
            who.map(|(user, &weight)| f64::from(heard(*user) * weight)).sum()
        })
        .collect();
    let fit = Fit { histories: &histories, by_item: &by_item, voice: &voice, frequency: &frequency, params };

    let rows: Vec<Vec<Scored>> = (0..by_item.n_users())
        .into_par_iter()
        .with_min_len(16)
        .map_init(|| Together::new(by_item.n_users()), |together, item| fit.neighbours(item, together))
        .collect();
    let mut indptr = Vec::with_capacity(rows.len() + 1);
    indptr.push(0);
    for row in &rows {
        indptr.push(indptr[indptr.len() - 1] + row.len());
    }
    let items = rows.iter().flatten().map(|scored| scored.item).collect();
    let similarities = rows.iter().flatten().map(|scored| scored.score).collect();
    Ok(ItemItem::try_new(indptr, items, similarities, params.scoring.clone())?)
}

struct Fit<'a> {
    histories: &'a Interactions,
    by_item: &'a Interactions,
    voice: &'a [f32],
    frequency: &'a [f64],
    params: &'a ItemItemParams,
}

/// Sums of one item's row, dense; `touched` says which are in use.
struct Together {
    weight: Vec<f32>,
    count: Vec<u32>,
    touched: Vec<ItemIdx>,
}

impl Together {
    fn new(n_items: usize) -> Self {
        Self { weight: vec![0.0; n_items], count: vec![0; n_items], touched: Vec::new() }
    }
}

impl Fit<'_> {
    fn neighbours(&self, item: usize, together: &mut Together) -> Vec<Scored> {
        for (user, &own) in self.by_item.items(item).iter().zip(self.by_item.weights(item)) {
            let user = user.row();
            let voice = self.voice[user];
            for (other, &weight) in self.histories.items(user).iter().zip(self.histories.weights(user)) {
                let row = other.row();
                if together.count[row] == 0 {
                    together.touched.push(*other);
                }
                together.count[row] += 1;
                together.weight[row] += voice * (own * weight).sqrt();
            }
        }
        let mut row = Vec::with_capacity(together.touched.len());
        for other in together.touched.drain(..) {
            let weight = std::mem::take(&mut together.weight[other.row()]);
            let count = std::mem::take(&mut together.count[other.row()]);
            if other.row() != item && count >= self.params.min_count {
                let score = self.similarity(item, other.row(), weight, count);
                // Neither underflow to zero nor overflow is a neighbour.
                if score.is_finite() && score > 0.0 {
                    row.push(Scored { item: other, score });
                }
            }
        }
        let keep = self.params.n_neighbours;
        if row.len() > keep {
            row.select_nth_unstable_by(keep - 1, Scored::best_first);
            row.truncate(keep);
        }
        row.sort_unstable_by(Scored::best_first);
        row
    }

    fn similarity(&self, item: usize, other: usize, weight: f32, count: u32) -> f32 {
        let damping = self.frequency[item].powf(f64::from(self.params.source_exponent))
            * self.frequency[other].powf(f64::from(self.params.target_exponent));
        let shrunk = f64::from(count) / (f64::from(count) + f64::from(self.params.shrink));
        ((f64::from(weight) / damping).powf(f64::from(self.params.power)) * shrunk) as f32
    }
}

/// Rows within which items count as seen together: whole histories or baskets, at most `max_history` long.
fn histories(interactions: &Interactions, params: &ItemItemParams) -> Interactions {
    let mut triples = Vec::with_capacity(interactions.len());
    let mut n_rows = 0_u32;
    for user in 0..interactions.n_users() {
        let mut entries = interactions.history(user);
        entries.drain(..entries.len().saturating_sub(params.max_history));
        let mut last: Option<Timestamp> = None;
        for entry in entries {
            if let (CoOccurrence::Baskets { max_gap }, Some(last)) = (&params.co_occurrence, last)
                && entry.time.since(last) > *max_gap
            {
                n_rows += 1;
            }
            last = Some(entry.time);
            triples.push(Triple { user: n_rows, item: entry.item, weight: entry.weight, time: entry.time });
        }
        n_rows += 1;
    }
    Interactions::from_triples(n_rows as usize, interactions.n_items(), triples)
        .expect("rows, items and weights come from checked interactions")
}

fn validate(params: &ItemItemParams) -> Result<(), FitError> {
    param(params.n_neighbours > 0, "n_neighbours", params.n_neighbours as f64, "greater than 0")?;
    param(params.max_history >= 2, "max_history", params.max_history as f64, "at least 2")?;
    for (name, got) in [
        ("history_exponent", params.history_exponent),
        ("source_exponent", params.source_exponent),
        ("target_exponent", params.target_exponent),
    ] {
        param((0.0..=2.0).contains(&got), name, got.into(), "from 0 to 2")?;
    }
    param(
        params.power > 0.0 && params.power <= 10.0,
        "power",
        params.power.into(),
        "greater than 0, at most 10",
    )?;
    param(
        params.shrink >= 0.0 && params.shrink.is_finite(),
        "shrink",
        params.shrink.into(),
        "finite and not negative",
    )
}
