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

/// Freed memory goes back to the system after this many milliseconds. By default it is a second, in which a million items
/// being loaded leave gaps that nothing fills again.
const PURGE_DELAY_MS: std::ffi::c_long = 10;

fn set_up_allocator() {
    /// `mi_option_purge_delay` of `mimalloc.h`, which the crate has no name for.
    const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
    #[expect(unsafe_code, reason = "the allocator has no safe interface for its options")]
    // SAFETY: sets a number of the allocator's own, before any other thread starts.
    unsafe {
        libmimalloc_sys::mi_option_set(PURGE_DELAY, PURGE_DELAY_MS);
    }
}

/// Exit codes: 0 done, 1 failed, 2 called wrongly (clap's own code, too).
fn main() -> ExitCode {
    set_up_allocator();
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
