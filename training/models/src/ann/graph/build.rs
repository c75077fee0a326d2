//! How a graph comes about.
//!
//! Nodes come in the order of falling norms, each finds its best partners among those before it, and every pair is
//! linked both ways. Distances are sums of whole numbers, so the same vectors give the same graph on every machine.

use super::{
    GraphParams,
    walk::{Links, Neighbours, Scratch},
};
use crate::linalg::{
    self,
    int8::{Codes, QueryCodes},
};

/// Links every row of `codes` to rows that score well with it. Costs about `n · ef_construction · max_neighbours`
/// inner products.
pub(super) fn build(codes: &Codes, params: &GraphParams) -> Links {
    let n = codes.n_rows();
    let mut builder = Builder {
        codes,
        params,
        links: Growing::new(n, params.max_neighbours),
        between: vec![0.0; params.max_neighbours],
        inverse_norms: Vec::with_capacity(n),
        query: QueryCodes::default(),
        kept: Vec::new(),
        candidates: Vec::new(),
    };
    let mut scratch = Scratch::default();
    for node in 0..u32::try_from(n).expect("the caller checked the number of rows") {
        builder.insert(node, &mut scratch);
    }
    builder.links.freeze()
}

/// The links while nodes are inserted: every node has room for as many as it may have.
struct Growing {
    neighbours: Vec<u32>,
    /// Of every link, beside it: the inner product of the two nodes.
    scores: Vec<f32>,
    degrees: Vec<u8>,
    max_neighbours: usize,
}

impl Growing {
    fn new(n: usize, max_neighbours: usize) -> Self {
        let n_places = n * max_neighbours;
        Self {
            neighbours: vec![0; n_places],
            scores: vec![0.0; n_places],
            degrees: vec![0; n],
            max_neighbours,
        }
    }

    fn range(&self, node: u32) -> std::ops::Range<usize> {
        let first = node as usize * self.max_neighbours;
        first..first + usize::from(self.degrees[node as usize])
    }

    fn partners(&self, node: u32) -> impl Iterator<Item = Partner> + '_ {
        let range = self.range(node);
        let scores = &self.scores[range.clone()];
        self.neighbours[range].iter().zip(scores).map(|(&node, &score)| Partner { node, score })
    }

    /// The neighbours of `node` are these now; at most [`max_neighbours`](Self::max_neighbours).
    fn replace(&mut self, node: u32, partners: &[Partner]) {
        self.degrees[node as usize] = 0;
        partners.iter().for_each(|&partner| self.push(node, partner));
    }

    fn push(&mut self, node: u32, partner: Partner) {
        let place = self.range(node).end;
        self.neighbours[place] = partner.node;
        self.scores[place] = partner.score;
        self.degrees[node as usize] += 1;
    }

    fn freeze(self) -> Links {
        let nodes = 0..u32::try_from(self.degrees.len()).expect("the caller checked the number of nodes");
        let neighbours = nodes.flat_map(|node| self.of(node)).copied().collect();
        Links::new(&self.degrees, neighbours)
    }
}

impl Neighbours for Growing {
    fn of(&self, node: u32) -> &[u32] {
        &self.neighbours[self.range(node)]
    }

    fn prefetch(&self, node: u32) {
        linalg::prefetch(&self.neighbours, self.range(node).start);
    }
}

/// A node and its inner product with the one that is worked on.
#[derive(Clone, Copy)]
struct Partner {
    node: u32,
    score: f32,
}

struct Builder<'a> {
    codes: &'a Codes,
    params: &'a GraphParams,
    links: Growing,
    /// `1/‖x‖`, 0 for zeros.
    inverse_norms: Vec<f32>,
    query: QueryCodes,
    between: Vec<f32>,
    /// Best first.
    candidates: Vec<Partner>,
    /// Those that [`diverse`](Self::diverse) took.
    kept: Vec<Partner>,
}

impl Builder<'_> {
    fn insert(&mut self, node: u32, scratch: &mut Scratch) {
        scratch.query.set_row(self.codes, node as usize);
        let mut squared_norm = [0.0];
        self.codes.score_rows(&scratch.query, &[node], &mut squared_norm);
        let norm = squared_norm[0].sqrt();
        self.inverse_norms.push(if norm > 0.0 { norm.recip() } else { 0.0 });

        scratch.walk(&self.links, self.codes, node as usize, self.params.n_hubs, self.params.ef_construction);
        self.candidates.clear();
        self.candidates.extend(scratch.found().map(|(node, score)| Partner { node, score }));
        self.diverse(node);
        self.links.replace(node, &self.kept);
        let own: Vec<Partner> = self.links.partners(node).collect();
        for Partner { node: other, score } in own {
            self.link_back(other, Partner { node, score });
        }
    }

    /// Adds a link; when there is no place left, the diverse ones of all are kept.
    fn link_back(&mut self, node: u32, new: Partner) {
        if self.links.of(node).len() < self.params.max_neighbours {
            self.links.push(node, new);
            return;
        }
        self.candidates.clear();
        self.candidates.extend(self.links.partners(node));
        self.candidates.push(new);
        self.candidates.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.node.cmp(&b.node)));
        self.diverse(node);
        self.links.replace(node, &self.kept);
    }

    /// Keeps, from the best on, each candidate whose angle to the node is smaller than to all that were kept before.
    ///
    /// The usual rule compares distances, here inner products. Then everything lies nearer to one long vector than to
    /// its own node, and next to nothing is kept: on 100,000 × 64 with log-normal norms 4.4 links a node, and a recall
    /// at 100 of 0.80 where angles give 17 and 0.95, at `ef` 200. Candidates still come by inner product.
    fn diverse(&mut self, node: u32) {
        self.kept.clear();
        let mut kept_nodes = [0; MAX_NEIGHBOURS];
        let inverse_norm = self.inverse_norms[node as usize];
        for &candidate in &self.candidates {
            let n_kept = self.kept.len();
            if n_kept == self.params.max_neighbours {
                break;
            }
            let between = &mut self.between[..n_kept];
            self.query.set_row(self.codes, candidate.node as usize);
            self.codes.score_rows(&self.query, &kept_nodes[..n_kept], between);
            let cosine = candidate.score * inverse_norm;
            let is_nearest = between
                .iter()
                .zip(&kept_nodes)
                .all(|(between, &kept)| cosine > between * self.inverse_norms[kept as usize]);
            if is_nearest {
                kept_nodes[n_kept] = candidate.node;
                self.kept.push(candidate);
            }
        }
    }
}

/// Most links of a node.
pub(super) const MAX_NEIGHBOURS: usize = 64;
