//! A navigable small-world graph (Malkov and Yashunin 2018, by `hnsw_rs`) over inner products: what our own
//! [`graph`](super::graph) is measured beside, as it is and [frozen](HnswIndex::freeze) into the same arrays.
//!
//! The graph is built in memory from verified vectors. Dumps of `hnsw_rs` are never read: its loader may end the
//! process over a damaged file. Points are inserted one after the other, because only then the same vectors give the
//! same graph.

use hnsw_rs::prelude::{Distance, Hnsw};
use waggle_model::{ItemIdx, Scored};

use super::{Allow, AnnError, AnnIndex, ExactIndex, Graph, GraphError, GraphParams, int8::by_norm};
use crate::linalg::dot;

/// Shape of the graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HnswParams {
    /// Neighbours kept per point and layer, from 2 to 255.
    pub max_connections: usize,
    /// Points looked at when one is inserted.
    pub ef_construction: usize,
    /// Points kept in sight while searching; at least as many as asked for are.
    pub ef_search: usize,
}

impl Default for HnswParams {
    fn default() -> Self {
        Self { max_connections: 16, ef_construction: 200, ef_search: 256 }
    }
}

/// `C − x·y`, never below zero as the graph demands. `C` is the greatest squared norm, which no inner product of two
/// items exceeds; queries are scaled to the greatest norm.
#[derive(Clone, Copy)]
struct ShiftedInnerProduct {
    ceiling: f32,
}

impl Distance<f32> for ShiftedInnerProduct {
    fn eval(&self, x: &[f32], y: &[f32]) -> f32 {
        (self.ceiling - dot(x, y)).max(0.0)
    }
}

/// The graph, and the vectors for filtered searches.
pub struct HnswIndex {
    exact: ExactIndex,
    graph: Hnsw<'static, f32, ShiftedInnerProduct>,
    greatest_norm: f32,
    ef_search: usize,
}

impl HnswIndex {
    /// # Errors
    /// [`AnnError`] for parameters out of range, or vectors so long that their inner products overflow.
    pub fn try_new(exact: ExactIndex, params: &HnswParams) -> Result<Self, AnnError> {
        const MAX_LAYERS: usize = 16;
        let check =
            |ok: bool, name, got, rule| if ok { Ok(()) } else { Err(AnnError::Param { name, got, rule }) };
        check(
            (2..=255).contains(&params.max_connections),
            "max_connections",
            params.max_connections,
            "from 2 to 255",
        )?;
        check(
            (1..=10_000).contains(&params.ef_construction),
            "ef_construction",
            params.ef_construction,
            "from 1 to 10000",
        )?;
        check((1..=10_000).contains(&params.ef_search), "ef_search", params.ef_search, "from 1 to 10000")?;

        let vectors = exact.vectors();
        let norms: Vec<f32> = vectors.outer_iter().map(|row| row.dot(&row)).collect();
        let ceiling = norms.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
        if let Some(row) = norms.iter().position(|norm| !norm.is_finite()) {
            return Err(AnnError::NotFinite { row });
        }
        let graph = Hnsw::new(
            params.max_connections,
            vectors.nrows().max(1),
            MAX_LAYERS,
            params.ef_construction,
            ShiftedInnerProduct { ceiling },
        );
        for (row, vector) in vectors.outer_iter().enumerate() {
            graph.insert((vector.to_slice().expect("kept in standard layout"), row));
        }
        Ok(Self { exact, graph, greatest_norm: ceiling.sqrt(), ef_search: params.ef_search })
    }

    pub fn set_ef_search(&mut self, ef_search: usize) {
        self.ef_search = ef_search;
    }

    /// The links of the lowest layer, in the arrays of our own engine.
    ///
    /// # Errors
    /// [`GraphError`] when they are more than those arrays take.
    pub fn freeze(&self) -> Result<Graph, GraphError> {
        const LOWEST: usize = 0;
        let order = by_norm(&self.exact);
        let mut nodes = vec![0_u32; order.len()];
        for (node, &item) in (0..).zip(&order) {
            nodes[item as usize] = node;
        }
        let mut lists = vec![Vec::new(); order.len()];
        for point in self.graph.get_point_indexation() {
            let own = nodes[point.get_origin_id()];
            let linked = &point.get_neighborhood_id()[LOWEST];
            let mut list: Vec<u32> = linked.iter().map(|neighbour| nodes[neighbour.d_id]).collect();
            list.sort_unstable();
            list.dedup();
            list.retain(|&node| node != own);
            lists[own as usize] = list;
        }
        let degrees: Vec<u8> = lists.iter().map(|list| u8::try_from(list.len()).unwrap_or(u8::MAX)).collect();
        Graph::try_new(order, &degrees, lists.concat(), GraphParams::default().n_hubs)
    }
}

impl AnnIndex for HnswIndex {
    fn name(&self) -> &'static str {
        "hnsw"
    }

    /// Filtered searches scan: measured on 100 000 items, the scan beats the filtered walk at every selectivity.
    fn search(&self, query: &[f32], k: usize, allow: Option<Allow<'_>>) -> Vec<Scored> {
        let norm = dot(query, query).sqrt();
        if allow.is_some() || !(norm.is_finite() && norm > 0.0) || self.exact.vectors().nrows() == 0 {
            return self.exact.search(query, k, allow);
        }
        if k == 0 || !self.exact.accepts(query) {
            return Vec::new();
        }
        // It allocates for as many as it is asked for.
        let k = k.min(self.exact.vectors().nrows());
        let scaled: Vec<f32> = query.iter().map(|x| x / norm * self.greatest_norm).collect();
        let found = self.graph.search(&scaled, k, self.ef_search.max(k));
        let mut list: Vec<Scored> = found
            .into_iter()
            .map(|neighbour| {
                let row = self.exact.vectors().row(neighbour.d_id);
                let score = dot(row.to_slice().expect("kept in standard layout"), query);
                Scored { item: ItemIdx::from_row(neighbour.d_id), score }
            })
            .collect();
        list.sort_by(Scored::best_first);
        list
    }

    fn search_rows(&self, query: &[f32], rows: &[ItemIdx], k: usize) -> Vec<Scored> {
        self.exact.search_rows(query, rows, k)
    }

    /// Without the graph, whose memory `hnsw_rs` does not tell.
    fn size_bytes(&self) -> usize {
        self.exact.size_bytes()
    }
}
