//! What the requests of a run ask for.
//!
//! Request number `index`, of a visit its request number `step`, is the same in every run of a seed, whichever connection
//! sends it and when; only ids of events differ from run to run.

use std::{
    path::{Path, PathBuf},
    rc::Rc,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use rand::{Rng, seq::SliceRandom};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use rand_distr::Zipf;
use serde_json::Value;

use crate::{
    check::{Expected, K},
    events::{Act, EventRequests, Form},
    schedule::{Arrival, Poisson, Rate, Schedule, grouped},
    target::Target,
    visits::{Deed, Source, Visits},
};

/// Sessions that the events of `events` are spread over.
const N_SESSIONS: u64 = 100_000;
/// Known users and items are read from the target, this many users and items per page at most.
const USERS_PATH: &str = "/v1/users?order=id&limit=200";
const ITEMS_PATH: &str = "/v1/items?limit=500";
/// Items of a larger catalogue, and users beyond as many, are left alone.
const MAX_LISTED: usize = 100_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Ten items for known users, some of whom come back far more often than others
    Recommendations,
    /// Clicks, one or a batch per request, over a hundred thousand sessions
    Events,
    /// Visits of real or simulated shoppers: pages, recommendations, carts and orders, at their pace
    Browse,
    /// One path over and over, whatever it answers with status 200
    Get,
}

impl Scenario {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Recommendations => "recommendations",
            Self::Events => "events",
            Self::Browse => "browse",
            Self::Get => "get",
        }
    }
}

/// What a scenario can be told.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) path: String,
    pub(crate) paths: Option<PathBuf>,
    pub(crate) users: Option<PathBuf>,
    pub(crate) items: Option<PathBuf>,
    /// Of every list; empty is none.
    pub(crate) filter: String,
    /// Of every list.
    pub(crate) n_items: usize,
    pub(crate) no_store: bool,
    /// Exponent of the Zipf distribution over users or items, 0 being uniform.
    pub(crate) skew: f64,
    /// Events per request.
    pub(crate) batch: u32,
    pub(crate) form: Form,
    pub(crate) sessions: Option<Source>,
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) seed: u64,
    /// No other run has it.
    pub(crate) run: String,
}

/// Renders the requests of a run.
pub(crate) struct Requests {
    asks: Asks,
    seed: u64,
    /// Begins the ids of sessions and users that are made up.
    prefix: String,
    /// The header lines that all requests share.
    headers: String,
}

enum Asks {
    /// One whole request.
    Get(Vec<u8>),
    /// Whole requests, some of which are asked far more often than others.
    Drawn {
        requests: Vec<Vec<u8>>,
        popularity: Zipf<f64>,
        expected: Expected,
    },
    /// The ids of items are JSON.
    Events {
        items: Vec<String>,
        popularity: Zipf<f64>,
        batch: u32,
        requests: EventRequests,
    },
    Browse {
        items: Vec<String>,
        visits: Rc<Visits>,
        requests: EventRequests,
    },
}

impl Requests {
    /// Reads the users or items that `scenario` needs from a file or else from the target.
    ///
    /// # Errors
    /// When the target does not answer, or knows nobody or nothing.
    pub(crate) fn prepare(scenario: Scenario, target: &Target, options: &Options) -> Result<Self> {
        let no_store = if options.no_store { "cache-control: no-store\r\n" } else { "" };
        let headers = format!("host: {}\r\n{no_store}", target.authority);
        let Options { seed, skew, .. } = *options;
        let popularity = |n: usize| {
            Zipf::new(n as u64, skew).with_context(|| format!("a skew of {skew} makes no Zipf distribution"))
        };
        let requests = || EventRequests::new(options.form, &headers, &options.run);
        let asks = match scenario {
            Scenario::Get => match &options.paths {
                None => Asks::Get(get(&options.path, &headers)),
                Some(file) => {
                    let paths = shuffled(lines(file)?, seed);
                    let requests: Vec<_> = paths.iter().map(|path| get(path, &headers)).collect();
                    let popularity = popularity(requests.len())?;
                    Asks::Drawn { requests, popularity, expected: Expected::Anything }
                }
            },
            Scenario::Recommendations => {
                let users = match &options.users {
                    Some(path) => lines(path)?,
                    None => everything(target, &headers, USERS_PATH, "users", "user_id")?,
                };
                let users = shuffled(users, seed);
                let more = match &*options.filter {
                    "" => String::new(),
                    filter => format!("&filter={}", percent_encoded(filter)),
                };
                let requests = users.iter().map(|user| ask("user_id", user, &more, &headers)).collect();
                let expected = Expected::Slate { n_items: options.n_items };
                Asks::Drawn { requests, popularity: popularity(users.len())?, expected }
            }
            Scenario::Events => {
                let items = match &options.items {
                    Some(path) => lines(path)?,
                    None => shuffled(catalogue(target, &headers)?, seed),
                };
                let popularity = popularity(items.len())?;
                Asks::Events { items: as_json(items), popularity, batch: options.batch, requests: requests() }
            }
            Scenario::Browse => {
                let items = catalogue(target, &headers)?;
                let is_simulated = items[0].starts_with("sim-");
                let default = if is_simulated { Source::Sim } else { Source::OnlineRetail };
                let source = options.sessions.unwrap_or(default);
                let visits = Visits::load(source, options.data_dir.as_deref(), &items, seed)?;
                Asks::Browse { items: as_json(items), visits: Rc::new(visits), requests: requests() }
            }
        };
        Ok(Self { asks, seed, prefix: format!("load-{seed}"), headers })
    }

