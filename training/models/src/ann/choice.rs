//! Which engine serves: measured on this machine, with this model's own queries.

use std::{sync::Arc, time::Instant};

use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};
use waggle_model::{ItemIdx, Scored};

use super::{AnnError, AnnIndex, ExactIndex, Graph, GraphIndex, GraphParams, Int8Index, best::Best};
use crate::linalg::dot_rows;

/// Names of the engines that [`choose`] chooses from.
pub const ENGINES: [&str; 3] = ["exact", "int8", "graph"];

/// Fewer items are always scanned exactly: it takes microseconds, and answers do not depend on what was measured when.
pub const INT8_MIN_ITEMS: usize = 10_000;

/// Fewer items are always scanned, and no graph is built.
pub const GRAPH_MIN_ITEMS: usize = 20_000;

/// So many queries of people who were not trained on make a measured recall one to rely on.
pub const SUFFICIENT_QUERIES: usize = 1_000;

/// Items per search that recall is measured at.
const K: usize = 100;

/// Most searches that the exact scan is timed with, and most scores that it computes for that.
const TIMED_SCANS: usize = 100;
const TIMED_SCORES: usize = 10_000_000;

/// Most scores that the truth is computed from: of many items fewer queries say enough, and whoever loads a snapshot
/// serves another one meanwhile. Each query looks for 100 items, so that 300 of them give a recall to three digits.
const JUDGED_SCORES: usize = 300_000_000;

/// Numbers of items kept in sight that are tried, in this order.
const EF_SEARCH: [usize; 9] = [128, 160, 200, 256, 320, 400, 512, 768, 1024];

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
    /// Every engine that was measured.
    pub engines: Vec<EngineReport>,
    /// How long the graph took to build; `None` where there is none, or it came with the snapshot.
    pub graph_build_ms: Option<f64>,
}

/// One engine on the sample queries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EngineReport {
    pub engine: String,
    pub recall_at_100: f64,
    /// Mean time of one search for 100 items, one thread, in microseconds.
    pub us: f64,
    /// Of the graph: the smallest that was tried with sufficient recall, else the largest.
    pub ef_search: Option<usize>,
    /// Of all that the engine keeps in memory.
    pub size_bytes: usize,
}

/// Measures the engines with `sample_queries` (`[n, n_factors]`, folded-in persons) and returns the fastest of those
/// whose recall at 100 is at least `min_recall`. A graph is built from [`GRAPH_MIN_ITEMS`] items on, if there are
/// queries to judge it by.
///
/// # Errors
/// [`AnnError`] when the vectors cannot be indexed.
pub fn choose(
    item_factors: Arc<Array2<f32>>,
    sample_queries: ArrayView2<'_, f32>,
    min_recall: f64,
) -> Result<(Box<dyn AnnIndex>, AnnReport), AnnError> {
    let (index, report, _) =
        choose_with(&Thresholds::default(), None, item_factors, sample_queries, min_recall)?;
    Ok((index, report))
}

/// From how many items on the engines are tried.
#[derive(Debug, Clone)]
pub struct Thresholds {
    pub int8_min_items: usize,
    pub graph_min_items: usize,
    /// Of a graph that has to be built.
    pub params: GraphParams,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            int8_min_items: INT8_MIN_ITEMS,
            graph_min_items: GRAPH_MIN_ITEMS,
            params: GraphParams::default(),
        }
    }
}

/// [`choose`] with the thresholds as an argument and the graph, if there is one already; gives the graph back, or the
/// one that was built.
///
/// # Errors
/// As [`choose`], and [`AnnError::OtherGraph`] for a graph over another number of items.
#[expect(clippy::type_complexity, reason = "three things come out, and a name for the triple would say less")]
pub fn choose_with(
    thresholds: &Thresholds,
    graph: Option<Arc<Graph>>,
    item_factors: Arc<Array2<f32>>,
    sample_queries: ArrayView2<'_, f32>,
    min_recall: f64,
) -> Result<(Box<dyn AnnIndex>, AnnReport, Option<Arc<Graph>>), AnnError> {
    let exact = ExactIndex::try_new(item_factors)?;
    let n_items = exact.vectors().nrows();
    let queries = judges(sample_queries, JUDGED_SCORES / n_items.max(1));
    if let Some(graph) = &graph
        && graph.n_items() != n_items
    {
        return Err(AnnError::OtherGraph { expected: n_items, got: graph.n_items() });
    }
    let n_timed = queries.len().min((TIMED_SCORES / n_items.max(1)).clamp(1, TIMED_SCANS));
    let (_, exact_us) = timed_searches(&exact, &queries[..n_timed]);
    let mut choice = Choice {
        report: AnnReport {
            engine: exact.name().to_owned(),
            reason: String::new(),
            n_items,
            n_queries: queries.len(),
            recall_at_100: 1.0,
            engines: vec![EngineReport {
                engine: exact.name().to_owned(),
                recall_at_100: 1.0,
                us: exact_us,
                ef_search: None,
                size_bytes: exact.size_bytes(),
            }],
            graph_build_ms: None,
        },
        index: Box::new(exact.clone()),
        us: exact_us,
        min_recall,
        truth: Vec::new(),
        queries: &queries,
    };
    let Thresholds { int8_min_items, graph_min_items, params } = thresholds;
    if n_items < (*int8_min_items).min(*graph_min_items) {
        choice.report.reason = format!("below {int8_min_items} items the exact scan serves");
        return Ok((choice.index, choice.report, graph));
    }
    if queries.is_empty() {
        choice.report.reason = "there are no sample queries to judge the other engines by".to_owned();
        return Ok((choice.index, choice.report, graph));
    }
    choice.truth = best_of_all(&exact, &queries, K);
    let graph = match graph {
        Some(graph) => Some(graph),
        None if n_items >= *graph_min_items => {
            let started = Instant::now();
            let graph = Graph::build(&exact, params)?;
            choice.report.graph_build_ms = Some(started.elapsed().as_secs_f64() * 1e3);
            Some(Arc::new(graph))
        }
        None => None,
    };
    // One copy of the rounded vectors serves both engines.
    let scan = match &graph {
        Some(graph) => Int8Index::in_order(exact, Arc::clone(graph.shared_order())),
        None => Int8Index::new(exact),
    };
    if n_items >= *int8_min_items {
        choice.consider(Box::new(scan.clone()), None);
    }
    if let Some(graph) = &graph {
        let index = GraphIndex::over(scan, Arc::clone(graph));
        for ef_search in EF_SEARCH {
            let index = index.clone().with_ef_search(ef_search);
            if choice.consider(Box::new(index), Some(ef_search)) {
                break;
            }
        }
    }
    choice.say_why();
    Ok((choice.index, choice.report, graph))
}

