//! hnswlib and faiss-cpu, in a Python of their own.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Deserialize;
use serde_json::json;
use waggle_model::{ItemIdx, Scored};

use crate::bench::python::{Peer, Program};

pub(super) const NAMES: [&str; 2] = ["hnswlib", "faiss"];

const PROGRAM: Program = Program {
    name: "peers.py",
    source: include_str!("peers.py"),
    packages: &["numpy", "hnswlib", "faiss-cpu"],
    modules: &["numpy", "hnswlib", "faiss"],
};

/// Both peers over the vectors of one folder.
pub(super) struct Peers {
    peer: Peer,
    folder: PathBuf,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Built {
    pub(super) build_s: f64,
    pub(super) bytes: u64,
}

#[derive(Deserialize)]
struct Searched {
    took_s: f64,
}

impl Peers {
    /// Starts them over the arrays in `folder`.
    ///
    /// # Errors
    /// As [`Peer::start`].
    pub(super) fn start(home: &Path, folder: &Path, width: usize) -> Result<Self> {
        let args = [folder.as_os_str().to_owned(), width.to_string().into()];
        Ok(Self { peer: Peer::start(home, &PROGRAM, args, 1)?, folder: folder.to_owned() })
    }

    /// Builds or loads the index of one of [`NAMES`].
    pub(super) fn prepare(&mut self, name: &str) -> Result<Built> {
        self.peer.ask(&json!({ "engine": name }))
    }

    /// All queries, one after the other: the seconds they took.
    pub(super) fn search(&mut self, name: &str, k: usize, ef: usize) -> Result<f64> {
        let searched: Searched = self.peer.ask(&json!({ "engine": name, "k": k, "ef": ef }))?;
        Ok(searched.took_s)
    }

    /// What the last search found, `k` items per query.
    pub(super) fn found(&self, k: usize) -> Result<Vec<Vec<Scored>>> {
        let bytes = std::fs::read(self.folder.join("found.i32"))?;
        // Where an index finds too few it says −1, which is no row.
        let rows = bytes.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes));
        let scored: Vec<Scored> = rows.map(|row| Scored { item: ItemIdx(row), score: 0.0 }).collect();
        Ok(scored.chunks(k).map(<[Scored]>::to_vec).collect())
    }
}
