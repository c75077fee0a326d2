//! What the requests of a run ask for.
//!
//! Request number `index` is the same in every run of a seed, whichever connection sends it and when.

use std::{io::Write, path::Path, time::Instant};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use rand::Rng;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use rand_distr::Zipf;
use serde_json::Value;

use crate::{
    check::{Expected, K},
    http::Connection,
    target::Target,
};

/// Sessions that the single clicks of `events` are spread over.
const N_SESSIONS: u64 = 100_000;
/// Sessions of `mixed` that go on at the same time.
const N_LANES: u64 = 64;
/// Known users and items are read from the target, this many at most.
const USERS_PATH: &str = "/v1/users?limit=200";
const ITEMS_PATH: &str = "/v1/items?limit=500";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Ten items for known users, some of whom come back far more often than others
    Recommendations,
    /// One click per request, over a hundred thousand sessions
    Events,
    /// Sessions that view an item, click it and then ask for recommendations
    Mixed,
}

impl Scenario {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Recommendations => "recommendations",
            Self::Events => "events",
            Self::Mixed => "mixed",
        }
    }
}

/// Renders the requests of a run.
pub(crate) struct Requests {
    scenario: Scenario,
    seed: u64,
    /// Of `recommendations`: each user's whole request.
    asks: Vec<Vec<u8>>,
    /// Of the other scenarios: each item's id as JSON.
    items: Vec<String>,
    /// Place of a user or item, 1-based, by popularity.
    popularity: Zipf<f64>,
    /// The header lines that all requests share.
    headers: String,
}

impl Requests {
    /// Reads the users or items that `scenario` needs from `users` or else from the target.
    ///
    /// - `skew`: exponent of the Zipf distribution over them, 0 being uniform
    ///
    /// # Errors
    /// When the target does not answer, or knows nobody or nothing.
    pub(crate) fn prepare(
        scenario: Scenario,
        target: &Target,
        connection: &mut Connection,
        users: Option<&Path>,
        no_store: bool,
        skew: f64,
        seed: u64,
    ) -> Result<Self> {
        let no_store = if no_store { "cache-control: no-store\r\n" } else { "" };
        let headers = format!("host: {}\r\n{no_store}", target.authority);
        let (mut asks, mut items) = (Vec::new(), Vec::new());
        if scenario == Scenario::Recommendations {
            let users = match users {
                Some(path) => lines(path)?,
                None => ids(connection, &headers, USERS_PATH, "users", "user_id")?,
            };
            asks = users.iter().map(|user| ask("user_id", user, &headers)).collect();
        } else {
            let ids = ids(connection, &headers, ITEMS_PATH, "items", "item_id")?;
            items = ids.into_iter().map(|id| Value::String(id).to_string()).collect();
        }
        let popularity = Zipf::new((asks.len() + items.len()) as u64, skew)
            .with_context(|| format!("a skew of {skew} makes no Zipf distribution"))?;
        Ok(Self { scenario, seed, asks, items, popularity, headers })
    }

    /// Writes request number `index` to `out`.
    pub(crate) fn render(&self, index: u64, out: &mut Vec<u8>) -> Expected {
        out.clear();
        match self.scenario {
            Scenario::Recommendations => {
                out.extend_from_slice(&self.asks[self.popular(index)]);
                Expected::Slate
            }
            Scenario::Events => {
                let session = self.random(index).gen_range(0..N_SESSIONS);
                self.event("click", session, self.popular(index), out)
            }
            Scenario::Mixed => {
                // Each lane is one person at a time, and a step ahead of its neighbour, so that at any moment every
                // kind of request is on its way, and a person's requests leave N_LANES arrivals apart.
                let lane = index % N_LANES;
                let turn = index / N_LANES + lane;
                let session = turn / 3 * N_LANES + lane;
                match turn % 3 {
                    0 => self.event("view", session, self.popular(session), out),
                    1 => self.event("click", session, self.popular(session), out),
                    _ => {
                        out.extend(ask("session_id", &self.session(session), &self.headers));
                        Expected::Slate
                    }
                }
            }
        }
    }

    fn event(&self, kind: &str, session: u64, item: usize, out: &mut Vec<u8>) -> Expected {
        let (session, item) = (self.session(session), &self.items[item]);
        let body = format!(r#"{{"events":[{{"type":"{kind}","session_id":"{session}","item_id":{item}}}]}}"#);
        write!(
            out,
            "POST /v1/events HTTP/1.1\r\n{}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.headers,
            body.len()
        )
        .expect("writing to memory does not fail");
        Expected::Receipt
    }

    fn session(&self, number: u64) -> String {
        format!("load-{}-{number}", self.seed)
    }

    /// Place of the user or item that number `key` of the run is about.
    fn popular(&self, key: u64) -> usize {
        self.random(key).sample(self.popularity) as usize - 1
    }

    /// Random numbers that depend on seed and `key` only.
    fn random(&self, key: u64) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(key);
        rng
    }
}

fn ask(person: &str, id: &str, headers: &str) -> Vec<u8> {
    let id = percent_encoded(id);
    format!("GET /v1/recommendations?{person}={id}&k={K} HTTP/1.1\r\n{headers}\r\n").into_bytes()
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
    ensure!(!ids.is_empty(), "{} has no user id: one per line is expected", path.display());
    Ok(ids)
}

/// The ids of a list that the target gives.
fn ids(connection: &mut Connection, headers: &str, path: &str, list: &str, id: &str) -> Result<Vec<String>> {
    let request = format!("GET {path} HTTP/1.1\r\n{headers}\r\n");
    let response =
        connection.exchange(request.as_bytes(), Instant::now()).with_context(|| format!("GET {path}"))?;
    let body = String::from_utf8_lossy(response.body);
    let shown: String = body.chars().take(200).collect();
    ensure!(response.status == 200, "GET {path} answered {} instead of 200: {shown}", response.status);
    let body: Value =
        serde_json::from_str(&body).with_context(|| format!("GET {path} is not JSON: {shown}"))?;
    let entries = body[list].as_array().with_context(|| format!("GET {path} has no \"{list}\": {shown}"))?;
    let ids: Vec<_> = entries.iter().filter_map(|e| e[id].as_str()).map(ToOwned::to_owned).collect();
    ensure!(!ids.is_empty(), "the target has no {list}: import some first");
    Ok(ids)
}

#[cfg(test)]
mod tests;
