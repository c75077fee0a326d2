//! `waggle`: the one binary. It reads the command line and the configuration, wires the roles, and runs them.
//!
//! - [`cli`]: every command and flag. [`config`]: `waggle.toml`, variables, flags.
//! - [`stores`]: the stores that the configuration names. [`roles`]: each role over the stores it needs. [`process`]: tasks,
//!   listener, starting and stopping. [`system`]: all roles in one process. [`dir`]: the folder of the embedded default.
//! - [`import`]: datasets and files through ingest into the log. [`replay`]: the log folded once more. [`training`]: archive →
//!   snapshot. [`snapshots`]: publishing and
//!   loading them. [`evaluation`]: the running system as one more recommender.
//! - [`commands`]: one file per command; what each does, top-down.

mod bench;
mod cli;
mod commands;
mod config;
mod dir;
mod doctor;
mod evaluation;
mod import;
mod process;
mod progress;
mod replay;
mod roles;
mod secret;
mod snapshots;
mod stores;
mod system;
mod training;

use std::process::ExitCode;

use clap::Parser;

use cli::Cli;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exit codes: 0 done, 1 failed, 2 called wrongly (clap's own code, too).
fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return failed(&anyhow::Error::new(e).context("the async runtime cannot start")),
    };
    match runtime.block_on(commands::run(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => match e.downcast_ref::<cli::UsageError>() {
            Some(usage) => {
                report(&format!("error: {usage}\n\nFor more information, try '--help'."));
                ExitCode::from(2)
            }
            None => failed(&e),
        },
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    report(&format!("error: {}", secret::masked(&format!("{error:#}"))));
    ExitCode::FAILURE
}

#[expect(clippy::print_stderr, reason = "a command line tool reports its failure on standard error")]
fn report(text: &str) {
    eprintln!("{text}");
}
