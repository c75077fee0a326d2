//! Rendering, rows, cookies and events from plain values; `tests/it` speaks HTTP.

use std::collections::HashSet;

use actix_web::test::TestRequest;
use askama::Template as _;
use serde_json::json;
use waggle_contracts::api::{Profile, RecommendationResponse};
use waggle_model::{EventBody, Item, ItemId, Timestamp, wire::WireEvent};

use crate::{
    basket::{Basket, Line, MAX_LINES, MAX_QUANTITY},
    events,
    panel::Knows,
    rows::{Context, Row, by_reason, complete, join, single},
    text,
    visitor::{Order, Visitor, is_order_id, new_order_id},
};

const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

fn answer(places: &[(&str, serde_json::Value)]) -> RecommendationResponse {
    let items: Vec<_> = places
        .iter()
        .zip(1..)
        .map(|((id, reason), rank)| {
            json!({
                "item_id": id, "rank": rank, "score": 1.0, "reason": reason,
                "sources": [{"source": "item_item", "score": 0.5, "rank": rank}],
                "item": {"item_id": id, "title": format!("Title {id}"), "category": "Kitchen", "price": 2.5, "currency": "GBP"},
            })
        })
        .collect();
    serde_json::from_value(json!({
        "answer_id": "a-1", "placement": "home", "rung": "personal", "snapshot": "v1", "watermark": null,
        "items": items, "took_ms": 3.0,
    }))
    .unwrap()
}

fn profile(events: serde_json::Value) -> Profile {
    serde_json::from_value(json!({
        "user_id": "u", "session_id": null, "n_events": 3, "n_orders": 1, "first_seen": null, "last_seen": null,
        "watermark": {"partition": 1, "offset": 1234, "time": "2026-01-31T12:00:00Z"},
        "typical_price": 2.5, "recent": events, "categories": [{"category": "Kitchen", "share": 0.6}],
        "n_distinct_items": 2, "rung": "personal", "snapshot": "v1",
    }))
    .unwrap()
}

fn because(item_id: &str) -> serde_json::Value {
    json!({"kind": "because_of", "item_id": item_id, "title": format!("Thing {item_id}")})
}

fn titles(rows: &[Row]) -> Vec<(&str, usize)> {
    rows.iter().map(|row| (row.title.as_str(), row.cards.len())).collect()
}

fn rows(places: &[(&str, serde_json::Value)], profile: Option<&Profile>) -> Vec<Row> {
    by_reason(&answer(places), Context { profile, now: NOW }, &mut HashSet::new())
}

#[test]
fn a_row_says_bought_only_of_what_was_bought() {
    let bought =
        profile(json!([{"kind": "purchase", "time": "2026-01-01T00:00:00Z", "item_id": "x", "title": "X"}]));
    let looked =
        profile(json!([{"kind": "view", "time": "2026-01-01T00:00:00Z", "item_id": "x", "title": "X"}]));
    let places = [("a", because("x")), ("b", because("x")), ("c", because("x"))];
    assert_eq!(titles(&rows(&places, Some(&bought))), [("Because you bought Thing x", 3)]);
    assert_eq!(titles(&rows(&places, Some(&looked))), [("Because you looked at Thing x", 3)]);
    assert_eq!(titles(&rows(&places, None)), [("Goes with Thing x, from your history", 3)]);
}

#[test]
fn small_reasons_share_a_row_and_each_card_says_its_own() {
    let found = rows(&[("a", because("x")), ("b", because("y")), ("c", json!({"kind": "trending"}))], None);
    assert_eq!(titles(&found), [("More that goes with what you chose", 2), ("Trending today", 1)]);
    assert_eq!(found[0].cards[0].because.as_deref(), Some("goes with Thing x"));
}

