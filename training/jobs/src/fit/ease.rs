//! Dense item weights in closed form: one inverse of all pairs.

use ndarray::{Array2, Axis, parallel::prelude::*};
use serde::{Deserialize, Serialize};
use waggle_models::{ItemWeights, LinearAutoencoder, LinearScoring};

use super::{
    FitError, Interactions,
    gram::{Gram, Histories, Order},
    inverse::{NotPositiveDefinite, invert},
    param,
    slim::{check_penalty, penalties},
};

/// Settings of [`fit_ease`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EaseParams {
    /// `λ`.
    pub l2: f32,
    /// `p`: share of every history that is dropped from what explains, not from what is explained. 0 is EASE.
    pub dropout: f32,
    /// `ξ`: an item may be explained by itself up to this, which does not count in the scores. 0 forbids it.
    pub diagonal: f32,
    /// `η`: a history of `n` items speaks with weight `n^−η`.
    pub history_exponent: f32,
    /// Of longer histories only the most recent items are used.
    pub max_history: usize,
    /// The matrix of all pairs may take so much; `None`: what the machine has to give.
    pub max_memory_mib: Option<u64>,
    /// How the model will weigh a person's history.
    pub scoring: LinearScoring,
}

impl Default for EaseParams {
    fn default() -> Self {
        Self {
            l2: 100.0,
            dropout: 0.0,
            diagonal: 0.0,
            history_exponent: 0.0,
            max_history: 1000,
            max_memory_mib: None,
            scoring: LinearScoring::default(),
        }
    }
}

/// Every item as a weighted sum of all others:
///
/// `B_ij = −C_ij (γ_j + μ_j)`, `C = (G + diag γ)⁻¹`, `γ_j = λ + p/(1 − p)·G_jj`, `B_jj` dropped;
/// `μ_j = max(0, (1 − ξ)/C_jj − γ_j)` where `1 − γ_j C_jj > ξ`, else 0.
///
/// With `ξ = 0` that is `B_ij = −C_ij/C_jj`: EASE without dropout (Steck, "Embarrassingly shallow autoencoders for sparse
/// data", WWW 2019, equation 8) and EDLAE with it (Steck, `NeurIPS` 2020, section 2.3). With `ξ > 0` it is RLAE and RDLAE
/// (Moon et al., "It's enough: relaxing diagonal constraints in linear autoencoders for recommendation", SIGIR 2023,
/// section 3).
///
/// Costs `n_items³/2` multiply-adds and one matrix of `n_items²` floats.
///
/// # Errors
/// [`FitError`] for an empty set, settings out of range, too little memory, or a system that cannot be solved.
pub fn fit_ease(interactions: &Interactions, params: &EaseParams) -> Result<LinearAutoencoder, FitError> {
    params.validate()?;
    if interactions.is_empty() {
        return Err(FitError::NoInteractions);
    }
    check_memory(interactions.n_items(), params.max_memory_mib)?;
    let gram = Gram::new(Order::AsGiven, interactions, &params.histories());
    let mut weights = gram.to_dense();
    let penalties = penalties(&gram.diagonal(), params.l2, params.dropout);
    for (element, penalty) in weights.diag_mut().iter_mut().zip(&penalties) {
        *element += penalty;
    }
    invert(&mut weights).map_err(|NotPositiveDefinite { row }| FitError::Singular { item: row })?;
    weigh(&mut weights, &penalties, params.diagonal);
    Ok(LinearAutoencoder::try_new(params.name(), ItemWeights::Dense(weights), params.scoring.clone())?)
}

/// Turns `C` into `B`.
fn weigh(c: &mut Array2<f32>, penalties: &[f32], diagonal: f32) {
    let scales: Vec<f32> = c
        .diag()
        .iter()
        .zip(penalties)
        .map(|(own, penalty)| {
            let relaxed = if 1.0 - penalty * own > diagonal {
                ((1.0 - diagonal) / own - penalty).max(0.0)
            } else {
                0.0
            };
            -(penalty + relaxed)
        })
        .collect();
    c.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(row, mut weights)| {
        for (weight, scale) in weights.iter_mut().zip(&scales) {
            *weight *= scale;
        }
        weights[row] = 0.0;
    });
}

fn check_memory(n_items: usize, max_memory_mib: Option<u64>) -> Result<(), FitError> {
    let Some(available_mib) = max_memory_mib.or_else(available_mib) else { return Ok(()) };
    let needed_mib = ((n_items as u64).pow(2) * 4) >> 20;
    if needed_mib > available_mib {
        Err(FitError::Memory { n_items, needed_mib, available_mib })
    } else {
        Ok(())
    }
}

/// As the kernel of Linux estimates it; `None` elsewhere.
fn available_mib() -> Option<u64> {
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = info.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib >> 10)
}

impl EaseParams {
    fn name(&self) -> &'static str {
        match (self.dropout > 0.0, self.diagonal > 0.0) {
            (false, false) => "ease",
            (true, false) => "edlae",
            (false, true) => "rlae",
            (true, true) => "rdlae",
        }
    }

    fn validate(&self) -> Result<(), FitError> {
        check_penalty(self.l2, self.dropout)?;
        param(
            (0.0..1.0).contains(&self.diagonal),
            "diagonal",
            self.diagonal.into(),
            "from 0 to less than 1",
        )?;
        self.histories().validate()
    }

    fn histories(&self) -> Histories {
        Histories { exponent: self.history_exponent, max_len: self.max_history, sequence: None }
    }
}
