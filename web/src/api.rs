//! The public HTTP API as this shop calls it: like any customer's shop would.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode, Url};
use serde::de::DeserializeOwned;
use waggle_contracts::api::{
    CategoryList, IngestReport, ItemPage, Problem, Profile, RecommendationRequest, RecommendationResponse,
    SearchAnswer, SearchBody, UserList,
};
use waggle_model::{Item, wire::WireEvent};

/// A page waits no longer for any one answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("no answer from the api")]
    Unreachable(#[source] reqwest::Error),
    #[error("the api knows no such thing")]
    NotFound,
    #[error("the api answered {status}: {detail}")]
    Refused { status: u16, detail: String },
    #[error("the api's answer cannot be read")]
    Unreadable(#[source] reqwest::Error),
}

/// An answer, and how long the shop waited for it.
#[derive(Debug, Clone)]
pub(crate) struct Answered {
    pub response: RecommendationResponse,
    pub round_trip_ms: f64,
}

#[derive(Debug, Clone)]
pub(crate) struct Api {
    base: Url,
    http: reqwest::Client,
}

impl Api {
    /// # Errors
    /// What is wrong with the address, or why no TLS is available.
    pub(crate) fn try_new(base: &str) -> Result<Self, String> {
        let base = Url::parse(base).map_err(|e| format!("api_base \"{base}\" is not a URL: {e}"))?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(format!("api_base \"{base}\" must begin with http:// or https://"));
        }
        let http = reqwest::Client::builder()
            .timeout(CALL_TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(Duration::from_secs(60))
            .user_agent("waggle-shop")
            .build()
            .map_err(|e| format!("no HTTP client: {e}"))?;
        Ok(Self { base, http })
    }

    pub(crate) async fn recommend(&self, request: &RecommendationRequest) -> Result<Answered, ApiError> {
        let sent = Instant::now();
        let call = self.request(Method::POST, &["recommendations"]).json(request);
        Ok(Answered { response: json(call).await?, round_trip_ms: ms_since(sent) })
    }

    pub(crate) async fn similar(&self, item_id: &str, k: usize, who: Who<'_>) -> Result<Answered, ApiError> {
        let sent = Instant::now();
        let call = self.request(Method::GET, &["items", item_id, "similar"]).query(&list_query(k, who));
        Ok(Answered { response: json(call).await?, round_trip_ms: ms_since(sent) })
    }

    /// What is trending, or new: the same for everybody.
    pub(crate) async fn live(&self, list: Live, k: usize, who: Who<'_>) -> Result<Answered, ApiError> {
        let sent = Instant::now();
        let call = self
            .request(Method::GET, &["trending"])
            .query(&list_query(k, who))
            .query(&[("source", list.as_str())]);
        Ok(Answered { response: json(call).await?, round_trip_ms: ms_since(sent) })
    }

    pub(crate) async fn search(&self, body: &SearchBody) -> Result<SearchAnswer, ApiError> {
        json(self.request(Method::POST, &["search"]).json(body)).await
    }

    pub(crate) async fn item(&self, item_id: &str) -> Result<Item, ApiError> {
        json(self.request(Method::GET, &["items", item_id])).await
    }

    pub(crate) async fn items(
        &self,
        category: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ItemPage, ApiError> {
        let limit = limit.to_string();
        let mut query = vec![("category", category), ("limit", limit.as_str())];
        query.extend(after.map(|after| ("after", after)));
        json(self.request(Method::GET, &["items"]).query(&query)).await
    }

    pub(crate) async fn categories(&self) -> Result<CategoryList, ApiError> {
        json(self.request(Method::GET, &["categories"])).await
    }

    pub(crate) async fn users(&self, limit: usize) -> Result<UserList, ApiError> {
        json(self.request(Method::GET, &["users"]).query(&[("limit", limit)])).await
    }

    pub(crate) async fn profile(&self, who: Who<'_>) -> Result<Profile, ApiError> {
        json(self.request(Method::GET, &["profile"]).query(&who.query())).await
    }

    /// Sends a batch; whoever needs certainty looks at `rejected` too.
    pub(crate) async fn send(&self, events: &[WireEvent]) -> Result<IngestReport, ApiError> {
        json(self.request(Method::POST, &["events"]).json(&serde_json::json!({ "events": events }))).await
    }

    /// Passes a browser's batch on as it is and gives back the status and body.
    pub(crate) async fn forward_events(
        &self,
        content_type: &str,
        body: Vec<u8>,
    ) -> Result<(u16, String, Vec<u8>), ApiError> {
        let call = self.request(Method::POST, &["events"]).header("content-type", content_type).body(body);
        let response = call.send().await.map_err(ApiError::Unreachable)?;
        let status = response.status().as_u16();
        let kind = response
            .headers()
            .get("content-type")
            .and_then(|v| v.to_str().ok())
            .unwrap_or("application/json");
        let kind = kind.to_owned();
        Ok((status, kind, response.bytes().await.map_err(ApiError::Unreadable)?.to_vec()))
    }

    fn request(&self, method: Method, path: &[&str]) -> reqwest::RequestBuilder {
        let mut url = self.base.clone();
        // http and https URLs always have a path.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("v1").extend(path);
        }
        self.http.request(method, url)
    }
}

/// Lists of the present moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Live {
    Trending,
    New,
}

impl Live {
    fn as_str(self) -> &'static str {
        match self {
            Self::Trending => "trending",
            Self::New => "new",
        }
    }
}

/// The person a call is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Who<'a> {
    pub user_id: Option<&'a str>,
    pub session_id: &'a str,
}

impl<'a> Who<'a> {
    fn query(self) -> Vec<(&'static str, &'a str)> {
        let mut query = vec![("session_id", self.session_id)];
        query.extend(self.user_id.map(|user| ("user_id", user)));
        query
    }
}

fn list_query<'a>(k: usize, who: Who<'a>) -> Vec<(&'static str, std::borrow::Cow<'a, str>)> {
    let mut query: Vec<(&'static str, std::borrow::Cow<'a, str>)> =
        vec![("k", k.to_string().into()), ("include_items", "true".into())];
    query.extend(who.query().into_iter().map(|(name, value)| (name, value.into())));
    query
}

async fn json<T: DeserializeOwned>(call: reqwest::RequestBuilder) -> Result<T, ApiError> {
    let response = call.send().await.map_err(ApiError::Unreachable)?;
    let status = response.status();
    if status == StatusCode::NOT_FOUND {
        return Err(ApiError::NotFound);
    }
    if !status.is_success() {
        let problem = response.json::<Problem>().await.ok();
        let detail = problem.map(|p| p.detail.unwrap_or(p.title)).unwrap_or_default();
        return Err(ApiError::Refused { status: status.as_u16(), detail });
    }
    response.json().await.map_err(ApiError::Unreadable)
}

fn ms_since(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}
