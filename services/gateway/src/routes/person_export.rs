//! `GET /v1/users/{id}/export`: everything the installation holds about a person, for the person.

use std::time::Duration;

use actix_web::{
    HttpResponse,
    web::{Bytes, Data, Path},
};
use futures::stream;
use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr, Schema,
        schema::{ArrayBuilder, ObjectBuilder},
    },
};
use waggle_contracts::{RoleError, api::ProfileEvent};
use waggle_features::PersonState;
use waggle_http::{
    ApiError, compressible,
    problem::responses::{Broken, Invalid, NotFound},
};
use waggle_model::{Event, ItemId, Person, SessionId, Timestamp, UserId, wire::WireEvent};
use waggle_stores::{Topic, UserRecord};

use super::profile;
use crate::{
    App,
    error::{not_found, of_database, of_held, of_role},
    held::{HeldError, People},
};

/// When to ask again while another export is under way.
const RETRY_BUSY: Duration = Duration::from_secs(10);
/// Bytes after which a piece of the body is sent, and pieces that wait for the client.
const PIECE: usize = 64 << 10;
const PIECES: usize = 4;
/// What an export cannot tell.
const LIMITS: &str = "What was refused is kept as dead letters, which are not told apart by person. Snapshots hold no ids of \
     people. Backups, the logs of other programs, and topics that others fill are not looked through.";

/// Everything that is held about a user: properties, profile, history, then every event and every answer, those of merged
/// sessions included.
///
/// Sent while it is read: a body that ends before its last brace was cut off by a failure. Each export reads the whole
/// archive, so one at a time is served and others get 503.
#[utoipa::path(
    get, path = "/v1/users/{id}/export", tag = "people", operation_id = "export_user",
    params(("id" = UserId, Path, description = "The user.")),
    responses(
        (status = 200, description = "One JSON object.", body = PersonExport),
        Invalid, NotFound, Broken,
    ),
)]
pub(super) async fn get(app: Data<App>, id: Path<String>) -> Result<HttpResponse, ApiError> {
    let user_id = super::users::user_id(&id)?;
    let record = app.database.user(&user_id).await.map_err(of_database)?;
    if let Some(erased_at) = record.as_ref().and_then(|record| record.erased_at) {
        return Err(not_found(format!(
            "user \"{user_id}\" was erased at {erased_at}; GET /v1/users/{{id}}/erasure says what is left"
        )));
    }
    let app = app.into_inner();
    let person = Person::user(user_id.clone());
    let view = app.ask("features", app.features.person(&person)).await.map_err(of_role)?;
    let people = People { user: user_id.clone(), sessions: view.state.aliases.iter().cloned().collect() };
    let head = head(&app, &user_id, record.as_ref(), &view.state).await?;

    let busy = || of_role(RoleError::Overloaded { retry_after: RETRY_BUSY });
    if app.held.exports.available_permits() == 0 {
        return Err(busy());
    }
    let is_known = record.is_some() || *view.state != PersonState::default();
    let (sender, mut pieces) = mpsc::channel::<Result<Bytes, HeldError>>(PIECES);
    let reader = app.clone();
    actix_web::rt::spawn(async move {
        let Ok(_permit) = reader.held.exports.acquire().await else { return };
        let mut body = Body { sender, piece: Vec::new(), n_records: 0, is_known };
        if let Err(error) = body.write(&reader, &people, &head).await {
            tracing::error!(%error, "an export of a person's data failed");
            drop(body.sender.send(Err(error)).await);
        }
    });
    // Whoever is not known at all has no first piece, and that shows only once everything was looked through.
    match pieces.recv().await {
        None => Err(not_found(format!("nothing is held about user \"{user_id}\""))),
        Some(Err(error)) => Err(of_held(&error)),
        Some(Ok(first)) => {
            let rest = stream::unfold(pieces, async |mut pieces| Some((pieces.recv().await?, pieces)));
            let body = futures::StreamExt::chain(stream::iter([Ok(first)]), rest);
            Ok(compressible(HttpResponse::Ok().content_type("application/json").streaming(body)))
        }
    }
}

/// All but events and answers, without the last brace.
async fn head(
    app: &App,
    user_id: &UserId,
    record: Option<&UserRecord>,
    state: &PersonState,
) -> Result<String, ApiError> {
    let items = profile::known_items(app, state).await?;
    let history = state.items.iter().map(|entry| HistoryEntry {
        item_id: items.get(&entry.item).map(|item| item.item_id.clone()),
        first: entry.first,
        last: entry.last,
        attention: entry.n_attention,
        carts: entry.n_carts,
        purchases: entry.n_purchases,
        is_rejected: entry.is_rejected,
    });
    let shown = state.shown.more_often_than(0.0, Timestamp::now()).map(|(item, times)| ShownEntry {
        item_id: items.get(&item).map(|item| item.item_id.clone()),
        times,
    });
    let is_known = state.n_events > 0;
    let head = Head {
        user_id,
        exported_at: Timestamp::now(),
        user: record.map(|record| Told {
            properties: &record.properties,
            created_at: record.created_at,
            updated_at: record.updated_at,
        }),
        sessions: state.aliases.iter().collect(),
        profile: Totals {
            n_events: state.n_events,
            n_purchases: state.n_purchases,
            n_orders: state.n_orders,
            first_seen: is_known.then_some(state.first_seen),
            last_seen: is_known.then_some(state.last_seen),
            typical_price: state.typical_price(),
        },
        recent: profile::recent_events(state, &items, usize::MAX),
        history: history.collect(),
        shown: shown.collect(),
        limits: LIMITS,
    };
    let mut text = serde_json::to_string(&head).expect("a head serialises into memory");
    text.pop();
    Ok(text)
}

