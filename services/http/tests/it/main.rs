//! A real server on a free port, asked over HTTP.
#![cfg(test)]

use std::{
    io::Read as _,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use actix_web::{
    HttpResponse,
    web::{self, Data, Json, Path, Query, ServiceConfig},
};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use tokio::{
    sync::{Notify, Semaphore},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use waggle_http::{
    ApiError, BindError, Kind, Problem, Readiness, RequestId, ServerOptions, bind, health, serve, telemetry,
};

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

struct Server {
    base: String,
    client: Client,
    shutdown: CancellationToken,
    served: JoinHandle<std::io::Result<()>>,
    readiness: Arc<Readiness>,
    gate: Arc<Gate>,
}

/// A handler that says when it was entered and waits to be let through.
struct Gate {
    entered: Notify,
    open: Semaphore,
}

impl Server {
    fn start() -> Self {
        let listener = bind(ANY).unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let readiness = Arc::new(Readiness::new(&["log", "features"]));
        let gate = Arc::new(Gate { entered: Notify::new(), open: Semaphore::new(0) });
        let shutdown = CancellationToken::new();
        let health = health::configure(Arc::clone(&readiness), telemetry::metrics_handle());
        let routes = routes(Arc::clone(&gate));
        let configure = |config: &mut ServiceConfig| {
            health(config);
            routes(config);
        };
        let options =
            ServerOptions { workers: 1, drain: Duration::from_secs(10), ..ServerOptions::default() };
        let served = tokio::spawn(serve(listener, options, configure, shutdown.clone()));
        Self { base, client: Client::new(), shutdown, served, readiness, gate }
    }

    async fn get(&self, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.base)).send().await.unwrap()
    }

    async fn post(&self, path: &str, content_type: &str, body: impl Into<reqwest::Body>) -> Response {
        let request = self.client.post(format!("{}{path}", self.base)).header("content-type", content_type);
        request.body(body).send().await.unwrap()
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.served.await.unwrap().unwrap();
    }
}

fn routes(gate: Arc<Gate>) -> impl FnOnce(&mut ServiceConfig) + Clone + Send + 'static {
    move |config| {
        config
            .app_data(Data::from(gate))
            .service(web::resource("/sum").route(web::post().to(sum)))
            .service(web::resource("/text/{kind}/{n_bytes}").route(web::get().to(text)))
            .service(web::resource("/pieces/{kind}").route(web::get().to(pieces)))
            .service(
                web::resource("/bytes")
                    .route(web::post().to(async |body: web::Bytes| body.len().to_string())),
            )
            .service(web::resource("/things/{n}").route(web::get().to(thing)))
            .service(web::resource("/id").route(web::get().to(async |id: RequestId| id.as_str().to_owned())))
            .service(web::resource("/broken").route(web::get().to(broken)))
            .service(web::resource("/panic").route(web::get().to(panics)))
            .service(web::resource("/busy").route(web::get().to(busy)))
            .service(web::resource("/own").route(web::get().to(own_page)))
            .service(web::resource("/slow").route(web::get().to(slow)));
    }
}

#[derive(serde::Deserialize)]
struct Sum {
    numbers: Vec<i64>,
}

async fn sum(body: Json<Sum>) -> Json<i64> {
    Json(body.numbers.iter().sum())
}

#[derive(serde::Deserialize)]
struct ThingQuery {
    scale: Option<u32>,
}

async fn thing(n: Path<u32>, query: Query<ThingQuery>) -> Json<u32> {
    Json(*n * query.scale.unwrap_or(1))
}

async fn broken() -> Result<HttpResponse, ApiError> {
    Err(Problem::new(Kind::Internal).cause("the secret table is gone").into())
}

async fn panics() -> HttpResponse {
    let list: Vec<u32> = Vec::new();
    HttpResponse::Ok().body(list[0].to_string())
}

async fn busy() -> Result<HttpResponse, ApiError> {
    Err(Problem::new(Kind::Overloaded).detail("the queue is full").retry_after_s(2).into())
}

