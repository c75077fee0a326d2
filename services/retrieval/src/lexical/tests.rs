use proptest::prelude::*;
use waggle_model::{ItemId, Timestamp};

use super::{variants::MAX_ENTRIES, *};
use crate::table::ItemTable;

const NOW: Timestamp = Timestamp::from_millis(1_000_000);

struct Shop {
    table: ItemTable,
    index: LexicalIndex,
}

impl Shop {
    fn new(items: &[(&str, &str, &str)]) -> Self {
        let shop = Self { table: ItemTable::default(), index: LexicalIndex::try_new().unwrap() };
        shop.apply(items.iter().map(|(id, title, category)| put(id, title, category, |_| {})).collect());
        shop
    }

    fn apply(&self, changes: Vec<CatalogChange>) {
        let counted = self.table.apply(changes, NOW);
        self.index.apply(&counted, &self.table.load()).unwrap();
    }

    /// The search of who has finished typing.
    fn search(&self, text: &str) -> Found {
        self.found(SearchQuery { text, completes: false })
    }

    /// The search of who may still be typing.
    fn typing(&self, text: &str) -> Found {
        self.found(SearchQuery { text, completes: true })
    }

    fn found(&self, query: SearchQuery<'_>) -> Found {
        let entries = self.table.load();
        self.index.search(query, |slot| entries.offered().has(slot.place())).unwrap()
    }

    /// The ids found, best first.
    fn ids(&self, found: &Found) -> Vec<String> {
        let entries = self.table.load();
        let mut hits = found.hits.clone();
        hits.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.slot.cmp(&b.slot)));
        hits.iter().map(|hit| entries.at(hit.slot).unwrap().id().to_owned()).collect()
    }

    /// These are found, in any order.
    #[track_caller]
    fn check(&self, found: &Found, expected: &[&str]) {
        let mut got = self.ids(found);
        got.sort_unstable();
        assert_eq!(got, expected);
    }

    fn titles(titles: &[&str]) -> Self {
        let items: Vec<(String, &str)> =
            titles.iter().enumerate().map(|(n, title)| (format!("{n:03}"), *title)).collect();
        let items: Vec<(&str, &str, &str)> =
            items.iter().map(|(id, title)| (id.as_str(), *title, "x")).collect();
        Self::new(&items)
    }

    /// The titles found, best first.
    fn titled(&self, found: &Found) -> Vec<String> {
        let entries = self.table.load();
        let item = |id: &String| entries.find(&ItemId::try_new(id).unwrap()).unwrap().item().title;
        self.ids(found).iter().map(item).collect()
    }
}

fn put(id: &str, title: &str, category: &str, change: fn(&mut Item)) -> CatalogChange {
    let mut item = Item::new(ItemId::try_new(id).unwrap(), title);
    item.category = Some(category.to_owned());
    change(&mut item);
    CatalogChange::Put(item)
}

fn shop() -> Shop {
    Shop::new(&[
        ("1", "White hanging heart holder", "lighting"),
        ("2", "Red lantern", "lighting"),
        ("3", "White lantern", "garden"),
        ("4", "Heart of wicker", "lighting"),
        ("5", "Lanters and more", "books"),
        ("6", "Café crème jug", "kitchen"),
    ])
}

#[test]
fn every_word_has_to_match() {
    let shop = shop();
    shop.check(&shop.search("white"), &["1", "3"]);
    shop.check(&shop.search("WHITE lanterns"), &["3"]);
    shop.check(&shop.search("cafe creme"), &["6"]);
    let found = shop.search("white lantern");
    assert!(!found.is_partial && !found.is_corrected);
}

#[test]
fn words_are_found_in_the_category_too_and_the_title_weighs_more() {
    let shop = Shop::new(&[("1", "Kitchen scale", "tools"), ("2", "Whisk", "kitchen")]);
    assert_eq!(shop.ids(&shop.search("kitchen")), ["1", "2"]);
}

#[test]
fn a_word_that_the_catalogue_does_not_have_stands_for_those_spelt_alike() {
    let shop = shop();
    // A letter less, more, another, and two that changed places.
    for typo in ["wiker", "wiccker", "wocker", "wikcer"] {
        let found = shop.search(typo);
        shop.check(&found, &["4"]);
        assert!(found.is_corrected, "{typo}");
    }
    shop.check(&shop.search("hoder"), &["1"]);
    shop.check(&shop.search("hangnig haert"), &["1"]);
}

