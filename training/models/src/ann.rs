//! Which items have the greatest inner product with a person's factors.
//!
//! There are two engines behind one trait: the exact scan, and an HNSW graph that pays above some ten thousand items.
//! [`choose`] measures both on this machine with this model's own query vectors. Queries of a recommender are not
//! distributed like its items, and graphs over inner products can fail badly there, so recall is measured, never
//! assumed.

pub mod exact;
pub mod hnsw;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Instant};

use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};
use waggle_model::{ItemIdx, Scored};

pub use exact::ExactIndex;
pub use hnsw::{HnswIndex, HnswParams};

/// Decides whether an item may be returned.
pub type Allow<'a> = &'a (dyn Fn(ItemIdx) -> bool + Sync);

/// Maximum inner product search over one snapshot's items.
pub trait AnnIndex: Send + Sync {
    fn name(&self) -> &'static str;

    /// The `k` items of the greatest inner product with `query`, best first, ties by the smaller row; only allowed
    /// items. A query of another dimension than the items, or with a value that is not finite, finds nothing.
    fn search(&self, query: &[f32], k: usize, allow: Option<Allow<'_>>) -> Vec<Scored>;
}

/// Why vectors are not an index.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AnnError {
    #[error("vector of row {row} is not all finite")]
    NotFinite { row: usize },
    #[error("vectors have no dimensions")]
    NoDimensions,
    #[error("{name} is {got}, it must be {rule}")]
    Param { name: &'static str, got: usize, rule: &'static str },
}

/// Fewer items than this are always scanned: at 100 000 × 64 the scan takes 1 ms and building the graph a minute.
pub const HNSW_MIN_ITEMS: usize = 50_000;

/// What [`choose`] measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnnReport {
    /// The engine in use.
    pub engine: String,
    /// Why this one, in a sentence.
    pub reason: String,
    pub n_items: usize,
    pub n_queries: usize,
    /// Share of the true 100 best that the engine in use finds.
    pub recall_at_100: f64,
    /// Mean time of one search for 100 items, one thread, in microseconds.
    pub exact_us: f64,
    /// The same for the graph, at its smallest `ef_search` with sufficient recall, else at its largest.
    pub hnsw_us: Option<f64>,
    pub hnsw_recall_at_100: Option<f64>,
    pub hnsw_build_ms: Option<f64>,
}

/// Measures the engines with `sample_queries` (`[n, n_factors]`, folded-in persons) and returns the faster one of those
/// whose recall at 100 is at least `min_recall`. The graph is not built below [`HNSW_MIN_ITEMS`] items or without
/// queries to judge it by.
///
/// # Errors
/// [`AnnError`] when the vectors cannot be indexed.
pub fn choose(
    item_factors: ArrayView2<'_, f32>,
    sample_queries: ArrayView2<'_, f32>,
    min_recall: f64,
) -> Result<(Box<dyn AnnIndex>, AnnReport), AnnError> {
    choose_above(HNSW_MIN_ITEMS, &HnswParams::default(), item_factors, sample_queries, min_recall)
}

/// [`choose`] with the size and the parameters of the graph as arguments.
///
/// # Errors
/// As [`choose`].
pub fn choose_above(
    hnsw_min_items: usize,
    params: &HnswParams,
    item_factors: ArrayView2<'_, f32>,
    sample_queries: ArrayView2<'_, f32>,
    min_recall: f64,
) -> Result<(Box<dyn AnnIndex>, AnnReport), AnnError> {
    let exact = ExactIndex::try_new(Arc::new(item_factors.to_owned()))?;
    let queries: Vec<Vec<f32>> = sample_queries.outer_iter().map(|query| query.to_vec()).collect();
    let (truth, exact_us) = timed_searches(&exact, &queries);
    let mut report = AnnReport {
        engine: exact.name().to_owned(),
        reason: String::new(),
        n_items: item_factors.nrows(),
        n_queries: queries.len(),
        recall_at_100: 1.0,
        exact_us,
        hnsw_us: None,
        hnsw_recall_at_100: None,
        hnsw_build_ms: None,
    };
    if report.n_items < hnsw_min_items {
        report.reason = format!("below {hnsw_min_items} items the scan wins, no graph was built");
        return Ok((Box::new(exact), report));
    }
    if queries.is_empty() {
        report.reason = "there are no sample queries to judge a graph by".to_owned();
        return Ok((Box::new(exact), report));
    }

    let started = Instant::now();
    let mut hnsw = HnswIndex::try_new(exact.clone(), params)?;
    report.hnsw_build_ms = Some(started.elapsed().as_secs_f64() * 1e3);
    for ef_search in [128, 192, 256, 384, 512, 768] {
        hnsw.set_ef_search(ef_search);
        let (found, us) = timed_searches(&hnsw, &queries);
        let recall = mean_recall(&truth, &found);
        report.hnsw_us = Some(us);
        report.hnsw_recall_at_100 = Some(recall);
        if recall < min_recall && us < exact_us {
            continue;
        }
        if recall >= min_recall && us < exact_us {
            report.engine = hnsw.name().to_owned();
            report.recall_at_100 = recall;
            report.reason = format!("the graph is faster at recall {recall:.3} (ef_search {ef_search})");
            return Ok((Box::new(hnsw), report));
        }
        break;
    }
    report.reason = format!("the graph is not faster than the scan at recall {min_recall}");
    Ok((Box::new(exact), report))
}

/// Results of searching 100 items per query, and the mean time of one search in microseconds.
fn timed_searches(index: &dyn AnnIndex, queries: &[Vec<f32>]) -> (Vec<Vec<Scored>>, f64) {
    const K: usize = 100;
    // One untimed search brings the vectors into the cache.
    if let Some(first) = queries.first() {
        index.search(first, K, None);
    }
    let started = Instant::now();
    let found: Vec<_> = queries.iter().map(|query| index.search(query, K, None)).collect();
    (found, started.elapsed().as_secs_f64() * 1e6 / queries.len().max(1) as f64)
}

/// Mean over queries of `|found ∩ truth| / |truth|`; 1 where there is nothing to find.
fn mean_recall(truth: &[Vec<Scored>], found: &[Vec<Scored>]) -> f64 {
    let sum: f64 = truth
        .iter()
        .zip(found)
        .map(|(truth, found)| {
            let hits = truth.iter().filter(|t| found.iter().any(|f| f.item == t.item)).count();
            if truth.is_empty() { 1.0 } else { hits as f64 / truth.len() as f64 }
        })
        .sum();
    sum / truth.len().max(1) as f64
}