async fn own_page() -> HttpResponse {
    HttpResponse::NotFound().content_type("text/html").body("<h1>gone</h1>")
}

async fn slow(gate: Data<Gate>) -> &'static str {
    gate.entered.notify_one();
    gate.open.acquire().await.unwrap().forget();
    "done"
}

/// The answer is a problem of this kind and carries the request's id; gives its body.
#[track_caller]
fn check_problem(response: Response, kind: Kind) -> impl Future<Output = Value> {
    assert_eq!(response.status().as_u16(), kind.status().as_u16());
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    async move {
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["type"], format!("/problems/{}", kind.slug()));
        assert_eq!(body["status"], kind.status().as_u16());
        assert_eq!(body["instance"], format!("/requests/{id}"));
        body
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_request_is_answered_with_safe_headers() {
    let server = Server::start();
    let response = server.post("/sum", "application/json", r#"{"numbers":[1,2,3]}"#).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert_eq!(response.text().await.unwrap(), "6");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_bodies_answer_as_problems() {
    let server = Server::start();
    let malformed = server.post("/sum", "application/json", r#"{"numbers":[1,"#).await;
    let body = check_problem(malformed, Kind::Invalid).await;
    assert!(body["detail"].as_str().unwrap().contains("EOF"), "{body}");

    let wrong_field = server.post("/sum", "application/json", r#"{"number":[1]}"#).await;
    let body = check_problem(wrong_field, Kind::Invalid).await;
    assert!(body["detail"].as_str().unwrap().contains("missing field `numbers`"), "{body}");

    let wrong_type = server.post("/sum", "text/plain", r#"{"numbers":[1]}"#).await;
    check_problem(wrong_type, Kind::UnsupportedMediaType).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn oversized_bodies_are_refused_and_said_to_be() {
    let server = Server::start();
    let body = format!(r#"{{"numbers":[{}1]}}"#, "1,".repeat(waggle_http::JSON_LIMIT_BYTES / 2));
    let response = server.post("/sum", "application/json", body.clone()).await;
    let problem = check_problem(response, Kind::PayloadTooLarge).await;
    assert!(problem["detail"].as_str().unwrap().contains("1048576"), "{problem}");
    let response = server.post("/bytes", "application/octet-stream", body).await;
    check_problem(response, Kind::PayloadTooLarge).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_paths_and_wrong_methods_answer_as_problems() {
    let server = Server::start();
    let body = check_problem(server.get("/no/such?secret=1").await, Kind::NotFound).await;
    assert_eq!(body["detail"], "no such path: /no/such");
    let response = server.get("/sum").await;
    assert_eq!(response.headers()["allow"], "POST");
    check_problem(response, Kind::MethodNotAllowed).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_paths_and_queries_answer_as_problems() {
    let server = Server::start();
    check_problem(server.get("/things/many").await, Kind::Invalid).await;
    let body = check_problem(server.get("/things/3?scale=tall").await, Kind::Invalid).await;
    assert!(body["detail"].as_str().unwrap().starts_with("query: "), "{body}");
    assert_eq!(server.get("/things/3?scale=2").await.text().await.unwrap(), "6");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_and_panics_give_no_cause_away() {
    let server = Server::start();
    for path in ["/broken", "/panic"] {
        let body = check_problem(server.get(path).await, Kind::Internal).await;
        assert_eq!(body.get("detail"), None, "{body}");
    }
    assert_eq!(server.get("/things/1").await.status(), StatusCode::OK, "the worker lives on");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overloaded_service_says_when_to_come_back() {
    let server = Server::start();
    let response = server.get("/busy").await;
    assert_eq!(response.headers()["retry-after"], "2");
    check_problem(response, Kind::Overloaded).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_a_handler_wrote_itself_stays() {
    let server = Server::start();
    let response = server.get("/own").await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert_eq!(response.text().await.unwrap(), "<h1>gone</h1>");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sane_request_id_is_kept_and_others_are_replaced() {
    let server = Server::start();
    let ask = async |id: &str| {
        let request = server.client.get(format!("{}/id", server.base)).header("x-request-id", id);
        let response = request.send().await.unwrap();
        let header = response.headers()["x-request-id"].to_str().unwrap().to_owned();
        assert_eq!(response.text().await.unwrap(), header, "the handler sees the id that the answer carries");
        header
    };
    assert_eq!(ask("order-17.retry_2").await, "order-17.retry_2");
    let minted = ask("two words").await;
    assert_eq!(minted.len(), 32);
    assert_ne!(ask(&"x".repeat(65)).await, minted);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_names_what_is_missing() {
    let server = Server::start();
    assert_eq!(server.get("/healthz").await.status(), StatusCode::OK);
    server.readiness.set_ready("log");
    server.readiness.set_missing("features", "1200 events to catch up");
    let body = check_problem(server.get("/readyz").await, Kind::NotReady).await;
    assert_eq!(body["detail"], "features: 1200 events to catch up");
    server.readiness.set_ready("features");
    let response = server.get("/readyz").await;
    assert_eq!(response.json::<Value>().await.unwrap(), json!({ "ready": true }));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_requests_by_pattern_not_by_path() {
    let server = Server::start();
    server.get("/things/41").await;
    server.get("/never/42").await;
    let text = server.get("/metrics").await.text().await.unwrap();
    let line = |wanted: &str| {
        text.lines().any(|l| l.starts_with("waggle_http_requests_total") && l.contains(wanted))
    };
    assert!(line(r#"route="/things/{n}""#), "{text}");
    assert!(line(r#"route="unmatched""#), "{text}");
    assert!(text.contains("waggle_http_request_duration_seconds_bucket"), "{text}");
    assert!(!text.contains("/things/41") && !text.contains("/never/42"), "{text}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_flight_finishes_after_shutdown_began() {
    let server = Server::start();
    let request = tokio::spawn(server.client.get(format!("{}/slow", server.base)).send());
    server.gate.entered.notified().await;
    server.shutdown.cancel();
    let address = server.base.trim_start_matches("http://").to_owned();
    // The listener closes while the request is still held up.
    while tokio::net::TcpStream::connect(&address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!server.served.is_finished());
    server.gate.open.add_permits(1);
    assert_eq!(request.await.unwrap().unwrap().text().await.unwrap(), "done");
    server.stop().await;
}

#[test]
fn a_port_in_use_is_named_with_the_way_out() {
    let holder = TcpListener::bind(ANY).unwrap();
    let address = holder.local_addr().unwrap();
    let error = bind(address).unwrap_err();
    assert!(matches!(error, BindError::InUse(_)));
    assert_eq!(
        error.to_string(),
        format!(
            "port {} on 127.0.0.1 is in use by another program; stop it or choose another with --port",
            address.port()
        )
    );
}

#[tokio::test]
async fn a_head_request_gets_the_head_of_what_get_would_answer() {
    let server = Server::start();
    let url = format!("{}/healthz", server.base);
    let got = server.client.get(&url).send().await.unwrap();
    let length = got.headers()["content-length"].clone();
    let head = server.client.head(&url).send().await.unwrap();
    assert_eq!(head.status(), StatusCode::OK);
    assert_eq!(head.headers()["content-length"], length);
    assert_eq!(head.bytes().await.unwrap().len(), 0);
    // The connection is still in step: the next answer is whole.
    assert_eq!(server.client.get(&url).send().await.unwrap().status(), StatusCode::OK);
    server.stop().await;
}

/// A body of that many bytes.
async fn text(path: Path<(String, usize)>) -> HttpResponse {
    let (kind, n_bytes) = path.into_inner();
    HttpResponse::Ok()
        .content_type(kind.replacen('+', "/", 1))
        .insert_header(("etag", "\"e\""))
        .body(body(n_bytes))
}

fn body(n_bytes: usize) -> String {
    (0..)
        .flat_map(|n: u32| format!("line {n} of a list, ").into_bytes())
        .take(n_bytes)
        .map(char::from)
        .collect()
}

/// A body in pieces, of which `waiting` is read as it comes and `whole` is not.
async fn pieces(kind: Path<String>) -> HttpResponse {
    let pieces =
        futures::stream::iter((0..100).map(|_| Ok::<_, actix_web::Error>(bytes::Bytes::from(body(1_000)))));
    let response = HttpResponse::Ok().content_type("application/x-ndjson").streaming(pieces);
    if kind.as_str() == "whole" { waggle_http::compressible(response) } else { response }
}

/// The headers that compression has to do with, and the body as it was before.
async fn accepting(
    server: &Server,
    path: &str,
    encodings: Option<&str>,
) -> (Option<String>, Option<String>, String, usize) {
    let mut request = server.client.get(format!("{}{path}", server.base));
    if let Some(encodings) = encodings {
        request = request.header("accept-encoding", encodings);
    }
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let (encoding, vary) = (header("content-encoding"), header("vary"));
    let sent = response.bytes().await.unwrap();
    let mut text = String::new();
    match encoding.as_deref() {
        Some("gzip") => flate2::read::GzDecoder::new(&sent[..]).read_to_string(&mut text).unwrap(),
        Some("zstd") => zstd::Decoder::new(&sent[..]).unwrap().read_to_string(&mut text).unwrap(),
        _ => (&sent[..]).read_to_string(&mut text).unwrap(),
    };
    (encoding, vary, text, sent.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn large_texts_leave_compressed_as_the_client_likes_it() {
    let server = Server::start();
    let large = "/text/application+json/100000";
    for (accepts, expected) in [
        (Some("gzip"), Some("gzip")),
        (Some("gzip, deflate, br, zstd"), Some("zstd")),
        (Some("zstd;q=0.5, gzip"), Some("gzip")),
        (Some("zstd;q=0, gzip;q=0.1"), Some("gzip")),
        (Some("gzip;q=0"), None),
        (Some("br"), None),
        (Some("identity"), None),
        (None, None),
    ] {
        let (encoding, vary, text, n_sent) = accepting(&server, large, accepts).await;
        assert_eq!(encoding.as_deref(), expected, "{accepts:?}");
        assert_eq!(vary.as_deref(), Some("accept-encoding"), "{accepts:?}");
        assert_eq!(text, body(100_000), "{accepts:?}");
        assert!(
            expected.is_none() == (n_sent == 100_000) && (expected.is_none() || n_sent < 30_000),
            "{n_sent}"
        );
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn small_bodies_pictures_and_what_is_read_as_it_comes_stay_as_they_are() {
    let server = Server::start();
    for (path, expected) in [
        ("/text/application+json/4095", None),
        ("/text/application+json/4096", Some("gzip")),
        ("/text/application+problem+json/9000", Some("gzip")),
        ("/text/text+html/9000", Some("gzip")),
        ("/text/image+svg+xml/9000", Some("gzip")),
        ("/text/image+png/9000", None),
        ("/text/text+event-stream/9000", None),
        ("/pieces/waiting", None),
        ("/pieces/whole", Some("gzip")),
    ] {
        let (encoding, vary, text, _) = accepting(&server, path, Some("gzip")).await;
        assert_eq!((encoding.as_deref(), vary.is_some()), (expected, expected.is_some()), "{path}");
        assert!(text.starts_with("line 0 of a list, line 1"), "{path}");
    }
    let of =
        |path: &str| server.client.get(format!("{}{path}", server.base)).header("accept-encoding", "gzip");
    let (large, small) = ("/text/text+css/9000", "/text/text+css/90");
    for (path, etag) in [(large, "W/\"e\""), (small, "\"e\"")] {
        assert_eq!(of(path).send().await.unwrap().headers()["etag"], etag);
    }
    server.stop().await;
}
