//! A graph over the items, frozen into flat arrays, and the engine that searches it.
//!
//! One layer is all there is. Where HNSW has layers above to find a place to start from, here the longest vectors are
//! scored one after the other: they are the first rows, lie side by side in memory, and are in most answers anyway.
//! The walk compares rounded vectors ([`Codes`](crate::linalg::int8::Codes)), so looking at a neighbour costs one line
//! of the cache at 64 dimensions; what it finds is scored again exactly.

mod build;
#[cfg(test)]
mod tests;
mod walk;

use std::sync::Arc;

use waggle_model::{ItemIdx, Scored};

use self::{
    build::MAX_NEIGHBOURS,
    walk::{Links, Neighbours as _, Scratch},
};
use super::{
    Allow, AnnError, AnnIndex, ExactIndex, Int8Index, has_bit,
    int8::{by_norm, is_usual, n_rescored},
};
use crate::linalg::{dot, int8::Codes};

/// Shape of the graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphParams {
    /// Most neighbours of an item, from 2 to 64.
    pub max_neighbours: usize,
    /// Items looked at when one is inserted, from 1 to 10000.
    pub ef_construction: usize,
    /// The longest vectors, which every search begins with.
    pub n_hubs: usize,
}

impl Default for GraphParams {
    fn default() -> Self {
        Self { max_neighbours: 32, ef_construction: 100, n_hubs: 512 }
    }
}

impl GraphParams {
    fn validate(&self) -> Result<(), AnnError> {
        let check = |range: std::ops::RangeInclusive<usize>, name, got, rule| {
            if range.contains(&got) { Ok(()) } else { Err(AnnError::Param { name, got, rule }) }
        };
        check(2..=MAX_NEIGHBOURS, "max_neighbours", self.max_neighbours, "from 2 to 64")?;
        check(1..=10_000, "ef_construction", self.ef_construction, "from 1 to 10000")?;
        check(1..=100_000, "n_hubs", self.n_hubs, "from 1 to 100000")
    }
}

/// Who is linked to whom, checked: every neighbour exists, is another item, and occurs once.
#[derive(Debug, Clone)]
pub struct Graph {
    /// The item of every node.
    order: Arc<[u32]>,
    links: Links,
    n_hubs: usize,
}

/// Why arrays are not a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    #[error("{name} is {got}, it must be {rule}")]
    Param { name: &'static str, got: usize, rule: &'static str },
    #[error("node {node} stands for item {item}, of {n} items each must have one node")]
    Order { node: usize, item: u32, n: usize },
    #[error("node {node} has {got} neighbours, at most {limit} are allowed")]
    Degree { node: usize, got: usize, limit: usize },
    #[error("node {node} has the neighbour {neighbour}, which is outside, itself or there twice")]
    Neighbour { node: usize, neighbour: u32 },
    #[error("the degrees add up to {expected} neighbours, there are {got}")]
    Length { expected: usize, got: usize },
}

impl Graph {
    /// Builds the graph of `exact`; the same vectors give the same graph, on any machine.
    ///
    /// # Errors
    /// [`AnnError`] for parameters out of range, or vectors so long that their inner products overflow.
    pub fn build(exact: &ExactIndex, params: &GraphParams) -> Result<Self, AnnError> {
        params.validate()?;
        let vectors = exact.vectors();
        if let Some(row) = vectors.outer_iter().position(|row| !row.dot(&row).is_finite()) {
            return Err(AnnError::NotFinite { row });
        }
        if vectors.nrows() > walk::MAX_NODES {
            return Err(AnnError::Param { name: "items", got: vectors.nrows(), rule: "below 2^26" });
        }
        let order = by_norm(exact);
        let codes = Codes::new(vectors.ncols(), order.len(), order.iter().map(|&row| exact.row(row)));
        Ok(Self { links: build::build(&codes, params), order: order.into(), n_hubs: params.n_hubs })
    }

