use serde_json::{Map, Value as Json, json};
use waggle_model::ItemId;

use super::*;
use crate::{filter::Filter, property::Type, schema::Schema};

const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);
const DAY_MS: i64 = 86_400_000;

fn schema() -> Schema {
    Schema::builtin()
        .with("tags", Type::Strings)
        .and_then(|schema| schema.with("rating", Type::Number))
        .and_then(|schema| schema.with("organic", Type::Boolean))
        .and_then(|schema| schema.with("harvested", Type::Time))
        .unwrap()
}

fn map(json: &Json) -> Map<String, Json> {
    json.as_object().unwrap().clone()
}

/// A spade with everything, and an item with nothing but its id and title.
fn items() -> [Item; 2] {
    let mut full = Item::new(ItemId::try_new("full").unwrap(), "Garden spade");
    full.category = Some("Garden > Tools".to_owned());
    full.brand = Some("Acme".to_owned());
    full.price = Some(20.0);
    full.currency = Some("EUR".to_owned());
    full.available_from = Some(NOW.shifted_by_millis(-10 * DAY_MS));
    full.properties = map(&json!({
        "tags": ["new", "sale"], "rating": 4.5, "organic": true, "harvested": "2026-09-01T00:00:00Z"
    }));
    [full, Item::new(ItemId::try_new("bare").unwrap(), "Garden gnome")]
}

fn bind(text: &str, user: &Json) -> BoundFilter {
    Filter::parse(text, &schema())
        .unwrap_or_else(|error| panic!("{text}: {error}"))
        .bind(user.as_object(), NOW)
}

/// Whether the spade and the bare item pass.
#[track_caller]
fn check(text: &str, expected: [bool; 2]) {
    check_for(&Json::Null, text, expected);
}

#[track_caller]
fn check_for(user: &Json, text: &str, expected: [bool; 2]) {
    assert_eq!(items().map(|item| bind(text, user).matches(&item)), expected, "{text}");
}

#[test]
fn every_field_and_every_operator() {
    check("item_id = 'full'", [true, false]);
    check("title = 'Garden spade'", [true, false]);
    check("title starts with 'Garden'", [true, true]);
    check("title starts with 'garden'", [false, false]);
    check("category starts with 'Garden >'", [true, false]);
    check("category in ['Garden > Tools', 'Books']", [true, false]);
    check("brand = 'acme'", [false, false]);
    check("currency = 'EUR'", [true, false]);
    check("price < 20", [false, false]);
    check("price <= 20", [true, false]);
    check("price > 20", [false, false]);
    check("price >= 20", [true, false]);
    check("price in 20..30", [true, false]);
    check("price in 10..20", [true, false]);
    check("price in [10, 20]", [true, false]);
    check("in_stock", [true, true]);
    check("hidden", [false, false]);
    check("available_from > now - 30d", [true, false]);
    check("available_from > now - 1w", [false, false]);
    check("available_from in now - 2w..now", [true, false]);
    check("tags contains 'sale'", [true, false]);
    check("tags contains 'sal'", [false, false]);
    check("tags contains any ['sale', 'last chance']", [true, false]);
    check("rating >= 4.5", [true, false]);
    check("organic", [true, false]);
    check("harvested >= time('2026-09-01T00:00:00Z')", [true, false]);
    check("exists(price)", [true, false]);
    check("exists(tags) and exists(rating)", [true, false]);
    check("exists(title)", [true, true]);
}

#[test]
fn a_comparison_with_what_is_absent_is_false_and_its_opposite_true() {
    check("brand = 'Acme'", [true, false]);
    check("brand != 'Acme'", [false, true]);
    check("not brand = 'Acme'", [false, true]);
    check("brand not in ['Acme']", [false, true]);
    check("not tags contains 'sale'", [false, true]);
    check("not organic", [false, true]);
    check("organic = false", [false, false]);
    // Not the same as `price >= 30`, which wants a price.
    check("not price < 30", [false, true]);
    check("price >= 30", [false, false]);
    check("exists(price) and not price < 10", [true, false]);
    check("not exists(brand)", [false, true]);
}

#[test]
fn what_the_user_blocked_goes_and_what_has_no_brand_stays() {
    let text = "not brand = user.blocked";
    check_for(&json!({"blocked": "Acme"}), text, [false, true]);
    check_for(&json!({"blocked": ["Other", "Acme"]}), text, [false, true]);
    check_for(&json!({"blocked": "Other"}), text, [true, true]);
    for nothing in
        [json!(null), json!({}), json!({"blocked": null}), json!({"blocked": []}), json!({"blocked": 3})]
    {
        check_for(&nothing, text, [true, true]);
    }
}

