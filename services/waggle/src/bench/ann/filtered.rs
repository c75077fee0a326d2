//! Searches among the items that a filter lets through: whether the best of them are found, and how fast.
//!
//! Filters let a share of the items through, drawn by chance or along people's taste: the items that people like most on
//! average, or least. The last is what starves a graph, whose walks begin among the liked.

use std::{sync::Arc, time::Instant};

use anyhow::{Context as _, Result};
use ndarray::{Array1, Array2, ArrayView1, Axis};
use rand::{SeedableRng as _, seq::index::sample};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use waggle_model::{ItemIdx, Scored};
use waggle_models::{
    AnnIndex,
    ann::{ExactIndex, Graph, Thresholds, best_of_all, choose_with, mean_recall},
    snapshot::MIN_RECALL,
};
use waggle_retrieval_role::offer::are_few;

/// Shares of the items that are let through, in percent.
const SHARES: [f64; 4] = [50.0, 5.0, 0.5, 0.05];
/// Length of the lists.
const K: usize = 100;
/// People who are asked for under each filter.
const MAX_QUERIES: usize = 1_000;
const SEED: u64 = 7;

/// One filter.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Filtered {
    /// Which items are let through.
    pub(crate) items: &'static str,
    pub(crate) percent: f64,
    pub(crate) n_items: usize,
    /// What answers: the engine with the filter inside, or "allow-list", each of the few that are let through.
    pub(crate) engine: &'static str,
    pub(crate) recall: f64,
    pub(crate) queries_per_s: f64,
    pub(crate) p99_us: f64,
    /// Lists shorter than they could be.
    pub(crate) n_short: usize,
}

/// Every filter, with the engine that serving would choose for these vectors.
pub(super) fn measure(exact: &ExactIndex, graph: Arc<Graph>, queries: &[Vec<f32>]) -> Result<Vec<Filtered>> {
    let queries = &queries[..queries.len().min(MAX_QUERIES)];
    let width = exact.vectors().ncols();
    let sampled = Array2::from_shape_vec((queries.len(), width), queries.concat())?;
    let taste = sampled.mean_axis(Axis(0)).context("there are no queries")?;
    let vectors = Arc::new(exact.vectors().to_owned());
    let (index, ..) = choose_with(&Thresholds::default(), Some(graph), vectors, sampled.view(), MIN_RECALL)?;
    let kinds = [
        ("by chance", shuffled(exact.vectors().nrows())),
        ("liked", along(exact, taste.view())),
        ("disliked", along(exact, (-taste).view())),
    ];
    let mut measured = Vec::new();
    for (items, order) in &kinds {
        for percent in SHARES {
            let n_items = ((order.len() as f64 * percent / 100.0).round() as usize).max(1);
            let mut allowed = order[..n_items].to_vec();
            allowed.sort_unstable();
            measured.push(Filtered { items, percent, ..under(&*index, exact, &allowed, queries)? });
        }
    }
    Ok(measured)
}

fn shuffled(n_items: usize) -> Vec<ItemIdx> {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    sample(&mut rng, n_items, n_items).into_iter().map(ItemIdx::from_row).collect()
}

/// All items, those first that lie farthest in the direction.
fn along(exact: &ExactIndex, direction: ArrayView1<'_, f32>) -> Vec<ItemIdx> {
    let scores: Array1<f32> = exact.vectors().dot(&direction);
    let scored =
        scores.iter().enumerate().map(|(row, &score)| Scored { item: ItemIdx::from_row(row), score });
    let mut scored: Vec<Scored> = scored.collect();
    scored.sort_unstable_by(Scored::best_first);
    scored.into_iter().map(|scored| scored.item).collect()
}

/// Searches among the allowed items, which ascend, as serving does.
fn under(
    index: &dyn AnnIndex,
    exact: &ExactIndex,
    allowed: &[ItemIdx],
    queries: &[Vec<f32>],
) -> Result<Filtered> {
    let n_all = exact.vectors().nrows();
    let is_few = are_few(allowed.len(), n_all);
    let mut bits = vec![0_u64; n_all.div_ceil(64)];
    allowed.iter().for_each(|item| bits[item.row() / 64] |= 1 << (item.row() % 64));
    let mut took = Vec::with_capacity(queries.len());
    let mut found = Vec::with_capacity(queries.len());
    for query in queries {
        let started = Instant::now();
        found.push(if is_few {
            index.search_rows(query, allowed, K)
        } else {
            index.search_among(query, K, &bits, &|_| true)
        });
        took.push(started.elapsed().as_secs_f64());
    }
    let truth = best_allowed(exact, allowed, queries)?;
    took.sort_unstable_by(f64::total_cmp);
    Ok(Filtered {
        items: "",
        percent: 0.0,
        n_items: allowed.len(),
        engine: if is_few { "allow-list" } else { index.name() },
        recall: mean_recall(&truth, &found),
        queries_per_s: took.len() as f64 / took.iter().sum::<f64>(),
        p99_us: took[(took.len() - 1) * 99 / 100] * 1e6,
        n_short: truth.iter().zip(&found).filter(|(truth, found)| found.len() < truth.len()).count(),
    })
}

/// The truth: all of them scored.
fn best_allowed(exact: &ExactIndex, allowed: &[ItemIdx], queries: &[Vec<f32>]) -> Result<Vec<Vec<Scored>>> {
    let rows: Vec<usize> = allowed.iter().map(|item| item.row()).collect();
    let only = ExactIndex::try_new(Arc::new(exact.vectors().select(Axis(0), &rows)))?;
    let best = best_of_all(&only, queries, K);
    let in_all = |scored: Scored| Scored { item: allowed[scored.item.row()], ..scored };
    Ok(best.into_iter().map(|list| list.into_iter().map(in_all).collect()).collect())
}

/// For people.
pub(super) fn table(filtered: &[Filtered]) -> String {
    let mut text = format!("the best {K} of what a filter lets through, as serving searches\n");
    for Filtered { items, percent, n_items, engine, recall, queries_per_s, p99_us, n_short } in filtered {
        text += &format!(
            "{percent:>6} % {items:<10} {n_items:>8} items  {engine:<10}  {recall:>7.4} {queries_per_s:>10.0} queries/s  p99 {p99_us:>6.0} µs  {n_short} lists too short\n"
        );
    }
    text
}
