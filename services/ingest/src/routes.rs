//! `POST /v1/events`.

use std::{sync::Arc, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{self, Bytes, Data, Payload, ServiceConfig},
};
use utoipa::OpenApi;
use waggle_contracts::{
    RoleError,
    api::{EventBatch, IngestReport},
};
use waggle_http::{
    ApiError, Kind, Problem, Routes, mount,
    problem::responses::{BadBody, Broken, Conflict},
};
use waggle_model::Timestamp;

use crate::{
    IngestService,
    body::{BodyError, Format},
    encoding::{Encoding, EncodingError},
    service::CheckedBody,
};

/// Most events of one request.
pub const MAX_EVENTS: usize = 5_000;
/// Largest body of one request, in bytes, as sent and decompressed.
pub const MAX_BODY_BYTES: usize = 4 << 20;

/// Larger bodies, and all compressed ones, are checked off the worker, which has other requests to answer.
const CHECKED_IN_PLACE_BYTES: usize = 64 << 10;

/// Describes what [`configure`] mounts.
#[derive(OpenApi)]
#[openapi(
    paths(post_events),
    tags((name = "events", description = "What people did, which is all that is learned from.")),
)]
pub struct Document;

pub fn routes() -> Routes {
    vec![("/v1/events", vec![web::post().to(post_events)])]
}

/// Mounts `POST /v1/events`.
pub fn configure(ingest: Arc<IngestService>) -> impl FnOnce(&mut ServiceConfig) + Clone + Send + 'static {
    move |config| {
        config.app_data(Data::from(ingest));
        mount(config, routes());
    }
}

/// Takes in events, each with its own verdict.
///
/// What is accepted is on stable storage before the answer leaves. What is rejected is listed with its place and the reason,
/// and kept as a dead letter; its neighbours are accepted all the same. Of a body that is not whole nothing is.
///
/// At most 5,000 events and 4 MiB, also after decompression. Times may be 5 minutes ahead of the server's clock and 30 days
/// old, unless configured otherwise.
#[utoipa::path(
    post, path = "/v1/events", tag = "events",
    params(("content-encoding" = Option<String>, Header, description = "`gzip`, `deflate`, `zstd`, or none.")),
    request_body(description = "One JSON object, or one event per line.", content(
        (EventBatch = "application/json", examples(
            ("Acts" = (summary = "A click and a purchase", value = json!({"events": [
                {"type": "click", "session_id": "s-1", "item_id": "85123A"},
                {"type": "purchase", "user_id": "17850", "item_id": "85123A", "quantity": 6, "price": 2.55,
                 "currency": "GBP", "order_id": "536365"},
            ]}))),
            ("Seen" = (summary = "What of an answer came into view", value = json!({"events": [
                {"type": "impression", "session_id": "s-1", "answer_id": "019c12ab4cd07f3e5a9b8c1d2e3f4a5b~home",
                 "items": [{"item_id": "85123A", "position": 1}, {"item_id": "71053", "position": 2}]},
            ]}))),
        )),
        (String = "application/x-ndjson", example = "{\"type\":\"view\",\"session_id\":\"s-1\",\"item_id\":\"85123A\"}\n"),
    )),
    responses(
        (status = 202, description = "The verdicts.", body = IngestReport,
         example = json!({"accepted": 1, "duplicates": 0, "rejected": [{"index": 1, "detail": "item_id is missing"}]})),
        BadBody, Broken, Conflict,
    ),
)]
async fn post_events(
    request: HttpRequest,
    payload: Payload,
    ingest: Data<IngestService>,
) -> Result<HttpResponse, ApiError> {
    let now = Timestamp::now();
    let (format, encoding) = (format_of(&request)?, encoding_of(&request)?);
    let body = read(payload, ingest.config().body_timeout()).await?;
    let checked = if body.len() <= CHECKED_IN_PLACE_BYTES && encoding == Encoding::Identity {
        check(&ingest, &body, encoding, format, now)?
    } else {
        let ingest = ingest.clone();
        let checked = web::block(move || check(&ingest, &body, encoding, format, now)).await;
        checked.map_err(|e| ApiError::from(Problem::new(Kind::Internal).cause(e)))??
    };
    let report = ingest.take_in_body(checked).await.map_err(|e| problem(&e))?;
    Ok(HttpResponse::Accepted().json(report))
}

