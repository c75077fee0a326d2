use proptest::prelude::*;

use super::*;

/// 2010-12-01T08:26:00Z, the first purchase of the retail dataset.
const FIRST: Timestamp = Timestamp::from_millis(1_291_191_960_000);

#[track_caller]
fn check_parse(text: &str, expected_millis: i64) {
    assert_eq!(Timestamp::parse_rfc3339(text), Ok(Timestamp::from_millis(expected_millis)), "{text}");
}

#[test]
fn rfc_3339_is_read_in_every_spelling_it_allows() {
    check_parse("1970-01-01T00:00:00Z", 0);
    check_parse("2010-12-01T08:26:00Z", FIRST.as_millis());
    check_parse("2010-12-01t08:26:00z", FIRST.as_millis());
    check_parse("2010-12-01 08:26:00Z", FIRST.as_millis());
    check_parse("2010-12-01T08:26:00.000Z", FIRST.as_millis());
    check_parse("2010-12-01T10:26:00+02:00", FIRST.as_millis());
    check_parse("2010-11-30T20:56:00-11:30", FIRST.as_millis());
    check_parse("2010-12-01T08:26:00.125Z", FIRST.as_millis() + 125);
    check_parse("1969-12-31T23:59:59.999Z", -1);
}

#[test]
fn digits_below_a_millisecond_are_cut_off() {
    check_parse("1970-01-01T00:00:00.0019999Z", 1);
    check_parse("1970-01-01T00:00:00.000000001Z", 0);
}

#[test]
fn what_is_not_rfc_3339_is_quoted_in_the_error() {
    for text in [
        "",
        "now",
        "2010-12-01",
        "2010-12-01T08:26:00",
        "2010-13-01T08:26:00Z",
        "2010-02-30T08:26:00Z",
        "2010-12-01T25:00:00Z",
        "1291191960",
        "2010-12-01T08:26:00Z ",
    ] {
        let error = Timestamp::parse_rfc3339(text).unwrap_err();
        assert!(error.starts_with(&format!("\"{text}\" is not an RFC 3339 time: ")), "{error}");
    }
}

#[test]
fn printing_gives_utc_with_milliseconds() {
    assert_eq!(FIRST.to_string(), "2010-12-01T08:26:00.000Z");
    assert_eq!(format!("{:?}", FIRST.shifted_by_millis(5)), "2010-12-01T08:26:00.005Z");
    assert_eq!(Timestamp::from_millis(-1).to_rfc3339(), "1969-12-31T23:59:59.999Z");
}

#[test]
fn a_time_no_calendar_expresses_prints_as_its_number() {
    assert_eq!(Timestamp::from_millis(i64::MAX).to_rfc3339(), i64::MAX.to_string());
}

#[test]
fn json_holds_text_and_binary_holds_the_number() {
    assert_eq!(serde_json::to_string(&FIRST).unwrap(), "\"2010-12-01T08:26:00.000Z\"");
    assert_eq!(serde_json::from_str::<Timestamp>("\"2010-12-01T10:26:00+02:00\"").unwrap(), FIRST);
    assert!(serde_json::from_str::<Timestamp>("1291191960000").is_err(), "JSON takes no bare numbers");

    let bytes = rmp_serde::to_vec(&FIRST).unwrap();
    assert_eq!(rmp_serde::from_slice::<i64>(&bytes).unwrap(), FIRST.as_millis());
    assert_eq!(rmp_serde::from_slice::<Timestamp>(&bytes).unwrap(), FIRST);
}

#[test]
fn an_escaped_json_string_is_a_time_too() {
    // The parser cannot borrow such a string; a borrowing `&str` would fail here.
    assert_eq!(serde_json::from_str::<Timestamp>("\"2010-12-01\\u005408:26:00Z\"").unwrap(), FIRST);
    let from_value: Timestamp = serde_json::from_value(serde_json::json!("2010-12-01T08:26:00Z")).unwrap();
    assert_eq!(from_value, FIRST);
}

#[test]
fn arithmetic_stops_at_the_ends_instead_of_wrapping() {
    let (first, last) = (Timestamp::from_millis(i64::MIN), Timestamp::from_millis(i64::MAX));
    assert_eq!(last + Duration::from_secs(1), last);
    assert_eq!(first - Duration::from_secs(1), first);
    assert_eq!(FIRST + Duration::MAX, last);
    assert_eq!(last.shifted_by_millis(1), last);
    assert_eq!(first.since(last), Duration::ZERO);
    assert_eq!(last.since(first), Duration::from_millis(i64::MAX.unsigned_abs()));
}

#[test]
fn since_counts_forward_only_and_days_count_both_ways() {
    let day_later = FIRST + Duration::from_secs(86_400);
    assert_eq!(day_later.since(FIRST), Duration::from_secs(86_400));
    assert_eq!(FIRST.since(day_later), Duration::ZERO);
    assert!((day_later.days_since(FIRST) - 1.0).abs() < 1e-12);
    assert!((FIRST.days_since(day_later) + 1.0).abs() < 1e-12);
    assert_eq!(day_later - Duration::from_secs(86_400), FIRST);
}

proptest! {
    /// Years 0000 to 9999, all that RFC 3339 can write.
    #[test]
    fn every_time_of_the_calendar_survives_text_and_back(millis in -62_167_219_200_000_i64..=253_402_300_799_999) {
        let time = Timestamp::from_millis(millis);
        prop_assert_eq!(Timestamp::parse_rfc3339(&time.to_rfc3339()), Ok(time));
    }

    #[test]
    fn any_text_gives_a_time_or_an_error_but_no_panic(text in "\\PC{0,40}") {
        let _ = Timestamp::parse_rfc3339(&text);
    }
}

#[test]
fn the_years_0_to_9999_can_be_expressed_and_no_others() {
    for (text, millis) in [("0000-01-01T00:00:00Z", -1), ("9999-12-31T23:59:59.999Z", 1)] {
        let edge = Timestamp::parse_rfc3339(text).unwrap();
        assert!(edge.is_expressible() && !edge.shifted_by_millis(millis).is_expressible(), "{text}");
    }
    assert!(!Timestamp::from_millis(i64::MAX).is_expressible());
}
