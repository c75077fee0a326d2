//! The one interface that evaluation, jobs and serving know models by.

use std::collections::BinaryHeap;

use waggle_model::{ItemIdx, Person, Scored, Timestamp};

/// One item of a person's history.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HistoryEntry {
    pub item: ItemIdx,
    /// How strongly the person is bound to the item; 1 for a single purchase or a plain implicit pair.
    pub weight: f32,
    /// When the person last touched it; the epoch where the data has no times.
    pub time: Timestamp,
}

/// What is known of the person when something is to be recommended. Models never see a stored user row: whoever comes
/// with a history is a user.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    /// Distinct items, the one touched longest ago first.
    pub history: &'a [HistoryEntry],
    /// Items never to return, ascending.
    pub exclude: &'a [ItemIdx],
    /// The moment of the request; models that know recency count from here.
    pub now: Timestamp,
    /// Who asks. Models ignore it; a whole system behind an API looks the person up by it.
    pub person: Option<&'a Person>,
}

impl Query<'_> {
    pub fn is_excluded(&self, item: ItemIdx) -> bool {
        self.exclude.binary_search(&item).is_ok()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum RecommendError {
    #[error("item row {row} is outside the model's {n_items} items")]
    UnknownItem { row: usize, n_items: usize },
    #[error("the person's vector could not be solved: {0}")]
    Solve(String),
    #[error("the recommender failed: {0}")]
    Failed(String),
}

/// Anything that recommends: a single model, a ruler such as popularity, or the whole system behind HTTP.
pub trait Recommender: Send + Sync {
    /// Short name for tables, for example `ials-64`.
    fn name(&self) -> &str;

    /// The `k` best items for the person, best first, ties by the smaller row; excluded items never. Fewer than `k` only
    /// where the model has no opinion on more.
    ///
    /// # Errors
    /// [`RecommendError`] where no list can be given at all. A person without history is not an error.
    fn recommend(&self, query: &Query<'_>, k: usize) -> Result<Vec<Scored>, RecommendError>;

    /// The lists of several people, in their order: the same as one after the other, for some models in less time.
    ///
    /// # Errors
    /// As [`recommend`](Self::recommend), for the whole if it fails for one.
    fn recommend_all(&self, queries: &[Query<'_>], k: usize) -> Result<Vec<Vec<Scored>>, RecommendError> {
        queries.iter().map(|query| self.recommend(query, k)).collect()
    }
}

/// A recommender that scores the whole catalogue. Scores of several can be added up, and the best of them are the list.
pub trait ItemScorer: Send + Sync {
    /// As [`Recommender::name`].
    fn name(&self) -> &str;

    fn n_items(&self) -> usize;

    /// Replaces `scores`, one per row, [`n_items`](Self::n_items) long; −∞ where the model has no opinion. Excluded items
    /// are scored like any other.
    ///
    /// # Errors
    /// As [`Recommender::recommend`].
    fn score_items(&self, query: &Query<'_>, scores: &mut [f32]) -> Result<(), RecommendError>;

    /// The scores of several people one after the other: `scores` is `[queries, n_items]`.
    ///
    /// # Errors
    /// As [`score_items`](Self::score_items), for the whole if it fails for one.
    fn score_items_for_all(&self, queries: &[Query<'_>], scores: &mut [f32]) -> Result<(), RecommendError> {
        let rows = scores.chunks_exact_mut(self.n_items().max(1));
        queries.iter().zip(rows).try_for_each(|(query, scores)| self.score_items(query, scores))
    }
}

impl<S: ItemScorer + ?Sized> ItemScorer for Box<S> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn n_items(&self) -> usize {
        (**self).n_items()
    }

    fn score_items(&self, query: &Query<'_>, scores: &mut [f32]) -> Result<(), RecommendError> {
        (**self).score_items(query, scores)
    }

    fn score_items_for_all(&self, queries: &[Query<'_>], scores: &mut [f32]) -> Result<(), RecommendError> {
        (**self).score_items_for_all(queries, scores)
    }
}

/// Scores that are held at once, of several people: 16 MiB.
const MAX_SCORES: usize = 1 << 22;

impl<S: ItemScorer> Recommender for S {
    fn name(&self) -> &str {
        ItemScorer::name(self)
    }

    fn recommend(&self, query: &Query<'_>, k: usize) -> Result<Vec<Scored>, RecommendError> {
        let mut scores = vec![0.0; self.n_items()];
        self.score_items(query, &mut scores)?;
        Ok(top_k(&scores, query, k))
    }

    fn recommend_all(&self, queries: &[Query<'_>], k: usize) -> Result<Vec<Vec<Scored>>, RecommendError> {
        let n_items = self.n_items().max(1);
        let at_once = (MAX_SCORES / n_items).clamp(1, queries.len().max(1));
        let mut scores = vec![0.0; at_once * n_items];
        let mut lists = Vec::with_capacity(queries.len());
        for queries in queries.chunks(at_once) {
            let scores = &mut scores[..queries.len() * n_items];
            self.score_items_for_all(queries, scores)?;
            let rows = scores.chunks_exact(n_items);
            lists.extend(queries.iter().zip(rows).map(|(query, scores)| top_k(scores, query, k)));
        }
        Ok(lists)
    }
}

/// The `k` best of `scores` (one per row), best first, ties by the smaller row. NaN and −∞ are "no opinion", excluded
/// rows are left out.
pub fn top_k(scores: &[f32], query: &Query<'_>, k: usize) -> Vec<Scored> {
    struct Worst(Scored);
    impl PartialEq for Worst {
        fn eq(&self, other: &Self) -> bool {
            self.cmp(other).is_eq()
        }
    }
    impl Eq for Worst {}
    impl PartialOrd for Worst {
        fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
            Some(self.cmp(other))
        }
    }
    impl Ord for Worst {
        // The heap's top is its greatest element: the one that would be served last.
        fn cmp(&self, other: &Self) -> std::cmp::Ordering {
            Scored::best_first(&self.0, &other.0)
        }
    }

    if k == 0 {
        return Vec::new();
    }
    let mut best: BinaryHeap<Worst> = BinaryHeap::with_capacity(k + 1);
    for (row, &score) in scores.iter().enumerate() {
        if score.is_nan() || score == f32::NEG_INFINITY {
            continue;
        }
        if best.len() == k && best.peek().is_some_and(|worst| worst.0.score >= score) {
            continue;
        }
        let item = ItemIdx::from_row(row);
        if query.is_excluded(item) {
            continue;
        }
        best.push(Worst(Scored { item, score }));
        if best.len() > k {
            best.pop();
        }
    }
    best.into_sorted_vec().into_iter().map(|worst| worst.0).collect()
}
