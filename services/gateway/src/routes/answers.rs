//! `/v1/answers/{id}` and `/v1/explain`: answers of the last minutes.

use actix_web::web::{Data, Json, Path, Query};
use serde::Deserialize;
use waggle_contracts::api::{Explanation, RecommendationResponse};
use waggle_http::{ApiError, Kind, Problem};
use waggle_model::{AnswerId, ItemId, Timestamp};

use crate::{
    App,
    error::{invalid, not_found, of_role},
    kept::{self, KeptAnswer},
    recommend::explain,
};

/// The answer as it was given.
pub(super) async fn get(app: Data<App>, id: Path<String>) -> Result<Json<RecommendationResponse>, ApiError> {
    Ok(Json(kept_answer(&app, &id).await?.response))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExplainQuery {
    answer_id: String,
    item_id: String,
}

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
