//! Listening, stopping, and what every request goes through on its way.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use actix_web::{
    App, Error, HttpMessage, HttpRequest, HttpResponse, HttpServer,
    body::{BodySize, BoxBody, EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    error::{InternalError, JsonPayloadError, PathError, PayloadError, QueryPayloadError},
    http::{
        Method,
        header::{self, HeaderName, HeaderValue},
    },
    middleware::{Next, from_fn},
    web::{self, FormConfig, JsonConfig, PathConfig, PayloadConfig, QueryConfig, ServiceConfig},
};
use futures::FutureExt;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    ApiError, Kind, Problem, RequestId,
    compression::compressed,
    problem::PROBLEM_JSON,
    request_id::REQUEST_ID,
    telemetry::{self, metrics_handle},
};

/// Largest body a handler reads unless its resource says otherwise, in bytes.
pub const JSON_LIMIT_BYTES: usize = 1 << 20;

/// How often the metrics' histograms are folded up when nobody scrapes them.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);

/// How a server runs.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Threads that answer requests.
    pub workers: usize,
    /// Time that requests in flight have to finish after a shutdown began.
    pub drain: Duration,
    /// A connection without a request is closed after this time.
    pub keep_alive: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        let workers = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Self { workers, drain: Duration::from_secs(20), keep_alive: Duration::from_secs(75) }
    }
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error(
        "port {} on {} is in use by another program; stop it or choose another with --port",
        .0.port(), .0.ip()
    )]
    InUse(SocketAddr),
    #[error("port {} on {} needs more rights than this program has; choose one above 1023 with --port", .0.port(), .0.ip())]
    NotPermitted(SocketAddr),
    #[error("{0} is not an address of this machine")]
    NotOurs(SocketAddr),
    #[error("cannot listen on {address}")]
    Other { address: SocketAddr, source: io::Error },
}

/// Takes the port; port 0 takes a free one (see [`TcpListener::local_addr`]). Connections queue until [`serve`].
///
/// # Errors
/// [`BindError`] says what to do.
pub fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse(address),
        io::ErrorKind::PermissionDenied => BindError::NotPermitted(address),
        io::ErrorKind::AddrNotAvailable => BindError::NotOurs(address),
        _ => BindError::Other { address, source },
    })
}

/// Serves the routes that `configure` mounts until `shutdown` is cancelled; then the listener closes, requests in
/// flight finish within [`ServerOptions::drain`], and the function returns.
///
/// `configure` runs once per worker. Extractors (`web::Json`, `web::Query`, `web::Path`, `web::Form`, `web::Bytes`),
/// unknown paths, wrong methods and panics answer as [`Problem`]s. A resource may set its own `JsonConfig` and
/// `PayloadConfig` (see [`json_config`]).
///
/// # Errors
/// If the listener cannot be used or a worker thread cannot be started.
pub async fn serve<F>(
    listener: TcpListener,
    options: ServerOptions,
    configure: F,
    shutdown: CancellationToken,
) -> io::Result<()>
where
    F: FnOnce(&mut ServiceConfig) + Clone + Send + 'static,
{
    let app = move || {
        App::new()
            .wrap(from_fn(handle))
            .configure(extractor_defaults)
            .configure(configure.clone())
            .default_service(web::to(no_such_path))
    };
    let server = HttpServer::new(app)
        .workers(options.workers.max(1))
        .keep_alive(options.keep_alive)
        .shutdown_timeout(options.drain.as_secs().max(1))
        .shutdown_signal(shutdown.clone().cancelled_owned())
        .listen(listener)?
        .run();
    let served = CancellationToken::new();
    let upkeep = upkeep(served.clone());
    let server = async {
        let result = server.await;
        served.cancel();
        result
    };
    tokio::join!(server, upkeep).0
}

/// A `JsonConfig` whose errors are problems; `web::Json` reads at most `limit_bytes`.
pub fn json_config(limit_bytes: usize) -> JsonConfig {
    JsonConfig::default()
        .limit(limit_bytes)
        .error_handler(|error, _| ApiError::from(json_problem(&error)).into())
}

fn extractor_defaults(config: &mut ServiceConfig) {
    config
        .app_data(json_config(JSON_LIMIT_BYTES))
        .app_data(PayloadConfig::new(JSON_LIMIT_BYTES))
        .app_data(FormConfig::default().limit(JSON_LIMIT_BYTES))
        .app_data(
            QueryConfig::default().error_handler(|error, _| ApiError::from(query_problem(&error)).into()),
        )
        .app_data(
            PathConfig::default().error_handler(|error, _| ApiError::from(path_problem(&error)).into()),
        );
}

fn json_problem(error: &JsonPayloadError) -> Problem {
    match error {
        JsonPayloadError::OverflowKnownLength { length, limit } => Problem::new(Kind::PayloadTooLarge)
            .detail(format_args!("the body has {length} bytes, at most {limit} are allowed")),
        JsonPayloadError::Overflow { limit } => Problem::new(Kind::PayloadTooLarge)
            .detail(format_args!("the body has more than the {limit} bytes that are allowed")),
        JsonPayloadError::ContentType => Problem::new(Kind::UnsupportedMediaType)
            .detail("the body must be sent with content-type: application/json"),
        JsonPayloadError::Deserialize(error) => {
            Problem::new(Kind::Invalid).detail(format_args!("the body is not what this route reads: {error}"))
        }
        JsonPayloadError::Payload(error) => payload_problem(error),
        other => Problem::new(Kind::Invalid).detail("the body cannot be read").cause(other),
    }
}

