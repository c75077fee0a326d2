use waggle_contracts::{Features, RoleError};
use waggle_features::{FoldPolicy, ItemFacts, ItemState};
use waggle_features_role::{FeaturesService, FoldError, Progress, folding::fold_records, position::Position};
use waggle_model::{DeadLetter, DeadLetterOrigin, EventBody, UserId, partition_of};
use waggle_stores::{ALL_SLOTS, EventLog, MemoryState, NewRecord, StateBatch, StateKind, StateStore, Topic};

use crate::support::*;

fn service(world: &World, state: &std::sync::Arc<MemoryState>) -> FeaturesService {
    FeaturesService::new(state.clone(), std::sync::Arc::new(Progress::new(world.log.clone(), state.clone())))
}

async fn n_events(world: &World, state: &std::sync::Arc<MemoryState>, who: waggle_model::Person) -> u64 {
    service(world, state).person(&who).await.unwrap().state.n_events
}

/// Acts on each of the items that counted, in all partitions.
async fn n_counted<const N: usize>(state: &MemoryState, items: [&str; N]) -> [u64; N] {
    let mut counted = [0; N];
    for partition in 0..N_PARTITIONS {
        for (key, blob) in state.scan(partition, StateKind::Item, ALL_SLOTS).await.unwrap() {
            if let Some(place) = items.iter().position(|id| item(id).key().0 == key) {
                counted[place] += ItemState::decode(&blob).unwrap().n_events;
            }
        }
    }
    counted
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
    assert_eq!(n_events(&world, &state, user("anna")).await, 2);
    assert_eq!(n_counted(&state, ["lamp", "none"]).await, [1, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_goes_to_the_dead_letters_and_blocks_nothing() {
    let world = World::new().await;
    let poison = |value: &'static [u8]| NewRecord {
        key: bytes::Bytes::from_static(b"anna"),
        value: bytes::Bytes::from_static(value),
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
    assert_eq!(n_events(&world, &state, user("anna")).await, 2);

    let mut letters = Vec::new();
    for place in 0..N_PARTITIONS {
        letters.extend(world.log.read(Topic::DeadLetters, place, 0, 10).await.unwrap());
    }
    let partition = partition_of(b"anna", N_PARTITIONS);
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
    assert_eq!(n_events(&world, &state, user("anna")).await, 7);
    assert_eq!(n_events(&world, &state, session("visit-3")).await, 1);
    // Asked for with a session: that counts too, and a merged one only once.
    assert_eq!(n_events(&world, &state, user_in_session("anna", "unmerged")).await, 8);
    assert_eq!(n_events(&world, &state, user_in_session("anna", "visit-3")).await, 7);
    assert_eq!(n_events(&world, &state, user("nobody-yet")).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_person_stays_forgotten_until_a_user_change() {
    let world = World::new().await;
    let state = memory();
    world.append(&[purchase(user("anna"), 0, "lamp"), event(user("anna"), 1, EventBody::Erasure)]).await;
    world.fold(&state, 2_000).await;
    world.append(&[purchase(user("anna"), 2, "sofa"), purchase(user("bert"), 2, "sofa")]).await;
    world.fold(&state, 2_000).await;
    assert_eq!(n_events(&world, &state, user("anna")).await, 0);
    let counted = n_counted(&state, ["lamp", "sofa"]).await;
    assert_eq!(counted, [1, 1], "anonymous counts stay, dropped events add none");

    world.append(&[event(user("anna"), 3, user_change()), purchase(user("anna"), 4, "rug")]).await;
    world.fold(&state, 1).await;
    assert_eq!(n_events(&world, &state, user("anna")).await, 1);
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
        let view = service(&world, &state).person(&user("anna")).await.unwrap();
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
    assert_eq!(
        n_events(&world, &state, user("anna")).await,
        2,
        "what the other one had taken is not folded again"
    );
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

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_that_follows_the_aliases_forgets_the_sessions_and_they_stay_forgotten() {
    let world = World::new().await;
    let state = memory();
    let merge = |at| event(user_in_session("anna", "visit"), at, EventBody::Merge);
    world.append(&[purchase(user("anna"), 0, "lamp"), purchase(session("visit"), 1, "sofa"), merge(2)]).await;
    world.fold(&state, 2_000).await;
    let features = service(&world, &state);
    let anna = UserId::try_new("anna").unwrap();
    let aliases = features.aliases(&anna, PATIENCE).await.unwrap();
    assert_eq!(aliases, [session("visit").session_id.unwrap()]);

    // As the gateway does it: the sessions, then the user.
    let erase = |person, at| event(person, at, EventBody::Erasure);
    world
        .append(&[erase(session("visit"), 3), erase(user("anna"), 4), purchase(session("visit"), 5, "rug")])
        .await;
    world.fold(&state, 1).await;
    assert_eq!(n_events(&world, &state, user("anna")).await, 0);
    assert_eq!(n_events(&world, &state, session("visit")).await, 0, "what it does is dropped");
    assert!(features.aliases(&anna, PATIENCE).await.unwrap().is_empty());

    // The user comes back and merges the session again: it belongs to them and stays erased.
    let events = [event(user("anna"), 6, user_change()), merge(7), purchase(session("visit"), 8, "rug")];
    world.append(&events).await;
    world.fold(&state, 2_000).await;
    assert_eq!(features.aliases(&anna, PATIENCE).await.unwrap(), aliases);
    assert_eq!(n_events(&world, &state, user("anna")).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn aliases_are_not_told_while_a_merge_may_still_be_on_its_way() {
    let world = World::new().await;
    let state = memory();
    world.append(&[event(user_in_session("anna", "visit"), 0, EventBody::Merge)]).await;
    let anna = UserId::try_new("anna").unwrap();
    let little = std::time::Duration::from_millis(20);
    let late = service(&world, &state).aliases(&anna, little).await;
    assert!(matches!(late, Err(RoleError::NotReady { .. })), "{late:?}");
    let (waiting, running) = (service(&world, &state), Running::start(&world, &state, 2_000));
    assert_eq!(waiting.aliases(&anna, PATIENCE).await.unwrap().len(), 1);
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn records_from_the_future_expire_nobody_of_today() {
    let world = World::new().await;
    let centuries = 300 * 365 * 86_400;
    let future: Vec<_> =
        (0..30).map(|n| purchase(session(&format!("future-{n}")), centuries, "lamp")).collect();
    // Also as the very first records of each partition, whose time starts its clock.
    world.append(&future).await;
    let today: Vec<_> = (0..60_000)
        .map(|n| purchase(session(&format!("visit-{n}")), i64::from(n), &format!("item-{}", n % 50)))
        .collect();
    world.append(&today).await;
    let state = memory();
    let short =
        FoldPolicy { session_ttl_days: 1, user_ttl_days: 1, item_ttl_days: 1, ..FoldPolicy::default() };
    world.fold_under(&state, 2_000, short).await;
    let mut n_people = 0;
    for partition in 0..N_PARTITIONS {
        let applied = state.applied(partition).await.unwrap().offset;
        assert!(applied > waggle_features::expiry::SWEEP_EVERY, "{applied} records are too few for a sweep");
        n_people += state.scan(partition, StateKind::Person, ALL_SLOTS).await.unwrap().len();
    }
    assert_eq!(n_people, 60_030);
}

/// Folds everything with the policies that `original` went by, in batches of this many records.
async fn replayed(
    world: &World,
    original: &MemoryState,
    batch_records: usize,
) -> std::sync::Arc<MemoryState> {
    let state = memory();
    for partition in 0..N_PARTITIONS {
        let mut position = Position::load(&*state, partition, N_PARTITIONS).await.unwrap();
        position.follow_policies_of(&Position::load(original, partition, N_PARTITIONS).await.unwrap());
        loop {
            let offset = position.applied.offset;
            let records = world.log.read(Topic::Events, partition, offset, batch_records).await.unwrap();
            if records.is_empty() {
                break;
            }
            let now = waggle_model::Timestamp::from_millis(0);
            let folded = fold_records(&*state, position, records, now).await.unwrap();
            state.commit(folded.commit).await.unwrap();
            position = folded.position;
        }
    }
    state
}

#[tokio::test(flavor = "multi_thread")]
async fn what_expired_under_changing_policies_expires_again_in_a_replay_bit_for_bit() {
    let world = World::new().await;
    // An hour between events: three partitions see a year and a half of sessions, each once, and of a few users.
    let mut events = Vec::new();
    for hour in 0..120_000 {
        let person = if hour % 9 == 0 {
            user(&format!("user-{}", hour % 7))
        } else {
            session(&format!("visit-{hour}"))
        };
        events.push(purchase(person, i64::from(hour) * 3_600, &format!("item-{}", hour / 500)));
    }
    world.append(&events[..60_000]).await;
    let state = memory();
    let few_days = FoldPolicy { session_ttl_days: 5, item_ttl_days: 300, ..FoldPolicy::default() };
    world.fold_under(&state, 2_000, few_days).await;
    let count = async |kind| {
        let mut n = 0;
        for partition in 0..N_PARTITIONS {
            n += state.scan(partition, kind, ALL_SLOTS).await.unwrap().len();
        }
        n
    };
    let sessions_then = count(StateKind::Person).await;
    world.append(&events[60_000..]).await;
    let many_days = FoldPolicy { session_ttl_days: 30_000, ..few_days };
    world.fold_under(&state, 1_111, many_days).await;
    let (persons, items) = (count(StateKind::Person).await, count(StateKind::Item).await);
    assert!(
        sessions_then < 60_000 && persons < 106_000 && persons > 60_000,
        "{sessions_then}, then {persons}"
    );
    assert!(items < 3 * 240, "{items}");

    for batch_records in [997, 50_000] {
        let replay = replayed(&world, &state, batch_records).await;
        assert!(everything(&replay).await == everything(&state).await, "in batches of {batch_records}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_everybody_does_is_read_from_all_partitions_and_at_most_a_second_old() {
    let world = World::new().await;
    let state = memory();
    world.append(&[purchase(user("anna"), 0, "lamp"), purchase(user("bert"), 1, "lamp")]).await;
    world.fold(&state, 1_000).await;
    let service = service(&world, &state);
    let (items, now) = ([item("lamp").key(), item("none").key()], START.shifted_by_millis(2_000));
    let facts = service.items(&items, now).await.unwrap();
    assert_eq!(facts[1], ItemFacts::default());
    assert!((facts[0].ln_demand[2] - 3_f32.ln()).abs() < 1e-3, "two purchases: {facts:?}");

    world.append(&[purchase(user("carl"), 2, "lamp")]).await;
    world.fold(&state, 1_000).await;
    assert_eq!(service.items(&items, now.shifted_by_millis(999)).await.unwrap(), facts);
    let facts = service.items(&items, now.shifted_by_millis(1_000)).await.unwrap();
    assert!((facts[0].ln_demand[2] - 4_f32.ln()).abs() < 1e-3, "three purchases: {facts:?}");
}
