use super::*;
use crate::{
    filter::Filter,
    limits,
    schema::{Inferred, Schema},
};

fn schema() -> Schema {
    let mut inferred = Inferred::default();
    for properties in [r#"{"size": "XL"}"#, r#"{"size": 44}"#] {
        inferred.learn(&serde_json::from_str(properties).unwrap());
    }
    let declared = Schema::builtin()
        .with("tags", Type::Strings)
        .and_then(|schema| schema.with("colour", Type::String))
        .and_then(|schema| schema.with("rating", Type::Number))
        .and_then(|schema| schema.with("organic", Type::Boolean))
        .unwrap();
    inferred.schema(&declared)
}

/// `expected` is the excerpt with its carets and the message, a line each.
#[track_caller]
fn check(text: &str, expected: &str) {
    let error = Filter::parse(text, &schema()).expect_err(text);
    assert_eq!(format!("{}\n{}", error.excerpt(text), error.reason), expected.trim_matches('\n'));
    assert!(error.to_string().starts_with(&format!("column {}: ", error.column)), "{error}");
}

#[track_caller]
fn check_reason(text: &str, expected: &str) {
    let error = Filter::parse(text, &schema()).expect_err(text);
    assert_eq!(error.reason.to_string(), expected, "{text}");
}

#[test]
fn an_error_points_at_its_place() {
    check(
        "category = \"Garden\" and brnad = \"Acme\"",
        r#"
category = "Garden" and brnad = "Acme"
                        ^^^^^
there is no property `brnad`, did you mean `brand`?"#,
    );
    check(
        "price < \"20\"",
        r#"
price < "20"
        ^^^^
`price` is a number and cannot be compared with a string, leave the quotes out"#,
    );
    check(
        "brand = 'Blumen Müller' und price < 3",
        r#"
brand = 'Blumen Müller' und price < 3
                        ^^^
expected `and`, `or` or the end, found the name `und`"#,
    );
    check(
        "price <",
        r#"
price <
       ^
expected a value, found the end"#,
    );
    let much = "price < 1 and ".repeat(20);
    check(
        &format!("{much}price < 'x' and {much}hidden"),
        r#"
…and price < 1 and price < 1 and price < 'x' and price < 1 and price < 1 and pric…
                                         ^^^
`price` is a number and cannot be compared with a string, leave the quotes out"#,
    );
}

#[test]
fn the_whole_error_is_one_sentence() {
    let error = Filter::parse("hidden = 3", &schema()).unwrap_err();
    assert_eq!(error.to_string(), "column 10: `hidden` is a boolean and cannot be compared with a number");
    assert_eq!((error.column, error.width), (10, 1));
}

#[test]
fn habits_of_other_languages_are_understood_and_refused() {
    check_reason("hidden AND in_stock", "write `and` instead of `AND`");
    check_reason("hidden Or in_stock", "write `or` instead of `Or`");
    check_reason("NOT hidden", "write `not` instead of `NOT`");
    check_reason("brand IN ['a']", "write `in` instead of `IN`");
    check_reason("hidden = TRUE", "write `true` instead of `TRUE`");
    check_reason("available_from < NOW", "write `now` instead of `NOW`");
    check_reason("title STARTS WITH 'a'", "write `starts with` instead of `STARTS`");
    check_reason("EXISTS(brand)", "write `exists` instead of `EXISTS`");
    check_reason("brand == 'a'", "write `=` instead of `==`");
    check_reason("brand <> 'a'", "write `!=` instead of `<>`");
    check_reason("price => 3", "write `>=` instead of `=>`");
    check_reason("price ≤ 3", "write `<=` instead of `≤`");
    check_reason("hidden && in_stock", "write `and` instead of `&&`");
    check_reason("hidden || in_stock", "write `or` instead of `||`");
    check_reason("!hidden", "write `not` instead of `!`");
    check_reason("brand like 'a%'", "write `starts with` instead of `like`");
    check_reason("brand LIKE 'a%'", "write `starts with` instead of `LIKE`");
    check_reason("brand is null", "write `=` instead of `is`");
    check_reason("brand = null", "write `not exists(…)` instead of `null`");
    check_reason("price between 1 and 2", "write `in 10..20` instead of `between`");
    check_reason("price in 1 to 2", "write `..` instead of `to`");
    check_reason("brand in ('a', 'b')", "write `[…]` instead of `(…)`");
    check_reason("brand = ['a', 'b']", "write `in […]` instead of `= […]`");
    check_reason("brand != ['a', 'b']", "write `not in […]` instead of `!= […]`");
    check_reason("tags contains ['a']", "write `contains any […]` instead of `contains […]`");
    check_reason("brand = “Acme”", "write `\"` instead of `“`");
}

