//! The archive: events out are events in, in order, whatever happens to the files.

use std::{ops::Range, sync::Arc, time::Instant};

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use waggle_model::{
    Answer, AnswerId, AnsweredItem, AppliedRule, CatalogChange, CountsAs, Event, EventBody, EventId,
    Impression, Interaction, InteractionKind, Item, ItemId, Person, Placement, Rung, SessionId, Signal,
    Timestamp, UserChange, UserId, encode_event, event::SeenItem,
};
use waggle_stores::{
    ArchiveBatch, ArchiveError, ArchiveFile, ArchiveReader, ArchiveWriter, ArtifactError, Artifacts,
    CompactionRule, Database, LogRecord, Position, Topic, archive,
};

use crate::support::s3::OwnPrefix;

pub(crate) const ALL_TIMES: Range<Timestamp> =
    Timestamp::from_millis(i64::MIN)..Timestamp::from_millis(i64::MAX);
const DAY_MS: i64 = 86_400_000;

pub(crate) struct Archive {
    pub(crate) folder: tempfile::TempDir,
    /// What is removed at the end, in a bucket.
    _prefix: Option<OwnPrefix>,
    pub(crate) artifacts: Artifacts,
    pub(crate) database: Arc<Database>,
    pub(crate) writer: ArchiveWriter,
    pub(crate) reader: ArchiveReader,
}

impl Archive {
    pub(crate) async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = Arc::new(Database::open(folder.path().join("db")).await.unwrap());
        Self::in_folder(folder, database).await
    }

    pub(crate) async fn on(database: Arc<Database>) -> Self {
        Self::in_folder(tempfile::tempdir().unwrap(), database).await
    }

    async fn in_folder(folder: tempfile::TempDir, database: Arc<Database>) -> Self {
        let artifacts = Artifacts::open_local(folder.path().join("artifacts"), 1 << 30).await.unwrap();
        Self::assemble(folder, None, artifacts, database)
    }

    /// With its files in a bucket.
    pub(crate) async fn in_bucket() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = Arc::new(Database::open(folder.path().join("db")).await.unwrap());
        let prefix = OwnPrefix::new();
        let artifacts = prefix.connect(1 << 30).await;
        Self::assemble(folder, Some(prefix), artifacts, database)
    }

    fn assemble(
        folder: tempfile::TempDir,
        prefix: Option<OwnPrefix>,
        artifacts: Artifacts,
        database: Arc<Database>,
    ) -> Self {
        let writer = ArchiveWriter::new(artifacts.clone(), Topic::Events);
        let reader = ArchiveReader::new(artifacts.clone(), Arc::clone(&database), Topic::Events);
        Self { folder, _prefix: prefix, artifacts, database, writer, reader }
    }

    /// Archives the records as one batch and gives the number of files.
    pub(crate) async fn add(&self, partition: u32, records: &[LogRecord]) -> usize {
        self.add_from(partition, records[0].offset, records).await.len()
    }

    /// Archives the records as a batch that covers the offsets from `from` on.
    pub(crate) async fn add_from(
        &self,
        partition: u32,
        from: u64,
        records: &[LogRecord],
    ) -> Vec<ArchiveFile> {
        let batch = self.writer.write(&self.database, partition, from, records).await.unwrap();
        self.database.commit_archive_batch(&batch).await.unwrap();
        batch.files
    }

    pub(crate) async fn read(&self, range: Range<Timestamp>) -> Vec<(Position, Event)> {
        self.reader.events(range).await.unwrap().collect().await.unwrap()
    }
}

pub(crate) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub(crate) fn record(partition: u32, offset: u64, event: &Event) -> LogRecord {
    let value = Bytes::from(encode_event(event));
    LogRecord { partition, offset, key: Bytes::new(), value, timestamp: event.timestamp }
}

pub(crate) fn view(user: &str, item: &str, millis: i64) -> Event {
    Event {
        event_id: None,
        timestamp: at(millis),
        person: Person::user(UserId::try_new(user).unwrap()),
        body: EventBody::Interaction(Interaction::new(InteractionKind::View, ItemId::try_new(item).unwrap())),
        context: Map::new(),
    }
}

