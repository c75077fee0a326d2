use proptest::prelude::*;
use serde_json::json;

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn parse(value: Value) -> Result<Event, String> {
    serde_json::from_value::<WireEvent>(value).map_err(|e| e.to_string())?.into_event(NOW)
}

/// A good click with some fields replaced; `null` removes one.
fn click_with(changes: &Value) -> Value {
    let mut event = json!({"type": "click", "user_id": "17850", "item_id": "85123A"});
    for (name, value) in changes.as_object().unwrap() {
        event[name] = value.clone();
    }
    event.as_object_mut().unwrap().retain(|_, v| !v.is_null());
    event
}

#[track_caller]
fn check_rejected(changes: Value, expected: &str) {
    assert_eq!(parse(click_with(&changes)).unwrap_err(), expected);
}

#[test]
fn a_click_needs_a_type_a_person_and_an_item() {
    let event = parse(json!({"type": "click", "user_id": "17850", "item_id": "85123A"})).unwrap();
    let item_id = ItemId::try_new("85123A").unwrap();
    assert_eq!(
        event,
        Event {
            event_id: None,
            timestamp: NOW,
            person: Person::user(UserId::try_new("17850").unwrap()),
            body: EventBody::Interaction(Interaction::new(InteractionKind::Click, item_id)),
            context: Map::new(),
        }
    );
}

#[test]
fn every_field_of_a_purchase_arrives() {
    let event = parse(json!({
        "event_id": "e1", "type": "purchase", "user_id": "u", "session_id": "s", "item_id": "i",
        "timestamp": "2010-12-01T08:26:00Z", "value": 1.5, "quantity": 6, "price": 2.55, "currency": "GBP",
        "order_id": "536365", "answer_id": "a1", "position": 3, "context": {"page": "/basket"},
    }))
    .unwrap();
    assert_eq!(event.event_id.unwrap().as_str(), "e1");
    assert_eq!(event.timestamp, Timestamp::from_millis(1_291_191_960_000));
    assert_eq!(event.person.user_id.unwrap().as_str(), "u");
    assert_eq!(event.person.session_id.unwrap().as_str(), "s");
    assert_eq!(event.context["page"], "/basket");
    let EventBody::Interaction(purchase) = event.body else { panic!("not an interaction: {:?}", event.body) };
    assert_eq!(
        purchase,
        Interaction {
            kind: InteractionKind::Purchase,
            item_id: ItemId::try_new("i").unwrap(),
            value: Some(1.5),
            quantity: Some(6.0),
            price: Some(2.55),
            currency: Some("GBP".to_owned()),
            order_id: Some("536365".to_owned()),
            answer_id: Some(AnswerId::try_new("a1").unwrap()),
            position: Some(3),
            signal: None,
            placement: None,
        }
    );
}

#[test]
fn every_named_kind_is_known_and_any_other_name_is_the_installations_own() {
    for kind in InteractionKind::NAMED {
        let event = parse(click_with(&json!({"type": kind.as_str()}))).unwrap();
        assert!(matches!(event.body, EventBody::Interaction(i) if i.kind == kind), "{kind:?}");
    }
    let event = parse(click_with(&json!({"type": "test_drive"}))).unwrap();
    assert!(
        matches!(event.body, EventBody::Interaction(i) if i.kind == InteractionKind::Custom("test_drive".to_owned()))
    );
}

#[test]
fn an_impression_lists_what_was_seen() {
    let event = parse(json!({
        "type": "impression", "session_id": "s", "answer_id": "a1",
        "items": [{"item_id": "x", "position": 1}, {"item_id": "y", "position": 4}],
    }))
    .unwrap();
    let EventBody::Impression(seen) = event.body else { panic!("not an impression: {:?}", event.body) };
    assert_eq!(seen.answer_id.as_str(), "a1");
    let places: Vec<_> = seen.items.iter().map(|s| (s.item_id.as_str(), s.position)).collect();
    assert_eq!(places, [("x", 1), ("y", 4)]);
}