#[test]
fn how_many_errors_are_forgiven_goes_by_the_length() {
    let shop = Shop::titles(&["jug", "lamp", "lantern", "decorate", "chandelier"]);
    let check = |typed: &str, expected: &[&str]| {
        assert_eq!(shop.titled(&shop.search(typed)), expected, "{typed}");
    };
    check("jag", &[]);
    check("lmap", &["lamp"]);
    check("lpma", &[]);
    check("lantrne", &[]);
    check("lantrn", &["lantern"]);
    check("decroaet", &["decorate"]);
    check("chamdelir", &["chandelier"]);
    check("cjamdelir", &[]);
}

#[test]
fn a_word_that_the_catalogue_has_is_taken_as_it_is_written() {
    let shop = shop();
    let found = shop.search("lantern");
    shop.check(&found, &["2", "3"]);
    assert!(!found.is_corrected);
    // Unless no item has all the words.
    let found = shop.search("lantern more");
    shop.check(&found, &["5"]);
    assert!(found.is_corrected && !found.is_partial);
}

#[test]
fn a_rare_spelling_also_stands_for_a_much_commoner_one() {
    let titles: Vec<String> = (0..20).map(|n| format!("christmas star {n}")).collect();
    let titles: Vec<&str> = titles.iter().map(String::as_str).chain(["chrismas card"]).collect();
    let shop = Shop::titles(&titles);
    let found = shop.search("chrismas");
    assert_eq!((found.hits.len(), shop.titled(&found)[0].as_str()), (21, "chrismas card"));
    assert_eq!(shop.search("christmas").hits.len(), 20);
}

#[test]
fn the_last_word_may_be_the_beginning_of_one() {
    let shop = shop();
    shop.check(&shop.typing("l"), &["1", "2", "3", "4", "5"]);
    shop.check(&shop.typing("lant"), &["2", "3", "5"]);
    shop.check(&shop.typing("white h"), &["1"]);
    // A stem is no beginning of every word that has it.
    let decorations = Shop::titles(&["party decorations"]);
    assert_eq!(decorations.typing("decorati").hits.len(), 1);
    // Only the last one, and not once something follows it.
    assert!(shop.typing("whi heart").is_corrected || shop.typing("whi heart").is_partial);
    shop.check(&shop.search("lant"), &[]);
    shop.check(&shop.typing("jug "), &["6"]);
    shop.check(&shop.typing("lant "), &[]);
    // With a typing error.
    shop.check(&shop.typing("lnater"), &["2", "3", "5"]);
}

#[test]
fn a_whole_word_comes_before_a_longer_one_and_that_before_one_spelt_alike() {
    let shop = Shop::titles(&["cards for all", "cardigan for all", "carp for all"]);
    assert_eq!(shop.titled(&shop.typing("card")), ["cards for all", "cardigan for all"]);
    let found = shop.search("cardd all");
    assert_eq!(shop.titled(&found), ["cards for all"]);
}

#[test]
fn where_no_item_has_every_word_the_most_words_count() {
    let shop = shop();
    let found = shop.search("white lantern unobtainium");
    assert!(found.is_partial);
    shop.check(&found, &["3"]);
    let found = shop.search("wicker unobtainium");
    shop.check(&found, &["4"]);
    assert!(found.is_partial);
    let found = shop.search("a b c d e f g wicker");
    shop.check(&found, &["4"]);
    assert!(found.is_partial);
    let nothing = shop.search("unobtainium nowhere");
    assert!(nothing.hits.is_empty() && !nothing.is_partial);
}

#[test]
fn an_item_alike_shares_words() {
    let shop = shop();
    let alike = shop.index.alike("Hanging heart of glass", 10, |_| true).unwrap();
    let found = Found { hits: alike, ..Found::default() };
    shop.check(&found, &["1", "4"]);
    assert_eq!(shop.index.alike("  ", 10, |_| true).unwrap(), []);
    assert_eq!(shop.index.alike("Hanging heart of glass", 1, |_| true).unwrap().len(), 1);
}

#[test]
fn a_word_of_very_many_items_does_not_count_beside_a_rare_one() {
    let n_common = usize::try_from(MAX_ALIKE).unwrap();
    let mut titles = vec!["common"; n_common];
    titles.push("common rare");
    let shop = Shop::titles(&titles);
    let hits = shop.index.alike("common rare", 10, |_| true).unwrap();
    assert_eq!(hits.len(), 1, "only the one with the rare word");
    // On its own it does: something is better than nothing.
    assert_eq!(shop.index.alike("common", 10, |_| true).unwrap().len(), 10);
}