#[test]
fn types_are_named() {
    check_reason("price = true", "`price` is a number and cannot be compared with a boolean");
    check_reason(
        "price in [1, '2']",
        "`price` is a number and cannot be compared with a string, leave the quotes out",
    );
    check_reason(
        "price in 1..'2'",
        "`price` is a number and cannot be compared with a string, leave the quotes out",
    );
    check_reason("price > now", "`price` is a number and cannot be compared with a time");
    check_reason(
        "colour = 3",
        "`colour` is a string and cannot be compared with a number, put the value in quotes",
    );
    check_reason(
        "title starts with 3",
        "`title` is a string and cannot be compared with a number, put the value in quotes",
    );
    check_reason(
        "available_from < '2026-01-01T00:00:00Z'",
        "`available_from` is a time and cannot be compared with a string, write time(\"2026-01-31T12:00:00Z\")",
    );
    check_reason("tags contains 3", "`tags` is a list of strings and cannot be compared with a number");
    check_reason("tags = 'a'", "`tags` is a list of strings, use `contains` instead of `=`");
    check_reason("tags in ['a']", "`tags` is a list of strings, use `contains` instead of `in`");
    check_reason("title contains 'rose'", "`title` is a string, `contains` looks into lists of strings");
    check_reason("price starts with '1'", "`price` is a number, `starts with` compares strings");
    check_reason("brand < 'm'", "`brand` is a string, `<` compares numbers and times");
    check_reason("brand in 'a'..'b'", "`brand` is a string, ranges are of numbers and times");
    check_reason("hidden >= true", "`hidden` is a boolean, `>=` compares numbers and times");
    check_reason("tags and hidden", "`tags` is a list of strings, ask what it holds with `contains`");
    check_reason("price", "`price` is a number, so it needs a comparison such as `=`");
    check_reason(
        "user.tier in ['a', 3]",
        "a comparison has values of one type, this one has a string and a number",
    );
    check_reason(
        "user.age in 3..now",
        "a comparison has values of one type, this one has a number and a time",
    );
    check_reason("user.age < 'x'", "`<` cannot compare with a string");
    check_reason("user.age starts with 3", "`starts with` cannot compare with a number");
    check_reason("user.a = user.b", "one side of a comparison must be a property of the item");
    check_reason("user.a < user.b", "one side of a comparison must be a property of the item");
    check_reason("available_from = now", "`now` is never met exactly, use <, <=, >, >= or a range");
}

#[test]
fn names_that_stand_for_nothing_say_why() {
    check_reason("coluor = 'red'", "there is no property `coluor`, did you mean `colour`?");
    check_reason("Brand = 'a'", "there is no property `Brand`, did you mean `brand`?");
    check_reason("weight = 3", "there is no property `weight`");
    check_reason("`AND` = 3", "there is no property `AND`");
    check_reason("exists(pricee)", "there is no property `pricee`, did you mean `price`?");
    check_reason(
        "size = 3",
        "`size` is a string in 1 item and a number in 1 item, so its type must be declared before filters can use it",
    );
    check_reason(
        &format!("{} = 3", "x".repeat(1_000)),
        &format!("there is no property `{}…`", "x".repeat(40)),
    );
    check_reason(
        "brand = Garden",
        "expected a value, found the name `Garden`, a string is written in quotes",
    );
    check_reason(
        "price < rating",
        "expected a value, found the name `rating`, a string is written in quotes",
    );
}

#[test]
fn what_is_missing_is_named() {
    check_reason("", "the filter is empty");
    check_reason(" \n ", "the filter is empty");
    check_reason("(hidden", "expected `and`, `or` or a closing parenthesis, found the end");
    check_reason("hidden)", "expected an opening parenthesis before this one, found `)`");
    check_reason("()", "expected the name of a property, found `)`");
    check_reason("hidden and", "expected the name of a property, found the end");
    check_reason("and hidden", "expected the name of a property, found `and`");
    check_reason("20 > price", "expected the name of a property, found the number 20");
    check_reason("brand 'a'", "expected a comparison such as `=`, found the string \"a\"");
    check_reason("brand not 'a'", "expected a comparison such as `=`, found `not`");
    check_reason("brand in 'a'", "expected a list in brackets, found the string \"a\"");
    check_reason("brand in ['a' 'b']", "expected a comma or `]`, found the string \"b\"");
    check_reason("brand in ['a',]", "expected a value, found `]`");
    check_reason("brand in [user.a]", "expected a string, a number, a boolean or a time, found `user`");
    check_reason(
        "price in 10",
        "expected `..` and the range's upper end, or a list in brackets, found the end",
    );
    check_reason("price in ..10", "expected a value, found `..`");
    check_reason("title starts 'a'", "expected `with` after `starts`, found the string \"a\"");
    check_reason("tags contains any 'a'", "expected a list in brackets, found the string \"a\"");
    check_reason("brand = user", "expected a dot and the name of a property of the user, found the end");
    check_reason("brand = user.", "expected the name of a property of the user, found the end");
    check_reason("price = - 'a'", "expected a number, found the string \"a\"");
    check_reason("available_from < time", "expected `(` and a time in quotes, found the end");
    check_reason("available_from < time(3)", "expected a time in quotes, found the number 3");
    check_reason("available_from < now - ", "expected a span of time such as 30d, found the end");
    check_reason("exists brand", "expected `(` and the name of a property, found the name `brand`");
}

