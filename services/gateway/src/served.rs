//! An answer on its way out. Its list is JSON already, encoded once for the client, the cache and what is kept.

use actix_web::{HttpRequest, HttpResponse, Responder, body::BoxBody, http::header::ContentType};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use waggle_contracts::api::{RecommendationResponse, RecommendedItem};
use waggle_model::{AnswerId, Placement, Rung, SnapshotVersion, Watermark};

/// A [`RecommendationResponse`], field by field.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Served {
    pub answer_id: AnswerId,
    pub placement: Placement,
    pub rung: Rung,
    pub snapshot: Option<SnapshotVersion>,
    pub watermark: Option<Watermark>,
    /// Of [`RecommendedItem`].
    items: Box<RawValue>,
    pub took_ms: f64,
}

impl From<RecommendationResponse> for Served {
    fn from(response: RecommendationResponse) -> Self {
        let RecommendationResponse { answer_id, placement, rung, snapshot, watermark, items, took_ms } =
            response;
        let items: Vec<RecommendedItem> = items;
        let items = to_raw_value(&items).expect("a list serialises into memory");
        Self { answer_id, placement, rung, snapshot, watermark, items, took_ms }
    }
}

impl Served {
    pub fn into_body(self) -> ServedBody {
        let json = serde_json::to_vec(&self).expect("an answer serialises into memory");
        ServedBody { watermark: self.watermark, json: json.into() }
    }
}

/// What the client gets.
#[derive(Debug, Clone)]
pub struct ServedBody {
    pub watermark: Option<Watermark>,
    /// A [`RecommendationResponse`].
    pub json: Bytes,
}

impl Responder for ServedBody {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        HttpResponse::Ok().content_type(ContentType::json()).body(self.json)
    }
}
