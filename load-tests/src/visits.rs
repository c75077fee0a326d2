//! What shoppers did, visit by visit: the requests of a real shop, in their order and at their pace.
//!
//! A visit opens the home page, looks at one item after the other and asks for recommendations on each page, puts items
//! into the cart, and buys. Who came, what they looked at together, how much of it and in which order is data:
//!
//! - **Online Retail**: one visit per order, one page per line of the order, everything bought at its end. The data has one
//!   time per order, so the time spent on a page is drawn: log-normal, median 15 s, 68 % of it between 7 and 33 s.
//! - **The simulated market**: its visits with their own times.
//!
//! Visits are cut after [`MAX_VISIT`]. Shoppers keep their ids under a prefix, so who comes back is known to the target.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    path::Path,
    rc::Rc,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use rand::{Rng, distributions::Distribution};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use rand_distr::{Exp1, LogNormal};
use waggle_datasets::{find, online_retail};
use waggle_model::{Event, EventBody, Interaction, InteractionKind, Timestamp};
use waggle_simulator::{Market, SimulatorParams};

use crate::schedule::{Arrival, Poisson, Rate};

/// What a shopper does after this much of a visit is left out.
const MAX_VISIT: Duration = Duration::from_secs(30 * 60);
/// A page asks for recommendations this long after it was opened.
const PAGE: Duration = Duration::from_millis(100);
/// Of the time on a page, where the data does not have it: the median in seconds and the spread of its logarithm.
const MEDIAN_PAGE_S: f64 = 15.0;
const PAGE_SPREAD: f64 = 0.8;
/// Visits of a closed loop that go on at the same time.
const N_LANES: usize = 64;