#[test]
fn only_what_may_be_shown_is_found() {
    let shop = Shop::new(&[]);
    shop.apply(vec![
        put("shown", "lamp", "x", |item| item.available_from = Some(NOW)),
        put("hidden", "lamp", "x", |item| item.hidden = true),
        put("gone", "lamp", "x", |item| item.in_stock = false),
        put("later", "lamp", "x", |item| item.available_from = Some(NOW.shifted_by_millis(1))),
    ]);
    shop.check(&shop.search("lamp"), &["shown"]);
    shop.table.advance(NOW.shifted_by_millis(1));
    shop.check(&shop.search("lamp"), &["later", "shown"]);
    // What is not shown does not count as the best match either.
    shop.apply(vec![put("both", "white lamp", "x", |_| {}), put("white", "white", "x", |_| {})]);
    let entries = shop.table.load();
    let both = entries.slot(ItemId::try_new("both").unwrap().key()).unwrap();
    let query = SearchQuery { text: "white lamp", completes: false };
    let found = shop.index.search(query, |slot| slot != both).unwrap();
    assert!(found.is_partial && found.hits.len() == 3, "{found:?}");
}

#[test]
fn changes_replace_and_remove() {
    let shop = Shop::new(&[("a", "lamp", "x")]);
    shop.apply(vec![put("a", "sofa", "x", |_| {})]);
    shop.check(&shop.search("lamp"), &[]);
    shop.check(&shop.search("sofa"), &["a"]);
    shop.apply(vec![put("a", "sofa", "x", |item| item.hidden = true)]);
    shop.check(&shop.search("sofa"), &[]);
    let id = ItemId::try_new("a").unwrap();
    shop.apply(vec![put("a", "sofa", "x", |_| {}), CatalogChange::Delete(id), put("b", "sofa", "x", |_| {})]);
    shop.check(&shop.search("sofa"), &["b"]);
}

#[test]
fn what_is_left_out_does_not_change_scores() {
    let shop = shop();
    let all = shop.search("lantern");
    let query = SearchQuery { text: "lantern", completes: false };
    let some = shop.index.search(query, |slot| slot == all.hits[1].slot).unwrap();
    assert_eq!(some.hits, [all.hits[1]]);
}

#[test]
fn an_id_finds_its_item_first() {
    let shop =
        Shop::new(&[("85123A", "Holder", "x"), ("2", "85123a spare part", "x"), ("%%", "Percent", "x")]);
    for id in ["85123A", " 85123a "] {
        assert_eq!(shop.ids(&shop.typing(id)), ["85123A", "2"]);
    }
    assert_eq!(shop.ids(&shop.typing("%%")), ["%%"]);
    shop.apply(vec![CatalogChange::Delete(ItemId::try_new("85123A").unwrap())]);
    assert_eq!(shop.ids(&shop.typing("85123A")), ["2"]);
}

#[test]
fn found_words_are_marked_however_they_were_typed() {
    let shop = Shop::new(&[("1", "White hanging hearts, 2 <b>", "lighting")]);
    let entries = shop.table.load();
    let item = &entries.find(&ItemId::try_new("1").unwrap()).unwrap().item();
    let html = |text: &str| {
        let highlights = shop.index.highlight(item, &shop.typing(text).terms);
        highlights.into_iter().map(|(name, h)| format!("{name}: {}", h.html)).collect::<Vec<_>>()
    };
    assert_eq!(html("heart"), ["title: White hanging <mark>hearts</mark>, 2 &lt;b&gt;"]);
    assert_eq!(html("haerts whi"), ["title: <mark>White</mark> hanging <mark>hearts</mark>, 2 &lt;b&gt;"]);
    assert_eq!(
        html("lighting"),
        ["title: White hanging hearts, 2 &lt;b&gt;", "category: <mark>lighting</mark>"]
    );
}

#[test]
fn whatever_people_type_is_text() {
    let shop = shop();
    let long = "white ".repeat(1_000);
    for odd in
        ["", " ", "\"", "AND OR NOT", "title:[* TO *]", "(((", "^~*?:\\", "\0", "🐝", "-white", long.as_str()]
    {
        shop.typing(odd);
    }
    shop.check(&shop.search("\"white\" -lantern"), &["3"]);
    assert!(shop.search(&"x".repeat(100_000)).hits.is_empty());
    // Beyond so many words nothing is looked at.
    let many: Vec<String> = (0..MAX_QUERY_WORDS).map(|n| format!("w{n}")).collect();
    let shop = Shop::titles(&[&many.join(" ")]);
    assert!(!shop.search(&format!("{} nowhere", many.join(" "))).is_partial);
}

/// Letters of a hostile query: those of the catalogue, accents to be combined, marks, controls, scripts, emoji.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-e]{1,12}",
        2 => "[a-z0-9]{1,63}",
        1 => "[\u{300}-\u{36f}]{1,40}",
        1 => "[\\x00-\\x1f \"'(){}:*?~^\\\\]{1,8}",
        1 => "[а-я]{1,20}|[一-龥]{1,20}|[🐝🧸👩‍👧]{1,6}|[\u{fff0}-\u{ffff}]{1,6}",
    ];
    prop::collection::vec(piece, 0..64).prop_map(|pieces| {
        let text = pieces.join(" ");
        text[..text.floor_char_boundary(512)].to_owned()
    })
}

