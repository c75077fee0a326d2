//! `/v1/search`.

use actix_web::web::{Data, Json, Query};
use serde::Deserialize;
use utoipa::IntoParams;
use waggle_contracts::api::{SearchAnswer, SearchBody, SearchOrder};
use waggle_http::{
    ApiError, Object,
    problem::responses::{BadBody, Broken, Invalid},
};
use waggle_model::{SessionId, UserId};

use super::query::{choice, flag, listed, number};
use crate::{
    App,
    error::{invalid, of_role},
    search::{self, Checked},
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SearchQuery {
    /// What is looked for, at most 512 bytes; empty text finds everything on offer.
    #[param(value_type = String, max_length = 512, example = "heart holder")]
    q: Option<String>,
    /// The last word may be the beginning of one, for searching while somebody types.
    #[param(value_type = Option<bool>, default = true)]
    prefix: Option<String>,
    /// Length of the page.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200, default = 10)]
    k: Option<String>,
    /// Items before the page.
    #[param(value_type = Option<u32>, minimum = 0, maximum = 10000, default = 0)]
    offset: Option<String>,
    /// Only items of this category.
    category: Option<String>,
    /// Only items that this expression lets through.
    #[param(example = "price < 5")]
    filter: Option<String>,
    /// Properties whose values are counted over all matches, comma-separated, at most 16.
    #[param(example = "category,price")]
    facets: Option<String>,
    /// A number or time to order by, as `price:asc` or `available_from:desc`; items without it come last.
    #[param(example = "price:asc")]
    sort: Option<String>,
    /// By what the found items are ordered; `sort` if that is given.
    #[param(value_type = Option<SearchOrder>, inline)]
    order: Option<String>,
    /// Mark the found words.
    #[param(value_type = Option<bool>, default = true)]
    highlight: Option<String>,
    /// Whose order is asked for, and what `user.…` in the filter refers to.
    #[param(value_type = Option<UserId>)]
    user_id: Option<String>,
    /// Whose order is asked for.
    #[param(value_type = Option<SessionId>)]
    session_id: Option<String>,
}

/// Finds items on offer by their words, also misspelt ones.
#[utoipa::path(
    get, path = "/v1/search", tag = "catalogue", operation_id = "search",
    params(SearchQuery),
    responses((status = 200, description = "One page, the best first.", body = SearchAnswer), Invalid, Broken),
)]
pub(super) async fn get(app: Data<App>, query: Query<SearchQuery>) -> Result<Json<SearchAnswer>, ApiError> {
    let query = query.into_inner();
    let body = SearchBody {
        q: query.q,
        prefix: query.prefix.map(|text| flag("prefix", Some(&text))).transpose()?,
        k: number("k", query.k.as_deref())?,
        offset: number("offset", query.offset.as_deref())?,
        category: query.category,
        filter: query.filter,
        facets: listed(query.facets.as_deref()),
        sort: query.sort,
        order: query.order.as_deref().map(|text| choice("order", Some(text))).transpose()?,
        highlight: query.highlight.map(|text| flag("highlight", Some(&text))).transpose()?,
        user_id: query.user_id,
        session_id: query.session_id,
    };
    answer(&app, body).await
}

/// A search, with every option.
#[utoipa::path(
    post, path = "/v1/search", tag = "catalogue", operation_id = "search_by_body",
    request_body(content = SearchBody, example = json!({"q": "heart holder", "filter": "price < 5",
        "facets": ["category", "price"], "order": "personal", "user_id": "17850"})),
    responses((status = 200, description = "One page, the best first.", body = SearchAnswer), BadBody, Broken),
)]
pub(super) async fn post(
    app: Data<App>,
    body: Json<Object<SearchBody>>,
) -> Result<Json<SearchAnswer>, ApiError> {
    answer(&app, body.into_inner().0).await
}

async fn answer(app: &App, body: SearchBody) -> Result<Json<SearchAnswer>, ApiError> {
    let checked = Checked::try_new(body).map_err(invalid)?;
    search::search(app, &checked).await.map(Json).map_err(of_role)
}