/// What reading must give: sorted by (time, partition, offset).
fn expected(mut events: Vec<(Position, Event)>) -> Vec<(Position, Event)> {
    events.sort_by_key(|(at, event)| (event.timestamp, at.partition, at.offset));
    events
}

fn any_id() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z0-9]{1,8}", "[ -~äß🐝]{1,40}", Just("x".repeat(256))]
}

fn any_number() -> impl Strategy<Value = f64> {
    prop_oneof![any::<f64>().prop_filter("comparable", |x| !x.is_nan()), 0.0..1_000.0, Just(-0.0)]
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(".{0,6}", inner, 0..4)
                .prop_map(|m| m.into_iter().collect::<Value>()),
        ]
    })
}

fn any_context() -> impl Strategy<Value = Map<String, Value>> {
    let some = proptest::collection::btree_map(".{0,6}", any_json(), 1..4);
    prop_oneof![2 => Just(Map::new()), 1 => some.prop_map(|m| m.into_iter().collect())]
}

fn any_interaction() -> impl Strategy<Value = EventBody> {
    let kind = prop_oneof![
        4 => proptest::sample::select(InteractionKind::NAMED.to_vec()),
        1 => prop_oneof!["[a-z]{1,12}", Just("undecodable".to_owned())].prop_map(InteractionKind::from),
    ];
    let number = || proptest::option::of(any_number());
    let numbers = (number(), number(), number());
    let texts =
        (proptest::option::of(".{0,8}"), proptest::option::of(".{0,8}"), proptest::option::of(any_id()));
    let rest = (
        proptest::option::of(any::<u32>()),
        proptest::option::weighted(0.2, 0.01..100.0),
        proptest::option::of("[a-z_]{1,9}"),
    );
    (kind, any_id(), numbers, texts, rest).prop_map(
        |(
            kind,
            item_id,
            (value, quantity, price),
            (currency, order_id, answer_id),
            (position, weight, placement),
        )| {
            EventBody::Interaction(Interaction {
                kind,
                item_id: ItemId::try_new(item_id).unwrap(),
                value,
                quantity,
                price,
                currency,
                order_id,
                answer_id: answer_id.map(|id| AnswerId::try_new(id).unwrap()),
                position,
                signal: weight.map(|weight| Signal::try_new(CountsAs::Cart, weight).unwrap()),
                placement: placement.map(Placement::from),
            })
        },
    )
}

fn other_bodies() -> Vec<EventBody> {
    let item_id = ItemId::try_new("i").unwrap();
    let answer_id = AnswerId::try_new("a").unwrap();
    let answered = AnsweredItem {
        item_id: item_id.clone(),
        position: 1,
        score: 0.1,
        propensity: 0.3,
        sources: Vec::new(),
        rules: vec![AppliedRule::Pin],
        features: vec![1.5, -0.0],
    };
    vec![
        EventBody::Answer(Box::new(Answer {
            answer_id: answer_id.clone(),
            placement: Placement::Custom("footer".to_owned()),
            rung: Rung::Personal,
            snapshot: None,
            watermark: None,
            computed_by: None,
            items: vec![answered],
            feature_names: ["a".to_owned(), "b".to_owned()].into(),
            n_candidates: 5,
            took_ms: 0.1 + 0.2,
        })),
        EventBody::Impression(Impression {
            answer_id,
            items: vec![SeenItem { item_id: item_id.clone(), position: 3 }],
            placement: Some(Placement::Cart),
        }),
        EventBody::CatalogChange(Box::new(CatalogChange::Put(Item {
            price: Some(0.1),
            ..Item::new(item_id.clone(), "T")
        }))),
        EventBody::CatalogChange(Box::new(CatalogChange::Delete(item_id))),
        EventBody::UserChange(UserChange { properties: json!({"a": 1.1}).as_object().unwrap().clone() }),
        EventBody::Merge,
        EventBody::Erasure,
    ]
}