    /// When the requests leave in an open loop.
    ///
    /// - `grain`: as in [`grouped`]
    pub(crate) fn open(&self, rate: Rate, length: Duration, grain: Duration) -> Schedule {
        Schedule::Open(match &self.asks {
            Asks::Browse { visits, .. } => Box::new(grouped(visits.open(rate, length), grain)),
            _ => Box::new(grouped(Poisson::new(rate, length, self.seed), grain)),
        })
    }

    /// In which order the requests leave in a closed loop.
    pub(crate) fn closed(&self, length: Duration) -> Schedule {
        match &self.asks {
            Asks::Browse { visits, .. } => Schedule::Closed { length, order: Box::new(visits.in_turns()) },
            _ => Schedule::closed(length),
        }
    }

    /// Writes the request that is due to `out`.
    pub(crate) fn render(&self, arrival: Arrival, out: &mut Vec<u8>) -> Expected {
        out.clear();
        let Arrival { index, step, .. } = arrival;
        match &self.asks {
            Asks::Get(request) => {
                out.extend_from_slice(request);
                Expected::Anything
            }
            Asks::Drawn { requests, popularity, expected } => {
                out.extend_from_slice(&requests[self.random(index).sample(popularity) as usize - 1]);
                *expected
            }
            Asks::Events { items, popularity, batch, requests } => {
                let mut rng = self.random(index);
                let session = rng.gen_range(0..N_SESSIONS);
                let person = format!(r#""session_id":"{}-{session}""#, self.prefix);
                let acts = (0..*batch).map(|_| Act {
                    kind: "click",
                    item: &items[rng.sample(popularity) as usize - 1],
                    quantity: None,
                    price: None,
                    is_ordered: false,
                });
                requests.write((index, step), &person, acts, out);
                Expected::Receipt { n_events: u64::from(*batch) }
            }
            Asks::Browse { items, visits, requests } => {
                let visit = visits.get(index);
                let deeds = &visit.steps[step as usize].deeds;
                let (field, id) = match &visit.user {
                    Some(user) => ("user_id", format!("{}-{user}", self.prefix)),
                    None => ("session_id", format!("{}-{index}", self.prefix)),
                };
                if deeds.is_empty() {
                    out.extend(ask(field, &id, "", &self.headers));
                    return Expected::Slate { n_items: K };
                }
                let person = format!("\"{field}\":{}", Value::String(id));
                requests.write((index, step), &person, deeds.iter().map(|deed| act(deed, items)), out);
                Expected::Receipt { n_events: deeds.len() as u64 }
            }
        }
    }

    /// Random numbers that depend on seed and `key` only.
    fn random(&self, key: u64) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(key);
        rng
    }
}

fn act<'a>(deed: &Deed, items: &'a [String]) -> Act<'a> {
    let &Deed { kind, item, quantity, price } = deed;
    Act { kind, item: &items[item], quantity, price, is_ordered: kind == "purchase" }
}

fn get(path: &str, headers: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\n{headers}\r\n").into_bytes()
}

/// - `more`: further parameters, each after an ampersand
fn ask(person: &str, id: &str, more: &str, headers: &str) -> Vec<u8> {
    let id = percent_encoded(id);
    get(&format!("/v1/recommendations?{person}={id}&k={K}{more}"), headers)
}

fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded += &format!("%{byte:02X}");
        }
    }
    encoded
}

/// The non-empty lines of a file.
fn lines(path: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let ids: Vec<_> = text.lines().map(str::trim).filter(|l| !l.is_empty()).map(ToOwned::to_owned).collect();
    ensure!(!ids.is_empty(), "{} has no id: one per line is expected", path.display());
    Ok(ids)
}

/// One page of a list that the target gives.
struct Page {
    /// At least one.
    ids: Vec<String>,
    next_after: Option<String>,
}

fn page(target: &Target, headers: &str, path: &str, list: &str, id: &str) -> Result<Page> {
    let (status, body) = target.ask(&get(path, headers)).with_context(|| format!("GET {path}"))?;
    let body = String::from_utf8_lossy(&body);
    let shown: String = body.chars().take(200).collect();
    ensure!(status == 200, "GET {path} answered {status} instead of 200: {shown}");
    let body: Value =
        serde_json::from_str(&body).with_context(|| format!("GET {path} is not JSON: {shown}"))?;
    let entries = body[list].as_array().with_context(|| format!("GET {path} has no \"{list}\": {shown}"))?;
    let ids: Vec<_> = entries.iter().filter_map(|e| e[id].as_str()).map(ToOwned::to_owned).collect();
    ensure!(!ids.is_empty(), "the target has no {list}: import some first");
    Ok(Page { ids, next_after: body["next_after"].as_str().map(ToOwned::to_owned) })
}

/// The ids of the target's items, as many as are used.
fn catalogue(target: &Target, headers: &str) -> Result<Vec<String>> {
    everything(target, headers, ITEMS_PATH, "items", "item_id")
}

/// In an order that has nothing to do with the ids: which of them are asked for most is chance, the same for each seed.
fn shuffled(mut ids: Vec<String>, seed: u64) -> Vec<String> {
    ids.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    ids
}

/// All pages of a list, as many ids as are used.
fn everything(target: &Target, headers: &str, path: &str, list: &str, id: &str) -> Result<Vec<String>> {
    let mut all = page(target, headers, path, list, id)?;
    while let Some(after) = all.next_after.take().filter(|_| all.ids.len() < MAX_LISTED) {
        let path = format!("{path}&after={}", percent_encoded(&after));
        let next = page(target, headers, &path, list, id)?;
        all.ids.extend(next.ids);
        all.next_after = next.next_after;
    }
    Ok(all.ids)
}

fn as_json(ids: Vec<String>) -> Vec<String> {
    ids.into_iter().map(|id| Value::String(id).to_string()).collect()
}

#[cfg(test)]
mod tests;
