//! Commits whose connection dies at the worst moment, with one owner and with two.

use deadpool_redis::redis::{ConnectionAddr, IntoConnectionInfo};
use waggle_stores::{
    RedisConfig, RedisState, RedisUrl, StateBatch, StateError, StateKey, StateKind, StateStore,
};

use crate::{
    contract::state::{batch, blob, key},
    support::{
        proxy::{Commits, Proxy},
        redis::OwnPrefix,
    },
};

const ANNA: StateKey = StateKey { partition: 0, kind: StateKind::Person, key: 7 };

/// `ours` speaks to Redis through the line, `other` directly.
struct Owners {
    line: Proxy,
    ours: RedisState,
    other: RedisState,
    own: OwnPrefix,
}

/// Both owners at offset 1, and the script is loaded.
async fn owners() -> Owners {
    let own = OwnPrefix::new();
    let info = own.url.as_str().into_connection_info().unwrap();
    let ConnectionAddr::Tcp(host, port) = info.addr() else { panic!("WAGGLE_TEST_REDIS is not plain TCP") };
    let line = Proxy::start(format!("{host}:{port}")).await;
    let through = RedisConfig { url: RedisUrl::new(format!("redis://{}", line.address)), ..own.config() };
    let ours = RedisState::connect(&through, &own.prefix, 1).await.unwrap();
    let other = RedisState::connect(&own.config(), &own.prefix, 1).await.unwrap();
    ours.commit(batch(0, 0, 1, Vec::new())).await.unwrap();
    Owners { line, ours, other, own }
}

fn writes(from: u64, to: u64, text: &str) -> StateBatch {
    batch(0, from, to, vec![(ANNA, blob(text)), (key(0, StateKind::Item, u64::MAX), blob(text))])
}

/// What the store holds, as somebody else sees it.
async fn check(store: &RedisState, offset: u64, text: &str) {
    assert_eq!(store.applied(0).await.unwrap().offset, offset);
    assert_eq!(store.read(&[ANNA]).await.unwrap(), [blob(text)]);
}

#[track_caller]
fn assert_passes(result: Result<(), StateError>) {
    assert!(matches!(result, Err(StateError::Storage(_))), "{result:?}");
}

#[track_caller]
fn assert_fenced(result: Result<(), StateError>, at: u64) {
    assert!(matches!(result, Err(StateError::Fenced { stored, .. }) if stored == at), "{result:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_was_lost_succeeds_when_tried_again_and_is_done_once() {
    let Owners { line, ours, other, own: _own } = owners().await;
    line.commits(Commits::LoseAnswers);
    // However often its answer is lost.
    for _ in 0..3 {
        assert_passes(ours.commit(writes(1, 5, "five")).await);
        check(&other, 5, "five").await;
    }
    line.commits(Commits::Pass);
    ours.commit(writes(1, 5, "five")).await.unwrap();
    check(&other, 5, "five").await;
    ours.commit(writes(5, 6, "six")).await.unwrap();
    check(&other, 6, "six").await;
    // What is settled is over: the same batch is an old one now.
    assert_fenced(ours.commit(writes(1, 5, "five")).await, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_never_arrived_is_done_when_tried_again() {
    let Owners { line, ours, other, own: _own } = owners().await;
    line.commits(Commits::LoseRequests);
    assert_passes(ours.commit(writes(1, 5, "five")).await);
    assert_eq!(other.applied(0).await.unwrap().offset, 1);
    line.commits(Commits::Pass);
    ours.commit(writes(1, 5, "five")).await.unwrap();
    check(&other, 5, "five").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_batch_after_a_lost_answer_is_told_to_load_again_and_not_that_it_was_replaced() {
    let Owners { line, ours, other, own: _own } = owners().await;
    line.commits(Commits::LoseAnswers);
    assert_passes(ours.commit(writes(1, 5, "five")).await);
    line.commits(Commits::Pass);
    let refused = ours.commit(writes(1, 7, "seven")).await.unwrap_err();
    assert!(matches!(&refused, StateError::Storage(what) if what.contains("load it again")), "{refused:?}");
    check(&other, 5, "five").await;
    let at = ours.applied(0).await.unwrap().offset;
    ours.commit(writes(at, 7, "seven")).await.unwrap();
    check(&other, 7, "seven").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_replaced_while_an_answer_was_lost_is_fenced() {
    let Owners { line, ours, other, own: _own } = owners().await;
    line.commits(Commits::LoseAnswers);
    assert_passes(ours.commit(writes(1, 5, "five")).await);
    line.commits(Commits::Pass);
    other.commit(writes(5, 6, "six")).await.unwrap();
    assert_fenced(ours.commit(writes(1, 5, "five")).await, 6);
    check(&other, 6, "six").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_commit_of_another_owner_is_not_taken_for_ours() {
    let Owners { line, ours, other, own: _own } = owners().await;
    line.commits(Commits::LoseRequests);
    assert_passes(ours.commit(writes(1, 5, "five")).await);
    line.commits(Commits::Pass);
    other.commit(writes(1, 5, "five")).await.unwrap();
    assert_fenced(ours.commit(writes(1, 5, "five")).await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_arrives_late_is_done_once_or_not_at_all() {
    let Owners { line, ours, other, own: _own } = owners().await;
    // It arrives after the state has moved on.
    line.commits(Commits::Delay);
    assert_passes(ours.commit(writes(1, 5, "late")).await);
    line.commits(Commits::Pass);
    ours.commit(writes(1, 7, "seven")).await.unwrap();
    assert_eq!(line.deliver().await, 1);
    check(&other, 7, "seven").await;
    // It arrives after it was tried again with success.
    line.commits(Commits::Delay);
    assert_passes(ours.commit(writes(7, 8, "eight")).await);
    line.commits(Commits::Pass);
    ours.commit(writes(7, 8, "eight")).await.unwrap();
    assert_eq!(line.deliver().await, 1);
    check(&other, 8, "eight").await;
    // It arrives between loading the position and the commit from there.
    line.commits(Commits::Delay);
    assert_passes(ours.commit(writes(8, 9, "nine")).await);
    line.commits(Commits::Pass);
    assert_eq!(ours.applied(0).await.unwrap().offset, 8);
    assert_eq!(line.deliver().await, 1);
    assert_passes(ours.commit(writes(8, 10, "ten")).await);
    check(&other, 9, "nine").await;
    ours.commit(writes(9, 10, "ten")).await.unwrap();
    check(&other, 10, "ten").await;
}
