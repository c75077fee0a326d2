//! An answer on its way out. Its list is JSON already, encoded once for the client, the cache and what is kept.

use actix_web::{HttpRequest, HttpResponse, Responder, body::BoxBody, http::header::ContentType};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
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
    /// JSON of a list of [`RecommendedItem`].
    items: Bytes,
    pub took_ms: f64,
}

impl From<RecommendationResponse> for Served {
    fn from(response: RecommendationResponse) -> Self {
        let RecommendationResponse { answer_id, placement, rung, snapshot, watermark, items, took_ms } =
            response;
        let items: Vec<RecommendedItem> = items;
        let items = serde_json::to_vec(&items).expect("a list serialises into memory");
        Self { answer_id, placement, rung, snapshot, watermark, items: items.into(), took_ms }
    }
}

impl Served {
    pub fn into_body(self) -> ServedBody {
        let Self { answer_id, placement, rung, snapshot, watermark, items, took_ms } = self;
        let head = Head { answer_id, placement, rung, snapshot, watermark };
        let mut json = Vec::with_capacity(items.len() + HEAD_BYTES);
        serde_json::to_writer(&mut json, &head).expect("an answer serialises into memory");
        // The object goes on.
        json.pop();
        json.extend_from_slice(b",\"items\":");
        json.extend_from_slice(&items);
        json.extend_from_slice(b",\"took_ms\":");
        serde_json::to_writer(&mut json, &took_ms).expect("a number serialises into memory");
        json.push(b'}');
        ServedBody { watermark, json: json.into() }
    }
}

/// What stands before the list.
#[derive(Serialize)]
struct Head {
    answer_id: AnswerId,
    placement: Placement,
    rung: Rung,
    snapshot: Option<SnapshotVersion>,
    watermark: Option<Watermark>,
}

/// About as much as all but the list takes.
const HEAD_BYTES: usize = 512;

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
