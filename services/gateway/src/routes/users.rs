//! `/v1/users`: what the shop tells about people, and their right to be forgotten.

use std::time::Duration;

use actix_web::{
    HttpResponse,
    web::{Data, Json, Path, Query},
};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use waggle_contracts::{
    api::{ErasureReport, MergeBody, User, UserBody, UserList},
    ingest::Origin,
};
use waggle_http::{
    ApiError, Object,
    problem::responses::{BadBody, Broken, Invalid, NotFound},
};
use waggle_model::{Event, EventBody, Person, SessionId, Timestamp, UserChange, UserId};
use waggle_stores::database::UserRecord;

use super::query::{choice, number};
use crate::{
    App,
    error::{invalid, not_found, of_database, of_held, of_role},
};

/// Most users of one list.
const MAX_LIST: usize = 200;
/// Users looked at to find the most active ones.
const SAMPLE: usize = 400;
/// How long an erasure waits for the merges before it to be folded.
const ALIAS_PATIENCE: Duration = Duration::from_secs(5);
/// How long log and archive each are looked through for what still holds somebody.
const LOOK_PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Most users of the list.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200, default = 20)]
    limit: Option<String>,
    /// `activity`: some, the most active first; `id`: all, page by page.
    #[param(value_type = Option<Order>, inline, default = "activity")]
    order: Option<String>,
    /// By id alone: the last page's `next_after`.
    #[param(value_type = Option<UserId>)]
    after: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Order {
    #[default]
    Activity,
    Id,
}

/// Users of whom the shop told something.
#[utoipa::path(
    get, path = "/v1/users", tag = "people", operation_id = "list_users",
    params(ListQuery),
    responses((status = 200, description = "Some, or a page of all.", body = UserList), Invalid, Broken),
)]
pub(super) async fn list(app: Data<App>, query: Query<ListQuery>) -> Result<Json<UserList>, ApiError> {
    let ListQuery { limit, order, after } = query.into_inner();
    let limit = number("limit", limit.as_deref())?.unwrap_or(20);
    if !(1..=MAX_LIST).contains(&limit) {
        return Err(invalid(format!("limit is {limit}, it must be between 1 and {MAX_LIST}")));
    }
    match (choice("order", order.as_deref())?, after) {
        (Order::Activity, None) => most_active(&app, limit).await.map(Json),
        (Order::Activity, Some(_)) => Err(invalid("after goes with order=id".to_owned())),
        (Order::Id, after) => {
            by_id(&app, after.as_deref().map(user_id).transpose()?.as_ref(), limit).await.map(Json)
        }
    }
}

/// A page of all users.
async fn by_id(app: &App, after: Option<&UserId>, limit: usize) -> Result<UserList, ApiError> {
    // One more than asked for tells whether there is another page.
    let mut records = app.database.list_users(after, limit + 1).await.map_err(of_database)?;
    let has_more = records.len() > limit;
    records.truncate(limit);
    let next_after = records.last().filter(|_| has_more).map(|record| record.user_id.clone());
    Ok(UserList { users: records.into_iter().map(public).collect(), next_after })
}

/// A sample of users, the most active first: for choosing somebody to look at.
async fn most_active(app: &App, limit: usize) -> Result<UserList, ApiError> {
    let sample = app.database.list_users(None, SAMPLE).await.map_err(of_database)?;
    let mut by_activity = Vec::with_capacity(sample.len());
    for record in sample {
        let view = app
            .ask("features", app.features.person(&Person::user(record.user_id.clone())))
            .await
            .map_err(of_role)?;
        by_activity.push((view.state.n_orders, view.state.n_events, record));
    }
    by_activity.sort_by(|a, b| (b.0, b.1).cmp(&(a.0, a.1)).then(a.2.user_id.cmp(&b.2.user_id)));
    let users = by_activity.into_iter().take(limit).map(|(_, _, record)| public(record)).collect();
    Ok(UserList { users, next_after: None })
}

/// What the shop told about a user.
#[utoipa::path(
    get, path = "/v1/users/{id}", tag = "people", operation_id = "user",
    params(("id" = UserId, Path, description = "The user.")),
    responses((status = 200, description = "The user.", body = User), Invalid, NotFound, Broken),
)]
pub(super) async fn get(app: Data<App>, id: Path<String>) -> Result<Json<User>, ApiError> {
    let user_id = user_id(&id)?;
    let record = app.database.user(&user_id).await.map_err(of_database)?;
    record
        .filter(|record| record.erased_at.is_none())
        .map(|record| Json(public(record)))
        .ok_or_else(|| not_found(format!("nothing was told about user \"{user_id}\"")))
}

