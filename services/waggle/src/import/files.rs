//! Files of items, people and events into the log, each through the checks that a request for it would go through.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use waggle_contracts::{Ingest, ingest::Origin};
use waggle_filter::{Declaration, Type};
use waggle_gateway_role::Projector;
use waggle_http::Object;
use waggle_ingest_role::{
    IngestService, body,
    mapping::{Mapped, Mapping},
};
use waggle_model::{
    CatalogChange, Event, EventBody, EventId, Item, Person, SessionId, Timestamp, UserChange, UserId,
};
use waggle_stores::Database;

use super::{
    known::KnownIds,
    records::{Format, Input, Record},
    rejects::Rejects,
};
use crate::{config::Config, progress::Steps, roles::IngestRole, stores::Stores};

/// How long the catalogue may take to arrive in the database.
const PROJECTION: Duration = Duration::from_secs(120);

/// Fields of an item that a column can hold.
pub(crate) const ITEM_FIELDS: [&str; 12] = [
    "item_id",
    "title",
    "category",
    "brand",
    "price",
    "currency",
    "description",
    "image_url",
    "available_from",
    "available_until",
    "hidden",
    "in_stock",
];

/// What came of an import.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    /// In the log now, or, of items and people, in the database as well.
    pub(crate) accepted: u64,
    /// Events whose id was in the log, or stood further up in the files.
    pub(crate) duplicates: u64,
    /// Of types that the mapping passes over.
    pub(crate) skipped: u64,
    pub(crate) rejected: u64,
}

impl Counts {
    pub(crate) fn n_records(&self) -> u64 {
        self.accepted + self.duplicates + self.skipped + self.rejected
    }
}

/// How records of each form become events.
pub(crate) struct Mappings {
    /// `None`: they are events as `POST /v1/events` takes them.
    pub(crate) json: Option<Mapping>,
    pub(crate) csv: Mapping,
}

/// Files on their way in, one after the other, each in the order of its records.
pub(crate) struct Files<'a> {
    pub(crate) inputs: Vec<Input>,
    pub(crate) rejects: Rejects,
    pub(crate) steps: &'a Steps,
}

