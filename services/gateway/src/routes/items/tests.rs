use serde_json::json;

use super::*;

#[track_caller]
fn check(target: Value, patch: Value, expected: &Value) {
    let mut merged = target;
    merge(&mut merged, patch);
    assert_eq!(merged, *expected);
}

/// The examples of RFC 7396, appendix A.
#[test]
fn merging_follows_the_standards_own_examples() {
    for (target, patch, expected) in [
        (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
        (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
        (json!({"a":"b"}), json!({"a":null}), json!({})),
        (json!({"a":"b","b":"c"}), json!({"a":null}), json!({"b":"c"})),
        (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
        (json!({"a":"c"}), json!({"a":["b"]}), json!({"a":["b"]})),
        (json!({"a":{"b":"c"}}), json!({"a":{"b":"d","c":null}}), json!({"a":{"b":"d"}})),
        (json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]})),
        (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
        (json!({"a":"b"}), json!(["c"]), json!(["c"])),
        (json!({"a":"foo"}), json!(null), json!(null)),
        (json!({"a":"foo"}), json!("bar"), json!("bar")),
        (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
        (json!([1, 2]), json!({"a":"b","c":null}), json!({"a":"b"})),
        (json!({}), json!({"a":{"bb":{"ccc":null}}}), json!({"a":{"bb":{}}})),
    ] {
        check(target, patch, &expected);
    }
}

#[test]
fn a_price_keeps_every_bit_through_a_patch_of_something_else() {
    let mut item = Item::new(ItemId::try_new("i").unwrap(), "t");
    item.price = Some(0.1 + 0.2);
    let Value::Object(patch) = json!({ "brand": "b" }) else { unreachable!() };
    let patched = patched(&item, patch).unwrap();
    assert_eq!(patched.price.unwrap().to_bits(), (0.1_f64 + 0.2).to_bits());
}
