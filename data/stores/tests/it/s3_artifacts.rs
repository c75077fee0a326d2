//! Artifacts in a bucket, on a server that speaks S3.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use waggle_stores::{ArtifactError, Artifacts, S3Config, Secret};

use crate::{
    contract::artifacts::artifacts_contract,
    support::s3::{Line, OwnPrefix},
};

/// Longest that a failure may take where a test sets the limits below.
const SOON: Duration = Duration::from_secs(6);

/// Fails quickly.
fn impatient(config: &S3Config, endpoint: String) -> S3Config {
    S3Config {
        endpoint: Some(endpoint),
        connect_timeout_ms: 1_000,
        timeout_ms: 1_000,
        retry_for_ms: 300,
        ..config.clone()
    }
}

#[track_caller]
fn unreachable<T: std::fmt::Debug>(outcome: Result<T, ArtifactError>, since: Instant, says: &str) {
    let took = since.elapsed();
    let error = outcome.unwrap_err();
    assert!(matches!(error, ArtifactError::Unreachable { .. }), "{error:?}");
    assert!(error.is_of_place());
    assert!(error.to_string().contains(says), "\"{error}\" does not say \"{says}\"");
    assert!(took < SOON, "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_fulfils_the_contract() {
    let prefix = OwnPrefix::new();
    artifacts_contract(async |max_bytes| prefix.connect(max_bytes).await).await;
}

#[tokio::test]
async fn prefixes_and_the_whole_bucket_are_places_of_their_own() {
    let (one, other) = (OwnPrefix::new(), OwnPrefix::new());
    let (here, there) = (one.connect(1 << 20).await, other.connect(1 << 20).await);
    here.put("a/b", Bytes::from("here")).await.unwrap();
    there.put("a/b", Bytes::from("there")).await.unwrap();
    assert_eq!(here.get("a/b").await.unwrap(), "here");
    let (bucket, path) = one.config.url.as_deref().unwrap()["s3://".len()..].split_once('/').unwrap();
    let whole = S3Config { url: Some(format!("s3://{bucket}")), ..one.config.clone() };
    let whole = Artifacts::connect(&whole, 1 << 20).await.unwrap();
    assert_eq!(whole.get(&format!("{path}/a/b")).await.unwrap(), "here");
    let listed = whole.list(path).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].path, format!("{path}/a/b"));
    assert!(here.place().starts_with("s3://") && here.place().contains(path), "{}", here.place());
}

#[tokio::test]
async fn a_wrong_key_or_bucket_is_named_and_the_secret_is_not() {
    let prefix = OwnPrefix::new();
    let secret = || Secret::from("s3cret".to_owned());
    let wrong_secret = S3Config { secret_key: secret(), ..prefix.config.clone() };
    let wrong_key = S3Config { access_key: secret(), ..prefix.config.clone() };
    for (config, says) in [(wrong_secret, "SignatureDoesNotMatch"), (wrong_key, "InvalidAccessKeyId")] {
        let error = Artifacts::connect(&config, 1).await.unwrap_err();
        assert!(matches!(error, ArtifactError::Refused { .. }), "{error:?}");
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(says) && shown.contains(&prefix.server()), "{shown}");
        for secret in ["s3cret", prefix.config.secret_key.expose(), prefix.config.access_key.expose()] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
    let no_bucket = S3Config { url: Some("s3://no-such-bucket/a".to_owned()), ..prefix.config.clone() };
    let error = Artifacts::connect(&no_bucket, 1).await.unwrap_err();
    assert!(matches!(error, ArtifactError::NoBucket(_)), "{error:?}");
    assert!(error.to_string().contains("s3://no-such-bucket/a at http://"), "{error}");
}

