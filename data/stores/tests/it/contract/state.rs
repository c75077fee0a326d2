//! The contract of [`StateStore`].

use std::sync::Arc;

use bytes::Bytes;
use waggle_model::Timestamp;
use waggle_stores::{ALL_SLOTS, Applied, StateBatch, StateError, StateKey, StateKind, StateStore};

/// Runs the whole suite on an empty store with two partitions.
pub(crate) async fn state_store_contract(store: Arc<dyn StateStore>) {
    an_empty_store_is_at_offset_zero(&*store).await;
    a_commit_moves_blobs_and_offset_together(&*store).await;
    another_offset_is_fenced_and_changes_nothing(&*store).await;
    batches_that_make_no_sense_are_refused(&*store).await;
    of_two_owners_one_wins(Arc::clone(&store)).await;
    a_reader_never_sees_half_a_batch(store).await;
}

pub(crate) fn key(partition: u32, kind: StateKind, key: u64) -> StateKey {
    StateKey { partition, kind, key }
}

pub(crate) fn batch(
    partition: u32,
    from: u64,
    to: u64,
    writes: Vec<(StateKey, Option<Bytes>)>,
) -> StateBatch {
    let time = Timestamp::from_millis(to.cast_signed() * 10);
    StateBatch { partition, expected_offset: from, next_offset: to, time, writes }
}

pub(crate) fn blob(text: impl Into<String>) -> Option<Bytes> {
    Some(Bytes::from(text.into()))
}

async fn an_empty_store_is_at_offset_zero(store: &dyn StateStore) {
    for partition in 0..2 {
        assert_eq!(store.applied(partition).await.unwrap(), Applied::default());
        assert!(store.scan(partition, StateKind::Item, ALL_SLOTS).await.unwrap().is_empty());
    }
    assert_eq!(store.read(&[]).await.unwrap(), []);
    assert_eq!(store.read(&[key(1, StateKind::Person, 5)]).await.unwrap(), [None]);
}

async fn a_commit_moves_blobs_and_offset_together(store: &dyn StateStore) {
    let (anna, item) = (key(0, StateKind::Person, 7), key(0, StateKind::Item, 7));
    let elsewhere = key(1, StateKind::Item, 7);
    let huge = Some(Bytes::from(vec![9; 3 << 20]));
    store.commit(batch(0, 0, 3, vec![(anna, blob("anna")), (item, huge.clone())])).await.unwrap();
    store
        .commit(batch(1, 0, 9, vec![(elsewhere, blob("partial")), (key(1, StateKind::Fold, 0), blob(""))]))
        .await
        .unwrap();
    assert_eq!(store.applied(0).await.unwrap(), Applied { offset: 3, time: Timestamp::from_millis(30) });
    let asked = [elsewhere, anna, key(0, StateKind::Fold, 7), item, anna, key(1, StateKind::Fold, 0)];
    let read = store.read(&asked).await.unwrap();
    assert_eq!(read, [blob("partial"), blob("anna"), None, huge, blob("anna"), blob("")]);

    let more = (0..50).map(|i| (key(0, StateKind::Fold, i), blob(format!("c{i}")))).collect();
    store.commit(batch(0, 3, 4, more)).await.unwrap();
    store
        .commit(batch(0, 4, 4, vec![(anna, None), (item, None), (key(0, StateKind::Fold, 3), None)]))
        .await
        .unwrap();
    assert_eq!(store.read(&[anna, item]).await.unwrap(), [None, None]);
    let mut scanned = store.scan(0, StateKind::Fold, ALL_SLOTS).await.unwrap();
    scanned.sort();
    let expected = (0..50).filter(|&i| i != 3).map(|i| (i, Bytes::from(format!("c{i}")))).collect::<Vec<_>>();
    assert_eq!(scanned, expected);
    assert_eq!(
        store.scan(1, StateKind::Fold, ALL_SLOTS).await.unwrap(),
        [(0, Bytes::new())],
        "partitions are apart"
    );
}

async fn another_offset_is_fenced_and_changes_nothing(store: &dyn StateStore) {
    let at = store.applied(0).await.unwrap();
    let target = key(0, StateKind::Person, 1_000);
    for expected in [at.offset - 1, at.offset + 1, 0, u64::MAX >> 1] {
        let refused = store.commit(batch(0, expected, expected + 5, vec![(target, blob("late"))])).await;
        let Err(StateError::Fenced { partition, stored, expected: told }) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!((partition, stored, told), (0, at.offset, expected));
    }
    assert_eq!(store.read(&[target]).await.unwrap(), [None]);
    assert_eq!(store.applied(0).await.unwrap(), at);
}

async fn batches_that_make_no_sense_are_refused(store: &dyn StateStore) {
    let at = store.applied(0).await.unwrap().offset;
    let foreign = batch(0, at, at + 1, vec![(key(1, StateKind::Person, 1), blob("foreign"))]);
    for refused in [foreign, batch(0, at, at - 1, Vec::new()), batch(99, 0, 1, Vec::new())] {
        let refused = store.commit(refused).await;
        assert!(matches!(refused, Err(StateError::Storage(_))), "{refused:?}");
    }
    assert!(store.read(&[key(99, StateKind::Person, 1)]).await.is_err());
    assert!(store.applied(99).await.is_err());
    assert_eq!(store.applied(0).await.unwrap().offset, at);
}

async fn of_two_owners_one_wins(store: Arc<dyn StateStore>) {
    let start = store.applied(1).await.unwrap().offset;
    let owners = (0..2_u64)
        .map(|owner| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut won = Vec::new();
                for step in 0..200 {
                    let at = start + step;
                    let write = vec![(key(1, StateKind::Person, at), blob(owner.to_string()))];
                    match store.commit(batch(1, at, at + 1, write)).await {
                        Ok(()) => won.push(at),
                        Err(StateError::Fenced { .. }) => {}
                        Err(other) => panic!("{other}"),
                    }
                }
                won
            })
        })
        .collect::<Vec<_>>();
    let mut all = Vec::new();
    for (owner, task) in owners.into_iter().enumerate() {
        for at in task.await.unwrap() {
            assert_eq!(
                store.read(&[key(1, StateKind::Person, at)]).await.unwrap(),
                [blob(owner.to_string())]
            );
            all.push(at);
        }
    }
    all.sort_unstable();
    let end = store.applied(1).await.unwrap().offset;
    assert_eq!(all, (start..end).collect::<Vec<_>>(), "each step was taken once");
}

async fn a_reader_never_sees_half_a_batch(store: Arc<dyn StateStore>) {
    let keys = (0..40).map(|i| key(0, StateKind::Item, 10_000 + i)).collect::<Vec<_>>();
    let start = store.applied(0).await.unwrap().offset;
    let writer = tokio::spawn({
        let (store, keys) = (Arc::clone(&store), keys.clone());
        async move {
            for step in 0..400 {
                let writes = keys.iter().map(|&k| (k, blob(step.to_string()))).collect();
                store.commit(batch(0, start + step, start + step + 1, writes)).await.unwrap();
                tokio::task::yield_now().await;
            }
        }
    });
    while !writer.is_finished() {
        let read = store.read(&keys).await.unwrap();
        assert!(read.iter().all(|blob| *blob == read[0]), "{read:?}");
        tokio::task::yield_now().await;
    }
    writer.await.unwrap();
    assert_eq!(store.read(&keys[..1]).await.unwrap(), [blob("399")]);
}