/// Whose visits are replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Source {
    /// The orders of the Online Retail dataset
    OnlineRetail,
    /// The visits of the simulated market
    Sim,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Visits {
    visits: Vec<Visit>,
    /// The first visit of the run.
    first: usize,
    seed: u64,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Visit {
    /// `None` for somebody who is not logged in.
    pub(crate) user: Option<String>,
    /// Ascending by time.
    pub(crate) steps: Vec<Step>,
}

/// One request of a visit.
#[derive(Debug, PartialEq)]
pub(crate) struct Step {
    /// Since the visit began.
    at: Duration,
    /// What happened; recommendations are asked for if nothing.
    pub(crate) deeds: Vec<Deed>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Deed {
    pub(crate) kind: &'static str,
    /// Its place in the target's catalogue.
    pub(crate) item: usize,
    pub(crate) quantity: Option<f64>,
    pub(crate) price: Option<f64>,
}

impl Visits {
    /// Reads or simulates visits to items of the target's catalogue.
    ///
    /// - `catalogue`: the target's item ids
    ///
    /// # Errors
    /// When there is no data, or it is about other items.
    pub(crate) fn load(
        source: Source,
        data_dir: Option<&Path>,
        catalogue: &[String],
        seed: u64,
    ) -> Result<Self> {
        let known: HashMap<&str, usize> = catalogue.iter().map(String::as_str).zip(0..).collect();
        let mut visits = match source {
            Source::OnlineRetail => {
                let path = find("online-retail", None, data_dir, Path::new("waggle-data"))?;
                orders(&online_retail::read(&path, &|_, _| ())?.events, &known, seed)
            }
            Source::Sim => {
                let n_items = u32::try_from(catalogue.len()).context("too many items for the simulator")?;
                let params = SimulatorParams::default();
                let n_items = n_items.max(params.n_categories);
                let params = SimulatorParams { n_items, new_items: 0.0, seed, ..params };
                simulated(Market::new(params)?.events(Timestamp::now()), &known)
            }
        };
        visits.retain(|visit| visit.steps.len() > 1);
        ensure!(
            !visits.is_empty(),
            "the target sells none of the items that shoppers of {source:?} visited: is --sessions the data it was \
             started with?"
        );
        let first = ChaCha8Rng::seed_from_u64(seed).gen_range(0..visits.len());
        Ok(Self { visits, first, seed })
    }

    /// Visit `number` of the run; after the last come the first again.
    pub(crate) fn get(&self, number: u64) -> &Visit {
        let n = self.visits.len() as u64;
        &self.visits[((self.first as u64 + number) % n) as usize]
    }

    /// Requests of an average visit.
    fn mean_steps(&self) -> f64 {
        self.visits.iter().map(|visit| visit.steps.len()).sum::<usize>() as f64 / self.visits.len() as f64
    }

    /// The requests of visits that begin as a Poisson process, so that `rate` requests leave per second, in order.
    ///
    /// From its first moment the run meets visits that are under way, as a shop does: those that began before it take
    /// part with what they do after.
    pub(crate) fn open(
        self: &Rc<Self>,
        rate: Rate,
        length: Duration,
    ) -> impl Iterator<Item = Arrival> + use<> {
        let rate = rate.times(1.0 / self.mean_steps());
        let lead = self.visits.iter().filter_map(|visit| visit.steps.last()).map(|step| step.at).max();
        let lead = lead.unwrap_or_default().as_secs_f64();
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(1);
        let mut at = -lead;
        let before = std::iter::from_fn(move || {
            at += rng.sample::<f64, _>(Exp1) / rate.initial();
            (at < 0.0).then_some(at)
        });
        let after = Poisson::new(rate, length, self.seed).map(|arrival| arrival.at.as_secs_f64());
        Paced {
            visits: Rc::clone(self),
            starts: (0..).zip(before.chain(after)).peekable(),
            waiting: BinaryHeap::new(),
            length_ns: nanos(length),
        }
    }

    /// The requests of a closed loop, some visits taking turns; times mean nothing.
    pub(crate) fn in_turns(self: &Rc<Self>) -> impl Iterator<Item = Arrival> + use<> {
        let visits = Rc::clone(self);
        let mut lanes: Vec<(u64, u32)> = (0..N_LANES as u64).map(|number| (number, 0)).collect();
        let (mut begun, mut lane) = (N_LANES as u64, 0);
        std::iter::from_fn(move || {
            let (index, step) = lanes[lane];
            let is_last = step as usize + 1 == visits.get(index).steps.len();
            lanes[lane] = if is_last { (begun, 0) } else { (index, step + 1) };
            begun += u64::from(is_last);
            lane = (lane + 1) % N_LANES;
            Some(Arrival { index, step, at: Duration::ZERO })
        })
    }
}

/// Requests of visits by time.
struct Paced<S: Iterator<Item = (u64, f64)>> {
    visits: Rc<Visits>,
    /// Number and beginning of each visit, in seconds since the start of the run; ascending, the first before it.
    starts: std::iter::Peekable<S>,
    /// When the next step of each visit under way is due, in nanoseconds, its visit, its number, the visit's beginning.
    waiting: BinaryHeap<Reverse<(i64, u64, u32, i64)>>,
    length_ns: i64,
}

impl<S: Iterator<Item = (u64, f64)>> Iterator for Paced<S> {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        loop {
            let due = self.waiting.peek().map_or(i64::MAX, |Reverse((at, ..))| *at);
            if let Some((index, start)) = self.starts.next_if(|(_, start)| ((start * 1e9) as i64) < due) {
                let start = (start * 1e9) as i64;
                self.wait_for(index, 0, start);
                continue;
            }
            let Reverse((at, index, step, start)) = self.waiting.pop()?;
            self.wait_for(index, step + 1, start);
            if at >= self.length_ns {
                return None;
            }
            if let Ok(at) = u64::try_from(at) {
                return Some(Arrival { index, step, at: Duration::from_nanos(at) });
            }
        }
    }
}

impl<S: Iterator<Item = (u64, f64)>> Paced<S> {
    fn wait_for(&mut self, index: u64, step: u32, start: i64) {
        if let Some(next) = self.visits.get(index).steps.get(step as usize) {
            self.waiting.push(Reverse((start + nanos(next.at), index, step, start)));
        }
    }
}

/// One visit per order: each line has its page and goes into the cart, at the end all is bought.
fn orders(events: &[Event], known: &HashMap<&str, usize>, seed: u64) -> Vec<Visit> {
    let mut by_order: HashMap<&str, Vec<(&Event, &Interaction)>> = HashMap::new();
    let mut order_ids = Vec::new();
    for event in events {
        let EventBody::Interaction(line) = &event.body else { continue };
        let Some(order) = line.order_id.as_deref() else { continue };
        if line.kind == InteractionKind::Purchase {
            by_order.entry(order).or_insert_with(|| {
                order_ids.push(order);
                Vec::new()
            });
            by_order.entry(order).or_default().push((event, line));
        }
    }
    let page = LogNormal::new(MEDIAN_PAGE_S.ln(), PAGE_SPREAD).expect("the spread is positive and finite");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    order_ids
        .iter()
        .map(|order| {
            let lines = &by_order[order];
            let mut visit =
                Opened::new(lines[0].0.person.user_id.as_ref().map(|user| user.as_str().to_owned()));
            let mut bought = Vec::new();
            for deed in lines.iter().filter_map(|(_, line)| deed(line, known)) {
                visit.time += Duration::from_secs_f64(page.sample(&mut rng));
                if visit.time > MAX_VISIT {
                    break;
                }
                visit.look(Deed { kind: "view", quantity: None, price: None, ..deed });
                visit.time += Duration::from_secs_f64(page.sample(&mut rng));
                visit.act(vec![Deed { kind: "cart", ..deed.clone() }]);
                bought.push(deed);
            }
            visit.time += Duration::from_secs_f64(page.sample(&mut rng));
            visit.act(bought);
            visit.close()
        })
        .collect()
}

/// The visits of the simulated market, which have sessions and times of their own.
fn simulated(events: impl Iterator<Item = Event>, known: &HashMap<&str, usize>) -> Vec<Visit> {
    let mut visits: Vec<(Timestamp, Opened)> = Vec::new();
    let mut by_session = HashMap::new();
    for event in events {
        let (EventBody::Interaction(act), Some(session)) = (&event.body, &event.person.session_id) else {
            continue;
        };
        let Some(deed) = deed(act, known) else { continue };
        let at = *by_session.entry(session.clone()).or_insert_with(|| {
            let user = event.person.user_id.as_ref().map(|user| user.as_str().to_owned());
            visits.push((event.timestamp, Opened::new(user)));
            visits.len() - 1
        });
        let (begun, visit) = &mut visits[at];
        let since_ms = event.timestamp.as_millis() - begun.as_millis();
        // The home page was open for a moment before the first act.
        visit.time = 2 * PAGE + Duration::from_millis(u64::try_from(since_ms).unwrap_or_default());
        if visit.time > MAX_VISIT {
            continue;
        }
        match deed.kind {
            "view" | "click" => visit.look(deed),
            _ => visit.act(vec![deed]),
        }
    }
    visits.into_iter().map(|(_, visit)| visit.close()).collect()
}

fn deed(act: &Interaction, known: &HashMap<&str, usize>) -> Option<Deed> {
    let kind = match act.kind {
        InteractionKind::View => "view",
        InteractionKind::Click => "click",
        InteractionKind::Cart => "cart",
        InteractionKind::Purchase => "purchase",
        _ => return None,
    };
    let item = *known.get(act.item_id.as_str())?;
    Some(Deed { kind, item, quantity: act.quantity, price: act.price })
}

/// A visit while it is put together.
struct Opened {
    visit: Visit,
    /// Now, since it began.
    time: Duration,
}

impl Opened {
    /// The home page, which asks for recommendations.
    fn new(user: Option<String>) -> Self {
        let home = Step { at: Duration::ZERO, deeds: Vec::new() };
        Self { visit: Visit { user, steps: vec![home] }, time: Duration::ZERO }
    }

    /// An item's page: what was done to come here, and soon after the recommendations on it.
    fn look(&mut self, deed: Deed) {
        self.act(vec![deed]);
        self.visit.steps.push(Step { at: self.time + PAGE, deeds: Vec::new() });
    }

    /// What happens at one moment goes out in one request.
    fn act(&mut self, deeds: Vec<Deed>) {
        let at = self.time;
        match self.visit.steps.last_mut() {
            Some(last) if last.at == at && !last.deeds.is_empty() => last.deeds.extend(deeds),
            _ if deeds.is_empty() => (),
            _ => self.visit.steps.push(Step { at, deeds }),
        }
    }

    fn close(mut self) -> Visit {
        self.visit.steps.sort_by_key(|step| step.at);
        self.visit
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
