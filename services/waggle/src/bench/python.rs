//! Peers that are Python packages: installed into an environment of their own, and asked line by line.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use serde::de::DeserializeOwned;

use crate::progress::say;

/// What a peer needs to run.
pub(super) struct Program {
    /// Of the file, and for messages.
    pub(super) name: &'static str,
    pub(super) source: &'static str,
    /// As pip names them.
    pub(super) packages: &'static [&'static str],
    /// As Python imports them.
    pub(super) modules: &'static [&'static str],
}

/// A program that answers every line of JSON with one.
pub(super) struct Peer {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts it; `home` is where the Python environment lies, or is made.
    ///
    /// # Errors
    /// If there is no Python, or the packages cannot be installed.
    pub(super) fn start<A: AsRef<OsStr>>(
        home: &Path,
        program: &Program,
        args: impl IntoIterator<Item = A>,
        n_threads: usize,
    ) -> Result<Self> {
        let python = environment(home, program)?;
        let file = home.join(program.name);
        std::fs::write(&file, program.source)?;
        let mut command = Command::new(python);
        command.arg(file).args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
        for variable in ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"] {
            command.env(variable, n_threads.to_string());
        }
        let mut child = command.spawn().with_context(|| format!("{} cannot be started", program.name))?;
        let to = child.stdin.take().context("the peer has no standard input")?;
        let from = BufReader::new(child.stdout.take().context("the peer has no standard output")?);
        Ok(Self { child, to, from })
    }

    /// # Errors
    /// What the program says has failed, or that it is gone.
    pub(super) fn ask<T: DeserializeOwned>(&mut self, question: &serde_json::Value) -> Result<T> {
        writeln!(self.to, "{question}").context("the peer is gone")?;
        let mut line = String::new();
        self.from.read_line(&mut line)?;
        let answer: serde_json::Value = match serde_json::from_str(&line) {
            Ok(answer) => answer,
            Err(_) => bail!("the peer ended without an answer ({})", self.child.wait()?),
        };
        if let Some(error) = answer.get("error") {
            bail!("{error}");
        }
        Ok(serde_json::from_value(answer)?)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The Python with the packages, made in `home` if it is not there.
fn environment(home: &Path, program: &Program) -> Result<PathBuf> {
    let venv = home.join("venv");
    let python = venv.join("bin/python");
    let import = format!("import {}", program.modules.join(", "));
    let has_packages =
        || Command::new(&python).args(["-c", &import]).output().is_ok_and(|output| output.status.success());
    if has_packages() {
        return Ok(python);
    }
    say(&format!("  installing {} with pip into {}", program.packages.join(", "), venv.display()));
    std::fs::create_dir_all(home).with_context(|| format!("cannot make the folder {}", home.display()))?;
    run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(program.packages))?;
    ensure!(has_packages(), "what pip installed cannot be imported");
    Ok(python)
}

fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("{program} cannot be run"))?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} failed: {}", error.trim().lines().last().unwrap_or_default());
    Ok(())
}
