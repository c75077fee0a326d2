//! The load generator's command line.

use std::process::ExitCode;

use clap::Parser;
use load_tests::{Cli, Command, run_scenario};

fn main() -> ExitCode {
    let Command::Run(args) = Cli::parse().command;
    match run_scenario(args) {
        Ok(report) => {
            report.print();
            if report.is_good() { ExitCode::SUCCESS } else { ExitCode::from(1) }
        }
        Err(error) => {
            eprintln!("load-tests: {error:#}");
            ExitCode::from(2)
        }
    }
}
