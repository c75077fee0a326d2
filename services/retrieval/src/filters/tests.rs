use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::json;
use waggle_filter::Type;
use waggle_model::{CatalogChange, Item, ItemId, ItemIdx};
use waggle_models::Vocabulary;

use super::*;
use crate::table::ItemTable;

const NOW: Timestamp = Timestamp::from_millis(1_760_000_000_000);

/// An item whose values follow from its number and its version.
fn item(n: u32, version: u32) -> Item {
    let mut item = Item::new(ItemId::try_new(format!("item-{n}")).unwrap(), format!("thing {n}"));
    let of = |modulus: u32| (n + version) % modulus;
    item.category = (of(7) > 0).then(|| ["Garden", "Kitchen", "Toys"][of(3) as usize].to_owned());
    item.brand = (of(5) > 0).then(|| format!("brand-{}", of(4)));
    item.price = (of(11) > 0).then(|| f64::from(of(40)) / 2.0);
    item.available_from = (of(4) > 0).then(|| NOW.shifted_by_millis(-i64::from(of(50)) * 86_400_000));
    item.in_stock = of(6) > 0;
    item.hidden = of(13) == 0;
    if of(3) > 0 {
        item.properties.insert("size".to_owned(), json!(of(9)));
        item.properties.insert("colours".to_owned(), json!([if of(2) == 0 { "red" } else { "blue" }, "any"]));
        item.properties.insert("vegan".to_owned(), json!(of(2) == 0));
    }
    item
}

fn table(n_items: u32) -> ItemTable {
    let table = ItemTable::default();
    table.apply((0..n_items).map(|n| CatalogChange::Put(item(n, 0))).collect(), NOW);
    table
}

/// What the columns let through, and what the evaluator of single items does.
#[track_caller]
fn check_against_single_items(filters: &Filters, entries: &Entries, text: &str) {
    let filter = filters.parse(text, entries.schema()).unwrap();
    let user = json!({ "blocked": ["brand-1"], "max": 7 });
    let user = user.as_object().unwrap();
    let bound = filter.bind(Some(user), NOW);
    let wanted: Vec<usize> = (0..entries.n_slots())
        .filter(|slot| {
            let entry = entries.at(crate::table::Slot(u32::try_from(*slot).unwrap()));
            let item = entry.map(|entry| entry.item());
            item.is_some_and(|item| item.is_available(NOW) && bound.matches(&item))
        })
        .collect();
    let allowed = filters.allowed(&[filter], entries, user, NOW);
    assert_eq!(allowed.slots().ones().collect::<Vec<_>>(), wanted, "{text}");
}

const LEAVES: [&str; 16] = [
    "category = \"Garden\"",
    "category in [\"Toys\", \"Kitchen\", \"Nothing\"]",
    "not brand in user.blocked",
    "price < 10",
    "price >= 3.5",
    "price = 4.5",
    "price < user.max",
    "available_from > now - 20d",
    "size in 2..5",
    "colours contains \"red\"",
    "vegan = true",
    "exists(size)",
    "not exists(brand)",
    "title starts with \"thing 1\"",
    "item_id in [\"item-3\", \"item-30\"]",
    "in_stock = true",
];

static TABLE: LazyLock<ItemTable> = LazyLock::new(|| table(500));

#[test]
fn every_kind_of_condition_is_answered_as_item_by_item() {
    let (filters, entries) = (Filters::default(), TABLE.load());
    for text in LEAVES {
        check_against_single_items(&filters, &entries, text);
    }
}

proptest! {
    #[test]
    fn joined_conditions_are_answered_as_item_by_item(
        picks in prop::collection::vec((0..LEAVES.len(), 0..2_usize, any::<bool>()), 1..8),
    ) {
        let mut text = String::new();
        for (at, (leaf, join, is_not)) in picks.iter().enumerate() {
            if at > 0 {
                text = format!("({text}) {} ", ["and", "or"][*join]);
            }
            text += &if *is_not { format!("not ({})", LEAVES[*leaf]) } else { LEAVES[*leaf].to_owned() };
        }
        check_against_single_items(&Filters::default(), &TABLE.load(), &text);
    }

    #[test]
    fn a_changing_catalogue_is_followed(
        changes in prop::collection::vec((0..300_u32, 0..5_u32), 0..40),
        leaf in 0..LEAVES.len(),
    ) {
        let (table, filters) = (table(200), Filters::default());
        check_against_single_items(&filters, &table.load(), LEAVES[leaf]);
        for batch in changes.chunks(5) {
            let change = |(n, version): &(u32, u32)| match version {
                4 => CatalogChange::Delete(item(*n, 0).item_id),
                version => CatalogChange::Put(item(*n, *version)),
            };
            table.apply(batch.iter().map(change).collect(), NOW);
            check_against_single_items(&filters, &table.load(), LEAVES[leaf]);
        }
    }
}

