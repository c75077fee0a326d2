//! Programs of others that our benchmarks measure beside ours, built as their authors published them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{tools, workspace, workspace::Workspace};

/// Serenade as it is on crates.io, with the dependencies of its own lock file.
const SERENADE: [&str; 3] = ["serenade", "--version", "0.3.1"];
/// Its bindings of `RocksDB` are made by a bindgen that does not understand newer ones.
const LIBCLANG: &str = "libclang==14.0.6\n";

/// Builds Serenade under `target/peers`, once; gives its program.
///
/// # Errors
/// Names what is missing.
pub(crate) fn serenade(workspace: &Workspace) -> Result<PathBuf> {
    let home = workspace.target.join("peers");
    let program = home.join("bin/serving");
    if program.exists() {
        return Ok(program);
    }
    fs::create_dir_all(&home)?;
    let requirements = home.join("requirements.txt");
    fs::write(&requirements, LIBCLANG)?;
    let programs = tools::python_environment(&home.join("python"), &requirements)?;
    let headers = output(Command::new("gcc").arg("-print-file-name=include"))?;
    let mut install = workspace.cargo();
    install.args(["install", "--locked", "--bin", "serving", "--root"]).arg(&home).args(SERENADE);
    install.arg("--target-dir").arg(home.join("target"));
    install
        .env("LIBCLANG_PATH", libclang(&programs)?)
        .env("BINDGEN_EXTRA_CLANG_ARGS", format!("-I{headers}"));
    workspace::run(&mut install)?;
    Ok(program)
}

/// The folder of the shared library that pip installed.
fn libclang(programs: &Path) -> Result<String> {
    let code = "import clang, os; print(os.path.join(os.path.dirname(clang.__file__), 'native'))";
    output(Command::new(programs.join("python")).args(["-c", code]))
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?} cannot be started"))?;
    anyhow::ensure!(output.status.success(), "{command:?} failed: {}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
