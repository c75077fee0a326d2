use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_000_000);

fn index(items: &[(&str, &str, &str)]) -> LexicalIndex {
    let index = LexicalIndex::try_new().unwrap();
    let changes: Vec<_> =
        items.iter().map(|(id, title, category)| put(id, title, category, |_| {})).collect();
    index.apply(&changes).unwrap();
    index
}

fn put(id: &str, title: &str, category: &str, change: fn(&mut Item)) -> CatalogChange {
    let mut item = Item::new(ItemId::try_new(id).unwrap(), title);
    item.category = Some(category.to_owned());
    change(&mut item);
    CatalogChange::Put(item)
}

fn shop() -> LexicalIndex {
    index(&[
        ("1", "White hanging heart holder", "lighting"),
        ("2", "Red lantern", "lighting"),
        ("3", "White lantern", "garden"),
        ("4", "Heart of wicker", "lighting"),
        ("5", "Lanters and more", "books"),
        ("6", "Café crème jug", "kitchen"),
    ])
}

fn search(index: &LexicalIndex, text: &str) -> Found {
    index.search(&SearchQuery { text, category: None, now: NOW, limit: 10, offset: 0 }).unwrap()
}

fn ids(found: &Found) -> Vec<&str> {
    found.hits.iter().map(|hit| hit.item_id.as_str()).collect()
}

/// The ids found, in any order.
#[track_caller]
fn check(index: &LexicalIndex, text: &str, expected: &[&str]) {
    let found = search(index, text);
    let mut got = ids(&found);
    got.sort_unstable();
    assert_eq!((got.as_slice(), found.n_matches), (expected, expected.len()), "{text}");
}

#[test]
fn every_word_has_to_match() {
    let shop = shop();
    check(&shop, "white", &["1", "3"]);
    check(&shop, "WHITE lanterns", &["3"]);
    check(&shop, "cafe creme", &["6"]);
    assert!(!search(&shop, "white lantern").is_partial);
}

#[test]
fn words_are_found_in_the_category_too_and_the_title_weighs_more() {
    let shop = index(&[("1", "Kitchen scale", "tools"), ("2", "Whisk", "kitchen")]);
    assert_eq!(ids(&search(&shop, "kitchen")), ["1", "2"]);
}

#[test]
fn a_typo_is_forgiven_and_the_exact_word_comes_first() {
    let shop = shop();
    let found = search(&shop, "lantern");
    assert_eq!(found.n_matches, 3);
    assert_eq!(ids(&found)[2], "5", "one letter off comes last");
    check(&shop, "wiker", &["4"]);
    check(&shop, "wkicer", &[]);
    // A short word is taken as it is.
    check(&shop, "rad", &[]);
}

#[test]
fn where_no_item_has_every_word_the_most_words_count() {
    let shop = shop();
    let found = search(&shop, "white lantern unobtainium");
    assert!(found.is_partial);
    assert_eq!(ids(&found), ["3"], "two of three");
    let found = search(&shop, "wicker unobtainium");
    assert_eq!((ids(&found), found.is_partial), (vec!["4"], true));
    let found = search(&shop, "a b c d e f g wicker");
    assert_eq!((ids(&found), found.is_partial), (vec!["4"], true));
    assert_eq!(search(&shop, "unobtainium nowhere"), Found::default());
}

#[test]
fn an_item_alike_shares_words() {
    let shop = shop();
    let alike = shop.alike("Hanging heart of glass", 10, NOW).unwrap();
    let ids: Vec<_> = alike.iter().map(|hit| hit.item_id.as_str()).collect();
    assert_eq!(ids.len(), 2);
    assert!(ids.contains(&"1") && ids.contains(&"4"));
    assert_eq!(shop.alike("  ", 10, NOW).unwrap(), []);
}

#[test]
fn only_what_is_on_offer_is_found_and_counted() {
    let index = LexicalIndex::try_new().unwrap();
    index
        .apply(&[
            put("shown", "lamp", "x", |item| item.available_from = Some(NOW)),
            put("hidden", "lamp", "x", |item| item.hidden = true),
            put("gone", "lamp", "x", |item| item.in_stock = false),
            put("later", "lamp", "x", |item| item.available_from = Some(NOW.shifted_by_millis(1))),
            put("over", "lamp", "x", |item| item.available_until = Some(NOW)),
            put("soon over", "lamp", "x", |item| item.available_until = Some(NOW.shifted_by_millis(1))),
        ])
        .unwrap();
    check(&index, "lamp", &["shown", "soon over"]);
    let later =
        SearchQuery { text: "lamp", category: None, now: NOW.shifted_by_millis(1), limit: 10, offset: 0 };
    assert_eq!(index.search(&later).unwrap().n_matches, 2);
}

#[test]
fn changes_replace_and_remove() {
    let index = index(&[("a", "lamp", "x")]);
    index.apply(&[put("a", "sofa", "x", |_| {})]).unwrap();
    check(&index, "lamp", &[]);
    check(&index, "sofa", &["a"]);
    index.apply(&[put("a", "sofa", "x", |item| item.hidden = true)]).unwrap();
    check(&index, "sofa", &[]);
    let id = ItemId::try_new("a").unwrap();
    index
        .apply(&[put("a", "sofa", "x", |_| {}), CatalogChange::Delete(id), put("b", "sofa", "x", |_| {})])
        .unwrap();
    check(&index, "sofa", &["b"]);
}

#[test]
fn a_category_filters_and_does_not_change_scores() {
    let shop = shop();
    let only = SearchQuery { text: "lantern", category: Some("garden"), now: NOW, limit: 10, offset: 0 };
    let found = shop.search(&only).unwrap();
    assert_eq!((ids(&found), found.n_matches), (vec!["3"], 1));
    let anywhere = search(&shop, "lantern");
    assert_eq!(found.hits[0], *anywhere.hits.iter().find(|hit| hit.item_id.as_str() == "3").unwrap());
    assert_eq!(shop.search(&SearchQuery { category: Some("gard"), ..only }).unwrap(), Found::default());
}

#[test]
fn pages_do_not_overlap_and_count_alike() {
    let items: Vec<_> = (0..25).map(|n| put(&format!("{n:02}"), "lamp", "x", |_| {})).collect();
    let index = LexicalIndex::try_new().unwrap();
    index.apply(&items).unwrap();
    let mut seen = Vec::new();
    for offset in [0, 10, 20, 30] {
        let page = SearchQuery { text: "lamp", category: None, now: NOW, limit: 10, offset };
        let found = index.search(&page).unwrap();
        assert_eq!(found.n_matches, 25);
        seen.extend(found.hits.into_iter().map(|hit| hit.item_id));
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 25);
}

#[test]
fn whatever_people_type_is_text() {
    let shop = shop();
    let long = "white ".repeat(1_000);
    for odd in
        ["", " ", "\"", "AND OR NOT", "title:[* TO *]", "(((", "^~*?:\\", "\0", "🐝", "-white", long.as_str()]
    {
        search(&shop, odd);
    }
    assert_eq!(search(&shop, "\"white\" -lantern").n_matches, 1);
    assert_eq!(search(&shop, &"x".repeat(100_000)), Found::default());
}
