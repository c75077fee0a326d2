//! The contract of [`Cache`].

use std::time::{Duration, Instant};

use bytes::Bytes;
use waggle_stores::Cache;

const LONG: Duration = Duration::from_secs(600);

/// Runs the whole suite on an empty cache of at least 16 MB.
pub(crate) async fn cache_contract(cache: &dyn Cache) {
    values_come_back_until_replaced_or_removed(cache).await;
    each_value_has_its_own_time(cache).await;
    any_bytes_are_kept(cache).await;
}

async fn values_come_back_until_replaced_or_removed(cache: &dyn Cache) {
    let before = cache.stats();
    assert_eq!(cache.get(b"a").await.unwrap(), None);
    cache.set(b"a", Bytes::from("1"), LONG).await.unwrap();
    assert_eq!(cache.get(b"a").await.unwrap(), Some(Bytes::from("1")));
    cache.set(b"a", Bytes::from("2"), LONG).await.unwrap();
    assert_eq!(cache.get(b"a").await.unwrap(), Some(Bytes::from("2")));
    cache.remove(b"a").await.unwrap();
    cache.remove(b"never there").await.unwrap();
    assert_eq!(cache.get(b"a").await.unwrap(), None);
    let after = cache.stats();
    assert_eq!((after.n_hits - before.n_hits, after.n_misses - before.n_misses), (2, 2));
}

async fn each_value_has_its_own_time(cache: &dyn Cache) {
    cache.set(b"short", Bytes::from("s"), Duration::from_millis(30)).await.unwrap();
    cache.set(b"long", Bytes::from("l"), LONG).await.unwrap();
    cache.set(b"shortened", Bytes::from("x"), LONG).await.unwrap();
    cache.set(b"shortened", Bytes::from("y"), Duration::from_millis(30)).await.unwrap();
    cache.set(b"prolonged", Bytes::from("x"), Duration::from_millis(30)).await.unwrap();
    cache.set(b"prolonged", Bytes::from("y"), LONG).await.unwrap();
    cache.set(b"none", Bytes::from("n"), LONG).await.unwrap();
    cache.set(b"none", Bytes::from("n"), Duration::ZERO).await.unwrap();
    assert_eq!(cache.get(b"none").await.unwrap(), None);
    let deadline = Instant::now() + Duration::from_secs(20);
    for key in [b"short".as_slice(), b"shortened"] {
        while cache.get(key).await.unwrap().is_some() {
            assert!(Instant::now() < deadline, "a value outlives its time");
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(cache.get(b"long").await.unwrap(), Some(Bytes::from("l")));
    assert_eq!(cache.get(b"prolonged").await.unwrap(), Some(Bytes::from("y")));
}

async fn any_bytes_are_kept(cache: &dyn Cache) {
    let huge = Bytes::from(vec![0xfe; 2 << 20]);
    for (key, value) in [(b"\0\xff".as_slice(), Bytes::new()), (b"", Bytes::from("no key")), (b"huge", huge)]
    {
        cache.set(key, value.clone(), LONG).await.unwrap();
        assert_eq!(cache.get(key).await.unwrap(), Some(value));
    }
}