#[test]
fn the_placement_is_what_the_client_says_and_else_what_the_answers_id_says() {
    let minted = AnswerId::mint(NOW, 7, &Placement::ItemPage);
    let of = |changes: Value| match parse(click_with(&changes)).unwrap().body {
        EventBody::Interaction(click) => click.placement,
        other => panic!("not an interaction: {other:?}"),
    };
    assert_eq!(of(json!({"answer_id": minted.as_str()})), Some(Placement::ItemPage));
    assert_eq!(of(json!({"answer_id": minted.as_str(), "placement": "cart"})), Some(Placement::Cart));
    assert_eq!(of(json!({"answer_id": "made-up~home"})), None);
    assert_eq!(of(json!({"placement": "footer"})), Some(Placement::Custom("footer".to_owned())));
    let seen = parse(json!({
        "type": "impression", "session_id": "s", "answer_id": minted.as_str(),
        "items": [{"item_id": "x", "position": 1}],
    }));
    let EventBody::Impression(seen) = seen.unwrap().body else { panic!("not an impression") };
    assert_eq!(seen.placement, Some(Placement::ItemPage));
    for bad in ["", "a\nb", &"x".repeat(65)] {
        check_rejected(
            json!({"placement": bad}),
            "placement must have 1 to 64 bytes without control characters",
        );
    }
}

#[test]
fn an_event_belongs_to_somebody() {
    check_rejected(json!({"user_id": null}), "neither user_id nor session_id is given");
    assert!(parse(click_with(&json!({"user_id": null, "session_id": "s"}))).is_ok());
}

#[test]
fn each_bad_id_is_named() {
    for field in ["user_id", "session_id", "item_id", "event_id", "answer_id"] {
        check_rejected(json!({field: ""}), &format!("{field} is empty"));
        check_rejected(
            json!({field: "x".repeat(300)}),
            &format!("{field} has 300 bytes, at most 256 are allowed"),
        );
        check_rejected(json!({field: "a\nb"}), &format!("{field} contains a control character"));
    }
    check_rejected(json!({"item_id": null}), "item_id is missing");
}

#[test]
fn a_time_that_is_none_is_quoted() {
    let error = parse(click_with(&json!({"timestamp": "yesterday"}))).unwrap_err();
    assert!(error.starts_with("timestamp \"yesterday\" is not an RFC 3339 time: "), "{error}");
}

#[test]
fn the_type_is_a_short_name_and_not_one_of_waggles_own() {
    let sentence = "type must have 1 to 64 bytes without control characters";
    check_rejected(json!({"type": ""}), sentence);
    check_rejected(json!({"type": "x".repeat(65)}), sentence);
    check_rejected(json!({"type": "a\tb"}), sentence);
    for reserved in RESERVED {
        check_rejected(
            json!({"type": reserved}),
            &format!("type \"{reserved}\" is written by waggle itself"),
        );
    }
    assert!(parse(click_with(&json!({"type": "x".repeat(64)}))).is_ok());
}

#[test]
fn currency_and_order_are_short_names() {
    for field in ["currency", "order_id"] {
        for bad in ["", "a\nb", &"x".repeat(65)] {
            check_rejected(
                json!({field: bad}),
                &format!("{field} must have 1 to 64 bytes without control characters"),
            );
        }
    }
}

#[test]
fn numbers_stay_in_their_range() {
    check_rejected(json!({"quantity": -1}), "quantity is -1, it must be 0 or more");
    check_rejected(json!({"price": -0.5}), "price is -0.5, it must be 0 or more");
    check_rejected(json!({"position": 0}), "position is 0, places count from 1");
    assert!(parse(click_with(&json!({"quantity": 0, "price": 0, "value": -1}))).is_ok());
}

#[test]
fn a_number_that_is_none_is_refused_even_where_json_could_not_have_carried_it() {
    let with = |change: fn(&mut WireEvent)| {
        let mut event: WireEvent = serde_json::from_value(click_with(&json!({}))).unwrap();
        change(&mut event);
        event.into_event(NOW).unwrap_err()
    };
    assert_eq!(with(|e| e.value = Some(f64::NAN)), "value is not a finite number");
    assert_eq!(with(|e| e.price = Some(f64::NAN)), "price is NaN, it must be 0 or more");
    assert_eq!(with(|e| e.quantity = Some(f64::INFINITY)), "quantity is inf, it must be 0 or more");
}

#[test]
fn an_impression_without_its_parts_says_which() {
    let impression =
        |items: Value| json!({"type": "impression", "user_id": "u", "answer_id": "a", "items": items});
    let seen =
        |n: usize| Value::from((1..=n).map(|p| json!({"item_id": "x", "position": p})).collect::<Vec<_>>());

    let without_answer = json!({"type": "impression", "user_id": "u", "items": seen(1)});
    assert_eq!(parse(without_answer).unwrap_err(), "answer_id is missing");
    let without_items = json!({"type": "impression", "user_id": "u", "answer_id": "a"});
    assert_eq!(parse(without_items).unwrap_err(), "items are missing");
    assert_eq!(parse(impression(seen(0))).unwrap_err(), "items has 0 entries, 1 to 500 are allowed");
    assert_eq!(parse(impression(seen(501))).unwrap_err(), "items has 501 entries, 1 to 500 are allowed");
    assert!(parse(impression(seen(500))).is_ok());
    let at_zero = json!([{"item_id": "x", "position": 0}]);
    assert_eq!(parse(impression(at_zero)).unwrap_err(), "position is 0, places count from 1");
    let nameless = json!([{"item_id": "", "position": 1}]);
    assert_eq!(parse(impression(nameless)).unwrap_err(), "item_id is empty");
}

