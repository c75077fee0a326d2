//! The archive is compacted, freed of the erased and swept; cut off anywhere, it stays whole.

use std::{
    collections::{BTreeMap, HashSet},
    future::Future,
    pin::pin,
    task::Poll,
};

use serde_json::{Map, Value, json};
use waggle_model::{
    Answer, AnswerId, Event, EventBody, Interaction, InteractionKind, ItemId, Person, Placement, Rung,
    SessionId, Timestamp, UserChange, UserId,
};
use waggle_stores::{
    ArchiveReader, ArchiveWriter, AsOf, CompactionRule, LogRecord, Position, Topic,
    archive::{self, CompactionReport},
};

use crate::archive::{ALL_TIMES, Archive, at, record, view};

const SMALL: CompactionRule = CompactionRule { max_rows: 400, max_bytes: 1 << 20 };

/// Runs each of the tests below with the files in a folder, and with the files in a bucket.
macro_rules! in_each_place {
    ($($name:ident)*) => {
        mod in_a_folder {
            use super::Archive;
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(Archive::open().await).await;
            })*
        }

        mod in_a_bucket {
            use super::Archive;
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(Archive::in_bucket().await).await;
            })*
        }
    };
}

in_each_place! {
    compaction_leaves_few_files_with_the_same_records
    days_stay_apart_once_they_are_worth_a_file
    compaction_cut_off_anywhere_loses_and_doubles_nothing
    archiving_cut_off_anywhere_loses_and_doubles_nothing
    a_writer_that_was_swept_away_is_refused_and_writes_again
    an_erased_person_leaves_and_everybody_else_stays
    a_batch_of_nothing_but_the_erased_leaves_an_empty_file_and_no_gap
    erasing_cut_off_anywhere_is_finished_later
    archiving_compacting_erasing_and_sweeping_at_once_agree
    one_persons_rows_are_found_by_file_and_in_the_order_of_the_log
    reading_as_of_a_position_sees_nothing_from_after_it
}

fn event(person: Person, millis: i64, body: EventBody) -> Event {
    Event { event_id: None, timestamp: at(millis), person, body, context: Map::new() }
}

fn user(id: &str) -> Person {
    Person::user(UserId::try_new(id).unwrap())
}

fn session(id: &str) -> Person {
    Person::session(SessionId::try_new(id).unwrap())
}

fn act(person: Person, millis: i64) -> Event {
    let interaction = Interaction::new(InteractionKind::Click, ItemId::try_new("i").unwrap());
    event(person, millis, EventBody::Interaction(interaction))
}

/// What a trickle leaves: batches of a few records, every other with one that is not an event.
async fn trickle(archive: &Archive, partition: u32, n_batches: u64) {
    for batch in 0..n_batches {
        let first = batch * 10;
        let mut records = (first..first + 9)
            .filter(|offset| offset % 7 != 3)
            .map(|offset| {
                let millis = i64::try_from(offset * 7_919 % 1_000).unwrap() * 1_000_000;
                let mut event = view(&format!("u{}", offset % 5), &format!("i{offset}"), millis);
                event.context = json!({"page": offset, "price": 0.1}).as_object().unwrap().clone();
                record(partition, offset, &event)
            })
            .collect::<Vec<_>>();
        if batch % 2 == 0 {
            records[2].value = b"no event".to_vec().into();
        }
        archive.add_from(partition, archive.offset(partition).await, &records).await;
    }
}

impl Archive {
    async fn offset(&self, partition: u32) -> u64 {
        self.database.archive_offset(Topic::Events, partition).await.unwrap()
    }

    async fn compact(&self, rule: &CompactionRule) -> CompactionReport {
        archive::compact(&self.artifacts, &self.database, Topic::Events, rule).await.unwrap()
    }

