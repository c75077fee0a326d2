//! hnswlib and faiss-cpu, in a Python of their own that answers line by line.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::json;
use waggle_model::{ItemIdx, Scored};

use crate::progress::say;

pub(super) const NAMES: [&str; 2] = ["hnswlib", "faiss"];

const PROGRAM: &str = include_str!("peers.py");
const PACKAGES: [&str; 3] = ["numpy", "hnswlib", "faiss-cpu"];

/// Both peers over the vectors of one folder.
pub(super) struct Peers {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
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
    /// Starts them over the arrays in `folder`; `home` is where the Python environment lies, or is made.
    ///
    /// # Errors
    /// If there is no Python, or the packages cannot be installed.
    pub(super) fn start(home: &Path, folder: &Path, width: usize) -> Result<Self> {
        let python = environment(home)?;
        let program = home.join("peers.py");
        std::fs::write(&program, PROGRAM)?;
        let mut child = Command::new(python)
            .arg(program)
            .arg(folder)
            .arg(width.to_string())
            .env("OMP_NUM_THREADS", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("the peers' program cannot be started")?;
        let to = child.stdin.take().context("the peers have no standard input")?;
        let from = BufReader::new(child.stdout.take().context("the peers have no standard output")?);
        Ok(Self { child, to, from, folder: folder.to_owned() })
    }

    /// Builds or loads the index of one of [`NAMES`].
    pub(super) fn prepare(&mut self, name: &str) -> Result<Built> {
        self.ask(&json!({ "engine": name }))
    }

    /// All queries, one after the other: the seconds they took.
    pub(super) fn search(&mut self, name: &str, k: usize, ef: usize) -> Result<f64> {
        let searched: Searched = self.ask(&json!({ "engine": name, "k": k, "ef": ef }))?;
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

    fn ask<T: serde::de::DeserializeOwned>(&mut self, question: &serde_json::Value) -> Result<T> {
        writeln!(self.to, "{question}").context("the peers are gone")?;
        let mut line = String::new();
        self.from.read_line(&mut line)?;
        let answer: serde_json::Value =
            serde_json::from_str(&line).context("the peers ended without an answer")?;
        if let Some(error) = answer.get("error") {
            bail!("{error}");
        }
        Ok(serde_json::from_value(answer)?)
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        // It may have ended by itself already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The Python with the packages, made in `home` if it is not there.
fn environment(home: &Path) -> Result<PathBuf> {
    let venv = home.join("venv");
    let python = venv.join("bin/python");
    let has_packages = |python: &Path| {
        Command::new(python)
            .args(["-c", "import faiss, hnswlib, numpy"])
            .output()
            .is_ok_and(|o| o.status.success())
    };
    if has_packages(&python) {
        return Ok(python);
    }
    say(&format!("  installing {} with pip into {}", PACKAGES.join(", "), venv.display()));
    run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(PACKAGES))?;
    ensure!(has_packages(&python), "what pip installed cannot be imported");
    Ok(python)
}

fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("{program} cannot be run"))?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} failed: {}", error.trim().lines().last().unwrap_or_default());
    Ok(())
}
