//! The state store in Redis: its contract, and what happens when the server or the connection dies.

use std::sync::Arc;

use waggle_stores::{RedisConfig, RedisState, RedisUrl, StateError, StateKind, StateStore};

use crate::{
    contract::state::{batch, blob, key, state_store_contract},
    support::redis::OwnPrefix,
};

#[tokio::test(flavor = "multi_thread")]
async fn redis_keeps_the_contract() {
    let own = OwnPrefix::new();
    let store = RedisState::connect(&own.config(), &own.prefix, 2).await.unwrap();
    let other = RedisState::connect(&own.config(), &own.prefix, 2).await.unwrap();
    state_store_contract([Arc::new(store), Arc::new(other)]).await;
}

#[tokio::test]
async fn an_unreachable_server_is_named_in_time_and_its_password_is_not() {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = RedisUrl::new(format!("redis://waggle:open-sesame@127.0.0.1:{port}/3"));
    let config = RedisConfig { url, connect_timeout_ms: 500, ..RedisConfig::default() };
    let start = std::time::Instant::now();
    let refused = RedisState::connect(&config, "test", 1).await.unwrap_err();
    assert!(start.elapsed().as_secs() < 5);
    assert!(refused.to_string().contains(&format!("redis at 127.0.0.1:{port}")), "{refused}");
    for shown in [format!("{refused:?}"), format!("{config:?}"), serde_json::to_string(&config).unwrap()] {
        assert!(!shown.contains("open-sesame"), "{shown}");
    }
    assert_eq!(config.url.to_string(), format!("redis://waggle:***@127.0.0.1:{port}/3"));
}

#[tokio::test]
async fn a_server_that_accepts_and_never_answers_is_given_up_in_time() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let url = RedisUrl::new(format!("redis://{address}"));
    let config = RedisConfig { url, connect_timeout_ms: 200, timeout_ms: 400, ..RedisConfig::default() };
    let start = std::time::Instant::now();
    let refused = RedisState::connect(&config, "test", 1).await.unwrap_err();
    assert!(start.elapsed().as_secs() < 5);
    assert!(refused.to_string().contains(&address.to_string()), "{refused}");
}

#[tokio::test]
async fn a_url_that_is_none_and_a_prefix_that_does_not_fit_are_refused() {
    for url in ["", "http://127.0.0.1", "127.0.0.1:6379:x", "redis://:secret@"] {
        let config = RedisConfig { url: RedisUrl::new(url), ..RedisConfig::default() };
        let refused = RedisState::connect(&config, "test", 1).await.unwrap_err().to_string();
        assert!(!refused.contains("secret"), "{refused}");
    }
    for prefix in ["", "a b", "a{b}", &"x".repeat(101)] {
        let refused = RedisState::connect(&RedisConfig::default(), prefix, 1).await.unwrap_err();
        assert!(refused.to_string().contains("prefix"), "{refused}");
    }
}

#[test]
fn a_misspelt_setting_is_an_error_and_a_url_of_a_socket_hides_its_password() {
    let misspelt = serde_json::from_str::<RedisConfig>(r#"{"pool_sise": 3}"#);
    assert!(misspelt.unwrap_err().to_string().contains("pool_sise"));
    let config = serde_json::from_str::<RedisConfig>(r#"{"url": "redis+unix:///run/redis?db=1&pass=hush"}"#);
    assert!(!format!("{:?}", config.unwrap()).contains("hush"));
}

#[tokio::test]
async fn another_number_of_partitions_or_layout_is_refused() {
    let own = OwnPrefix::new();
    let store = RedisState::connect(&own.config(), &own.prefix, 2).await.unwrap();
    store.commit(batch(1, 0, 5, vec![(key(1, StateKind::Person, 1), blob("kept"))])).await.unwrap();
    let refused = RedisState::connect(&own.config(), &own.prefix, 3).await;
    assert!(
        matches!(&refused, Err(StateError::Storage(what)) if what.contains("2 partitions")),
        "{refused:?}"
    );
    // Nothing was changed by asking.
    let again = RedisState::connect(&own.config(), &own.prefix, 2).await.unwrap();
    assert_eq!(again.read(&[key(1, StateKind::Person, 1)]).await.unwrap(), [blob("kept")]);
    let set = deadpool_redis::redis::cmd("HSET")
        .arg(format!("{}:state", own.prefix))
        .arg("layout")
        .arg(9)
        .exec(&mut own.connection());
    set.unwrap();
    let refused = RedisState::connect(&own.config(), &own.prefix, 2).await;
    assert!(matches!(refused, Err(StateError::Version { got: 9, .. })), "{refused:?}");
}

#[tokio::test]
async fn the_script_is_loaded_again_when_the_server_forgot_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = crate::support::redis::OwnServer::start(folder.path(), "no");
    let store = RedisState::connect(&server.config(), "test", 1).await.unwrap();
    for step in 0..3 {
        let mut connection = deadpool_redis::redis::Client::open(server.url.as_str()).unwrap();
        deadpool_redis::redis::cmd("SCRIPT").arg("FLUSH").exec(&mut connection).unwrap();
        store.commit(batch(0, step, step + 1, Vec::new())).await.unwrap();
    }
    assert_eq!(store.applied(0).await.unwrap().offset, 3);
}
