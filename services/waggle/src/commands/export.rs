//! `waggle export`: what is stored, for other programs and other installations. Works beside running services, except on
//! the embedded default, whose folder one process works on alone.

mod output;

use std::{
    collections::{BTreeMap, HashSet},
    io::{self, Write as _},
    sync::Arc,
};

use anyhow::{Context, Result};
use serde::Serialize;
use waggle_features::{Admission, person::MAX_ALIASES};
use waggle_model::{Event, EventBody, Impression, Timestamp, UserChange, UserId, wire::WireEvent};
use waggle_stores::{ArchiveReader, AsOf, Database, Position, Topic};

use self::output::Output;
use crate::{
    cli::{ExportArgs, ExportCommand},
    config::Config,
    import::files::{MergedSession, UserLine},
    progress::Steps,
    roles::features::archiver,
    stores::Stores,
};

/// Rows of the database read at once.
const PAGE: usize = 1_000;

pub(super) async fn run(config: &Config, command: ExportCommand) -> Result<()> {
    let stores = Stores::for_command(config)?;
    let exported = match &command {
        ExportCommand::Items(args) => write(args, async |export| items(&stores, export).await).await,
        ExportCommand::Users(args) => write(args, async |export| users(&stores, config, export).await).await,
        ExportCommand::Events(args) => {
            write(args, async |export| events(&stores, config, export).await).await
        }
    };
    stores.close().await?;
    exported
}

/// Lines on their way out.
pub(crate) struct Export {
    output: Output,
    /// Shown on a terminal only: whoever pipes an export wants its lines.
    steps: Option<Steps>,
    n_lines: u64,
}