    /// Files in the store, and those of them that the manifest knows.
    async fn files(&self) -> (HashSet<String>, HashSet<String>) {
        let stored = self.artifacts.list("archive").await.unwrap();
        let mut known = HashSet::new();
        for topic in [Topic::Events, Topic::Answers] {
            known.extend(self.database.all_archive_files(topic).await.unwrap().into_iter().map(|f| f.path));
        }
        (stored.into_iter().map(|f| f.path).collect(), known)
    }

    /// The batches cover the log from its beginning without gap or overlap.
    async fn check_coverage(&self) {
        let files = self.database.all_archive_files(Topic::Events).await.unwrap();
        let mut ends = BTreeMap::<u32, (u64, u64)>::new();
        for file in files {
            let (first, next) = ends.entry(file.partition).or_default();
            if (file.first_offset, file.last_offset + 1) != (*first, *next) {
                assert_eq!(file.first_offset, *next, "{}", file.path);
                (*first, *next) = (file.first_offset, file.last_offset + 1);
            }
        }
        for (partition, (_, end)) in ends {
            assert_eq!(end, self.offset(partition).await);
        }
    }
}

/// Runs `work` until it has been asked `n_polls` times whether it is done, then drops it, as a crash does.
async fn cut_off_after<F: Future>(n_polls: usize, work: F) -> Option<F::Output> {
    let mut work = pin!(work);
    let mut n_left = n_polls;
    std::future::poll_fn(move |context| {
        if n_left == 0 {
            return Poll::Ready(None);
        }
        n_left -= 1;
        work.as_mut().poll(context).map(Some)
    })
    .await
}

async fn compaction_leaves_few_files_with_the_same_records(archive: Archive) {
    trickle(&archive, 0, 100).await;
    trickle(&archive, 3, 20).await;
    let before = archive.read(ALL_TIMES).await;
    let mut reading = archive.reader.events(ALL_TIMES).await.unwrap();
    let first = reading.next_batch().await.unwrap().unwrap();
    let (_, n_files) = archive.files().await;
    let n_records = archive.database.all_archive_files(Topic::Events).await.unwrap();
    let n_records = n_records.iter().map(|f| f.n_rows).sum::<u64>();
    assert_eq!(n_files.len(), 120);

    let report = archive.compact(&SMALL).await;
    assert_eq!(report.n_abandoned, 0);
    let (stored, known) = archive.files().await;
    println!("{report:?}, {} files", known.len());
    assert!(known.len() <= 8, "{} files are left", known.len());
    assert_eq!(archive.read(ALL_TIMES).await, before);
    let after = archive.database.all_archive_files(Topic::Events).await.unwrap();
    assert_eq!(after.iter().map(|f| f.n_rows).sum::<u64>(), n_records, "what is no event is kept too");
    assert!(after.iter().all(|f| f.n_rows <= 400));
    archive.check_coverage().await;
    assert_eq!(archive.compact(&SMALL).await, CompactionReport::default(), "nothing is left to do");

    // Who had begun to read reads on; then the old files go.
    let mut all = first;
    while let Some(batch) = reading.next_batch().await.unwrap() {
        all.extend(batch);
    }
    assert_eq!(all, before);
    let n_swept = archive::sweep(&archive.artifacts, &archive.database, Timestamp::now()).await.unwrap();
    let n_swept = usize::try_from(n_swept).unwrap();
    assert_eq!(n_swept, stored.len() - known.len());
    assert_eq!(archive.files().await, (known.clone(), known));
    assert_eq!(archive.read(ALL_TIMES).await, before);
    // And the archive goes on.
    trickle_on(&archive, 5).await;
    archive.check_coverage().await;
}

async fn trickle_on(archive: &Archive, n_batches: u64) {
    for _ in 0..n_batches {
        let offset = archive.offset(0).await;
        archive.add_from(0, offset, &[record(0, offset, &view("u", "i", 5))]).await;
    }
}