#[test]
fn items_belong_to_impressions() {
    check_rejected(
        json!({"items": [{"item_id": "x", "position": 1}]}),
        "items belong to impressions, not to \"click\"",
    );
}

#[test]
fn context_is_free_but_bounded() {
    let event =
        parse(click_with(&json!({"context": {"page": "/", "nested": {"a": [1, null, "b"]}}}))).unwrap();
    assert_eq!(event.context["nested"]["a"][2], "b");

    // {"note":"xxx…"} has eleven bytes around its text.
    let of_size = |bytes: usize| json!({"context": {"note": "x".repeat(bytes - 11)}});
    assert!(parse(click_with(&of_size(MAX_CONTEXT_BYTES))).is_ok());
    check_rejected(of_size(MAX_CONTEXT_BYTES + 1), "context has 16385 bytes, at most 16384 are allowed");
}

#[test]
fn a_misspelt_field_is_an_error_and_not_a_silent_loss() {
    let error = parse(click_with(&json!({"itemid": "x"}))).unwrap_err();
    assert!(error.starts_with("unknown field `itemid`"), "{error}");
    let error = parse(json!({"type": "impression", "user_id": "u", "answer_id": "a",
        "items": [{"item_id": "x", "position": 1, "rank": 1}]}))
    .unwrap_err();
    assert!(error.starts_with("unknown field `rank`"), "{error}");
}

#[test]
fn the_type_is_required_and_fields_have_their_json_types() {
    let error = parse(json!({"user_id": "u", "item_id": "x"})).unwrap_err();
    assert!(error.contains("missing field `type`"), "{error}");
    for wrong in
        [json!({"quantity": "6"}), json!({"item_id": 5}), json!({"position": -1}), json!({"context": []})]
    {
        assert!(parse(click_with(&wrong)).is_err(), "{wrong}");
    }
}

#[test]
fn what_is_absent_is_not_written() {
    let event: WireEvent = serde_json::from_value(click_with(&json!({}))).unwrap();
    assert_eq!(serde_json::to_value(&event).unwrap(), click_with(&json!({})));
}

#[test]
fn an_event_with_every_field_is_written_as_it_came() {
    for event in [
        json!({"event_id": "e-1", "type": "nibble", "user_id": "u", "session_id": "s", "item_id": "i",
            "timestamp": "2023-11-14T22:13:20.000Z", "value": 1.5, "quantity": 2.0, "price": 3.25, "currency": "EUR",
            "order_id": "o", "answer_id": "a", "position": 3, "placement": "cart", "context": {"page": 1}}),
        json!({"type": "impression", "session_id": "s", "timestamp": "2023-11-14T22:13:20.000Z", "answer_id": "a",
            "items": [{"item_id": "i", "position": 1}, {"item_id": "j", "position": 2}]}),
    ] {
        let written = WireEvent::of(&parse(event.clone()).unwrap()).unwrap();
        assert_eq!(serde_json::to_value(written).unwrap(), event);
    }
}

proptest! {
    #[test]
    fn any_combination_of_fields_converts_or_gives_a_sentence(
        kind in "\\PC{0,8}",
        user in proptest::option::of("\\PC{0,4}"),
        session in proptest::option::of(".{0,4}"),
        item in proptest::option::of(".{0,4}"),
        timestamp in proptest::option::of("\\PC{0,30}"),
        quantity in proptest::option::of(any::<f64>()),
        position in proptest::option::of(any::<u32>()),
    ) {
        let event = WireEvent {
            r#type: kind, user_id: user, session_id: session, item_id: item, timestamp, quantity, position,
            ..WireEvent::default()
        };
        match event.into_event(NOW) {
            Ok(event) => {
                prop_assert!(!event.person.is_nobody());
                // What is written out comes in again as it was, whenever that is.
                let written = WireEvent::of(&event).unwrap();
                prop_assert_eq!(written.into_event(Timestamp::from_millis(0)).unwrap(), event);
            }
            Err(sentence) => prop_assert!(!sentence.is_empty() && !sentence.ends_with('.')),
        }
    }
}
