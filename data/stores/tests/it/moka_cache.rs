//! The embedded cache: its contract and its bound.

use std::time::Duration;

use bytes::Bytes;
use waggle_stores::{Cache, MokaCache};

use crate::contract::cache::cache_contract;

#[tokio::test]
async fn moka_keeps_the_contract() {
    cache_contract(&MokaCache::new(64 << 20)).await;
}

#[tokio::test]
async fn the_bytes_held_stay_near_the_bound() {
    let cache = MokaCache::new(1 << 20);
    for i in 0..5_000_u32 {
        cache.set(&i.to_le_bytes(), Bytes::from(vec![1; 1_000]), Duration::from_secs(600)).await.unwrap();
    }
    let mut n_held = 0;
    for i in 0..5_000_u32 {
        n_held += usize::from(cache.get(&i.to_le_bytes()).await.unwrap().is_some());
    }
    // moka evicts in the background of later calls, so it may be a little above for a moment.
    assert!((200..=2_000).contains(&n_held), "{n_held} of 1 kB each held in 1 MB");
    assert!(cache.stats().size_bytes.unwrap() <= 2 << 20);
}