async fn days_stay_apart_once_they_are_worth_a_file(archive: Archive) {
    for batch in 0..9_u64 {
        let records = (batch * 2_500..(batch + 1) * 2_500)
            .map(|offset| record(0, offset, &view("u", "i", i64::try_from(offset % 2).unwrap() * 86_400_000)))
            .collect::<Vec<_>>();
        archive.add(0, &records).await;
    }
    let before = archive.read(ALL_TIMES).await;
    archive.compact(&CompactionRule::default()).await;
    let files = archive.database.all_archive_files(Topic::Events).await.unwrap();
    let days = files.iter().map(|f| (f.day.as_str(), f.n_rows)).collect::<Vec<_>>();
    assert_eq!(days, [("1970-01-01", 11_250), ("1970-01-02", 11_250)]);
    assert_eq!(archive.read(ALL_TIMES).await, before);
}

/// Cuts the work off after one poll, two polls, … until it gets to its end; `check` looks at what each left.
async fn cut_off_everywhere<T>(mut work: impl AsyncFnMut() -> T, mut check: impl AsyncFnMut()) -> (T, usize) {
    for n_polls in 1.. {
        let done = cut_off_after(n_polls, work()).await;
        check().await;
        if let Some(done) = done {
            return (done, n_polls);
        }
    }
    unreachable!("the work ends")
}

async fn compaction_cut_off_anywhere_loses_and_doubles_nothing(archive: Archive) {
    trickle(&archive, 0, 30).await;
    let before = archive.read(ALL_TIMES).await;
    let work = async || archive.compact(&SMALL).await;
    let check = async || {
        assert_eq!(archive.read(ALL_TIMES).await, before);
        archive.check_coverage().await;
    };
    let (_, n_cuts) = cut_off_everywhere(work, check).await;
    let (stored, known) = archive.files().await;
    println!("cut off {n_cuts} times, {} files lie about, {} count", stored.len(), known.len());
    assert!(n_cuts > 20 && known.len() < 10);
    archive::sweep(&archive.artifacts, &archive.database, Timestamp::now()).await.unwrap();
    assert_eq!(archive.files().await, (known.clone(), known), "nothing of the crashes is left");
    assert_eq!(archive.database.count_archive_leftovers().await.unwrap(), 0);
    assert_eq!(archive.read(ALL_TIMES).await, before);
}

async fn archiving_cut_off_anywhere_loses_and_doubles_nothing(archive: Archive) {
    let events = (0..500).map(|o| view("u", &format!("i{o}"), 500 - o)).collect::<Vec<_>>();
    let records = (0..).zip(&events).map(|(o, e)| record(0, o, e)).collect::<Vec<_>>();
    let work = async || {
        let offset = archive.offset(0).await;
        let left = &records[usize::try_from(offset).unwrap()..];
        if !left.is_empty() {
            archive.add_from(0, offset, left).await;
        }
    };
    let check = async || {
        let read = archive.read(ALL_TIMES).await;
        assert!(read.is_empty() || read.len() == events.len());
    };
    cut_off_everywhere(work, check).await;
    assert_eq!(archive.read(ALL_TIMES).await.len(), events.len());
    archive::sweep(&archive.artifacts, &archive.database, Timestamp::now()).await.unwrap();
    let (stored, known) = archive.files().await;
    assert_eq!((stored, known.len()), (known.clone(), 1));
}

async fn a_writer_that_was_swept_away_is_refused_and_writes_again(archive: Archive) {
    let records = (0..10).map(|o| record(0, o, &view("u", "i", 10))).collect::<Vec<_>>();
    let slow = archive.writer.write(&archive.database, 0, 0, &records).await.unwrap();
    let soon = Timestamp::now() + std::time::Duration::from_secs(1);
    assert_eq!(archive::sweep(&archive.artifacts, &archive.database, soon).await.unwrap(), 1);
    assert!(archive.database.commit_archive_batch(&slow).await.is_err());
    assert_eq!(archive.read(ALL_TIMES).await, []);
    archive.add(0, &records).await;
    assert_eq!(archive.read(ALL_TIMES).await.len(), 10);
}

