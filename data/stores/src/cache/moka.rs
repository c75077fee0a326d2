//! The embedded cache: moka, in process.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use moka::Expiry;

use super::{Cache, CacheError, CacheStats};

/// What an entry costs beside its key and value, roughly: moka's own bookkeeping and our handles.
const ENTRY_BYTES: usize = 160;

/// A [`Cache`] in the process, bounded by bytes; what was used least makes room.
#[derive(Debug)]
pub struct MokaCache {
    entries: moka::future::Cache<Bytes, Entry>,
    n_hits: AtomicU64,
    n_misses: AtomicU64,
}

#[derive(Debug, Clone)]
struct Entry {
    value: Bytes,
    ttl: Duration,
}

impl MokaCache {
    /// - `max_bytes`: keys, values and bookkeeping together; a larger value is simply not kept.
    pub fn new(max_bytes: u64) -> Self {
        let entries = moka::future::Cache::builder()
            .max_capacity(max_bytes)
            .weigher(|key: &Bytes, entry: &Entry| {
                u32::try_from(key.len() + entry.value.len() + ENTRY_BYTES).unwrap_or(u32::MAX)
            })
            .expire_after(OwnTtl)
            .build();
        Self { entries, n_hits: AtomicU64::new(0), n_misses: AtomicU64::new(0) }
    }
}

#[async_trait]
impl Cache for MokaCache {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, CacheError> {
        let entry = self.entries.get(key).await;
        let counter = if entry.is_some() { &self.n_hits } else { &self.n_misses };
        counter.fetch_add(1, Ordering::Relaxed);
        Ok(entry.map(|e| e.value))
    }

    async fn set(&self, key: &[u8], value: Bytes, ttl: Duration) -> Result<(), CacheError> {
        if ttl.is_zero() {
            return self.remove(key).await;
        }
        // Copied out of whatever larger buffer they are part of: the weight is then what they keep alive.
        let value = Bytes::copy_from_slice(&value);
        self.entries.insert(Bytes::copy_from_slice(key), Entry { value, ttl }).await;
        Ok(())
    }

    async fn remove(&self, key: &[u8]) -> Result<(), CacheError> {
        self.entries.invalidate(key).await;
        Ok(())
    }

    fn stats(&self) -> CacheStats {
        CacheStats {
            n_hits: self.n_hits.load(Ordering::Relaxed),
            n_misses: self.n_misses.load(Ordering::Relaxed),
            size_bytes: Some(self.entries.weighted_size()),
        }
    }
}

/// Each entry lives as long as it was given, from its last writing.
struct OwnTtl;

impl Expiry<Bytes, Entry> for OwnTtl {
    fn expire_after_create(&self, _key: &Bytes, entry: &Entry, _at: Instant) -> Option<Duration> {
        Some(entry.ttl)
    }

    fn expire_after_update(
        &self,
        _key: &Bytes,
        entry: &Entry,
        _at: Instant,
        _left: Option<Duration>,
    ) -> Option<Duration> {
        Some(entry.ttl)
    }
}
