use serde_json::json;

use super::*;

fn asked() -> Asked {
    Asked {
        query: "tea & mug".to_owned(),
        category: "Cups".to_owned(),
        price_from: Some(1.5),
        offset: 60,
        ..Asked::default()
    }
}

#[test]
fn an_address_says_all_that_was_asked_and_nothing_else() {
    assert_eq!(asked().url(), "/search?q=tea%20%26%20mug&category=Cups&from=1.5&offset=60");
    assert_eq!(Asked { query: "mug".to_owned(), ..Asked::default() }.url(), "/search?q=mug");
}

#[test]
fn chips_narrow_the_search_and_the_chosen_one_widens_it() {
    let values: Vec<_> = (0..12).map(|n| json!({ "value": format!("c{n}"), "n_items": 2_000 - n })).collect();
    let mut facet: Facet = serde_json::from_value(json!({ "n_items": 1, "values": values })).unwrap();
    let chips = asked().chips(&facet);
    assert_eq!(chips.len(), MAX_CHIPS);
    assert_eq!((chips[0].n_items.as_str(), chips[0].is_current), ("2,000", false));
    assert_eq!(chips[0].url, "/search?q=tea%20%26%20mug&category=c0&from=1.5");
    // The chosen one is there however rare it is.
    facet.values.as_mut().unwrap()[11].value = json!("Cups");
    let chips = asked().chips(&facet);
    assert!(chips[MAX_CHIPS].is_current);
    assert_eq!(chips[MAX_CHIPS].url, "/search?q=tea%20%26%20mug&from=1.5");
}

#[test]
fn only_who_is_known_may_ask_for_their_own_order() {
    let values = |is_known| asked().form(None, is_known).orders.iter().map(|o| o.value).collect::<Vec<_>>();
    assert!(values(true).contains(&"personal") && !values(false).contains(&"personal"));
    assert_eq!(asked().form(None, true).reset_url.unwrap(), "/search?q=tea%20%26%20mug");
}

#[test]
fn what_is_searched_is_one_line_that_the_api_takes() {
    assert_eq!(searchable(" a\nb\u{0} "), "ab");
    assert_eq!(searchable(&"é".repeat(300)).len(), MAX_QUERY_BYTES);
}