async fn write(args: &ExportArgs, produce: impl AsyncFnOnce(&mut Export) -> Result<()>) -> Result<()> {
    use std::io::IsTerminal as _;
    let output = Output::open(args.output.as_deref())?;
    let steps = io::stderr().is_terminal().then(Steps::new);
    let mut export = Export { output, steps, n_lines: 0 };
    let produced = produce(&mut export).await.and_then(|()| export.finish());
    match produced {
        // Whoever reads has seen enough, `head` for example.
        Err(error) if is_broken_pipe(&error) => Ok(()),
        produced => produced,
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

impl Export {
    fn begin(&self, what: &str, total: u64) {
        if let Some(steps) = &self.steps {
            steps.begin(what, total);
        }
    }

    fn line(&mut self, line: &impl Serialize) -> Result<()> {
        serde_json::to_writer(&mut self.output, line).map_err(io::Error::from)?;
        self.output.write_all(b"\n")?;
        self.n_lines += 1;
        if let Some(steps) = self.steps.as_ref().filter(|_| self.n_lines.is_multiple_of(1_000)) {
            steps.at(self.n_lines, 0);
        }
        Ok(())
    }

    fn finish(self) -> Result<()> {
        self.output.finish()?;
        if let Some(steps) = &self.steps {
            steps.finish(&format!("{} lines", self.n_lines));
        }
        Ok(())
    }
}

async fn items(stores: &Stores, export: &mut Export) -> Result<()> {
    let database = stores.database().await?;
    export.begin("items", database.count_items().await?);
    let mut after = None;
    loop {
        let page = database.list_items(None, after.as_ref(), PAGE).await?;
        for item in &page {
            export.line(item)?;
        }
        match page.last() {
            Some(last) => after = Some(last.item_id.clone()),
            None => return Ok(()),
        }
    }
}

/// Whom the shop told of by id, then those of whom only merges are known.
async fn users(stores: &Stores, config: &Config, export: &mut Export) -> Result<()> {
    let database = stores.database().await?;
    export.begin("merges", 0);
    let (reader, as_of) = whole_archive(stores, config, &database).await?;
    let mut sessions =
        Examined::of(&reader, &as_of, stores.log().await?.n_partitions(Topic::Events)).await?.sessions;
    export.begin("users", database.count_users().await?);
    let mut after = None;
    loop {
        let page = database.list_users(after.as_ref(), PAGE).await?;
        for user in &page {
            export.line(&UserLine {
                user_id: user.user_id.clone(),
                properties: Some(user.properties.clone()),
                sessions: sessions.remove(&user.user_id).unwrap_or_default(),
            })?;
        }
        match page.last() {
            Some(last) => after = Some(last.user_id.clone()),
            None => break,
        }
    }
    for (user_id, sessions) in sessions {
        export.line(&UserLine { user_id, properties: None, sessions })?;
    }
    Ok(())
}

/// The archive is read twice: in the order of the log to see what counts, then in the order of time.
async fn events(stores: &Stores, config: &Config, export: &mut Export) -> Result<()> {
    let database = stores.database().await?;
    export.begin("what counts", 0);
    let (reader, as_of) = whole_archive(stores, config, &database).await?;
    let Examined { refused, n_events, .. } =
        Examined::of(&reader, &as_of, stores.log().await?.n_partitions(Topic::Events)).await?;
    export.begin("events", n_events);
    let always = Timestamp::from_millis(i64::MIN)..Timestamp::from_millis(i64::MAX);
    let mut archived = reader.events_as_of(always, &as_of).await?;
    while let Some(batch) = archived.next_batch().await? {
        let admitted = batch.iter().filter(|(position, _)| !refused.contains(position));
        for event in admitted.filter_map(|(_, event)| WireEvent::of(event)) {
            export.line(&event)?;
        }
    }
    Ok(())
}

/// The archive of events, brought up to date, and up to where it reaches.
async fn whole_archive(
    stores: &Stores,
    config: &Config,
    database: &Arc<Database>,
) -> Result<(ArchiveReader, AsOf)> {
    let archived = archiver(stores, config, "export").await?.flush().await;
    archived.context("the archive cannot be brought up to date")?;
    let reader = ArchiveReader::new(stores.artifacts().await?.clone(), database.clone(), Topic::Events);
    let as_of = reader.now().await?;
    Ok((reader, as_of))
}

/// What shows only in the order of the log.
#[derive(Default)]
struct Examined {
    /// Repetitions, and what the erased did.
    refused: HashSet<Position>,
    /// Of those that count.
    n_events: u64,
    /// The newest sessions of each user.
    sessions: BTreeMap<UserId, Vec<MergedSession>>,
}

impl Examined {
    /// - `n_partitions`: of the log's events.
    async fn of(reader: &ArchiveReader, as_of: &AsOf, n_partitions: u32) -> Result<Self> {
        let (mut examined, mut admission) = (Self::default(), Admission::new(n_partitions));
        let look = |position: Position, event: Event| {
            if !admission.admits(position.partition, position.offset, &event) {
                examined.refused.insert(position);
                return;
            }
            examined.n_events += 1;
            let (timestamp, Some(user_id)) = (event.timestamp, event.person.user_id) else { return };
            match (event.body, event.person.session_id) {
                (EventBody::Erasure, _) => drop(examined.sessions.remove(&user_id)),
                (EventBody::Merge, Some(session_id)) => {
                    let merged = MergedSession { session_id, timestamp: Some(timestamp) };
                    add(examined.sessions.entry(user_id).or_default(), merged);
                }
                _ => {}
            }
        };
        reader.each_in_log_order(as_of, stripped, look).await?;
        Ok(examined)
    }
}

/// As a person's state keeps them (`PersonState::add_alias`).
fn add(sessions: &mut Vec<MergedSession>, merged: MergedSession) {
    sessions.retain(|known| known.session_id != merged.session_id);
    sessions.push(merged);
    sessions.drain(..sessions.len().saturating_sub(MAX_ALIASES));
}

/// The event without what takes room and decides nothing about whether it counts.
fn stripped(event: Event) -> Event {
    let body = match event.body {
        EventBody::Impression(seen) => EventBody::Impression(Impression { items: Vec::new(), ..seen }),
        EventBody::UserChange(_) => EventBody::UserChange(UserChange::default()),
        body => body,
    };
    Event { context: serde_json::Map::new(), body, ..event }
}
