//! implicit and scipy, in a Python of their own.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use ndarray::Array2;
use serde::Deserialize;
use serde_json::{Value, json};
use waggle_jobs::fit::Interactions;
use waggle_model::UserId;
use waggle_models::{ItemScorer, Query, RecommendError, linalg::dot_rows};

use crate::bench::python::{Peer, Program};

const PROGRAM: Program = Program {
    name: "training_peers.py",
    source: include_str!("peers.py"),
    packages: &["numpy", "scipy", "implicit"],
    modules: &["numpy", "scipy", "implicit"],
};

/// Both peers over the pairs of one folder.
pub(super) struct Peers {
    peer: Peer,
    folder: PathBuf,
    n_users: usize,
    n_items: usize,
}

/// What a peer says of one fit.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Fitted {
    pub(super) fit_s: f64,
    pub(super) version: String,
}

impl Peers {
    /// Writes the pairs and starts the peers over them.
    ///
    /// # Errors
    /// As [`Peer::start`], or if the pairs cannot be written.
    pub(super) fn start(home: &Path, set: &str, train: &Interactions) -> Result<Self> {
        let folder = home.join(set);
        std::fs::create_dir_all(&folder)?;
        let rows = (0..train.n_users()).map(|user| train.items(user));
        let mut end = 0_i64;
        let ends = rows.clone().map(|items| {
            end += items.len() as i64;
            end
        });
        let indptr: Vec<u8> = std::iter::once(0).chain(ends).flat_map(i64::to_le_bytes).collect();
        std::fs::write(folder.join("indptr.i64"), indptr)?;
        let items: Vec<u8> = rows.flatten().flat_map(|item| item.0.to_le_bytes()).collect();
        std::fs::write(folder.join("items.i32"), items)?;
        let n_threads = rayon::current_num_threads();
        let args =
            [folder.as_os_str().to_owned(), train.n_items().to_string().into(), n_threads.to_string().into()];
        let peer = Peer::start(home, &PROGRAM, args, n_threads)?;
        Ok(Self { peer, folder, n_users: train.n_users(), n_items: train.n_items() })
    }

    /// `implicit`, with its factors.
    pub(super) fn ials(&mut self, n_factors: usize, n_iterations: usize, settings: &Value) -> Result<Fitted> {
        let mut question = json!({ "do": "ials", "factors": n_factors, "iterations": n_iterations });
        for (name, value) in settings.as_object().context("settings are an object")? {
            question[name] = value.clone();
        }
        self.peer.ask(&question)
    }

    /// What the last fit of [`ials`](Self::ials) found.
    pub(super) fn factors(&self, n_factors: usize) -> Result<PeerFactors> {
        let read = |name: &str, n_rows: usize| -> Result<Array2<f32>> {
            let bytes = std::fs::read(self.folder.join(name))?;
            let floats: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
            ensure!(floats.len() == n_rows * n_factors, "{name} is not {n_rows} × {n_factors}");
            Ok(Array2::from_shape_vec((n_rows, n_factors), floats)?)
        };
        Ok(PeerFactors { users: read("users.f32", self.n_users)?, items: read("items.f32", self.n_items)? })
    }

    /// `spotrf` and `spotri` of the first `n` items' Gram matrix.
    pub(super) fn inverse(&mut self, n: usize) -> Result<Fitted> {
        self.peer.ask(&json!({ "do": "inverse", "n": n }))
    }
}

/// Users and items as a peer learned them. Asked about users by the number of their row, which is their name.
pub(super) struct PeerFactors {
    users: Array2<f32>,
    items: Array2<f32>,
}

impl ItemScorer for PeerFactors {
    fn name(&self) -> &str {
        "implicit"
    }

    fn n_items(&self) -> usize {
        self.items.nrows()
    }

    fn score_items(&self, query: &Query<'_>, scores: &mut [f32]) -> Result<(), RecommendError> {
        let user = query.person.and_then(|person| person.user_id.as_ref()).map(UserId::as_str);
        let row = user.and_then(|id| id.parse().ok()).filter(|row: &usize| *row < self.users.nrows());
        let row = row.ok_or_else(|| RecommendError::Failed(format!("there is no user {user:?}")))?;
        let user = self.users.row(row);
        let items = self.items.as_slice().expect("read in standard layout");
        dot_rows(items, user.as_slice().expect("read in standard layout"), scores);
        Ok(())
    }
}