#[test]
fn a_users_values_stand_on_the_right() {
    let user = json!({
        "brand": "Acme", "budget": 25, "low": 10, "likes": ["sale", 3], "prefix": ["Garden >", "Books"],
        "since": "2026-09-01T00:00:00Z", "flag": true
    });
    check_for(&user, "brand = user.brand", [true, false]);
    check_for(&user, "brand in user.brand", [true, false]);
    check_for(&user, "price < user.budget", [true, false]);
    check_for(&user, "price in user.low..user.budget", [true, false]);
    check_for(&user, "price in user.budget..user.low", [false, false]);
    check_for(&user, "not price in user.budget..user.low", [true, true]);
    check_for(&user, "tags contains user.likes", [true, false]);
    check_for(&user, "category starts with user.prefix", [true, false]);
    check_for(&user, "harvested >= user.since", [true, false]);
    check_for(&user, "organic = user.flag", [true, false]);
    // Of another type, or not there: no comparison holds.
    check_for(&user, "price < user.brand", [false, false]);
    check_for(&user, "price < user.likes", [false, false]);
    check_for(&user, "price < user.missing", [false, false]);
    check_for(&user, "not price < user.missing", [true, true]);
    check_for(&user, "not exists(user.missing) or brand = user.missing", [true, true]);
}

#[test]
fn a_user_on_the_left_makes_the_filter_constant() {
    let user =
        json!({"tier": "gold", "tags": ["a", "b"], "age": 20, "since": "2026-09-01T00:00:00Z", "vip": true});
    let check =
        |text: &str, expected: bool| assert_eq!(bind(text, &user).constant(), Some(expected), "{text}");
    check("user.tier = 'gold'", true);
    check("user.tier != 'gold'", false);
    check("user.tier starts with 'go'", true);
    check("user.tags contains 'b'", true);
    check("user.tags in ['c', 'd']", false);
    check("user.age >= 18", true);
    check("user.age in 30..40", false);
    check("user.age < now", false);
    check("user.since > now - 365d", true);
    check("user.vip", true);
    check("exists(user.tags)", true);
    check("exists(user.missing)", false);
    check("user.missing = 'x'", false);
    check("user.missing != 'x'", true);
}

#[test]
fn a_bound_tree_is_ready_for_an_index() {
    let property = |name: &str| schema().property(name).unwrap();
    let tree = |text: &str| bind(text, &json!({"blocked": ["b", "a", "b"]})).into_tree();
    let price = |lower, upper| {
        Tree::Leaf(Leaf { property: property("price"), test: Test::NumberIn(Range { lower, upper }) })
    };
    let brands = |names: &[&str]| {
        let names = names.iter().map(|name| Arc::from(*name)).collect();
        Tree::Leaf(Leaf { property: property("brand"), test: Test::OneOf(Values::Strings(names)) })
    };
    assert_eq!(
        tree("price >= 10 and price < 20 and price in 5..15"),
        price(Bound::Included(10.0), Bound::Included(15.0))
    );
    assert_eq!(tree("price > 10 and price >= 10"), price(Bound::Excluded(10.0), Bound::Unbounded));
    assert_eq!(tree("price > 10 and price < 10"), Tree::Constant(false));
    assert_eq!(tree("brand = 'c' or brand = 'a' or brand in ['b', 'c']"), brands(&["a", "b", "c"]));
    assert_eq!(tree("brand != user.blocked"), Tree::Not(Box::new(brands(&["a", "b"]))));
    assert_eq!(tree("brand = user.missing or price = 3 and brand = user.missing"), Tree::Constant(false));
    assert_eq!(
        tree("tags contains 'b' or tags contains any ['a', 'b']"),
        Tree::Leaf(Leaf {
            property: property("tags"),
            test: Test::ContainsAny(Values::Strings(vec![Arc::from("a"), Arc::from("b")])),
        })
    );
    // What is left of an `or` is an `and`.
    let both = "price > 3 and price < 9 and brand = 'a'";
    assert_eq!(tree(&format!("brand = user.missing or ({both})")), tree(both));
    assert_eq!(tree("exists(user.blocked) and (price > 9 or price < 3)"), tree("price > 9 or price < 3"));
    // A list can hold both, so these are two questions.
    assert_eq!(tree("tags contains 'b' and tags contains 'a'").leaves().len(), 2);
}
