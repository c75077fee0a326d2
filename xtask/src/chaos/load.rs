//! Clients that post until they are acknowledged, and canaries that look when it shows.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rand::Rng;
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    N_PARTITIONS,
    kills::{N_REPLICAS, Victim},
    truth::{Event, Journal, N_CLIENTS, Person, Plan},
};
use crate::e2e::http::{Client, encoded};

/// Most events of one request.
const MAX_BATCH: u64 = 5;
/// Pauses of a client that was not acknowledged, doubled up to the second value.
const BACKOFF: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(250)];
/// How often a canary looks.
const LOOK: Duration = Duration::from_millis(5);
/// A pause of a canary between two events, so that looking costs the processes less than the load does.
const CANARY_PAUSE: Duration = Duration::from_millis(20);
/// How long a canary that shall stop waits for its last event to show; the check tells if it never does.
const LAST_LOOK: Duration = Duration::from_secs(30);

/// What clients, canaries and the driver share.
pub(super) struct Shared {
    pub(super) plan: Plan,
    pub(super) journal: Journal,
    ingest: [Client; N_REPLICAS],
    pub(super) gateway: Client,
    /// Events a second of one client.
    rate: f64,
    /// Requests on their way, by the replica they were sent to.
    in_flight: [AtomicU64; N_REPLICAS],
    /// Canaries whose event is acknowledged and does not show yet.
    unseen: AtomicU64,
    pub(super) n_retries: AtomicU64,
    /// Events that ingest said it had seen before.
    pub(super) n_repeats: AtomicU64,
    pub(super) sights: Mutex<Vec<Sight>>,
    started: Instant,
    stop: AtomicBool,
    /// The run has failed: nobody waits for an acknowledgement any more.
    pub(super) give_up: AtomicBool,
}

/// A canary's event, in time since the start of the run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sight {
    pub(super) partition: u32,
    pub(super) acknowledged: Duration,
    pub(super) seen: Duration,
}

/// What was under way when something was struck.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// Requests at the replica that was struck, at any replica if it was a service.
    pub(super) n_requests: u64,
    /// Acknowledged events of canaries whose fold was not committed, or not visible, yet.
    pub(super) n_unseen: u64,
}

impl Moment {
    pub(super) fn is_inside_a_batch(&self) -> bool {
        self.n_requests + self.n_unseen > 0
    }
}

