//! Several consumers over one Kafka log and one Redis state, as replicas in production are.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use waggle_stores::StateStore;

use crate::{
    services::*,
    support::{PATIENCE, market},
};

/// A killed member's partitions have to be folded by others within this time.
const MOVE_ON: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_replicas_partitions_move_on_and_nothing_counts_twice() {
    let place = Place::new();
    let (log, state) = (place.log().await, place.state().await);
    let events = market(6_000);
    let (before, rest) = events.split_at(events.len() / 3);
    let (during, after) = rest.split_at(rest.len() / 2);
    append(&*log, before).await;

    let mut killed = place.replica_process();
    eventually("the replica in a process of its own folds", async || {
        let mut n_folded = 0;
        for partition in 0..N_PARTITIONS {
            n_folded += state.applied(partition).await.unwrap().offset;
        }
        n_folded == before.len() as u64
    })
    .await;
    let survivor = Replica::start(place.log().await, place.state().await, "survivor");
    eventually("the survivor gets its share", async || survivor.n_begun() > 0).await;
    for chunk in during.chunks(100) {
        append(&*log, chunk).await;
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    let killed_at = Instant::now();
    append(&*log, after).await;
    let is_done = survivor.progress.wait_until_caught_up(MOVE_ON).await.unwrap();
    assert!(is_done, "after {:?} the log is not folded to its end", killed_at.elapsed());
    assert_eq!(survivor.n_begun(), N_PARTITIONS as usize);
    survivor.stop().await.unwrap();

    assert_same(&*state, &*undisturbed(log).await).await;
    place.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a process that another test starts and kills"]
async fn replica_that_is_killed() {
    // What is in the place belongs to the other test.
    let place = std::mem::ManuallyDrop::new(Place::at(variable(REPLICA_OF)));
    let replica = Replica::start(place.log().await, place.state().await, "killed");
    replica.task.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_both_believe_to_own_everything_count_everything_once() {
    let place = Place::new();
    let (log, state) = (place.log().await, place.state().await);
    let replicas = [
        Replica::start(Arc::new(Undivided(place.log().await)), place.state().await, "a"),
        Replica::start(Arc::new(Undivided(place.log().await)), place.state().await, "b"),
    ];
    for chunk in market(6_000).chunks(100) {
        append(&*log, chunk).await;
    }
    assert!(replicas[0].progress.wait_until_caught_up(PATIENCE).await.unwrap());
    for replica in replicas {
        replica.stop().await.unwrap();
    }
    assert_same(&*state, &*undisturbed(log).await).await;
    place.remove().await;
}
