//! The walk through a graph, shared by building and searching.

use std::cell::Cell;

use super::build::MAX_NEIGHBOURS;
use crate::linalg::{
    self,
    int8::{Codes, QueryCodes},
};

/// Neighbours of a line of the cache.
const PER_LINE: usize = 16;

/// Who is linked to whom, as the walk asks for it.
pub(super) trait Neighbours {
    fn of(&self, node: u32) -> &[u32];

    /// [`of`](Self::of) the node will be asked for soon.
    fn prefetch(&self, node: u32);
}

/// The links of a graph that does not change any more: all neighbours one after the other, so that a node takes what it
/// has. Most items of a large catalogue were never bought, and have none.
#[derive(Debug, Clone)]
pub(super) struct Links {
    /// Where each node's neighbours begin, and where the last one's end.
    starts: Vec<u32>,
    neighbours: Vec<u32>,
}

impl Links {
    /// `degrees` of all nodes, at most [`MAX_NODES`], add up to the neighbours.
    pub(super) fn new(degrees: &[u8], neighbours: Vec<u32>) -> Self {
        let mut starts = Vec::with_capacity(degrees.len() + 1);
        let mut end = 0;
        starts.push(end);
        starts.extend(degrees.iter().map(|&degree| {
            end += u32::from(degree);
            end
        }));
        Self { starts, neighbours }
    }

    pub(super) fn size_bytes(&self) -> usize {
        size_of_val(&*self.starts) + size_of_val(&*self.neighbours)
    }
}

impl Neighbours for Links {
    #[inline]
    fn of(&self, node: u32) -> &[u32] {
        let node = node as usize;
        &self.neighbours[self.starts[node] as usize..self.starts[node + 1] as usize]
    }

    #[inline]
    fn prefetch(&self, node: u32) {
        let own = self.of(node);
        for at in (0..own.len()).step_by(PER_LINE) {
            linalg::prefetch(own, at);
        }
    }
}

/// A node and its score; the highest bit of the node says that its neighbours were looked at.
#[derive(Debug, Clone, Copy)]
struct Entry {
    score: f32,
    node: u32,
}

const EXPANDED: u32 = 1 << 31;
/// No node runs into that bit, and all neighbours are fewer than 2^32.
pub(super) const MAX_NODES: usize = (1 << 26) - 1;

/// The best nodes met, best first.
#[derive(Debug, Default)]
struct Pool {
    entries: Vec<Entry>,
    capacity: usize,
    /// All before this place are expanded.
    cursor: usize,
}

impl Pool {
    fn clear(&mut self, capacity: usize) {
        self.entries.clear();
        self.entries.reserve(capacity.min(4096) + 1);
        (self.capacity, self.cursor) = (capacity, 0);
    }

    /// What a score must exceed.
    #[inline]
    fn threshold(&self) -> f32 {
        if self.entries.len() < self.capacity {
            f32::NEG_INFINITY
        } else {
            self.entries[self.capacity - 1].score
        }
    }

    #[inline]
    fn insert(&mut self, score: f32, node: u32) {
        let place = self.entries.partition_point(|entry| entry.score >= score);
        if self.entries.len() == self.capacity {
            self.entries.pop();
        }
        self.entries.insert(place, Entry { score, node });
        self.cursor = self.cursor.min(place);
    }

    /// The best node whose neighbours were not looked at; they count as looked at now.
    #[inline]
    fn next(&mut self) -> Option<u32> {
        while let Some(entry) = self.entries.get_mut(self.cursor) {
            self.cursor += 1;
            if entry.node & EXPANDED == 0 {
                let node = entry.node;
                entry.node |= EXPANDED;
                return Some(node);
            }
        }
        None
    }

    /// Likely the next one.
    #[inline]
    fn peek(&self) -> Option<u32> {
        self.entries[self.cursor.min(self.entries.len())..]
            .iter()
            .map(|e| e.node)
            .find(|node| node & EXPANDED == 0)
    }
}

/// What a walk needs, kept from walk to walk.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) query: QueryCodes,
    pool: Pool,
    /// The number of the walk that met a node last.
    met: Vec<u8>,
    walk: u8,
    /// Neighbours about to be scored.
    batch: Vec<u32>,
    scores: Vec<f32>,
    /// Buffers of whoever walks.
    pub(super) rows: Vec<u32>,
    pub(super) exact: Vec<f32>,
}

impl Scratch {
    /// Runs `work` with this thread's scratch.
    pub(super) fn with<T>(work: impl FnOnce(&mut Self) -> T) -> T {
        thread_local! {
            static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
        }
        // Taken out meanwhile, so that a search inside a filter of a search gets one of its own.
        let mut scratch = SCRATCH.take().unwrap_or_default();
        let result = work(&mut scratch);
        SCRATCH.set(Some(scratch));
        result
    }

    /// The nodes that the last walk found, best first, with their rounded scores.
    pub(super) fn found(&self) -> impl DoubleEndedIterator<Item = (u32, f32)> + '_ {
        self.pool.entries.iter().map(|entry| (entry.node & !EXPANDED, entry.score))
    }

    /// Fills [`found`](Self::found) with the best nodes of the first `n` that best-first search for `self.query` meets,
    /// at most `ef`.
    ///
    /// It starts from the first `n_hubs` nodes, which are all scored, and follows links while a node among the `ef`
    /// best has neighbours that were not looked at.
    pub(super) fn walk(
        &mut self,
        links: &impl Neighbours,
        codes: &Codes,
        n: usize,
        n_hubs: usize,
        ef: usize,
    ) {
        let Self { query, pool, met, walk, batch, scores, .. } = self;
        pool.clear(ef.max(1));
        if met.len() < n {
            met.resize(n, 0);
        }
        *walk = walk.wrapping_add(1);
        if *walk == 0 {
            met.fill(0);
            *walk = 1;
        }
        let n_hubs = n_hubs.min(n);
        scores.resize(n_hubs.max(MAX_NEIGHBOURS), 0.0);
        codes.score_range(query, 0, &mut scores[..n_hubs]);
        for (node, &score) in (0..).zip(&scores[..n_hubs]) {
            if score > pool.threshold() {
                pool.insert(score, node);
            }
        }
        while let Some(node) = pool.next() {
            batch.clear();
            for &neighbour in links.of(node) {
                // The hubs were scored already.
                if neighbour as usize >= n_hubs {
                    let met = &mut met[neighbour as usize];
                    if *met != *walk {
                        *met = *walk;
                        codes.prefetch(neighbour as usize);
                        batch.push(neighbour);
                    }
                }
            }
            if let Some(next) = pool.peek() {
                links.prefetch(next);
            }
            let scores = &mut scores[..batch.len()];
            codes.score_rows(query, batch, scores);
            for (&node, &score) in batch.iter().zip(&*scores) {
                if score > pool.threshold() {
                    pool.insert(score, node);
                }
            }
        }
    }
}