async fn read(payload: Payload, timeout: Duration) -> Result<Bytes, ApiError> {
    // Whoever sends a byte now and then would keep the connection and what has come so far for ever.
    let Ok(read) = tokio::time::timeout(timeout, payload.to_bytes_limited(MAX_BODY_BYTES)).await else {
        return Err(Problem::new(Kind::Invalid)
            .detail(format_args!("the body was not here within {timeout:?}; nothing of it was accepted"))
            .into());
    };
    match read {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(error)) => {
            Err(Problem::new(Kind::Invalid).detail(format_args!("the body cannot be read: {error}")).into())
        }
        Err(_) => Err(Problem::new(Kind::PayloadTooLarge)
            .detail(format_args!("the body has more than the {MAX_BODY_BYTES} bytes that are allowed"))
            .into()),
    }
}

fn check(
    ingest: &IngestService,
    body: &Bytes,
    encoding: Encoding,
    format: Format,
    now: Timestamp,
) -> Result<CheckedBody, ApiError> {
    let body = encoding.decompress(body, MAX_BODY_BYTES).map_err(|e| encoding_problem(&e))?;
    ingest.check_body(&body, format, now).map_err(body_problem)
}

fn encoding_of(request: &HttpRequest) -> Result<Encoding, ApiError> {
    // A second header would be a second layer, and text that is not ASCII names nothing known.
    let mut values = request.headers().get_all(header::CONTENT_ENCODING);
    let value = values.next().map_or("", |value| value.to_str().unwrap_or("?"));
    let value = if values.next().is_some() { "several" } else { value };
    Encoding::of_header(value).map_err(|e| encoding_problem(&e))
}

fn format_of(request: &HttpRequest) -> Result<Format, ApiError> {
    let given =
        request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    match essence.to_ascii_lowercase().as_str() {
        "application/json" => Ok(Format::Json),
        "application/x-ndjson" => Ok(Format::Ndjson),
        _ => Err(Problem::new(Kind::UnsupportedMediaType)
            .detail(format_args!(
                "content-type is \"{given}\", send application/json or application/x-ndjson"
            ))
            .into()),
    }
}

fn encoding_problem(error: &EncodingError) -> ApiError {
    let kind = match error {
        EncodingError::Unknown(_) => Kind::UnsupportedMediaType,
        EncodingError::Damaged(..) => Kind::Invalid,
        EncodingError::TooLarge(_) => Kind::PayloadTooLarge,
    };
    Problem::new(kind).detail(format_args!("{error}; nothing of it was accepted")).into()
}

fn body_problem(error: BodyError) -> ApiError {
    match error {
        BodyError::Malformed(detail) => Problem::new(Kind::Invalid).detail(format_args!(
            "the body is not {{\"events\":[…]}} in JSON: {detail}; nothing of it was accepted"
        )),
        BodyError::TooMany(max) => Problem::new(Kind::PayloadTooLarge)
            .detail(format_args!("the body has more than {max} events; nothing of it was accepted")),
    }
    .into()
}

fn problem(error: &RoleError) -> ApiError {
    let seconds = |d: &Duration| d.as_secs().max(1);
    match error {
        RoleError::NotReady { detail, retry_after } => {
            Problem::new(Kind::NotReady).detail(detail).retry_after_s(seconds(retry_after))
        }
        RoleError::Overloaded { retry_after } => Problem::new(Kind::Overloaded)
            .detail("too many events are on their way; nothing of the request was accepted")
            .retry_after_s(seconds(retry_after)),
        RoleError::Invalid(detail) => Problem::new(Kind::Invalid).detail(detail),
        RoleError::SnapshotNotLoaded { .. } => Problem::new(Kind::Conflict).detail(error),
        RoleError::Deadline { .. } => Problem::new(Kind::Deadline).cause(error),
        RoleError::Failed { .. } => Problem::new(Kind::Internal).cause(error),
    }
    .into()
}
