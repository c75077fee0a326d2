//! Searching: filters, counts, orders, marks.

use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    faults::{BeforeTheSwap, Fault, NoFeatures, NoRanking},
    world::{Gateway, World, eventually, json_of},
};

/// Short, so that stalls end soon; long enough for everybody else on a busy machine.
const DEADLINE_MS: u64 = 1_500;

/// A furnished world whose text index has the catalogue.
async fn searchable() -> (World, Gateway) {
    let (world, gateway) = World::furnished().await;
    eventually("the text index follows", async || gateway.get("/v1/search?q=model").await["n_matches"] == 20)
        .await;
    (world, gateway)
}

fn ids(answer: &Value) -> Vec<&str> {
    let items = answer["items"].as_array().unwrap();
    items.iter().map(|found| found["item"]["item_id"].as_str().unwrap()).collect()
}

impl Gateway {
    /// `POST /v1/search`.
    async fn search(&self, body: Value) -> Value {
        json_of(self.send(Method::POST, "/v1/search", Some(body)).await, 200).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_narrows_matches_counts_and_pages_alike() {
    let (_world, gateway) = searchable().await;
    let query =
        "/v1/search?q=model&k=1&filter=price%20%3C%2012&facets=category,price,brand,in_stock,available_from";
    let answer = gateway.get(query).await;
    assert_eq!((&answer["n_matches"], ids(&answer).len()), (&json!(6), 1));
    let value = |value: &str| json!({ "value": value, "n_items": 2 });
    assert_eq!(
        answer["facets"],
        json!({
            "category": { "n_items": 6, "values": [value("lamp"), value("rug"), value("sofa")], "n_other_values": 0 },
            "price": { "n_items": 6, "min": 10.0, "max": 11.0 },
            "brand": { "n_items": 0, "values": [], "n_other_values": 0 },
            "in_stock": { "n_items": 6, "values": [{ "value": true, "n_items": 6 }], "n_other_values": 0 },
            "available_from": { "n_items": 0 },
        })
    );
    let body = json!({
        "q": "model", "filter": "price < 12", "category": "rug", "facets": ["category"], "k": 5,
    });
    let answer = gateway.search(body).await;
    assert_eq!(ids(&answer), ["rug-0", "rug-1"]);
    assert_eq!(answer["facets"]["category"]["values"], json!([value("rug")]));
    // Everything that the filter lets through, where nothing is looked for.
    let answer = gateway.get("/v1/search?q=&filter=price%20%3E=%2014&k=20").await;
    assert_eq!((&answer["n_matches"], ids(&answer).len()), (&json!(8), 8));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_may_ask_about_who_asks() {
    let (_world, gateway) = searchable().await;
    let known = json!({ "properties": { "budget": 10.5 } });
    json_of(gateway.send(Method::PUT, "/v1/users/anna", Some(known)).await, 200).await;
    let filter = "price <= user.budget";
    let answer = gateway.search(json!({ "q": "lamp", "filter": filter, "user_id": "anna" })).await;
    assert_eq!(ids(&answer), ["lamp-0"]);
    let answer = gateway.search(json!({ "q": "lamp", "filter": filter })).await;
    assert_eq!(answer["n_matches"], 0);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hundred_most_frequent_values_are_counted_and_the_others_are_told() {
    let (_world, gateway) = searchable().await;
    let vase = |n: usize| json!({ "item_id": format!("vase-{n}"), "title": "vase", "brand": format!("b{:03}", n % 130) });
    let items: Vec<Value> = (0..131).map(vase).collect();
    json_of(gateway.send(Method::POST, "/v1/items", Some(json!({ "items": items }))).await, 200).await;
    eventually("the text index follows", async || gateway.get("/v1/search?q=vase").await["n_matches"] == 131)
        .await;
    let answer = gateway.get("/v1/search?q=vase&facets=brand").await;
    let brands = &answer["facets"]["brand"];
    assert_eq!((brands["values"].as_array().unwrap().len(), &brands["n_other_values"]), (100, &json!(30)));
    assert_eq!(brands["values"][0], json!({ "value": "b000", "n_items": 2 }));
    assert_eq!(brands["values"][99], json!({ "value": "b099", "n_items": 1 }));
    assert_eq!(brands["n_items"], 131);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn found_words_are_marked_unless_nobody_wants_it() {
    let (_world, gateway) = searchable().await;
    let item =
        json!({ "title": "Blue <b>lantern</b>", "description": "A 🐝 on every lantern", "category": "x" });
    gateway.put("lantern", item).await;
    eventually("the text index follows", async || {
        gateway.get("/v1/search?q=lantern").await["n_matches"] == 1
    })
    .await;
    for query in ["lantern", "lantrn", "lant"] {
        let answer = gateway.get(&format!("/v1/search?q={query}")).await;
        assert_eq!(
            answer["items"][0]["highlights"],
            json!({
                "title": { "html": "Blue &lt;b&gt;<mark>lantern</mark>&lt;/b&gt;", "ranges": [{ "start": 8, "end": 15 }] },
                "description": { "html": "A 🐝 on every <mark>lantern</mark>", "ranges": [{ "start": 14, "end": 21 }] },
            }),
            "{query}"
        );
    }
    let answer = gateway.get("/v1/search?q=lantern&highlight=false").await;
    assert_eq!(answer["items"][0].get("highlights"), None);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_or_time_orders_all_matches_and_what_lacks_it_comes_last() {
    let (_world, gateway) = searchable().await;
    gateway.patch("lamp-3", json!({ "price": null })).await;
    eventually("the change is there", async || {
        gateway.get("/v1/search?q=lamp&facets=price").await["facets"]["price"]["n_items"] == 7
    })
    .await;
    let answer = gateway.get("/v1/search?q=lamp&k=3&sort=price:desc").await;
    assert_eq!((ids(&answer), &answer["order"]), (vec!["lamp-7", "lamp-6", "lamp-5"], &json!("sort")));
    let answer = gateway.search(json!({ "q": "lamp", "k": 2, "offset": 6, "sort": "price:asc" })).await;
    assert_eq!(ids(&answer), ["lamp-7", "lamp-3"]);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_the_catalogue_is_refused_with_the_reason() {
    let (_world, gateway) = searchable().await;
    for (query, says) in [
        ("facets=brnad", "facets: there is no property `brnad`, did you mean `brand`?"),
        ("facets=", "facets: "),
        ("sort=brnad:asc", "sort: there is no property `brnad`, did you mean `brand`?"),
        ("sort=title:asc", "sort: `title` is a string, only numbers and times have an order"),
        ("sort=price", "sort is \"price\", it must be a property and asc or desc"),
        ("filter=prcie%20%3C%203", "filter: column 1: there is no property `prcie`"),
        ("order=best", "order is \"best\""),
        ("order=personal", "order is personal: user_id or session_id says whose"),
        ("order=personal&sort=price:asc&user_id=anna", "order and sort exclude each other"),
        ("prefix=1", "prefix is \"1\""),
        ("misspelt=1", "misspelt"),
    ] {
        gateway.refused(Method::GET, &format!("/v1/search?q=a&{query}"), None, 400, says).await;
    }
    for (body, says) in [
        (json!({}), "q is missing"),
        (json!({ "q": "a", "misspelt": 1 }), "misspelt"),
        (json!({ "q": "a", "k": 0 }), "k is 0"),
        (json!({ "q": "a", "facets": vec!["price"; 17] }), "facets has 17 entries, at most 16"),
    ] {
        gateway.refused(Method::POST, "/v1/search", Some(body), 400, says).await;
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_request_the_person_decides_between_what_fits_alike() {
    let (world, gateway) = searchable().await;
    gateway.buy("carl", &["sofa-1", "sofa-2"]).await;
    world.settled().await;
    let plain = gateway.get("/v1/search?q=model&k=20").await;
    assert_eq!((ids(&plain)[0], &plain["order"]), ("lamp-0", &json!("relevance")));
    let body =
        json!({ "q": "model", "k": 20, "order": "personal", "user_id": "carl", "facets": ["category"] });
    let personal = gateway.search(body.clone()).await;
    assert_eq!((&personal["order"], &personal["snapshot"]), (&json!("personal"), &json!("v1")));
    assert!(ids(&personal)[..3].iter().all(|id| id.starts_with("sofa")), "{personal}");
    // The same items and counts, in another order.
    let sorted = |answer: &Value| {
        let mut ids: Vec<String> = ids(answer).into_iter().map(ToOwned::to_owned).collect();
        ids.sort();
        ids
    };
    assert_eq!((sorted(&personal), &personal["n_matches"]), (sorted(&plain), &json!(20)));
    assert_eq!(personal["facets"]["category"]["n_items"], 20);
    // Pages are cut from one order.
    let mut paged = Vec::new();
    for offset in [0, 7, 14] {
        let page =
            gateway.get(&format!("/v1/search?q=model&k=7&offset={offset}&order=personal&user_id=carl")).await;
        assert_eq!(page["items"][0]["rank"], offset + 1);
        paged.extend(ids(&page).into_iter().map(ToOwned::to_owned));
    }
    assert_eq!(paged, ids(&personal));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_person_or_ranker_the_order_is_that_of_the_texts_and_says_why() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    gateway.put_catalogue().await;
    gateway.buy("anna", &["lamp-0"]).await;
    world.settled().await;
    let query = "/v1/search?q=model&order=personal&user_id=anna";
    let check = async |gateway: &Gateway, query: &str, why: &str| {
        let answer = gateway.get(query).await;
        assert_eq!(
            (&answer["order"], &answer["not_personal"]),
            (&json!("relevance"), &json!(why)),
            "{query}"
        );
        assert_eq!(ids(&answer)[0], "lamp-0");
    };
    check(&gateway, query, "no_ranker").await;
    world.publish("v1");
    assert_eq!(gateway.get(query).await["order"], "personal");
    check(&gateway, "/v1/search?q=model&order=personal&session_id=stranger", "unknown_person").await;
    for (fault, why) in [(Fault::Fails, "failed"), (Fault::Stalls, "late")] {
        let limping = world
            .gateway_with(|app| {
                app.config.deadline_ms = DEADLINE_MS;
                app.ranking = Arc::new(NoRanking(fault));
            })
            .await;
        check(&limping, query, why).await;
        limping.stop().await;
        let limping = world
            .gateway_with(|app| {
                app.config.deadline_ms = DEADLINE_MS;
                app.features = Arc::new(NoFeatures(fault));
            })
            .await;
        check(&limping, query, why).await;
        limping.stop().await;
    }
    let swapped =
        world.gateway_with(|app| app.retrieval = Arc::new(BeforeTheSwap(app.retrieval.clone()))).await;
    let answer = swapped.get(query).await;
    assert_eq!((&answer["order"], &answer["snapshot"]), (&json!("personal"), &json!("v1")));
    swapped.stop().await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_texts_are_answered_or_refused_and_break_nothing() {
    let (_world, gateway) = searchable().await;
    let combining = "e\u{301}\u{302}\u{303}".repeat(73);
    let marks = "\u{301}".repeat(256);
    let words = "lapm ".repeat(102);
    for text in [
        combining.as_str(),
        &marks,
        &words,
        "\0\u{1}\u{7f}\u{85}",
        "\u{202e}pmal",
        "🧸".repeat(128).as_str(),
        "\u{fffd}",
    ] {
        let answer = gateway
            .search(json!({ "q": text, "facets": ["category"], "order": "personal", "user_id": "anna" }))
            .await;
        assert!(answer["n_matches"].is_u64(), "{answer}");
    }
    for body in [r#"{"q": "\ud800"}"#, r#"{"q": "\udc00lamp"}"#, "{\"q\": \"\x01\"}", r#"{"q": 3}"#, "[]"] {
        let answer =
            gateway.raw(Method::POST, "/v1/search", &[("content-type", "application/json")], body).await;
        json_of(answer, 400).await;
    }
    for query in ["%ED%A0%80", "%FF%FE", "%", "%zz", "%E2%82"] {
        let answer = gateway.send(Method::GET, &format!("/v1/search?q={query}"), None).await;
        assert!([200, 400].contains(&answer.status().as_u16()), "{query}: {}", answer.status());
    }
    gateway.stop().await;
}
