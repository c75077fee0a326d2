//! The cache of production: Redis, shared by every gateway.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use deadpool_redis::redis::{FromRedisValue, Pipeline};

use super::{Cache, CacheError, CacheStats};
use crate::redis::{Failed, Redis, RedisConfig, check_prefix};

/// How long Redis is left alone after a failure: at first, and after failures in a row that doubled it.
const PAUSE: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(8)];

/// A [`Cache`] in Redis, under keys `prefix:cache:…`; Redis bounds its size (`maxmemory`) and removes what ran out.
///
/// It never makes anybody wait long: connecting and answering together have `cache_timeout_ms`, after that the request
/// fails. After a failure Redis is not asked for a moment that doubles from 250 ms up to 8 s: requests fail at once,
/// until one of them is let through to try. A failed `get` is neither hit nor miss; whoever asks goes on without a
/// cached value. A failed `set` or `remove` may have happened all the same.
///
/// The online state must not be thrown away when memory is full, a cache should: in production give each its server.
#[derive(Debug)]
pub struct RedisCache {
    redis: Redis,
    prefix: String,
    timeout: Duration,
    circuit: Circuit,
    n_hits: AtomicU64,
    n_misses: AtomicU64,
}

impl RedisCache {
    /// Checks the configuration and tries to connect. A server that does not answer is logged and tried again later.
    ///
    /// # Errors
    /// [`CacheError::Storage`] for a URL that is none, and a prefix that does not fit.
    pub async fn connect(config: &RedisConfig, prefix: &str) -> Result<Self, CacheError> {
        check_prefix(prefix).map_err(CacheError::Storage)?;
        let timeout = Duration::from_millis(config.cache_timeout_ms.max(1));
        let cache = Self {
            redis: Redis::new(config, timeout)?,
            prefix: prefix.to_owned(),
            timeout,
            circuit: Circuit::default(),
            n_hits: AtomicU64::new(0),
            n_misses: AtomicU64::new(0),
        };
        let mut ping = Pipeline::new();
        ping.cmd("PING").ignore();
        if let Err(error) = cache.ask::<()>(&ping).await {
            tracing::warn!(%error, "the cache does not answer; everything is computed until it does");
        }
        Ok(cache)
    }

    async fn ask<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, CacheError> {
        let pause = self.circuit.pass(Instant::now())?;
        let failed = match tokio::time::timeout(self.timeout, self.redis.query(pipeline)).await {
            Ok(Ok(answer)) => {
                self.circuit.close();
                return Ok(answer);
            }
            Ok(Err(failed)) => failed.message,
            Err(_) => format!("redis did not answer within {:?}", self.timeout),
        };
        self.circuit.open(Instant::now(), pause);
        Err(CacheError::Storage(failed))
    }

    fn key(&self, key: &[u8]) -> Vec<u8> {
        [self.prefix.as_bytes(), b":cache:", key].concat()
    }
}

#[async_trait]
impl Cache for RedisCache {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, CacheError> {
        let mut pipeline = Pipeline::with_capacity(1);
        pipeline.cmd("GET").arg(self.key(key));
        let (value,): (Option<Vec<u8>>,) = self.ask(&pipeline).await?;
        let counter = if value.is_some() { &self.n_hits } else { &self.n_misses };
        counter.fetch_add(1, Ordering::Relaxed);
        Ok(value.map(Bytes::from))
    }

    async fn set(&self, key: &[u8], value: Bytes, ttl: Duration) -> Result<(), CacheError> {
        if ttl.is_zero() {
            return self.remove(key).await;
        }
        // Redis counts milliseconds; what is to live for less lives for one. Its largest time to live is some 292
        // million years from now.
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).clamp(1, u64::from(u32::MAX) * 1_000);
        let mut pipeline = Pipeline::with_capacity(1);
        pipeline.cmd("SET").arg(self.key(key)).arg(value.as_ref()).arg("PX").arg(ttl_ms).ignore();
        self.ask(&pipeline).await
    }

    async fn remove(&self, key: &[u8]) -> Result<(), CacheError> {
        let mut pipeline = Pipeline::with_capacity(1);
        pipeline.cmd("UNLINK").arg(self.key(key)).ignore();
        self.ask(&pipeline).await
    }

    fn stats(&self) -> CacheStats {
        CacheStats {
            n_hits: self.n_hits.load(Ordering::Relaxed),
            n_misses: self.n_misses.load(Ordering::Relaxed),
            size_bytes: None,
        }
    }
}

/// Keeps requests away from a server that failed.
#[derive(Debug, Default)]
struct Circuit {
    /// `None`: closed, everybody may ask.
    open: Mutex<Option<Open>>,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    until: Instant,
    pause: Duration,
}

impl Circuit {
    /// Whether to ask now, and if so how long the pause is if that fails. When a pause is over one request may ask, and
    /// the others are kept away until it is known what became of it.
    fn pass(&self, now: Instant) -> Result<Duration, CacheError> {
        match self.lock().as_mut() {
            None => Ok(PAUSE[0]),
            Some(Open { until, .. }) if now < *until => Err(CacheError::Storage(format!(
                "redis failed and is not asked for another {} ms",
                (*until - now).as_millis()
            ))),
            Some(Open { until, pause }) => {
                *until = now + *pause;
                Ok((*pause * 2).min(PAUSE[1]))
            }
        }
    }

    fn open(&self, now: Instant, pause: Duration) {
        let mut open = self.lock();
        // Of several failures that were under way together the longest pause counts.
        let pause = open.map_or(pause, |open| open.pause.max(pause));
        *open = Some(Open { until: now + pause, pause });
    }

    fn close(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<Failed> for CacheError {
    fn from(failed: Failed) -> Self {
        Self::Storage(failed.message)
    }
}

#[cfg(test)]
mod tests;
