//! What a person sees while something takes long: bars on a terminal, a line per finished step elsewhere.

use std::{
    fs,
    path::Path,
    sync::Mutex,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

/// Steps of a long command, one after the other, with the seconds each took.
pub(crate) struct Steps {
    started: Instant,
    is_terminal: bool,
    current: Mutex<Option<Current>>,
    done: Mutex<Vec<(String, f64)>>,
}

struct Current {
    name: String,
    started: Instant,
    bar: ProgressBar,
}

impl Steps {
    pub(crate) fn new() -> Self {
        use std::io::IsTerminal;
        Self {
            started: Instant::now(),
            is_terminal: std::io::stderr().is_terminal(),
            current: Mutex::new(None),
            done: Mutex::new(Vec::new()),
        }
    }

    /// Ends the step before and begins one; `total` 0 means that its length is not known.
    pub(crate) fn begin(&self, name: &str, total: u64) {
        self.end();
        let target =
            if self.is_terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target((total > 0).then_some(total), target);
        bar.set_style(style(total > 0));
        bar.set_message(name.to_owned());
        bar.enable_steady_tick(Duration::from_millis(100));
        *lock(&self.current) = Some(Current { name: name.to_owned(), started: Instant::now(), bar });
    }

    /// [`begin`](Self::begin) for a step that is measured in bytes of a file, where their number is known.
    pub(crate) fn begin_bytes(&self, name: &str, size_bytes: Option<u64>) {
        self.begin(name, size_bytes.unwrap_or(0));
        if let Some(current) = lock(&self.current).as_ref() {
            let template = match size_bytes {
                Some(_) => "  {spinner} {msg:<24} {bar:32} {bytes}/{total_bytes} {eta}  {prefix}",
                None => "  {spinner} {msg:<24} {bytes} {elapsed}  {prefix}",
            };
            current.bar.set_style(ProgressStyle::with_template(template).expect("the template is valid"));
        }
    }

    /// What came of the step so far, beside its bar.
    pub(crate) fn note(&self, text: String) {
        if let Some(current) = lock(&self.current).as_ref() {
            current.bar.set_prefix(text);
        }
    }

    /// How far the step is.
    pub(crate) fn at(&self, done: u64, total: u64) {
        if let Some(current) = lock(&self.current).as_ref() {
            if current.bar.length() != Some(total) && total > 0 {
                current.bar.set_length(total);
                current.bar.set_style(style(true));
            }
            current.bar.set_position(done);
        }
    }

    /// Ends the step and says what came of it.
    pub(crate) fn finish(&self, outcome: &str) {
        self.end_with(Some(outcome));
    }

    fn end(&self) {
        self.end_with(None);
    }

    fn end_with(&self, outcome: Option<&str>) {
        let Some(current) = lock(&self.current).take() else { return };
        let took_s = current.started.elapsed().as_secs_f64();
        current.bar.finish_and_clear();
        say(&format!("  ✓ {:<24} {took_s:>6.1} s  {}", current.name, outcome.unwrap_or_default()));
        lock(&self.done).push((current.name, took_s));
    }

    /// Seconds since the command began.
    pub(crate) fn elapsed_s(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }
}

impl waggle_jobs::progress::Progress for Steps {
    fn report(&self, name: &'static str, done: usize, total: usize) {
        let is_other = lock(&self.current).as_ref().is_none_or(|current| current.name != name);
        if is_other {
            self.begin(name, total as u64);
        }
        self.at(done as u64, total as u64);
    }
}

/// One line for the person at the terminal, on standard error so that standard output stays for results.
#[expect(clippy::print_stderr, reason = "a command line tool talks to the person who started it")]
pub(crate) fn say(line: &str) {
    eprintln!("{line}");
}

/// A result on standard output.
#[expect(clippy::print_stdout, reason = "the result of a command line tool")]
pub(crate) fn print(text: &str) {
    println!("{text}");
}

/// Writes a report as JSON; `-` is standard output.
pub(crate) fn write_json(path: &Path, report: &impl Serialize) -> Result<()> {
    let json = serde_json::to_string_pretty(report)?;
    if path == Path::new("-") {
        print(&json);
        return Ok(());
    }
    write_text(path, &json)
}

pub(crate) fn write_text(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn style(has_length: bool) -> ProgressStyle {
    let template = if has_length {
        "  {spinner} {msg:<24} {bar:32} {pos}/{len} {eta}"
    } else {
        "  {spinner} {msg:<24} {elapsed}"
    };
    ProgressStyle::with_template(template).expect("the template is valid")
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