impl Files<'_> {
    /// Events; those without an id are named after their file's content and their place in it, so that the same file
    /// counts once, however often it is imported.
    ///
    /// - `look`: whether to leave out what is in the log already, wherever it stands
    ///
    /// # Errors
    /// A file that cannot be read, or a log that takes nothing; what came before stays, and the same import goes on.
    pub(crate) async fn events(
        mut self,
        stores: &Stores,
        config: &Config,
        mappings: Mappings,
        look: bool,
    ) -> Result<Counts> {
        let service = IngestRole::open(stores, config).await?.service;
        let mut known = match look {
            true => KnownIds::in_log(&*stores.log().await?, self.steps).await?,
            false => KnownIds::default(),
        };
        let now = Timestamp::now();
        let mut counts = Counts::default();
        for input in std::mem::take(&mut self.inputs) {
            let mapping = match input.format {
                Format::Csv { .. } => Some(mappings.csv.clone()),
                Format::Ndjson => mappings.json.clone(),
            };
            let types = service.clone();
            let parse = move |record: &Record| event_of(record, mapping.as_ref(), &types, now);
            self.each_chunk(input, &mut counts, parse, async |values| {
                take_events(&service, &mut known, values).await
            })
            .await?;
        }
        Ok(counts)
    }

    /// Items, into the log and from there into the database.
    ///
    /// - `columns`: for CSV, how columns are called that are no fields of an item: field by column
    ///
    /// # Errors
    /// As [`events`](Self::events), or a catalogue that does not arrive in the database.
    pub(crate) async fn items(
        mut self,
        stores: &Stores,
        config: &Config,
        columns: Vec<(String, String)>,
    ) -> Result<Counts> {
        let service = IngestRole::open(stores, config).await?.service;
        let database = stores.database().await?;
        // Where services run, their projector and this one take turns.
        let projector = Arc::new(Projector::try_new(stores.log().await?, database.clone()).await?);
        let (tasks, cancel) = (TaskTracker::new(), CancellationToken::new());
        projector.start(&tasks, &cancel);
        let mut counts = Counts::default();
        let mut outcome = Ok(());
        for input in std::mem::take(&mut self.inputs) {
            let columns = matches!(input.format, Format::Csv { .. }).then(|| columns.clone());
            let catalog = config.catalog.clone();
            let parse = move |record: &Record| item_of(record, columns.as_deref(), &catalog).map(Some);
            let take = async |values| take_items(&service, &projector, &database, values).await;
            outcome = self.each_chunk(input, &mut counts, parse, take).await;
            if outcome.is_err() {
                break;
            }
        }
        cancel.cancel();
        tasks.close();
        tasks.wait().await;
        outcome.map(|()| counts)
    }

    /// People: what is told about them, and the sessions that turned out to be theirs.
    ///
    /// # Errors
    /// As [`events`](Self::events).
    pub(crate) async fn users(mut self, stores: &Stores, config: &Config) -> Result<Counts> {
        let service = IngestRole::open(stores, config).await?.service;
        let database = stores.database().await?;
        let mut counts = Counts::default();
        for input in std::mem::take(&mut self.inputs) {
            let take = async |values| take_users(&service, &database, values).await;
            self.each_chunk(input, &mut counts, |record| user_of(record).map(Some), take).await?;
        }
        Ok(counts)
    }

    async fn each_chunk<T: Send + 'static>(
        &mut self,
        input: Input,
        counts: &mut Counts,
        parse: impl FnMut(&Record) -> Result<Option<T>, String> + Send + 'static,
        mut take: impl AsyncFnMut(Vec<(Record, T)>) -> Result<Taken>,
    ) -> Result<()> {
        let (name, size_bytes) = (input.name.clone(), input.size_bytes);
        let (steps, started, before) = (self.steps, Instant::now(), counts.n_records());
        steps.begin_bytes(&shortened(&name), size_bytes);
        let mut chunks = input.read(parse)?;
        let mut last_line = 0;
        while let Some(chunk) = chunks.recv().await {
            let so_far = || match last_line {
                0 => format!("nothing of {name} was taken in"),
                line => format!("{name} was taken in up to line {line}; the same import goes on from there"),
            };
            let chunk = chunk.with_context(so_far)?;
            let lines =
                chunk.values.iter().map(|(record, _)| record).chain(chunk.refused.iter().map(|(r, _)| r));
            let chunk_ends = lines.map(|record| record.line).max();
            self.rejects.add(&name, &chunk.refused)?;
            let taken = take(chunk.values).await.with_context(so_far)?;
            self.rejects.add(&name, &taken.refused)?;
            counts.accepted += taken.accepted;
            counts.duplicates += taken.duplicates;
            counts.skipped += chunk.n_skipped;
            counts.rejected = self.rejects.n_refused();
            last_line = chunk_ends.unwrap_or(last_line);
            steps.at(chunk.bytes_read, 0);
            steps.note(rate(counts.n_records() - before, started));
        }
        self.rejects.flush()?;
        steps.finish(&rate(counts.n_records() - before, started));
        Ok(())
    }
}

/// What became of the records of a chunk that are what they should be.
#[derive(Default)]
struct Taken {
    accepted: u64,
    duplicates: u64,
    refused: Vec<(Record, String)>,
}

fn event_of(
    record: &Record,
    mapping: Option<&Mapping>,
    service: &IngestService,
    now: Timestamp,
) -> Result<Option<Event>, String> {
    let mut event = match mapping {
        None => body::event(&record.content, now)?,
        Some(mapping) => match mapping.event(&record.content, None, now, |name| service.is_own_type(name))? {
            Mapped::Event(event) => *event,
            Mapped::Skipped => return Ok(None),
        },
    };
    if event.event_id.is_none() {
        let id = EventId::try_new(format!("import/{:032x}", record.fingerprint));
        event.event_id = Some(id.expect("a number is a short text"));
    }
    Ok(Some(event))
}

