//! Answers of the last minutes, kept whole: for the next page of a list, for showing an answer again as it was, and for
//! saying why an item is in it or not.
//!
//! They lie in the cache, so they may make room earlier; the log has the record of every answer for good.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tracing::debug;
use waggle_contracts::api::RecommendationResponse;
use waggle_model::{Answer, AnswerId, ItemId};

use crate::{App, recommend::Checked, served::ServedBody};

/// Version of the kept form; a value of another version is not read.
const VERSION: u8 = 1;
/// Most items of all pages of one list.
pub const MAX_PAGED: usize = 1_000;

/// An answer as it was given, and what it was asked with.
#[derive(Debug, Clone)]
pub struct KeptAnswer {
    pub request: Checked,
    pub response: RecommendationResponse,
    pub n_candidates: u32,
    /// What the ranker saw of each item; empty without a ranker.
    pub features: Vec<Vec<f32>>,
}

#[derive(Serialize, Deserialize)]
enum Kept {
    Answer {
        request: Box<Checked>,
        /// As JSON: the public form is made for that, and reads back as it was.
        response: Bytes,
        n_candidates: u32,
        features: Vec<Vec<f32>>,
    },
    /// The same list under another id.
    Again { of: AnswerId },
}

impl KeptAnswer {
    /// Items of this page and of those before it.
    pub fn shown(&self) -> Vec<ItemId> {
        let own = self.response.items.iter().map(|item| item.item_id.clone());
        self.request.shown_before.iter().cloned().chain(own).collect()
    }
}

/// Keeps a computed answer. A cache that takes nothing costs the pages after it, not the answer.
pub async fn keep(app: &App, request: &Checked, body: &ServedBody, answer: &Answer) {
    if request.is_probe {
        return;
    }
    let kept = Kept::Answer {
        request: Box::new(request.clone()),
        response: body.json.clone(),
        n_candidates: answer.n_candidates,
        features: answer.items.iter().map(|item| item.features.clone()).collect(),
    };
    put(app, &answer.answer_id, &kept).await;
}

/// `answer_id` stands for the answer `of` that was computed before.
pub async fn keep_again(app: &App, answer_id: &AnswerId, of: AnswerId) {
    put(app, answer_id, &Kept::Again { of }).await;
}

async fn put(app: &App, answer_id: &AnswerId, kept: &Kept) {
    if app.config.answer_retention_s == 0 {
        return;
    }
    let mut bytes = vec![VERSION];
    rmp_serde::encode::write_named(&mut bytes, kept).expect("an answer serialises into memory");
    if let Err(e) = app.cache.set(&key(answer_id), Bytes::from(bytes), app.config.answer_retention()).await {
        debug!(error = %e, "the answer could not be kept");
    }
}

/// The answer of this id; `None` once it is past its retention, or had to make room.
pub async fn load(app: &App, answer_id: &AnswerId) -> Option<KeptAnswer> {
    let kept = match get(app, answer_id).await? {
        Kept::Again { of } => get(app, &of).await?,
        answer => answer,
    };
    let Kept::Answer { request, response, n_candidates, features } = kept else { return None };
    let response: RecommendationResponse = serde_json::from_slice(&response).ok()?;
    let response = RecommendationResponse { answer_id: answer_id.clone(), ..response };
    Some(KeptAnswer { request: *request, response, n_candidates, features })
}

async fn get(app: &App, answer_id: &AnswerId) -> Option<Kept> {
    let bytes = app.cache.get(&key(answer_id)).await.ok()??;
    let (version, body) = bytes.split_first()?;
    if *version != VERSION {
        return None;
    }
    rmp_serde::from_slice(body).ok()
}

fn key(answer_id: &AnswerId) -> Vec<u8> {
    [b"kept/", answer_id.as_str().as_bytes()].concat()
}
