//! What people went on to in sessions like this one: nearest neighbours among historical sessions, found by an index.

#[cfg(test)]
mod tests;

use std::{cell::RefCell, time::Duration};

use serde::{Deserialize, Serialize};
use waggle_features::session::MAX_SESSION_ITEMS;
use waggle_model::{ItemIdx, Timestamp};

use crate::{HistoryEntry, ItemScorer, Query, RecommendError, order};

/// How the historical sessions are chosen and weighed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SessionScoring {
    /// `m`: of the sessions that share an item, so many of the most recent are compared; the index keeps no more per item.
    pub n_recent: usize,
    /// `k`: so many of the most similar of them speak.
    pub n_neighbours: usize,
    /// `η`: a session of `n` items speaks with weight `n^−η`.
    pub length_exponent: f32,
    /// A session this long ago speaks half as loud. `None`: all speak alike.
    pub half_life: Option<Duration>,
}

impl Default for SessionScoring {
    fn default() -> Self {
        // Chosen on the window before the last one of Online Retail: more of either costs time and gains nothing there.
        Self {
            n_recent: 500,
            n_neighbours: 50,
            length_exponent: 0.5,
            half_life: Some(Duration::from_secs(90 * 86_400)),
        }
    }
}

/// Historical sessions, numbered in the order they ended, and per item those it occurs in. It knows rows and days; whose a
/// session was is in no part of it.
///
/// VMIS-kNN of Kersbergen, Sprangers and Schelter, "Serenade – low-latency session-based recommendation in e-commerce at
/// scale" (SIGMOD 2022, section 3), the indexed form of VS-kNN (Ludewig and Jannach, "Evaluation of session-based
/// recommendation algorithms", 2018). With the weights `π_i` of the session's items:
///
/// `r_n = Σ_{i ∈ session ∩ n} π_i` over the `m` most recent sessions `n` that share an item,
/// `score(j) = idf_j · Σ_n v_n·[j ∈ n] / Σ_n v_n`, `v_n = λ_n·r_n·|n|^−η·2^(−age_n/half_life)` over the `k` greatest `r_n`,
/// `λ_n = max π_i` over the shared items, `idf_j = ln(n_sessions/n_sessions with j)`.
///
/// Departures: the paper takes `π` and `λ` from the place in the session; here whoever asks gives `π`, because acts come
/// with a time and a kind, and `λ` is that of the strongest shared item, which is the latest where `π` falls with age. `η`,
/// the half-life and the division are ours: wholesale orders drown the others without `η`, and scores of all sessions have
/// one scale, for a ranker to read.
#[derive(Debug, Clone, PartialEq)]
pub struct Sessions {
    /// The sessions of item `i` are `sessions[of_items[i]..of_items[i + 1]]`, the most recent first, at most `n_recent`.
    of_items: Vec<usize>,
    sessions: Vec<u32>,
    /// The items of session `n` are `items[of_sessions[n]..of_sessions[n + 1]]`, ascending.
    of_sessions: Vec<usize>,
    items: Vec<ItemIdx>,
    /// Days from the epoch to the session's end, ascending.
    days: Vec<u32>,
    /// By item; 0 for one without sessions.
    idf: Vec<f32>,
    /// `|n|^−η` by session.
    loudness: Vec<f32>,
    scoring: SessionScoring,
}

/// Why arrays are not an index of sessions.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SessionsError {
    #[error("{name} is {got}, it must be {rule}")]
    Scoring { name: &'static str, got: f64, rule: &'static str },
    #[error("pointers of {of} must start at 0, never fall, and end at the {n_entries} entries")]
    Pointers { of: &'static str, n_entries: usize },
    #[error("there are {got} {what}, not {expected}")]
    Lengths { what: &'static str, expected: usize, got: usize },
    #[error("items of session {0} do not ascend, or one is outside the items")]
    Items(usize),
    #[error("sessions of item {0} are not the most recent first, too many, or one does not hold the item")]
    ItemSessions(usize),
    #[error("session {0} ended on an earlier day than the one before it")]
    Days(usize),
    #[error("idf of item {item} is {got}, it must be finite and not negative")]
    Idf { item: usize, got: f32 },
}

/// The arrays of [`Sessions`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SessionArrays {
    pub of_items: Vec<usize>,
    pub sessions: Vec<u32>,
    pub of_sessions: Vec<usize>,
    pub items: Vec<ItemIdx>,
    pub days: Vec<u32>,
    pub idf: Vec<f32>,
}

