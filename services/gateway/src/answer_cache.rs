//! When an answer may be served again: to the same person, who did nothing since, asking for the same.
//!
//! It is fresh for its time to live, and stale for a while after it. A stale one is served where waiting for a fresh one,
//! or a failure, would be worse (as `stale-while-revalidate` and `stale-if-error` of RFC 5861). Acting makes another
//! question of it, so not even a stale answer is from before something the person did.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use waggle_features::PersonState;
use waggle_model::{SnapshotVersion, Timestamp};
use xxhash_rust::xxh3::Xxh3;

use crate::{recommend::Wanted, served::Served};

/// Version of the cached form; a value of another version is not read.
const VERSION: u8 = 3;

/// What is kept: the answer as served, and how many candidates it was chosen from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CachedAnswer {
    pub served: Served,
    pub n_candidates: u32,
    pub computed_at: Timestamp,
}

impl CachedAnswer {
    /// Whether it is not older than `ttl`. Clocks of processes that share a cache may differ: one from the future is new.
    pub fn is_fresh(&self, ttl: Duration, now: Timestamp) -> bool {
        let age_ms = now.as_millis().saturating_sub(self.computed_at.as_millis()).max(0).unsigned_abs();
        u128::from(age_ms) < ttl.as_millis()
    }
}

/// The key holds everything the answer depends on.
///
/// The person's part changes with each of their events, so acting is the invalidation; nobody else's events touch it.
/// The catalogue's part changes with each of its changes: an answer from before may hold an item that is hidden now.
pub fn key(
    wanted: &Wanted<'_>,
    state: &PersonState,
    snapshot: Option<&SnapshotVersion>,
    catalog_version: u64,
) -> Vec<u8> {
    let Wanted { request, .. } = wanted;
    let mut hash = Xxh3::new();
    let mut text = |field: &str| {
        hash.update(&(field.len() as u64).to_le_bytes());
        hash.update(field.as_bytes());
    };
    // A list that is the same for everybody is one entry.
    let person = Some(&request.person).filter(|_| !request.is_impersonal);
    text(person.and_then(|p| p.user_id.as_ref()).map_or("", |id| id.as_str()));
    text(person.and_then(|p| p.session_id.as_ref()).map_or("", |id| id.as_str()));
    text(request.placement.as_str());
    text(snapshot.map_or("", |version| version.as_str()));
    text(request.category.as_deref().unwrap_or_default());
    text(request.filter.as_deref().unwrap_or_default());
    text(&request.boost.len().to_string());
    for rule in &request.boost {
        text(&rule.when);
        text(&rule.by.to_bits().to_string());
    }
    text(&request.max_per.len().to_string());
    for (attribute, most) in &request.max_per {
        text(attribute);
        text(&most.to_string());
    }
    for (list, name) in [
        (&request.items, "items"),
        (&request.exclude, "exclude"),
        (&request.pin, "pin"),
        (&request.shown_before, "shown before"),
    ] {
        text(name);
        text(&list.len().to_string());
        list.iter().for_each(|id| text(id.as_str()));
    }
    for number in [
        catalog_version,
        state.n_events,
        state.last_seen.as_millis().cast_unsigned(),
        wanted.placements_fingerprint,
        wanted.k as u64,
        u64::from(request.exclude_known),
        u64::from(request.include_items),
        request.sources.iter().fold(0, |mask, source| mask | 1 << *source as u64),
        u64::from(request.diversity.map_or(u32::MAX, f32::to_bits)),
        u64::from(request.new_share.map_or(u32::MAX, f32::to_bits)),
        wanted.rules.fatigue.map_or(0, |fatigue| state.shown.fingerprint(fatigue.after)),
        wanted.rules.rotation.map_or(0, |turn| turn.seed),
    ] {
        hash.update(&number.to_le_bytes());
    }
    let mut key = b"answer/".to_vec();
    key.extend_from_slice(&hash.digest128().to_le_bytes());
    key
}

pub fn encode(answer: &CachedAnswer) -> Bytes {
    let mut bytes = vec![VERSION];
    rmp_serde::encode::write(&mut bytes, answer).expect("an answer serialises into memory");
    bytes.into()
}

/// `None` for anything that [`encode`] of this version did not write.
pub fn decode(bytes: &[u8]) -> Option<CachedAnswer> {
    let (version, body) = bytes.split_first()?;
    if *version != VERSION {
        return None;
    }
    rmp_serde::from_slice(body).ok()
}

#[cfg(test)]
pub(crate) mod tests;
