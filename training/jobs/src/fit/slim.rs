//! Sparse item weights by one small ridge regression per item.

use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use waggle_model::ItemIdx;
use waggle_models::{
    ItemWeights, LinearAutoencoder, LinearScoring, SparseWeights,
    linalg::{self, padded},
};

use super::{
    FitError, Interactions,
    gram::{Gram, GramRow, Histories, Order, Pairs, SequenceParams},
    param,
};

/// Settings of [`fit_slim`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SlimParams {
    /// `K`: an item is explained by so many others at most.
    pub n_candidates: usize,
    /// `δ`: candidates are those of greatest `G_ij/G_ii^δ`; ½ orders as the cosine does.
    pub candidate_exponent: f32,
    /// `λ`.
    pub l2: f32,
    /// `p`: share of every history that is dropped from what explains, not from what is explained.
    pub dropout: f32,
    /// `η`: a history of `n` items speaks with weight `n^−η`.
    pub history_exponent: f32,
    /// Of longer histories only the most recent items are used.
    pub max_history: usize,
    /// `None`: the order of a history does not matter.
    pub sequence: Option<SequenceParams>,
    /// How the model will weigh a person's history.
    pub scoring: LinearScoring,
}

impl Default for SlimParams {
    fn default() -> Self {
        Self {
            n_candidates: 100,
            candidate_exponent: 0.5,
            l2: 60.0,
            dropout: 0.5,
            history_exponent: 0.0,
            max_history: 1000,
            sequence: None,
            scoring: LinearScoring::default(),
        }
    }
}

/// Every item as a weighted sum of the items that it is most often seen with, by ridge regression under dropout:
///
/// `B_Kj = (G_KK + Γ_KK)⁻¹ G_Kj`, `γ_i = λ + p/(1 − p)·G_ii`, `K` the candidates of item `j`.
///
/// With a [`sequence`](SlimParams::sequence) it explains what came next, too, by what came before, as SLIST does (Choi et al.,
/// "Session-aware linear item-item models for session-based recommendation", WWW 2021, section 4.3); where we depart,
/// only the next item is to be explained, not all later ones, as in TALE (Park et al., WSDM 2025).
///
/// SLIM with feature selection (Ning and Karypis, "SLIM", ICDM 2011, section IV-D), with a ridge in place of the elastic
/// net and the penalty that dropout comes to (Steck, "Autoencoders that don't overfit towards the identity", `NeurIPS`
/// 2020, section 2.3: EDLAE). `B_jj = 0` as `j` is no candidate of itself. With all other items for candidates, those
/// never seen together included, it would be EDLAE, and EASE with `p = 0`; with few it needs no matrix of all pairs.
///
/// Costs `O(Σ_u |H_u|² + n_items·K²(K/6 + log n_items))`; memory is that of the pairs seen together plus
/// `n_items·K` weights.
///
/// # Errors
/// [`FitError`] for an empty set, settings out of range or a system that cannot be solved.
pub fn fit_slim(
    interactions: &Interactions,
    params: &SlimParams,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<LinearAutoencoder, FitError> {
    params.validate()?;
    if interactions.is_empty() {
        return Err(FitError::NoInteractions);
    }
    let gram = Gram::new(Order::ByFrequency, interactions, &params.histories());
    let diagonal = gram.diagonal();
    let fit = Fit {
        pairs: gram.pairs(),
        penalties: penalties(&diagonal, params.l2, params.dropout),
        frequent: diagonal.iter().map(|g| g.powf(params.candidate_exponent)).collect(),
        diagonal,
        gram: &gram,
        n_candidates: params.n_candidates,
    };
    let n_items = gram.n_items();
    let done = AtomicUsize::new(0);
    let explain = |memory: &mut Memory, rank| {
        let explained = fit.explain(rank, memory);
        let n_done = done.fetch_add(1, Ordering::Relaxed) + 1;
        if n_done.is_multiple_of(PROGRESS_EVERY) || n_done == n_items {
            progress(n_done, n_items);
        }
        explained
    };
    let explained: Vec<Vec<(u32, f32)>> = (0..n_items)
        .into_par_iter()
        .with_min_len(16)
        .map_init(|| Memory::new(n_items), explain)
        .collect::<Result<_, _>>()?;
    let weights = ItemWeights::Sparse(by_source(&gram, explained)?);
    Ok(LinearAutoencoder::try_new(params.name(), weights, params.scoring.clone())?)
}

const PROGRESS_EVERY: usize = 1_024;

/// `γ_i = λ + p/(1 − p)·G_ii`.
pub(super) fn penalties(diagonal: &[f32], l2: f32, dropout: f32) -> Vec<f32> {
    let odds = dropout / (1.0 - dropout);
    diagonal.iter().map(|g| l2 + odds * g).collect()
}

struct Fit<'a> {
    gram: &'a Gram,
    pairs: Pairs,
    /// `G_ii`.
    diagonal: Vec<f32>,
    /// `γ_i`.
    penalties: Vec<f32>,
    /// `G_ii^δ`.
    frequent: Vec<f32>,
    n_candidates: usize,
}