#[tokio::test]
async fn a_server_that_goes_away_is_named_in_time_and_found_again() {
    let prefix = OwnPrefix::new();
    let line = Line::open("127.0.0.1:0", prefix.server()).await;
    let (address, endpoint) = (line.address.to_string(), format!("http://{}", line.address));
    let impatient = impatient(&prefix.config, endpoint.clone());
    let artifacts = Artifacts::connect(&impatient, 1 << 30).await.unwrap();
    artifacts.put("a", Bytes::from("kept")).await.unwrap();
    line.close().await;

    let large = Bytes::from(vec![1; 9 << 20]);
    let since = Instant::now();
    unreachable(artifacts.get("a").await, since, &endpoint);
    let since = Instant::now();
    unreachable(artifacts.put("b", Bytes::from("lost")).await, since, "refused");
    let since = Instant::now();
    unreachable(artifacts.put("b", large).await, since, "refused");
    let since = Instant::now();
    unreachable(artifacts.list("").await, since, "refused");
    let since = Instant::now();
    unreachable(artifacts.delete("a").await, since, "refused");
    let since = Instant::now();
    unreachable(Artifacts::connect(&impatient, 1).await, since, "refused");

    // Whoever has more patience does not even notice.
    let patient = S3Config { retry_for_ms: 60_000, ..impatient };
    let waiting = tokio::spawn(async move { Artifacts::connect(&patient, 1 << 20).await?.get("a").await });
    let line = Line::open(&address, prefix.server()).await;
    assert_eq!(waiting.await.unwrap().unwrap(), "kept");
    assert_eq!(artifacts.get("a").await.unwrap(), "kept");
    assert_eq!(artifacts.list("").await.unwrap().len(), 1, "nothing of what failed is seen");
    line.close().await;
}

#[tokio::test]
async fn an_answer_that_is_cut_off_is_continued() {
    let prefix = OwnPrefix::new();
    let line = Line::open("127.0.0.1:0", prefix.server()).await;
    let config = S3Config { endpoint: Some(format!("http://{}", line.address)), ..prefix.config.clone() };
    let artifacts = Artifacts::connect(&config, 1 << 30).await.unwrap();
    let content = (0..4_u32 << 20).map(|i| (i % 251) as u8).collect::<Bytes>();
    let digest = artifacts.put_with_sha256("a", content).await.unwrap();
    for n_bytes in [1, 100, 1 << 20, 3 << 20] {
        line.cut_after(n_bytes);
        artifacts.get_verified("a", &digest).await.unwrap();
        assert!(line.was_cut());
    }
    // A small and a large put whose answer is lost are done once more.
    for (path, n_bytes) in [("small", 10), ("large", 10 << 20)] {
        line.cut_after(1);
        artifacts.put(path, Bytes::from(vec![7; n_bytes])).await.unwrap();
        assert!(line.was_cut());
        assert_eq!(artifacts.get(path).await.unwrap().len(), n_bytes);
    }
    line.close().await;
}

#[tokio::test]
async fn a_server_that_is_overloaded_is_out_of_reach() {
    let prefix = OwnPrefix::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let refusing = tokio::spawn(async move {
        const BODY: &str =
            "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";
        while let Ok((mut connection, _)) = listener.accept().await {
            let _request = connection.read(&mut [0; 1 << 14]).await;
            let length = BODY.len();
            let head = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length:";
            let _sent = connection.write_all(format!("{head} {length}\r\n\r\n{BODY}").as_bytes()).await;
        }
    });
    let since = Instant::now();
    let overloaded = Artifacts::connect(&impatient(&prefix.config, endpoint), 1).await;
    unreachable(overloaded, since, "SlowDown: Please reduce your request rate.");
    refusing.abort();
}

#[tokio::test]
async fn a_server_that_is_silent_is_not_waited_for_any_longer_than_configured() {
    let prefix = OwnPrefix::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let holding = tokio::spawn(async move {
        let mut connections = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            connections.push(connection);
        }
    });
    let since = Instant::now();
    let silent = Artifacts::connect(&impatient(&prefix.config, endpoint.clone()), 1).await;
    unreachable(silent, since, &endpoint);
    holding.abort();
}
