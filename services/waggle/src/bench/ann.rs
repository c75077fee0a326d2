//! Which items have the greatest inner product: our engines, beside hnswlib and faiss-cpu.
//!
//! Same vectors, same queries, one thread, one after the other in the same run. Every engine that can trade recall for
//! speed works at the smallest `ef` that reaches the recall asked for. Then the engine that serving would choose, under
//! filters ([`filtered`]).

mod filtered;
mod peers;
mod vectors;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use waggle_model::Scored;
use waggle_models::{
    AnnIndex, Snapshot,
    ann::{
        ExactIndex, Graph, GraphIndex, GraphParams, HnswIndex, HnswParams, Int8Index, best_of_all,
        mean_recall,
    },
    snapshot::{Part, decode_graph, encode_graph},
};

use self::{filtered::Filtered, peers::Peers, vectors::Vectors};
use super::Spread;
use crate::{cli::BenchAnnArgs, config::Config, progress::Steps, snapshots::load_best, stores::Stores};

/// What every engine has to reach.
const RECALL: f64 = 0.95;
/// Lengths of list.
const LISTS: [usize; 2] = [10, 100];
/// No engine is tried beyond.
const MAX_EF: usize = 8192;
/// The scans take long, and every query the same.
const SCANNED_QUERIES: usize = 200;

/// What the run came to.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) vectors: String,
    pub(crate) items: usize,
    pub(crate) dimensions: usize,
    pub(crate) queries: usize,
    pub(crate) rounds: usize,
    pub(crate) cases: Vec<Case>,
    /// Each peer by itself.
    pub(crate) peers: Vec<Measured>,
    /// The best 100 of what filters let through.
    pub(crate) filtered: Vec<Filtered>,
    /// Why a peer is not there.
    pub(crate) left_out: BTreeMap<&'static str, String>,
}

/// One of our engines at one length of list, beside the faster peer.
#[derive(Debug, Serialize)]
pub(crate) struct Case {
    #[serde(flatten)]
    pub(crate) own: Measured,
    pub(crate) peer: Option<&'static str>,
    pub(crate) peer_queries_per_s: Option<f64>,
    /// Median of the rounds; the peer of each round is the faster one in it.
    pub(crate) ratio: Option<f64>,
    pub(crate) ratio_spread: Option<Spread>,
}

/// One engine at one length of list.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Measured {
    pub(crate) engine: &'static str,
    pub(crate) k: usize,
    pub(crate) ef: Option<usize>,
    /// Below the one asked for if no `ef` reaches it.
    pub(crate) recall: f64,
    pub(crate) queries_per_s: f64,
    pub(crate) spread: Spread,
    pub(crate) build_s: f64,
    /// In memory with the vectors; of a peer, of its file.
    pub(crate) bytes: u64,
}

/// Measures. The vectors, the graphs and the peers' Python stay in the folder `bench-ann`, for the next run.
pub(crate) async fn run(config: &Config, args: &BenchAnnArgs) -> Result<Outcome> {
    let own = if args.own { Some(current_snapshot(config).await?) } else { None };
    let home = args.cache.clone().unwrap_or_else(|| config.dir.join("bench-ann"));
    let args = args.clone();
    tokio::task::spawn_blocking(move || measure(&home, own.as_ref(), &args))
        .await
        .context("the benchmark panicked")?
}

async fn current_snapshot(config: &Config) -> Result<Snapshot> {
    let stores = Stores::for_command(config)?;
    let database = stores.database().await?;
    let snapshot = load_best(stores.artifacts().await?, &database).await;
    stores.close().await?;
    snapshot?.context("there is no snapshot; `waggle train` makes one")
}

