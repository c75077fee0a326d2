//! The index of historical sessions.

use serde::{Deserialize, Serialize};
use waggle_model::{ItemIdx, Timestamp};
use waggle_models::{
    Sessions,
    sessions::{SessionArrays, SessionScoring, days_since_epoch},
};

use super::FitError;

/// Settings of [`fit_sessions`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SessionParams {
    /// The most recent sessions are kept, so many at most.
    pub max_sessions: usize,
    /// Of a longer session the last items are kept: a wholesale order says little about what a visitor is after.
    pub max_items: usize,
    pub scoring: SessionScoring,
}

impl Default for SessionParams {
    fn default() -> Self {
        Self { max_sessions: 1_000_000, max_items: 30, scoring: SessionScoring::default() }
    }
}

/// Items of one session in the order they were last touched, and when it ended.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionRow {
    pub end: Timestamp,
    pub items: Vec<ItemIdx>,
}

/// Indexes the sessions of two items or more, `rows` ascending by end. `None` if there is no such session.
///
/// A session that none of its items lists among its `n_recent` most recent cannot be found and is left out of the arrays;
/// it still counts for `idf`.
///
/// # Errors
/// [`FitError`] for settings out of range.
///
/// # Panics
/// If a row is outside the `n_items`.
pub fn fit_sessions(
    rows: &[SessionRow],
    n_items: usize,
    params: &SessionParams,
) -> Result<Option<Sessions>, FitError> {
    for (name, got, least, rule) in [
        ("max_sessions", params.max_sessions, 1, "at least 1"),
        ("max_items", params.max_items, 2, "at least 2"),
    ] {
        if got < least {
            return Err(FitError::Param { name, got: got as f64, rule });
        }
    }
    let kept: Vec<(u32, Vec<ItemIdx>)> = rows
        .iter()
        .map(|row| (days_since_epoch(row.end), last_distinct(&row.items, params.max_items)))
        .filter(|(_, items)| items.len() >= 2)
        .collect();
    let kept = &kept[kept.len().saturating_sub(params.max_sessions)..];
    if kept.is_empty() {
        return Ok(None);
    }
    let mut counts = vec![0_usize; n_items];
    for item in kept.iter().flat_map(|(_, items)| items) {
        counts[item.row()] += 1;
    }
    let idf = |&count: &usize| if count == 0 { 0.0 } else { (kept.len() as f32 / count as f32).ln() };
    let idf = counts.iter().map(idf).collect();

    let n_listed = |count: &usize| (*count).min(params.scoring.n_recent);
    let mut of_items = Vec::with_capacity(n_items + 1);
    of_items.push(0);
    of_items.extend(counts.iter().scan(0, |end, count| {
        *end += n_listed(count);
        Some(*end)
    }));
    // The most recent sessions are met first, and the lists of their items fill.
    let mut n_in_list = vec![0_usize; n_items];
    let mut is_listed = vec![false; kept.len()];
    let mut listed = vec![0_usize; of_items[n_items]];
    for (session, (_, items)) in kept.iter().enumerate().rev() {
        for row in items.iter().map(|item| item.row()) {
            if n_in_list[row] < n_listed(&counts[row]) {
                listed[of_items[row] + n_in_list[row]] = session;
                n_in_list[row] += 1;
                is_listed[session] = true;
            }
        }
    }
    let mut arrays = SessionArrays { of_items, of_sessions: vec![0], idf, ..SessionArrays::default() };
    let mut numbers = vec![0_u32; kept.len()];
    for (session, (day, items)) in kept.iter().enumerate().filter(|(session, _)| is_listed[*session]) {
        numbers[session] = u32::try_from(arrays.days.len()).expect("sessions are at most a few million");
        arrays.items.extend(items);
        arrays.of_sessions.push(arrays.items.len());
        arrays.days.push(*day);
    }
    arrays.sessions = listed.into_iter().map(|session| numbers[session]).collect();
    Ok(Some(Sessions::try_new(arrays, params.scoring.clone())?))
}

/// The last `n` items without repetition, ascending by row.
fn last_distinct(items: &[ItemIdx], n: usize) -> Vec<ItemIdx> {
    let mut kept: Vec<ItemIdx> = Vec::with_capacity(items.len().min(n));
    for item in items.iter().rev() {
        if kept.len() == n {
            break;
        }
        if !kept.contains(item) {
            kept.push(*item);
        }
    }
    kept.sort_unstable();
    kept
}