#[test]
fn values_are_checked() {
    check_reason("price in 20..10", "the range is empty, its lower end comes first");
    check_reason("available_from in now..now - 1d", "the range is empty, its lower end comes first");
    check_reason("price = 1e999", "`1e999` is not a number");
    check_reason("price = 1_000", "`1_000` is not a number");
    check_reason("price = 3x", "`3x` is not a number");
    let span = |found: &str| {
        format!(
            "`{found}` is not a span of time, write a whole number and s, m, h, d or w, such as 30d, up to 36500d"
        )
    };
    check_reason("available_from < now - 30", &span("30"));
    check_reason("available_from < now - 1.5d", &span("1.5d"));
    check_reason("available_from < now - 36501d", &span("36501d"));
    check_reason("available_from < now - 99999999999999999999999w", &span("99999999999999999999999w"));
    check_reason(
        "available_from < time('2026-01-01')",
        "\"2026-01-01\" is not a time, write one like time(\"2026-01-31T12:00:00Z\")",
    );
    check_reason("brand = \"Acme", "the string has no closing \"");
    check_reason("brand = 'Acme\\", "the string has no closing '");
    check_reason("`brand = 3", "the name has no closing `");
    check_reason(r"brand = 'a\d'", r"`\d` is no escape, a backslash itself is written `\\`");
    check_reason("price < 3; hidden", "`;` has no meaning here");
    check_reason("price < 3 \u{7f}", r"`\u{7f}` has no meaning here");
    check_reason("brand = '\\\u{1b}'", r"`\\u{1b}` is no escape, a backslash itself is written `\\`");
}

#[test]
fn limits_are_stated_and_kept() {
    let nested = |depth: usize| format!("{}hidden{}", "(".repeat(depth), ")".repeat(depth));
    assert!(Filter::parse(&nested(limits::MAX_DEPTH), &schema()).is_ok());
    check_reason(&nested(limits::MAX_DEPTH + 1), "parentheses are nested more than 32 levels deep");
    check_reason(&"(".repeat(limits::MAX_BYTES), "parentheses are nested more than 32 levels deep");
    assert!(Filter::parse(&format!("{}hidden", "not ".repeat(1_000)), &schema()).is_ok());

    let joined = |n: usize| vec!["hidden"; n].join(" or ");
    assert!(Filter::parse(&joined(limits::MAX_COMPARISONS), &schema()).is_ok());
    check_reason(&joined(limits::MAX_COMPARISONS + 1), "the filter has more than 256 comparisons");

    let list = |n: usize| format!("price in [{}]", vec!["1"; n].join(","));
    assert!(Filter::parse(&list(limits::MAX_LIST), &schema()).is_ok());
    check_reason(&list(limits::MAX_LIST + 1), "the list has 1001 values, at most 1000 are allowed");

    let long = |bytes: usize| format!("{:bytes$}", "hidden");
    assert!(Filter::parse(&long(limits::MAX_BYTES), &schema()).is_ok());
    let error = Filter::parse(&long(limits::MAX_BYTES + 1), &schema()).unwrap_err();
    assert_eq!(error.to_string(), "column 4097: the filter has 4097 bytes, at most 4096 are allowed");
    // A letter of four bytes across the limit.
    let error = Filter::parse(&format!("x{}", "🌻".repeat(2_000)), &schema()).unwrap_err();
    assert_eq!(error.column, 1 + 4_096_usize.div_ceil(4));
}

#[test]
fn an_excerpt_repeats_no_control_characters() {
    let text = "hidden\u{1b}[31m and\nprice < 'x'";
    let error = Filter::parse(text, &schema()).unwrap_err();
    assert_eq!(error.excerpt(text), "hidden [31m and price < 'x'\n      ^");
}