fn measure(home: &Path, own: Option<&Snapshot>, args: &BenchAnnArgs) -> Result<Outcome> {
    let steps = Steps::new();
    steps.begin("vectors", 0);
    let vectors = match own {
        Some(snapshot) => Vectors::of_snapshot(snapshot, args.queries),
        None => Vectors::simulated(args.items, args.dimensions, args.queries, args.seed)?,
    };
    if vectors.queries.nrows() == 0 {
        bail!("there are no queries to measure with");
    }
    let folder = std::path::absolute(home)?.join(&vectors.name);
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    write_floats(&folder.join("items.f32"), vectors.items.iter())?;
    write_floats(&folder.join("queries.f32"), vectors.queries.iter())?;
    let (n_items, width) = vectors.items.dim();
    let queries: Vec<Vec<f32>> = vectors.queries.outer_iter().map(|query| query.to_vec()).collect();
    let exact = ExactIndex::try_new(Arc::new(vectors.items))?;
    let truth = best_of_all(&exact, &queries, LISTS[1]);
    steps.finish(&format!("{n_items} × {width}, {} queries: {}", queries.len(), vectors.name));

    let (mut engines, graph) = own_engines(&exact, own, &folder, args, &steps)?;
    let mut left_out = BTreeMap::new();
    match start_peers(home, &folder, width, &steps) {
        Ok(peers) => engines.extend(peers),
        Err(e) => left_out.extend(peers::NAMES.map(|name| (name, format!("{e:#}")))),
    }
    let mut rounds = Vec::new();
    for k in LISTS {
        let truth: Vec<Vec<Scored>> = truth.iter().map(|list| list[..list.len().min(k)].to_vec()).collect();
        rounds.push(rounds_of(&mut engines, &queries, &truth, k, args.rounds, &steps)?);
    }
    steps.begin("filters", 0);
    let filtered = filtered::measure(&exact, graph, &queries)?;
    steps.finish(&format!("{} filters", filtered.len()));
    let is_peer = |measured: &Measured| peers::NAMES.contains(&measured.engine);
    Ok(Outcome {
        vectors: vectors.name,
        items: n_items,
        dimensions: width,
        queries: queries.len(),
        rounds: args.rounds,
        cases: rounds.iter().flat_map(|list| cases(list)).collect(),
        peers: rounds.iter().flatten().map(|(m, _)| m).filter(|m| is_peer(m)).cloned().collect(),
        filtered,
        left_out,
    })
}

/// One engine, and how it is asked.
struct Engine {
    name: &'static str,
    build_s: f64,
    bytes: u64,
    asked: Asked,
}

enum Asked {
    Scan(Box<dyn AnnIndex>),
    Graph(GraphIndex),
    HnswRs(Box<HnswIndex>),
    /// One process answers for both.
    Peer(std::rc::Rc<std::cell::RefCell<Peers>>),
}

impl Engine {
    fn of(name: &'static str, build_s: f64, index: &dyn AnnIndex, asked: Asked) -> Self {
        Self { name, build_s, bytes: index.size_bytes() as u64, asked }
    }

    /// Seconds per query, and what was found for each; a scan is asked fewer.
    fn search(&mut self, queries: &[Vec<f32>], k: usize, ef: usize) -> Result<(f64, Vec<Vec<Scored>>)> {
        Ok(match &mut self.asked {
            Asked::Scan(index) => timed(&**index, &queries[..queries.len().min(SCANNED_QUERIES)], k),
            Asked::Graph(index) => timed(&index.clone().with_ef_search(ef), queries, k),
            Asked::HnswRs(index) => {
                index.set_ef_search(ef);
                timed(&**index, queries, k)
            }
            Asked::Peer(peers) => {
                let mut peers = peers.borrow_mut();
                let took_s = peers.search(self.name, k, ef)?;
                (took_s / queries.len() as f64, peers.found(k)?)
            }
        })
    }

    /// The smallest `ef` with the recall asked for, and that recall; the greatest if none has it.
    fn smallest_ef(
        &mut self,
        queries: &[Vec<f32>],
        truth: &[Vec<Scored>],
        k: usize,
    ) -> Result<(Option<usize>, f64)> {
        if matches!(self.asked, Asked::Scan(_)) {
            let (_, found) = self.search(queries, k, k)?;
            return Ok((None, mean_recall(&truth[..found.len()], &found)));
        }
        let mut recall_at = |ef: usize| -> Result<f64> {
            let (_, found) = self.search(queries, k, ef)?;
            Ok(mean_recall(&truth[..found.len()], &found))
        };
        let (mut too_small, mut ef) = (k - 1, k);
        let mut recall = recall_at(ef)?;
        while recall < RECALL && ef < MAX_EF {
            (too_small, ef) = (ef, (ef * 2).min(MAX_EF));
            recall = recall_at(ef)?;
        }
        while ef - too_small > 1 + ef / 50 {
            let middle = usize::midpoint(too_small, ef);
            let there = recall_at(middle)?;
            if there >= RECALL {
                (ef, recall) = (middle, there);
            } else {
                too_small = middle;
            }
        }
        Ok((Some(ef), recall))
    }
}

