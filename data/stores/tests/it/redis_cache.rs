//! The cache in Redis: its contract, and a server that is away.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use bytes::Bytes;
use waggle_stores::{Cache, CacheError, RedisCache, RedisConfig, RedisUrl};

use crate::{
    contract::cache::cache_contract,
    support::redis::{OwnPrefix, OwnServer},
};

const LONG: Duration = Duration::from_secs(600);

#[tokio::test]
async fn redis_keeps_the_contract() {
    let own = OwnPrefix::new();
    cache_contract(&RedisCache::connect(&own.config(), &own.prefix).await.unwrap()).await;
}

#[tokio::test]
async fn what_one_gateway_caches_another_of_the_same_prefix_serves() {
    let (own, elsewhere) = (OwnPrefix::new(), OwnPrefix::new());
    let one = RedisCache::connect(&own.config(), &own.prefix).await.unwrap();
    let two = RedisCache::connect(&own.config(), &own.prefix).await.unwrap();
    let third = RedisCache::connect(&elsewhere.config(), &elsewhere.prefix).await.unwrap();
    one.set(b"answer", Bytes::from("1"), LONG).await.unwrap();
    one.set(b"brief", Bytes::from("1"), Duration::from_micros(1)).await.unwrap();
    one.set(b"endless", Bytes::from("1"), Duration::MAX).await.unwrap();
    assert_eq!(two.get(b"answer").await.unwrap(), Some(Bytes::from("1")));
    assert_eq!(two.get(b"endless").await.unwrap(), Some(Bytes::from("1")));
    assert_eq!(third.get(b"answer").await.unwrap(), None);
    assert_eq!((two.stats().n_hits, third.stats().n_misses, third.stats().size_bytes), (2, 1, None));
    // Nothing stays for good: each key has its time to live.
    for key in own.keys() {
        let left: i64 = deadpool_redis::redis::cmd("PTTL").arg(&key).query(&mut own.connection()).unwrap();
        assert_ne!(left, -1, "{key:?}");
    }
}

#[tokio::test]
async fn a_server_that_never_answers_is_asked_once_and_not_on_every_request() {
    // Connections are accepted by the system, and nobody ever reads from them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = RedisUrl::new(format!("redis://{}", silent.local_addr().unwrap()));
    let config = RedisConfig { url, cache_timeout_ms: 50, ..RedisConfig::default() };
    let start = Instant::now();
    let cache = RedisCache::connect(&config, "test").await.unwrap();
    let mut n_kept_away = 0;
    for _ in 0..2_000 {
        let CacheError::Storage(why) = cache.get(b"key").await.unwrap_err();
        n_kept_away += u32::from(why.contains("not asked"));
    }
    let took = start.elapsed();
    assert!(took < Duration::from_secs(10), "2,000 requests took {took:?}");
    silent.set_nonblocking(true).unwrap();
    let n_connections = std::iter::from_fn(|| silent.accept().ok()).count() as u128;
    // One at first, and at most one after each pause.
    assert!((1..=2 + took.as_millis() / 250).contains(&n_connections), "{n_connections} in {took:?}");
    assert!(u128::from(n_kept_away) + n_connections > 2_000, "{n_kept_away} kept away");
    assert_eq!((cache.stats().n_hits, cache.stats().n_misses), (0, 0));
}

#[tokio::test]
async fn a_server_that_comes_back_is_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let server = OwnServer::start(folder.path(), "no");
    let cache = RedisCache::connect(&server.config(), "test").await.unwrap();
    cache.set(b"key", Bytes::from("value"), LONG).await.unwrap();
    let config = server.config();
    server.kill();
    assert!(cache.get(b"key").await.is_err());
    // A cache that starts while the server is away does start.
    let started_without = RedisCache::connect(&config, "test").await.unwrap();
    let server = OwnServer::start(folder.path(), "no");
    for cache in [cache, started_without] {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            match cache.get(b"key").await {
                Ok(value) => break assert_eq!(value, Some(Bytes::from("value"))),
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            tokio::task::yield_now().await;
        }
    }
    server.kill();
}

#[tokio::test]
async fn settings_that_make_no_sense_are_refused() {
    let config = RedisConfig { url: RedisUrl::new("ftp://127.0.0.1"), ..RedisConfig::default() };
    assert!(RedisCache::connect(&config, "test").await.is_err());
    assert!(RedisCache::connect(&RedisConfig::default(), "a{b}").await.is_err());
}
