use super::*;

#[track_caller]
fn check(name: &str, expected: Option<&str>) {
    let names = ["item_id", "brand", "price", "category", "available_from", "sku"];
    assert_eq!(nearest(name, names.into_iter()), expected, "{name}");
}

#[test]
fn a_typing_error_is_seen_through() {
    check("brnad", Some("brand"));
    check("brnd", Some("brand"));
    check("Brand", Some("brand"));
    check("prise", Some("price"));
    check("categroy", Some("category"));
    check("availablefrom", Some("available_from"));
    check("skv", Some("sku"));
}

#[test]
fn another_word_is_not_mistaken_for_a_typing_error() {
    check("colour", None);
    check("x", None);
    check("", None);
    check("id", None);
    check(&"brand".repeat(1_000), None);
}

#[test]
fn distances_count_changed_places_as_one_error() {
    let count = |a: &str, b: &str| distance(&a.chars().collect::<Vec<_>>(), &b.chars().collect::<Vec<_>>());
    assert_eq!(count("", ""), 0);
    assert_eq!(count("abc", ""), 3);
    assert_eq!(count("", "abc"), 3);
    assert_eq!(count("kitten", "sitting"), 3);
    assert_eq!(count("ab", "ba"), 1);
    assert_eq!(count("größe", "grosse"), 3);
}
