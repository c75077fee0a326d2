use proptest::{collection::vec, option, prelude::*};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::*;
use crate::{
    Answer, AnswerId, AnsweredItem, AppliedRule, CandidateSource, CatalogChange, CountsAs, EventBody,
    EventId, Impression, Interaction, InteractionKind, Item, ItemId, Person, Placement, Rung, SessionId,
    Signal, SnapshotVersion, SourceScore, Timestamp, UserChange, UserId, Watermark, event::SeenItem,
};

fn item_id() -> impl Strategy<Value = ItemId> {
    "[ -~é🐝]{1,20}".prop_map(|id| ItemId::try_new(id).unwrap())
}

fn answer_id() -> impl Strategy<Value = AnswerId> {
    "[a-f0-9]{1,32}".prop_map(|id| AnswerId::try_new(id).unwrap())
}

fn time() -> impl Strategy<Value = Timestamp> {
    any::<i64>().prop_map(Timestamp::from_millis)
}

/// Everything but NaN, which is not equal to itself.
fn number() -> impl Strategy<Value = f64> {
    any::<f64>().prop_filter("a number", |n| !n.is_nan())
}

fn weight() -> impl Strategy<Value = f32> {
    any::<f32>().prop_filter("a number", |n| !n.is_nan())
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e300_f64..1e300).prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            properties_of(inner).prop_map(Value::Object)
        ]
    })
}

fn properties_of(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    proptest::collection::btree_map("\\PC{0,6}", value, 0..4).prop_map(|map| map.into_iter().collect())
}

fn person() -> impl Strategy<Value = Person> {
    (option::of("[a-z0-9]{1,12}"), option::of("[a-z0-9]{1,12}")).prop_map(|(user, session)| Person {
        user_id: user.map(|id| UserId::try_new(id).unwrap()),
        session_id: session.map(|id| SessionId::try_new(id).unwrap()),
    })
}

fn signal() -> impl Strategy<Value = Signal> {
    let counts_as = [CountsAs::Attention, CountsAs::Cart, CountsAs::Purchase, CountsAs::Negative];
    (proptest::sample::select(counts_as.to_vec()), 0.001..100.0)
        .prop_map(|(counts_as, weight)| Signal::try_new(counts_as, weight).unwrap())
}

prop_compose! {
    fn interaction()(
        kind in prop_oneof![
            (0..InteractionKind::NAMED.len()).prop_map(|i| InteractionKind::NAMED[i].clone()),
            "[a-z]{1,9}".prop_map(InteractionKind::from),
        ],
        item_id in item_id(),
        value in option::of(number()),
        quantity in option::of(number()),
        price in option::of(number()),
        currency in option::of("[A-Z]{3}"),
        order_id in option::of("[0-9]{1,8}"),
        answer_id in option::of(answer_id()),
        position in option::of(any::<u32>()),
        signal in option::of(signal()),
        placement in option::of("[a-z_]{1,9}".prop_map(Placement::from)),
    ) -> Interaction {
        Interaction {
            kind, item_id, value, quantity, price, currency, order_id, answer_id, position, signal, placement,
        }
    }
}

prop_compose! {
    fn answered_item()(
        item_id in item_id(),
        position in any::<u32>(),
        score in weight(),
        propensity in weight(),
        sources in vec(
            (0..CandidateSource::ALL.len(), weight(), any::<u32>(), option::of(item_id())).prop_map(
                |(source, score, rank, because)| {
                    SourceScore { source: CandidateSource::ALL[source], score, rank, because }
                },
            ),
            0..3,
        ),
        features in vec(weight(), 0..4),
        rules in vec(applied_rule(), 0..3),
    ) -> AnsweredItem {
        AnsweredItem { item_id, position, score, propensity, sources, rules, features }
    }
}

fn applied_rule() -> impl Strategy<Value = AppliedRule> {
    prop_oneof![
        Just(AppliedRule::Pin),
        ("[ -~é]{0,20}", -9.0_f32..9.0).prop_map(|(when, by)| AppliedRule::Boost { when, by }),
        Just(AppliedRule::NewShare),
        ("[a-z]{0,9}", 0..99_usize)
            .prop_map(|(attribute, n_passed)| AppliedRule::MaxPer { attribute, n_passed }),
        (0..99_usize).prop_map(|n_passed| AppliedRule::Diversity { n_passed }),
        Just(AppliedRule::Exploration),
    ]
}

