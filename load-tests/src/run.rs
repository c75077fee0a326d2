//! A run: one thread that drives all connections, sends each request at its moment and reads answers as they come.
//!
//! Latency counts from the moment a request was *meant* to leave. While a server stalls, the requests that queue behind
//! the stall are late too, and say so; a client that counted from the moment of sending would send fewer of them and
//! call each one fast ("coordinated omission", Tene 2013, "How NOT to measure latency").

use std::{
    collections::VecDeque,
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use rand::Rng;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

use crate::{
    check::Expected,
    connection::{Connection, Progress},
    http::Failure,
    report::print_second,
    scenario::Requests,
    schedule::{Arrival, Schedule},
    sys::{News, Poller, cpu_time, time_of_day},
    tally::{Delay, LATE, Tally},
    target::Target,
};

/// Room for what comes in at once; longer answers take more than one reading.
const SCRATCH_BYTES: usize = 64 << 10;
/// A target that gives no answer for so many seconds in a row, only failures, is given up.
const MAX_SILENT_SECONDS: u32 = 5;
/// How long a connection of a closed loop waits after a failure: without an arrival to wait for, it would spin.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(100);
/// If the next request leaves within this time, answers wait for it to be read: waking costs more than all else that is
/// done for a request, and the kernel says when they came.
const MAX_NAP: Duration = Duration::from_millis(2);
const SECOND: Duration = Duration::from_secs(1);

pub(crate) struct Plan {
    pub(crate) requests: Requests,
    pub(crate) schedule: Schedule,
    pub(crate) n_connections: usize,
    /// How long requests leave for.
    pub(crate) length: Duration,
    /// Longest wait for one answer; and after `length`, for what is still queued.
    pub(crate) timeout: Duration,
    /// Share of the answers whose content is checked, 0 to 1.
    pub(crate) check_share: f64,
    pub(crate) seed: u64,
    /// Print no line per second.
    pub(crate) is_quiet: bool,
}

pub(crate) struct Outcome {
    pub(crate) tally: Tally,
    /// From the first moment to the last answer.
    pub(crate) took: Duration,
    pub(crate) cpu: Duration,
    pub(crate) n_opened: u64,
    /// The target was given up before the end.
    pub(crate) is_stopped: bool,
}

/// Sends what the plan says, printing a line per second.
pub(crate) fn run(plan: Plan, target: &Target) -> Result<Outcome> {
    // The kernel may let a sleeper sleep on for 50 µs, to wake several at once. Where it cannot be asked not to,
    // requests leave that much later, which the latencies include.
    drop(fs::write("/proc/self/timerslack_ns", "1"));
    let poller = Poller::try_new().context("asking the system for an epoll")?;
    let is_open = matches!(plan.schedule, Schedule::Open(_));
    let mut connections: Vec<_> =
        (0..plan.n_connections).map(|key| Connection::new(target.address, key as u64, is_open)).collect();
    for connection in &mut connections {
        connection
            .open(&poller)
            .with_context(|| format!("opening {} connections to {target}", plan.n_connections))?;
    }
    let cpu_before = cpu_time();
    let mut run = Run::new(plan, connections);
    run.drive(poller)?;
    Ok(run.finish(cpu_before))
}

struct Run {
    requests: Requests,
    schedule: Schedule,
    /// The request that leaves next.
    next: Option<Arrival>,
    connections: Vec<Connection>,
    /// What each connection waits for.
    flights: Vec<Option<Flight>>,
    /// Connections that wait for nothing; the one used last is taken first, its memory being warm.
    idle: Vec<usize>,
    /// Since when there has been an idle connection, for want of one nothing can leave.
    idle_since: Duration,
    /// When a connection's request is given up, in order; also of requests that have landed since.
    deadlines: VecDeque<(Duration, usize, Arrival)>,
    /// Connections of a closed loop that pause after a failure, and until when, in order.
    resting: VecDeque<(Duration, usize)>,
    start: Instant,
    /// The time of day at `start`, by the clock as it goes now.
    start_of_day: Duration,
    /// Since `start`; requests that are still queued then are not sent any more.
    last_moment: Duration,
    timeout: Duration,
    check_share: f64,
    seed: u64,
    is_quiet: bool,
    tally: Tally,
    seconds: Seconds,
    is_stopped: bool,
}

/// A request on its way.
struct Flight {
    arrival: Arrival,
    expected: Expected,
    delay: Option<Delay>,
    is_checked: bool,
}

/// The line per second.
struct Seconds {
    n: u32,
    n_before: u64,
    n_silent: u32,
}

impl Run {
    fn new(plan: Plan, connections: Vec<Connection>) -> Self {
        let n = connections.len();
        Self {
            requests: plan.requests,
            schedule: plan.schedule,
            next: None,
            connections,
            flights: (0..n).map(|_| None).collect(),
            idle: (0..n).rev().collect(),
            idle_since: Duration::ZERO,
            deadlines: VecDeque::new(),
            resting: VecDeque::new(),
            start: Instant::now(),
            start_of_day: time_of_day(),
            last_moment: plan.length + plan.timeout,
            timeout: plan.timeout,
            check_share: plan.check_share,
            seed: plan.seed,
            is_quiet: plan.is_quiet,
            tally: Tally::new(),
            seconds: Seconds { n: 0, n_before: 0, n_silent: 0 },
            is_stopped: false,
        }
    }

    fn drive(&mut self, mut poller: Poller) -> Result<()> {
        let mut news = Vec::new();
        let mut scratch = vec![0; SCRATCH_BYTES];
        while !self.is_stopped {
            let now = self.start.elapsed();
            self.wake_resting(now);
            self.expire(now);
            self.send_due(&poller, now);
            self.end_second(now);
            if self.is_over() {
                break;
            }
            let mut wait = self.wake_at().saturating_sub(self.start.elapsed());
            if self.next.is_some() && !self.idle.is_empty() && wait <= MAX_NAP {
                thread::sleep(std::mem::take(&mut wait));
            }
            poller.wait(wait, &mut news).context("waiting for the connections")?;
            for News { key, is_ending } in news.drain(..) {
                self.hear(&poller, usize::try_from(key)?, is_ending, &mut scratch);
            }
        }
        Ok(())
    }

    /// Sends what is due, as far as there are connections.
    fn send_due(&mut self, poller: &Poller, mut now: Duration) {
        while !self.idle.is_empty() {
            let Some(arrival) = self.next.take().or_else(|| self.claim(now)) else { return };
            if arrival.at > now {
                self.next = Some(arrival);
                return;
            }
            let connection = self.idle.pop().expect("there is an idle connection");
            self.send(poller, connection, arrival, now);
            now = self.start.elapsed();
        }
    }

    fn claim(&mut self, now: Duration) -> Option<Arrival> {
        (now <= self.last_moment).then(|| self.schedule.claim(now))?
    }

    fn send(&mut self, poller: &Poller, at: usize, arrival: Arrival, now: Duration) {
        let connection = &mut self.connections[at];
        let expected = self.requests.render(arrival, &mut connection.request);
        let late = now.saturating_sub(arrival.at) > LATE;
        let delay =
            late.then(|| if arrival.at < self.idle_since { Delay::NoConnection } else { Delay::NoProcessor });
        let is_checked = is_sampled(self.check_share, self.seed, arrival);
        let flight = Flight { arrival, expected, delay, is_checked };
        match connection.send(poller, now, is_checked) {
            Ok(()) => {
                self.flights[at] = Some(flight);
                self.deadlines.push_back((now + self.timeout, at, arrival));
            }
            Err(failure) => self.land(at, &flight, Err(failure)),
        }
    }

    /// The poller has news of a connection.
    fn hear(&mut self, poller: &Poller, at: usize, is_ending: bool, scratch: &mut [u8]) {
        let Some(flight) = self.flights[at].take() else {
            // Nobody has asked it anything: it is being closed, or sends what nobody can place.
            if is_ending {
                self.connections[at].close();
            }
            return;
        };
        match self.connections[at].go_on(scratch, is_ending) {
            Ok(Progress::Waiting) => self.flights[at] = Some(flight),
            Ok(Progress::Answered) => self.land(at, &flight, Ok(())),
            Err(failure) => self.land(at, &flight, Err(failure)),
        }
        if self.flights[at].is_none() {
            self.send_due(poller, self.start.elapsed());
        }
    }

    /// Counts what became of a request and frees its connection.
    fn land(&mut self, at: usize, flight: &Flight, result: Result<(), Failure>) {
        let now = self.start.elapsed();
        let Connection { answer, arrived, .. } = &self.connections[at];
        let arrived = arrived.filter(|_| result.is_ok()).map_or(now, |a| a.saturating_sub(self.start_of_day));
        // The time of day is corrected at times; an answer never came after it was read.
        let latency = arrived.min(now).saturating_sub(flight.arrival.at);
        let (is_failure, is_timeout) = (result.is_err(), result == Err(Failure::Timeout));
        let verdict = match result {
            Err(failure) => Verdict::Error(failure.to_string()),
            Ok(()) if answer.status() != flight.expected.status() => {
                Verdict::Error(format!("status {}", answer.status()))
            }
            Ok(()) if flight.is_checked => Verdict::Checked(flight.expected.check(answer.body())),
            Ok(()) => Verdict::Fine,
        };
        let is_wait = is_timeout || !matches!(verdict, Verdict::Error(_));
        self.tally.request(is_wait.then_some(latency), flight.delay);
        self.tally.n_answers_of_second += u64::from(!is_failure);
        match verdict {
            Verdict::Fine => (),
            Verdict::Error(kind) => self.tally.error(kind),
            Verdict::Checked(result) => self.tally.checked(result),
        }
        if is_failure && matches!(self.schedule, Schedule::Closed { .. }) {
            self.resting.push_back((now + PAUSE_AFTER_FAILURE, at));
        } else {
            self.free(at, now);
        }
    }

    fn free(&mut self, at: usize, now: Duration) {
        if self.idle.is_empty() {
            self.idle_since = now;
        }
        self.idle.push(at);
    }

    fn wake_resting(&mut self, now: Duration) {
        while let Some((_, at)) = self.resting.pop_front_if(|(until, _)| *until <= now) {
            self.free(at, now);
        }
    }

    /// Gives up requests whose time is over, and forgets the deadlines of those that have landed.
    fn expire(&mut self, now: Duration) {
        while let Some((deadline, at, arrival)) = self.deadlines.front().copied() {
            let is_in_flight = self.flights[at].as_ref().is_some_and(|flight| flight.arrival == arrival);
            if is_in_flight && deadline > now {
                return;
            }
            self.deadlines.pop_front();
            if is_in_flight && let Some(flight) = self.flights[at].take() {
                self.connections[at].close();
                self.land(at, &flight, Err(Failure::Timeout));
            }
        }
    }

    /// Prints the line of a second that is over, and gives up a target that is dead.
    fn end_second(&mut self, now: Duration) {
        let (seconds, tally) = (&mut self.seconds, &mut self.tally);
        if now < (seconds.n + 1) * SECOND {
            return;
        }
        seconds.n += 1;
        self.start_of_day = time_of_day().saturating_sub(self.start.elapsed());
        let n_of_second = tally.n_requests - seconds.n_before;
        if !self.is_quiet {
            print_second(seconds.n, n_of_second, tally);
        }
        // Seconds in which nothing ended say nothing: the rate may be low, or the target only slow.
        if tally.n_answers_of_second > 0 {
            seconds.n_silent = 0;
        } else if n_of_second > 0 {
            seconds.n_silent += 1;
        }
        self.is_stopped = seconds.n_silent == MAX_SILENT_SECONDS;
        seconds.n_before = tally.n_requests;
        tally.n_answers_of_second = 0;
        tally.second.reset();
    }

    /// Nothing is on its way and nothing will be.
    fn is_over(&mut self) -> bool {
        let n_free = self.idle.len() + self.resting.len();
        if n_free < self.connections.len() {
            return false;
        }
        let now = self.start.elapsed();
        if let Schedule::Closed { length, .. } = self.schedule {
            return now >= length;
        }
        if self.next.is_none() {
            self.next = self.claim(now);
        }
        self.next.is_none() || now > self.last_moment
    }

    /// The next moment at which something is to be done, whatever the sockets say.
    fn wake_at(&self) -> Duration {
        let mut at = (self.seconds.n + 1) * SECOND;
        if let Some((deadline, ..)) = self.deadlines.front() {
            at = at.min(*deadline);
        }
        if let Some((until, _)) = self.resting.front() {
            at = at.min(*until);
        }
        match self.next {
            Some(next) if !self.idle.is_empty() => at.min(next.at),
            _ => at,
        }
    }

    fn finish(mut self, cpu_before: Duration) -> Outcome {
        let took = self.start.elapsed();
        if !self.is_stopped
            && let Schedule::Open(rest) = self.schedule
        {
            for arrival in self.next.into_iter().chain(rest) {
                self.tally.request(Some(took.saturating_sub(arrival.at)), Some(Delay::NoConnection));
                self.tally.error("not sent before the run was over".to_owned());
            }
        }
        Outcome {
            tally: self.tally,
            took,
            cpu: cpu_time().saturating_sub(cpu_before),
            n_opened: self.connections.iter().map(|c| c.n_opened).sum(),
            is_stopped: self.is_stopped,
        }
    }
}

enum Verdict {
    Fine,
    Error(String),
    Checked(Result<(), &'static str>),
}

/// Whether the content of the answer to this request is checked: a share of them, the same in every run of a seed.
fn is_sampled(share: f64, seed: u64, arrival: Arrival) -> bool {
    if share <= 0.0 || share >= 1.0 {
        return share >= 1.0;
    }
    // Not the stream of any request: what is checked must not depend on what is asked.
    let mut rng = ChaCha8Rng::seed_from_u64(!seed);
    rng.set_stream(arrival.index);
    rng.set_word_pos(u128::from(arrival.step) * 16);
    rng.gen_bool(share)
}
