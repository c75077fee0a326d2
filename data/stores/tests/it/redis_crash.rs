//! A Redis that dies in the middle of commits: what is left is exactly the state of some commit.

use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use waggle_stores::{
    MemoryState, RedisConfig, RedisState, StateBatch, StateDigest, StateError, StateKind, StateStore,
    state::digest,
};

use crate::{
    contract::state::{batch, key, spread},
    support::redis::OwnServer,
};

/// The batch that moves the state from `step` to `step + 1`: it rewrites, adds and removes, over several hashes.
fn step(step: u64) -> StateBatch {
    let text = |i: u64| Some(Bytes::from(format!("{step}/{i} ").repeat(60)));
    let mut writes = (0..30).map(|i| (key(0, StateKind::Item, spread(i)), text(i))).collect::<Vec<_>>();
    writes.push((key(0, StateKind::Person, spread(step)), text(step)));
    writes.push((key(0, StateKind::Fold, step), text(step)));
    if let Some(old) = step.checked_sub(5) {
        writes.push((key(0, StateKind::Person, spread(old)), None));
    }
    batch(0, step, step + 1, writes)
}

/// What the state must be after `n_steps`.
async fn expected(n_steps: u64) -> StateDigest {
    let memory = MemoryState::in_memory(1);
    for i in 0..n_steps {
        memory.commit(step(i)).await.unwrap();
    }
    digest(&memory, 0).await.unwrap()
}

/// Commits until the server dies; how many commits were confirmed.
async fn commit_until_it_dies(store: &RedisState, first: u64) -> u64 {
    let mut confirmed = first;
    loop {
        match store.commit(step(confirmed)).await {
            Ok(()) => confirmed += 1,
            Err(StateError::Storage(_)) => return confirmed,
            Err(other) => panic!("{other}"),
        }
    }
}

/// The offset that the restarted server has, after as many passing failures as it takes.
async fn applied_again(store: &RedisState) -> u64 {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match store.applied(0).await {
            Ok(applied) => return applied.offset,
            Err(StateError::Storage(_)) if Instant::now() < deadline => tokio::task::yield_now().await,
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_that_syncs_now_and_then_comes_back_with_the_state_of_some_commit() {
    // While a sync takes long, Redis holds its writes back as well: even the death of the process alone loses them.
    kill_in_the_middle_of_commits("everysec", |confirmed| 0..=confirmed + 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_that_always_syncs_comes_back_with_every_confirmed_commit() {
    kill_in_the_middle_of_commits("always", |confirmed| confirmed..=confirmed + 1).await;
}

/// - `kept`: offsets that the server may come back with, by how many commits were confirmed
async fn kill_in_the_middle_of_commits(fsync: &str, kept: impl Fn(u64) -> RangeInclusive<u64>) {
    let folder = tempfile::tempdir().unwrap();
    let mut server = OwnServer::start(folder.path(), fsync);
    let config = RedisConfig { connect_timeout_ms: 10_000, ..server.config() };
    let store = Arc::new(RedisState::connect(&config, "crash", 1).await.unwrap());
    let mut offset = 0;
    for round in 1..=4 {
        let writer = tokio::spawn({
            let store = Arc::clone(&store);
            async move { commit_until_it_dies(&store, offset).await }
        });
        while store.applied(0).await.unwrap().offset < offset + 50 * round {
            tokio::task::yield_now().await;
        }
        server.kill();
        let confirmed = writer.await.unwrap();
        server = OwnServer::start(folder.path(), fsync);
        // The very store of before, which was told nothing.
        offset = applied_again(&store).await;
        assert!(kept(confirmed).contains(&offset), "{confirmed} confirmed, {offset} there");
        assert_eq!(digest(&*store, 0).await.unwrap(), expected(offset).await);
    }
    store.commit(step(offset)).await.unwrap();
    assert_eq!(digest(&*store, 0).await.unwrap(), expected(offset + 1).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_takes_state_and_offset_back_together() {
    const STEPS: u64 = 40;
    let folder = tempfile::tempdir().unwrap();
    let server = OwnServer::start(folder.path(), "no");
    let store = RedisState::connect(&server.config(), "cut", 1).await.unwrap();
    for i in 0..STEPS {
        store.commit(step(i)).await.unwrap();
    }
    server.kill();
    let written = increments(folder.path());
    let length = std::fs::metadata(&written).unwrap().len();
    let mut offsets = Vec::new();
    // The file as it would be if its end had never reached the disk, cut in the middle of commits.
    for part in (1..=12).rev() {
        std::fs::OpenOptions::new()
            .write(true)
            .open(&written)
            .unwrap()
            .set_len(length * part / 12 - 7)
            .unwrap();
        let server = OwnServer::start(folder.path(), "no");
        let store = RedisState::connect(&server.config(), "cut", 1).await.unwrap();
        let offset = store.applied(0).await.unwrap().offset;
        assert_eq!(digest(&store, 0).await.unwrap(), expected(offset).await, "at offset {offset}");
        // An owner that knows nothing of it is told where the state is now.
        let refused = store.commit(step(STEPS)).await;
        assert!(
            matches!(refused, Err(StateError::Fenced { stored, expected: STEPS, .. }) if stored == offset),
            "{refused:?}"
        );
        offsets.push(offset);
        server.kill();
    }
    assert!(offsets.is_sorted_by(|later, earlier| later > earlier), "{offsets:?}");
    assert_eq!(offsets[0], STEPS - 1, "seven bytes are part of the last commit only");
}

/// The append-only file that grows.
fn increments(dir: &Path) -> PathBuf {
    let files = std::fs::read_dir(dir.join("appendonlydir")).unwrap().map(|file| file.unwrap().path());
    files.filter(|path| path.to_string_lossy().ends_with(".incr.aof")).max().unwrap()
}