/// A catalogue whose words are near each other, so that typing errors and beginnings find as much as they can.
fn crowded() -> Shop {
    let word = |n: usize| -> String {
        (0..3 + n % 9).map(|at| char::from(b'a' + u8::try_from(n.pow(2) / (at + 1) % 5).unwrap())).collect()
    };
    let titles: Vec<String> =
        (0..500).map(|n| format!("{} {} {}", word(n), word(n * 7 + 3), word(n * 31 + 11))).collect();
    Shop::titles(&titles.iter().map(String::as_str).collect::<Vec<_>>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_query_costs_more_than_its_words_allow(text in hostile(), completes in any::<bool>()) {
        static SHOP: std::sync::LazyLock<Shop> = std::sync::LazyLock::new(crowded);
        let found = SHOP.found(SearchQuery { text: &text, completes });
        // Twice: as it is written, and with errors. Each word once by beginning and once by distance; each of its
        // variants in two of the texts, which is all that the items have.
        let Work { n_entries, n_postings } = found.work;
        let n_words = SHOP.index.words.of_query(&text, completes, usize::MAX).len().min(MAX_QUERY_WORDS);
        let n_segments = SHOP.index.view.load().segments.len();
        prop_assert!(n_entries <= 2 * 2 * n_words * n_segments * MAX_ENTRIES.min(1_500), "{n_entries}");
        prop_assert!(n_postings <= 2 * n_words * 500 * 3, "{n_postings}");
        for (at, hit) in found.hits.iter().enumerate() {
            prop_assert!(hit.score.is_finite() && hit.score > 0.0, "{hit:?}");
            prop_assert!(found.hits[..at].iter().all(|other| other.slot != hit.slot), "twice: {hit:?}");
        }
    }
}

/// Of the titles of Online Retail with one typing error each, so many find their item among the first ten.
#[test]
fn real_titles_with_a_typing_error_are_found() {
    let Some(titles) = online_retail() else {
        println!("SKIPPED: WAGGLE_DATA_DIR has no online-retail");
        return;
    };
    let shop = Shop::titles(&titles.iter().map(String::as_str).collect::<Vec<_>>());
    let mut n_found = 0;
    let asked = titles.iter().enumerate().step_by(7);
    let n_asked = asked.len();
    for (n, title) in asked {
        let found = shop.search(&misspelt(title, n));
        n_found += usize::from(shop.titled(&found).iter().take(10).any(|found| found == title));
    }
    println!("{n_found} of {n_asked}");
    assert!(n_found * 100 >= n_asked * 97, "{n_found} of {n_asked}");
}

/// A letter less, more or another, or two that changed places, in the longest word.
fn misspelt(title: &str, n: usize) -> String {
    let longest = title.split(' ').max_by_key(|word| word.len()).unwrap();
    let mut letters: Vec<char> = longest.chars().collect();
    let at = n * 31 % (letters.len() - 1);
    let letter = char::from(b'a' + u8::try_from(n % 26).unwrap());
    match n / 7 % 4 {
        0 => drop(letters.remove(at)),
        1 => letters.insert(at, letter),
        2 => letters[at] = letter,
        _ => letters.swap(at, at + 1),
    }
    title.replacen(longest, &letters.iter().collect::<String>(), 1)
}

/// Every title once.
fn online_retail() -> Option<Vec<String>> {
    let path = std::path::Path::new(&data_dir()?).join("online-retail");
    let data = path.exists().then(|| waggle_datasets::online_retail::read(&path, &|_, _| {}).unwrap())?;
    let titles: BTreeSet<String> = data.items.into_iter().map(|item| item.title).collect();
    Some(titles.into_iter().collect())
}

#[expect(
    clippy::disallowed_methods,
    reason = "tests have no configuration; real data is found by this variable only"
)]
fn data_dir() -> Option<String> {
    std::env::var("WAGGLE_DATA_DIR").ok()
}

#[test]
fn parts_that_were_merged_are_let_go() {
    let shop = Shop::new(&[]);
    for n in 0..20 {
        shop.apply(vec![put(&format!("{n:03}"), "merging lamp", "x", |_| {})]);
    }
    // Merging takes its time, in threads of tantivy's own.
    let started = std::time::Instant::now();
    while shop.index.view.load().segments.len() > 8 {
        assert!(started.elapsed().as_secs() < 60, "{} parts", shop.index.view.load().segments.len());
        std::thread::sleep(std::time::Duration::from_millis(20));
        shop.index.follow_merges().unwrap();
    }
    assert_eq!(shop.search("lamp").hits.len(), 20);
}
