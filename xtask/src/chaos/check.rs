//! Features and archive against the truth.

use std::{
    collections::BTreeMap,
    fmt,
    io::{BufRead, BufReader},
    process::Child,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{
    fleet::Commands,
    load::Shared,
    truth::{Event, N_SOURCES, Person, parse_event_id},
};

/// How long nothing may be gained before what is missing counts as lost. The features may wait out a group's session, the
/// archive a batch's age after that.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pause between two looks at what is not there yet.
const LOOK: Duration = Duration::from_millis(500);
/// Connections that read persons.
const N_READERS: usize = 8;
/// Differences that are told in full.
const MAX_EXAMPLES: usize = 10;

/// One side's difference from the truth.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Difference {
    /// Acknowledged and not there.
    pub(super) lost: u64,
    /// There more than once, or never sent.
    pub(super) duplicated: u64,
    pub(super) examples: Vec<String>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    pub(super) n_acknowledged: u64,
    pub(super) n_persons: usize,
    /// In the log, repetitions included.
    pub(super) n_records: u64,
    pub(super) features: Difference,
    pub(super) archive: Difference,
}

impl Found {
    pub(super) fn is_clean(&self) -> bool {
        [&self.features, &self.archive].iter().all(|side| side.lost + side.duplicated == 0)
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { n_acknowledged, n_persons, n_records, features, archive } = self;
        write!(
            f,
            "{n_acknowledged} events of {n_persons} persons are acknowledged in {n_records} records; "
        )?;
        write!(f, "features: lost {}, counted twice {}; ", features.lost, features.duplicated)?;
        write!(f, "archive: lost {}, there twice {}", archive.lost, archive.duplicated)?;
        for example in features.examples.iter().chain(&archive.examples) {
            write!(f, "\n     {example}")?;
        }
        Ok(())
    }
}

/// Compares until both sides are whole or nothing is gained any more. Nobody sends meanwhile.
///
/// - `look_after`: called between two looks
pub(super) fn compare(
    shared: &Shared,
    commands: &Commands,
    mut look_after: impl FnMut() -> Result<()>,
) -> Result<Found> {
    let truth = truth(shared);
    let mut features = until_settled(|| features(shared, &truth), &mut look_after)?;
    let archive = until_settled(|| archive(shared, commands.export_events()?), &mut look_after)?;
    // Once more when all has arrived: a late second copy would show now.
    if features == Difference::default() {
        features = self::features(shared, &truth)?;
    }
    Ok(Found {
        n_acknowledged: truth.values().sum(),
        n_persons: truth.len(),
        n_records: 0,
        features,
        archive,
    })
}

/// Acknowledged events by person.
fn truth(shared: &Shared) -> BTreeMap<Person, u64> {
    let mut truth = BTreeMap::new();
    for source in 0..N_SOURCES {
        for n in 0..shared.journal.acknowledged(source) {
            *truth.entry(Event::of(&shared.plan.run, source, n).person).or_default() += 1;
        }
    }
    truth
}

/// Looks again for as long as what is missing grows less.
fn until_settled(
    mut look: impl FnMut() -> Result<Difference>,
    look_after: &mut impl FnMut() -> Result<()>,
) -> Result<Difference> {
    let (mut least, mut gained) = (u64::MAX, Instant::now());
    loop {
        // A process that is just coming up again answers later.
        let difference = look();
        match &difference {
            Ok(found) if found.lost == 0 || found.duplicated > 0 => return difference,
            Ok(found) if found.lost < least => (least, gained) = (found.lost, Instant::now()),
            _ if gained.elapsed() > PATIENCE => return difference,
            _ => {}
        }
        look_after()?;
        thread::sleep(LOOK);
    }
}

fn features(shared: &Shared, truth: &BTreeMap<Person, u64>) -> Result<Difference> {
    let persons: Vec<(&Person, u64)> = truth.iter().map(|(person, n)| (person, *n)).collect();
    let next = AtomicUsize::new(0);
    let read = || -> Result<Difference> {
        let mut difference = Difference::default();
        while let Some((person, expected)) = persons.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (n_events, n_distinct) = shared.counted(person)?;
            difference.count_person(&person.name, *expected, n_events, n_distinct);
        }
        Ok(difference)
    };
    thread::scope(|scope| {
        let readers: Vec<_> = (0..N_READERS).map(|_| scope.spawn(read)).collect();
        readers.into_iter().try_fold(Difference::default(), |sum, reader| {
            Ok(sum.and(reader.join().expect("reading persons does not panic")?))
        })
    })
}

impl Difference {
    /// Every event of a person is about another item: the distinct items are the events that were counted.
    fn count_person(&mut self, name: &str, expected: u64, n_events: u64, n_distinct: u64) {
        let lost = expected.saturating_sub(n_distinct);
        let duplicated = n_events.saturating_sub(n_distinct) + n_distinct.saturating_sub(expected);
        self.lost += lost;
        self.duplicated += duplicated;
        if lost + duplicated > 0 {
            self.example(format!(
                "{name}: acknowledged {expected}, counted {n_events} with {n_distinct} distinct ones among them"
            ));
        }
    }

    fn example(&mut self, text: String) {
        if self.examples.len() < MAX_EXAMPLES {
            self.examples.push(text);
        }
    }

