//! What a run counts.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;

/// A request that left this much after it was meant to counts as late.
pub(crate) const LATE: Duration = Duration::from_millis(10);
/// Longest latency that is told apart, in microseconds; longer ones count as this.
const MAX_LATENCY_US: u64 = 600_000_000;

/// Why a request left late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delay {
    /// All connections waited for answers: the target is slower than the rate, or the connections too few.
    NoConnection,
    /// The thread that was to send it slept on: this machine has no processor to spare for the generator.
    NoProcessor,
}

/// Everything since the start, and what changes from one line on the terminal to the next.
pub(crate) struct Tally {
    /// Microseconds from the intended moment of sending to the whole answer, of requests answered with the expected
    /// status. Those that timed out or never left count with the time they waited: leaving them out would flatter a
    /// server that is slow. Failures that come at once are left out, since counting them would flatter one that is dead.
    pub(crate) latency_us: Histogram<u64>,
    pub(crate) second: Histogram<u64>,
    pub(crate) n_requests: u64,
    pub(crate) errors: BTreeMap<String, u64>,
    pub(crate) n_late: BTreeMap<&'static str, u64>,
    pub(crate) n_checked: u64,
    pub(crate) check_failures: BTreeMap<&'static str, u64>,
    /// Answers of any status since the last line.
    pub(crate) n_answers_of_second: u64,
}

impl Tally {
    pub(crate) fn new() -> Self {
        let empty =
            Histogram::new_with_bounds(1, MAX_LATENCY_US, 3).expect("1 µs to 10 min at 3 digits are bounds");
        Self {
            latency_us: empty.clone(),
            second: empty,
            n_requests: 0,
            errors: BTreeMap::new(),
            n_late: BTreeMap::new(),
            n_checked: 0,
            check_failures: BTreeMap::new(),
            n_answers_of_second: 0,
        }
    }

    pub(crate) fn request(&mut self, latency: Option<Duration>, delay: Option<Delay>) {
        if let Some(latency) = latency {
            let latency_us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
            self.latency_us.saturating_record(latency_us);
            self.second.saturating_record(latency_us);
        }
        self.n_requests += 1;
        if let Some(delay) = delay {
            *self.n_late.entry(delay.as_str()).or_default() += 1;
        }
    }

    pub(crate) fn error(&mut self, kind: String) {
        *self.errors.entry(kind).or_default() += 1;
    }

    pub(crate) fn checked(&mut self, verdict: Result<(), &'static str>) {
        self.n_checked += 1;
        if let Err(fault) = verdict {
            *self.check_failures.entry(fault).or_default() += 1;
        }
    }

    pub(crate) fn n_errors(&self) -> u64 {
        self.errors.values().sum()
    }

    /// Share of the requests that left late, 0 to 1.
    pub(crate) fn late_share(&self) -> f64 {
        self.n_late.values().sum::<u64>() as f64 / self.n_requests.max(1) as f64
    }
}

impl Delay {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::NoConnection => "no free connection",
            Self::NoProcessor => "no free processor",
        }
    }
}
