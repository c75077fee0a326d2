//! The log on Kafka through TLS and a password, on the broker's second listener.
//!
//! Needs a build with the feature `tls`, which `cargo xtask test --only tls` makes; other builds show these as ignored.

use std::path::PathBuf;

use waggle_model::partition_of;
use waggle_stores::{
    EventLog, KafkaConfig, KafkaLog, KafkaSource, Secret, Topic,
    log::kafka::{KafkaProtocol, KafkaSecurity, SaslMechanism},
};

use crate::{
    contract::log::{read_all, record},
    support::kafka::{PATIENCE, Place, check_refused, config, take, variable, within},
};

/// As the listener wants it.
fn secure() -> KafkaConfig {
    KafkaConfig {
        brokers: variable("WAGGLE_TEST_KAFKA_TLS"),
        security: KafkaSecurity {
            protocol: KafkaProtocol::SaslSsl,
            mechanism: SaslMechanism::Plain,
            username: variable("WAGGLE_TEST_KAFKA_USER"),
            password: Secret::from(variable("WAGGLE_TEST_KAFKA_PASSWORD")),
            ca_file: Some(PathBuf::from(variable("WAGGLE_TEST_KAFKA_CA"))),
        },
        ..config()
    }
}

/// Connecting fails with a message that says `expected` and does not give the password away, whether to our own topics or
/// to those of others.
async fn check_shut_out(security: KafkaSecurity, expected: &str) {
    let password = security.password.expose().to_owned();
    let config = KafkaConfig { security, ..secure() };
    let log = KafkaLog::connect(&config, "nobody", 1);
    let source = KafkaSource::subscribe(&config, "clicks", "nobody");
    let (log, source) = within(async { tokio::join!(log, source) }).await;
    for error in [log.err(), source.err()] {
        let error = error.expect("connecting is refused");
        let message = error.to_string();
        assert!(message.contains(expected), "{message}");
        for text in [message, format!("{error:?}"), format!("{config:?}")] {
            assert!(!text.contains(&password), "the password stands in the text: {text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(feature = "tls"), ignore = "needs the feature `tls`: cargo xtask test --only tls")]
async fn who_logs_in_over_tls_appends_reads_and_follows_in_a_group() {
    let place = Place::new();
    let log = KafkaLog::connect(&secure(), &place.prefix, 2).await.unwrap();
    let member = log.join("folds", Topic::Events, "only").await.unwrap();
    let batch = (0..500).map(|i| record(&format!("k{}", i % 7), format!("v{i}"))).collect::<Vec<_>>();
    let positions = log.append(Topic::Events, batch.clone()).await.unwrap();
    assert_eq!(positions.len(), batch.len());
    let owned = within(member.owned().wait_for(|owned| owned.len() == 2)).await.unwrap().clone();
    let mut read = Vec::new();
    for partition in owned {
        within(log.wait(Topic::Events, partition, 0, PATIENCE)).await.unwrap();
        read.extend(read_all(&log, Topic::Events, partition).await);
    }
    let expected = batch.iter().zip(&positions).map(|(record, at)| {
        assert_eq!(at.partition, partition_of(&record.key, 2));
        (at.partition, at.offset, record.value.clone())
    });
    let mut expected = expected.collect::<Vec<_>>();
    expected.sort_unstable();
    let read = read.into_iter().map(|r| (r.partition, r.offset, r.value)).collect::<Vec<_>>();
    assert_eq!(read, expected);
    within(member.leave()).await;

    // What is encrypted on the way is the same log to whoever takes the other listener.
    let plain = place.log(2).await.unwrap();
    assert_eq!(
        read_all(&plain, Topic::Events, 0).await.len() + read_all(&plain, Topic::Events, 1).await.len(),
        500
    );
    let group = format!("{}.importer", place.prefix);
    let mut source = KafkaSource::subscribe(&secure(), &place.name(Topic::Events), &group).await.unwrap();
    assert_eq!(take(&mut source, 500).await.len(), 500);
    source.commit().await.unwrap();
    log.close().await;
    place.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(feature = "tls"), ignore = "needs the feature `tls`: cargo xtask test --only tls")]
async fn a_wrong_password_is_refused_and_not_repeated() {
    let password = Secret::from("not-the-password-of-anybody".to_owned());
    check_shut_out(KafkaSecurity { password, ..secure().security }, "uthentication failed").await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(feature = "tls"), ignore = "needs the feature `tls`: cargo xtask test --only tls")]
async fn a_broker_of_an_unknown_authority_is_not_trusted() {
    // The authorities of the system know nothing of the tests' own.
    check_shut_out(KafkaSecurity { ca_file: None, ..secure().security }, "certificate verify failed").await;
    let missing = Some(PathBuf::from("/nowhere/ca.pem"));
    check_shut_out(
        KafkaSecurity { ca_file: missing, ..secure().security },
        "in /nowhere/ca.pem cannot be read",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(feature = "tls", ignore = "this build has the feature `tls`")]
async fn a_build_without_tls_says_so() {
    let security = KafkaSecurity { protocol: KafkaProtocol::SaslSsl, ..KafkaSecurity::default() };
    let refused = KafkaLog::connect(&KafkaConfig { security, ..config() }, "nobody", 1).await;
    check_refused(refused, "sasl_ssl needs a build with the feature `tls`");
}
