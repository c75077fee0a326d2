//! The examination of an installation: every store is asked, and what it holds is counted.
//!
//! Each [`Finding`] says what was looked at and what came of it. Nothing is changed but one small artifact that is
//! written, read back and removed again.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use serde::Serialize;
use waggle_filter::Misfits;
use waggle_model::Timestamp;
use waggle_stores::{ALL_SLOTS, EventLog, StateKind, StateStore, Topic};

use crate::{config::Config, snapshots, stores::Stores};

/// Lag that needs no word: what the archiver leaves for the next batch by design is not counted here.
const USUAL_LAG_RECORDS: u64 = 10_000;
/// A store that takes longer for its smallest answer is worth a word.
const SLOW: Duration = Duration::from_millis(100);
/// Items looked at together.
const PAGE: usize = 1_000;
const PROBE: &str = "doctor/probe";

/// What was looked at, and what came of it.
#[derive(Debug, Serialize)]
pub(crate) struct Finding {
    pub(crate) part: &'static str,
    pub(crate) verdict: Verdict,
    pub(crate) detail: String,
    /// Figures of the part, by name.
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    pub(crate) figures: serde_json::Map<String, serde_json::Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    Ok,
    /// Works, and somebody should know.
    Warning,
    Failed,
}

impl Verdict {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "FAILED",
        }
    }
}

/// Looks at every part; one that fails does not keep the others from being looked at.
pub(crate) async fn examine(config: &Config, stores: &Stores) -> Vec<Finding> {
    vec![
        configuration(config),
        finding("log", log(stores).await),
        finding("online state", state(stores).await),
        finding("fold", fold(stores).await),
        finding("database", database(stores).await),
        finding("catalogue", catalogue(config, stores).await),
        finding("artifacts", artifacts(stores).await),
        finding("archive", archive(stores).await),
        finding("snapshot", snapshot(stores).await),
        finding("dead letters", dead_letters(stores).await),
    ]
}

/// What a part came to: a sentence, figures, and whether somebody should know.
struct Seen {
    verdict: Verdict,
    detail: String,
    figures: Vec<(&'static str, serde_json::Value)>,
}

impl Seen {
    fn ok(detail: impl Into<String>) -> Self {
        Self { verdict: Verdict::Ok, detail: detail.into(), figures: Vec::new() }
    }

    fn with(mut self, name: &'static str, value: impl Into<serde_json::Value>) -> Self {
        self.figures.push((name, value.into()));
        self
    }

