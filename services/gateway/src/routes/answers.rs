//! `/v1/answers/{id}` and `/v1/explain`: answers of the last minutes.

use std::collections::BTreeMap;

use actix_web::web::{Data, Json, Path, Query};
use serde::Deserialize;
use utoipa::{
    IntoParams, IntoResponses, ToSchema,
    openapi::{Content, Ref, RefOr, Response, ResponseBuilder, link::Link},
};
use waggle_contracts::api::{Explanation, RecommendationResponse};
use waggle_http::{
    ApiError, Kind, Problem,
    problem::responses::{Broken, Conflict, Expired, Invalid, NotFound, NotReady},
};
use waggle_model::{AnswerId, ItemId, Timestamp};

use crate::{
    App,
    error::{invalid, not_found, of_role},
    kept::{self, KeptAnswer},
    recommend::explain,
};

/// An answer of the last minutes, as it was given.
///
/// Answers are kept for ten minutes (`gateway.answer_retention_s`); an older one is 410.
#[utoipa::path(
    get, path = "/v1/answers/{id}", tag = "recommendations", operation_id = "answer",
    params(("id" = AnswerId, Path, description = "`answer_id` of the answer.")),
    responses(
        (status = 200, description = "The answer.", body = RecommendationResponse),
        Invalid, NotFound, Expired, NotReady,
    ),
)]
pub(super) async fn get(app: Data<App>, id: Path<String>) -> Result<Json<RecommendationResponse>, ApiError> {
    Ok(Json(kept_answer(&app, &id).await?.response))
}

/// The response of whatever gives a list that Waggle chose, with what can be asked about the list.
pub(super) enum Chosen {}

impl IntoResponses for Chosen {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let list = Content::new(Some(Ref::from_schema_name(RecommendationResponse::name())));
        let again = Link::builder()
            .operation_id("answer")
            .parameter("id", "$response.body#/answer_id")
            .description("The same list again.");
        let explained = Link::builder()
            .operation_id("explain")
            .parameter("answer_id", "$response.body#/answer_id")
            .parameter("item_id", "$response.body#/items/0/item_id")
            .description("Why its first item is in it.");
        let response = ResponseBuilder::new()
            .description("The list.")
            .content("application/json", list)
            .link("answer", again.build())
            .link("explain", explained.build());
        [("200".to_owned(), response.into())].into()
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ExplainQuery {
    /// An answer of the last minutes.
    #[param(value_type = AnswerId)]
    answer_id: String,
    /// An item that is in it, or is not.
    #[param(value_type = ItemId)]
    item_id: String,
}

/// Why an item is in an answer (what each feature added), or is not (which rule, filter or rank).
#[utoipa::path(
    get, path = "/v1/explain", tag = "recommendations", operation_id = "explain",
    params(ExplainQuery),
    responses(
        (status = 200, description = "`shown` and `contributions`, or `why_not`.", body = Explanation),
        Invalid, NotFound, Expired, Conflict, Broken,
    ),
)]
pub(super) async fn explanation(
    app: Data<App>,
    query: Query<ExplainQuery>,
) -> Result<Json<Explanation>, ApiError> {
    let item_id = ItemId::try_new(query.item_id.as_str()).map_err(invalid)?;
    let kept = kept_answer(&app, &query.answer_id).await?;
    explain(&app, &kept, &item_id).await.map(Json).map_err(of_role)
}

/// The answer of this id.
///
/// # Errors
/// `expired` for an id that was minted here longer ago than answers are kept, or whose answer had to make room;
/// `not-found` for what was never an answer's id.
pub(super) async fn kept_answer(app: &App, id: &str) -> Result<KeptAnswer, ApiError> {
    let answer_id = AnswerId::try_new(id).map_err(invalid)?;
    let Some(minted) = answer_id.minted_at() else {
        return Err(not_found(format!("\"{answer_id}\" is not an answer's id")));
    };
    match kept::load(app, &answer_id).await {
        Some(kept) => Ok(kept),
        None if minted > Timestamp::now() => Err(not_found(format!("\"{answer_id}\" is not an answer's id"))),
        None => {
            let detail = format!(
                "answer \"{answer_id}\" is not kept any more; answers are for {} s at most (gateway.answer_retention_s)",
                app.config.answer_retention_s
            );
            Err(Problem::new(Kind::Expired).detail(detail).into())
        }
    }
}
