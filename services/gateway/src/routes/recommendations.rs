//! `/v1/recommendations`, `/v1/trending`, `/v1/items/{id}/similar`.

use actix_web::{
    HttpRequest,
    web::{Data, Json, Path, Query},
};
use serde::Deserialize;
use waggle_contracts::{RoleError, api::RecommendationRequest, policy::MAX_ODDS_RULES, retrieval::Likeness};
use waggle_http::{ApiError, Object};
use waggle_model::{CandidateSource, ItemId, Placement};

use super::{
    answers::kept_answer,
    query::{flag, is_uncached, number},
};
use crate::{
    App,
    error::{invalid, not_found, of_role},
    kept::MAX_PAGED,
    recommend::{self, Checked, checked_k, checked_person},
    served::ServedBody,
};

/// The query form of a request: the same, lists comma-separated.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RecommendationQuery {
    user_id: Option<String>,
    session_id: Option<String>,
    placement: Option<String>,
    k: Option<String>,
    items: Option<String>,
    exclude: Option<String>,
    pin: Option<String>,
    category: Option<String>,
    filter: Option<String>,
    exclude_known: Option<String>,
    diversity: Option<String>,
    include_items: Option<String>,
    after: Option<String>,
}

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

fn listed(ids: Option<&str>) -> Vec<String> {
    ids.into_iter().flat_map(|ids| ids.split(',')).map(ToOwned::to_owned).collect()
}

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

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    k: Option<String>,
    category: Option<String>,
    filter: Option<String>,
    /// `trending` (default) or `new`.
    source: Option<String>,
    user_id: Option<String>,
    session_id: Option<String>,
    include_items: Option<String>,
}

/// The same for everybody: who asks is only kept for the record of the answer.
pub(super) async fn trending(
    app: Data<App>,
    http: HttpRequest,
    query: Query<ListQuery>,
) -> Result<ServedBody, ApiError> {
    let query = query.into_inner();
    let source = match query.source.as_deref() {
        None | Some("trending") => CandidateSource::Trending,
        Some("new") => CandidateSource::New,
        Some(other) => return Err(invalid(format!("source is \"{other}\", it must be trending or new"))),
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

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SimilarQuery {
    k: Option<String>,
    /// `similar` (default) or `bought_together`.
    kind: Option<String>,
    user_id: Option<String>,
    session_id: Option<String>,
    include_items: Option<String>,
}

pub(super) async fn similar(
    app: Data<App>,
    id: Path<String>,
    query: Query<SimilarQuery>,
) -> Result<ServedBody, ApiError> {
    let query = query.into_inner();
    let item_id = ItemId::try_new(id.as_str()).map_err(invalid)?;
    let kind = match query.kind.as_deref() {
        None | Some("similar") => Likeness::Similar,
        Some("bought_together") => Likeness::BoughtTogether,
        Some(other) => {
            return Err(invalid(format!("kind is \"{other}\", it must be similar or bought_together")));
        }
    };
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
