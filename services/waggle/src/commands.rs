//! One file per command.

mod bench;
mod data;
mod dead_letters;
mod demo;
mod doctor;
mod evaluate;
mod export;
mod import;
mod models;
mod public_data;
mod replay;
#[cfg(test)]
mod round_trip;
mod serve;
mod source;
mod train;

use std::io::IsTerminal as _;

use anyhow::Result;
use tracing_subscriber::EnvFilter;

use crate::{
    cli::{Cli, Command, UsageError},
    config::Config,
    progress::print,
};

/// Runs what the command line asks for.
///
/// # Errors
/// [`UsageError`] for exit code 2, anything else for exit code 1.
pub(crate) async fn run(cli: Cli) -> Result<()> {
    log_to_stderr(&cli.global.log)?;
    let config = Config::load(&cli.global)?;
    match cli.command {
        Command::Demo(args) => demo::run(config, &cli.global, &args).await,
        Command::Serve(args) => serve::run(config, &args).await,
        Command::Train(args) => train::run(config, &args).await,
        Command::Import(command) => import::run(&config, command).await,
        Command::Export(command) => export::run(&config, command).await,
        Command::Evaluate(args) => evaluate::run(config, &cli.global, &args).await,
        Command::Tune(args) => public_data::tune(&args).await,
        Command::Models(command) => models::run(&config, command).await,
        Command::DeadLetters(command) => dead_letters::run(&config, command).await,
        Command::Data(command) => data::run(&config, &cli.global, command).await,
        Command::Replay(args) => replay::run(&config, &args).await,
        Command::Doctor { json } => doctor::run(&config, json).await,
        Command::Bench(command) => bench::run(&config, &cli.global, command).await,
        Command::Config => {
            print(toml::to_string_pretty(&config)?.trim_end());
            Ok(())
        }
    }
}

fn log_to_stderr(filter: &str) -> Result<()> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|e| UsageError(format!("--log \"{filter}\" is not a filter: {e}")))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Colours are for terminals (which NO_COLOR turns off by itself), not for files.
    if std::io::stderr().is_terminal() {
        log.init();
    } else {
        log.with_ansi(false).init();
    }
    Ok(())
}

/// Completes when the process is asked to stop: Ctrl-C, or SIGTERM from a supervisor.
async fn stop_requested() -> Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            outcome = tokio::signal::ctrl_c() => outcome?,
            _ = terminate.recv() => {}
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await?;
    Ok(())
}