/// All but events and answers.
#[derive(Serialize, ToSchema)]
struct Head<'a> {
    user_id: &'a UserId,
    exported_at: Timestamp,
    /// What the shop told about them.
    user: Option<Told<'a>>,
    /// Those that turned out to be theirs.
    sessions: Vec<&'a SessionId>,
    profile: Totals,
    /// Newest first.
    recent: Vec<ProfileEvent>,
    history: Vec<HistoryEntry>,
    shown: Vec<ShownEntry>,
    /// What an export cannot tell.
    limits: &'static str,
}

#[derive(Serialize, ToSchema)]
struct Told<'a> {
    properties: &'a Map<String, Value>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

#[derive(Serialize, ToSchema)]
struct Totals {
    n_events: u64,
    n_purchases: u64,
    n_orders: u32,
    first_seen: Option<Timestamp>,
    last_seen: Option<Timestamp>,
    /// Geometric mean of the prices paid.
    typical_price: Option<f64>,
}

/// What they did with one item.
#[derive(Serialize, ToSchema)]
struct HistoryEntry {
    /// Absent when the item has left the catalogue.
    item_id: Option<ItemId>,
    first: Timestamp,
    last: Timestamp,
    /// Views and clicks.
    attention: u16,
    carts: u16,
    /// Orders that held it, less cancelled ones.
    purchases: u16,
    /// Their newest verdict was negative.
    is_rejected: bool,
}

/// An item that they were shown and did nothing with since.
#[derive(Serialize, ToSchema)]
struct ShownEntry {
    /// Absent when the item has left the catalogue.
    item_id: Option<ItemId>,
    /// How often, halved every 3 days.
    times: f32,
}

/// [`Head`] with what is written after it; names its schema.
enum PersonExport {}

impl PartialSchema for PersonExport {
    fn schema() -> RefOr<Schema> {
        let records = |says: &str| ArrayBuilder::new().items(ObjectBuilder::new()).description(Some(says));
        let RefOr::T(Schema::Object(mut export)) = Head::schema() else {
            unreachable!("the schema of a struct with named fields is an object")
        };
        let events = "As `POST /v1/events` takes them; and changes and merges, which clients do not send.";
        export.properties.insert("events".to_owned(), records(events).into());
        export.properties.insert("answers".to_owned(), records("As they were recorded.").into());
        export.required.extend(["events".to_owned(), "answers".to_owned()]);
        export.description = None;
        export.into()
    }
}

impl ToSchema for PersonExport {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        Head::schemas(schemas);
    }
}

struct Body {
    sender: mpsc::Sender<Result<Bytes, HeldError>>,
    piece: Vec<u8>,
    n_records: u64,
    /// Something is held about them whatever archive and log say.
    is_known: bool,
}

impl Body {
    async fn write(&mut self, app: &App, people: &People, head: &str) -> Result<(), HeldError> {
        self.piece.extend_from_slice(head.as_bytes());
        for (name, topic) in [("events", Topic::Events), ("answers", Topic::Answers)] {
            self.piece.extend_from_slice(format!(",\"{name}\":[").as_bytes());
            let mut is_first = true;
            let show = async |event: Event| {
                if !std::mem::take(&mut is_first) {
                    self.piece.push(b',');
                }
                self.add(&event).await
            };
            app.held.each_record(people, topic, show).await?;
            self.piece.push(b']');
        }
        self.piece.push(b'}');
        if self.is_known || self.n_records > 0 {
            self.send().await;
        }
        Ok(())
    }

    /// Whether the client is still there.
    async fn add(&mut self, event: &Event) -> bool {
        self.n_records += 1;
        let written = match WireEvent::of(event) {
            Some(wire) => serde_json::to_writer(&mut self.piece, &wire),
            None => serde_json::to_writer(&mut self.piece, &Other::of(event)),
        };
        written.expect("an event serialises into memory");
        if self.piece.len() < PIECE { true } else { self.send().await }
    }

    async fn send(&mut self) -> bool {
        let piece = std::mem::take(&mut self.piece);
        self.sender.send(Ok(piece.into())).await.is_ok()
    }
}

/// What clients do not send: answers, changes, merges.
#[derive(Serialize)]
struct Other<'a> {
    timestamp: Timestamp,
    #[serde(flatten)]
    person: &'a Person,
    #[serde(flatten)]
    body: Value,
}

impl<'a> Other<'a> {
    fn of(event: &'a Event) -> Self {
        let body = serde_json::to_value(&event.body).expect("an event serialises into memory");
        // A body without content is its bare name.
        let body = if body.is_string() { json!({ "body": body }) } else { body };
        Self { timestamp: event.timestamp, person: &event.person, body }
    }
}
