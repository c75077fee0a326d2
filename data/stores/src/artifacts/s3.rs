//! Artifacts in a bucket of S3, or of a server that speaks its protocol.

use std::{error::Error, net::IpAddr, time::Duration};

use object_store::{
    BackoffConfig, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder},
    client::HttpError,
    path::Path as Name,
};
use reqwest::Url;
use serde::{Deserialize, Serialize};

use super::{ArtifactError, checked, http::Connector};
use crate::secret::Secret;

/// First and longest pause before a request is tried again.
const PAUSE: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(2)];

/// Which bucket, on which server, and how long to wait for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct S3Config {
    /// `s3://bucket` or `s3://bucket/prefix`; absent: a local folder. The bucket has to be there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Address of the server, `https://host:port`; absent: Amazon's for the region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Part of every signature; servers other than Amazon's mostly take any.
    pub region: String,
    /// Who we are, to the server.
    pub access_key: Secret,
    pub secret_key: Secret,
    /// Whether the bucket stands in the path of a request, and not before the host name.
    pub path_style: bool,
    /// Whether an `http://` endpoint may be on another machine. What is stored then travels in the clear.
    pub allow_http: bool,
    /// Longest wait for a new connection, in milliseconds.
    pub connect_timeout_ms: u64,
    /// Longest silence of the server, in milliseconds. Sending a part of 8 MiB, with three others beside it, has to fit.
    pub timeout_ms: u64,
    /// How long a request that failed by connection or server is tried again, in milliseconds. It fails for good after
    /// this and one more timeout, at most.
    pub retry_for_ms: u64,
}

impl Default for S3Config {
    fn default() -> Self {
        Self {
            url: None,
            endpoint: None,
            region: "us-east-1".to_owned(),
            access_key: Secret::default(),
            secret_key: Secret::default(),
            path_style: true,
            allow_http: false,
            connect_timeout_ms: 2_000,
            timeout_ms: 30_000,
            retry_for_ms: 10_000,
        }
    }
}

impl S3Config {
    /// Checks what can be checked without the server.
    ///
    /// # Errors
    /// [`ArtifactError::Config`] names the key; also if keys are set that mean nothing without `url`.
    pub fn validate(&self) -> Result<(), ArtifactError> {
        if *self == Self::default() { Ok(()) } else { Bucket::try_from(self).map(drop) }
    }
}

/// A configuration that was checked.
pub(super) struct Bucket<'a> {
    config: &'a S3Config,
    name: &'a str,
    /// What the names of all artifacts begin with; may be empty.
    pub(super) prefix: Name,
    /// Address of the server; the bucket is in it, unless in the path.
    endpoint: Option<String>,
    is_loopback: bool,
}

impl<'a> TryFrom<&'a S3Config> for Bucket<'a> {
    type Error = ArtifactError;

    fn try_from(config: &'a S3Config) -> Result<Self, ArtifactError> {
        let url = config.url.as_deref();
        let url = url.ok_or_else(|| refused("url is not set, and the other keys mean nothing without it"))?;
        let (name, prefix) = parse_url(url)?;
        for (key, secret) in [("access_key", &config.access_key), ("secret_key", &config.secret_key)] {
            if secret.expose().is_empty() {
                return Err(refused(format!("{key} is not set, and {url} is nobody's without one")));
            }
        }
        let endpoint = config.endpoint.as_deref().map(|e| parse_endpoint(e, name, config)).transpose()?;
        let (endpoint, is_loopback) =
            endpoint.map_or((None, false), |(e, is_loopback)| (Some(e), is_loopback));
        Ok(Self { config, name, prefix, endpoint, is_loopback })
    }
}

impl Bucket<'_> {
    /// A client; nothing is asked yet.
    pub(super) fn client(&self) -> Result<AmazonS3, ArtifactError> {
        let S3Config { region, access_key, secret_key, path_style, .. } = self.config;
        let after = |ms: u64| Duration::from_millis(ms.max(1));
        let timeouts = (after(self.config.connect_timeout_ms), after(self.config.timeout_ms));
        let connector = Connector::try_new(timeouts.0, timeouts.1, self.is_loopback)
            .map_err(|e| ArtifactError::Storage(format!("no HTTP client can be made: {e}")))?;
        let retry = RetryConfig {
            backoff: BackoffConfig { init_backoff: PAUSE[0], max_backoff: PAUSE[1], base: 2.0 },
            // Time is the limit.
            max_retries: usize::MAX,
            retry_timeout: Duration::from_millis(self.config.retry_for_ms),
        };
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(self.name)
            .with_region(region)
            .with_access_key_id(access_key.expose())
            .with_secret_access_key(secret_key.expose())
            .with_virtual_hosted_style_request(!path_style)
            .with_retry(retry)
            .with_http_connector(connector);
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint).with_allow_http(endpoint.starts_with("http://"));
        }
        builder.build().map_err(|e| ArtifactError::Storage(e.to_string()))
    }

    /// For people.
    pub(super) fn describe(&self) -> String {
        let url = format!("s3://{}/{}", self.name, self.prefix);
        let url = url.trim_end_matches('/');
        match &self.config.endpoint {
            Some(endpoint) => format!("{url} at {endpoint}"),
            None => format!("{url} at Amazon S3 in {}", self.config.region),
        }
    }
}

