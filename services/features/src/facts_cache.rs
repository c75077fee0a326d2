//! What was worked out of items' counters a moment ago.

use std::sync::{PoisonError, RwLock};

use waggle_features::ItemFacts;
use waggle_model::{ItemKey, KeyMap, Timestamp};

/// How long facts are used, in milliseconds. Their shortest half-life is a day.
const MAX_AGE_MS: i64 = 1_000;
/// Most items kept; beyond it the stale ones of a shard go, and if that is not enough all of them.
const MAX_ITEMS: usize = 1 << 18;
const N_SHARDS: usize = 32;

#[derive(Default)]
pub(crate) struct FactsCache {
    shards: [RwLock<KeyMap<Kept>>; N_SHARDS],
}

#[derive(Clone, Copy)]
struct Kept {
    facts: ItemFacts,
    as_of: Timestamp,
}

impl Kept {
    fn is_fresh(&self, now: Timestamp) -> bool {
        // A clock that went back makes them stale as well.
        (0..MAX_AGE_MS).contains(&(now.as_millis() - self.as_of.as_millis()))
    }
}

impl FactsCache {
    /// The facts in the order asked, and the places of those that are not there.
    pub(crate) fn get(&self, items: &[ItemKey], now: Timestamp) -> (Vec<ItemFacts>, Vec<usize>) {
        let mut missing = Vec::new();
        let facts = items
            .iter()
            .enumerate()
            .map(|(place, item)| {
                let shard = self.shards[shard_of(*item)].read().unwrap_or_else(PoisonError::into_inner);
                match shard.get(item).filter(|kept| kept.is_fresh(now)) {
                    Some(kept) => kept.facts,
                    None => {
                        missing.push(place);
                        ItemFacts::default()
                    }
                }
            })
            .collect();
        (facts, missing)
    }

    pub(crate) fn put(&self, facts: impl IntoIterator<Item = (ItemKey, ItemFacts)>, now: Timestamp) {
        for (item, facts) in facts {
            let mut shard = self.shards[shard_of(item)].write().unwrap_or_else(PoisonError::into_inner);
            if shard.len() >= MAX_ITEMS / N_SHARDS {
                shard.retain(|_, kept| kept.is_fresh(now));
                if shard.len() >= MAX_ITEMS / N_SHARDS {
                    shard.clear();
                }
            }
            shard.insert(item, Kept { facts, as_of: now });
        }
    }
}

fn shard_of(item: ItemKey) -> usize {
    // Bits that the maps inside do not use.
    (item.0 >> 32) as usize % N_SHARDS
}

#[cfg(test)]
mod tests;
