//! How a request fails: one closed set of kinds, one body (RFC 9457). [`responses`] describes them to the API's document.

pub mod responses;

use std::fmt;

use actix_web::{
    HttpResponse, ResponseError,
    body::BoxBody,
    http::{StatusCode, header},
};
use serde::Serialize;
use utoipa::ToSchema;

/// Content type of every problem.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Why a request failed, in terms its sender can act on. A new kind is a considered change: each is public API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request itself is wrong.
    Invalid,
    /// No key, or one that is not known.
    Unauthorized,
    /// The key does not allow this.
    Forbidden,
    NotFound,
    /// It was here and is past its retention.
    Expired,
    MethodNotAllowed,
    /// The request does not fit the present state (another snapshot is loaded, the id is taken …).
    Conflict,
    PayloadTooLarge,
    UnsupportedMediaType,
    TooManyRequests,
    /// Something broke here.
    Internal,
    /// Start-up is not finished, or something needed is away.
    NotReady,
    /// A queue is full. Nothing of the request was accepted.
    Overloaded,
    /// The request's deadline passed.
    Deadline,
}

impl Kind {
    pub const ALL: [Self; 14] = [
        Self::Invalid,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::Expired,
        Self::MethodNotAllowed,
        Self::Conflict,
        Self::PayloadTooLarge,
        Self::UnsupportedMediaType,
        Self::TooManyRequests,
        Self::Internal,
        Self::NotReady,
        Self::Overloaded,
        Self::Deadline,
    ];

    pub fn status(self) -> StatusCode {
        match self {
            Self::Invalid => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Expired => StatusCode::GONE,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict => StatusCode::CONFLICT,
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NotReady | Self::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            Self::Deadline => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// Last part of the problem's `type`.
    pub fn slug(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not-found",
            Self::Expired => "expired",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::Conflict => "conflict",
            Self::PayloadTooLarge => "payload-too-large",
            Self::UnsupportedMediaType => "unsupported-media-type",
            Self::TooManyRequests => "too-many-requests",
            Self::Internal => "internal",
            Self::NotReady => "not-ready",
            Self::Overloaded => "overloaded",
            Self::Deadline => "deadline",
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Self::Invalid => "The request is not valid",
            Self::Unauthorized => "A valid key is needed",
            Self::Forbidden => "The key does not allow this",
            Self::NotFound => "There is no such thing",
            Self::Expired => "It is not kept any more",
            Self::MethodNotAllowed => "The resource does not know this method",
            Self::Conflict => "The request does not fit the present state",
            Self::PayloadTooLarge => "The body is too large",
            Self::UnsupportedMediaType => "The body has the wrong content type",
            Self::TooManyRequests => "Too many requests",
            Self::Internal => "Something went wrong on our side",
            Self::NotReady => "The service is not ready",
            Self::Overloaded => "The service is overloaded",
            Self::Deadline => "The deadline passed",
        }
    }

    /// The kind that `status` stands for; `None` for statuses that have no kind.
    pub fn of_status(status: StatusCode) -> Option<Self> {
        // 503 is given to `NotReady`, the milder of the two.
        Self::ALL.into_iter().find(|kind| kind.status() == status)
    }
}

/// What the sender is told, and (never part of the answer) what the log is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    kind: Kind,
    detail: Option<String>,
    retry_after_s: Option<u64>,
    cause: Option<String>,
}

impl Problem {
    pub fn new(kind: Kind) -> Self {
        Self { kind, detail: None, retry_after_s: None, cause: None }
    }

    /// One sentence for the sender: lower case, no full stop, naming the value.
    #[must_use]
    pub fn detail(mut self, detail: impl fmt::Display) -> Self {
        self.detail = Some(detail.to_string());
        self
    }

    /// Sets `Retry-After`.
    #[must_use]
    pub fn retry_after_s(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// What led to it: logged once with the request's id, never sent.
    #[must_use]
    pub fn cause(mut self, cause: impl fmt::Display) -> Self {
        self.cause = Some(cause.to_string());
        self
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The answer; `request_id` becomes the problem's `instance`.
    pub fn response(&self, request_id: Option<&str>) -> HttpResponse {
        let mut response = HttpResponse::build(self.kind.status());
        response.insert_header((header::CONTENT_TYPE, PROBLEM_JSON));
        if let Some(seconds) = self.retry_after_s {
            response.insert_header((header::RETRY_AFTER, seconds));
        }
        if self.kind == Kind::Unauthorized {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
        let body = Body {
            r#type: format!("/problems/{}", self.kind.slug()),
            title: self.kind.title(),
            status: self.kind.status().as_u16(),
            detail: self.detail.as_deref(),
            instance: request_id.map(|id| format!("/requests/{id}")),
        };
        response.body(serde_json::to_vec(&body).expect("a problem serialises into memory"))
    }

    /// Writes the cause of a failure on our side to the log.
    pub(crate) fn log(&self) {
        if let Some(cause) = &self.cause {
            if self.kind.status().is_server_error() {
                tracing::error!(kind = self.kind.slug(), "request failed: {cause}");
            } else {
                tracing::debug!(kind = self.kind.slug(), "request refused: {cause}");
            }
        }
    }
}

/// What handlers fail with. The conversion from a role's errors lives in the role that answers the request.
#[derive(Debug, Clone)]
pub struct ApiError(pub Problem);

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.detail.as_deref().unwrap_or(self.0.kind.title()))
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.0.kind.status()
    }

    /// Without a request's id: the server's middleware renders the problem again, with it.
    fn error_response(&self) -> HttpResponse<BoxBody> {
        self.0.response(None)
    }
}

/// Why a request failed (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct Body<'a> {
    /// `/problems/` and the kind of problem; this and `status` are for programs.
    r#type: String,
    title: &'a str,
    status: u16,
    /// One sentence that names what is wrong, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    /// `/requests/` and the id of the request, which the answer carries as `x-request-id` and the log beside its lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
}

#[cfg(test)]
mod tests;
