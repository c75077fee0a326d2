//! What was refused can be looked at and sent again.

use waggle_ingest_role::{
    dead_letters::{DeadLetters, Retry, Verdict},
    follower::{Counts, Intake},
    mapping::{Mapping, SourceRecord},
};

use super::*;

const THEN: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// Letters that are still open.
async fn open_letters(log: &Arc<SqliteLog>) -> Vec<(Position, DeadLetter)> {
    let mut open = Vec::new();
    let letters = DeadLetters::open(log.clone()).await.unwrap();
    letters
        .each(|position, letter, was_retried| {
            if !was_retried {
                open.push((position, letter));
            }
        })
        .await
        .unwrap();
    open
}

fn retry(log: &Arc<SqliteLog>, config: IngestConfig, mappings: Vec<Mapping>) -> Retry {
    Retry::new(Arc::new(IngestService::new(log.clone(), config)), log.clone(), mappings)
}

async fn events_of(log: &Arc<SqliteLog>) -> Vec<Event> {
    let records = all_records(&**log, Topic::Events).await;
    records.iter().map(|record| decode_event(&record.value).unwrap()).collect()
}

async fn set_aside(log: &Arc<SqliteLog>, letters: &[DeadLetter]) {
    let records = letters.iter().map(|letter| NewRecord { key: "k".into(), value: letter.encode().into() });
    log.append(Topic::DeadLetters, records.collect()).await.unwrap();
}

fn letter(origin: DeadLetterOrigin, payload: impl Into<bytes::Bytes>) -> DeadLetter {
    DeadLetter::new("did not fit", origin, THEN, &payload.into())
}

