//! A run: one thread per connection, each taking the next request, waiting for its moment, sending it and reading the
//! answer.
//!
//! Latency counts from the moment a request was *meant* to leave. While a server stalls, the requests that queue behind
//! the stall are late too, and say so; a client that counted from the moment of sending would send fewer of them and
//! call each one fast ("coordinated omission", Tene 2013, "How NOT to measure latency").

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use rand::Rng;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

use crate::{
    check::Expected,
    http::{Connection, Failure},
    report::{cpu_time, print_second},
    scenario::Requests,
    schedule::Schedule,
    tally::{Delay, LATE, Tally},
};

/// A thread has little to put on its stack.
const STACK_BYTES: usize = 256 << 10;
/// A target that gives no answer for so many seconds in a row, only failures, is given up.
const MAX_SILENT_SECONDS: u32 = 5;
/// How long a connection of a closed loop waits after a failure: without an arrival to wait for, it would spin.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(100);

pub(crate) struct Plan {
    pub(crate) requests: Requests,
    pub(crate) schedule: Schedule,
    /// How long requests leave for.
    pub(crate) length: Duration,
    /// Longest wait for one answer; and after `length`, for what is still queued.
    pub(crate) timeout: Duration,
    /// Share of the answers whose content is checked, 0 to 1.
    pub(crate) check_share: f64,
    pub(crate) seed: u64,
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

/// Sends what the plan says over these connections, printing a line per second.
pub(crate) fn run(plan: Plan, connections: Vec<Connection>) -> Result<Outcome> {
    let cpu_before = cpu_time()?;
    let run = Run {
        requests: plan.requests,
        schedule: Mutex::new(plan.schedule),
        tally: Mutex::new(Tally::new()),
        is_stopped: AtomicBool::new(false),
        start: Instant::now(),
        last_moment: plan.length + plan.timeout,
        check_share: plan.check_share,
        seed: plan.seed,
    };
    let (finished, all_finished) = channel();
    let n_opened = thread::scope(|scope| {
        let mut workers = Vec::with_capacity(connections.len());
        for connection in connections {
            let (run, finished) = (&run, finished.clone());
            let work = move || run.work(connection, finished);
            let builder = thread::Builder::new().stack_size(STACK_BYTES);
            match builder.spawn_scoped(scope, work) {
                Ok(worker) => workers.push(worker),
                Err(e) => {
                    run.is_stopped.store(true, Ordering::Relaxed);
                    return Err(e).context("starting a thread per connection: fewer connections may do");
                }
            }
        }
        drop(finished);
        run.watch(&all_finished);
        Ok(workers.into_iter().map(|w| w.join().expect("a worker does not panic")).sum())
    })?;
    let took = run.start.elapsed();
    let is_stopped = run.is_stopped.load(Ordering::Relaxed);
    let mut tally = run.tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    if !is_stopped
        && let Schedule::Open(rest) = run.schedule.into_inner().unwrap_or_else(PoisonError::into_inner)
    {
        for arrival in rest {
            tally.request(Some(took.saturating_sub(arrival.at)), Some(Delay::NoConnection));
            tally.error("not sent before the run was over".to_owned());
        }
    }
    Ok(Outcome { tally, took, cpu: cpu_time()?.saturating_sub(cpu_before), n_opened, is_stopped })
}

/// What the threads of a run share.
struct Run {
    requests: Requests,
    schedule: Mutex<Schedule>,
    tally: Mutex<Tally>,
    is_stopped: AtomicBool,
    start: Instant,
    /// Since `start`; requests that are still queued then are not sent any more.
    last_moment: Duration,
    check_share: f64,
    seed: u64,
}

impl Run {
    /// Sends requests until there are none left; gives the number of connections opened. `_finished` is dropped then.
    fn work(&self, mut connection: Connection, _finished: Sender<()>) -> u64 {
        let mut request = Vec::with_capacity(512);
        // Not the stream of any request: what is checked must not depend on what is asked.
        let mut sample = ChaCha8Rng::seed_from_u64(!self.seed);
        while !self.is_stopped.load(Ordering::Relaxed) {
            let claimed = self.start.elapsed();
            if claimed > self.last_moment {
                break;
            }
            let (arrival, is_closed) = {
                let mut schedule = lock(&self.schedule);
                (schedule.claim(claimed), matches!(*schedule, Schedule::Closed { .. }))
            };
            let Some(arrival) = arrival else { break };
            let expected = self.requests.render(arrival.index, &mut request);
            thread::sleep(arrival.at.saturating_sub(self.start.elapsed()));
            let sent = Instant::now();
            let late = (sent - self.start).saturating_sub(arrival.at) > LATE;
            let delay =
                late.then(|| if claimed > arrival.at { Delay::NoConnection } else { Delay::NoProcessor });
            sample.set_stream(arrival.index);
            let is_checked = sample.gen_bool(self.check_share);
            let result = connection.exchange(&request, sent);
            let latency = self.start.elapsed().saturating_sub(arrival.at);
            let verdict = judge(result.as_ref().map(|r| (r.status, r.body)), expected, is_checked);
            let (is_failure, is_timeout) = (result.is_err(), result == Err(Failure::Timeout));
            let is_wait = is_timeout || !matches!(verdict, Verdict::Error(_));
            self.note(is_wait.then_some(latency), delay, is_failure, verdict);
            if is_closed && is_failure {
                thread::sleep(PAUSE_AFTER_FAILURE);
            }
        }
        connection.n_opened
    }

    fn note(&self, latency: Option<Duration>, delay: Option<Delay>, is_failure: bool, verdict: Verdict) {
        let mut tally = lock(&self.tally);
        tally.request(latency, delay);
        tally.n_answers_of_second += u64::from(!is_failure);
        match verdict {
            Verdict::Fine => (),
            Verdict::Error(kind) => tally.error(kind),
            Verdict::Checked(result) => tally.checked(result),
        }
    }

    /// Prints a line per second until all workers are done, and stops them when the target is dead.
    fn watch(&self, all_finished: &Receiver<()>) {
        let (mut n_before, mut n_silent) = (0, 0);
        for second in 1.. {
            let due = Duration::from_secs(second).saturating_sub(self.start.elapsed());
            if all_finished.recv_timeout(due) == Err(RecvTimeoutError::Disconnected) {
                return;
            }
            let mut tally = lock(&self.tally);
            let n_of_second = tally.n_requests - n_before;
            print_second(second, n_of_second, &tally);
            // Seconds in which nothing ended say nothing: the rate may be low, or the target only slow.
            if tally.n_answers_of_second > 0 {
                n_silent = 0;
            } else if n_of_second > 0 {
                n_silent += 1;
            }
            if n_silent == MAX_SILENT_SECONDS {
                self.is_stopped.store(true, Ordering::Relaxed);
            }
            n_before = tally.n_requests;
            tally.n_answers_of_second = 0;
            tally.second.reset();
        }
    }
}

enum Verdict {
    Fine,
    Error(String),
    Checked(Result<(), &'static str>),
}

fn judge(result: Result<(u16, &[u8]), &Failure>, expected: Expected, is_checked: bool) -> Verdict {
    match result {
        Err(failure) => Verdict::Error(failure.to_string()),
        Ok((status, _)) if status != expected.status() => Verdict::Error(format!("status {status}")),
        Ok((_, body)) if is_checked => Verdict::Checked(expected.check(body)),
        Ok(_) => Verdict::Fine,
    }
}

/// A worker that panicked ends the run with its own message; what it held is only counts.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