/// Two people, a session that became one of them, and answers.
struct People {
    archive: Archive,
    answers: ArchiveWriter,
}

impl People {
    fn of(archive: Archive) -> Self {
        let answers = ArchiveWriter::new(archive.artifacts.clone(), Topic::Answers);
        Self { archive, answers }
    }

    /// One batch of the topic of events.
    async fn events(&self, partition: u32, events: &[Event]) {
        let from = self.archive.offset(partition).await;
        let records = (from..).zip(events).map(|(o, e)| record(partition, o, e)).collect::<Vec<_>>();
        self.archive.add_from(partition, from, &records).await;
    }

    async fn answers(&self, answers: &[(Person, i64)]) {
        let database = &self.archive.database;
        let from = database.archive_offset(Topic::Answers, 1).await.unwrap();
        let records = (from..).zip(answers).map(|(o, (person, millis))| {
            let answer = Answer {
                answer_id: AnswerId::try_new(format!("a{o}")).unwrap(),
                placement: Placement::Home,
                rung: Rung::Personal,
                snapshot: None,
                watermark: None,
                computed_by: None,
                items: Vec::new(),
                feature_names: Default::default(),
                n_candidates: 1,
                took_ms: 1.0,
            };
            record(1, o, &event(person.clone(), *millis, EventBody::Answer(Box::new(answer))))
        });
        let records = records.collect::<Vec<LogRecord>>();
        let batch = self.answers.write(database, 1, from, &records).await.unwrap();
        database.commit_archive_batch(&batch).await.unwrap();
    }

    /// Who is in the archive of the topic, with the time.
    async fn seen(&self, topic: Topic) -> Vec<(String, i64)> {
        let reader = ArchiveReader::new(self.archive.artifacts.clone(), self.archive.database.clone(), topic);
        let events = reader.events(ALL_TIMES).await.unwrap().collect().await.unwrap();
        let seen = events.into_iter().map(|(_, event)| {
            let who = event.person.partition_key().unwrap().to_owned();
            let what = if event.body == EventBody::Erasure { " erased" } else { "" };
            (format!("{who}{what}"), event.timestamp.as_millis())
        });
        seen.collect()
    }

    async fn erase(&self) -> archive::ErasureReport {
        archive::erase(&self.archive.artifacts, &self.archive.database).await.unwrap()
    }
}

fn who(seen: &[(&str, i64)]) -> Vec<(String, i64)> {
    seen.iter().map(|(who, millis)| ((*who).to_owned(), *millis)).collect()
}