fn from_request(payload: &Value) -> DeadLetter {
    letter(DeadLetterOrigin::Request { index: 0 }, payload.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_todays_rules_let_in_is_taken_in_once_and_the_rest_stays_open() {
    let (log, _dir) = open_log().await;
    let strict = IngestConfig { unknown_types: UnknownTypes::Reject, ..IngestConfig::default() };
    let server = Server::start_with(log.clone(), strict.clone()).await;
    let wish = json!({ "type": "wishlist", "user_id": "anna", "item_id": "lamp" });
    let hopeless = json!({ "type": "wishlist", "item_id": "lamp" });
    assert_eq!(server.post_events(json!([wish, hopeless, view("bert", "sofa")])).await["accepted"], 1);
    server.stop().await;

    let letters = open_letters(&log).await;
    let wishlist = Signal::try_new(CountsAs::Cart, 1.0).unwrap();
    let own = OwnType::try_from("wishlist".to_owned()).unwrap();
    let today = retry(&log, IngestConfig { types: [(own, wishlist)].into(), ..strict }, Vec::new());
    let expected = [Verdict::TakenIn, Verdict::Refused("neither user_id nor session_id is given".to_owned())];
    assert_eq!(today.rehearse(&letters, Timestamp::now()), expected);
    assert_eq!((events_of(&log).await.len(), open_letters(&log).await.len()), (1, 2), "a rehearsal");

    assert_eq!(today.send(&letters, Timestamp::now()).await.unwrap(), expected);
    let open = open_letters(&log).await;
    assert_eq!(open, letters[1..], "the one that was taken in is closed");
    let events = events_of(&log).await;
    assert_eq!(events.len(), 2);
    let place = letters[0].0;
    let taken =
        events.iter().find(|event| event.person.user_id.as_ref().unwrap().as_str() == "anna").unwrap();
    let id = format!("dead-letter/{}/{}", place.partition, place.offset);
    assert_eq!(taken.event_id.as_ref().unwrap().as_str(), id, "named after its letter");
    assert_eq!(taken.timestamp, letters[0].1.at, "it happened when it came");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_age_of_an_event_is_what_it_was_when_the_letter_came() {
    let (log, _dir) = open_log().await;
    let at = |millis: i64| {
        let time = THEN.shifted_by_millis(millis).to_rfc3339();
        from_request(
            &json!({ "event_id": "e", "type": "view", "user_id": "u", "item_id": "i", "timestamp": time }),
        )
    };
    let day_ms = 86_400_000;
    set_aside(&log, &[at(-29 * day_ms), at(-31 * day_ms), at(day_ms)]).await;
    let verdicts = retry(&log, IngestConfig::default(), Vec::new())
        .send(&open_letters(&log).await, Timestamp::now())
        .await
        .unwrap();
    assert_eq!(verdicts[0], Verdict::TakenIn);
    let refused =
        |verdict: &Verdict, sentence: &str| matches!(verdict, Verdict::Refused(s) if s.contains(sentence));
    assert!(refused(&verdicts[1], "more than 30 days ago"), "{verdicts:?}");
    assert!(refused(&verdicts[2], "in the future"), "{verdicts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_letter_carries_an_event_of_the_future_past_the_clock() {
    let (log, _dir) = open_log().await;
    let future = Timestamp::now().shifted_by_millis(400 * 86_400_000);
    let event = Event { timestamp: future, ..event("e", "anna") };
    let origin = || DeadLetterOrigin::Log { topic: "events".into(), partition: 0, offset: 3 };
    let encoded = bytes::Bytes::from(waggle_model::encode_event(&event));
    // A record that a stranger wrote into the log, and a letter that a stranger dated himself.
    let found = DeadLetter::new("did not fit", origin(), THEN, &encoded);
    let dated = DeadLetter { at: future, ..found.clone() };
    set_aside(&log, &[found, dated]).await;
    let letters = open_letters(&log).await;
    for verdict in retry(&log, IngestConfig::default(), Vec::new()).rehearse(&letters, Timestamp::now()) {
        assert!(
            matches!(&verdict, Verdict::Refused(detail) if detail.contains("in the future")),
            "{verdict:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_whose_note_was_lost_is_named_alike_again() {
    let (log, _dir) = open_log().await;
    set_aside(&log, &[from_request(&view("anna", "lamp"))]).await;
    let letters = open_letters(&log).await;
    for _ in 0..2 {
        let fresh = retry(&log, IngestConfig::default(), Vec::new());
        assert_eq!(fresh.send(&letters, Timestamp::now()).await.unwrap(), [Verdict::TakenIn]);
    }
    let ids: Vec<_> = events_of(&log).await.into_iter().map(|event| event.event_id.unwrap()).collect();
    assert_eq!(ids.len(), 2, "the log has it twice, as after a crash between event and note");
    assert_eq!(ids[0], ids[1], "so its consumers count it once");
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_of_every_origin_find_their_way_back() {
    let (log, _dir) = open_log().await;
    let logged = |payload: Vec<u8>| {
        letter(DeadLetterOrigin::Log { topic: "events".into(), partition: 0, offset: 3 }, payload)
    };
    let source = |topic: &str, key: Option<bytes::Bytes>, payload: &Value| {
        let origin = DeadLetterOrigin::Source {
            topic: topic.to_owned(),
            partition: 5,
            offset: 9,
            key,
            timestamp: THEN.shifted_by_millis(-1),
        };
        letter(origin, payload.to_string())
    };
    let cut = vec![b' '; 300 * 1024];
    set_aside(
        &log,
        &[
            logged(waggle_model::encode_event(&Event { timestamp: THEN, ..event("e-1", "anna") })),
            logged(view("bert", "lamp").to_string().into_bytes()),
            logged(vec![9, 9, 9]),
            source("clicks", Some("cora".into()), &json!({ "kind": "view", "sku": 7 })),
            source("clicks", None, &json!({ "kind": "view", "sku": 7 })),
            source("forgotten", None, &json!({})),
            letter(DeadLetterOrigin::Request { index: 1 }, cut),
        ],
    )
    .await;
    log.append(Topic::DeadLetters, vec![NewRecord { key: "k".into(), value: "not a letter".into() }])
        .await
        .unwrap();

    let letters = open_letters(&log).await;
    let verdicts =
        retry(&log, IngestConfig::default(), vec![clicks()]).send(&letters, Timestamp::now()).await.unwrap();
    let refusals: Vec<_> = verdicts
        .iter()
        .map(|verdict| if let Verdict::Refused(detail) = verdict { detail.as_str() } else { "" })
        .collect();
    assert_eq!(refusals[..2], ["", ""]);
    assert!(refusals[2].contains("schema version 9"), "{refusals:?}");
    assert_eq!(refusals[3], "");
    assert!(refusals[4].contains("neither user_id nor session_id"), "{refusals:?}");
    assert!(refusals[5].contains("\"forgotten\" is not among ingest.topics"), "{refusals:?}");
    assert!(refusals[6].contains("not all of it was kept"), "{refusals:?}");
    assert!(refusals[7].contains("schema version 110"), "{refusals:?}");
    let mapped =
        events_of(&log).await.into_iter().find(|event| event.timestamp == THEN.shifted_by_millis(-1));
    assert_eq!(mapped.unwrap().event_id.unwrap().as_str(), "clicks/5/9");
}

fn clicks() -> Mapping {
    let config = json!({
        "topic": "clicks",
        "fields": { "type": "kind", "user_id": "@key", "item_id": "sku" },
        "unmapped_types": "skip",
    });
    Mapping::try_new(serde_json::from_value(config).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_a_topic_become_events_or_dead_letters_and_reading_them_again_changes_nothing() {
    let (log, _dir) = open_log().await;
    let record = |offset, value: Value| SourceRecord {
        partition: 2,
        offset,
        key: Some("anna".into()),
        value: Some(value.to_string().into()),
        timestamp: THEN,
    };
    let now = Timestamp::now();
    let future = SourceRecord {
        timestamp: now.shifted_by_millis(3_600_000),
        ..record(3, json!({ "kind": "view", "sku": "a" }))
    };
    let records = [
        record(0, json!({ "kind": "view", "sku": "a" })),
        record(1, json!({ "kind": "scroll", "sku": "a" })),
        record(2, json!({ "kind": "view" })),
        future,
        SourceRecord { value: None, key: None, ..record(4, json!(0)) },
        record(5, json!({ "kind": "purchase", "sku": "a" })),
    ];
    for restarted in [false, true] {
        let service = Arc::new(IngestService::new(log.clone(), IngestConfig::default()));
        let counts =
            Intake::new(service.clone(), log.clone(), clicks()).take_in(&records, now).await.unwrap();
        assert_eq!(counts, Counts { taken_in: 2, duplicates: 0, dead_letters: 3, skipped: 1 }, "{restarted}");
        let again = Intake::new(service, log.clone(), clicks()).take_in(&records, now).await.unwrap();
        assert_eq!(again, Counts { taken_in: 0, duplicates: 2, dead_letters: 3, skipped: 1 }, "{restarted}");
    }
    let ids: std::collections::BTreeSet<_> =
        events_of(&log).await.into_iter().map(|event| event.event_id.unwrap().to_string()).collect();
    assert_eq!(ids, ["clicks/2/0", "clicks/2/5"].map(str::to_owned).into());
    let letters = open_letters(&log).await;
    let reasons: Vec<_> = letters[..3].iter().map(|(_, letter)| letter.reason.as_str()).collect();
    assert!(reasons[0].contains("item_id is missing") && reasons[1].contains("no value"), "{reasons:?}");
    assert!(reasons[2].contains("is in the future"), "{reasons:?}");
}