impl Sessions {
    /// # Errors
    /// [`SessionsError`] says what is wrong with the arrays.
    pub fn try_new(arrays: SessionArrays, scoring: SessionScoring) -> Result<Self, SessionsError> {
        check_scoring(&scoring)?;
        let SessionArrays { of_items, sessions, of_sessions, items, days, idf } = arrays;
        check_pointers("items", &of_items, sessions.len())?;
        check_pointers("sessions", &of_sessions, items.len())?;
        for (what, expected, got) in
            [("days", of_sessions.len() - 1, days.len()), ("idf", of_items.len() - 1, idf.len())]
        {
            if got != expected {
                return Err(SessionsError::Lengths { what, expected, got });
            }
        }
        let length = |ends: &[usize]| (ends[1] - ends[0]) as f32;
        let loudness =
            of_sessions.windows(2).map(|ends| length(ends).powf(-scoring.length_exponent)).collect();
        let model = Self { of_items, sessions, of_sessions, items, days, idf, loudness, scoring };
        model.check_entries()?;
        Ok(model)
    }

    fn check_entries(&self) -> Result<(), SessionsError> {
        for session in 0..self.n_sessions() {
            let items = &self.items[self.of_sessions[session]..self.of_sessions[session + 1]];
            let ascend = items.windows(2).all(|pair| pair[0] < pair[1]);
            if !ascend || items.last().is_some_and(|item| item.row() >= self.n_items()) {
                return Err(SessionsError::Items(session));
            }
        }
        if let Some(at) = self.days.windows(2).position(|pair| pair[0] > pair[1]) {
            return Err(SessionsError::Days(at + 1));
        }
        for row in 0..self.n_items() {
            let (item, got) = (ItemIdx::from_row(row), self.idf[row]);
            if !(got.is_finite() && got >= 0.0) {
                return Err(SessionsError::Idf { item: row, got });
            }
            let sessions = self.sessions_of(item);
            let fall = sessions.windows(2).all(|pair| pair[0] > pair[1]);
            let is_known = sessions.first().is_none_or(|newest| (*newest as usize) < self.n_sessions());
            let holds = |session: &u32| self.items_of(*session).binary_search(&item).is_ok();
            if !fall || !is_known || sessions.len() > self.scoring.n_recent || !sessions.iter().all(holds) {
                return Err(SessionsError::ItemSessions(row));
            }
        }
        Ok(())
    }

    pub fn n_items(&self) -> usize {
        self.of_items.len() - 1
    }

    pub fn n_sessions(&self) -> usize {
        self.of_sessions.len() - 1
    }

    pub fn scoring(&self) -> &SessionScoring {
        &self.scoring
    }

    pub fn arrays(&self) -> SessionArrays {
        let Self { of_items, sessions, of_sessions, items, days, idf, .. } = self.clone();
        SessionArrays { of_items, sessions, of_sessions, items, days, idf }
    }

