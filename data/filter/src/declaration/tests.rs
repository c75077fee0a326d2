use serde_json::json;

use super::*;

fn declared() -> Declaration {
    serde_json::from_value(json!({ "properties": {
        "colour": "string", "weight": "number", "organic": "boolean", "harvested": "time", "sizes": "strings",
    } }))
    .unwrap()
}

fn properties(json: Json) -> Map<String, Json> {
    json.as_object().unwrap().clone()
}

#[track_caller]
fn check_refused(declaration: &Declaration, json: Json, says: &str) {
    assert_eq!(declaration.check(&properties(json)).unwrap_err().to_string(), says);
}

#[test]
fn what_fits_or_is_absent_comes_in() {
    let fitting = json!({
        "colour": "red", "weight": -1.5, "organic": false, "harvested": "2026-01-01T00:00:00+02:00", "sizes": [],
        "other": { "anything": [1] },
    });
    assert_eq!(declared().check(&properties(fitting)), Ok(()));
    assert_eq!(declared().check(&properties(json!({ "colour": null, "sizes": null }))), Ok(()));
    assert_eq!(declared().check(&Map::new()), Ok(()));
}

#[test]
fn a_value_of_another_type_is_named_with_what_is_wanted() {
    for (value, says) in [
        (json!({ "weight": "12 kg" }), "property `weight` is declared as a number, got the string \"12 kg\""),
        (json!({ "colour": 7 }), "property `colour` is declared as a string, got the number 7"),
        (json!({ "colour": ["red"] }), "property `colour` is declared as a string, got a list of strings"),
        (json!({ "organic": {} }), "property `organic` is declared as a boolean, got an object"),
        (
            json!({ "sizes": "XL" }),
            "property `sizes` is declared as a list of strings, got the string \"XL\"",
        ),
        (
            json!({ "sizes": ["XL", 44] }),
            "property `sizes` is declared as a list of strings, got a list of other things than strings",
        ),
        (
            json!({ "harvested": "soon" }),
            "property `harvested` is declared as a time, got the string \"soon\"; a time is written like \
             \"2026-01-31T12:00:00Z\"",
        ),
    ] {
        check_refused(&declared(), value, says);
    }
    let long = "x".repeat(1_000);
    let error = declared().check(&properties(json!({ "weight": long }))).unwrap_err().to_string();
    assert!(error.len() < 120, "{error}");
}

#[test]
fn strict_lets_in_what_is_declared_and_nothing_else() {
    let strict = Declaration { strict: true, ..declared() };
    assert_eq!(strict.check(&properties(json!({ "colour": "red" }))), Ok(()));
    check_refused(
        &strict,
        json!({ "color": "red" }),
        "property `color` is not declared, did you mean `colour`?; with catalog.strict every property must be",
    );
    check_refused(
        &strict,
        json!({ "something": 1 }),
        "property `something` is not declared; with catalog.strict every property must be",
    );
}

#[test]
fn names_that_filters_could_not_ask_for_cannot_be_declared() {
    let declare = |name: &str| {
        let properties = [(name.to_owned(), Type::String)].into();
        Declaration { properties, strict: false }.schema().map(drop).map_err(|e| e.to_string())
    };
    assert_eq!(declare("Shoe size (EU)"), Ok(()));
    assert_eq!(
        declare("price").unwrap_err(),
        "`price` is a field of every item, a number, and cannot be declared"
    );
    assert_eq!(declare("").unwrap_err(), "a property needs a name");
}

#[test]
fn stored_items_that_do_not_fit_are_counted_and_some_are_named() {
    let mut misfits = Misfits::of(&declared().schema().unwrap());
    for n in 0..8 {
        let mut item = Item::new(ItemId::try_new(format!("i{n}")).unwrap(), "x");
        item.properties = properties(match n {
            0 => json!({ "weight": 1, "colour": null }),
            1 => json!({ "weight": "heavy", "colour": 3 }),
            _ => json!({ "weight": "heavy", "sizes": ["M"] }),
        });
        misfits.look_at(&item);
    }
    assert_eq!(
        misfits.told().collect::<Vec<_>>(),
        [
            "property `colour` is declared as a string, and 1 item holds something else: i1",
            "property `weight` is declared as a number, and 7 items hold something else: i1, i2, i3, i4, i5, …",
        ]
    );
}
