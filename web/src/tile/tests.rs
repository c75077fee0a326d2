use std::collections::HashSet;

use waggle_model::{Item, ItemId};

use super::{PICTOGRAMS, Subject, choose, draw, svg, words};

fn item(id: &str, title: &str, category: Option<&str>) -> Item {
    Item { category: category.map(ToOwned::to_owned), ..Item::new(ItemId::try_new(id).unwrap(), title) }
}

/// A strict reader of the XML that tiles use: elements nest, attributes are quoted, no bare `<` or `&`.
fn assert_well_formed(xml: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = xml;
    while let Some(at) = rest.find('<') {
        assert_text(&rest[..at]);
        let end = rest.find('>').unwrap_or_else(|| panic!("a tag does not end: {rest}"));
        let tag = &rest[at + 1..end];
        assert!(!tag.contains('<'), "a tag within a tag: {tag}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "closes what is not open");
        } else {
            let name = tag.split([' ', '/']).next().unwrap();
            let quotes = tag.matches('"').count();
            assert!(
                quotes.is_multiple_of(2) && quotes / 2 == tag.matches("=\"").count(),
                "attributes of {tag}"
            );
            if !tag.ends_with('/') {
                open.push(name);
            }
        }
        rest = &rest[end + 1..];
    }
    assert_text(rest);
    assert!(open.is_empty(), "left open: {open:?}");
}

fn assert_text(text: &str) {
    for (at, _) in text.match_indices('&') {
        let entity = text[at..].split(';').next().unwrap();
        assert!(["&amp", "&lt", "&gt", "&quot", "&#39"].contains(&entity), "a bare ampersand: {text}");
    }
    assert!(!text.chars().any(char::is_control), "a control character: {text:?}");
}

#[test]
fn every_pictogram_draws_well_formed_xml_in_known_colours() {
    for pictogram in PICTOGRAMS {
        for title in ["Plain", "Red Retrospot", "White Hearts", "Blue Stripe Stars", "Ivory Rose Gingham"] {
            let drawing = svg(&item("1", &format!("{title} {}", pictogram.words[0]), Some("Things")));
            assert_well_formed(&drawing);
            assert!(!drawing.contains('$'), "{} has a token without a colour", pictogram.name);
        }
    }
}

#[test]
fn no_word_calls_for_two_drawings_of_one_tier() {
    let mut seen = HashSet::new();
    for pictogram in PICTOGRAMS {
        for word in pictogram.words {
            let new = seen.insert((format!("{:?}", pictogram.tier), *word));
            assert!(new, "\"{word}\" of {} is taken", pictogram.name);
        }
    }
}

#[test]
fn hostile_titles_cannot_leave_their_text() {
    for title in [
        "<script>alert(1)</script>",
        "\"><image href=\"x\" onerror=\"alert(1)\"/>",
        "</title></svg><script>",
        "a & b &lt; ]]> <!-- --> <?x?>",
        "nul \u{0} and bell \u{7} and \u{fffe}",
        "",
        "   ",
        "\u{202e}\u{1f600} 漢字 ß",
        "'single' \"double\"",
    ] {
        let drawing = svg(&item("<i\"'>", title, Some("</style><b>")));
        assert_well_formed(&drawing);
        for forbidden in ["<script", "<image", "onerror=\"", "<!--", "<?", "<style"] {
            assert!(!drawing.contains(forbidden), "{title} got {forbidden} into {drawing}");
        }
    }
}

#[test]
fn a_title_gets_the_thing_it_names_last() {
    #[track_caller]
    fn check(title: &str, expected: Option<&str>) {
        assert_eq!(choose(&words(title)).map(|p| p.name), expected, "{title}");
    }
    check("White Hanging Heart T-Light Holder", Some("t-light"));
    check("Lunch Bag Red Retrospot", Some("lunch bag"));
    check("Jumbo Bag Pink Polkadot", Some("jumbo bag"));
    check("Regency Cakestand 3 Tier", Some("cakestand"));
    check("Alarm Clock Bakelike Red", Some("clock"));
    check("Party Bunting", Some("bunting"));
    check("Heart of Wicker Small", Some("heart"));
    check("Glass Jar with Heart Spoon", Some("jar"));
    check("Set of 3 Cake Tins Pantry Design", Some("tin"));
    check("Assorted Colour Bird Ornament", Some("bauble"));
    check("Wooden Star Christmas Scandinavian", Some("star"));
    check("White Christmas Tree 120cm", Some("christmas tree"));
    check("Paper Chain Kit 50's Christmas", Some("bunting"));
    check("Children's Apron Spaceboy Design", Some("apron"));
    check("Jumbo Bag Vintage Doily", Some("jumbo bag"));
    check("Storage Boxes", Some("box"));
    check("Wine Glasses", Some("glass"));
    check("Zorblax 9000", None);
}

#[test]
fn the_category_helps_where_the_title_does_not() {
    let with = svg(&item("1", "Zorblax 9000", Some("Candles")));
    assert!(!with.contains("<text"));
}

#[test]
fn a_title_that_names_nothing_gets_its_initials() {
    let drawing = svg(&item("1", "the matrix", None));
    assert!(drawing.contains(">TM</text>"), "{drawing}");
}

#[test]
fn one_item_always_looks_the_same_and_two_do_not() {
    let look = |id: &str| draw(&Subject { item_id: id, title: "Mug", category: Some("Mugs") });
    assert_eq!(look("a"), look("a"));
    let looks: HashSet<String> = (0..40).map(|i| look(&format!("item-{i}"))).collect();
    assert!(looks.len() > 20, "only {} looks for 40 items", looks.len());
}

#[test]
fn a_colour_word_colours_the_thing_and_a_motif_is_printed_on_it() {
    let red = svg(&item("1", "Lunch Bag Red Retrospot", Some("Bags")));
    assert!(red.contains("#c43b45") && red.contains("url(#m)"));
    let blue = svg(&item("1", "Blue Lunch Bag", Some("Bags")));
    assert!(blue.contains("#4f7fae") && !blue.contains("url(#m)"));
}