async fn take_events(
    service: &IngestService,
    known: &mut KnownIds,
    values: Vec<(Record, Event)>,
) -> Result<Taken> {
    let mut taken = Taken::default();
    let (mut records, mut events) = (Vec::with_capacity(values.len()), Vec::with_capacity(values.len()));
    for (record, event) in values {
        if event.event_id.as_ref().is_some_and(|id| !known.insert(id)) {
            taken.duplicates += 1;
        } else {
            records.push(record);
            events.push(event);
        }
    }
    if events.is_empty() {
        return Ok(taken);
    }
    let report = service.accept(events, Origin::Import).await?;
    taken.accepted = report.accepted as u64;
    taken.duplicates += report.duplicates as u64;
    taken.refused = report.rejected.into_iter().map(|r| (records[r.index].clone(), r.detail)).collect();
    Ok(taken)
}

fn item_of(
    record: &Record,
    columns: Option<&[(String, String)]>,
    catalog: &Declaration,
) -> Result<Item, String> {
    let Object(item): Object<Item> = match columns {
        None => serde_json::from_slice(&record.content),
        Some(columns) => serde_json::from_slice(&record.content)
            .and_then(|row| serde_json::from_value(Value::Object(item_fields(row, columns, catalog)))),
    }
    .map_err(|e| format!("not an item: {e}"))?;
    item.check()?;
    catalog.check(&item.properties).map_err(|misfit| misfit.to_string())?;
    Ok(item)
}

/// A row of texts as an item: what is no field of an item is a property of the shop's own, of the type that is declared
/// for it, or else a string.
fn item_fields(
    mut row: Map<String, Value>,
    columns: &[(String, String)],
    catalog: &Declaration,
) -> Map<String, Value> {
    let renamed: Vec<_> = columns.iter().map(|(field, column)| (field.clone(), row.remove(column))).collect();
    row.extend(renamed.into_iter().filter_map(|(field, value)| Some((field, value?))));
    let (mut fields, mut properties) = (Map::new(), Map::new());
    for (name, value) in row {
        let text = value.as_str().unwrap_or_default();
        // What does not parse stays text, which the item then says it cannot take.
        let typed = match name.as_str() {
            "price" => of_type(Type::Number, text),
            "hidden" | "in_stock" => of_type(Type::Boolean, text),
            other if ITEM_FIELDS.contains(&other) => None,
            own => {
                let typed = catalog.properties.get(own).and_then(|kind| of_type(*kind, text));
                properties.insert(name, typed.unwrap_or(value));
                continue;
            }
        };
        fields.insert(name, typed.unwrap_or(value));
    }
    if !properties.is_empty() {
        fields.insert("properties".to_owned(), Value::Object(properties));
    }
    fields
}

/// What a text says as a value of that type; `None` if nothing.
fn of_type(kind: Type, text: &str) -> Option<Value> {
    match kind {
        Type::String | Type::Time => None,
        Type::Number => text.parse::<f64>().ok().map(Value::from),
        Type::Boolean => match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "1" => Some(true.into()),
            "false" | "no" | "0" => Some(false.into()),
            _ => None,
        },
        // A JSON list, or texts with `|` between them.
        Type::Strings => serde_json::from_str::<Vec<String>>(text)
            .ok()
            .or_else(|| Some(text.split('|').map(|part| part.trim().to_owned()).collect()))
            .map(Value::from),
    }
}

async fn take_items(
    service: &IngestService,
    projector: &Projector,
    database: &Database,
    values: Vec<(Record, Item)>,
) -> Result<Taken> {
    if values.is_empty() {
        return Ok(Taken::default());
    }
    let (records, items): (Vec<Record>, Vec<Item>) = values.into_iter().unzip();
    let ids: Vec<_> = items.iter().map(|item| item.item_id.clone()).collect();
    service.change_catalog(items.into_iter().map(CatalogChange::Put).collect()).await?;
    projector.caught_up(PROJECTION).await.context("the items are in the log")?;
    // The projector leaves out an item whose key is another item's, and nothing else.
    let stored = database.items(&ids).await?;
    let mut taken = Taken::default();
    for ((record, id), stored) in records.into_iter().zip(ids).zip(stored) {
        match stored {
            Some(_) => taken.accepted += 1,
            None => taken.refused.push((
                record,
                format!("item \"{id}\" has the same 64-bit key as another item; choose another id"),
            )),
        }
    }
    Ok(taken)
}

