//! Snapshots come and go while requests are answered.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use reqwest::Method;
use serde_json::Value;
use waggle_model::SnapshotVersion;

use crate::world::{World, slate};

const N_SWAPS: usize = 50;
const N_CLIENTS: usize = 8;
const PATH: &str = "/v1/recommendations?user_id=anna&k=12";
const NO_STORE: [(&str, &str); 1] = [("cache-control", "no-store")];

/// Two snapshots take turns: the rows of one are those of the other backwards, and so is the order of its ranker. Candidates
/// of one with rows or ranker of the other would be a list that neither gives.
#[tokio::test(flavor = "multi_thread")]
async fn fifty_swaps_under_load_fail_nobody_mix_nothing_and_leave_nothing_behind() {
    let (world, gateway) = World::furnished().await;
    let ask = async || -> Value {
        let response = gateway.raw(Method::GET, PATH, &NO_STORE, "").await;
        assert_eq!(response.status(), 200);
        response.json().await.unwrap()
    };
    let version = |n: usize| format!("v{n}");
    let mut expected = HashMap::new();
    for n in [1, 2] {
        world.publish_turned(&version(n), n % 2 == 0);
        expected.insert(n % 2, slate(&ask().await));
    }
    assert_ne!(expected[&0], expected[&1]);

    let (is_over, newest_seen, n_answers) =
        (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let client = async || {
        while !is_over.load(Ordering::Relaxed) {
            let answer = ask().await;
            let n: usize = answer["snapshot"].as_str().unwrap()[1..].parse().unwrap();
            assert_eq!(answer["rung"], "personal");
            assert_eq!(slate(&answer), expected[&(n % 2)], "on snapshot v{n}");
            newest_seen.fetch_max(n, Ordering::Relaxed);
            n_answers.fetch_add(1, Ordering::Relaxed);
        }
    };
    let mut published = Vec::new();
    let publisher = async {
        for n in 3..3 + N_SWAPS {
            published.push(world.publish_turned(&version(n), n % 2 == 0));
            while newest_seen.load(Ordering::Relaxed) < n {
                tokio::task::yield_now().await;
            }
        }
        is_over.store(true, Ordering::Relaxed);
    };
    futures::join!(publisher, futures::future::join_all((0..N_CLIENTS).map(|_| client())));

    assert!(n_answers.load(Ordering::Relaxed) >= N_SWAPS);
    let alive: Vec<_> = published.iter().filter_map(std::sync::Weak::upgrade).collect();
    let versions: Vec<&SnapshotVersion> = alive.iter().map(|snapshot| &snapshot.manifest.version).collect();
    assert_eq!(versions.len(), 2, "the current one and the one before: {versions:?}");
    gateway.stop().await;
}
