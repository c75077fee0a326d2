use waggle_model::Timestamp;
use waggle_simulator::{Market, SimulatorParams};
use waggle_stores::{ALL_SLOTS, StateBatch, StateKey, StateKind as BlobKind};

use super::*;
use crate::{
    import::{Import, import},
    system::System,
};

const END: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// A folder into which a small market was imported.
async fn folded_market(config: &Config) {
    let params = SimulatorParams { n_items: 100, n_users: 100, ..SimulatorParams::default() };
    let market = Market::new(params).unwrap();
    let listener = waggle_http::bind((std::net::Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let system = System::start(config.clone(), &listener).await.unwrap();
    let events: Vec<_> = market.events(END).collect();
    let what = Import {
        items: market.items(END),
        users: market.users(),
        n_events: events.len() as u64,
        events: Box::new(events.into_iter()),
    };
    import(&system, &Steps::new(), what, false).await.unwrap();
    system.stop(None).await.unwrap();
}

/// Puts one person's blob in the place of another's.
async fn spoil(state: &dyn StateStore, partition: u32) {
    let people = state.scan(partition, BlobKind::Person, ALL_SLOTS).await.unwrap();
    let (one, other) = (&people[0], people.iter().find(|(_, blob)| *blob != people[0].1).unwrap());
    let key = StateKey { partition, kind: BlobKind::Person, key: one.0 };
    let applied = state.applied(partition).await.unwrap();
    let writes = vec![(key, Some(other.1.clone()))];
    let (expected_offset, next_offset, time) = (applied.offset, applied.offset, applied.time);
    state.commit(StateBatch { partition, expected_offset, next_offset, time, writes }).await.unwrap();
}

async fn unequal(stores: &Stores) -> Vec<u32> {
    let (verified, pace) = verify(stores, &Steps::new()).await.unwrap();
    assert_eq!(pace.records, verified.iter().map(|v| v.offset).sum::<u64>());
    verified.into_iter().filter(|v| !v.is_equal).map(|v| v.partition).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_the_log_does_not_say_is_found_and_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config { dir: folder.path().to_owned(), ..Config::default() };
    config.log.n_partitions = 3;
    folded_market(&config).await;

    let stores = Stores::for_command(&config).unwrap();
    assert_eq!(unequal(&stores).await, Vec::<u32>::new());
    spoil(&*stores.state().await.unwrap(), 1).await;
    assert_eq!(unequal(&stores).await, [1]);
    // The checkpoint that closing writes holds the spoilt state.
    stores.close().await.unwrap();

    let stores = Stores::for_command(&config).unwrap();
    rebuild(&config, &stores, &Steps::new()).await.unwrap();
    stores.close().await.unwrap();
    let stores = Stores::for_command(&config).unwrap();
    assert_eq!(unequal(&stores).await, Vec::<u32>::new());
    stores.close().await.unwrap();
}
