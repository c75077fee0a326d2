//! A dataset through ingest into the log: the way that live events take.
//!
//! - [`files`]: files of items, people and events, for `waggle import`. [`records`] reads them, [`rejects`] keeps what was
//!   refused, [`known`] tells what is in the log already.

pub(crate) mod files;
mod known;
pub(crate) mod records;
pub(crate) mod rejects;

use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::{StreamExt, stream};
use serde_json::{Map, Value};
use waggle_contracts::{Ingest, ingest::Origin};
use waggle_model::{CatalogChange, Event, EventBody, Item, Person, Timestamp, UserChange, UserId};

use self::known::KnownIds;
use crate::{progress::Steps, system::System};

/// Events of one append; large groups make the log's commits cheap.
const CHUNK: usize = 5_000;
/// Appends under way at once: one is encoded while another is written.
const IN_FLIGHT: usize = 4;
/// How long a chunk of the catalogue may take to arrive in the database.
const PROJECTION: Duration = Duration::from_secs(120);

/// What is to be imported.
pub(crate) struct Import {
    pub(crate) items: Vec<Item>,
    pub(crate) users: Vec<(UserId, Map<String, Value>)>,
    /// Ascending by time.
    pub(crate) events: Box<dyn Iterator<Item = Event> + Send>,
    pub(crate) n_events: u64,
}

/// Catalogue first, then people, then what they did; returns when all of it is folded into the online state and written
/// to the archive. An import that `is_resumed` leaves out the events that are in the log already.
///
/// # Errors
/// If an event is refused (an import has nothing to refuse: its reader checked it) or a store fails.
pub(crate) async fn import(system: &System, steps: &Steps, import: Import, is_resumed: bool) -> Result<()> {
    let present = match is_resumed {
        true => KnownIds::in_log(&*system.process.stores.log().await?, steps).await?,
        false => KnownIds::default(),
    };
    steps.begin("catalogue", import.items.len() as u64);
    let n_items = import.items.len();
    let mut n_done = 0;
    for chunk in import.items.chunks(CHUNK) {
        system.ingest.service.change_catalog(chunk.iter().cloned().map(CatalogChange::Put).collect()).await?;
        // Chunk by chunk, so that how long it may take does not depend on how many there are.
        system.gateway.app.projector.caught_up(PROJECTION).await?;
        n_done += chunk.len() as u64;
        steps.at(n_done, import.items.len() as u64);
    }
    drop(import.items);
    steps.finish(&format!("{n_items} items"));

    steps.begin("people", import.users.len() as u64);
    let now = Timestamp::now();
    for chunk in import.users.chunks(CHUNK) {
        let changes = chunk.iter().map(|(user_id, properties)| Event {
            event_id: None,
            timestamp: now,
            person: Person::user(user_id.clone()),
            body: EventBody::UserChange(UserChange { properties: properties.clone() }),
            context: Map::new(),
        });
        append(system, changes.collect()).await?;
        system.gateway.app.database.put_users(chunk, now).await?;
    }
    steps.finish(&format!("{} people", import.users.len()));

    steps.begin("events into the log", import.n_events);
    let is_missing = |event: &Event| event.event_id.as_ref().is_none_or(|id| !present.contains(id));
    let chunks = Chunks { events: import.events.filter(is_missing) };
    let mut appends = stream::iter(chunks.map(|chunk| append(system, chunk))).buffered(IN_FLIGHT);
    let mut n_done = 0_u64;
    while let Some(n_appended) = appends.next().await {
        n_done += n_appended? as u64;
        steps.at(n_done, import.n_events);
    }
    drop(appends);
    steps.finish(&format!("{n_done} events, each on disk before it counts"));

    steps.begin("fold", 0);
    system.features.folded().await?;
    steps.begin("archive", 0);
    system.features.archiver.flush().await.context("the archive stopped")?;
    system.gateway.retrieval.refresh_lists(Timestamp::now()).await?;
    steps.finish("Parquet");
    Ok(())
}

async fn append(system: &System, events: Vec<Event>) -> Result<usize> {
    let n_events = events.len();
    let report = system.ingest.service.accept(events, Origin::Import).await?;
    if let Some(rejection) = report.rejected.first() {
        bail!("event {} of a batch was refused: {}", rejection.index, rejection.detail);
    }
    Ok(n_events)
}

/// Groups of [`CHUNK`].
struct Chunks<E> {
    events: E,
}

impl<E: Iterator<Item = Event>> Iterator for Chunks<E> {
    type Item = Vec<Event>;

    fn next(&mut self) -> Option<Vec<Event>> {
        let chunk: Vec<Event> = self.events.by_ref().take(CHUNK).collect();
        (!chunk.is_empty()).then_some(chunk)
    }
}

#[cfg(test)]
mod tests;
