use serde_json::{Map, Value as Json, json};
use waggle_model::{Item, ItemId, Timestamp};

use super::*;
use crate::property::Value;

fn map(json: Json) -> Map<String, Json> {
    json.as_object().unwrap().clone()
}

fn learned(items: &[Json]) -> Inferred {
    let mut inferred = Inferred::default();
    for item in items {
        inferred.learn(&map(item.clone()));
    }
    inferred
}

#[track_caller]
fn check_type(items: &[Json], expected: Option<Type>) {
    let schema = learned(items).schema(&Schema::builtin());
    assert_eq!(schema.property("p").map(|property| property.kind()), expected, "{items:?}");
}

#[track_caller]
fn check_conflict(items: &[Json], expected: &str) {
    let conflicts: Vec<_> = learned(items).conflicts().map(|conflict| conflict.to_string()).collect();
    assert_eq!(conflicts, [expected]);
    check_type(items, None);
}

#[test]
fn every_item_has_its_fields() {
    let names: Vec<_> =
        Schema::builtin().properties().map(|p| format!("{}: {}", p.name(), p.kind())).collect();
    assert_eq!(
        names,
        [
            "item_id: string",
            "title: string",
            "category: string",
            "brand: string",
            "currency: string",
            "price: number",
            "available_from: time",
            "available_until: time",
            "in_stock: boolean",
            "hidden: boolean",
        ]
    );
}

#[test]
fn a_field_keeps_its_type() {
    let error = Schema::builtin().with("price", Type::String).unwrap_err();
    assert_eq!(error.to_string(), "`price` is a field of every item, a number, and cannot be declared");
    assert_eq!(
        learned(&[json!({"price": "cheap"})]).schema(&Schema::builtin()).property("price").unwrap().kind(),
        Type::Number
    );
}

#[test]
fn types_are_learned_from_values() {
    check_type(&[json!({"p": "red"}), json!({"p": "blue"})], Some(Type::String));
    check_type(&[json!({"p": 1}), json!({"p": 1.5}), json!({"p": -3})], Some(Type::Number));
    check_type(&[json!({"p": true})], Some(Type::Boolean));
    check_type(&[json!({"p": "2026-01-01T00:00:00Z"})], Some(Type::Time));
    check_type(&[json!({"p": ["a", "b"]})], Some(Type::Strings));
}

#[test]
fn null_and_an_empty_list_say_nothing() {
    check_type(&[json!({"p": null}), json!({"p": []})], None);
    check_type(&[json!({"p": null}), json!({"p": []}), json!({"p": 3})], Some(Type::Number));
    assert_eq!(learned(&[json!({"p": null, "q": []})]).conflicts().count(), 0);
}

#[test]
fn a_time_among_other_strings_is_a_string() {
    check_type(&[json!({"p": "2026-01-01T00:00:00Z"}), json!({"p": "soon"})], Some(Type::String));
}

#[test]
fn two_types_are_a_conflict_that_says_so() {
    check_conflict(
        &[json!({"p": "XL"}), json!({"p": "L"}), json!({"p": 44})],
        "`p` is a string in 2 items and a number in 1 item",
    );
    check_conflict(
        &[json!({"p": "2026-01-01T00:00:00Z"}), json!({"p": true}), json!({"p": ["a"]})],
        "`p` is a time in 1 item, a boolean in 1 item and a list of strings in 1 item",
    );
    check_conflict(
        &[json!({"p": {"a": 1}}), json!({"p": [1, "a"]})],
        "`p` is an object or a list of other things than strings in 2 items",
    );
}

#[test]
fn what_is_declared_ends_a_conflict() {
    let declared = Schema::builtin().with("p", Type::Number).unwrap();
    let schema = learned(&[json!({"p": "XL"}), json!({"p": 44})]).schema(&declared);
    assert_eq!(schema.property("p").unwrap().kind(), Type::Number);
}

#[test]
fn a_conflict_leaves_with_the_item_that_caused_it() {
    let mut inferred = learned(&[json!({"p": "XL"}), json!({"p": 44})]);
    inferred.forget(&map(json!({"p": "XL"})));
    assert_eq!(inferred.conflicts().count(), 0);
    assert_eq!(inferred.schema(&Schema::builtin()).property("p").unwrap().kind(), Type::Number);
    inferred.forget(&map(json!({"p": 44})));
    assert_eq!(inferred.schema(&Schema::builtin()), Schema::builtin());
}

#[test]
fn types_have_names_in_configuration() {
    let names: BTreeMap<String, Type> = serde_json::from_value(
        json!({"a": "string", "b": "strings", "c": "time", "d": "number", "e": "boolean"}),
    )
    .unwrap();
    assert_eq!(
        names.into_values().collect::<Vec<_>>(),
        [Type::String, Type::Strings, Type::Time, Type::Number, Type::Boolean]
    );
}

#[test]
fn a_value_of_another_type_is_absent() {
    let mut item = Item::new(ItemId::try_new("i").unwrap(), "a title");
    item.properties =
        map(json!({"n": 1, "s": "x", "l": ["x"], "m": ["x", 1], "t": "1970-01-01T00:00:01Z", "z": null}));
    let value = |name: &str, kind| Property::Custom { name: Arc::from(name), kind }.value(&item);
    assert_eq!(value("n", Type::Number), Some(Value::Number(1.0)));
    assert_eq!(value("n", Type::String), None);
    assert_eq!(value("s", Type::String), Some(Value::String("x")));
    assert_eq!(value("s", Type::Strings), None);
    assert_eq!(value("s", Type::Time), None);
    assert_eq!(value("l", Type::Strings), Some(Value::Strings(vec!["x"])));
    assert_eq!(value("m", Type::Strings), None);
    assert_eq!(value("t", Type::Time), Some(Value::Time(Timestamp::from_millis(1_000))));
    assert_eq!(value("z", Type::Boolean), None);
    assert_eq!(value("absent", Type::Boolean), None);
}
