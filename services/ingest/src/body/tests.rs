use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// What each element of the body is.
fn apart(body: &str, format: Format) -> Result<Vec<Result<Event, String>>, BodyError> {
    let elements = elements(body.as_bytes(), format, 3)?;
    Ok(elements.into_iter().map(|element| event(element, NOW)).collect())
}

#[track_caller]
fn check(body: &str, format: Format, n_events: usize, refused: &[(usize, &str)]) {
    let elements = apart(body, format).unwrap();
    assert_eq!(elements.iter().filter(|element| element.is_ok()).count(), n_events);
    let got: Vec<_> = (0..).zip(&elements).filter_map(|(i, e)| Some((i, e.as_ref().err()?))).collect();
    assert_eq!(got.len(), refused.len(), "{got:?}");
    for ((index, detail), (wanted_index, wanted)) in got.iter().zip(refused) {
        assert_eq!(index, wanted_index);
        assert!(detail.contains(wanted), "{detail}");
    }
}

#[track_caller]
fn check_malformed(body: &str, what: &str) {
    match apart(body, Format::Json) {
        Err(BodyError::Malformed(detail)) => assert!(detail.contains(what), "{detail}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_bad_event_spoils_only_itself() {
    check(
        r#" { "events" : [ {"type":"view","user_id":"u","item_id":"a"} , {"type":"view","item_id":"}],{"} ,7 ] } "#,
        Format::Json,
        1,
        &[(1, "neither user_id nor session_id"), (2, "not an event")],
    );
}

#[test]
fn brackets_inside_strings_do_not_end_an_element() {
    let body = r#"{"events":[{"type":"view","user_id":"]}\"","item_id":"a,b"}]}"#;
    let elements = elements(body.as_bytes(), Format::Json, 3).unwrap();
    assert_eq!(elements, [&body.as_bytes()[11..body.len() - 2]]);
    assert_eq!(event(elements[0], NOW).unwrap().person.user_id.unwrap().as_str(), r#"]}""#);
}

#[test]
fn an_empty_list_is_a_valid_body() {
    check(r#"{"events":[]}"#, Format::Json, 0, &[]);
    check("\n\n", Format::Ndjson, 0, &[]);
}

#[test]
fn a_body_that_is_not_whole_is_refused_whole() {
    check_malformed("", "expected {");
    check_malformed("[]", "expected {");
    check_malformed(r#"{"events":[{"type":"view","user_id":"u","item_id":"a"}"#, "expected , or ]");
    check_malformed(r#"{"events":[{"type":"view","user_id":"#, "EOF");
    check_malformed(r#"{"events":[1 2]}"#, "expected , or ]");
    check_malformed(r#"{"events":[],"more":1}"#, "only field");
    check_malformed(r#"{"event":[]}"#, "\"events\"");
    check_malformed(r#"{"events":[]} x"#, "behind the body");
    check_malformed(r#"{"events":[1,]}"#, "expected value");
}

#[test]
fn lines_stand_alone_even_when_they_are_not_json() {
    check(
        "{\"type\":\"view\",\"user_id\":\"u\",\"item_id\":\"a\"}\r\n\n{broken\n{\"type\":\"like\",\"session_id\":\"s\",\"item_id\":\"b\"}",
        Format::Ndjson,
        2,
        &[(1, "not an event")],
    );
}

#[test]
fn a_body_with_too_many_events_is_refused_whole() {
    assert_eq!(apart(r#"{"events":[1,2,3,4]}"#, Format::Json).unwrap_err(), BodyError::TooMany(3));
    assert_eq!(apart("1\n2\n3\n4", Format::Ndjson).unwrap_err(), BodyError::TooMany(3));
    check(r#"{"events":[1,2,3]}"#, Format::Json, 0, &[(0, "not"), (1, "not"), (2, "not")]);
}

#[test]
fn an_event_without_a_time_happened_now() {
    let elements =
        apart(r#"{"events":[{"type":"view","user_id":"u","item_id":"a"}]}"#, Format::Json).unwrap();
    assert_eq!(elements[0].as_ref().unwrap().timestamp, NOW);
}