fn any_event() -> impl Strategy<Value = Event> {
    let id = || proptest::option::of(any_id());
    let body = prop_oneof![5 => any_interaction(), 1 => proptest::sample::select(other_bodies())];
    let time = prop_oneof![any::<i64>(), 1_700_000_000_000_i64..1_700_500_000_000];
    // The end of time itself is outside every half-open range.
    let time = time.prop_map(|t| t.min(i64::MAX - 1));
    (id(), time, id(), id(), body, any_context()).prop_map(
        |(event_id, time, user_id, session_id, body, context)| {
            // An erasure removes what others of its name did, which is not the matter here.
            let is_erasure = body == EventBody::Erasure;
            let user_id = if is_erasure { Some("somebody erased".to_owned()) } else { user_id };
            Event {
                event_id: event_id.map(|id| EventId::try_new(id).unwrap()),
                timestamp: at(time),
                person: Person {
                    user_id: user_id.map(|id| UserId::try_new(id).unwrap()),
                    session_id: session_id.map(|id| SessionId::try_new(id).unwrap()),
                },
                body,
                context,
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn an_event_survives_the_archive_bit_for_bit(events in proptest::collection::vec(any_event(), 2..60)) {
        // What the log holds is the truth, so an event is compared with its decoded record.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let archive = Archive::open().await;
            let mut all = Vec::new();
            for _ in 0..3 {
                let records = (all.len() as u64..).zip(&events).map(|(o, event)| record(2, o, event));
                let records = records.collect::<Vec<_>>();
                archive.add(2, &records).await;
                all.extend(records);
            }
            let all = all.iter().map(|r| {
                (Position { partition: 2, offset: r.offset }, waggle_model::decode_event(&r.value).unwrap())
            });
            let expected = expected(all.collect());
            assert_eq!(archive.read(ALL_TIMES).await, expected);
            // Two of the three batches fit into one.
            let rule = CompactionRule { max_rows: 2 * events.len() as u64 + 1, max_bytes: 1 << 30 };
            let merged =
                archive::compact(&archive.artifacts, &archive.database, Topic::Events, &rule).await.unwrap();
            assert!(merged.n_merged >= 2, "{merged:?}");
            let read = archive.read(ALL_TIMES).await;
            assert_eq!(read, expected);
            // `==` takes 0.0 for -0.0; the encoded bytes do not.
            for ((_, read), (_, expected)) in read.iter().zip(&expected) {
                assert_eq!(encode_event(read), encode_event(expected));
            }
        });
    }
}

#[tokio::test]
async fn files_of_many_partitions_and_days_merge_by_time() {
    let archive = Archive::open().await;
    let mut all = Vec::new();
    for partition in 0..3 {
        for batch in 0..4 {
            let records = (batch * 500..(batch + 1) * 500)
                .map(|offset| {
                    // Late and equal times, and every batch overlaps all others.
                    let millis = i64::try_from((offset * 7_919 + u64::from(partition) * 13) % 1_000).unwrap();
                    record(partition, offset, &view("u", &format!("i{offset}"), millis * DAY_MS / 100))
                })
                .collect::<Vec<_>>();
            archive.add(partition, &records).await;
            all.extend(records);
        }
    }
    let all = all.iter().map(|r| {
        (Position { partition: r.partition, offset: r.offset }, waggle_model::decode_event(&r.value).unwrap())
    });
    let all = expected(all.collect());
    assert_eq!(archive.read(ALL_TIMES).await, all);
    for (from, to) in [(0, 1), (0, DAY_MS), (DAY_MS, 3 * DAY_MS), (5, 5), (9 * DAY_MS, 100 * DAY_MS), (-5, 0)]
    {
        let inside = all
            .iter()
            .filter(|(_, e)| (at(from)..at(to)).contains(&e.timestamp))
            .cloned()
            .collect::<Vec<_>>();
        assert_eq!(archive.read(at(from)..at(to)).await, inside, "{from}..{to}");
    }
}

#[tokio::test]
async fn what_is_not_an_event_is_kept_and_passed_over() {
    let archive = Archive::open().await;
    let mut records = (0..4).map(|o| record(0, o, &view("u", "i", 10))).collect::<Vec<_>>();
    records[1].value = Bytes::from_static(b"\x09 from another time");
    records[2].value = Bytes::new();
    archive.add(0, &records).await;
    let mut events = archive.reader.events(ALL_TIMES).await.unwrap();
    let batch = events.next_batch().await.unwrap().unwrap();
    assert_eq!(batch.iter().map(|(at, _)| at.offset).collect::<Vec<_>>(), [0, 3]);
    assert!(events.next_batch().await.unwrap().is_none());
    assert_eq!(events.n_skipped(), 2);
    assert_eq!(archive.database.archive_offset(Topic::Events, 0).await.unwrap(), 4);
}

#[tokio::test]
async fn what_is_not_committed_is_not_there_and_a_retry_is() {
    let archive = Archive::open().await;
    let records = (0..10).map(|o| record(0, o, &view("u", "i", 10))).collect::<Vec<_>>();
    let first = archive.writer.write(&archive.database, 0, 0, &records).await.unwrap();
    assert_eq!(archive.read(ALL_TIMES).await, [], "not committed, not there");
    let again = archive.writer.write(&archive.database, 0, 0, &records).await.unwrap();
    assert_ne!(first.files[0].path, again.files[0].path, "no name is used twice");
    archive.database.commit_archive_batch(&again).await.unwrap();
    assert!(archive.database.commit_archive_batch(&first).await.is_err(), "committed once");
    assert_eq!(archive.read(ALL_TIMES).await.len(), 10);
}

#[tokio::test]
async fn offsets_that_the_log_left_out_are_passed_over() {
    let archive = Archive::open().await;
    let records = [3, 4, 9].map(|o| record(0, o, &view("u", "i", 10)));
    archive.add_from(0, 0, &records).await;
    assert_eq!(archive.database.archive_offset(Topic::Events, 0).await.unwrap(), 10);
    let offsets = archive.read(ALL_TIMES).await.into_iter().map(|(at, _)| at.offset).collect::<Vec<_>>();
    assert_eq!(offsets, [3, 4, 9]);
    let behind = archive.writer.write(&archive.database, 0, 4, &records).await;
    assert!(matches!(behind, Err(ArchiveError::Disordered { at_least: 4, got: 3, .. })), "{behind:?}");
    let twice = [records[1].clone(), records[1].clone()];
    let twice = archive.writer.write(&archive.database, 0, 0, &twice).await;
    assert!(matches!(twice, Err(ArchiveError::Disordered { at_least: 5, got: 4, .. })), "{twice:?}");
    let none = archive.writer.write(&archive.database, 0, 10, &[]).await;
    assert!(matches!(none, Err(ArchiveError::NoRecords { partition: 0 })), "{none:?}");
}

#[tokio::test]
async fn damaged_and_missing_files_are_named() {
    let archive = Archive::open().await;
    let records = (0..2_000).map(|o| record(0, o, &view("u", &format!("i{o}"), 10))).collect::<Vec<_>>();
    let files = archive.add_from(0, 0, &records).await;
    let path = archive.folder.path().join("artifacts").join(&files[0].path);
    let whole = std::fs::read(&path).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for bytes in [flipped, whole[..100].to_vec(), Vec::new()] {
        std::fs::write(&path, bytes).unwrap();
        let read = archive.reader.events(ALL_TIMES).await.unwrap().collect().await;
        let Err(ArchiveError::Artifact(ArtifactError::Checksum { path, .. })) = read else {
            panic!("{read:?}")
        };
        assert_eq!(path, files[0].path);
    }
    std::fs::remove_file(&path).unwrap();
    let read = archive.reader.events(ALL_TIMES).await.unwrap().collect().await;
    assert!(matches!(read, Err(ArchiveError::Artifact(ArtifactError::NotFound(_)))), "{read:?}");
}

/// Damage that the manifest's checksum vouches for: what a faulty writer would leave.
#[tokio::test]
async fn files_that_were_written_wrongly_are_errors_and_never_panics() {
    let archive = Archive::open().await;
    let records = (0..300).map(|o| record(0, o, &view("u", &format!("i{o}"), 10))).collect::<Vec<_>>();
    let files = archive.writer.write(&archive.database, 0, 0, &records).await.unwrap().files;
    let path = archive.folder.path().join("artifacts").join(&files[0].path);
    let whole = std::fs::read(&path).unwrap();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut n_refused = 0;
    for round in 0..150_u64 {
        let mut bytes = whole.clone();
        for _ in 0..4 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let at = usize::try_from(state % bytes.len() as u64).unwrap();
            bytes[at] ^= (state >> 33) as u8;
        }
        let artifacts = Artifacts::open_local(archive.folder.path().join("damaged"), 1 << 30).await.unwrap();
        let sha256 = artifacts.put_with_sha256(&files[0].path, Bytes::from(bytes)).await.unwrap();
        let database =
            Arc::new(Database::open(archive.folder.path().join(format!("db-{round}"))).await.unwrap());
        database.announce_archive_file(&files[0].path, at(1)).await.unwrap();
        let file = ArchiveFile { sha256, ..files[0].clone() };
        let batch = ArchiveBatch {
            topic: Topic::Events,
            partition: 0,
            first_offset: file.first_offset,
            last_offset: file.last_offset,
            files: vec![file],
            erasures: Vec::new(),
            erasures_seen: 0,
        };
        database.commit_archive_batch(&batch).await.unwrap();
        let reader = ArchiveReader::new(artifacts, database, Topic::Events);
        match reader.events(ALL_TIMES).await.unwrap().collect().await {
            Ok(events) => assert!(events.len() <= 300),
            Err(error) => {
                assert!(error.to_string().contains(&files[0].path), "{error}");
                n_refused += 1;
            }
        }
    }
    assert!(n_refused > 50, "only {n_refused} of 150 noticed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn two_years_of_history_give_few_files_that_read_fast() {
    const N: u64 = 800_000;
    const BATCH: usize = 50_000;
    let archive = Archive::open().await;
    let (mut n_files, mut encode_s) = (0, 0.0);
    let mut offsets = [0_u64; 4];
    let mut batches = [const { Vec::new() }; 4];
    for i in 0..N {
        let mut event = view(&format!("user-{}", i * 31 % 20_000), &format!("item-{}", i * i % 5_000), 0);
        event.timestamp = at(1_600_000_000_000 + i64::try_from(i).unwrap() * 730 * DAY_MS / 800_000);
        if let EventBody::Interaction(interaction) = &mut event.body {
            interaction.kind = InteractionKind::Purchase;
            interaction.price = Some((i % 1_000) as f64 / 100.0);
            interaction.quantity = Some(1.0);
            interaction.order_id = Some(format!("o{}", i / 8));
        }
        let partition = (i * 31 % 20_000 % 4) as usize;
        batches[partition].push(record(partition as u32, offsets[partition], &event));
        offsets[partition] += 1;
        if batches[partition].len() == BATCH || i + 4 >= N {
            let start = Instant::now();
            n_files += archive.add(partition as u32, &batches[partition]).await;
            encode_s += start.elapsed().as_secs_f64();
            batches[partition].clear();
        }
    }
    let start = Instant::now();
    let mut events = archive.reader.events(ALL_TIMES).await.unwrap();
    let (mut n_read, mut last) = (0, at(i64::MIN));
    while let Some(batch) = events.next_batch().await.unwrap() {
        for (_, event) in batch {
            assert!(last <= event.timestamp);
            last = event.timestamp;
            n_read += 1;
        }
    }
    let took = start.elapsed();
    println!("{N} rows: {n_files} files, written in {encode_s:.2} s, read in {took:?}");
    assert_eq!(n_read, N);
    assert!(n_files <= 120, "{n_files} files");
    // The aim is 2 s on a core of one's own.
    assert!(took.as_secs() < 12, "{took:?}");
}