async fn an_erased_person_leaves_and_everybody_else_stays(archive: Archive) {
    let people = People::of(archive);
    let merge = event(
        Person { session_id: Some(SessionId::try_new("anna's phone").unwrap()), ..user("anna") },
        25,
        EventBody::Merge,
    );
    // Her phone's own acts lie in another partition, and so do the answers.
    people.events(0, &[act(session("anna's phone"), 5), act(session("bert's phone"), 6)]).await;
    people.events(2, &[act(user("anna"), 10), act(user("bert"), 20), merge, act(user("anna"), 9_000)]).await;
    people.answers(&[(user("anna"), 11), (session("anna's phone"), 12), (user("bert"), 21)]).await;
    people.events(2, &[act(user("carla"), 28), act(user("anna"), 29)]).await;
    people
        .events(
            2,
            &[act(user("bert"), 30), event(user("anna"), 50, EventBody::Erasure), act(user("bert"), 40)],
        )
        .await;
    // She comes back, and tells of something from before.
    let back = event(user("anna"), 60, EventBody::UserChange(UserChange { properties: Map::new() }));
    people.events(2, &[back, act(user("anna"), 70), act(user("anna"), 15)]).await;

    let report = people.erase().await;
    assert_eq!((report.n_persons, report.n_rows_removed()), (2, 7), "{report:?}");
    assert_eq!(report.rewritten.len(), 4, "{report:?}");
    let expected_events = who(&[
        ("bert's phone", 6),
        ("anna", 15),
        ("bert", 20),
        ("carla", 28),
        ("bert", 30),
        ("bert", 40),
        ("anna erased", 50),
        ("anna", 60),
        ("anna", 70),
    ]);
    assert_eq!(people.seen(Topic::Events).await, expected_events);
    assert_eq!(people.seen(Topic::Answers).await, who(&[("bert", 21)]));
    people.archive.check_coverage().await;
    assert_eq!(people.erase().await, archive::ErasureReport::default(), "done is done");

    // What was under way when she was erased comes late, and stays out.
    people.answers(&[(user("anna"), 45), (user("bert"), 46), (user("anna"), 61)]).await;
    people.events(0, &[act(session("anna's phone"), 49), act(session("anna's phone"), 55)]).await;
    assert_eq!(people.seen(Topic::Answers).await, who(&[("bert", 21), ("bert", 46), ("anna", 61)]));
    assert_eq!(people.seen(Topic::Events).await.len(), expected_events.len() + 1);

    // Swept, nothing of hers from before is left in any file.
    let soon = Timestamp::now() + std::time::Duration::from_secs(1);
    archive::sweep(&people.archive.artifacts, &people.archive.database, soon).await.unwrap();
    let (stored, known) = people.archive.files().await;
    assert_eq!(stored, known);
    let compacted = CompactionRule { max_rows: 100, max_bytes: 1 << 20 };
    people.archive.compact(&compacted).await;
    assert_eq!(people.seen(Topic::Events).await.len(), expected_events.len() + 1);
}

async fn a_batch_of_nothing_but_the_erased_leaves_an_empty_file_and_no_gap(archive: Archive) {
    let people = People::of(archive);
    people.events(0, &[act(user("anna"), 1), act(user("anna"), 2)]).await;
    people.events(0, &[event(user("anna"), 3, EventBody::Erasure)]).await;
    people.events(0, &[act(user("bert"), 4)]).await;
    assert_eq!(people.erase().await.n_rows_removed(), 2);
    let files = people.archive.database.all_archive_files(Topic::Events).await.unwrap();
    assert_eq!(files.iter().map(|f| f.n_rows).collect::<Vec<_>>(), [0, 1, 1]);
    people.archive.check_coverage().await;
    assert_eq!(people.seen(Topic::Events).await, who(&[("anna erased", 3), ("bert", 4)]));
    // A batch that is empty from the start is one, too.
    people.answers(&[(user("anna"), 1), (user("anna"), 2)]).await;
    assert_eq!(people.archive.database.archive_offset(Topic::Answers, 1).await.unwrap(), 2);
    assert_eq!(people.seen(Topic::Answers).await, []);
}

async fn erasing_cut_off_anywhere_is_finished_later(archive: Archive) {
    let people = People::of(archive);
    let phone = Person { session_id: Some(SessionId::try_new("phone").unwrap()), ..user("anna") };
    people.events(1, &[act(session("phone"), 1), act(user("bert"), 2)]).await;
    for i in 0..6 {
        people.events(0, &[act(user("anna"), 10 + i), act(user("bert"), 20 + i)]).await;
    }
    let tablet = Person { session_id: Some(SessionId::try_new("tablet").unwrap()), ..user("anna") };
    people.events(2, &[act(session("tablet"), 1)]).await;
    people.events(0, &[event(phone, 30, EventBody::Merge)]).await;
    // One merge lies in the archive, the other comes with the erasure.
    let erasure = event(user("anna"), 40, EventBody::Erasure);
    people.events(0, &[event(tablet, 31, EventBody::Merge), erasure]).await;
    let berts =
        async || people.seen(Topic::Events).await.into_iter().filter(|(who, _)| who == "bert").count();
    assert_eq!(berts().await, 7);
    let (_, n_cuts) =
        cut_off_everywhere(async || people.erase().await, async || assert_eq!(berts().await, 7)).await;
    assert!(n_cuts > 20, "{n_cuts}");
    let seen = people.seen(Topic::Events).await;
    assert_eq!(seen.len(), 8, "{seen:?}");
    assert!(people.archive.database.pending_erasures().await.unwrap().is_empty());
    people.archive.check_coverage().await;
}