    /// A graph from its arrays: the item of every node, the number of neighbours of every node, and the neighbours one
    /// after the other. Costs time and memory in proportion to the arrays.
    ///
    /// # Errors
    /// [`GraphError`] says what is wrong with them.
    pub fn try_new(
        order: Vec<u32>,
        degrees: &[u8],
        neighbours: Vec<u32>,
        n_hubs: usize,
    ) -> Result<Self, GraphError> {
        let n = order.len();
        if n > walk::MAX_NODES {
            return Err(GraphError::Param { name: "the number of nodes", got: n, rule: "below 2^26" });
        }
        if !(1..=100_000).contains(&n_hubs) {
            return Err(GraphError::Param { name: "n_hubs", got: n_hubs, rule: "from 1 to 100000" });
        }
        let mut has_node = vec![false; n];
        for (node, &item) in order.iter().enumerate() {
            match has_node.get_mut(item as usize) {
                Some(seen @ false) => *seen = true,
                _ => return Err(GraphError::Order { node, item, n }),
            }
        }
        if degrees.len() != n {
            return Err(GraphError::Param {
                name: "the number of degrees",
                got: degrees.len(),
                rule: "one a node",
            });
        }
        let expected = degrees.iter().map(|&degree| usize::from(degree)).sum();
        if neighbours.len() != expected {
            return Err(GraphError::Length { expected, got: neighbours.len() });
        }
        if let Some(node) = degrees.iter().position(|&degree| usize::from(degree) > MAX_NEIGHBOURS) {
            return Err(GraphError::Degree { node, got: degrees[node].into(), limit: MAX_NEIGHBOURS });
        }
        let links = Links::new(degrees, neighbours);
        // The node that named it last, plus one.
        let mut named_by = vec![0_u32; n];
        for node in 0..n {
            let number = ItemIdx::from_row(node).0;
            for &neighbour in links.of(number) {
                match named_by.get_mut(neighbour as usize) {
                    Some(last) if *last != number + 1 && neighbour != number => *last = number + 1,
                    _ => return Err(GraphError::Neighbour { node, neighbour }),
                }
            }
        }
        Ok(Self { order: order.into(), links, n_hubs })
    }

    pub fn n_items(&self) -> usize {
        self.order.len()
    }

    pub fn n_hubs(&self) -> usize {
        self.n_hubs
    }

    /// The item of every node.
    pub fn order(&self) -> &[u32] {
        &self.order
    }

    pub(super) fn shared_order(&self) -> &Arc<[u32]> {
        &self.order
    }

    /// The nodes that a node is linked to.
    pub fn neighbours(&self, node: usize) -> &[u32] {
        self.links.of(ItemIdx::from_row(node).0)
    }

    pub fn size_bytes(&self) -> usize {
        self.links.size_bytes() + size_of_val(&*self.order)
    }
}

/// The graph with the vectors it is over.
#[derive(Debug, Clone)]
pub struct GraphIndex {
    scan: Int8Index,
    graph: Arc<Graph>,
    ef_search: usize,
}

impl GraphIndex {
    /// Items that are kept in sight while searching, if nobody says otherwise.
    pub const EF_SEARCH: usize = 160;

    /// # Errors
    /// [`AnnError::OtherGraph`] for a graph over another number of items.
    pub fn try_new(exact: ExactIndex, graph: Arc<Graph>) -> Result<Self, AnnError> {
        let (expected, got) = (exact.vectors().nrows(), graph.n_items());
        if got != expected {
            return Err(AnnError::OtherGraph { expected, got });
        }
        let scan = Int8Index::in_order(exact, Arc::clone(&graph.order));
        Ok(Self::over(scan, graph))
    }

    /// `scan` is over the graph's items, in its order.
    pub(super) fn over(scan: Int8Index, graph: Arc<Graph>) -> Self {
        Self { scan, graph, ef_search: Self::EF_SEARCH }
    }

