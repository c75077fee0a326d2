use waggle_contracts::Features;
use waggle_features_role::{FeaturesService, FoldError};
use waggle_model::{DeadLetter, DeadLetterOrigin, EventBody, UserId};
use waggle_stores::{EventLog, MemoryState, NewRecord, StateBatch, StateStore, Topic, log::partition_of};

use crate::support::*;

fn service(state: &std::sync::Arc<MemoryState>) -> FeaturesService {
    FeaturesService::new(state.clone(), N_PARTITIONS)
}

async fn n_events(state: &std::sync::Arc<MemoryState>, who: waggle_model::Person) -> u64 {
    service(state).person(&who).await.unwrap().state.n_events
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_of_any_size_give_the_same_state_byte_for_byte() {
    let world = World::new().await;
    world.append(&market(6_000)).await;
    let mut states = Vec::new();
    for batch_records in [1, 7, 2_000] {
        let state = memory();
        world.fold(&state, batch_records).await;
        states.push(everything(&state).await);
    }
    assert!(states[0].len() > 300, "{} blobs", states[0].len());
    assert!(states[0] == states[1], "batches of 1 and of 7 differ");
    assert!(states[0] == states[2], "batches of 1 and of 2000 differ");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_and_restarted_from_a_checkpoint_counts_nothing_twice() {
    let world = World::new().await;
    let events = market(4_000);
    let (before, after) = events.split_at(2_500);
    world.append(before).await;
    let checkpoints = world.dir.path().join("state");
    let open = async || std::sync::Arc::new(MemoryState::open(&checkpoints, N_PARTITIONS).await.unwrap());

    // Stopped cleanly once, so that there is a checkpoint; then killed with more folded than was saved.
    world.fold(&open().await, 100).await;
    world.append(after).await;
    let state = open().await;
    let running = Running::start(&world, &state, 10);
    assert!(
        running.progress.wait_until_applied(0, state.applied(0).await.unwrap().offset + 1, PATIENCE).await
    );
    running.kill().await;
    drop(state);

    let restarted = open().await;
    world.fold(&restarted, 333).await;
    let undisturbed = memory();
    world.fold(&undisturbed, 1_000).await;
    assert!(everything(&restarted).await == everything(&undisturbed).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_event_id_counts_once_also_across_a_restart() {
    let world = World::new().await;
    let state = memory();
    let once = with_id(purchase(user("anna"), 0, "lamp"), "order-1/line-1");
    world.append(&[once.clone(), once.clone()]).await;
    world.fold(&state, 1).await;
    world.append(&[once, purchase(user("anna"), 1, "sofa")]).await;
    world.fold(&state, 1).await;
    assert_eq!(n_events(&state, user("anna")).await, 2);
    let items = service(&state).items(&[item("lamp").key(), item("none").key()]).await.unwrap();
    assert_eq!([items[0].n_events, items[1].n_events], [1, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_goes_to_the_dead_letters_and_blocks_nothing() {
    let world = World::new().await;
    let poison = |value: &'static [u8]| NewRecord {
        key: bytes::Bytes::from_static(b"anna"),
        value: bytes::Bytes::from_static(value),
        timestamp: waggle_model::Timestamp::from_millis(0),
    };
    world.append(&[purchase(user("anna"), 0, "lamp")]).await;
    world
        .log
        .append(Topic::Events, vec![poison(b"\x01garbage"), poison(b""), poison(b"\x63next")])
        .await
        .unwrap();
    world.append(&[purchase(user("anna"), 1, "sofa")]).await;
    let state = memory();
    world.fold(&state, 2).await;
    assert_eq!(n_events(&state, user("anna")).await, 2);

    let partition = partition_of(b"anna", N_PARTITIONS);
    let letters = world.log.read(Topic::DeadLetters, partition, 0, 10).await.unwrap();
    let letters: Vec<_> = letters.iter().map(|r| DeadLetter::decode(&r.value).unwrap()).collect();
    let origin = |offset| DeadLetterOrigin::Log { topic: "events".to_owned(), partition, offset };
    assert_eq!(letters.iter().map(|l| l.origin.clone()).collect::<Vec<_>>(), [1, 2, 3].map(origin));
    assert_eq!(&letters[0].payload[..], b"\x01garbage");
    assert!(letters[2].reason.contains("version 99"), "{}", letters[2].reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_became_a_user_are_read_as_one_person() {
    let world = World::new().await;
    let mut events = vec![purchase(user("anna"), 50, "lamp")];
    for n in 0..6 {
        events.push(purchase(session(&format!("visit-{n}")), n, &format!("item-{n}")));
        events.push(event(user_in_session("anna", &format!("visit-{n}")), 60 + n, EventBody::Merge));
    }
    events.push(purchase(session("unmerged"), 99, "rug"));
    world.append(&events).await;
    let state = memory();
    world.fold(&state, 2_000).await;
    assert_eq!(n_events(&state, user("anna")).await, 7);
    assert_eq!(n_events(&state, session("visit-3")).await, 1);
    // Asked for with a session: that counts too, and a merged one only once.
    assert_eq!(n_events(&state, user_in_session("anna", "unmerged")).await, 8);
    assert_eq!(n_events(&state, user_in_session("anna", "visit-3")).await, 7);
    assert_eq!(n_events(&state, user("nobody-yet")).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_person_stays_forgotten_until_a_user_change() {
    let world = World::new().await;
    let state = memory();
    world.append(&[purchase(user("anna"), 0, "lamp"), event(user("anna"), 1, EventBody::Erasure)]).await;
    world.fold(&state, 2_000).await;
    world.append(&[purchase(user("anna"), 2, "sofa"), purchase(user("bert"), 2, "sofa")]).await;
    world.fold(&state, 2_000).await;
    assert_eq!(n_events(&state, user("anna")).await, 0);
    let items = service(&state).items(&[item("lamp").key(), item("sofa").key()]).await.unwrap();
    assert_eq!(
        [items[0].n_events, items[1].n_events],
        [1, 1],
        "anonymous counts stay, dropped events add none"
    );

    world.append(&[event(user("anna"), 3, user_change()), purchase(user("anna"), 4, "rug")]).await;
    world.fold(&state, 1).await;
    assert_eq!(n_events(&state, user("anna")).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledged_event_is_seen_by_who_waits_for_it() {
    let world = World::new().await;
    let state = memory();
    let running = Running::start(&world, &state, 2_000);
    for n in 1..=20 {
        world.append(&[purchase(user("anna"), n, "lamp")]).await;
        let partition = partition_of(b"anna", N_PARTITIONS);
        let offset = u64::try_from(n).unwrap();
        assert!(running.progress.wait_until_applied(partition, offset, PATIENCE).await);
        let view = service(&state).person(&user("anna")).await.unwrap();
        assert_eq!((view.state.n_events, view.watermark.offset), (offset, offset));
        assert_eq!(view.watermark.partition, partition);
    }
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_for_what_never_comes_ends() {
    let world = World::new().await;
    let running = Running::start(&world, &memory(), 2_000);
    let little = std::time::Duration::from_millis(20);
    assert!(!running.progress.wait_until_applied(0, 1, little).await);
    assert!(!running.progress.wait_until_applied(N_PARTITIONS, 0, little).await);
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_was_overtaken_goes_on_from_where_the_state_is() {
    let world = World::new().await;
    let state = memory();
    let running = Running::start(&world, &state, 2_000);
    world.append(&[purchase(user("anna"), 0, "lamp")]).await;
    running.caught_up().await;
    // Somebody else folds the next record of the partition, and makes nothing of it.
    let partition = partition_of(b"anna", N_PARTITIONS);
    let taken_over = StateBatch {
        partition,
        expected_offset: 1,
        next_offset: 2,
        time: waggle_model::Timestamp::from_millis(0),
        writes: Vec::new(),
    };
    state.commit(taken_over).await.unwrap();
    world.append(&[purchase(user("anna"), 1, "lamp"), purchase(user("anna"), 2, "lamp")]).await;
    assert!(running.progress.wait_until_applied(partition, 3, PATIENCE).await);
    assert_eq!(n_events(&state, user("anna")).await, 2, "what the other one had taken is not folded again");
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn state_ahead_of_the_log_waits_for_the_log_instead_of_skipping_records() {
    let world = World::new().await;
    let state = memory();
    let partition = partition_of(b"anna", N_PARTITIONS);
    let of_another_log = StateBatch {
        partition,
        expected_offset: 0,
        next_offset: 2,
        time: waggle_model::Timestamp::from_millis(0),
        writes: Vec::new(),
    };
    state.commit(of_another_log).await.unwrap();
    let running = Running::start(&world, &state, 2_000);
    world.append(&[purchase(user("anna"), 0, "lamp")]).await;
    let little = std::time::Duration::from_millis(300);
    assert!(!running.progress.wait_until_applied(partition, 1, little).await, "it claims to have folded it");
    world.append(&[purchase(user("anna"), 1, "lamp"), purchase(user("anna"), 2, "lamp")]).await;
    assert!(running.progress.wait_until_applied(partition, 3, PATIENCE).await);
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn state_that_cannot_be_read_is_not_folded_over() {
    let world = World::new().await;
    let state = memory();
    let partition = partition_of(b"anna", N_PARTITIONS);
    let key = waggle_features_role::batch::person_key(partition, UserId::try_new("anna").unwrap().key());
    let newer = StateBatch {
        partition,
        expected_offset: 0,
        next_offset: 0,
        time: waggle_model::Timestamp::from_millis(0),
        writes: vec![(key, Some(bytes::Bytes::from_static(&[99, 1, 2])))],
    };
    state.commit(newer).await.unwrap();
    world.append(&[purchase(user("anna"), 0, "lamp")]).await;
    let ended = Running::start(&world, &state, 2_000).end().await;
    assert!(matches!(ended, Err(FoldError::Unreadable(_))), "{ended:?}");
    assert_eq!(state.applied(partition).await.unwrap().offset, 0);
}
