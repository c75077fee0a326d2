//! The HTTP client under S3: the one that the whole program uses.

use std::{error::Error, time::Duration};

use async_trait::async_trait;
use http_body_util::BodyExt;
use object_store::{
    ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody,
        HttpService,
    },
};
use reqwest::redirect::Policy;

/// Hands the same client, with its connections, to whoever asks.
#[derive(Debug, Clone)]
pub(super) struct Connector(reqwest::Client);

impl Connector {
    /// - `connect_timeout`: for a new connection
    /// - `timeout`: between a request and its answer, and between two pieces of the answer
    /// - `is_loopback`: whether the server is on this machine, where the environment's proxy has no business
    pub(super) fn try_new(
        connect_timeout: Duration,
        timeout: Duration,
        is_loopback: bool,
    ) -> reqwest::Result<Self> {
        let builder = reqwest::Client::builder()
            .connect_timeout(connect_timeout)
            .read_timeout(timeout)
            // A signature is for one host.
            .redirect(Policy::none());
        let builder = if is_loopback { builder.no_proxy() } else { builder };
        Ok(Self(builder.build()?))
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Connector {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let request = reqwest::Request::try_from(request.map(reqwest::Body::wrap)).map_err(no_answer)?;
        let response = self.0.execute(request).await.map_err(no_answer)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = reqwest::Body::from(response).map_err(no_answer);
        let mut answer = HttpResponse::new(HttpResponseBody::new(body));
        (*answer.status_mut(), *answer.headers_mut()) = (status, headers);
        Ok(answer)
    }
}

/// Why there was no answer, or only a part of it: the whole chain in one line, without the URL.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct NoAnswer(String);

fn no_answer(error: reqwest::Error) -> HttpError {
    // Whatever is asked here may be asked twice, so a request whose fate is unknown is tried again like one that was
    // not sent.
    let kind = match () {
        () if error.is_timeout() => HttpErrorKind::Timeout,
        () if error.is_connect() => HttpErrorKind::Connect,
        () if error.is_builder() => HttpErrorKind::Unknown,
        () => HttpErrorKind::Request,
    };
    let error = error.without_url();
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line = format!("{line}: {error}");
        cause = error.source();
    }
    HttpError::new(kind, NoAnswer(line))
}