    /// The same with another number of items kept in sight.
    #[must_use]
    pub fn with_ef_search(self, ef_search: usize) -> Self {
        Self { ef_search, ..self }
    }

    /// What a walk finds, if it finds enough.
    fn walked(&self, query: &[f32], k: usize, allow: Option<Allow<'_>>) -> Option<Vec<Scored>> {
        let norm = dot(query, query).sqrt();
        if k == 0 || !self.scan.exact().accepts(query) || !is_usual(norm) {
            return None;
        }
        Scratch::with(|scratch| {
            scratch.query.set(query);
            if !self.walk_far_enough(scratch, norm, k, allow) {
                return None;
            }
            let rows = &scratch.rows[..scratch.rows.len().min(n_rescored(k))];
            Some(self.scan.exact().best_of(query, rows, &mut scratch.exact, k))
        })
    }

    /// The rows among the best `ef` of a walk that are allowed, best first.
    fn walk(&self, scratch: &mut Scratch, ef: usize, allow: Option<Allow<'_>>) {
        let Graph { links, n_hubs, .. } = &*self.graph;
        scratch.walk(links, self.scan.codes(), self.graph.n_items(), *n_hubs, ef);
        let mut rows = std::mem::take(&mut scratch.rows);
        rows.clear();
        let found = scratch.found().map(|(node, _)| self.scan.order()[node as usize]);
        rows.extend(found.filter(|&row| allow.is_none_or(|allow| allow(ItemIdx(row)))));
        scratch.rows = rows;
    }

    /// Whether walks filled `scratch.rows` with enough to take the best `k` from; if not, a scan is due.
    ///
    /// Items that are not allowed are walked through, so a walk has to keep as many more in sight as the filter takes
    /// away. How many that is shows in the first walk: among the items near this very query, not among all. A scan costs
    /// as many rows as are long enough to be among what that walk found, at least.
    fn walk_far_enough(&self, scratch: &mut Scratch, norm: f32, k: usize, allow: Option<Allow<'_>>) -> bool {
        /// A walk that keeps one item in sight costs about as much as scanning this many.
        const SCANNED_PER_WALKED: usize = 256;
        let n_items = self.graph.n_items();
        let ef = self.ef_search.max(k).min(n_items);
        self.walk(scratch, ef, allow);
        if allow.is_none() {
            return scratch.rows.len() >= k.min(n_items);
        }
        // Halfway from what is returned to what an unfiltered walk would have.
        let sufficient = k.saturating_add(ef) / 2;
        if scratch.rows.len() >= sufficient {
            return true;
        }
        let wider = ef.saturating_mul(ef) / scratch.rows.len().max(1);
        let worst = scratch.found().next_back().map_or(0.0, |(_, score)| score);
        if wider > self.scan.n_long_enough(worst / norm) / SCANNED_PER_WALKED {
            return false;
        }
        self.walk(scratch, wider, allow);
        scratch.rows.len() >= sufficient
    }
}

impl AnnIndex for GraphIndex {
    fn name(&self) -> &'static str {
        "graph"
    }

    /// Where the walk finds too few, the rounded vectors are scanned.
    fn search(&self, query: &[f32], k: usize, allow: Option<Allow<'_>>) -> Vec<Scored> {
        self.walked(query, k, allow).unwrap_or_else(|| self.scan.search(query, k, allow))
    }

    fn search_among(&self, query: &[f32], k: usize, bits: &[u64], allow: Allow<'_>) -> Vec<Scored> {
        let both = |item: ItemIdx| has_bit(bits, item.0) && allow(item);
        self.walked(query, k, Some(&both)).unwrap_or_else(|| self.scan.search_among(query, k, bits, allow))
    }

    fn search_rows(&self, query: &[f32], rows: &[ItemIdx], k: usize) -> Vec<Scored> {
        self.scan.search_rows(query, rows, k)
    }

    fn size_bytes(&self) -> usize {
        self.scan.size_bytes() + self.graph.links.size_bytes()
    }
}