    fn and(mut self, other: Self) -> Self {
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        other.examples.into_iter().for_each(|example| self.example(example));
        self
    }
}

fn archive(shared: &Shared, mut export: Child) -> Result<Difference> {
    let acknowledged: Vec<u64> = (0..N_SOURCES).map(|source| shared.journal.acknowledged(source)).collect();
    let mut rows = Rows::new(&shared.plan.run, &acknowledged);
    let lines = BufReader::new(export.stdout.take().context("the export has no output")?).lines();
    for line in lines {
        let line = line.context("reading the export")?;
        let event: Value = serde_json::from_str(&line).with_context(|| format!("not an event: {line}"))?;
        rows.add(&event);
    }
    let status = export.wait()?;
    if !status.success() {
        bail!("waggle export ended with {status}");
    }
    Ok(rows.difference())
}

/// Rows of the archive, held against what was acknowledged.
struct Rows<'a> {
    run: &'a str,
    /// By source and number.
    seen: Vec<Vec<bool>>,
    found: Difference,
}

impl<'a> Rows<'a> {
    fn new(run: &'a str, acknowledged: &[u64]) -> Self {
        let seen = acknowledged.iter().map(|n| vec![false; *n as usize]).collect();
        Self { run, seen, found: Difference::default() }
    }

    fn add(&mut self, row: &Value) {
        let id = row["event_id"].as_str().unwrap_or_default();
        let place = parse_event_id(self.run, id);
        let slot = place.and_then(|(source, n)| self.seen.get_mut(source as usize)?.get_mut(n as usize));
        let (Some((source, n)), Some(slot)) = (place, slot) else {
            self.found.duplicated += 1;
            return self.found.example(format!("the archive has {id:?}, which was never acknowledged"));
        };
        if std::mem::replace(slot, true) {
            self.found.duplicated += 1;
            self.found.example(format!("the archive has {id} twice"));
        }
        let person = Event::of(self.run, source, n).person;
        if row[person.field()] != person.name {
            self.found.duplicated += 1;
            self.found.example(format!("the archive has {id} with another person: {row}"));
        }
    }

    fn difference(mut self) -> Difference {
        for (source, seen) in self.seen.iter().enumerate() {
            for (n, _) in seen.iter().enumerate().filter(|(_, seen)| !**seen) {
                self.found.lost += 1;
                self.found.example(format!("the archive lacks {}-{source}-{n}", self.run));
            }
        }
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_person(expected: u64, counted: (u64, u64), lost_and_duplicated: (u64, u64)) {
        let mut difference = Difference::default();
        difference.count_person("somebody", expected, counted.0, counted.1);
        assert_eq!((difference.lost, difference.duplicated), lost_and_duplicated);
        assert_eq!(difference.examples.is_empty(), lost_and_duplicated == (0, 0));
    }

    #[test]
    fn a_person_is_right_only_if_every_event_counted_once() {
        check_person(100, (100, 100), (0, 0));
        check_person(100, (99, 99), (1, 0));
        check_person(100, (101, 100), (0, 1));
        // One lost and another counted twice: the sum alone would hide it.
        check_person(100, (100, 99), (1, 1));
        // The person's state is gone.
        check_person(100, (0, 0), (100, 0));
        // Something that nobody sent.
        check_person(3, (4, 4), (0, 1));
    }

    fn row(source: u32, n: u64) -> Value {
        Event::of("run", source, n).body().clone()
    }

    #[track_caller]
    fn check_rows(rows: &[Value], lost_and_duplicated: (u64, u64)) {
        let mut seen = Rows::new("run", &[3, 1]);
        rows.iter().for_each(|row| seen.add(row));
        let difference = seen.difference();
        assert_eq!((difference.lost, difference.duplicated), lost_and_duplicated, "{difference:?}");
    }

    #[test]
    fn an_archive_is_right_only_if_every_event_is_there_once_and_of_its_person() {
        let all = [row(0, 2), row(0, 0), row(1, 0), row(0, 1)];
        check_rows(&all, (0, 0));
        check_rows(&all[1..], (1, 0));
        check_rows(&[&all[..], &[row(0, 2)]].concat(), (0, 1));
        check_rows(&[&all[1..], &[row(0, 1)]].concat(), (1, 1));
        check_rows(&[&all[..], &[row(0, 3)]].concat(), (0, 1));
        check_rows(&[&all[..], &[serde_json::json!({"event_id": "another"})]].concat(), (0, 1));
        let mut of_another = all.clone();
        of_another[0]["user_id"] = "another".into();
        check_rows(&of_another, (0, 1));
    }

    #[test]
    fn what_is_missing_is_waited_for_and_what_is_twice_is_not() {
        let looks = std::cell::Cell::new(0);
        let look = |lost_at_first, duplicated| {
            looks.set(0);
            let look = || {
                looks.set(looks.get() + 1);
                let lost = if looks.get() < 3 { lost_at_first } else { 0 };
                Ok(Difference { lost, duplicated, examples: Vec::new() })
            };
            until_settled(look, &mut || Ok(())).unwrap()
        };
        assert_eq!(look(5, 0).lost, 0);
        assert_eq!(looks.get(), 3);
        assert_eq!(look(5, 1).duplicated, 1);
        assert_eq!(looks.get(), 1);
    }
}
