//! When an answer may be served again: to the same person, who did nothing since, asking for the same.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use waggle_contracts::api::RecommendationResponse;
use waggle_features::PersonState;
use waggle_model::SnapshotVersion;
use xxhash_rust::xxh3::Xxh3;

use crate::recommend::Wanted;

/// Version of the cached form; a value of another version is not read.
const VERSION: u8 = 1;

/// What is kept: the response as served, and how many candidates it was chosen from.
#[derive(Debug, Serialize, Deserialize)]
pub struct CachedAnswer {
    pub response: RecommendationResponse,
    pub n_candidates: u32,
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
    ] {
        hash.update(&number.to_le_bytes());
    }
    let mut key = b"answer/".to_vec();
    key.extend_from_slice(&hash.digest128().to_le_bytes());
    key
}

pub fn encode(answer: &CachedAnswer) -> Bytes {
    let mut bytes = vec![VERSION];
    serde_json::to_writer(&mut bytes, answer).expect("an answer serialises into memory");
    bytes.into()
}

/// `None` for anything that [`encode`] of this version did not write.
pub fn decode(bytes: &[u8]) -> Option<CachedAnswer> {
    let (version, body) = bytes.split_first()?;
    if *version != VERSION {
        return None;
    }
    serde_json::from_slice(body).ok()
}

#[cfg(test)]
mod tests;