impl Shared {
    pub(super) fn new(
        plan: Plan,
        journal: Journal,
        ingest: [Client; N_REPLICAS],
        gateway: Client,
        rate: u32,
    ) -> Self {
        Self {
            plan,
            journal,
            ingest,
            gateway,
            rate: f64::from(rate.max(1)) / f64::from(N_CLIENTS),
            in_flight: Default::default(),
            unseen: AtomicU64::new(0),
            n_retries: AtomicU64::new(0),
            n_repeats: AtomicU64::new(0),
            sights: Mutex::new(Vec::new()),
            started: Instant::now(),
            stop: AtomicBool::new(false),
            give_up: AtomicBool::new(false),
        }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// What a strike interrupts: a request for ingest, a fold for features, either for a service.
    pub(super) fn moment(&self, victim: Victim) -> Moment {
        let at = |replica: usize| self.in_flight[replica].load(Ordering::SeqCst);
        let (n_requests, n_unseen) = match victim {
            Victim::Ingest(replica) => (at(replica), 0),
            Victim::Features(_) => (0, self.unseen.load(Ordering::SeqCst)),
            _ => ((0..N_REPLICAS).map(at).sum(), self.unseen.load(Ordering::SeqCst)),
        };
        Moment { n_requests, n_unseen }
    }

    /// What the person's counters say: events, and distinct items among them.
    pub(super) fn counted(&self, person: &Person) -> Result<(u64, u64)> {
        let path = format!("/v1/profile?{}={}", person.field(), encoded(&person.name));
        let profile = self.gateway.get(&path)?;
        let number = |key: &str| profile[key].as_u64().with_context(|| format!("a profile without {key}"));
        Ok((number("n_events")?, number("n_distinct_items")?))
    }

    /// Posts events until they are acknowledged, to one replica after the other.
    fn post(&self, events: &[Value]) -> Result<()> {
        let body = json!({ "events": events });
        let mut replica = rand::thread_rng().gen_range(0..N_REPLICAS);
        let mut pause = BACKOFF[0];
        loop {
            self.in_flight[replica].fetch_add(1, Ordering::SeqCst);
            let reply = self.ingest[replica].send_json(Method::POST, "/v1/events", &body);
            self.in_flight[replica].fetch_sub(1, Ordering::SeqCst);
            match reply {
                Ok(reply) if reply.status == 202 => {
                    let report = reply.json_of(202)?;
                    if report["rejected"].as_array().is_none_or(|rejected| !rejected.is_empty()) {
                        bail!("events were rejected: {report}");
                    }
                    self.n_repeats.fetch_add(report["duplicates"].as_u64().unwrap_or(0), Ordering::SeqCst);
                    return Ok(());
                }
                Ok(reply) if matches!(reply.status, 429 | 500..) => {}
                Ok(reply) => bail!("events got {:?}", reply.problem(&[202])),
                // Cut off, refused or late: whether they arrived nobody knows, so they are sent again.
                Err(_) => {}
            }
            if self.give_up.load(Ordering::SeqCst) {
                bail!("events were not acknowledged before the run failed");
            }
            self.n_retries.fetch_add(1, Ordering::SeqCst);
            thread::sleep(pause);
            pause = (pause * 2).min(BACKOFF[1]);
            replica = (replica + 1) % N_REPLICAS;
        }
    }

    fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::SeqCst) || self.give_up.load(Ordering::SeqCst)
    }

    fn run_client(&self, source: u32) -> Result<()> {
        let mut rng = rand::thread_rng();
        let mut n = self.journal.acknowledged(source);
        let (first, started) = (n, Instant::now());
        while !self.is_stopping() {
            let size = rng.gen_range(1..=MAX_BATCH);
            let events: Vec<Value> =
                (n..n + size).map(|n| Event::of(&self.plan.run, source, n).body().clone()).collect();
            self.post(&events)?;
            n += size;
            self.journal.acknowledge(source, n)?;
            // Behind its rate it does not pause: after a stall everything that has gathered comes at once.
            let due = Duration::from_secs_f64((n - first) as f64 / self.rate);
            thread::sleep(due.saturating_sub(started.elapsed()));
        }
        Ok(())
    }

    fn run_canary(&self, partition: u32) -> Result<()> {
        let source = N_CLIENTS + partition;
        while !self.is_stopping() {
            let n = self.journal.acknowledged(source);
            let event = Event::of(&self.plan.run, source, n);
            self.post(std::slice::from_ref(event.body()))?;
            self.journal.acknowledge(source, n + 1)?;
            let acknowledged = self.elapsed();
            self.unseen.fetch_add(1, Ordering::SeqCst);
            let is_seen = self.see(&event.person, event.nth + 1);
            self.unseen.fetch_sub(1, Ordering::SeqCst);
            if is_seen {
                let mut sights = self.sights.lock().expect("no canary panics");
                // Looked at under the lock, so that they lie in the order of time.
                sights.push(Sight { partition, acknowledged, seen: self.elapsed() });
            }
            thread::sleep(CANARY_PAUSE);
        }
        Ok(())
    }

    /// Looks until so many events of the person are counted.
    fn see(&self, person: &Person, n_events: u64) -> bool {
        let mut stopping_since = None;
        loop {
            // A gateway that cannot read the state just now is asked again.
            if self.counted(person).is_ok_and(|(counted, _)| counted >= n_events) {
                return true;
            }
            if self.is_stopping() {
                let since = *stopping_since.get_or_insert_with(Instant::now);
                if since.elapsed() > LAST_LOOK || self.give_up.load(Ordering::SeqCst) {
                    return false;
                }
            }
            thread::sleep(LOOK);
        }
    }
}

/// Clients and canaries at work.
pub(super) struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Result<()>>>,
    started: Instant,
    n_before: u64,
}

/// What a time of load brought.
pub(super) struct Loaded {
    pub(super) n_events: u64,
    pub(super) took: Duration,
}

impl Load {
    pub(super) fn start(shared: &Arc<Shared>) -> Self {
        shared.stop.store(false, Ordering::SeqCst);
        let clients = (0..N_CLIENTS).map(|source| {
            let shared = Arc::clone(shared);
            thread::spawn(move || shared.run_client(source))
        });
        let canaries = (0..N_PARTITIONS).map(|partition| {
            let shared = Arc::clone(shared);
            thread::spawn(move || shared.run_canary(partition))
        });
        Self {
            threads: clients.chain(canaries).collect(),
            started: Instant::now(),
            n_before: shared.journal.n_acknowledged(),
            shared: Arc::clone(shared),
        }
    }

    /// Whether a client ended although nobody told it to.
    pub(super) fn has_failed(&self) -> bool {
        !self.shared.is_stopping() && self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Returns when everything that was sent is acknowledged.
    pub(super) fn finish(self) -> Result<Loaded> {
        self.shared.stop.store(true, Ordering::SeqCst);
        let took = self.started.elapsed();
        for thread in self.threads {
            match thread.join() {
                Ok(ended) => ended?,
                Err(_) => bail!("a client panicked"),
            }
        }
        Ok(Loaded { n_events: self.shared.journal.n_acknowledged() - self.n_before, took })
    }
}
