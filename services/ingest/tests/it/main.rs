//! `POST /v1/events` of a real server over a real log.
#![cfg(test)]

mod dead_letters;
mod mutations;
mod topics;

use std::{io::Write, net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use flate2::{Compression, write::GzEncoder};
use reqwest::{Client, Response};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    sync::{Notify, Semaphore},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use waggle_contracts::{Ingest, RoleError, ingest::Origin};
use waggle_http::{ServerOptions, bind, serve};
use waggle_ingest_role::{
    IngestConfig, IngestService, MAX_BODY_BYTES, MAX_EVENTS, OwnType, UnknownTypes, configure,
};
use waggle_model::{
    CatalogChange, CountsAs, DeadLetter, DeadLetterOrigin, Event, EventBody, EventId, Item, ItemId, Signal,
    Timestamp, decode_event, partition_of, wire::WireEvent,
};
use waggle_stores::{
    EventLog, LogError, LogRecord, Membership, NewRecord, Position, SqliteLog, SqliteLogOptions, Topic,
};

const N_PARTITIONS: u32 = 3;

struct Server {
    url: String,
    client: Client,
    log: Arc<SqliteLog>,
    shutdown: CancellationToken,
    served: JoinHandle<std::io::Result<()>>,
    _dir: Option<TempDir>,
}

impl Server {
    async fn start() -> Self {
        let (log, dir) = open_log().await;
        Self { _dir: Some(dir), ..Self::start_with(log, IngestConfig::default()).await }
    }

    async fn start_with(log: Arc<SqliteLog>, config: IngestConfig) -> Self {
        let ingest = Arc::new(IngestService::new(log.clone(), config));
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let url = format!("http://{}/v1/events", listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let options = ServerOptions { workers: 1, ..ServerOptions::default() };
        let served = tokio::spawn(serve(listener, options, configure(ingest), shutdown.clone()));
        Self { url, client: Client::new(), log, shutdown, served, _dir: None }
    }

    async fn post(&self, content_type: &str, body: impl Into<reqwest::Body>) -> Response {
        self.client.post(&self.url).header("content-type", content_type).body(body).send().await.unwrap()
    }

    async fn post_events(&self, events: Value) -> Value {
        let response = self.post("application/json", json!({ "events": events }).to_string()).await;
        assert_eq!(response.status(), 202);
        response.json().await.unwrap()
    }

    async fn check_refused(&self, content_type: &str, body: String, status: u16, detail: &str) {
        let response = self.post(content_type, body).await;
        self.check_problem(response, status, detail).await;
    }

    async fn check_problem(&self, response: Response, status: u16, detail: &str) {
        assert_eq!(response.status(), status);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let problem: Value = response.json().await.unwrap();
        assert!(problem["detail"].as_str().unwrap().contains(detail), "{problem}");
        assert_eq!(all_records(&*self.log, Topic::Events).await, [], "nothing of the body was accepted");
    }

    async fn post_encoded(&self, encoding: &str, body: Vec<u8>) -> Response {
        let request = self.client.post(&self.url).header("content-type", "application/json");
        request.header("content-encoding", encoding).body(body).send().await.unwrap()
    }

    async fn check_encoded(&self, encoding: &str, body: Vec<u8>, status: u16, detail: &str) {
        let response = self.post_encoded(encoding, body).await;
        self.check_problem(response, status, detail).await;
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.served.await.unwrap().unwrap();
    }
}

async fn open_log() -> (Arc<SqliteLog>, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let options = SqliteLogOptions { n_partitions: N_PARTITIONS, max_bytes: None };
    (Arc::new(SqliteLog::open(dir.path().join("log.db"), options).await.unwrap()), dir)
}

async fn all_records(log: &dyn EventLog, topic: Topic) -> Vec<LogRecord> {
    let mut all = Vec::new();
    for partition in 0..log.n_partitions(topic) {
        all.extend(log.read(topic, partition, 0, 1_000_000).await.unwrap());
    }
    all
}

fn view(user: &str, item: &str) -> Value {
    json!({ "type": "view", "user_id": user, "item_id": item })
}

fn event(id: &str, user: &str) -> Event {
    Event { event_id: Some(EventId::try_new(id).unwrap()), ..event_of("view", user) }
}

fn event_of(kind: &str, user: &str) -> Event {
    WireEvent {
        r#type: kind.to_owned(),
        user_id: Some(user.to_owned()),
        item_id: Some("lamp".to_owned()),
        ..WireEvent::default()
    }
    .into_event(Timestamp::now())
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn accepted_events_are_in_the_log_under_their_persons_partition() {
    let server = Server::start().await;
    let users = ["anna", "bert", "cora", "dirk", "elsa", "fips"];
    let report = server.post_events(users.iter().map(|user| view(user, "lamp")).collect()).await;
    assert_eq!(report, json!({ "accepted": 6, "duplicates": 0, "rejected": [] }));
    let records = all_records(&*server.log, Topic::Events).await;
    assert_eq!(records.len(), 6);
    for record in records {
        let user = decode_event(&record.value).unwrap().person.user_id.unwrap();
        assert_eq!(record.key, user.as_str());
        assert_eq!(record.partition, partition_of(user.as_str().as_bytes(), N_PARTITIONS));
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_bad_event_gets_its_verdict_and_its_dead_letter() {
    let server = Server::start().await;
    let old = json!({ "type": "view", "user_id": "u", "item_id": "i", "timestamp": "2001-01-01T00:00:00Z" });
    let report = server
        .post_events(json!([view("anna", "lamp"), old, { "type": "view" }, view("bert", "sofa"), 17]))
        .await;
    assert_eq!(report["accepted"], 2);
    let indices: Vec<_> = report["rejected"].as_array().unwrap().iter().map(|r| r["index"].clone()).collect();
    assert_eq!(indices, [1, 2, 4]);
    assert!(report["rejected"][0]["detail"].as_str().unwrap().contains("30 days"), "{report}");

    let letters = all_records(&*server.log, Topic::DeadLetters).await;
    let letters: Vec<_> = letters.iter().map(|r| DeadLetter::decode(&r.value).unwrap()).collect();
    assert_eq!(letters.len(), 3);
    assert_eq!(letters[2].origin, DeadLetterOrigin::Request { index: 4 });
    assert_eq!(&letters[2].payload[..], b"17");
    assert_eq!(letters[1].reason, report["rejected"][1]["detail"].as_str().unwrap());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_taken_like_a_list() {
    let server = Server::start().await;
    let lines = format!("{}\nnot json\n{}\n", view("anna", "lamp"), view("bert", "lamp"));
    let response = server.post("application/x-ndjson; charset=utf-8", lines).await;
    let report: Value = response.json().await.unwrap();
    assert_eq!(report["accepted"], 2);
    assert_eq!(report["rejected"][0]["index"], 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_is_reported_and_not_appended_again() {
    let server = Server::start().await;
    let with_id = |id: &str| json!({ "event_id": id, "type": "view", "user_id": "anna", "item_id": "lamp" });
    let first = server.post_events(json!([with_id("a"), with_id("b"), with_id("a")])).await;
    assert_eq!((&first["accepted"], &first["duplicates"]), (&json!(2), &json!(1)));
    let retry = server.post_events(json!([with_id("a"), with_id("b"), with_id("c")])).await;
    assert_eq!((&retry["accepted"], &retry["duplicates"]), (&json!(1), &json!(2)));
    assert_eq!(all_records(&*server.log, Topic::Events).await.len(), 3);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_not_whole_or_too_large_leaves_nothing_behind() {
    let server = Server::start().await;
    let json = "application/json";
    let event = view("anna", "lamp").to_string();
    server.check_refused(json, format!(r#"{{"events":[{event},"#), 400, "nothing of it was accepted").await;
    server.check_refused("text/plain", format!(r#"{{"events":[{event}]}}"#), 415, "text/plain").await;
    let many = vec![event.as_str(); MAX_EVENTS + 1].join(",");
    server.check_refused(json, format!(r#"{{"events":[{many}]}}"#), 413, "more than 5000 events").await;
    let padded = format!(r#"{{"events":[{event}{}]}}"#, " ".repeat(MAX_BODY_BYTES));
    server.check_refused(json, padded, 413, "more than the 4194304 bytes").await;
    assert_eq!(all_records(&*server.log, Topic::DeadLetters).await, []);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_body_is_taken_like_a_plain_one_and_held_to_the_same_limits() {
    let server = Server::start().await;
    let body = json!({ "events": [view("anna", "lamp"), view("bert", "sofa")] }).to_string();
    let gzip = |content: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    };
    let zipped = gzip(body.as_bytes());
    server.check_encoded("br", zipped.clone(), 415, "identity, gzip, deflate, zstd").await;
    server.check_encoded("gzip", zipped[..zipped.len() - 4].to_vec(), 400, "not a whole gzip stream").await;
    server.check_encoded("gzip", body.clone().into_bytes(), 400, "not a whole gzip stream").await;
    let bomb = zstd::encode_all(&vec![b' '; 1 << 30][..], 3).unwrap();
    server.check_encoded("zstd", bomb, 413, "4194304 bytes that are allowed, decompressed").await;
    let many = vec![view("anna", "lamp").to_string(); MAX_EVENTS + 1].join("\n");
    let many = format!(r#"{{"events":[{}]}}"#, many.replace('\n', ","));
    server.check_encoded("gzip", gzip(many.as_bytes()), 413, "more than 5000 events").await;

    let zstandard = zstd::encode_all(body.as_bytes(), 3).unwrap();
    for (encoding, body) in [("gzip", zipped), ("zstd", zstandard), ("identity", body.into_bytes())] {
        let report: Value = server.post_encoded(encoding, body).await.json().await.unwrap();
        assert_eq!(report["accepted"], 2, "{encoding}: {report}");
    }
    server.stop().await;
}

/// Each beside two good events: what is refused is said, and spoils nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn odd_json_spoils_its_own_event_only() {
    let server = Server::start().await;
    let view = |field: &str| format!(r#"{{"type":"view","user_id":"anna","item_id":"lamp",{field}}}"#);
    let odd: [(Vec<u8>, &str); 12] = [
        (view(r#""type":"click""#).into(), "duplicate field `type`"),
        (view(r#""value":1e999"#).into(), "number out of range"),
        (view(r#""quantity":-0.5"#).into(), "quantity is -0.5"),
        (view(r#""price":"12""#).into(), "invalid type: string"),
        (view(r#""session_id":"\ud800""#).into(), "hex escape"),
        (view(r#""session_id":"a\u0000b""#).into(), "session_id contains a control character"),
        (view(&format!(r#""session_id":"{}""#, "x".repeat(257))).into(), "session_id has 257 bytes"),
        (view(r#""event_id":"""#).into(), "event_id is empty"),
        (view(r#""position":4294967296"#).into(), "invalid value"),
        (view(r#""surprise":1"#).into(), "unknown field `surprise`"),
        (b"{\"type\":\"view\",\"user_id\":\"\xe9\",\"item_id\":\"lamp\"}".to_vec(), "invalid unicode"),
        (b"[\"view\",\"anna\",\"lamp\"]".to_vec(), "not an event"),
    ];
    for (event, detail) in odd {
        let good = br#"{"type":"view","user_id":"anna","item_id":"lamp"}"#;
        let body = [b"{\"events\":[", &good[..], b",", &event, b",", good, b"]}"].concat();
        let response = server.post("application/json; charset=latin1", body).await;
        assert_eq!(response.status(), 202, "{detail}");
        let report: Value = response.json().await.unwrap();
        assert_eq!(
            (&report["accepted"], &report["rejected"][0]["index"]),
            (&json!(2), &json!(1)),
            "{report}"
        );
        let said = report["rejected"][0]["detail"].as_str().unwrap();
        assert!(said.contains(detail), "{said}");
    }
    // What the context says twice is said once, the last time; and 257 bytes are too many, 256 are not.
    let taken = [
        view(r#""context":{"a":1,"a":2,"deep":[[[[[[]]]]]]}"#),
        view(&format!(r#""session_id":"{}""#, "x".repeat(256))),
    ];
    let response = server.post("application/json", format!(r#"{{"events":[{}]}}"#, taken.join(","))).await;
    assert_eq!(response.json::<Value>().await.unwrap()["accepted"], 2);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_no_json_at_all_is_refused_whole_and_at_once() {
    let server = Server::start().await;
    let event = view("anna", "lamp").to_string();
    let started = std::time::Instant::now();
    for body in [
        format!(r#"{{"events":[{event},NaN]}}"#),
        format!(r#"{{"events":[{event},{{"value":Infinity}}]}}"#),
        format!(r#"{{"events":[{event},{}]}}"#, r#"{"a":"#.repeat(800_000)),
        format!(r#"{{"events":[{event}],"events":[{event}]}}"#),
        String::from_utf8_lossy(&[0xff, 0xfe, b'{', 0]).into_owned(),
    ] {
        server.check_refused("application/json", body, 400, "nothing of it was accepted").await;
    }
    // Brackets that are closed again are JSON, and no event.
    let brackets = "[".repeat(2_000_000) + &"]".repeat(2_000_000);
    let response = server.post("application/json", format!(r#"{{"events":[{brackets}]}}"#)).await;
    let report: Value = response.json().await.unwrap();
    assert!(report["rejected"][0]["detail"].as_str().unwrap().contains("not an event"), "{report}");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_trickles_in_is_given_up() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (log, _dir) = open_log().await;
    let config = IngestConfig { body_timeout_s: 1, ..IngestConfig::default() };
    let server = Server::start_with(log, config).await;
    let address = server.url.strip_prefix("http://").unwrap().strip_suffix("/v1/events").unwrap();
    let mut slow = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = "POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n";
    slow.write_all(head.as_bytes()).await.unwrap();
    let (mut read, mut write) = slow.split();
    let mut answer = vec![0; 4_096];
    let answered = read.read(&mut answer);
    let trickle = async {
        loop {
            // Fails once the server has hung up, which `answered` sees too.
            write.write_all(b" ").await.ok();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let n = tokio::select! {
        n = answered => n.unwrap(),
        () = trickle => unreachable!("it goes on for ever"),
    };
    let answer = String::from_utf8_lossy(&answer[..n]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("not here within 1s"), "{answer}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_allowed_batch_is_accepted() {
    let server = Server::start().await;
    let events = (0..MAX_EVENTS).map(|n| view(&format!("user-{n}"), "lamp")).collect();
    assert_eq!(server.post_events(events).await["accepted"], MAX_EVENTS);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn catalogue_changes_go_to_their_own_topic_by_item() {
    let (log, _dir) = open_log().await;
    let ingest = IngestService::new(log.clone(), IngestConfig::default());
    let item = Item::new(ItemId::try_new("lamp").unwrap(), "A lamp");
    ingest.change_catalog(vec![CatalogChange::Put(item.clone())]).await.unwrap();
    let records = all_records(&*log, Topic::Catalog).await;
    assert_eq!(records[0].key, "lamp");
    assert_eq!(
        decode_event(&records[0].value).unwrap().body,
        EventBody::CatalogChange(Box::new(CatalogChange::Put(item)))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_an_own_type_carries_its_meaning_into_the_log() {
    let wishlist = Signal::try_new(CountsAs::Cart, 0.5).unwrap();
    let own = |name: &str| OwnType::try_from(name.to_owned()).unwrap();
    let config = IngestConfig { types: [(own("wishlist"), wishlist)].into(), ..IngestConfig::default() };
    let events = || ["wishlist", "test_drive", "view"].map(|kind| event_of(kind, "anna")).to_vec();

    let (log, _dir) = open_log().await;
    let keeps = IngestService::new(log.clone(), config.clone());
    assert_eq!(keeps.accept(events(), Origin::Client).await.unwrap().accepted, 3);
    let signals = all_records(&*log, Topic::Events).await.into_iter().map(|record| {
        let EventBody::Interaction(interaction) = decode_event(&record.value).unwrap().body else { panic!() };
        interaction.signal
    });
    assert_eq!(signals.collect::<Vec<_>>(), [Some(wishlist), None, None]);

    let (log, _dir) = open_log().await;
    let rejects = IngestService::new(log, IngestConfig { unknown_types: UnknownTypes::Reject, ..config });
    let report = rejects.accept(events(), Origin::Import).await.unwrap();
    assert_eq!((report.accepted, report.rejected[0].index), (2, 1));
    assert!(report.rejected[0].detail.contains("\"test_drive\""), "{:?}", report.rejected);
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_its_bounds_ingest_refuses_whole_requests() {
    let (log, _dir) = open_log().await;
    let held = Arc::new(HeldLog { log, entered: Notify::new(), open: Semaphore::new(0), fails: false });
    let config = IngestConfig { max_in_flight_events: 3, ..IngestConfig::default() };
    let ingest = Arc::new(IngestService::new(held.clone(), config));
    let accept = |events: Vec<Event>| {
        let ingest = Arc::clone(&ingest);
        tokio::spawn(async move { ingest.accept(events, Origin::Client).await })
    };
    let first = accept(vec![event("a", "anna"), event("b", "bert")]);
    held.entered.notified().await;
    let refused = accept(vec![event("c", "cora"), event("d", "dirk")]).await.unwrap();
    assert!(matches!(refused, Err(RoleError::Overloaded { .. })), "{refused:?}");
    held.open.add_permits(10);
    assert_eq!(first.await.unwrap().unwrap().accepted, 2);
    assert_eq!(accept(vec![event("c", "cora"), event("d", "dirk")]).await.unwrap().unwrap().accepted, 2);
    assert_eq!(all_records(&*held.log, Topic::Events).await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_whose_append_failed_is_not_taken_for_a_duplicate() {
    let (log, _dir) = open_log().await;
    let failing =
        Arc::new(HeldLog { log: log.clone(), entered: Notify::new(), open: Semaphore::new(10), fails: true });
    let ingest = IngestService::new(failing, IngestConfig::default());
    for _ in 0..2 {
        let refused = ingest.accept(vec![event("a", "anna")], Origin::Client).await;
        assert!(matches!(refused, Err(RoleError::NotReady { .. })), "{refused:?}");
    }
    assert_eq!(all_records(&*log, Topic::Events).await, []);
}

/// The real log behind a gate.
struct HeldLog {
    log: Arc<SqliteLog>,
    entered: Notify,
    open: Semaphore,
    fails: bool,
}

#[async_trait]
impl EventLog for HeldLog {
    fn n_partitions(&self, topic: Topic) -> u32 {
        self.log.n_partitions(topic)
    }

    async fn append(&self, topic: Topic, records: Vec<NewRecord>) -> Result<Vec<Position>, LogError> {
        self.entered.notify_one();
        self.open.acquire().await.unwrap().forget();
        if self.fails {
            return Err(LogError::Full("no space left on device".to_owned()));
        }
        self.log.append(topic, records).await
    }

    async fn read(
        &self,
        topic: Topic,
        partition: u32,
        offset: u64,
        max: usize,
    ) -> Result<Vec<LogRecord>, LogError> {
        self.log.read(topic, partition, offset, max).await
    }

    async fn start(&self, topic: Topic, partition: u32) -> Result<u64, LogError> {
        self.log.start(topic, partition).await
    }

    async fn end(&self, topic: Topic, partition: u32) -> Result<u64, LogError> {
        self.log.end(topic, partition).await
    }

    async fn longest_kept(&self, topic: Topic) -> Result<Option<Duration>, LogError> {
        self.log.longest_kept(topic).await
    }

    async fn wait(
        &self,
        topic: Topic,
        partition: u32,
        offset: u64,
        timeout: Duration,
    ) -> Result<(), LogError> {
        self.log.wait(topic, partition, offset, timeout).await
    }

    async fn join(&self, group: &str, topic: Topic, member: &str) -> Result<Box<dyn Membership>, LogError> {
        self.log.join(group, topic, member).await
    }

    async fn close(&self) {
        self.log.close().await;
    }
}
