use std::collections::HashSet;

use super::*;

#[test]
fn every_kind_has_a_type_of_its_own() {
    let slugs: HashSet<_> = Kind::ALL.into_iter().map(Kind::slug).collect();
    assert_eq!(slugs.len(), Kind::ALL.len());
}

#[test]
fn a_status_leads_back_to_its_kind() {
    for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Overloaded) {
        assert_eq!(Kind::of_status(kind.status()), Some(kind));
    }
    assert_eq!(Kind::of_status(StatusCode::OK), None);
    assert_eq!(Kind::of_status(StatusCode::IM_A_TEAPOT), None);
}

#[test]
fn the_cause_is_never_part_of_the_answer() {
    let problem = Problem::new(Kind::Internal).cause("password=hunter2 was refused by the database");
    let response = ApiError::from(problem).error_response();
    let body = actix_web::body::MessageBody::try_into_bytes(response.into_body()).unwrap();
    let body = std::str::from_utf8(&body).unwrap();
    assert_eq!(
        body,
        r#"{"type":"/problems/internal","title":"Something went wrong on our side","status":500}"#
    );
}
