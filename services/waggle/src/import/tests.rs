use std::collections::HashSet;

use waggle_model::{EventId, decode_event};
use waggle_simulator::{Market, SimulatorParams};
use waggle_stores::Topic;

use super::*;
use crate::config::Config;

const END: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// A small market's past, cut off after `n_events`.
fn past(market: &Market, n_events: usize) -> Import {
    let events: Vec<Event> = market.events(END).take(n_events).collect();
    Import {
        items: market.items(END),
        users: market.users(),
        n_events: events.len() as u64,
        events: Box::new(events.into_iter()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_names_times_to_come_is_refused_with_the_time() {
    let params = SimulatorParams { n_items: 50, n_users: 20, ..SimulatorParams::default() };
    let market = Market::new(params).unwrap();
    let in_a_month = Timestamp::now().shifted_by_millis(30 * 86_400_000);
    let events: Vec<Event> = market.events(in_a_month).collect();
    let to_come = events.last().unwrap().timestamp.to_rfc3339();
    let last = Import {
        items: market.items(END),
        users: market.users(),
        n_events: 1,
        events: Box::new(events.into_iter().rev().take(1)),
    };
    let folder = tempfile::tempdir().unwrap();
    let listener = waggle_http::bind((std::net::Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let config = Config { dir: folder.path().to_owned(), ..Config::default() };
    let system = System::start(config, &listener).await.unwrap();
    let refused = import(&system, &Steps::new(), last, false).await.unwrap_err().to_string();
    assert!(refused.contains(&format!("timestamp {to_come} is in the future")), "{refused}");
    system.stop(None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_was_cut_off_goes_on_and_every_event_is_there_once() {
    let params = SimulatorParams { n_items: 50, n_users: 100, ..SimulatorParams::default() };
    let market = Market::new(params).unwrap();
    let expected: HashSet<EventId> = market.events(END).filter_map(|event| event.event_id).collect();
    assert!(expected.len() > 500, "the market is too small to be cut");
    let folder = tempfile::tempdir().unwrap();
    let steps = Steps::new();
    let listener = waggle_http::bind((std::net::Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let config = Config { dir: folder.path().to_owned(), ..Config::default() };
    let system = System::start(config.clone(), &listener).await.unwrap();
    import(&system, &steps, past(&market, expected.len() / 3), false).await.unwrap();
    system.stop(None).await.unwrap();

    let system = System::start(config, &listener).await.unwrap();
    import(&system, &steps, past(&market, usize::MAX), true).await.unwrap();
    let mut in_log = Vec::new();
    let log = system.process.stores.log().await.unwrap();
    for partition in 0..log.n_partitions(Topic::Events) {
        let records = log.read(Topic::Events, partition, 0, 1_000_000).await.unwrap();
        in_log.extend(records.iter().filter_map(|record| decode_event(&record.value).unwrap().event_id));
    }
    assert_eq!(in_log.len(), expected.len());
    assert_eq!(in_log.into_iter().collect::<HashSet<_>>(), expected);
    assert_eq!(system.gateway.app.database.count_items().await.unwrap(), 50);
    assert_eq!(system.gateway.app.database.count_users().await.unwrap(), 100);
    system.stop(None).await.unwrap();
}