/// Codes of S3 that say that we may not, or that it is not us.
pub(super) const REFUSALS: [&str; 6] = [
    "AccessDenied",
    "AllAccessDisabled",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "AuthorizationHeaderMalformed",
    "RequestTimeTooSkewed",
];

/// The error that the server answered with.
pub(super) struct Answer {
    pub(super) code: String,
    message: String,
}

impl Answer {
    /// Of the answer's text only code and message: the rest may repeat what was signed, and with which key.
    pub(super) fn of(error: &object_store::Error) -> Option<Self> {
        let text = error.to_string();
        let element = |name: &str| {
            let (_, rest) = text.split_once(&format!("<{name}>"))?;
            Some(rest.split_once('<')?.0.to_owned())
        };
        Some(Self { code: element("Code")?, message: element("Message").unwrap_or_default() })
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

/// Why no answer came, if that is the matter.
pub(super) fn silence(error: &object_store::Error) -> Option<String> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<HttpError>() {
            return error.source().map(ToString::to_string);
        }
        cause = error.source();
    }
    None
}

/// Whether the server answered that it cannot (500 and above): as good as none.
pub(super) fn is_trouble(error: &object_store::Error) -> bool {
    error.to_string().contains("status code: 5")
}

fn refused(what: impl Into<String>) -> ArtifactError {
    ArtifactError::Config(what.into())
}

fn parse_url(url: &str) -> Result<(&str, Name), ArtifactError> {
    if url.contains('@') {
        return Err(refused("url holds an @: who we are belongs into access_key and secret_key"));
    }
    let wrong = |why: &str| refused(format!("url is \"{url}\", {why}"));
    let rest =
        url.strip_prefix("s3://").ok_or_else(|| wrong("it must be s3://bucket or s3://bucket/prefix"))?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-".contains(&b);
    if !(3..=63).contains(&bucket.len()) || !bucket.bytes().all(fits) {
        return Err(wrong("a bucket's name has 3 to 63 lower-case letters, digits, dots or dashes"));
    }
    let prefix = prefix.trim_end_matches('/');
    if prefix.is_empty() {
        return Ok((bucket, Name::default()));
    }
    let prefix =
        checked(prefix).map_err(|_| wrong("its prefix must be a path of letters, digits and . _ = -"))?;
    Ok((bucket, prefix))
}

/// Gives the address without a slash at its end, with the bucket before the host name if it belongs there, and whether
/// it is this machine's own.
fn parse_endpoint(endpoint: &str, bucket: &str, config: &S3Config) -> Result<(String, bool), ArtifactError> {
    if endpoint.contains('@') {
        return Err(refused("endpoint holds an @: who we are belongs into access_key and secret_key"));
    }
    let wrong = |why: &str| refused(format!("endpoint is \"{endpoint}\", {why}"));
    let mut url = Url::parse(endpoint).map_err(|_| wrong("it must be https://host or https://host:port"))?;
    let host = match url.host_str() {
        Some(host) if url.query().is_none() && url.fragment().is_none() => host.to_owned(),
        _ => return Err(wrong("it must be https://host or https://host:port")),
    };
    let ip: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    let is_loopback = host == "localhost" || ip.is_some_and(|ip| ip.is_loopback());
    match url.scheme() {
        "https" => {}
        "http" if config.allow_http || is_loopback => {}
        "http" => return Err(wrong("on another machine that needs allow_http = true, or better https")),
        _ => return Err(wrong("it must begin with https://")),
    }
    if !config.path_style {
        if ip.is_some() {
            return Err(wrong("path_style = false needs a host name in it"));
        }
        url.set_host(Some(&format!("{bucket}.{host}")))
            .map_err(|_| wrong("the bucket does not fit before it"))?;
    }
    Ok((url.as_str().trim_end_matches('/').to_owned(), is_loopback))
}

#[cfg(test)]
mod tests;
