//! Named steps, timed, with a summary at the end.

use std::time::{Duration, Instant};

use anyhow::Result;

/// How a step ended when it did not fail.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// With a word for the summary, which may be empty.
    Passed(String),
    /// With the reason and what would make it run.
    Skipped(String),
}

impl Outcome {
    pub(crate) fn passed() -> Result<Self> {
        Ok(Self::Passed(String::new()))
    }
}

/// Runs steps one after another and remembers how each went. A failed step does not stop the next one: whoever reads
/// the summary learns everything at once.
#[derive(Default)]
pub(crate) struct Steps {
    only: Option<String>,
    done: Vec<Line>,
    figures: Vec<(String, String)>,
}

struct Line {
    name: String,
    took: Duration,
    result: Result<Outcome>,
}

impl Steps {
    pub(crate) fn new(only: Option<String>) -> Self {
        Self { only, ..Self::default() }
    }

    /// Whether `--only` lets a step of this name run.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.as_deref().is_none_or(|only| name.contains(only))
    }

    /// Runs `step` unless `--only` names another; `what` tells the reader what is about to happen.
    pub(crate) fn run(&mut self, name: &str, what: &str, step: impl FnOnce() -> Result<Outcome>) {
        if self.wants(name) {
            self.run_always(name, what, step);
        }
    }

    /// Runs `step` whatever `--only` says: for callers that have chosen already. Returns whether it did not fail.
    pub(crate) fn run_always(
        &mut self,
        name: &str,
        what: &str,
        step: impl FnOnce() -> Result<Outcome>,
    ) -> bool {
        println!("\n── {name}: {what}");
        let start = Instant::now();
        let result = step();
        let took = start.elapsed();
        match &result {
            Ok(Outcome::Passed(_)) => println!("   {name} passed in {}", seconds(took)),
            Ok(Outcome::Skipped(reason)) => println!("   {name} skipped: {reason}"),
            Err(error) => println!("   {name} FAILED after {}: {error:#}", seconds(took)),
        }
        let ok = result.is_ok();
        self.done.push(Line { name: name.to_owned(), took, result });
        ok
    }

    /// A measured value for the summary.
    pub(crate) fn figure(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.figures.push((name.into(), value.into()));
    }

    /// Prints the summary; true if at least one step ran and none failed.
    pub(crate) fn finish(self) -> bool {
        let width = self.done.iter().map(|line| line.name.len()).max().unwrap_or(0);
        if !self.figures.is_empty() {
            println!("\nmeasured");
            for (name, value) in &self.figures {
                println!("  {name}: {value}");
            }
        }
        println!("\nsummary");
        for Line { name, took, result } in &self.done {
            let (word, detail) = match result {
                Ok(Outcome::Passed(detail)) => ("ok", detail.clone()),
                Ok(Outcome::Skipped(reason)) => ("skipped", reason.clone()),
                // One line each: the whole story was printed where it happened.
                Err(error) => ("FAILED", error.to_string().lines().next().unwrap_or_default().to_owned()),
            };
            println!("  {word:<8} {name:<width$} {:>9}  {detail}", seconds(*took));
        }
        let n_failed = self.done.iter().filter(|line| line.result.is_err()).count();
        let n_skipped =
            self.done.iter().filter(|line| matches!(line.result, Ok(Outcome::Skipped(_)))).count();
        let n_passed = self.done.len() - n_failed - n_skipped;
        println!("\nxtask: {n_passed} steps passed, {n_failed} failed, {n_skipped} skipped");
        if self.done.is_empty() {
            println!("xtask: nothing is called {:?}", self.only.unwrap_or_default());
        }
        n_failed == 0 && n_passed > 0
    }
}

fn seconds(took: Duration) -> String {
    format!("{:.1} s", took.as_secs_f64())
}

#[cfg(test)]
mod tests;