#[test]
fn rows_come_in_the_order_of_the_answer_and_keep_its_positions() {
    let taste = json!({"kind": "your_taste"});
    let known = profile(json!([]));
    let found = rows(
        &[
            ("n", json!({"kind": "new"})),
            ("a", taste.clone()),
            ("b", taste.clone()),
            ("c", taste),
            ("again", json!({"kind": "buy_again", "times": 4, "last": "2026-01-31T12:00:00Z"})),
        ],
        Some(&known),
    );
    assert_eq!(
        titles(&found),
        [("New in the shop", 1), ("From your taste in Kitchen", 3), ("Time to buy again?", 1)]
    );
    assert_eq!(found[1].cards.iter().map(|card| card.position).collect::<Vec<_>>(), [2, 3, 4]);
    assert_eq!(found[1].cards[0].url, "/p/a?a=a-1&pos=2");
    assert_eq!(found[2].cards[0].because.as_deref(), Some("bought 4 times, last 31 Jan 2026"));
    assert!(found[1].cards[0].can_dismiss && !found[0].cards[0].can_dismiss);
}

#[test]
fn no_item_comes_twice_on_a_page() {
    let mut shown = HashSet::new();
    let trending = json!({"kind": "trending"});
    let context = Context { profile: None, now: NOW };
    let first = by_reason(&answer(&[("a", trending.clone()), ("a", trending.clone())]), context, &mut shown);
    assert_eq!(titles(&first), [("Trending today", 1)]);
    let second = answer(&[("a", trending.clone()), ("b", trending)]);
    let second = single("trending", "More", "", &second, &mut shown).unwrap();
    assert_eq!(second.cards.iter().map(|card| card.item_id.as_str()).collect::<Vec<_>>(), ["b"]);
}

#[test]
fn a_live_list_replaces_a_thin_row_and_leaves_a_good_one() {
    let trending = || json!({"kind": "trending"});
    let live = answer(&[("a", trending()), ("b", trending()), ("c", trending())]);
    let context = Context { profile: None, now: NOW };
    let add = |places: &[(&str, serde_json::Value)]| {
        let mut shown = HashSet::new();
        let mut page = by_reason(&answer(places), context, &mut shown);
        complete(&mut page, "trending", "Now", "", &live, &mut shown);
        page.iter().map(|row| (row.title.clone(), row.cards.len())).collect::<Vec<_>>()
    };
    assert_eq!(add(&[("a", trending())]), [("Now".to_owned(), 3)]);
    assert_eq!(add(&[]), [("Now".to_owned(), 3)]);
    let good: Vec<_> = ["1", "2", "3", "4", "5", "6"].iter().map(|id| (*id, trending())).collect();
    assert_eq!(add(&good), [("Trending today".to_owned(), 6)]);
}

#[test]
fn a_further_answer_joins_rows_of_the_same_heading() {
    let new = || json!({"kind": "new"});
    let mut page = rows(&[("a", new())], None);
    join(&mut page, rows(&[("b", new()), ("c", json!({"kind": "trending"}))], None));
    assert_eq!(titles(&page), [("New in the shop", 2), ("Trending today", 1)]);
}

#[test]
fn hostile_values_stay_text_in_cards_and_panel() {
    const EVIL: &str = "\"><script>alert('1')</script>&";
    let mut evil = answer(&[("a", json!({"kind": "because_of", "item_id": "x", "title": EVIL}))]);
    let item = evil.items[0].item.as_mut().unwrap();
    item.title = EVIL.to_owned();
    item.category = Some(EVIL.to_owned());
    item.currency = Some(EVIL.to_owned());
    let rows = by_reason(&evil, Context { profile: None, now: NOW }, &mut HashSet::new());
    let html = rows[0].render().unwrap();
    assert!(!html.contains("<script"), "{html}");
    assert!(html.contains("&#60;script&#62;") || html.contains("&lt;script&gt;"), "{html}");

    let mut known =
        profile(json!([{"kind": EVIL, "time": "2026-01-01T00:00:00Z", "item_id": "\"'><b>", "title": EVIL}]));
    known.categories[0].category = EVIL.to_owned();
    let html = Knows::of(&known, NOW).render().unwrap();
    assert!(!html.contains("<script") && !html.contains("<b>\""), "{html}");
    assert!(html.contains("data-testid=\"profile-event\""));
}