fn query_problem(error: &QueryPayloadError) -> Problem {
    match error {
        QueryPayloadError::Deserialize(error) => {
            Problem::new(Kind::Invalid).detail(format_args!("query: {error}"))
        }
        other => Problem::new(Kind::Invalid).detail("the query cannot be read").cause(other),
    }
}

fn path_problem(error: &PathError) -> Problem {
    match error {
        PathError::Deserialize(error) => Problem::new(Kind::Invalid).detail(format_args!("path: {error}")),
        other => Problem::new(Kind::Invalid).detail("the path cannot be read").cause(other),
    }
}

fn payload_problem(error: &PayloadError) -> Problem {
    match error {
        PayloadError::Overflow => {
            Problem::new(Kind::PayloadTooLarge).detail("the body has more bytes than are allowed here")
        }
        other => Problem::new(Kind::Invalid).detail(format_args!("the body cannot be read: {other}")),
    }
}

async fn no_such_path(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    Err(Problem::new(Kind::NotFound).detail(format_args!("no such path: {}", request.path())).into())
}

/// The one middleware: names the request, catches a panic, gives failures their form, adds headers, counts, compresses.
async fn handle<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, BoxBody>>, Error> {
    let started = Instant::now();
    let id = RequestId::of(&request);
    let method = request.method().clone();
    // Whatever can be got can be asked for by its head alone; the protocol layer leaves the body out.
    if method == Method::HEAD {
        request.head_mut().method = Method::GET;
    }
    request.extensions_mut().insert(id.clone());
    let span = tracing::info_span!("request", request_id = id.as_str());
    async {
        let answered = AssertUnwindSafe(next.call(request)).catch_unwind().await;
        let mut response = match answered {
            Ok(Ok(response)) => in_form(response, &id),
            Ok(Err(error)) => return Err(rendered(error, &id)),
            Err(panic) => {
                telemetry::record(&method, None, Kind::Internal.status(), started.elapsed());
                let problem =
                    Problem::new(Kind::Internal).cause(format_args!("panic: {}", message_of(&*panic)));
                return Err(rendered(ApiError::from(problem).into(), &id));
            }
        };
        add_headers(&mut response, &id);
        telemetry::record(&method, response.request().match_pattern(), response.status(), started.elapsed());
        Ok(compressed(response))
    }
    .instrument(span)
    .await
}

/// Renders failures with the request's id; bodies that a handler wrote itself stay as they are.
fn in_form<B: MessageBody>(
    response: ServiceResponse<B>,
    id: &RequestId,
) -> ServiceResponse<EitherBody<B, BoxBody>> {
    match problem_of(&response) {
        None => response.map_into_left_body(),
        Some(problem) => {
            problem.log();
            let mut rendered = problem.response(Some(id.as_str()));
            if let Some(allowed) = response.headers().get(header::ALLOW) {
                rendered.headers_mut().insert(header::ALLOW, allowed.clone());
            }
            response.into_response(rendered).map_into_right_body()
        }
    }
}

fn problem_of<B: MessageBody>(response: &ServiceResponse<B>) -> Option<Problem> {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return None;
    }
    if let Some(error) = response.response().error() {
        return problem_of_error(error);
    }
    // Empty answers come from the router: a resource that does not know the method.
    let is_empty = matches!(response.response().body().size(), BodySize::None | BodySize::Sized(0));
    let is_plain = is_empty && !response.headers().contains_key(header::CONTENT_TYPE);
    if is_plain { Kind::of_status(status).map(Problem::new) } else { None }
}

fn problem_of_error(error: &Error) -> Option<Problem> {
    if let Some(ApiError(problem)) = error.as_error() {
        return Some(problem.clone());
    }
    if let Some(error) = error.as_error::<PayloadError>() {
        return Some(payload_problem(error));
    }
    let kind = Kind::of_status(error.as_response_error().status_code())?;
    let problem = Problem::new(kind);
    Some(if kind.status().is_server_error() { problem.cause(error) } else { problem.detail(error) })
}

/// An error that ends the middleware itself, as a finished response.
fn rendered(error: Error, id: &RequestId) -> Error {
    let Some(problem) = problem_of_error(&error) else { return error };
    problem.log();
    let mut response = problem.response(Some(id.as_str()));
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    InternalError::from_response(error, response).into()
}

/// Set unless the handler said otherwise. Pages bring their own policy; these suit a JSON API.
const DEFAULT_HEADERS: [(HeaderName, &str); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "strict-origin-when-cross-origin"),
];

fn add_headers<B>(response: &mut ServiceResponse<B>, id: &RequestId) {
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        headers.insert(REQUEST_ID, value);
    }
    for (name, value) in DEFAULT_HEADERS {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    let is_json = headers.get(header::CONTENT_TYPE).is_some_and(|value| {
        let value = value.as_bytes();
        value.starts_with(b"application/json") || value.starts_with(PROBLEM_JSON.as_bytes())
    });
    if is_json {
        // Answers are about a person or the present moment; the shared cache of a proxy must not keep them.
        if !headers.contains_key(header::CACHE_CONTROL) {
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        if !headers.contains_key(header::CONTENT_SECURITY_POLICY) {
            let nothing = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
            headers.insert(header::CONTENT_SECURITY_POLICY, nothing);
        }
    }
}

fn message_of(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}

/// Keeps the histograms' memory bounded while nobody scrapes.
async fn upkeep(served: CancellationToken) {
    let metrics = metrics_handle();
    let mut ticks = tokio::time::interval(METRICS_UPKEEP);
    while served.run_until_cancelled(ticks.tick()).await.is_some() {
        metrics.run_upkeep();
    }
}
