//! A real server on a free port, asked over HTTP.
#![cfg(test)]

use std::{
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
