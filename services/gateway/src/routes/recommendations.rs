//! `/v1/recommendations`, `/v1/trending`, `/v1/items/{id}/similar`.

use actix_web::{
    HttpRequest,
    web::{Data, Json, Path, Query},
};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use waggle_contracts::{RoleError, api::RecommendationRequest, policy::MAX_ODDS_RULES, retrieval::Likeness};
use waggle_http::{
    ApiError, Object,
    problem::responses::{BadBody, Broken, Conflict, Expired, Invalid, NotFound, NotReady},
};
use waggle_model::{AnswerId, CandidateSource, ItemId, Placement, SessionId, UserId};

use super::{
    answers::{Chosen, kept_answer},
    query::{choice, flag, is_uncached, listed, number},
};
use crate::{
    App,
    error::{invalid, not_found, of_role},
    kept::MAX_PAGED,
    recommend::{self, Checked, checked_k, checked_person},
    served::ServedBody,
};

/// The query form of a request: the same, lists comma-separated.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct RecommendationQuery {
    /// For whom; without this and `session_id` for nobody in particular.
    #[param(value_type = Option<UserId>)]
    user_id: Option<String>,
    /// An anonymous visit.
    #[param(value_type = Option<SessionId>)]
    session_id: Option<String>,
    /// `home` (default), `item_page`, `cart`, or a name of your own.
    #[param(value_type = Option<Placement>)]
    placement: Option<String>,
    /// Length of the list; where it is absent the placement's own, else 10.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    k: Option<String>,
    /// The item of an item page, the contents of a basket, or an anonymous person's history; comma-separated.
    #[param(value_type = Option<Vec<ItemId>>, explode = false, max_items = 200)]
    items: Option<String>,
    /// Never in the answer; comma-separated.
    #[param(value_type = Option<Vec<ItemId>>, explode = false, max_items = 200)]
    exclude: Option<String>,
    /// First in the answer, in this order; comma-separated.
    #[param(value_type = Option<Vec<ItemId>>, explode = false, max_items = 200)]
    pin: Option<String>,
    /// Only this category.
    #[param(min_length = 1, max_length = 256)]
    category: Option<String>,
    /// Only items that this expression lets through.
    #[param(max_length = 4096, example = "price in 1..5 and not category = \"Bags\"")]
    filter: Option<String>,
    /// Leave out what the person already bought.
    #[param(value_type = Option<bool>, default = false)]
    exclude_known: Option<String>,
    /// 0 keeps the order of the scores, 1 looks at variety alone; the placement's own where it is absent.
    #[param(value_type = Option<f32>, minimum = 0, maximum = 1)]
    diversity: Option<String>,
    /// Carry each item's catalogue entry in the answer.
    #[param(value_type = Option<bool>, default = false)]
    include_items: Option<String>,
    /// The next page after this answer: the same person and placement, without what was shown before.
    #[param(value_type = Option<AnswerId>)]
    after: Option<String>,
}

/// A list for a person, a page or a basket.
///
/// A person who did nothing since may get the same list again for 30 seconds, unless `Cache-Control: no-store` is sent. When
/// something behind it fails the answer steps down a rung and is not empty. `boost`, `max_per` and `new_share` need `POST`.
#[utoipa::path(
    get, path = "/v1/recommendations", tag = "recommendations", operation_id = "recommend",
    params(
        RecommendationQuery,
        ("cache-control" = Option<String>, Header, description = "`no-store`: computed anew."),
    ),
    responses(
        Chosen,
        Invalid, NotFound, Expired, NotReady,
    ),
)]
pub(super) async fn get(
    app: Data<App>,
    request: HttpRequest,
    query: Query<RecommendationQuery>,
) -> Result<ServedBody, ApiError> {
    let query = query.into_inner();
    answer(
        &app,
        &request,
        RecommendationRequest {
            user_id: query.user_id,
            session_id: query.session_id,
            placement: query.placement,
            k: number("k", query.k.as_deref())?,
            items: listed(query.items.as_deref()),
            exclude: listed(query.exclude.as_deref()),
            pin: listed(query.pin.as_deref()),
            category: query.category,
            filter: query.filter,
            exclude_known: flag("exclude_known", query.exclude_known.as_deref())?,
            diversity: number("diversity", query.diversity.as_deref())?,
            include_items: flag("include_items", query.include_items.as_deref())?,
            after: query.after,
            ..RecommendationRequest::default()
        },
    )
    .await
}

