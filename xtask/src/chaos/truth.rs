//! What was acknowledged, by person and event id, in a form that fits a line.
//!
//! Every event of a source follows from its number: its id, its person, its item. A source sends its events in the order of
//! their numbers and goes on only when they are acknowledged, so "source 3 is acknowledged up to 1,200" says it all, and
//! that is what the journal holds. Whatever a killed driver had sent beyond that is sent again under the same ids.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::N_PARTITIONS;

/// Clients that post as fast as the rate allows.
pub(super) const N_CLIENTS: u32 = 12;
/// Sources of events: the clients, then the canaries.
pub(super) const N_SOURCES: u32 = N_CLIENTS + N_PARTITIONS;
/// Every event of a person is about another item, of which the person's state holds more than these: so the number of
/// distinct items says which events were counted, and what the number of events is above it was counted again.
pub(super) const EVENTS_PER_PERSON: u64 = 100;
/// A client's events go round among so many persons.
const PERSONS_AT_ONCE: u64 = 10;

const PLAN: &str = "plan.json";
const ACKNOWLEDGED: &str = "acknowledged";
const KILLS: &str = "kills";

/// What a run keeps over an interruption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// Begins every name of this run.
    pub(super) run: String,
    pub(super) seed: u64,
}

impl Plan {
    /// A new run; what is left of the last one is removed, its logs too.
    pub(super) fn begin(folder: &Path, seed: u64) -> Result<Self> {
        for name in ["data", "logs"] {
            let path = folder.join(name);
            if path.is_dir() {
                fs::remove_dir_all(&path).with_context(|| format!("cannot remove {}", path.display()))?;
            }
        }
        for name in [ACKNOWLEDGED, KILLS] {
            File::create(folder.join(name))?;
        }
        let plan = Self { run: format!("chaos{:08x}", rand::random::<u32>()), seed };
        fs::write(folder.join(PLAN), json!({"run": plan.run, "seed": seed}).to_string())?;
        Ok(plan)
    }

    pub(super) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(PLAN);
        let text = fs::read_to_string(&path).context("there is no run to go on with: leave out --resume")?;
        let plan: Value =
            serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))?;
        let run = plan["run"].as_str().context("the plan names no run")?.to_owned();
        Ok(Self { run, seed: plan["seed"].as_u64().context("the plan has no seed")? })
    }
}

/// Who an event is of and what it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) person: Person,
    /// Place among the person's events, from 0.
    pub(super) nth: u64,
    body: Value,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Person {
    pub(super) name: String,
    /// Else a session.
    pub(super) is_user: bool,
}

impl Person {
    pub(super) fn field(&self) -> &'static str {
        if self.is_user { "user_id" } else { "session_id" }
    }
}

impl Event {
    pub(super) fn of(run: &str, source: u32, n: u64) -> Self {
        const KINDS: [&str; 4] = ["view", "click", "cart", "purchase"];
        let (number, nth) = person_of(source, n);
        let person = Person { name: name_of(run, source, number), is_user: number.is_multiple_of(2) };
        let body = json!({
            "event_id": format!("{run}-{source}-{n}"),
            "type": KINDS[(n % 4) as usize],
            person.field(): person.name,
            "item_id": format!("item-{nth}"),
        });
        Self { person, nth, body }
    }

    pub(super) fn body(&self) -> &Value {
        &self.body
    }
}

/// The number of the person that a source's `n`th event is of, and its place among theirs.
fn person_of(source: u32, n: u64) -> (u64, u64) {
    let at_once = if source < N_CLIENTS { PERSONS_AT_ONCE } else { 1 };
    let block = EVENTS_PER_PERSON * at_once;
    (n / block * at_once + n % at_once, n % block / at_once)
}

/// A canary's persons all fall into the canary's partition.
fn name_of(run: &str, source: u32, person: u64) -> String {
    let name = format!("{run}-{source}-{person}");
    match source.checked_sub(N_CLIENTS) {
        None => name,
        Some(partition) => (0..)
            .map(|variant| format!("{name}-{variant}"))
            .find(|name| partition_of(name.as_bytes()) == partition)
            .expect("one of endless names falls into every partition"),
    }
}

/// The source and number in an event id of this run.
pub(super) fn parse_event_id(run: &str, id: &str) -> Option<(u32, u64)> {
    let (source, n) = id.strip_prefix(run)?.strip_prefix('-')?.split_once('-')?;
    Some((source.parse().ok().filter(|source| *source < N_SOURCES)?, n.parse().ok()?))
}

/// Where every Kafka client puts a key: murmur2, its sign cut off. Written apart from the program's own on purpose: the
/// truth is not asked of what it is held against.
pub(super) fn partition_of(key: &[u8]) -> u32 {
    (murmur2(key) & 0x7fff_ffff) % N_PARTITIONS
}