async fn archiving_compacting_erasing_and_sweeping_at_once_agree(archive: Archive) {
    let people = People::of(archive);
    let (artifacts, database) = (people.archive.artifacts.clone(), people.archive.database.clone());
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let upkeep = (0..2).map(|who| {
        let (artifacts, database, stopped) = (artifacts.clone(), database.clone(), stopped.clone());
        tokio::spawn(async move {
            let rule = CompactionRule { max_rows: 200, max_bytes: 1 << 20 };
            while !*stopped.borrow() {
                archive::compact(&artifacts, &database, Topic::Events, &rule).await.unwrap();
                archive::erase(&artifacts, &database).await.unwrap();
                if who == 0 {
                    // What was replaced a moment ago may still be read by the other.
                    let before = Timestamp::now() - std::time::Duration::from_secs(30);
                    archive::sweep(&artifacts, &database, before).await.unwrap();
                }
            }
        })
    });
    let upkeep = upkeep.collect::<Vec<_>>();
    for i in 0..60_i64 {
        let erased = user(&format!("u{i}"));
        let mut events = (0..5).map(|j| act(erased.clone(), i * 10 + j)).collect::<Vec<_>>();
        events.push(act(user("bert"), i * 10));
        if i > 0 {
            events.push(act(user(&format!("u{}", i - 1)), i * 10 - 10));
            events.push(event(user(&format!("u{}", i - 1)), i * 10 + 9, EventBody::Erasure));
        }
        people.events(0, &events).await;
    }
    stop.send(true).unwrap();
    for task in upkeep {
        task.await.unwrap();
    }
    archive::erase(&artifacts, &database).await.unwrap();
    people.archive.check_coverage().await;
    let seen = people.seen(Topic::Events).await;
    let count = |name: &str| seen.iter().filter(|(who, _)| who == name).count();
    assert_eq!(count("bert"), 60);
    assert_eq!(count("u59"), 5, "who was not erased");
    assert_eq!(seen.iter().filter(|(who, _)| who.ends_with(" erased")).count(), 59);
    assert_eq!(seen.len(), 60 + 5 + 59, "{seen:?}");
}

async fn one_persons_rows_are_found_by_file_and_in_the_order_of_the_log(archive: Archive) {
    let people = People::of(archive);
    let archive = &people.archive;
    // Later in the log, earlier in time.
    let events: Vec<Event> = (0..6).map(|n| act(user(["ada", "bob"][n % 2]), 100 - n as i64)).collect();
    people.events(0, &events).await;
    people.events(0, &[event(user("ada"), 200, EventBody::Erasure), act(user("ada"), 201)]).await;
    let persons = HashSet::from([user("ada").key().unwrap()]);
    let found = archive::rows_of(&archive.artifacts, &archive.database, &persons).await.unwrap();
    let total: u64 = found.iter().map(|(_, n_rows)| n_rows).sum();
    let as_of = archive.reader.now().await.unwrap();
    let of_ada = archive.reader.events_of(&persons, &as_of).await.unwrap().collect().await.unwrap();
    let times: Vec<i64> = of_ada.iter().map(|(_, event)| event.timestamp.as_millis()).collect();
    assert!(times.is_sorted());
    let n_erasures = of_ada.iter().filter(|(_, event)| event.body == EventBody::Erasure).count() as u64;
    assert_eq!(total, of_ada.len() as u64 - n_erasures, "an erasure stays, and is no row to be removed");
    assert!(of_ada.iter().all(|(_, event)| event.person == user("ada")));

    let mut offsets = Vec::new();
    let take = |event: Event| event.timestamp.as_millis();
    let look = |position: Position, _: i64| offsets.push((position.partition, position.offset));
    archive.reader.each_in_log_order(&as_of, take, look).await.unwrap();
    assert!(offsets == (0..8).map(|offset| (0, offset)).collect::<Vec<_>>(), "{offsets:?}");
    let never = |position: Position, _: i64| panic!("{position:?} was archived after the beginning");
    archive.reader.each_in_log_order(&AsOf::default(), take, never).await.unwrap();
}

