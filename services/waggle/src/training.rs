//! Archive → training → evaluation → gate → registry.

use std::{collections::HashSet, hash::Hash, sync::Arc};

use anyhow::{Context, Result};
use serde_json::Map;
use waggle_features::Admission;
use waggle_features_role::Archiver;
use waggle_jobs::{TrainParams, TrainedSnapshot, TrainingInput, train};
use waggle_model::{Event, EventBody, ItemId, SessionId, Timestamp, UserId};
use waggle_models::Snapshot;
use waggle_stores::{ArchiveReader, Artifacts, Database, Position, Topic, background};

use crate::{
    config::Config,
    evaluation::report_text,
    progress::{Steps, say},
    snapshots::publish,
};

/// What training reads and where its result goes.
pub(crate) struct Training<'a> {
    pub(crate) archiver: &'a Archiver,
    pub(crate) artifacts: &'a Artifacts,
    pub(crate) database: &'a Arc<Database>,
    /// Nothing serves yet.
    pub(crate) is_first: bool,
    pub(crate) params: TrainParams,
}

/// What the configuration says of training; candidates are limited as they are where it serves.
pub(crate) fn train_params(config: &Config, seed: u64) -> TrainParams {
    let mut params = TrainParams { limits: config.retrieval.limits.clone(), seed, ..TrainParams::default() };
    params.models.als.n_factors = config.training.n_factors;
    params
}

/// Trains on everything that is archived and publishes the result. A snapshot that passes the gate is promoted, if the
/// caller wants that: whoever serves follows the registry. One that fails is listed and never serves, unless nothing serves yet: then it is still the better
/// answer to whoever has a history.
///
/// # Errors
/// If the archive cannot be read, training fails, or the result cannot be stored.
pub(crate) async fn train_and_publish(
    training: &Training<'_>,
    steps: &Arc<Steps>,
    promote: bool,
) -> Result<Snapshot> {
    steps.begin("read the archive", 0);
    training.archiver.flush().await.context("the archive cannot be brought up to date")?;
    let input = read_archive(training).await?;
    steps.finish(&format!("{} events, {} items", input.events.len(), input.items.len()));

    let trained = run(input, training.params.clone(), steps.clone()).await?;
    if let Some(evaluation) = &trained.evaluation {
        say(&indented(&report_text(evaluation)));
    }
    for note in &trained.notes {
        say(&format!("  ! {note}"));
    }

    steps.begin("publish", 0);
    let snapshot: Snapshot = trained.snapshot;
    let is_refused = !trained.gate.is_passed && !training.is_first;
    let manifest = publish(training.artifacts, training.database, &snapshot, is_refused).await?;
    if promote && !is_refused {
        training.database.promote_snapshot(&manifest.version, Timestamp::now()).await?;
    }
    let verdict = match (trained.gate.is_passed, training.is_first) {
        (true, _) => "passed the gate",
        (false, true) => "failed the gate, and serves because there is no other",
        (false, false) => "refused by the gate",
    };
    steps.finish(&format!("snapshot {}, {verdict}: {}", manifest.version, trained.gate.reason));
    Ok(Snapshot { manifest, ..snapshot })
}

async fn run(input: TrainingInput, params: TrainParams, steps: Arc<Steps>) -> Result<TrainedSnapshot> {
    let job = move || -> Result<TrainedSnapshot> {
        // Threads of its own: what the allocator holds ready for a thread goes when the thread does, and of the process's
        // own it would stay for good.
        let threads = rayon::ThreadPoolBuilder::new().start_handler(|_| background::stand_back()).build()?;
        Ok(threads.install(|| train(&input, &params, Timestamp::now(), &*steps))?)
    };
    background::run(job).await.context("training did not end well")?
}

/// Everything archived, by time, and the catalogue as it is.
async fn read_archive(training: &Training<'_>) -> Result<TrainingInput> {
    let n_partitions = training.archiver.n_partitions();
    let events = archived_events(training.artifacts, training.database, n_partitions).await?;
    Ok(TrainingInput { events, items: training.database.all_items().await? })
}