/// Sets a user's properties; re-opens an erased id.
#[utoipa::path(
    put, path = "/v1/users/{id}", tag = "people", operation_id = "put_user",
    params(("id" = UserId, Path, description = "The user.")),
    request_body(content = UserBody, example = json!({"properties": {"country": "GB"}})),
    responses((status = 200, description = "The user as they are now.", body = User), BadBody, Broken),
)]
pub(super) async fn put(
    app: Data<App>,
    id: Path<String>,
    body: Json<Object<UserBody>>,
) -> Result<Json<User>, ApiError> {
    let user_id = user_id(&id)?;
    let Object(UserBody { properties }) = body.into_inner();
    let change = EventBody::UserChange(UserChange { properties: properties.clone() });
    append(&app, Person::user(user_id.clone()), change).await?;
    app.database.put_user(&user_id, &properties, Timestamp::now()).await.map_err(of_database)?;
    Ok(Json(User { user_id, properties }))
}

/// Forgets everything personal: of the user, and of the sessions that turned out to be theirs.
///
/// The answer says what still holds the person. Looking for that takes 20 seconds at most, and comes after the erasure:
/// whoever hangs up meanwhile has erased, and can ask again. A 503 means that merges before it are not counted in yet, and
/// that nothing is erased. What comes later under the id is dropped until a new `PUT`.
// The sessions are known once every merge that was acknowledged before is folded. A merge that comes at the same time is as
// one after it, and after it merges are dropped.
#[utoipa::path(
    delete, path = "/v1/users/{id}", tag = "people", operation_id = "erase_user",
    params(("id" = UserId, Path, description = "The user.")),
    responses(
        (status = 200, description = "What still holds them.", body = ErasureReport, links(
            ("erasure" = (
                operation_id = "erasure",
                parameters(("id" = "$request.path.id")),
                description = "The report again, as it is then.",
            )),
        )),
        Invalid, Broken,
    ),
)]
pub(super) async fn delete(app: Data<App>, id: Path<String>) -> Result<Json<ErasureReport>, ApiError> {
    let user_id = user_id(&id)?;
    let aliases = app.features.aliases(&user_id, ALIAS_PATIENCE).await.map_err(of_role)?;
    let sessions = aliases.iter().cloned().map(Person::session);
    let sessions = sessions.map(|person| event(person, EventBody::Erasure));
    // The sessions go first: should the user's own erasure fail, the next try still knows of them.
    app.ingest.accept(sessions.collect(), Origin::System).await.map_err(of_role)?;
    append(&app, Person::user(user_id.clone()), EventBody::Erasure).await?;
    let erased_at = Timestamp::now();
    app.database.erase_user(&user_id, erased_at).await.map_err(of_database)?;
    let report = app.held.traces(user_id, aliases, erased_at, LOOK_PATIENCE).await;
    report.map(Json).map_err(|error| of_held(&error))
}

/// What still holds a user who was erased, and until when.
#[utoipa::path(
    get, path = "/v1/users/{id}/erasure", tag = "people",
    params(("id" = UserId, Path, description = "The user.")),
    responses((status = 200, description = "The report.", body = ErasureReport), Invalid, NotFound, Broken),
)]
pub(super) async fn erasure(app: Data<App>, id: Path<String>) -> Result<Json<ErasureReport>, ApiError> {
    let user_id = user_id(&id)?;
    let record = app.database.user(&user_id).await.map_err(of_database)?;
    let Some(erased_at) = record.and_then(|record| record.erased_at) else {
        return Err(not_found(format!("user \"{user_id}\" was not erased, or came back since")));
    };
    let report = app.held.traces(user_id, [], erased_at, LOOK_PATIENCE).await;
    report.map(Json).map_err(|error| of_held(&error))
}

/// Joins a session to a user: it turned out to be them.
#[utoipa::path(
    post, path = "/v1/users/{id}/merge", tag = "people",
    params(("id" = UserId, Path, description = "The user.")),
    request_body(content = MergeBody, example = json!({"session_id": "s-1"})),
    responses((status = 204, description = "From now on the session's history is the user's."), BadBody, Broken),
)]
pub(super) async fn merge(
    app: Data<App>,
    id: Path<String>,
    body: Json<Object<MergeBody>>,
) -> Result<HttpResponse, ApiError> {
    let Object(MergeBody { session_id }) = body.into_inner();
    let session_id = SessionId::try_new(&session_id).map_err(invalid)?;
    let person = Person { user_id: Some(user_id(&id)?), session_id: Some(session_id) };
    append(&app, person, EventBody::Merge).await?;
    Ok(HttpResponse::NoContent().finish())
}

pub(super) fn user_id(id: &str) -> Result<UserId, ApiError> {
    UserId::try_new(id).map_err(invalid)
}

fn public(record: UserRecord) -> User {
    User { user_id: record.user_id, properties: record.properties }
}

async fn append(app: &App, person: Person, body: EventBody) -> Result<(), ApiError> {
    let report = app.ingest.accept(vec![event(person, body)], Origin::System).await.map_err(of_role)?;
    report.rejected.into_iter().next().map_or(Ok(()), |rejection| Err(invalid(rejection.detail)))
}

fn event(person: Person, body: EventBody) -> Event {
    Event { event_id: None, timestamp: Timestamp::now(), person, body, context: serde_json::Map::new() }
}