prop_compose! {
    fn answer()(
        answer_id in answer_id(),
        placement in "[a-z_]{1,9}".prop_map(Placement::from),
        rung in prop_oneof![Just(Rung::Personal), Just(Rung::Segment), Just(Rung::Trending), Just(Rung::Static)],
        snapshot in option::of("[0-9a-z-]{1,20}"),
        watermark in option::of((any::<u32>(), any::<u64>(), time())),
        computed_by in option::of(answer_id()),
        items in vec(answered_item(), 0..4),
        feature_names in vec("[a-z_]{1,9}", 0..4),
        n_candidates in any::<u32>(),
        took_ms in number(),
    ) -> Answer {
        Answer {
            answer_id,
            placement,
            rung,
            snapshot: snapshot.map(|v| SnapshotVersion::try_new(v).unwrap()),
            watermark: watermark.map(|(partition, offset, time)| Watermark { partition, offset, time }),
            computed_by,
            items,
            feature_names: feature_names.into(),
            n_candidates,
            took_ms,
        }
    }
}

prop_compose! {
    fn item()(
        item_id in item_id(),
        title in "\\PC{0,20}",
        texts in proptest::array::uniform4(option::of("\\PC{0,12}")),
        image_url in option::of("[a-z:/.]{1,20}"),
        price in option::of(number()),
        available_from in option::of(time()),
        available_until in option::of(time()),
        hidden in any::<bool>(),
        in_stock in any::<bool>(),
        properties in properties_of(json_value()),
    ) -> Item {
        let [category, brand, currency, description] = texts;
        Item {
            item_id, title, category, brand, price, currency, description, image_url, available_from, available_until,
            hidden,
            in_stock, properties,
        }
    }
}

fn body() -> impl Strategy<Value = EventBody> {
    prop_oneof![
        interaction().prop_map(EventBody::Interaction),
        answer().prop_map(|a| EventBody::Answer(Box::new(a))),
        (answer_id(), vec((item_id(), any::<u32>()), 0..5), option::of("[a-z_]{1,9}")).prop_map(
            |(answer_id, items, placement)| {
                let items =
                    items.into_iter().map(|(item_id, position)| SeenItem { item_id, position }).collect();
                EventBody::Impression(Impression {
                    answer_id,
                    items,
                    placement: placement.map(Placement::from),
                })
            }
        ),
        item().prop_map(|i| EventBody::CatalogChange(Box::new(CatalogChange::Put(i)))),
        item_id().prop_map(|i| EventBody::CatalogChange(Box::new(CatalogChange::Delete(i)))),
        properties_of(json_value()).prop_map(|properties| EventBody::UserChange(UserChange { properties })),
        Just(EventBody::Merge),
        Just(EventBody::Erasure),
    ]
}

prop_compose! {
    fn event()(
        event_id in option::of("[0-9a-f-]{1,36}"),
        timestamp in time(),
        person in person(),
        body in body(),
        context in properties_of(json_value()),
    ) -> Event {
        Event { event_id: event_id.map(|id| EventId::try_new(id).unwrap()), timestamp, person, body, context }
    }
}

proptest! {
    #[test]
    fn every_event_survives_encoding(event in event()) {
        let bytes = encode_event(&event);
        prop_assert_eq!(bytes[0], SCHEMA_VERSION);
        prop_assert_eq!(decode_event(&bytes).unwrap(), event);
    }

    #[test]
    fn a_record_cut_short_anywhere_is_an_error(event in event()) {
        let bytes = encode_event(&event);
        for end in 0..bytes.len() {
            prop_assert!(decode_event(&bytes[..end]).is_err(), "{end} of {} bytes decoded", bytes.len());
        }
    }

    #[test]
    fn a_record_with_something_behind_it_is_an_error(event in event(), tail in vec(any::<u8>(), 1..8)) {
        let mut bytes = encode_event(&event);
        bytes.extend_from_slice(&tail);
        prop_assert!(matches!(decode_event(&bytes), Err(CodecError::Trailing)));
    }

    #[test]
    fn a_flipped_byte_gives_an_event_or_an_error_but_no_panic(event in event(), at in any::<usize>(), flip in 1..=255_u8) {
        let mut bytes = encode_event(&event);
        let at = at % bytes.len();
        bytes[at] ^= flip;
        let _ = decode_event(&bytes);
    }

    #[test]
    fn any_bytes_give_an_event_or_an_error_but_no_panic(mut bytes in vec(any::<u8>(), 0..200)) {
        let _ = decode_event(&bytes);
        bytes.insert(0, SCHEMA_VERSION);
        let _ = decode_event(&bytes);
    }
}

#[test]
fn no_bytes_are_no_event() {
    assert!(matches!(decode_event(&[]), Err(CodecError::Empty)));
}

