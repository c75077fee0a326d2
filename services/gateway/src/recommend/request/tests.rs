use super::*;

#[track_caller]
fn check(request: RecommendationRequest, expected: &str) {
    assert_eq!(Checked::try_new(request).unwrap_err(), expected);
}

#[test]
fn an_empty_request_is_ten_items_for_the_home_page() {
    let checked = Checked::try_new(RecommendationRequest::default()).unwrap();
    assert_eq!((checked.k, checked.placement), (None, Placement::Home));
    assert!(checked.person.is_nobody());
}

#[test]
fn a_refusal_names_the_field_and_its_limit() {
    let request = RecommendationRequest::default;
    check(
        RecommendationRequest { k: Some(i64::MIN), ..request() },
        "k is -9223372036854775808, it must be between 1 and 200",
    );
    check(
        RecommendationRequest { diversity: Some(f32::INFINITY), ..request() },
        "diversity is inf, it must be between 0 and 1",
    );
    check(
        RecommendationRequest { items: vec!["a".into(); 201], ..request() },
        "items has 201 entries, at most 200 are allowed",
    );
    check(
        RecommendationRequest { pin: vec!["\n".into()], ..request() },
        "pin: item_id contains a control character",
    );
    check(RecommendationRequest { session_id: Some(String::new()), ..request() }, "session_id is empty");
    check(
        RecommendationRequest { placement: Some("p".repeat(65)), ..request() },
        "placement must have 1 to 64 bytes without control characters",
    );
    check(
        RecommendationRequest { category: Some("a\0".into()), ..request() },
        "category must have 1 to 256 bytes without control characters",
    );
}

#[test]
fn what_is_excluded_is_not_pinned() {
    let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
    let request = RecommendationRequest { pin: ids(&["a", "b"]), exclude: ids(&["a"]), ..Default::default() };
    let pinned: Vec<_> = Checked::try_new(request).unwrap().pin.iter().map(ToString::to_string).collect();
    assert_eq!(pinned, ["b"]);
}
