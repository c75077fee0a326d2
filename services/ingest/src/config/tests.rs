use waggle_model::CountsAs;

use super::*;

fn read(types: serde_json::Value) -> Result<IngestConfig, String> {
    serde_json::from_value(serde_json::json!({ "types": types })).map_err(|e| e.to_string())
}

#[track_caller]
fn check_refused(types: serde_json::Value, sentence: &str) {
    let error = read(types).unwrap_err();
    assert!(error.contains(sentence), "{error}");
}

#[test]
fn a_type_counts_as_a_known_act_as_often_as_its_weight_says() {
    let types = serde_json::json!({
        "wishlist": { "counts_as": "cart", "weight": 0.5 },
        "unsubscribe": { "counts_as": "negative" },
    });
    let config = read(types).unwrap();
    let signal = |name: &str| config.signal(&InteractionKind::from(name.to_owned())).unwrap();
    assert_eq!(signal("wishlist"), Some(Signal::try_new(CountsAs::Cart, 0.5).unwrap()));
    assert_eq!(signal("unsubscribe"), Some(Signal::try_new(CountsAs::Negative, 1.0).unwrap()));
    assert_eq!((signal("test_drive"), signal("view")), (None, None));
}

#[test]
fn a_type_with_a_meaning_or_a_wrong_weight_stops_the_start() {
    check_refused(serde_json::json!({ "view": { "counts_as": "cart" } }), "\"view\" has a meaning already");
    check_refused(serde_json::json!({ "impression": { "counts_as": "cart" } }), "has a meaning already");
    check_refused(serde_json::json!({ "merge": { "counts_as": "cart" } }), "written by waggle itself");
    check_refused(serde_json::json!({ "": { "counts_as": "cart" } }), "1 to 64 bytes");
    check_refused(serde_json::json!({ "a": { "counts_as": "cart", "weight": 0.0 } }), "weight is 0");
    check_refused(serde_json::json!({ "a": { "counts_as": "cart", "weight": 101 } }), "at most 100");
    check_refused(serde_json::json!({ "a": { "counts_as": "love" } }), "love");
}