#[test]
fn another_version_is_named_together_with_ours() {
    let mut bytes = encode_event(&merge());
    bytes[0] = 2;
    assert_eq!(
        decode_event(&bytes).unwrap_err().to_string(),
        "record has schema version 2, this build reads 1"
    );
}

#[test]
fn a_record_past_the_limit_is_refused_before_it_is_read() {
    let bytes = vec![SCHEMA_VERSION; MAX_RECORD_BYTES + 1];
    assert!(matches!(decode_event(&bytes), Err(CodecError::TooLarge { got }) if got == MAX_RECORD_BYTES + 1));
    assert!(matches!(decode_event(&bytes[1..]), Err(CodecError::Malformed(_) | CodecError::Trailing)));
}

#[test]
fn a_length_that_lies_costs_no_memory() {
    // A map of 2^32 − 1 entries, a string and an array of as many: five bytes each that promise gigabytes.
    for marker in [0xdf, 0xdb, 0xdd, 0xc6] {
        assert!(decode_event(&[SCHEMA_VERSION, marker, 0xff, 0xff, 0xff, 0xff]).is_err());
    }
}

#[test]
fn nesting_without_end_is_an_error_and_not_a_stack_overflow() {
    let mut bytes = vec![SCHEMA_VERSION];
    bytes.extend(named(&json!({"timestamp": 0, "body": "merge"})));
    bytes[1] += 1; // one more field in the map
    bytes.extend(named(&"context"));
    bytes.extend([0x81, 0xa1, b'a']);
    bytes.extend(vec![0x91; 500_000]);
    bytes.push(0xc0);
    assert!(matches!(decode_event(&bytes), Err(CodecError::Malformed(_))));
}

#[test]
fn a_field_of_a_later_release_is_ignored() {
    let mut bytes = vec![SCHEMA_VERSION];
    bytes.extend(named(&json!({
        "timestamp": 5, "mood": {"valence": [1, 2]}, "person": {"user_id": "u", "household": "h"},
        "body": {"interaction": {"kind": "click", "item_id": "i", "dwell_ms": 900}},
    })));
    let expected = Event {
        event_id: None,
        timestamp: Timestamp::from_millis(5),
        person: Person::user(UserId::try_new("u").unwrap()),
        body: EventBody::Interaction(Interaction::new(InteractionKind::Click, ItemId::try_new("i").unwrap())),
        context: Map::new(),
    };
    assert_eq!(decode_event(&bytes).unwrap(), expected);
}

#[test]
fn an_identifier_is_checked_on_the_way_out_of_a_record_too() {
    let mut bytes = vec![SCHEMA_VERSION];
    bytes.extend(named(&json!({"timestamp": 5, "person": {"user_id": "a\nb"}, "body": "merge"})));
    let error = decode_event(&bytes).unwrap_err();
    assert!(
        std::error::Error::source(&error).unwrap().to_string().contains("control character"),
        "{error:?}"
    );
}

/// Bytes of schema version 1, written once and for all: a build that cannot read them cannot read anybody's log.
#[test]
fn a_record_of_version_one_reads_the_same_for_ever() {
    let record: Vec<u8> = [
        &b"\x01\x84"[..],
        b"\xa8event_id\xa2e1",
        b"\xa9timestamp\xcf\x00\x00\x01\x2c\xa0\xc9\xb6\x40",
        b"\xa6person\x81\xa7user_id\xa517850",
        b"\xa4body\x81\xabinteraction\x84\xa4kind\xa8purchase\xa7item_id\xa685123A",
        b"\xa8quantity\xcb\x40\x18\x00\x00\x00\x00\x00\x00\xa5price\xcb\x40\x04\x66\x66\x66\x66\x66\x66",
    ]
    .concat();
    let mut purchase = Interaction::new(InteractionKind::Purchase, ItemId::try_new("85123A").unwrap());
    purchase.quantity = Some(6.0);
    purchase.price = Some(2.55);
    let event = Event {
        event_id: Some(EventId::try_new("e1").unwrap()),
        timestamp: Timestamp::from_millis(0x0000_012c_a0c9_b640),
        person: Person::user(UserId::try_new("17850").unwrap()),
        body: EventBody::Interaction(purchase),
        context: Map::new(),
    };
    assert_eq!(decode_event(&record).unwrap(), event);
    assert_eq!(encode_event(&event), record);
}

fn merge() -> Event {
    Event {
        event_id: None,
        timestamp: Timestamp::from_millis(0),
        person: Person::user(UserId::try_new("u").unwrap()),
        body: EventBody::Merge,
        context: Map::new(),
    }
}

fn named(value: &impl Serialize) -> Vec<u8> {
    rmp_serde::to_vec_named(value).unwrap()
}
