//! Filters, items and users to meet each other.

use proptest::{
    collection::vec,
    option,
    prelude::*,
    sample::{select, subsequence},
};
use serde_json::{Map, Value as Json, json};
use waggle_filter::{Schema, Type};
use waggle_model::{Item, ItemId, Timestamp};

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);
const DAY_MS: i64 = 86_400_000;

pub(crate) fn schema() -> Schema {
    Schema::builtin()
        .with("tags", Type::Strings)
        .and_then(|schema| schema.with("odd `name`", Type::Number))
        .and_then(|schema| schema.with("harvested", Type::Time))
        .unwrap()
}

/// Expressions of some depth, in all their spellings.
pub(crate) fn expression() -> impl Strategy<Value = String> {
    comparison().prop_recursive(5, 40, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 2..4).prop_map(|parts| parts.join(" and ")),
            vec(inner.clone(), 2..4).prop_map(|parts| parts.join("  or\n")),
            inner.clone().prop_map(|part| format!("not ({part})")),
            inner.clone().prop_map(|part| format!("not {part}")),
            inner.prop_map(|part| format!("({part})")),
        ]
    })
}

fn comparison() -> impl Strategy<Value = String> {
    let strings = select(vec!["brand", "category", "`title`", "user.tier"]);
    let numbers = select(vec!["price", "`odd ``name```", "user.budget"]);
    let times = select(vec!["available_from", "available_until", "harvested"]);
    let users = select(vec!["user.tier", "user.budget", "user.`likes`"]);
    let order = select(vec!["=", "!=", "<", "<=", ">", ">="]);
    let is_in = select(vec!["in", "not in"]);
    prop_oneof![
        (strings.clone(), select(vec!["=", "!=", "starts with"]), string())
            .prop_map(|(name, operator, value)| format!("{name} {operator} {value}")),
        (strings, is_in.clone(), vec(string(), 0..4))
            .prop_map(|(name, operator, values)| format!("{name} {operator} [{}]", values.join(","))),
        (numbers.clone(), order.clone(), number())
            .prop_map(|(name, operator, value)| format!("{name}{operator}{value}")),
        (numbers.clone(), is_in.clone(), vec(number(), 1..4))
            .prop_map(|(name, operator, values)| format!("{name} {operator} [{}]", values.join(" , "))),
        (numbers, is_in, 0..5, 5..9).prop_map(|(name, operator, a, b)| format!("{name} {operator} {a}..{b}")),
        (times, select(vec!["<", "<=", ">", ">="]), time())
            .prop_map(|(name, operator, value)| format!("{name} {operator} {value}")),
        vec(string(), 1..4).prop_map(|values| format!("tags contains any [{}]", values.join(","))),
        string().prop_map(|value| format!("tags contains {value}")),
        (
            select(vec!["brand =", "brand not in", "price =", "tags contains", "title starts with"]),
            users.clone()
        )
            .prop_map(|(left, user)| format!("{left} {user}")),
        (select(vec!["<", "<=", ">", ">="]), users.clone())
            .prop_map(|(operator, user)| format!("price {operator} {user}")),
        (0..9, users.clone()).prop_map(|(lower, user)| format!("price in {lower}..{user}")),
        users.prop_map(|user| format!("exists({user})")),
        select(vec![
            "hidden",
            "in_stock",
            "in_stock = false",
            "exists(tags)",
            "exists(price)",
            "true",
            "false"
        ])
        .prop_map(str::to_owned),
    ]
}

fn string() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => select(vec!["'a'", "\"a\"", "'b'", "''", "'ab'"]).prop_map(str::to_owned),
        1 => any::<String>().prop_map(|text| {
            format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
        }),
    ]
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (0..9).prop_map(|number: i32| number.to_string()),
        1 => select(vec!["-0", "0.5", "5e-1", "1e300", "2.5E3", "0.1e-200"]).prop_map(str::to_owned),
        1 => any::<f64>().prop_filter("infinite", |number| number.is_finite()).prop_map(|number| {
            format!("{number:e}")
        }),
    ]
}

fn time() -> impl Strategy<Value = String> {
    prop_oneof![
        (0..10).prop_map(|days| format!("now - {days}d")),
        (0..100).prop_map(|hours| format!("now+{hours}h")),
        (-3_000_000_000_i64..3_000_000_000)
            .prop_map(|millis| { format!("time('{}')", NOW.shifted_by_millis(millis)) }),
    ]
}

pub(crate) fn item() -> impl Strategy<Value = Item> {
    let text = || select(vec!["a", "b", "ab", ""]).prop_map(str::to_owned);
    let price = select(vec![0.0, -0.0, 1.0, 2.5, 5.0, 8.0]);
    let tags = subsequence(vec!["a", "b", "ab"], 0..=3);
    (
        (text(), option::of(text()), option::of(text()), option::of(price), option::of(-12..12_i64)),
        (any::<bool>(), any::<bool>(), option::of(tags), option::of(0..9), any::<bool>()),
    )
        .prop_map(|((title, category, brand, price, days), (hidden, in_stock, tags, odd, harvested))| {
            let mut item = Item::new(ItemId::try_new("i").unwrap(), title);
            item.category = category;
            item.brand = brand;
            item.price = price;
            item.available_from = days.map(|days| NOW.shifted_by_millis(days * DAY_MS));
            item.available_until = item.available_from.map(|from| from.shifted_by_millis(3 * DAY_MS));
            item.hidden = hidden;
            item.in_stock = in_stock;
            if let Some(tags) = tags {
                item.properties.insert("tags".to_owned(), json!(tags));
            }
            if let Some(odd) = odd {
                item.properties.insert("odd `name`".to_owned(), json!(odd));
            }
            if harvested {
                item.properties.insert("harvested".to_owned(), json!(NOW));
            }
            item
        })
}

/// What a shop may have written about somebody, sensible or not.
pub(crate) fn user() -> impl Strategy<Value = Option<Map<String, Json>>> {
    let value = || {
        select(vec![
            json!(null),
            json!("a"),
            json!(["a", "b", 3, null, ["a"]]),
            json!([]),
            json!(5),
            json!([1, 2.5, 5]),
            json!(true),
            json!({"a": "a"}),
            json!("2026-09-01T00:00:00Z"),
            json!(-0.0),
            json!(u64::MAX),
        ])
    };
    option::of((option::of(value()), option::of(value()), option::of(value())).prop_map(
        |(tier, budget, likes)| {
            [("tier", tier), ("budget", budget), ("likes", likes)]
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), value?)))
                .collect()
        },
    ))
}