fn timed(index: &dyn AnnIndex, queries: &[Vec<f32>], k: usize) -> (f64, Vec<Vec<Scored>>) {
    let started = Instant::now();
    let found: Vec<_> = queries.iter().map(|query| index.search(query, k, None)).collect();
    (started.elapsed().as_secs_f64() / queries.len() as f64, found)
}

fn own_engines(
    exact: &ExactIndex,
    own: Option<&Snapshot>,
    folder: &Path,
    args: &BenchAnnArgs,
    steps: &Steps,
) -> Result<(Vec<Engine>, Arc<Graph>)> {
    let mut engines = vec![Engine::of("exact", 0.0, exact, Asked::Scan(Box::new(exact.clone())))];
    let started = Instant::now();
    let int8 = Int8Index::new(exact.clone());
    engines.push(Engine::of(
        "int8",
        started.elapsed().as_secs_f64(),
        &int8.clone(),
        Asked::Scan(Box::new(int8)),
    ));
    steps.begin("graph", 0);
    let (graph, build_s) = match own.and_then(|snapshot| snapshot.graph.clone()) {
        // How long it took is on record where it was published.
        Some(graph) => (graph, 0.0),
        None => graph_of(exact, folder)?,
    };
    steps.finish(&format!("built in {build_s:.1} s"));
    let index = GraphIndex::try_new(exact.clone(), Arc::clone(&graph))?;
    engines.push(Engine::of("graph", build_s, &index.clone(), Asked::Graph(index)));
    if args.hnsw_rs {
        steps.begin("hnsw_rs", 0);
        let started = Instant::now();
        let hnsw = HnswIndex::try_new(exact.clone(), &HnswParams::default())?;
        let build_s = started.elapsed().as_secs_f64();
        let frozen = GraphIndex::try_new(exact.clone(), Arc::new(hnsw.freeze()?))?;
        engines.push(Engine::of("hnsw_rs frozen", build_s, &frozen.clone(), Asked::Graph(frozen)));
        let bytes = hnsw.size_bytes() as u64;
        engines.push(Engine { name: "hnsw_rs", build_s, bytes, asked: Asked::HnswRs(Box::new(hnsw)) });
        steps.finish("");
    }
    Ok((engines, graph))
}

/// Builds the graph, or reads the one that an earlier run built over the same vectors.
fn graph_of(exact: &ExactIndex, folder: &Path) -> Result<(Arc<Graph>, f64)> {
    let (file, about) = (folder.join("graph.bin"), folder.join("graph.json"));
    let earlier = || -> Option<(Graph, f64)> {
        let build_s = serde_json::from_slice(&std::fs::read(&about).ok()?).ok()?;
        let graph = std::fs::File::open(&file).ok()?;
        let size_bytes = graph.metadata().ok()?.len();
        Some((decode_graph(Part::new(graph, size_bytes)).ok()?, build_s))
    };
    if let Some((graph, build_s)) = earlier()
        && graph.n_items() == exact.vectors().nrows()
    {
        return Ok((Arc::new(graph), build_s));
    }
    let started = Instant::now();
    let graph = Graph::build(exact, &GraphParams::default())?;
    let build_s = started.elapsed().as_secs_f64();
    std::fs::write(file, encode_graph(&graph))?;
    std::fs::write(about, serde_json::to_vec(&build_s)?)?;
    Ok((Arc::new(graph), build_s))
}

fn start_peers(home: &Path, folder: &Path, width: usize, steps: &Steps) -> Result<Vec<Engine>> {
    let home: PathBuf = std::path::absolute(home)?;
    let peers = std::rc::Rc::new(std::cell::RefCell::new(Peers::start(&home, folder, width)?));
    let mut engines = Vec::new();
    for name in peers::NAMES {
        steps.begin(name, 0);
        let built = peers.borrow_mut().prepare(name)?;
        steps.finish(&format!("built in {:.1} s", built.build_s));
        let asked = Asked::Peer(std::rc::Rc::clone(&peers));
        engines.push(Engine { name, build_s: built.build_s, bytes: built.bytes, asked });
    }
    Ok(engines)
}