/// Austin Appleby's `MurmurHash2` (32 bits) with the seed of Kafka's Java client.
fn murmur2(key: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ key.len() as u32;
    let (words, tail) = key.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        for (place, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * place);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

/// The truth and the kills, on disk.
pub(super) struct Journal {
    acknowledged: [AtomicU64; N_SOURCES as usize],
    truth: Mutex<File>,
    /// Kills before an interruption, as they were written.
    earlier: Vec<String>,
    n_kills: AtomicU64,
    kills: Mutex<File>,
}

/// Words of the line that a kill leaves.
pub(super) const INSIDE: &str = "inside";
const BETWEEN: &str = "between";

impl Journal {
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let append = |name: &str| -> Result<(String, File)> {
            let path = folder.join(name);
            let mut text = fs::read_to_string(&path).unwrap_or_default();
            let file = OpenOptions::new().create(true).append(true).open(&path)?;
            // A line that was cut off in the middle says nothing, or something else than was meant.
            text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
            file.set_len(text.len() as u64)?;
            Ok((text, file))
        };
        let (truth, truth_file) = append(ACKNOWLEDGED)?;
        let (kills, kills_file) = append(KILLS)?;
        let journal = Self {
            acknowledged: Default::default(),
            truth: Mutex::new(truth_file),
            n_kills: AtomicU64::new(kills.lines().count() as u64),
            earlier: kills.lines().map(ToOwned::to_owned).collect(),
            kills: Mutex::new(kills_file),
        };
        for line in truth.lines() {
            let Some((source, n)) = line.split_once(' ') else { continue };
            let (Ok(source), Ok(n)) = (source.parse::<usize>(), n.parse()) else { continue };
            if let Some(slot) = journal.acknowledged.get(source) {
                slot.fetch_max(n, Ordering::SeqCst);
            }
        }
        Ok(journal)
    }

    /// Events of a source that are acknowledged: those numbered below this.
    pub(super) fn acknowledged(&self, source: u32) -> u64 {
        self.acknowledged[source as usize].load(Ordering::SeqCst)
    }

    pub(super) fn n_acknowledged(&self) -> u64 {
        (0..N_SOURCES).map(|source| self.acknowledged(source)).sum()
    }

    /// All events of the source below `n` are acknowledged now.
    pub(super) fn acknowledge(&self, source: u32, n: u64) -> Result<()> {
        let mut file = self.truth.lock().expect("no writer of the journal panics");
        file.write_all(format!("{source} {n}\n").as_bytes()).context("the truth cannot be written")?;
        self.acknowledged[source as usize].store(n, Ordering::SeqCst);
        Ok(())
    }

    pub(super) fn n_kills(&self) -> u64 {
        self.n_kills.load(Ordering::SeqCst)
    }

    /// Where ([`INSIDE`] a batch or not) and who, of each kill before an interruption.
    pub(super) fn earlier_kills(&self) -> impl Iterator<Item = (&str, &str)> {
        self.earlier.iter().filter_map(|line| line.split_once(' '))
    }

    pub(super) fn killed(&self, victim: &str, is_inside_a_batch: bool) -> Result<()> {
        let mut file = self.kills.lock().expect("no writer of the journal panics");
        let place = if is_inside_a_batch { INSIDE } else { BETWEEN };
        file.write_all(format!("{place} {victim}\n").as_bytes()).context("the kills cannot be written")?;
        self.n_kills.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;

    #[test]
    fn every_event_of_a_person_is_about_another_item() {
        for source in [0, N_CLIENTS] {
            let mut items: HashMap<Person, HashSet<u64>> = HashMap::new();
            for n in 0..3_000 {
                let event = Event::of("run", source, n);
                assert!(
                    items.entry(event.person).or_default().insert(event.nth),
                    "event {n} of source {source}"
                );
            }
            assert!(items.values().all(|items| items.len() as u64 == EVENTS_PER_PERSON));
            assert_eq!(items.len() as u64, 3_000 / EVENTS_PER_PERSON);
        }
    }

    #[test]
    fn an_event_id_says_its_source_and_number() {
        let event = Event::of("chaos1", 2, 77);
        assert_eq!(parse_event_id("chaos1", event.body()["event_id"].as_str().unwrap()), Some((2, 77)));
        for foreign in ["chaos2-2-77", "chaos1-2", "chaos1-99-1", "chaos1-x-1", "chaos1-2-77x", ""] {
            assert_eq!(parse_event_id("chaos1", foreign), None, "{foreign}");
        }
    }

    #[test]
    fn keys_hash_as_in_kafkas_own_test() {
        // From the test of `org.apache.kafka.common.utils.Utils.murmur2`.
        for (key, expected) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ] {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), expected, "{key}");
        }
        assert_eq!(murmur2(b"abc").cast_signed(), 479_470_107);
    }

    #[test]
    fn a_canarys_persons_fall_into_its_partition() {
        for partition in 0..N_PARTITIONS {
            for n in [0, 100, 5_000] {
                let event = Event::of("run", N_CLIENTS + partition, n);
                assert_eq!(partition_of(event.person.name.as_bytes()), partition);
            }
        }
    }

    #[test]
    fn a_journal_goes_on_after_a_line_that_was_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let plan = Plan::begin(dir.path(), 7).unwrap();
        assert_eq!(Plan::read(dir.path()).unwrap(), plan);
        let journal = Journal::open(dir.path()).unwrap();
        journal.acknowledge(0, 20).unwrap();
        journal.acknowledge(3, 5).unwrap();
        journal.killed("features", true).unwrap();
        drop(journal);
        // The driver was killed while it wrote that source 0 is acknowledged up to 2,034.
        let mut file = OpenOptions::new().append(true).open(dir.path().join(ACKNOWLEDGED)).unwrap();
        file.write_all(b"0 203").unwrap();

        let journal = Journal::open(dir.path()).unwrap();
        assert_eq!((journal.acknowledged(0), journal.acknowledged(3)), (20, 5));
        assert_eq!(journal.n_kills(), 1);
        assert_eq!(journal.earlier_kills().collect::<Vec<_>>(), [(INSIDE, "features")]);
        journal.acknowledge(0, 40).unwrap();
        assert_eq!(Journal::open(dir.path()).unwrap().n_acknowledged(), 45);
    }
}
