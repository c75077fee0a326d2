//! The text index alone, in this process: ours, and tantivy's own queries over the same texts.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;
use waggle_model::{CatalogChange, Item, ItemId, Timestamp};
use waggle_retrieval_role::{
    lexical::{LexicalIndex, SearchQuery},
    table::{Entries, ItemTable},
};

use super::{peer::Peer, queries::Queries};

/// One engine on one kind of query.
#[derive(Debug, Serialize)]
pub(crate) struct EngineCase {
    pub(crate) engine: &'static str,
    pub(crate) case: &'static str,
    pub(crate) n_queries: usize,
    pub(crate) queries_per_s: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Of titles with a typing error: the share of their items that are among the first ten.
    pub(crate) found_in_top_10: Option<f64>,
    /// Of words with a typing error: the share of what the words without it have first that is among the first ten.
    pub(crate) same_top_10: Option<f64>,
}

const TOP: usize = 10;

/// The first ten of a query, best first.
trait Engine {
    fn name(&self) -> &'static str;

    fn top(&self, text: &str) -> Result<Vec<ItemId>>;
}

/// Both engines on all kinds of queries, in turn; the fastest of so many rounds for each query, so that other work on the
/// machine is in none of the figures.
pub(super) fn measure(items: &[Item], queries: &Queries, rounds: usize) -> Result<Vec<EngineCase>> {
    let engines: [Box<dyn Engine>; 2] = [Box::new(Ours::new(items)?), Box::new(Peer::new(items)?)];
    let titles: Vec<String> = queries.titles.iter().map(|(_, text)| text.clone()).collect();
    let kinds = [
        ("plain", &queries.words),
        ("typo", &queries.misspelt),
        ("typing", &queries.half_typed),
        ("title_typo", &titles),
    ];
    let mut cases = Vec::new();
    for (case, texts) in kinds {
        let mut took = engines.each_ref().map(|_| vec![Duration::MAX; texts.len()]);
        for _ in 0..rounds {
            for (at, text) in texts.iter().enumerate() {
                for (engine, took) in engines.iter().zip(&mut took) {
                    let started = Instant::now();
                    engine.top(text)?;
                    took[at] = took[at].min(started.elapsed());
                }
            }
        }
        for (engine, took) in engines.iter().zip(&mut took) {
            cases.push(EngineCase {
                found_in_top_10: (case == "title_typo").then(|| found(&**engine, queries)).transpose()?,
                same_top_10: (case == "typo").then(|| same(&**engine, queries)).transpose()?,
                ..of_times(engine.name(), case, took)
            });
        }
    }
    Ok(cases)
}

fn found(engine: &dyn Engine, queries: &Queries) -> Result<f64> {
    let mut n_found = 0;
    for (item, text) in &queries.titles {
        n_found += usize::from(engine.top(text)?.contains(item));
    }
    Ok(n_found as f64 / queries.titles.len() as f64)
}

fn same(engine: &dyn Engine, queries: &Queries) -> Result<f64> {
    let (mut n_same, mut n_all) = (0, 0);
    for (meant, typed) in queries.words.iter().zip(&queries.misspelt).filter(|(meant, typed)| meant != typed)
    {
        let (expected, got) = (engine.top(meant)?, engine.top(typed)?);
        n_same += expected.iter().filter(|item| got.contains(item)).count();
        n_all += expected.len();
    }
    Ok(n_same as f64 / n_all.max(1) as f64)
}

fn of_times(engine: &'static str, case: &'static str, took: &mut [Duration]) -> EngineCase {
    took.sort_unstable();
    let total: f64 = took.iter().map(Duration::as_secs_f64).sum();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e6;
    EngineCase {
        engine,
        case,
        n_queries: took.len(),
        queries_per_s: took.len() as f64 / total,
        p50_us: at(0.5),
        p99_us: at(0.99),
        found_in_top_10: None,
        same_top_10: None,
    }
}

struct Ours {
    entries: std::sync::Arc<Entries>,
    index: LexicalIndex,
}

impl Ours {
    fn new(items: &[Item]) -> Result<Self> {
        let (table, index) = (ItemTable::default(), LexicalIndex::try_new()?);
        let changes = items.iter().cloned().map(CatalogChange::Put).collect();
        let counted = table.apply(changes, Timestamp::now());
        let entries = table.load();
        index.apply(&counted, &entries)?;
        Ok(Self { entries, index })
    }
}

impl Engine for Ours {
    fn name(&self) -> &'static str {
        "waggle"
    }

    fn top(&self, text: &str) -> Result<Vec<ItemId>> {
        let query = SearchQuery { text, completes: true };
        let mut hits = self.index.search(query, |slot| self.entries.offered().has(slot.place()))?.hits;
        if hits.len() > TOP {
            hits.select_nth_unstable_by(TOP, |a, b| b.score.total_cmp(&a.score).then(a.slot.cmp(&b.slot)));
            hits.truncate(TOP);
        }
        let id = |slot| self.entries.at(slot).map(|entry| entry.item_id());
        Ok(hits.iter().filter_map(|hit| id(hit.slot)).collect())
    }
}

impl Engine for Peer {
    fn name(&self) -> &'static str {
        "tantivy"
    }

    fn top(&self, text: &str) -> Result<Vec<ItemId>> {
        self.search(text, TOP)
    }
}