    fn warn_if(mut self, is_worth_it: bool, why: &str) -> Self {
        if is_worth_it {
            self.verdict = self.verdict.max(Verdict::Warning);
            self.detail = format!("{}; {why}", self.detail);
        }
        self
    }
}

fn finding(part: &'static str, seen: Result<Seen>) -> Finding {
    match seen {
        Ok(Seen { verdict, detail, figures }) => {
            let figures = figures.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            Finding { part, verdict, detail, figures }
        }
        Err(error) => Finding {
            part,
            verdict: Verdict::Failed,
            detail: crate::secret::masked(&format!("{error:#}")),
            figures: serde_json::Map::new(),
        },
    }
}

fn configuration(config: &Config) -> Finding {
    let bind = config.server.bind;
    let seen = Seen::ok(format!(
        "log {:?}, state {:?}, {} partitions",
        config.log.kind, config.state.kind, config.log.n_partitions
    ))
    .warn_if(
        !bind.is_loopback(),
        &format!(
            "server.bind is {bind}: whoever reaches it may read and write everything, there are no keys yet"
        ),
    );
    finding("configuration", Ok(seen))
}

async fn log(stores: &Stores) -> Result<Seen> {
    let log = stores.log().await?;
    let started = Instant::now();
    let mut n_records = Vec::new();
    for topic in Topic::ALL {
        n_records.push((topic.as_str(), held(&*log, topic).await?));
    }
    let took = started.elapsed();
    let detail = n_records.iter().map(|(topic, n)| format!("{n} {topic}")).collect::<Vec<_>>().join(", ");
    let seen = n_records.into_iter().fold(Seen::ok(detail), |seen, (topic, n)| seen.with(topic, n));
    Ok(seen.warn_if(took > SLOW * 4, &format!("asking for the ends of all partitions took {took:.0?}")))
}

/// Records that the topic still holds.
async fn held(log: &dyn EventLog, topic: Topic) -> Result<u64> {
    let mut n_records = 0;
    for partition in 0..log.n_partitions(topic) {
        n_records += log.end(topic, partition).await?.saturating_sub(log.start(topic, partition).await?);
    }
    Ok(n_records)
}

/// Blobs of one kind.
#[derive(Default)]
struct Weight {
    n: u64,
    size_bytes: u64,
    largest_bytes: u64,
}

impl Weight {
    fn mean(&self) -> f64 {
        if self.n == 0 { 0.0 } else { self.size_bytes as f64 / self.n as f64 }
    }
}

async fn state(stores: &Stores) -> Result<Seen> {
    let (state, n_partitions) = (stores.state().await?, stores.log().await?.n_partitions(Topic::Events));
    let started = Instant::now();
    state.applied(0).await?;
    let took = started.elapsed();
    let persons = weigh(&*state, n_partitions, StateKind::Person).await?;
    let items = weigh(&*state, n_partitions, StateKind::Item).await?;
    let fold = weigh(&*state, n_partitions, StateKind::Fold).await?;
    let detail = format!(
        "{} persons of {:.0} bytes (largest {}), {} partial counters of items of {:.0} bytes (largest {})",
        persons.n,
        persons.mean(),
        persons.largest_bytes,
        items.n,
        items.mean(),
        items.largest_bytes
    );
    Ok(Seen::ok(detail)
        .with("persons", persons.n)
        .with("bytes_per_person", persons.mean())
        .with("largest_person_bytes", persons.largest_bytes)
        .with("items", items.n)
        .with("bytes_per_item", items.mean())
        .with("largest_item_bytes", items.largest_bytes)
        .with("total_bytes", persons.size_bytes + items.size_bytes + fold.size_bytes)
        .warn_if(took > SLOW, &format!("the smallest answer took {took:.0?}")))
}

/// A slot at a time, so that a large state is never in memory whole.
async fn weigh(state: &dyn StateStore, n_partitions: u32, kind: StateKind) -> Result<Weight> {
    let mut weight = Weight::default();
    for partition in 0..n_partitions {
        for slot in ALL_SLOTS {
            for (_, blob) in state.scan(partition, kind, slot..=slot).await? {
                let size_bytes = blob.len() as u64;
                weight.n += 1;
                weight.size_bytes += size_bytes;
                weight.largest_bytes = weight.largest_bytes.max(size_bytes);
            }
        }
    }
    Ok(weight)
}

async fn fold(stores: &Stores) -> Result<Seen> {
    let (log, state) = (stores.log().await?, stores.state().await?);
    let (mut behind, mut newest) = (0, Timestamp::default());
    for partition in 0..log.n_partitions(Topic::Events) {
        let applied = state.applied(partition).await?;
        let (start, end) =
            (log.start(Topic::Events, partition).await?, log.end(Topic::Events, partition).await?);
        ensure!(
            applied.offset <= end,
            "the state of partition {partition} is at offset {}, beyond the log's end at {end}: they belong to two \
             installations, or the log was lost",
            applied.offset
        );
        ensure!(
            applied.offset >= start,
            "the state of partition {partition} is at offset {}, and the log begins at {start}: what lies between was \
             never folded",
            applied.offset
        );
        behind += end - applied.offset;
        newest = newest.max(applied.time);
    }
    Ok(Seen::ok(format!("{behind} records behind the log, newest event {newest}"))
        .with("lag_records", behind)
        .with("newest_event", newest.to_string())
        .warn_if(behind > USUAL_LAG_RECORDS, "answers are as old as that; is a features role running?"))
}

async fn database(stores: &Stores) -> Result<Seen> {
    let database = stores.database().await?;
    let started = Instant::now();
    let (n_items, n_users) = (database.count_items().await?, database.count_users().await?);
    let took = started.elapsed();
    Ok(Seen::ok(format!("{n_items} items, {n_users} users"))
        .with("items", n_items)
        .with("users", n_users)
        .warn_if(n_items == 0, "without a catalogue every list is empty: PUT /v1/items/{id}, or import")
        .warn_if(took > SLOW * 4, &format!("counting took {took:.0?}")))
}

/// Whether the items fit what is declared of their properties.
async fn catalogue(config: &Config, stores: &Stores) -> Result<Seen> {
    let declared = config.catalog.schema()?;
    let n_declared = config.catalog.properties.len();
    if n_declared == 0 {
        return Ok(Seen::ok("types of properties are learned, none is declared"));
    }
    let database = stores.database().await?;
    let (mut misfits, mut after) = (Misfits::of(&declared), None);
    loop {
        let page = database.list_items(None, after.as_ref(), PAGE).await?;
        page.iter().for_each(|item| misfits.look_at(item));
        match page.last() {
            Some(last) => after = Some(last.item_id.clone()),
            None => break,
        }
    }
    let told: Vec<String> = misfits.told().collect();
    let why = format!("{}; filters take these values for absent", told.join("; "));
    Ok(Seen::ok(format!("{n_declared} properties declared"))
        .with("declared", n_declared)
        .with("misfitting_properties", told.len())
        .warn_if(!told.is_empty(), &why))
}

async fn artifacts(stores: &Stores) -> Result<Seen> {
    let artifacts = stores.artifacts().await?;
    let content = Bytes::from(Timestamp::now().to_string());
    artifacts.put(PROBE, content.clone()).await.context("an artifact cannot be written")?;
    let read = artifacts.get(PROBE).await.context("an artifact cannot be read")?;
    artifacts.delete(PROBE).await.context("an artifact cannot be removed")?;
    ensure!(read == content, "an artifact came back changed");
    let size_bytes: u64 = artifacts.list("").await?.iter().map(|artifact| artifact.size_bytes).sum();
    let (size_mb, place) = (size_bytes as f64 / 1e6, artifacts.place());
    Ok(Seen::ok(format!("writable, {size_mb:.1} MB in {place}")).with("size_bytes", size_bytes))
}

async fn archive(stores: &Stores) -> Result<Seen> {
    let (log, database) = (stores.log().await?, stores.database().await?);
    let (mut behind, mut n_files, mut n_rows) = (0, 0, 0);
    for topic in [Topic::Events, Topic::Answers] {
        for partition in 0..log.n_partitions(topic) {
            let offset = database.archive_offset(topic, partition).await?;
            let start = log.start(topic, partition).await?;
            ensure!(
                offset >= start,
                "{} partition {partition} is archived up to offset {offset}, and the log begins at {start}: what lies \
                 between is lost to training",
                topic.as_str()
            );
            behind += log.end(topic, partition).await?.saturating_sub(offset);
        }
        let always = Timestamp::from_millis(i64::MIN)..Timestamp::from_millis(i64::MAX);
        for file in database.archive_files(topic, always).await? {
            n_files += 1;
            n_rows += file.n_rows;
        }
    }
    Ok(Seen::ok(format!("{n_rows} rows in {n_files} files, {behind} records behind the log"))
        .with("rows", n_rows)
        .with("files", n_files)
        .with("lag_records", behind))
}

async fn snapshot(stores: &Stores) -> Result<Seen> {
    let (database, artifacts) = (stores.database().await?, stores.artifacts().await?);
    let Some(current) = database.current_snapshot().await? else {
        return Ok(Seen::ok("none is promoted").warn_if(true, "nothing is trained yet: waggle train"));
    };
    let version = current.version;
    snapshots::load(artifacts, &version).await.with_context(|| format!("snapshot {version} is damaged"))?;
    let age = Timestamp::now().since(current.created_at);
    let days = age.as_secs_f64() / 86_400.0;
    Ok(Seen::ok(format!("{version} serves and is whole, {days:.1} days old"))
        .with("version", version.to_string())
        .with("age_s", age.as_secs())
        .warn_if(days > 14.0, "people and catalogue have moved on: waggle train"))
}

async fn dead_letters(stores: &Stores) -> Result<Seen> {
    let n_letters = held(&*stores.log().await?, Topic::DeadLetters).await?;
    Ok(Seen::ok(format!("{n_letters} kept"))
        .with("kept", n_letters)
        .warn_if(n_letters > 0, "waggle dead-letters list says why"))
}