#[test]
fn a_visitor_is_read_back_from_the_cookies_they_were_given() {
    let mut first = Visitor::of(&TestRequest::default().to_http_request());
    assert!(first.is_new && first.user_id.is_none());
    first.become_person(Some("käufer; 1=2, \"x\"".to_owned()));
    first.basket.add("85123A", 3, Some(("answer/1".to_owned(), 4)));
    first.basket.add("odd!id*&", 1, None);
    first.last_order = Some(Order { order_id: new_order_id(), basket: first.basket.clone() });
    first.is_panel_open = true;
    let jar: Vec<String> = [
        first.session_cookie(),
        first.user_cookie(),
        first.basket_cookie(),
        first.order_cookie(),
        first.panel_cookie(),
    ]
    .iter()
    .map(|cookie| {
        let cookie = cookie.to_str().unwrap();
        assert!(cookie.contains("; SameSite=Lax") && cookie.contains("; HttpOnly"), "{cookie}");
        cookie.split(';').next().unwrap().to_owned()
    })
    .collect();
    let again =
        Visitor::of(&TestRequest::default().insert_header(("cookie", jar.join("; "))).to_http_request());
    assert!(!again.is_new && again.is_panel_open);
    assert_eq!(
        (again.user_id, again.session_id, again.basket, again.last_order),
        (first.user_id, first.session_id, first.basket, first.last_order)
    );
}

#[test]
fn damaged_cookies_cost_what_they_held_and_nothing_else() {
    let cookies =
        "shop_user=%zz; shop_session=%00; shop_order=o-1!a*1; shop_basket=a*0!b*x!*3!%ff*1!c*2!d*2000!e*1*q";
    let visitor = Visitor::of(&TestRequest::default().insert_header(("cookie", cookies)).to_http_request());
    assert!(visitor.is_new && visitor.user_id.is_none() && visitor.last_order.is_none());
    let left: Vec<_> =
        visitor.basket.lines.iter().map(|line| (line.item_id.as_str(), line.quantity)).collect();
    assert_eq!(left, [("c", 2), ("e", 1)]);
}

#[test]
fn changing_who_one_is_begins_afresh() {
    let mut visitor = Visitor::of(&TestRequest::default().to_http_request());
    let session = visitor.session_id.clone();
    visitor.basket.add("a", 1, None);
    visitor.become_person(None);
    assert_ne!(visitor.session_id, session);
    assert!(visitor.basket.lines.is_empty());
    assert!(visitor.user_cookie().to_str().unwrap().contains("Max-Age=0"));
}

#[test]
fn a_basket_adds_up_sets_and_stays_within_a_cookie() {
    let mut basket = Basket::default();
    assert!(basket.add("a", 2, None) && basket.add("a", 3, None) && basket.add("b", 1, None));
    assert_eq!(basket.n_pieces(), 6);
    basket.set("a", MAX_QUANTITY + 1);
    basket.set("b", 0);
    assert_eq!(basket.lines, [Line { item_id: "a".to_owned(), quantity: MAX_QUANTITY, from: None }]);
    for i in 0..MAX_LINES * 2 {
        basket.add(&format!("item-{i}"), 1, None);
    }
    assert_eq!(basket.lines.len(), MAX_LINES);

    let mut long = Basket::default();
    for i in 0..MAX_LINES {
        long.add(&format!("{i}{}", "é".repeat(120)), 1, None);
    }
    assert!(long.lines.len() < MAX_LINES && long.to_cookie().len() < 4000);
    assert_eq!(Basket::from_cookie(&long.to_cookie()), long);
}

