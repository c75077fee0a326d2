//! `docs/filters.md` is the language's reference, so everything that it shows is run.

use serde_json::json;
use waggle_filter::{Filter, Schema, Type, limits};
use waggle_model::{Item, ItemId, Timestamp};

const TEXT: &str = include_str!("../../../../docs/filters.md");
const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

/// The properties of the shop that the documentation speaks of.
fn schema() -> Schema {
    [
        ("colour", Type::String),
        ("rating", Type::Number),
        ("organic", Type::Boolean),
        ("tags", Type::Strings),
        ("harvested", Type::Time),
        ("Shoe size (EU)", Type::Number),
    ]
    .into_iter()
    .fold(Schema::builtin(), |schema, (name, kind)| schema.with(name, kind).unwrap())
}

/// The fenced blocks of a language.
fn blocks(language: &str) -> Vec<&'static str> {
    let blocks: Vec<_> = TEXT
        .split(&format!("```{language}\n"))
        .skip(1)
        .map(|rest| rest.split_once("\n```").expect("a block ends").0)
        .collect();
    assert!(!blocks.is_empty(), "no block of {language}");
    blocks
}

/// The rows of the tables whose first column is headed so, without their heads.
fn rows(head: &str) -> Vec<Vec<&'static str>> {
    let mut rows = Vec::new();
    let mut is_in = false;
    for line in TEXT.lines() {
        let Some(line) = line.strip_prefix("| ") else {
            is_in = is_in && line.starts_with('|');
            continue;
        };
        let cells: Vec<_> = line.trim_end_matches('|').split('|').map(str::trim).collect();
        if cells[0] == head {
            is_in = true;
        } else if is_in && !cells[0].starts_with("--") {
            rows.push(cells);
        }
    }
    assert!(!rows.is_empty(), "no table of {head}");
    rows
}

/// The code in a cell. What holds backquotes stands between two of them.
fn code(cell: &str) -> &str {
    let fence = if cell.starts_with("``") { "``" } else { "`" };
    cell.strip_prefix(fence).and_then(|cell| cell.strip_suffix(fence)).expect("code in the cell").trim()
}

fn parse(text: &str) -> Filter {
    Filter::parse(text, &schema()).unwrap_or_else(|error| panic!("{}\n{error}", error.excerpt(text)))
}

#[test]
fn every_filter_parses() {
    for block in blocks("filter") {
        parse(block);
    }
    for row in rows("filter") {
        parse(code(row[0]));
    }
    for row in rows("operator") {
        for example in row[2].split(", `").map(|cell| cell.trim_matches('`')) {
            parse(example);
        }
    }
}

#[test]
fn every_error_is_the_one_shown() {
    for block in blocks("error") {
        let (text, _) = block.split_once('\n').unwrap();
        let error = Filter::parse(text, &schema()).expect_err(text);
        assert_eq!(format!("{}\n{error}", error.excerpt(text)), block);
    }
}

#[test]
fn two_spellings_of_a_row_are_one_filter() {
    for row in rows("short for") {
        assert_eq!(parse(code(row[0])), parse(code(row[1])), "{row:?}");
    }
}

#[test]
fn absent_values_answer_as_the_table_says() {
    let item = |brand: Option<&str>| {
        let mut item = Item::new(ItemId::try_new("i").unwrap(), "a title");
        item.brand = brand.map(str::to_owned);
        item
    };
    let user = json!({"blocked": "Acme"});
    for row in rows("asked") {
        let bound = parse(code(row[0])).bind(user.as_object(), NOW);
        let passes = [Some("Acme"), Some("Other"), None]
            .map(|brand| if bound.matches(&item(brand)) { "in" } else { "out" });
        assert_eq!(row[1..], passes, "{row:?}");
    }
}

#[test]
fn users_without_a_value_get_what_the_table_says() {
    let mut item = Item::new(ItemId::try_new("i").unwrap(), "a title");
    item.brand = Some("Acme".to_owned());
    item.category = Some("Garden".to_owned());
    item.price = Some(10.0);
    for row in rows("asked by nobody known") {
        let passes = if parse(code(row[0])).bind(None, NOW).matches(&item) { "in" } else { "out" };
        assert_eq!(row[1], passes, "{row:?}");
    }
}

#[test]
fn limits_are_the_ones_in_force() {
    for limit in [
        format!("{} bytes", thousands(limits::MAX_BYTES)),
        format!("{} levels", limits::MAX_DEPTH),
        format!("{} comparisons", limits::MAX_COMPARISONS),
        format!("{} values", thousands(limits::MAX_LIST)),
        format!("{} days", thousands(usize::try_from(limits::MAX_OFFSET_DAYS).unwrap())),
    ] {
        assert!(TEXT.contains(&limit), "{limit}");
    }
}

fn thousands(n: usize) -> String {
    if n < 1_000 { n.to_string() } else { format!("{},{:03}", n / 1_000, n % 1_000) }
}
