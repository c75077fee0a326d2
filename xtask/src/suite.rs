//! `cargo test` with its results added up for the summary.

use std::{
    io::{BufRead, BufReader, IsTerminal},
    process::Stdio,
};

use anyhow::{Context, Result, bail};

use crate::{
    services::Variables,
    steps::Outcome,
    tools,
    workspace::{Workspace, shown},
};

/// What the `test result:` lines of one run add up to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    passed: usize,
    failed: usize,
    ignored: usize,
}

/// Every test of the workspace.
/// - `variables`: where the tests find the services
pub(crate) fn run(workspace: &Workspace, variables: &Variables) -> Result<Outcome> {
    test(workspace, &["--workspace", "--no-fail-fast"], variables)
}

/// The tests of TLS and SASL to Kafka, in a build with that feature of the binary.
///
/// Cargo keeps both variants of what the feature changes beside each other: Kafka's client and `waggle-stores`. All else
/// is what the workspace's tests are built from, because `waggle` depends on every crate and so asks for the same features
/// of the dependencies; it is chosen for that, and nothing of it is built.
pub(crate) fn run_tls(workspace: &Workspace, variables: &Variables) -> Result<Outcome> {
    tools::openssl()?;
    let build = ["-p", "waggle", "-p", "waggle-stores", "--features", "waggle/tls", "--test", "it"];
    test(workspace, &[&build[..], &["--", "kafka_tls"]].concat(), variables)
}

fn test(workspace: &Workspace, args: &[&str], variables: &Variables) -> Result<Outcome> {
    let mut command = workspace.cargo();
    command.args(["test", "--release"]);
    command.envs(variables.iter());
    command.args(["--color", if std::io::stdout().is_terminal() { "always" } else { "auto" }]).args(args);
    println!("   $ {}", shown(&command));
    let mut child = command.stdout(Stdio::piped()).spawn().context("cargo cannot be started")?;
    let mut totals = Totals::default();
    for line in BufReader::new(child.stdout.take().context("cargo has no output")?).lines() {
        let line = line.context("reading the output of cargo test")?;
        println!("{line}");
        totals.add(&line);
    }
    let status = child.wait()?;
    let Totals { passed, failed, ignored } = totals;
    let sum = format!("{passed} tests passed, {failed} failed, {ignored} ignored");
    if !status.success() {
        bail!("{sum} ({status})");
    }
    if passed == 0 {
        bail!("no test ran: {sum}");
    }
    Ok(Outcome::Passed(sum))
}

impl Totals {
    /// Adds a line such as `test result: ok. 59 passed; 0 failed; 0 ignored; …`; others count nothing.
    fn add(&mut self, line: &str) {
        let Some((_, result)) = line.split_once("test result: ") else { return };
        for part in result.split(['.', ';']) {
            let mut words = part.split_whitespace();
            let (Some(number), Some(name)) = (words.next(), words.next()) else { continue };
            let Ok(number) = number.parse::<usize>() else { continue };
            match name {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_several_binaries_add_up() {
        let mut totals = Totals::default();
        for line in [
            "running 3 tests",
            "test result: ok. 59 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.95s",
            "test result: \u{1b}[31mFAILED\u{1b}[0m. 2 passed; 3 failed; 0 ignored; 0 measured; 7 filtered out; finished in 1.00s",
        ] {
            totals.add(line);
        }
        assert_eq!(totals, Totals { passed: 61, failed: 3, ignored: 1 });
    }
}