#[test]
fn the_catalogue_teaches_the_types_and_what_was_declared_stands() {
    let declared = Schema::builtin().with("fits", Type::Strings).unwrap();
    let (table, filters) = (ItemTable::new(declared), Filters::default());
    let parse = |text: &str| filters.parse(text, table.load().schema()).map(drop);
    assert_eq!(parse("fits contains \"a\""), Ok(()));
    assert!(parse("size < 3").unwrap_err().contains("size"));
    table.apply(vec![CatalogChange::Put(item(1, 0))], NOW);
    assert_eq!(parse("size < 3"), Ok(()));
    assert!(parse("size = \"large\"").unwrap_err().contains("number"), "a type that does not fit is named");
    table.apply(vec![CatalogChange::Delete(item(1, 0).item_id)], NOW);
    assert!(parse("size < 3").is_err(), "gone with the only item that had it");
}

#[test]
fn several_filters_are_all_asked() {
    let (filters, entries) = (Filters::default(), TABLE.load());
    let parse = |text: &str| filters.parse(text, entries.schema()).unwrap();
    let (user, none) = (Map::new(), Vec::new());
    let all = filters.allowed(&none, &entries, &user, NOW);
    assert_eq!(all.slots(), entries.offered());
    let three = [parse("price < 10"), parse("price > 3"), parse("category = \"Toys\"")];
    let one = [parse("price < 10 and price > 3 and category = \"Toys\"")];
    let both = [&three[..], &one[..]].map(|asked| filters.allowed(asked, &entries, &user, NOW));
    assert_eq!(both[0].slots(), both[1].slots());
    assert!(both[0].slots().count() > 5);
}

#[test]
fn what_is_asked_for_again_is_known_by_row_too() {
    let (filters, entries) = (Filters::default(), TABLE.load());
    let ids = entries.iter().map(|(_, entry)| entry.item_id()).collect::<std::collections::BTreeSet<_>>();
    let vocabulary = Vocabulary::try_new(ids).unwrap();
    let version = |name: &str| SnapshotVersion::try_new(name).unwrap();
    let rows = TABLE.join(version("v1"), &vocabulary, &[]);
    let filter = [filters.parse("price < 10", entries.schema()).unwrap()];
    let ask = || filters.allowed(&filter, &entries, &Map::new(), NOW);
    assert!(ask().rows(&rows).is_none(), "the first time");
    let passed = ask();
    // Then a snapshot that knows the second half of the items, while the table stays as it is.
    let fewer = Vocabulary::try_new(vocabulary.ids().skip(rows.n_rows() / 2)).unwrap();
    let others = SnapshotRows::new(
        version("v2"),
        fewer.keys().iter().map(|key| entries.slot(*key).unwrap()).collect(),
        &[],
    );
    for rows in [&rows, &others, &rows] {
        let known = passed.rows(rows).unwrap();
        assert!(known.bits.count() > 5);
        for row in (0..rows.n_rows()).map(ItemIdx::from_row) {
            assert_eq!(known.bits.has(row.row()), passed.slots().has(rows.slot(row).place()));
        }
    }
    // What is one person's is not kept.
    let own = [filters.parse("not brand in user.blocked", entries.schema()).unwrap()];
    let user = json!({ "blocked": ["brand-1"] });
    let ask = || filters.allowed(&own, &entries, user.as_object().unwrap(), NOW);
    assert!(ask().rows(&rows).is_none() && ask().rows(&rows).is_none());
}

#[test]
fn of_a_large_catalogue_fewer_outcomes_are_kept() {
    // 400,000 slots are 100 kB an outcome, by slot and by row.
    let table = ItemTable::default();
    let ids: Vec<ItemId> = (0..400_000).map(|n| ItemId::try_new(format!("i{n}")).unwrap()).collect();
    let vocabulary = Vocabulary::try_new(ids).unwrap();
    table.apply(vec![CatalogChange::Put(item(1, 0))], NOW);
    table.join(SnapshotVersion::try_new("v1").unwrap(), &vocabulary, &[]);
    let (filters, entries) = (Filters::default(), table.load());
    for price in 0..400 {
        let filter = filters.parse(&format!("price < {price}"), entries.schema()).unwrap();
        filters.allowed(&[filter], &entries, &Map::new(), NOW);
        assert!(lock(&filters.outcomes).0.len() * 100_000 <= MAX_KEPT_BYTES);
    }
}