/// A list, with every option.
///
/// Expressions of `filter` and `boost` ask about the items' fields and your own properties. 404 and 410 are about the answer
/// that `after` names.
#[utoipa::path(
    post, path = "/v1/recommendations", tag = "recommendations", operation_id = "recommend_by_rules",
    params(("cache-control" = Option<String>, Header, description = "`no-store`: computed anew.")),
    request_body(content = RecommendationRequest, examples(
        ("Plain" = (summary = "Ten items for a user", value = json!({"user_id": "17850"}))),
        ("Filter" = (summary = "Only some items", value = json!(
            {"user_id": "17850", "k": 5, "filter": "price in 1..5 and not category = \"Bags\""}))),
        ("Boost" = (summary = "New items more often, dear ones less", value = json!({"user_id": "17850", "boost": [
            {"when": "available_from > now - 60d", "by": 2}, {"when": "price > 50", "by": 0.5}]}))),
        ("Pin and exclude" = (summary = "One item first, another never", value = json!(
            {"session_id": "s-1", "pin": ["85123A"], "exclude": ["71053"]}))),
        ("Variety" = (summary = "At most two of a category, and unlike each other", value = json!(
            {"user_id": "17850", "diversity": 0.3, "max_per": {"category": 2}, "new_share": 0.2}))),
        ("Basket" = (summary = "What goes with what is in the basket", value = json!(
            {"session_id": "s-1", "placement": "cart", "items": ["85123A", "71053"], "include_items": true}))),
        ("Next page" = (summary = "The page after an answer", value = json!(
            {"user_id": "17850", "after": "019c12ab4cd07f3e5a9b8c1d2e3f4a5b~home"}))),
    )),
    responses(
        Chosen,
        BadBody, NotFound, Expired, NotReady,
    ),
)]
pub(super) async fn post(
    app: Data<App>,
    request: HttpRequest,
    body: Json<Object<RecommendationRequest>>,
) -> Result<ServedBody, ApiError> {
    answer(&app, &request, body.into_inner().0).await
}

async fn answer(
    app: &App,
    http: &HttpRequest,
    request: RecommendationRequest,
) -> Result<ServedBody, ApiError> {
    let after = request.after.clone();
    let mut checked = Checked::try_new(request).map_err(invalid)?;
    checked.is_uncached = is_uncached(http);
    if let Some(after) = after {
        checked.shown_before = shown_before(app, &checked, &after).await?;
    }
    check_expressions(app, &checked).await?;
    Ok(recommend::recommend(app, &checked).await)
}

/// What stands on the page of that answer and on those before it.
async fn shown_before(app: &App, request: &Checked, after: &str) -> Result<Vec<ItemId>, ApiError> {
    let kept = kept_answer(app, after).await?;
    let is_same = kept.request.person == request.person && kept.request.placement == request.placement;
    if !is_same || kept.request.is_impersonal || kept.request.beside.is_some() {
        return Err(invalid("after: that answer was given to somebody else, or for another placement"));
    }
    let shown = kept.shown();
    if shown.len() > MAX_PAGED {
        return Err(invalid(format!(
            "after: {} items were shown already, pages go up to {MAX_PAGED}",
            shown.len()
        )));
    }
    Ok(shown)
}