/// A line of a file of people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserLine {
    pub(crate) user_id: UserId,
    /// Absent: nothing was told about them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) properties: Option<Map<String, Value>>,
    /// Those that turned out to be theirs, the newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) sessions: Vec<MergedSession>,
}

/// A session that turned out to be a user's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MergedSession {
    pub(crate) session_id: SessionId,
    /// When that became known; absent: at the import.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) timestamp: Option<Timestamp>,
}

fn user_of(record: &Record) -> Result<UserLine, String> {
    let Object(user): Object<UserLine> =
        serde_json::from_slice(&record.content).map_err(|e| format!("not a user: {e}"))?;
    if user.properties.is_none() && user.sessions.is_empty() {
        return Err(format!("neither properties nor sessions of \"{}\" are given", user.user_id));
    }
    Ok(user)
}

/// As `PUT /v1/users/{id}` and the merges would do, except that an erased id stays erased: an old file must not bring
/// back whom somebody asked to forget.
async fn take_users(
    service: &IngestService,
    database: &Database,
    values: Vec<(Record, UserLine)>,
) -> Result<Taken> {
    let now = Timestamp::now();
    let ids: Vec<UserId> = values.iter().map(|(_, user)| user.user_id.clone()).collect();
    let erased = database.erased_users(&ids).await?;
    let mut taken = Taken::default();
    let (mut events, mut owners) = (Vec::new(), Vec::new());
    let mut users: Vec<Option<(Record, UserLine)>> = Vec::with_capacity(values.len());
    for (record, user) in values {
        if erased.contains(&user.user_id) {
            let detail =
                format!("user \"{}\" was erased; PUT /v1/users/{{id}} lets them in again", user.user_id);
            taken.refused.push((record, detail));
            continue;
        }
        events.extend(changes_of(&user, now));
        owners.resize(events.len(), users.len());
        users.push(Some((record, user)));
    }
    let report = service.accept(events, Origin::Import).await?;
    for rejection in report.rejected {
        if let Some((record, _)) = users[owners[rejection.index]].take() {
            taken.refused.push((record, rejection.detail));
        }
    }
    let users = users.into_iter().flatten().map(|(_, user)| user);
    let accepted: Vec<UserLine> = users.collect();
    taken.accepted = accepted.len() as u64;
    let told = accepted.into_iter().filter_map(|user| Some((user.user_id, user.properties?)));
    database.put_users(&told.collect::<Vec<_>>(), now).await?;
    Ok(taken)
}

fn changes_of(user: &UserLine, now: Timestamp) -> impl Iterator<Item = Event> {
    let event = move |session_id, timestamp, body| Event {
        event_id: None,
        timestamp,
        person: Person { user_id: Some(user.user_id.clone()), session_id },
        body,
        context: Map::new(),
    };
    let told = user.properties.iter();
    let told = told.map(|properties| EventBody::UserChange(UserChange { properties: properties.clone() }));
    let told = told.map(move |change| event(None, now, change));
    let merge = move |merged: &MergedSession| {
        event(Some(merged.session_id.clone()), merged.timestamp.unwrap_or(now), EventBody::Merge)
    };
    told.chain(user.sessions.iter().map(merge))
}

fn rate(n_records: u64, started: Instant) -> String {
    format!("{n_records} records, {:.0}/s", n_records as f64 / started.elapsed().as_secs_f64().max(1e-3))
}

/// The end of a long name.
fn shortened(name: &str) -> String {
    let n_chars = name.chars().count();
    match n_chars {
        0..=24 => name.to_owned(),
        _ => format!("…{}", name.chars().skip(n_chars - 23).collect::<String>()),
    }
}

/// Opens every file before any is read.
///
/// # Errors
/// The first file that cannot be opened.
pub(crate) fn open_all(paths: &[PathBuf], format: impl Fn(&Path) -> Format) -> Result<Vec<Input>> {
    ensure!(!paths.is_empty(), "no file is named");
    paths.iter().map(|path| Input::open(path, format(path))).collect()
}

#[cfg(test)]
mod tests;