    /// What each of the item's neighbours says: `vote(item, share · idf, of)` once per neighbour and item of it, where
    /// `of` is the strongest item that the neighbour shares with the session. The sum of an item's votes is its score.
    /// Items of the session get votes like all others.
    ///
    /// - `session`: distinct items with their weights `π`, greater than 0
    ///
    /// Costs `O(|session|·m + k·|n|)`.
    pub fn votes(
        &self,
        session: &[(ItemIdx, f32)],
        now: Timestamp,
        memory: &mut Neighbourhood,
        mut vote: impl FnMut(ItemIdx, f32, ItemIdx),
    ) {
        memory.find(self, session);
        let today = days_since_epoch(now);
        let half_life_days = self.scoring.half_life.map(|half_life| half_life.as_secs_f32() / 86_400.0);
        let mut total = 0.0;
        for neighbour in &mut memory.nearest {
            let row = neighbour.session as usize;
            let strongest = session[neighbour.strongest as usize].1;
            let age_days = today.saturating_sub(self.days[row]) as f32;
            let recency = half_life_days.map_or(1.0, |half_life| (-age_days / half_life).exp2());
            neighbour.voice *= strongest * self.loudness[row] * recency;
            total += neighbour.voice;
        }
        // All so long ago that nothing is left of them.
        if total <= f32::MIN_POSITIVE {
            return;
        }
        for neighbour in &memory.nearest {
            let (share, of) = (neighbour.voice / total, session[neighbour.strongest as usize].0);
            for &item in self.items_of(neighbour.session) {
                vote(item, share * self.idf[item.row()], of);
            }
        }
    }

    /// The most recent first; none for an item outside the model.
    fn sessions_of(&self, item: ItemIdx) -> &[u32] {
        match (self.of_items.get(item.row()), self.of_items.get(item.row() + 1)) {
            (Some(&from), Some(&to)) => &self.sessions[from..to],
            _ => &[],
        }
    }

    fn items_of(&self, session: u32) -> &[ItemIdx] {
        let row = session as usize;
        &self.items[self.of_sessions[row]..self.of_sessions[row + 1]]
    }
}

/// Whole days; a moment before the epoch counts as the epoch.
pub fn days_since_epoch(time: Timestamp) -> u32 {
    u32::try_from(time.as_millis().max(0) / 86_400_000).unwrap_or(u32::MAX)
}

/// Memory that one search after the other works in; what a search touched is cleared by the next.
#[derive(Debug, Default)]
pub struct Neighbourhood {
    by_session: Vec<Shared>,
    touched: Vec<u32>,
    ranked: Vec<u64>,
    nearest: Vec<Neighbour>,
}

/// What a historical session shares with the session.
#[derive(Debug, Clone, Copy, Default)]
struct Shared {
    /// `r_n`; 0 is untouched.
    similarity: f32,
    /// Place of the strongest shared item, the first among equals.
    strongest: u32,
}

#[derive(Debug, Clone, Copy)]
struct Neighbour {
    session: u32,
    strongest: u32,
    /// `r_n`, then `v_n`.
    voice: f32,
}

impl Neighbourhood {
    /// The `k` most similar of the `m` most recent sessions that share an item, ties to the more recent.
    ///
    /// The paper keeps a heap of the `m` most recent while it goes through the lists. Numbers that ascend in time make
    /// one selection per list do: whatever lies before the `m`-th most recent so far is looked at no more.
    fn find(&mut self, model: &Sessions, session: &[(ItemIdx, f32)]) {
        self.nearest.clear();
        if let &[(item, weight)] = session {
            // All are equally similar: the list itself is the order.
            let newest = model.sessions_of(item).iter().take(model.scoring.n_neighbours);
            self.nearest.extend(newest.map(|&session| Neighbour { session, strongest: 0, voice: weight }));
            return;
        }
        self.collect(model, session);
        let keys = self
            .touched
            .iter()
            .map(|&other| order::key(self.by_session[other as usize].similarity, u32::MAX - other));
        self.ranked.clear();
        self.ranked.extend(keys);
        let n_neighbours = model.scoring.n_neighbours;
        if self.ranked.len() > n_neighbours {
            self.ranked.select_nth_unstable(n_neighbours - 1);
            self.ranked.truncate(n_neighbours);
        }
        // Sums of floats depend on the order, and a selection leaves none that is promised.
        self.ranked.sort_unstable();
        self.nearest.extend(self.ranked.iter().map(|&key| {
            let session = u32::MAX - order::place(key);
            let Shared { similarity, strongest } = self.by_session[session as usize];
            Neighbour { session, strongest, voice: similarity }
        }));
    }