/// What the client wrote is the client's to repair; a role that cannot say now costs a rung later and no error here.
async fn check_expressions(app: &App, request: &Checked) -> Result<(), ApiError> {
    let placement = app.placements.load().of(&request.placement).clone();
    let n_rules = placement.policy.boost.len() + request.boost.len();
    if n_rules > MAX_ODDS_RULES {
        return Err(invalid(format!(
            "boost: with those of the placement there are {n_rules} rules, at most {MAX_ODDS_RULES} are allowed"
        )));
    }
    let (expressions, attributes) =
        (request.expressions(), request.max_per.keys().cloned().collect::<Vec<_>>());
    if expressions.is_empty() && attributes.is_empty() {
        return Ok(());
    }
    match app.ask("retrieval", app.retrieval.check(&expressions, &attributes)).await {
        Err(RoleError::Invalid(detail)) => Err(invalid(detail)),
        _ => Ok(()),
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Length of the list.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200, default = 10)]
    k: Option<String>,
    /// Only this category.
    #[param(min_length = 1, max_length = 256)]
    category: Option<String>,
    /// Only items that this expression lets through.
    #[param(max_length = 4096)]
    filter: Option<String>,
    /// What many people want now, or what was added lately.
    #[param(value_type = Option<ListSource>, inline, default = "trending")]
    source: Option<String>,
    /// Who asks, for the record of the answer.
    #[param(value_type = Option<UserId>)]
    user_id: Option<String>,
    /// Who asks, for the record of the answer.
    #[param(value_type = Option<SessionId>)]
    session_id: Option<String>,
    /// Carry each item's catalogue entry in the answer.
    #[param(value_type = Option<bool>, default = false)]
    include_items: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ListSource {
    #[default]
    Trending,
    New,
}

/// What is trending, or new: the same for everybody.
#[utoipa::path(
    get, path = "/v1/trending", tag = "recommendations",
    params(
        ListQuery,
        ("cache-control" = Option<String>, Header, description = "`no-store`: computed anew."),
    ),
    responses(Chosen, Invalid, NotReady),
)]
pub(super) async fn trending(
    app: Data<App>,
    http: HttpRequest,
    query: Query<ListQuery>,
) -> Result<ServedBody, ApiError> {
    let query = query.into_inner();
    let source = match choice("source", query.source.as_deref())? {
        ListSource::Trending => CandidateSource::Trending,
        ListSource::New => CandidateSource::New,
    };
    let request = RecommendationRequest {
        user_id: query.user_id,
        session_id: query.session_id,
        k: number("k", query.k.as_deref())?,
        category: query.category,
        filter: query.filter,
        include_items: flag("include_items", query.include_items.as_deref())?,
        placement: Some(source.as_str().to_owned()),
        ..RecommendationRequest::default()
    };
    let mut checked = Checked::try_new(request).map_err(invalid)?;
    checked.sources = vec![source];
    checked.is_impersonal = true;
    checked.is_uncached = is_uncached(&http);
    check_expressions(&app, &checked).await?;
    Ok(recommend::recommend(&app, &checked).await)
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SimilarQuery {
    /// Length of the list.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200, default = 10)]
    k: Option<String>,
    /// Like the item, or bought together with it.
    #[param(value_type = Option<Likeness>, inline, default = "similar")]
    kind: Option<String>,
    /// Who asks.
    #[param(value_type = Option<UserId>)]
    user_id: Option<String>,
    /// Who asks.
    #[param(value_type = Option<SessionId>)]
    session_id: Option<String>,
    /// Carry each item's catalogue entry in the answer.
    #[param(value_type = Option<bool>, default = false)]
    include_items: Option<String>,
}

/// Items like an item, or bought together with it.
#[utoipa::path(
    get, path = "/v1/items/{id}/similar", tag = "recommendations",
    params(("id" = ItemId, Path, description = "The item."), SimilarQuery),
    responses(
        Chosen,
        Invalid, NotFound, Conflict, Broken,
    ),
)]
pub(super) async fn similar(
    app: Data<App>,
    id: Path<String>,
    query: Query<SimilarQuery>,
) -> Result<ServedBody, ApiError> {
    let query = query.into_inner();
    let item_id = ItemId::try_new(id.as_str()).map_err(invalid)?;
    let kind: Likeness = choice("kind", query.kind.as_deref())?;
    let request = Checked {
        person: checked_person(query.user_id, query.session_id).map_err(invalid)?,
        placement: Placement::ItemPage,
        beside: Some(item_id.clone()),
        k: checked_k(number("k", query.k.as_deref())?).map_err(invalid)?,
        include_items: flag("include_items", query.include_items.as_deref())?,
        ..Checked::default()
    };
    let known =
        app.ask("retrieval", app.retrieval.items(std::slice::from_ref(&item_id))).await.map_err(of_role)?;
    if known.into_iter().flatten().next().is_none() {
        return Err(not_found(format!("item \"{item_id}\" is not in the catalogue")));
    }
    recommend::similar(&app, &request, item_id, kind).await.map_err(of_role)
}