/// The archive's events that count, by time; `n_partitions` is of the log's events.
pub(crate) async fn archived_events(
    artifacts: &Artifacts,
    database: &Arc<Database>,
    n_partitions: u32,
) -> Result<Vec<Event>> {
    let reader = ArchiveReader::new(artifacts.clone(), database.clone(), Topic::Events);
    let always = Timestamp::from_millis(i64::MIN)..Timestamp::from_millis(i64::MAX);
    let mut archived = reader.events(always).await?;
    let (mut positions, mut events, mut slimmer) = (Vec::new(), Vec::new(), Slimmer::default());
    while let Some(batch) = archived.next_batch().await? {
        for (position, mut event) in batch {
            slimmer.slim(&mut event);
            positions.push(position);
            events.push(event);
        }
    }
    Ok(admitted(&positions, events, n_partitions))
}

/// Makes events take a third of the memory, since training holds all of them: what it does not ask for is left out, and
/// the ids of events of one person or item are one string.
#[derive(Default)]
struct Slimmer {
    users: HashSet<UserId>,
    sessions: HashSet<SessionId>,
    items: HashSet<ItemId>,
}

impl Slimmer {
    fn slim(&mut self, event: &mut Event) {
        event.context = Map::new();
        event.person.user_id.iter_mut().for_each(|id| shared(&mut self.users, id));
        event.person.session_id.iter_mut().for_each(|id| shared(&mut self.sessions, id));
        if let EventBody::Interaction(interaction) = &mut event.body {
            shared(&mut self.items, &mut interaction.item_id);
            interaction.currency = None;
        }
    }
}

/// Puts the id that came first in the place of an equal one.
fn shared<T: Clone + Eq + Hash>(known: &mut HashSet<T>, id: &mut T) {
    match known.get(id) {
        Some(first) => id.clone_from(first),
        None => _ = known.insert(id.clone()),
    }
}

/// What the online fold took, too: nothing that does not belong there, no duplicates, nothing of an erased person. In and
/// out by time; `positions` are those of the events.
fn admitted(positions: &[Position], mut events: Vec<Event>, n_partitions: u32) -> Vec<Event> {
    let mut by_offset: Vec<usize> = (0..events.len()).collect();
    by_offset.sort_unstable_by_key(|place| positions[*place]);
    let mut admission = Admission::new(n_partitions);
    let mut is_admitted = vec![false; events.len()];
    for place in by_offset {
        let Position { partition, offset } = positions[place];
        is_admitted[place] = admission.admits(partition, offset, &events[place]);
    }
    let mut is_admitted = is_admitted.into_iter();
    events.retain_mut(|event| {
        // It has told duplicates, and nobody asks for it again.
        event.event_id = None;
        is_admitted.next().unwrap_or(false)
    });
    events
}

/// Four spaces under the step it belongs to.
pub(crate) fn indented(text: &str) -> String {
    text.lines().map(|line| format!("      {line}\n")).collect::<String>().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use waggle_model::{EventId, Interaction, InteractionKind, Person};

    use super::*;

    #[test]
    fn a_slim_event_says_what_training_asks_and_shares_its_ids() {
        let event = || {
            let mut act = Interaction::new(InteractionKind::Purchase, ItemId::try_new("lamp").unwrap());
            (act.price, act.order_id) = (Some(3.0), Some("o-1".to_owned()));
            Event {
                event_id: Some(EventId::try_new("e-1").unwrap()),
                timestamp: Timestamp::from_millis(7),
                person: Person::user(UserId::try_new("anna").unwrap()),
                body: EventBody::Interaction(act),
                context: Map::from_iter([("original_time".to_owned(), json!("2010"))]),
            }
        };
        let (mut slimmer, mut slim) = (Slimmer::default(), [event(), event()]);
        slim.iter_mut().for_each(|event| slimmer.slim(event));
        assert_eq!(slim[1], Event { context: Map::new(), ..event() });
        let places = slim.each_ref().map(|event| match (&event.body, &event.person.user_id) {
            (EventBody::Interaction(act), Some(user)) => {
                (act.item_id.as_str().as_ptr(), user.as_str().as_ptr())
            }
            other => panic!("{other:?}"),
        });
        assert_eq!(places[0], places[1]);
    }
}