struct Memory {
    row: GramRow,
    system: Vec<f32>,
    solution: Vec<f32>,
}

impl Memory {
    fn new(n_items: usize) -> Self {
        Self { row: GramRow::new(n_items), system: Vec::new(), solution: Vec::new() }
    }
}

impl Fit<'_> {
    /// Ranks of the candidates, ascending, and their weights.
    fn explain(&self, rank: usize, memory: &mut Memory) -> Result<Vec<(u32, f32)>, FitError> {
        let Memory { row, system, solution } = memory;
        self.gram.explaining_row(rank, row);
        let candidates = self.candidates(rank, row);
        let n = candidates.len();
        let stride = padded(n);
        system.clear();
        system.resize(stride * stride, 0.0);
        self.pairs.gather(&candidates, stride, system);
        solution.clear();
        solution.resize(stride, 0.0);
        for (at, &candidate) in candidates.iter().enumerate() {
            let candidate = candidate as usize;
            system[at * stride + at] = self.diagonal[candidate] + self.penalties[candidate];
            solution[at] = row.values[candidate];
        }
        linalg::cholesky(system, n, stride)
            .map_err(|_| FitError::Singular { item: self.gram.row_of(rank).row() })?;
        linalg::cholesky_solve(system, n, stride, solution);
        Ok(candidates.into_iter().zip(solution.iter().copied()).collect())
    }

    fn candidates(&self, rank: usize, row: &GramRow) -> Vec<u32> {
        let mut candidates: Vec<u32> =
            row.touched.iter().copied().filter(|other| *other as usize != rank).collect();
        if candidates.len() > self.n_candidates {
            let strength = |rank: u32| row.values[rank as usize] / self.frequent[rank as usize];
            candidates.select_nth_unstable_by(self.n_candidates - 1, |&a, &b| {
                strength(b).total_cmp(&strength(a)).then(a.cmp(&b))
            });
            candidates.truncate(self.n_candidates);
        }
        candidates.sort_unstable();
        candidates
    }
}

/// What explains an item, turned into what an item explains, in the rows that the interactions came with.
fn by_source(gram: &Gram, explained: Vec<Vec<(u32, f32)>>) -> Result<SparseWeights, FitError> {
    let n_items = gram.n_items();
    let mut rows: Vec<Vec<(ItemIdx, f32)>> = vec![Vec::new(); n_items];
    for (target, sources) in explained.into_iter().enumerate() {
        for (source, weight) in sources {
            if weight != 0.0 {
                rows[gram.row_of(source as usize).row()].push((gram.row_of(target), weight));
            }
        }
    }
    rows.par_iter_mut().for_each(|row| row.sort_unstable_by_key(|(target, _)| *target));
    let mut indptr = Vec::with_capacity(n_items + 1);
    indptr.push(0);
    for row in &rows {
        indptr.push(indptr[indptr.len() - 1] + row.len());
    }
    let (targets, weights) = rows.into_iter().flatten().unzip();
    Ok(SparseWeights::try_new(indptr, targets, weights)?)
}

impl SlimParams {
    fn name(&self) -> &'static str {
        if self.sequence.is_some() { "slim-sequence" } else { "slim" }
    }

    fn histories(&self) -> Histories {
        Histories {
            exponent: self.history_exponent,
            max_len: self.max_history,
            sequence: self.sequence.clone(),
        }
    }

    fn validate(&self) -> Result<(), FitError> {
        let Self { n_candidates, candidate_exponent, .. } = *self;
        param((1..=4_096).contains(&n_candidates), "n_candidates", n_candidates as f64, "from 1 to 4096")?;
        param(
            (0.0..=2.0).contains(&candidate_exponent),
            "candidate_exponent",
            candidate_exponent.into(),
            "from 0 to 2",
        )?;
        check_penalty(self.l2, self.dropout)?;
        self.histories().validate()
    }
}

pub(super) fn check_penalty(l2: f32, dropout: f32) -> Result<(), FitError> {
    param(l2.is_finite() && l2 > 0.0, "l2", l2.into(), "finite and greater than 0")?;
    param((0.0..1.0).contains(&dropout), "dropout", dropout.into(), "from 0 to less than 1")
}
