use waggle_model::{Interaction, InteractionKind, ItemId, SessionId, UserId};

use super::*;

const DAY_MS: i64 = 86_400_000;

#[track_caller]
fn check(millis_from_now: i64, origin: Origin, sentence: Option<&str>) {
    let now = Timestamp::parse_rfc3339("2026-03-01T12:00:00Z").unwrap();
    let checked = check_time(now.shifted_by_millis(millis_from_now), now, origin, &IngestConfig::default());
    match (checked, sentence) {
        (Ok(()), None) => {}
        (Err(detail), Some(sentence)) => assert!(detail.contains(sentence), "{detail}"),
        (checked, _) => panic!("{checked:?}"),
    }
}

#[test]
fn a_clients_time_may_be_a_little_ahead_and_a_month_old() {
    check(0, Origin::Client, None);
    check(300_000, Origin::Client, None);
    check(300_001, Origin::Client, Some("2026-03-01T12:05:00.001Z is in the future"));
    check(-30 * DAY_MS, Origin::Client, None);
    check(-30 * DAY_MS - 1, Origin::Client, Some("more than 30 days ago"));
}

#[test]
fn what_is_imported_may_be_of_any_age_but_not_of_the_future() {
    check(-90_000 * DAY_MS, Origin::Import, None);
    check(-900_000 * DAY_MS, Origin::Import, Some("not within the years 0 to 9999"));
    check(300_000, Origin::Import, None);
    check(300_001, Origin::Import, Some("is in the future"));
    check(90_000 * DAY_MS, Origin::Import, Some("is in the future"));
}

#[test]
fn what_waggle_writes_itself_has_the_time_of_its_own_clock() {
    check(-9_000 * DAY_MS, Origin::System, None);
    check(9_000 * DAY_MS, Origin::System, None);
}

#[test]
fn every_body_goes_to_its_topic_under_its_key() {
    let person = Person {
        user_id: Some(UserId::try_new("anna").unwrap()),
        session_id: Some(SessionId::try_new("s1").unwrap()),
    };
    let event = |body| Event {
        event_id: None,
        timestamp: Timestamp::from_millis(0),
        person: person.clone(),
        body,
        context: serde_json::Map::new(),
    };
    let item = ItemId::try_new("lamp").unwrap();
    let view = event(EventBody::Interaction(Interaction::new(InteractionKind::View, item.clone())));
    assert_eq!((topic_of(&view.body), key_of(&view)), (Topic::Events, "anna"));
    let gone = event(EventBody::CatalogChange(Box::new(CatalogChange::Delete(item))));
    assert_eq!((topic_of(&gone.body), key_of(&gone)), (Topic::Catalog, "lamp"));
    assert_eq!(check_person(&event(EventBody::Merge)), Ok(()));
    let mut nobody = event(EventBody::Merge);
    nobody.person = Person::user(UserId::try_new("anna").unwrap());
    assert!(check_person(&nobody).unwrap_err().contains("both"));
}