/// Every engine, round after round in turn; beside each the searches per second of every round.
fn rounds_of(
    engines: &mut [Engine],
    queries: &[Vec<f32>],
    truth: &[Vec<Scored>],
    k: usize,
    n_rounds: usize,
    steps: &Steps,
) -> Result<Vec<(Measured, Vec<f64>)>> {
    steps.begin(&format!("best {k}"), 0);
    let mut efs = Vec::new();
    for engine in engines.iter_mut() {
        efs.push(engine.smallest_ef(queries, truth, k)?);
    }
    let mut rates = vec![Vec::new(); engines.len()];
    for _ in 0..n_rounds {
        for ((engine, (ef, _)), rates) in engines.iter_mut().zip(&efs).zip(&mut rates) {
            let (s_per_query, _) = engine.search(queries, k, ef.unwrap_or(k))?;
            rates.push(s_per_query.recip());
        }
    }
    steps.finish(&format!("{n_rounds} rounds"));
    let measured = engines.iter().zip(efs).zip(rates).map(|((engine, (ef, recall)), rates)| {
        let spread = Spread::of(rates.iter().copied());
        let Engine { name, build_s, bytes, .. } = *engine;
        let queries_per_s = spread.median;
        (Measured { engine: name, k, ef, recall, queries_per_s, spread, build_s, bytes }, rates)
    });
    Ok(measured.collect())
}

/// Each of our engines beside the peer that is faster; one that misses the recall is nobody's peer.
fn cases(measured: &[(Measured, Vec<f64>)]) -> Vec<Case> {
    let (peers, own): (Vec<_>, Vec<_>) =
        measured.iter().partition(|(measured, _)| peers::NAMES.contains(&measured.engine));
    let peers: Vec<_> = peers.into_iter().filter(|(measured, _)| measured.recall >= RECALL).collect();
    let better = peers.iter().max_by(|a, b| a.0.queries_per_s.total_cmp(&b.0.queries_per_s));
    own.into_iter()
        .map(|(own, rates)| {
            let ratio_spread = better.map(|_| {
                Spread::of(rates.iter().enumerate().map(|(round, rate)| {
                    rate / peers.iter().map(|(_, rates)| rates[round]).fold(f64::MIN_POSITIVE, f64::max)
                }))
            });
            Case {
                own: own.clone(),
                peer: better.map(|(peer, _)| peer.engine),
                peer_queries_per_s: better.map(|(peer, _)| peer.queries_per_s),
                ratio: ratio_spread.map(|spread| spread.median),
                ratio_spread,
            }
        })
        .collect()
}

fn write_floats<'a>(path: &Path, values: impl Iterator<Item = &'a f32>) -> Result<()> {
    let bytes: Vec<u8> = values.flat_map(|value| value.to_le_bytes()).collect();
    std::fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

/// A table for people.
pub(crate) fn table(outcome: &Outcome) -> String {
    let Outcome { vectors, items, dimensions, queries, rounds, cases, peers, filtered, left_out } = outcome;
    let mut text = format!(
        "{vectors}: {items} items × {dimensions}, {queries} queries, one thread, medians of {rounds} rounds in turn, recall ≥ {RECALL}\n\
         best  engine          ef    recall  queries/s  (from – to)          build s      MB\n"
    );
    let line = |m: &Measured| {
        let ef = m.ef.map_or_else(|| "-".to_owned(), |ef| ef.to_string());
        format!(
            "{:>4}  {:<14} {ef:>5}  {:>7.4} {:>10.0}  ({:.0} – {:.0})  {:>10.1} {:>8.1}",
            m.k,
            m.engine,
            m.recall,
            m.queries_per_s,
            m.spread.min,
            m.spread.max,
            m.build_s,
            m.bytes as f64 / 1e6,
        )
    };
    for case in cases {
        text += &line(&case.own);
        if let (Some(ratio), Some(peer), Some(spread)) = (case.ratio, case.peer, case.ratio_spread) {
            text += &format!("  {ratio:.2} × {peer} ({:.2} – {:.2})", spread.min, spread.max);
        }
        text.push('\n');
    }
    for peer in peers {
        text += &line(peer);
        text.push('\n');
    }
    text += &filtered::table(filtered);
    for (peer, reason) in left_out {
        text += &format!("{peer} is left out: {reason}\n");
    }
    text.trim_end().to_owned()
}
