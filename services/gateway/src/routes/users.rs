//! `/v1/users`: what the shop tells about people, and their right to be forgotten.

use std::time::Duration;

use actix_web::{
    HttpResponse,
    web::{Data, Json, Path, Query},
};
use serde::Deserialize;
use waggle_contracts::{
    api::{ErasureReport, User, UserBody, UserList},
    ingest::Origin,
};
use waggle_http::{ApiError, Object};
use waggle_model::{Event, EventBody, Person, SessionId, Timestamp, UserChange, UserId};
use waggle_stores::database::UserRecord;

use super::query::number;
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

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    limit: Option<String>,
    /// `activity` (default) or `id`.
    order: Option<String>,
    after: Option<String>,
}

pub(super) async fn list(app: Data<App>, query: Query<ListQuery>) -> Result<Json<UserList>, ApiError> {
    let ListQuery { limit, order, after } = query.into_inner();
    let limit = number("limit", limit.as_deref())?.unwrap_or(20);
    if !(1..=MAX_LIST).contains(&limit) {
        return Err(invalid(format!("limit is {limit}, it must be between 1 and {MAX_LIST}")));
    }
    match (order.as_deref(), after) {
        (None | Some("activity"), None) => most_active(&app, limit).await.map(Json),
        (Some("id"), after) => {
            by_id(&app, after.as_deref().map(user_id).transpose()?.as_ref(), limit).await.map(Json)
        }
        (None | Some("activity"), Some(_)) => Err(invalid("after goes with order=id".to_owned())),
        (Some(other), _) => Err(invalid(format!("order is \"{other}\", it must be activity or id"))),
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

pub(super) async fn get(app: Data<App>, id: Path<String>) -> Result<Json<User>, ApiError> {
    let user_id = user_id(&id)?;
    let record = app.database.user(&user_id).await.map_err(of_database)?;
    record
        .filter(|record| record.erased_at.is_none())
        .map(|record| Json(public(record)))
        .ok_or_else(|| not_found(format!("nothing was told about user \"{user_id}\"")))
}

/// Sets the user's properties; re-opens an erased id.
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
/// The sessions are known once every merge that was acknowledged before is folded; a fold that is further behind than
/// [`ALIAS_PATIENCE`] makes this a 503, and nothing is erased. A merge that comes at the same time is as one after it, and
/// after it merges are dropped.
///
/// The answer says what still holds the person. Looking for that takes twice [`LOOK_PATIENCE`] at most, and comes after
/// the erasure: whoever hangs up meanwhile has erased, and can ask again.
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

/// What still holds a user who was erased.
pub(super) async fn erasure(app: Data<App>, id: Path<String>) -> Result<Json<ErasureReport>, ApiError> {
    let user_id = user_id(&id)?;
    let record = app.database.user(&user_id).await.map_err(of_database)?;
    let Some(erased_at) = record.and_then(|record| record.erased_at) else {
        return Err(not_found(format!("user \"{user_id}\" was not erased, or came back since")));
    };
    let report = app.held.traces(user_id, [], erased_at, LOOK_PATIENCE).await;
    report.map(Json).map_err(|error| of_held(&error))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MergeBody {
    session_id: String,
}

/// The session turned out to be this user.
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
