//! A client as simple as a shop's script: one call, one reply.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::expect;

/// Longer than any deadline of the server, shorter than anybody's patience.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Speaks to one address; may be shared by threads.
pub(crate) struct Client {
    runtime: Runtime,
    client: reqwest::Client,
    base: String,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) body: Vec<u8>,
    /// When the whole reply had arrived.
    pub(crate) at: Instant,
}

impl Client {
    pub(crate) fn try_new(base: impl Into<String>) -> Result<Self> {
        Self::with_timeout(base, TIMEOUT)
    }

    pub(crate) fn with_timeout(base: impl Into<String>, timeout: Duration) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        // The server is on this machine: whatever proxy the environment names has no business here.
        let client = reqwest::Client::builder().timeout(timeout).no_proxy().build()?;
        Ok(Self { runtime, client, base: base.into() })
    }

    /// # Errors
    /// Only if there was no reply: the status is for the caller to judge.
    pub(crate) fn send(&self, method: Method, path: &str, body: Option<(&str, Vec<u8>)>) -> Result<Reply> {
        let mut request = self.client.request(method.clone(), format!("{}{path}", self.base));
        if let Some((content_type, bytes)) = body {
            request = request.header("content-type", content_type).body(bytes);
        }
        self.runtime
            .block_on(async {
                let response = request.send().await?;
                let status = response.status().as_u16();
                let content_type = response
                    .headers()
                    .get("content-type")
                    .and_then(|v| v.to_str().ok())
                    .unwrap_or_default()
                    .to_owned();
                let body = response.bytes().await?.to_vec();
                Ok::<_, reqwest::Error>(Reply { status, content_type, body, at: Instant::now() })
            })
            .with_context(|| format!("{method} {path} got no reply"))
    }

    pub(crate) fn send_json(&self, method: Method, path: &str, body: &Value) -> Result<Reply> {
        self.send(method, path, Some(("application/json", serde_json::to_vec(body)?)))
    }

    /// The JSON of a reply that must be 200.
    pub(crate) fn get(&self, path: &str) -> Result<Value> {
        self.send(Method::GET, path, None)?.json_of(200).with_context(|| format!("GET {path}"))
    }

    /// Posts events that must all be accepted; the reply tells when they were acknowledged.
    pub(crate) fn post_events(&self, events: &[Value]) -> Result<Reply> {
        let reply = self.send_json(Method::POST, "/v1/events", &json!({ "events": events }))?;
        let report = reply.json_of(202).context("POST /v1/events")?;
        expect::equal("events accepted", report["accepted"].as_u64(), Some(events.len() as u64))?;
        expect::equal("events rejected", &report["rejected"], &json!([]))?;
        Ok(reply)
    }
}

impl Reply {
    pub(crate) fn json_of(&self, status: u16) -> Result<Value> {
        if self.status != status {
            bail!("expected status {status}, got {} with {}", self.status, self.text());
        }
        serde_json::from_slice(&self.body).with_context(|| format!("the reply is not JSON: {}", self.text()))
    }

    /// The reply must be a problem (RFC 9457) of one of these statuses, whose body says the same as its head.
    pub(crate) fn problem(&self, statuses: &[u16]) -> Result<Value> {
        expect::that("status", statuses.contains(&self.status), &format!("{statuses:?}"), self.status)
            .with_context(|| format!("the reply was {}", self.text()))?;
        expect::equal("content type", self.content_type.as_str(), "application/problem+json")?;
        let body: Value = serde_json::from_slice(&self.body).context("a problem that is not JSON")?;
        expect::equal("status in the problem", body["status"].as_u64(), Some(u64::from(self.status)))?;
        let kind = body["type"].as_str().unwrap_or_default();
        expect::that("type of the problem", kind.starts_with("/problems/"), "/problems/…", kind)?;
        let title = body["title"].as_str().unwrap_or_default();
        expect::that("title of the problem", !title.is_empty(), "some words", title)?;
        Ok(body)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).chars().take(400).collect()
    }
}

/// Percent-encodes everything that could mean something in a path or a query.
pub(crate) fn encoded(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(b).to_string(),
            _ => format!("%{b:02X}"),
        })
        .collect()
}
