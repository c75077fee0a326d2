//! `/v1/search`.

use std::time::Instant;

use actix_web::web::{Data, Json, Query};
use serde::Deserialize;
use utoipa::IntoParams;
use waggle_contracts::{
    api::{DEFAULT_K, FoundItem, SearchAnswer},
    retrieval::SearchRequest,
};
use waggle_http::{
    ApiError,
    problem::responses::{Broken, Invalid},
};
use waggle_model::Item;

use super::query::number;
use crate::{
    App,
    error::{invalid, of_role},
    recommend::checked_k,
};

/// Longest query, in bytes.
const MAX_QUERY_BYTES: usize = 512;
/// Deepest page, in items.
const MAX_OFFSET: usize = 10_000;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SearchQuery {
    /// What is searched for; at most 512 bytes.
    #[param(max_length = 512, example = "heart holder")]
    q: String,
    /// Most items of the page.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200, default = 10)]
    k: Option<String>,
    /// Items before the page.
    #[param(value_type = Option<u32>, minimum = 0, maximum = 10000, default = 0)]
    offset: Option<String>,
    /// Only items of this category.
    category: Option<String>,
}

/// Finds items on offer by their words, also misspelt ones.
#[utoipa::path(
    get, path = "/v1/search", tag = "catalogue",
    params(SearchQuery),
    responses((status = 200, description = "One page, the best first.", body = SearchAnswer), Invalid, Broken),
)]
pub(super) async fn search(
    app: Data<App>,
    query: Query<SearchQuery>,
) -> Result<Json<SearchAnswer>, ApiError> {
    let started = Instant::now();
    let SearchQuery { q, k, offset, category } = query.into_inner();
    let k = checked_k(number("k", k.as_deref())?).map_err(invalid)?.unwrap_or(DEFAULT_K);
    let offset: usize = number("offset", offset.as_deref())?.unwrap_or(0);
    if q.len() > MAX_QUERY_BYTES {
        return Err(invalid(format!("q has {} bytes, at most {MAX_QUERY_BYTES} are allowed", q.len())));
    }
    if offset > MAX_OFFSET {
        return Err(invalid(format!("offset is {offset}, at most {MAX_OFFSET} is allowed")));
    }
    let request = SearchRequest { query: q.clone(), category, limit: k, offset };
    let found = app.ask("retrieval", app.retrieval.search(&request)).await.map_err(of_role)?;
    let first_rank = u32::try_from(offset).unwrap_or(0) + 1;
    let items = (first_rank..)
        .zip(found.items)
        .map(|(rank, (item, score))| FoundItem { rank, score, item: Item::clone(&item) })
        .collect();
    Ok(Json(SearchAnswer {
        query: q,
        n_matches: found.n_matches,
        is_partial: found.is_partial,
        items,
        took_ms: started.elapsed().as_secs_f64() * 1e3,
    }))
}