async fn reading_as_of_a_position_sees_nothing_from_after_it(archive: Archive) {
    let add = async |partition: u32, offset: u64, millis: i64| {
        archive
            .add(
                partition,
                &[record(partition, offset, &view("u", &format!("{partition}-{offset}"), millis))],
            )
            .await
    };
    assert_eq!(archive.reader.now().await.unwrap(), AsOf::default());
    for offset in 0..20 {
        add(0, offset, 100 + i64::try_from(offset).unwrap()).await;
    }
    add(1, 0, 500).await;
    let as_of = archive.reader.now().await.unwrap();
    assert_eq!(as_of, AsOf([(0, 20), (1, 1)].into()));
    let then = archive.read(ALL_TIMES).await;
    // Later records that tell of earlier times, also of a partition that held nothing, and a compaction across the line.
    for offset in 20..40 {
        add(0, offset, 1).await;
    }
    add(1, 1, 2).await;
    add(2, 0, 3).await;
    archive.compact(&CompactionRule { max_rows: 1_000, max_bytes: 1 << 20 }).await;
    let files = archive.database.all_archive_files(Topic::Events).await.unwrap();
    assert!(files.iter().any(|f| f.first_offset < 20 && f.last_offset > 20), "a file across the line");
    let read = async |as_of: &AsOf, range| {
        archive.reader.events_as_of(range, as_of).await.unwrap().collect().await.unwrap()
    };
    assert_eq!(read(&as_of, ALL_TIMES).await, then);
    let positions = |events: Vec<(Position, Event)>| {
        events.into_iter().map(|(at, _)| (at.partition, at.offset)).collect::<Vec<_>>()
    };
    assert_eq!(positions(read(&as_of, at(118)..at(501)).await), [(0, 18), (0, 19), (1, 0)]);
    assert_eq!(positions(read(&AsOf([(0, 1)].into()), ALL_TIMES).await), [(0, 0)]);
    assert_eq!(positions(read(&AsOf::default(), ALL_TIMES).await), []);
    assert_eq!(archive.read(ALL_TIMES).await.len(), 43);
    let stored: AsOf = serde_json::from_value::<AsOf>(serde_json::to_value(&as_of).unwrap()).unwrap();
    assert_eq!(stored, as_of, "a snapshot can tell what it was trained on");
    assert_eq!(serde_json::to_value(&as_of).unwrap(), json!({"0": 20, "1": 1}) as Value);
}

#[tokio::test]
async fn upkeep_works_on_postgres() {
    let schema = crate::support::postgres::Schema::new();
    let database = std::sync::Arc::new(schema.connect().await);
    let people = People::of(Archive::on(database).await);
    for i in 0..12 {
        people.events(0, &[act(user("anna"), i), act(user("bert"), i)]).await;
    }
    people.events(0, &[event(user("anna"), 40, EventBody::Erasure)]).await;
    let report = people.archive.compact(&SMALL).await;
    assert_eq!((report.n_merged, report.n_written), (13, 1));
    let report = people.erase().await;
    assert_eq!((report.n_persons, report.n_rows_removed(), report.rewritten.len()), (1, 12, 1));
    let seen = people.seen(Topic::Events).await;
    assert_eq!(seen.len(), 13, "{seen:?}");
}
