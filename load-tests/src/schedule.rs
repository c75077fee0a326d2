//! When requests are meant to leave.
//!
//! Open loop: a Poisson process whose rate is constant or changes linearly over the run. It does not wait for answers,
//! as people do not wait for each other; a slow server meets a growing queue instead of a polite client. Closed loop:
//! the next request leaves when a connection is free.

use std::{fmt, str::FromStr, time::Duration};

use rand::Rng;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use rand_distr::Exp1;

/// Highest rate that is accepted, per second.
const MAX_RATE: f64 = 1e6;

/// One request that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// 0-based; decides with `step` what the request asks for, whichever connection sends it.
    pub(crate) index: u64,
    /// Which request of visit `index` it is, 0-based; 0 where requests stand alone.
    pub(crate) step: u32,
    /// Since the start of the run.
    pub(crate) at: Duration,
}

/// Requests per second, `100` or, over the length of the run, `100..2000`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rate {
    from: f64,
    to: f64,
}

impl Rate {
    /// Requests per second at the start.
    pub(crate) fn initial(self) -> f64 {
        self.from
    }

    /// So many times this rate, above 0.
    pub(crate) fn times(self, factor: f64) -> Self {
        Self { from: self.from * factor, to: self.to * factor }
    }

    /// When the expected number of arrivals reaches `expected`, in seconds; `None` when the run ends before.
    ///
    /// Solves `from·t + (to − from)·t²/(2·seconds) = expected` for the smaller root, in the form that stays exact when
    /// the rate is constant.
    fn time_of(self, expected: f64, seconds: f64) -> Option<f64> {
        let discriminant = self.from * self.from + 2.0 * (self.to - self.from) / seconds * expected;
        let t = 2.0 * expected / (self.from + discriminant.sqrt());
        (t < seconds).then_some(t)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.from.total_cmp(&self.to).is_eq() {
            write!(f, "{}/s", self.from)
        } else {
            write!(f, "{}..{}/s", self.from, self.to)
        }
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |part: &str| {
            let rate: f64 = part.trim().parse().map_err(|_| format!("\"{part}\" is not a number"))?;
            if !(0.0..=MAX_RATE).contains(&rate) {
                return Err(format!("{part} requests per second: 0 to {MAX_RATE} are possible"));
            }
            Ok(rate)
        };
        let (from, to) = text.split_once("..").unwrap_or((text, text));
        let rate = Self { from: number(from)?, to: number(to)? };
        if rate.from.max(rate.to) <= 0.0 {
            return Err("a rate of 0 sends nothing".to_owned());
        }
        Ok(rate)
    }
}

/// The arrivals of an open loop, in order, as many as fall into the run.
#[derive(Debug, Clone)]
pub(crate) struct Poisson {
    rate: Rate,
    seconds: f64,
    rng: ChaCha8Rng,
    /// Sum of unit exponentials: the expected number of arrivals until the one drawn last.
    expected: f64,
    index: u64,
}

impl Poisson {
    pub(crate) fn new(rate: Rate, length: Duration, seed: u64) -> Self {
        let rng = ChaCha8Rng::seed_from_u64(seed);
        Self { rate, seconds: length.as_secs_f64(), rng, expected: 0.0, index: 0 }
    }
}

impl Iterator for Poisson {
    type Item = Arrival;

    /// The next arrival. A process of rate 1 is drawn and its time stretched by the inverse of the expected number of
    /// arrivals (Çinlar 1975, chapter 4, section 7).
    fn next(&mut self) -> Option<Arrival> {
        self.expected += self.rng.sample::<f64, _>(Exp1);
        let t = self.rate.time_of(self.expected, self.seconds)?;
        let index = self.index;
        self.index += 1;
        Some(Arrival { index, step: 0, at: Duration::from_secs_f64(t) })
    }
}

/// Requests due within the same `grain` leave together, at its end: their moment is then the end. A Poisson number of
/// them leaves each time. Zero leaves every moment as it is.
pub(crate) fn grouped(
    arrivals: impl Iterator<Item = Arrival>,
    grain: Duration,
) -> impl Iterator<Item = Arrival> {
    let grain = u64::try_from(grain.as_nanos()).unwrap_or(u64::MAX).max(1);
    arrivals.map(move |arrival| {
        let at = u64::try_from(arrival.at.as_nanos()).unwrap_or(u64::MAX).next_multiple_of(grain);
        Arrival { at: Duration::from_nanos(at), ..arrival }
    })
}

/// Hands out the requests of a run, one at a time.
pub(crate) enum Schedule {
    Open(Box<dyn Iterator<Item = Arrival>>),
    /// Until this much of the run has passed, always now.
    Closed {
        length: Duration,
        /// In the order they leave, whenever that is: numbers and steps count, times do not.
        order: Box<dyn Iterator<Item = Arrival>>,
    },
}

impl Schedule {
    /// A closed loop of requests that stand alone.
    pub(crate) fn closed(length: Duration) -> Self {
        let order = (0..).map(|index| Arrival { index, step: 0, at: Duration::ZERO });
        Self::Closed { length, order: Box::new(order) }
    }

    /// The next request, or `None` when the run is over. `now` is the time since the start of the run.
    pub(crate) fn claim(&mut self, now: Duration) -> Option<Arrival> {
        match self {
            Self::Open(arrivals) => arrivals.next(),
            Self::Closed { length, order } if now < *length => {
                order.next().map(|arrival| Arrival { at: now, ..arrival })
            }
            Self::Closed { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests;
