//! The contract of [`StateStore`].

use std::sync::Arc;

use bytes::Bytes;
use waggle_model::Timestamp;
use waggle_stores::{
    ALL_SLOTS, Applied, StateBatch, StateError, StateKey, StateKind, StateStore,
    state::{N_SLOTS, digest, slot_of},
};

/// Runs the whole suite on an empty store with two partitions, reached in two ways (which may be the same).
pub(crate) async fn state_store_contract(stores: [Arc<dyn StateStore>; 2]) {
    let store = &*stores[0];
    an_empty_store_is_at_offset_zero(store).await;
    a_commit_moves_blobs_and_offset_together(store).await;
    another_offset_is_fenced_and_changes_nothing(store).await;
    batches_that_make_no_sense_are_refused(store).await;
    of_several_writes_to_one_key_the_last_stays(store).await;
    slots_divide_a_kind_in_ascending_order(store).await;
    a_large_batch_is_set_and_removed_whole(store).await;
    a_digest_tells_any_difference(store).await;
    of_two_owners_one_wins(stores.clone()).await;
    a_reader_never_sees_half_a_batch(stores).await;
}

/// The `i`-th of many keys that lie in all slots.
pub(crate) fn spread(i: u64) -> u64 {
    i.wrapping_mul(0x9e37_79b9_7f4a_7c15)
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

async fn of_several_writes_to_one_key_the_last_stays(store: &dyn StateStore) {
    let at = store.applied(0).await.unwrap().offset;
    let [a, b, c] = [1, 2, 3].map(|i| key(0, StateKind::Person, spread(500 + i)));
    let writes = vec![(a, blob("1")), (b, blob("1")), (a, None), (c, None), (b, blob("2")), (c, blob("1"))];
    store.commit(batch(0, at, at + 1, writes)).await.unwrap();
    assert_eq!(store.read(&[a, b, c]).await.unwrap(), [None, blob("2"), blob("1")]);
}

async fn slots_divide_a_kind_in_ascending_order(store: &dyn StateStore) {
    let at = store.applied(1).await.unwrap().offset;
    let mut keys = (0..1_000).map(spread).collect::<Vec<_>>();
    keys.extend([0, u64::MAX]);
    let writes = keys.iter().map(|&k| (key(1, StateKind::Person, k), blob(k.to_string()))).collect();
    store.commit(batch(1, at, at + 1, writes)).await.unwrap();
    keys.sort_unstable();
    keys.dedup();
    let mut all = Vec::new();
    for slot in ALL_SLOTS {
        let mut blobs = store.scan(1, StateKind::Person, slot..=slot).await.unwrap();
        assert!(blobs.iter().all(|&(key, _)| slot_of(key) == slot));
        blobs.sort();
        all.append(&mut blobs);
    }
    // Slot after slot, sorted within: that is the order of all keys.
    let expected = keys.iter().map(|k| (*k, Bytes::from(k.to_string()))).collect::<Vec<_>>();
    assert_eq!(all, expected);
    let mut some = store.scan(1, StateKind::Person, 3..=N_SLOTS / 2).await.unwrap();
    some.sort();
    assert_eq!(
        some,
        expected.into_iter().filter(|(k, _)| (3..=N_SLOTS / 2).contains(&slot_of(*k))).collect::<Vec<_>>()
    );
    #[expect(clippy::reversed_empty_ranges, reason = "no slot at all is what is asked for")]
    let none = store.scan(1, StateKind::Person, 5..=4).await.unwrap();
    assert!(none.is_empty());
}

/// As many blobs as folding 2,000 events may change, some thousands of them in one slot.
async fn a_large_batch_is_set_and_removed_whole(store: &dyn StateStore) {
    let at = store.applied(0).await.unwrap().offset;
    let before = store.scan(0, StateKind::Fold, 0..=0).await.unwrap().len();
    let mut keys = (0..3_000).map(|i| key(0, StateKind::Fold, 10_000 + i)).collect::<Vec<_>>();
    keys.extend((0..3_000).map(|i| key(0, StateKind::Person, spread(10_000 + i))));
    let blobs = (0..keys.len()).map(|i| Some(Bytes::from(vec![i as u8; 700 + i % 500]))).collect::<Vec<_>>();
    store.commit(batch(0, at, at + 1, keys.iter().copied().zip(blobs.clone()).collect())).await.unwrap();
    assert_eq!(store.read(&keys).await.unwrap(), blobs);
    assert_eq!(store.scan(0, StateKind::Fold, 0..=0).await.unwrap().len(), before + 3_000);
    store.commit(batch(0, at + 1, at + 2, keys.iter().map(|&k| (k, None)).collect())).await.unwrap();
    assert!(store.read(&keys).await.unwrap().iter().all(Option::is_none));
    assert_eq!(store.scan(0, StateKind::Fold, 0..=0).await.unwrap().len(), before);
}

async fn a_digest_tells_any_difference(store: &dyn StateStore) {
    let before = digest(store, 0).await.unwrap();
    assert!(!before.has_moved);
    assert_eq!(digest(store, 0).await.unwrap(), before);
    let at = before.applied.offset;
    let (a, b) = (key(0, StateKind::Person, spread(7_000)), key(0, StateKind::Item, spread(7_000)));
    let steps = [
        vec![(a, blob("x"))],
        vec![(a, blob("y"))],
        vec![(a, None), (b, blob("y"))],
        vec![(b, None), (key(0, StateKind::Item, spread(7_001)), blob("y"))],
        vec![(key(0, StateKind::Item, spread(7_001)), None)],
    ];
    let mut hashes = vec![before.hash];
    for (writes, at) in steps.into_iter().zip(at..) {
        store.commit(batch(0, at, at + 1, writes)).await.unwrap();
        hashes.push(digest(store, 0).await.unwrap().hash);
    }
    assert_eq!(hashes.pop(), Some(before.hash), "everything is as it was");
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 5);
}

async fn of_two_owners_one_wins(stores: [Arc<dyn StateStore>; 2]) {
    let store = Arc::clone(&stores[0]);
    let start = store.applied(1).await.unwrap().offset;
    let owners = stores
        .into_iter()
        .zip(0_u64..)
        .map(|(store, owner)| {
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

async fn a_reader_never_sees_half_a_batch([store, other]: [Arc<dyn StateStore>; 2]) {
    let kinds = [StateKind::Person, StateKind::Item, StateKind::Fold];
    let keys = (0..40).map(|i| key(0, kinds[i as usize % 3], spread(20_000 + i))).collect::<Vec<_>>();
    let start = store.applied(0).await.unwrap().offset;
    let writer = tokio::spawn({
        let keys = keys.clone();
        async move {
            for step in 0..400 {
                let writes = keys.iter().map(|&k| (k, blob(step.to_string()))).collect();
                other.commit(batch(0, start + step, start + step + 1, writes)).await.unwrap();
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
