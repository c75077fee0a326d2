//! The cache: values that may be served again for a while, and may vanish at any time.

pub mod moka;
pub mod redis;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

pub use self::{moka::MokaCache, redis::RedisCache};

/// What a cache has seen since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheStats {
    pub n_hits: u64,
    pub n_misses: u64,
    /// Bytes held, keys and bookkeeping included, where the implementation knows.
    pub size_bytes: Option<u64>,
}

#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    #[error("cache storage failed: {0}")]
    Storage(String),
}

/// Values by key, each with its own time to live.
#[async_trait]
pub trait Cache: Send + Sync + 'static {
    /// The value, unless it was never set, ran out, was removed or had to make room.
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, CacheError>;

    /// Sets or replaces the value for `ttl` from now; a `ttl` of zero removes it.
    async fn set(&self, key: &[u8], value: Bytes, ttl: Duration) -> Result<(), CacheError>;

    async fn remove(&self, key: &[u8]) -> Result<(), CacheError>;

    fn stats(&self) -> CacheStats;
}
