//! What many people want, and the rulers that every learned model is measured against.

#[cfg(test)]
mod tests;

use std::time::Duration;

use waggle_model::{ItemIdx, Scored, Timestamp};

use crate::{ItemScorer, Query, RecommendError, Recommender, top_k};

/// One non-negative score per item.
#[derive(Debug, Clone, PartialEq)]
pub struct Popularity {
    scores: Vec<f32>,
}

/// Why numbers are not popularities.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PopularityError {
    #[error("popularity of row {row} is {got}, it must be finite and not negative")]
    Score { row: usize, got: f32 },
    #[error("touch {index} is of item row {row}, there are {n_items} items")]
    OutOfRange { index: usize, row: usize, n_items: usize },
}

impl Popularity {
    /// # Errors
    /// [`PopularityError`] names the first score that is negative or not finite.
    pub fn try_new(scores: Vec<f32>) -> Result<Self, PopularityError> {
        match scores.iter().position(|score| !score.is_finite() || *score < 0.0) {
            Some(row) => Err(PopularityError::Score { row, got: scores[row] }),
            None => Ok(Self { scores }),
        }
    }

    /// By row.
    pub fn scores(&self) -> &[f32] {
        &self.scores
    }

    pub fn n_items(&self) -> usize {
        self.scores.len()
    }
}

impl ItemScorer for Popularity {
    fn name(&self) -> &str {
        "popularity"
    }

    fn n_items(&self) -> usize {
        Self::n_items(self)
    }

    /// The same for everybody; an item of score 0 is still an opinion (the last one).
    fn score_items(&self, _query: &Query<'_>, scores: &mut [f32]) -> Result<(), RecommendError> {
        scores.copy_from_slice(&self.scores);
        Ok(())
    }
}

/// Ruler: what was touched most in the days before the request.
///
/// Counts touches with `now − window ≤ time < now`; ties by the smaller row. Where fewer than `k` items were touched,
/// the list is padded by the popularity of all time before `now`.
#[derive(Debug, Clone)]
pub struct PopularityInLastDays {
    name: String,
    n_items: usize,
    window: Duration,
    /// (time, item), ascending.
    touches: Vec<(Timestamp, ItemIdx)>,
}

impl PopularityInLastDays {
    /// `touches`: every (item, time) that may be counted, in any order. A leak-free caller gives those before the split
    /// only, or relies on every query's `now` for it.
    ///
    /// # Errors
    /// [`PopularityError::OutOfRange`] for a touch outside `n_items`.
    pub fn try_new(
        n_items: usize,
        days: u32,
        touches: impl IntoIterator<Item = (ItemIdx, Timestamp)>,
    ) -> Result<Self, PopularityError> {
        let mut touches: Vec<_> = touches.into_iter().map(|(item, time)| (time, item)).collect();
        if let Some(index) = touches.iter().position(|(_, item)| item.row() >= n_items) {
            return Err(PopularityError::OutOfRange { index, row: touches[index].1.row(), n_items });
        }
        touches.sort_unstable();
        let window = Duration::from_secs(u64::from(days) * 86_400);
        Ok(Self { name: format!("popularity-{days}d"), n_items, window, touches })
    }

    fn counts(&self, from: Timestamp, until: Timestamp) -> Vec<f32> {
        let first = self.touches.partition_point(|(time, _)| *time < from);
        let last = self.touches.partition_point(|(time, _)| *time < until);
        let mut counts = vec![0.0; self.n_items];
        for (_, item) in self.touches.get(first..last).unwrap_or_default() {
            counts[item.row()] += 1.0;
        }
        counts
    }
}

impl Recommender for PopularityInLastDays {
    fn name(&self) -> &str {
        &self.name
    }

    fn recommend(&self, query: &Query<'_>, k: usize) -> Result<Vec<Scored>, RecommendError> {
        let mut counts = self.counts(query.now - self.window, query.now);
        for count in &mut counts {
            if *count == 0.0 {
                *count = f32::NEG_INFINITY;
            }
        }
        let list = top_k(&counts, query, k);
        if list.len() == k {
            return Ok(list);
        }
        let everything = self.counts(Timestamp::from_millis(i64::MIN), query.now);
        Ok(pad(list, &everything, query, k))
    }
}

/// Ruler: what the person already bought, the most recent first.
///
/// Order: later time first, then greater weight, then the smaller row. Padded by popularity. Excluded items never
/// occur, so a caller that wants repeats must not exclude the history.
#[derive(Debug, Clone)]
pub struct RepeatLastPurchases {
    popularity: Popularity,
}

impl RepeatLastPurchases {
    pub fn new(popularity: Popularity) -> Self {
        Self { popularity }
    }
}

impl Recommender for RepeatLastPurchases {
    fn name(&self) -> &str {
        "repeat-last"
    }

    /// Scores of the repeats are `1 + 1/rank`; those of the padding are in proportion to popularity, below them.
    fn recommend(&self, query: &Query<'_>, k: usize) -> Result<Vec<Scored>, RecommendError> {
        let n_items = self.popularity.n_items();
        if let Some(entry) = query.history.iter().find(|entry| entry.item.row() >= n_items) {
            return Err(RecommendError::UnknownItem { row: entry.item.row(), n_items });
        }
        let mut history: Vec<_> =
            query.history.iter().filter(|entry| !query.is_excluded(entry.item)).collect();
        history.sort_by(|a, b| {
            b.time.cmp(&a.time).then(b.weight.total_cmp(&a.weight)).then(a.item.cmp(&b.item))
        });
        history.truncate(k);
        let repeats: Vec<Scored> = history
            .iter()
            .enumerate()
            .map(|(place, entry)| Scored { item: entry.item, score: 1.0 + 1.0 / (place as f32 + 1.0) })
            .collect();
        Ok(pad(repeats, self.popularity.scores(), query, k))
    }
}

/// Fills `list` up to `k` with the best of `scores` that are not in it. Where the first of them would score above the
/// list's last, all are scaled down: scores fall along the list.
fn pad(mut list: Vec<Scored>, scores: &[f32], query: &Query<'_>, k: usize) -> Vec<Scored> {
    let mut taken: Vec<ItemIdx> = list.iter().map(|scored| scored.item).collect();
    taken.sort_unstable();
    let floor = list.last().map_or(0.0, |scored| scored.score);
    let padding = top_k(scores, query, k + taken.len());
    let fresh: Vec<Scored> =
        padding.into_iter().filter(|scored| taken.binary_search(&scored.item).is_err()).collect();
    let top = fresh.first().map_or(0.0, |scored| scored.score);
    let scale = if list.is_empty() || top < floor { 1.0 } else { 0.5 * floor / top };
    list.extend(fresh.into_iter().map(|scored| Scored { score: scored.score * scale, ..scored }));
    list.truncate(k);
    list
}