/// At most `n` of the queries, evenly spread.
pub(super) fn judges(queries: ArrayView2<'_, f32>, n: usize) -> Vec<Vec<f32>> {
    let step = queries.nrows().div_ceil(n.max(1)).max(1);
    queries.outer_iter().step_by(step).map(|query| query.to_vec()).collect()
}

/// The best engine so far.
struct Choice<'a> {
    report: AnnReport,
    index: Box<dyn AnnIndex>,
    us: f64,
    min_recall: f64,
    truth: Vec<Vec<Scored>>,
    queries: &'a [Vec<f32>],
}

impl Choice<'_> {
    /// Measures an engine, in place of what was measured of it before, and takes it if it is faster and good enough.
    /// Whether it is not worth trying a slower and better form of it.
    fn consider(&mut self, index: Box<dyn AnnIndex>, ef_search: Option<usize>) -> bool {
        let (found, us) = timed_searches(&*index, self.queries);
        let recall = mean_recall(&self.truth, &found);
        self.report.engines.retain(|engine| engine.engine != index.name());
        self.report.engines.push(EngineReport {
            engine: index.name().to_owned(),
            recall_at_100: recall,
            us,
            ef_search,
            size_bytes: index.size_bytes(),
        });
        let (is_sufficient, is_faster) = (recall >= self.min_recall, us < self.us);
        if is_sufficient && is_faster {
            self.report.engine = index.name().to_owned();
            self.report.recall_at_100 = recall;
            (self.index, self.us) = (index, us);
        }
        is_sufficient || !is_faster
    }

    fn say_why(&mut self) {
        let engines: Vec<String> = self
            .report
            .engines
            .iter()
            .map(|EngineReport { engine, recall_at_100, us, ef_search, .. }| {
                let ef_search = ef_search.map(|ef| format!(" with ef_search {ef}")).unwrap_or_default();
                format!("{engine}{ef_search} {us:.0} µs at recall {recall_at_100:.3}")
            })
            .collect();
        let n = self.queries.len();
        let is_sufficient = n >= SUFFICIENT_QUERIES.min(JUDGED_SCORES / self.report.n_items.max(1));
        let caution = if !is_sufficient {
            format!(", judged by {n} queries only, where {SUFFICIENT_QUERIES} would do")
        } else {
            String::new()
        };
        self.report.reason = format!("the fastest of {}{caution}", engines.join(", "));
    }
}

/// The `k` best items of every query: many queries per block of rows, so that each row is fetched once.
pub fn best_of_all(exact: &ExactIndex, queries: &[Vec<f32>], k: usize) -> Vec<Vec<Scored>> {
    /// Rows that stay in the first-level cache at 64 dimensions.
    const BLOCK: usize = 128;
    let width = exact.vectors().ncols();
    let mut best: Vec<Best> = queries.iter().map(|_| Best::new(k)).collect();
    let mut scores = [0.0_f32; BLOCK];
    for (block, rows) in exact.values().chunks(BLOCK * width).enumerate() {
        for (query, best) in queries.iter().zip(&mut best).filter(|(query, _)| exact.accepts(query)) {
            let scores = &mut scores[..rows.len() / width];
            dot_rows(rows, query, scores);
            for (place, &score) in scores.iter().enumerate() {
                if best.admits(score) {
                    best.push(Scored { item: ItemIdx::from_row(block * BLOCK + place), score });
                }
            }
        }
    }
    best.into_iter().map(Best::into_list).collect()
}

/// Results of searching 100 items per query, and the mean time of one search in microseconds.
fn timed_searches(index: &dyn AnnIndex, queries: &[Vec<f32>]) -> (Vec<Vec<Scored>>, f64) {
    // One untimed search brings the vectors into the cache.
    if let Some(first) = queries.first() {
        index.search(first, K, None);
    }
    let started = Instant::now();
    let found: Vec<_> = queries.iter().map(|query| index.search(query, K, None)).collect();
    (found, started.elapsed().as_secs_f64() * 1e6 / queries.len().max(1) as f64)
}

/// Mean over queries of `|found ∩ truth| / |truth|`; 1 where there is nothing to find.
pub fn mean_recall(truth: &[Vec<Scored>], found: &[Vec<Scored>]) -> f64 {
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
