//! The embedded state store: its contract, and its checkpoints.

use std::{path::Path, path::PathBuf, sync::Arc};

use bytes::Bytes;
use waggle_model::Timestamp;
use waggle_stores::{ALL_SLOTS, Applied, MemoryState, StateError, StateKind, StateStore};

use crate::contract::state::{batch, blob, key, spread, state_store_contract};

#[tokio::test(flavor = "multi_thread")]
async fn memory_keeps_the_contract() {
    let store = Arc::new(MemoryState::in_memory(2));
    state_store_contract([store.clone(), store]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_with_checkpoints_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryState::open(folder.path(), 2).await.unwrap());
    state_store_contract([store.clone(), store.clone()]).await;
    store.checkpoint().await.unwrap();
    let again = MemoryState::open(folder.path(), 2).await.unwrap();
    for partition in 0..2 {
        assert_eq!(again.applied(partition).await.unwrap(), store.applied(partition).await.unwrap());
        for kind in [StateKind::Person, StateKind::Item, StateKind::Fold] {
            let mut both = [
                store.scan(partition, kind, ALL_SLOTS).await.unwrap(),
                again.scan(partition, kind, ALL_SLOTS).await.unwrap(),
            ];
            both.iter_mut().for_each(|blobs| blobs.sort());
            assert_eq!(both[0], both[1]);
        }
    }
}

#[tokio::test]
async fn a_checkpoint_keeps_what_was_committed_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = MemoryState::open(folder.path().join("state"), 3).await.unwrap();
    store.commit(batch(1, 0, 5, vec![(key(1, StateKind::Person, 1), blob("kept"))])).await.unwrap();
    store.checkpoint().await.unwrap();
    store.commit(batch(1, 5, 6, vec![(key(1, StateKind::Person, 1), blob("lost"))])).await.unwrap();
    drop(store);
    let store = MemoryState::open(folder.path().join("state"), 3).await.unwrap();
    assert_eq!(store.applied(1).await.unwrap(), Applied { offset: 5, time: Timestamp::from_millis(50) });
    assert_eq!(store.read(&[key(1, StateKind::Person, 1)]).await.unwrap(), [blob("kept")]);
    assert_eq!(store.applied(2).await.unwrap(), Applied::default());
}

/// Three checkpoints, at offsets 1, 2 and 3; the last two are still there.
async fn three_checkpoints(dir: &Path) -> Vec<PathBuf> {
    let store = MemoryState::open(dir, 1).await.unwrap();
    for i in 0..3 {
        let writes =
            (0..20).map(|k| (key(0, StateKind::Item, k), Some(Bytes::from(vec![i as u8; 50])))).collect();
        store.commit(batch(0, i, i + 1, writes)).await.unwrap();
        store.checkpoint().await.unwrap();
    }
    let mut files = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect::<Vec<_>>();
    files.sort();
    assert_eq!(files.len(), 2, "{files:?}");
    files
}

#[tokio::test]
async fn a_torn_checkpoint_gives_way_to_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let files = three_checkpoints(folder.path()).await;
    let whole = std::fs::read(&files[1]).unwrap();
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        bytes
    };
    let damaged = [
        Vec::new(),
        whole[..whole.len() / 2].to_vec(),
        [&whole[..], b"more"].concat(),
        flipped(9),
        flipped(40),
    ];
    for bytes in damaged {
        std::fs::write(&files[1], bytes).unwrap();
        let store = MemoryState::open(folder.path(), 1).await.unwrap();
        assert_eq!(store.applied(0).await.unwrap().offset, 2);
        assert_eq!(
            store.read(&[key(0, StateKind::Item, 0)]).await.unwrap(),
            [Some(Bytes::from(vec![1; 50]))]
        );
    }
    std::fs::write(&files[0], b"torn as well").unwrap();
    let store = MemoryState::open(folder.path(), 1).await.unwrap();
    assert_eq!(store.applied(0).await.unwrap(), Applied::default());
    // A new checkpoint stands after the damaged ones.
    store.commit(batch(0, 0, 7, Vec::new())).await.unwrap();
    store.checkpoint().await.unwrap();
    assert_eq!(MemoryState::open(folder.path(), 1).await.unwrap().applied(0).await.unwrap().offset, 7);
}