#[test]
fn the_shops_events_are_what_the_api_accepts() {
    let mut visitor = Visitor::of(&TestRequest::default().to_http_request());
    visitor.become_person(Some("14911".to_owned()));
    let item = Item {
        price: Some(2.55),
        currency: Some("GBP".to_owned()),
        ..Item::new(ItemId::try_new("85123A").unwrap(), "Heart")
    };
    let line = Line { item_id: "85123A".to_owned(), quantity: 6, from: Some(("a-1".to_owned(), 3)) };
    let order = Order { order_id: new_order_id(), basket: Basket { lines: vec![line.clone()] } };
    let bought = events::purchase(&visitor, &order.order_id, &line, &item);
    let again = events::purchase(&visitor, &order.order_id, &line, &item);
    assert_eq!(bought.event_id, again.event_id, "sending an order twice counts it once");

    let [cart, bought, back] = [
        events::cart(&visitor, &item, 6, line.from.as_ref()),
        bought,
        events::cancellation(&visitor, &order, &line, &item),
    ]
    .map(accepted);
    for done in [&cart, &bought, &back] {
        assert_eq!(
            (done.quantity, done.price, done.currency.as_deref()),
            (Some(6.0), Some(2.55), Some("GBP"))
        );
    }
    assert_eq!(bought.order_id.as_deref(), Some(order.order_id.as_str()));
    assert_eq!(back.order_id, bought.order_id);
    assert_eq!((bought.position, bought.answer_id.as_ref().map(|id| id.as_str())), (Some(3), Some("a-1")));
    let kinds = [cart.kind, bought.kind, back.kind].map(|kind| kind.as_str().to_owned());
    assert_eq!(kinds, ["cart", "purchase", "purchase_cancelled"]);
}

fn accepted(event: WireEvent) -> waggle_model::Interaction {
    let read: WireEvent = serde_json::from_str(&serde_json::to_string(&event).unwrap()).unwrap();
    match read.into_event(NOW).unwrap().body {
        EventBody::Interaction(done) => done,
        other => panic!("not an interaction: {other:?}"),
    }
}

#[test]
fn order_numbers_of_others_are_refused() {
    assert!(is_order_id(&new_order_id()));
    for text in ["", "o-", "o-1", "x-0123456789abcdef0123456789abcdef", "o-0123456789abcdef0123456789abcdeg"]
    {
        assert!(!is_order_id(text), "{text}");
    }
}

#[test]
fn what_is_encoded_is_decoded_and_nothing_else() {
    for value in ["", "plain-1_2.3~", "a b/c?d=e&f#g%", "käse \"'<>;,", "漢字"] {
        let encoded = text::encode(value);
        assert!(encoded.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.~%".contains(&b)), "{encoded}");
        assert_eq!(text::decode(&encoded).as_deref(), Some(value));
    }
    for damaged in ["%", "%4", "%zz", "%ff"] {
        assert_eq!(text::decode(damaged), None, "{damaged}");
    }
}

#[test]
fn values_read_as_people_write_them() {
    assert_eq!(text::price(2.5, Some("GBP")), "£2.50");
    assert_eq!(text::price(1200.0, Some("JPY")), "¥1200");
    assert_eq!(text::price(3.0, Some("CHF")), "3.00 CHF");
    assert_eq!(text::thousands(1_234_567), "1,234,567");
    assert_eq!(text::thousands(999), "999");
    let ago = |seconds: i64| text::ago(NOW.shifted_by_millis(-seconds * 1000), NOW);
    assert_eq!(
        [ago(-5), ago(3), ago(42), ago(600), ago(7200), ago(90_000), ago(864_000)],
        ["just now", "just now", "42 s ago", "10 min ago", "2 h ago", "yesterday", "10 days ago"]
    );
    assert_eq!(ago(40 * 86_400), "12 Aug 2026");
}