    /// Sums `r_n` over the lists of the session's items.
    fn collect(&mut self, model: &Sessions, session: &[(ItemIdx, f32)]) {
        for touched in self.touched.drain(..) {
            self.by_session[touched as usize] = Shared::default();
        }
        self.by_session.resize(model.n_sessions(), Shared::default());
        let n_recent = model.scoring.n_recent;
        let mut oldest = 0;
        for (place, &(item, weight)) in (0_u32..).zip(session) {
            for &other in model.sessions_of(item).iter().take_while(|other| **other >= oldest) {
                let shared = &mut self.by_session[other as usize];
                if shared.similarity == 0.0 {
                    self.touched.push(other);
                    shared.strongest = place;
                } else if weight > session[shared.strongest as usize].1 {
                    shared.strongest = place;
                }
                shared.similarity += weight;
            }
            if self.touched.len() >= n_recent {
                let (_, last, _) = self.touched.select_nth_unstable_by(n_recent - 1, |a, b| b.cmp(a));
                oldest = *last;
                for older in self.touched.drain(n_recent..) {
                    self.by_session[older as usize] = Shared::default();
                }
            }
        }
    }
}

impl ItemScorer for Sessions {
    fn name(&self) -> &str {
        "vmis-knn"
    }

    fn n_items(&self) -> usize {
        Self::n_items(self)
    }

    /// The newest items of the history are the session, with the paper's linear decay: `π_i = 1 − later_i/|session|`,
    /// where `later_i` items were touched later. The session's own items are no candidates.
    fn score_items(&self, query: &Query<'_>, scores: &mut [f32]) -> Result<(), RecommendError> {
        thread_local! {
            static MEMORY: RefCell<Neighbourhood> = RefCell::default();
        }
        let n_items = Self::n_items(self);
        if let Some(entry) = query.history.iter().find(|entry| entry.item.row() >= n_items) {
            return Err(RecommendError::UnknownItem { row: entry.item.row(), n_items });
        }
        let session = newest(query.history);
        scores.fill(f32::NEG_INFINITY);
        MEMORY.with_borrow_mut(|memory| {
            self.votes(&session, query.now, memory, |item, vote, _| {
                let score = &mut scores[item.row()];
                *score = score.max(0.0) + vote;
            });
        });
        for (item, _) in session {
            scores[item.row()] = f32::NEG_INFINITY;
        }
        Ok(())
    }
}

fn newest(history: &[HistoryEntry]) -> Vec<(ItemIdx, f32)> {
    let newest = &history[history.len().saturating_sub(MAX_SESSION_ITEMS)..];
    let n = newest.len() as f32;
    let n_later = |entry: &HistoryEntry| newest.iter().filter(|other| other.time > entry.time).count() as f32;
    newest.iter().rev().map(|entry| (entry.item, 1.0 - n_later(entry) / n)).collect()
}

fn check_scoring(scoring: &SessionScoring) -> Result<(), SessionsError> {
    let check = |ok: bool, name, got: f64, rule| {
        if ok { Ok(()) } else { Err(SessionsError::Scoring { name, got, rule }) }
    };
    check(scoring.n_recent > 0, "n_recent", scoring.n_recent as f64, "greater than 0")?;
    check(scoring.n_neighbours > 0, "n_neighbours", scoring.n_neighbours as f64, "greater than 0")?;
    check(
        (0.0..=2.0).contains(&scoring.length_exponent),
        "length_exponent",
        scoring.length_exponent.into(),
        "from 0 to 2",
    )?;
    check(
        scoring.half_life.is_none_or(|half_life| half_life.as_secs() >= 1),
        "half_life",
        scoring.half_life.unwrap_or_default().as_secs_f64(),
        "a second or longer",
    )
}

fn check_pointers(of: &'static str, pointers: &[usize], n_entries: usize) -> Result<(), SessionsError> {
    let ends = pointers.first() == Some(&0) && pointers.last() == Some(&n_entries);
    if ends && pointers.windows(2).all(|pair| pair[0] <= pair[1]) {
        Ok(())
    } else {
        Err(SessionsError::Pointers { of, n_entries })
    }
}