#[tokio::test]
async fn another_version_or_partition_count_is_an_error_and_not_a_fresh_start() {
    let folder = tempfile::tempdir().unwrap();
    let files = three_checkpoints(folder.path()).await;
    let refused = MemoryState::open(folder.path(), 2).await;
    assert!(
        matches!(&refused, Err(StateError::Storage(what)) if what.contains("1 partitions")),
        "{refused:?}"
    );
    let mut bytes = std::fs::read(&files[1]).unwrap();
    let length = bytes.len() - 8;
    bytes[8..12].copy_from_slice(&9_u32.to_le_bytes());
    let checksum = xxhash_rust::xxh3::xxh3_64(&bytes[..length]);
    bytes[length..].copy_from_slice(&checksum.to_le_bytes());
    std::fs::write(&files[1], bytes).unwrap();
    let refused = MemoryState::open(folder.path(), 1).await;
    assert!(matches!(refused, Err(StateError::Version { got: 9, expected: 1 })), "{refused:?}");
}

#[tokio::test]
async fn an_unfinished_checkpoint_is_ignored_and_swept_away() {
    let folder = tempfile::tempdir().unwrap();
    three_checkpoints(folder.path()).await;
    let unfinished = folder.path().join("state-00000000000000000003.unfinished");
    std::fs::write(&unfinished, b"half").unwrap();
    let store = MemoryState::open(folder.path(), 1).await.unwrap();
    assert_eq!(store.applied(0).await.unwrap().offset, 3);
    assert!(!unfinished.exists());
}

#[tokio::test]
async fn a_checkpoint_that_cannot_be_written_is_an_error_and_the_old_one_stays() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("state");
    let store = MemoryState::open(&dir, 1).await.unwrap();
    store.commit(batch(0, 0, 1, Vec::new())).await.unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
    assert!(matches!(store.checkpoint().await, Err(StateError::Storage(_))));
    std::fs::create_dir(&dir).unwrap();
    store.checkpoint().await.unwrap();
    assert_eq!(MemoryState::open(&dir, 1).await.unwrap().applied(0).await.unwrap().offset, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_go_on_while_a_checkpoint_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryState::open(folder.path(), 1).await.unwrap());
    let writes =
        (0..2_000).map(|k| (key(0, StateKind::Item, k), Some(Bytes::from(vec![1; 20_000])))).collect();
    store.commit(batch(0, 0, 1, writes)).await.unwrap();
    let checkpoint = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.checkpoint().await }
    });
    let mut n_commits = 1;
    while !checkpoint.is_finished() {
        store.commit(batch(0, n_commits, n_commits + 1, Vec::new())).await.unwrap();
        n_commits += 1;
        tokio::task::yield_now().await;
    }
    checkpoint.await.unwrap().unwrap();
    assert!(n_commits > 10, "only {n_commits} commits while 40 MB were written");
    let kept = MemoryState::open(folder.path(), 1).await.unwrap().applied(0).await.unwrap().offset;
    assert!((1..=n_commits).contains(&kept));
}

#[tokio::test]
async fn a_request_worth_of_keys_is_read_in_no_time() {
    const PARTITIONS: u32 = 8;
    let store = MemoryState::in_memory(PARTITIONS);
    for partition in 0..PARTITIONS {
        let writes = (0..20_000_u64)
            .map(|k| (key(partition, StateKind::Item, spread(k)), blob("x".repeat(100))))
            .collect();
        store.commit(batch(partition, 0, 1, writes)).await.unwrap();
    }
    let keys = (0..300_u64).map(|i| key((i % 8) as u32, StateKind::Item, spread(i * 61))).collect::<Vec<_>>();
    let start = std::time::Instant::now();
    for _ in 0..1_000 {
        assert!(store.read(&keys).await.unwrap().iter().all(Option::is_some));
    }
    let each = start.elapsed() / 1_000;
    println!("300 keys of {PARTITIONS} partitions read in {each:?}");
    // Measured at some tens of microseconds; this only notices a change of kind.
    assert!(each.as_millis() < 5, "{each:?}");
}
