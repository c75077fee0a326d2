//! The catalogue: writes that a following read sees.

use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection, SqliteConnection};
use waggle_model::ItemId;

use crate::world::{World, catalogue, json_of};

#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_read_back_at_once() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    let put = gateway
        .put("mug", json!({ "title": "A mug", "price": 0.1, "properties": { "glaze": "blue" } }))
        .await;
    let expected = json!({
        "item_id": "mug", "title": "A mug", "price": 0.1, "hidden": false, "in_stock": true,
        "properties": { "glaze": "blue" },
    });
    assert_eq!(put, expected);
    assert_eq!(gateway.get("/v1/items/mug").await, expected);
    let replaced = gateway.put("mug", json!({ "title": "Another mug" })).await;
    assert_eq!(
        replaced,
        json!({ "item_id": "mug", "title": "Another mug", "hidden": false, "in_stock": true })
    );
    assert_eq!(gateway.get("/v1/items/mug").await, replaced);
    let deleted = gateway.send(Method::DELETE, "/v1/items/mug", None).await;
    assert_eq!(deleted.status(), 204);
    for method in [Method::GET, Method::DELETE] {
        gateway.refused(method, "/v1/items/mug", None, 404, "item \"mug\" is not in the catalogue").await;
    }
    gateway.refused(Method::PATCH, "/v1/items/mug", Some(json!({ "price": 1 })), 404, "\"mug\"").await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_is_a_json_merge_patch() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    let whole = json!({
        "title": "A mug", "category": "mugs", "price": 3.5, "currency": "EUR", "hidden": true, "in_stock": false,
        "available_from": "2026-01-01T00:00:00.000Z", "available_until": "2026-02-01T00:00:00.000Z",
        "properties": { "glaze": { "colour": "blue", "shiny": true }, "weight": 300 },
    });
    gateway.put("mug", whole).await;
    let patch = json!({
        "category": null, "price": 4, "in_stock": null, "available_from": null, "available_until": null,
        "properties": { "glaze": { "shiny": null, "spots": 3 }, "weight": null, "never": null },
    });
    let expected = json!({
        "item_id": "mug", "title": "A mug", "price": 4.0, "currency": "EUR", "hidden": true, "in_stock": true,
        "properties": { "glaze": { "colour": "blue", "spots": 3 } },
    });
    assert_eq!(gateway.patch("mug", patch).await, expected);
    assert_eq!(gateway.patch("mug", json!({})).await, expected);
    let bare = gateway
        .patch("mug", json!({ "properties": null, "price": null, "currency": null, "hidden": null }))
        .await;
    assert_eq!(bare, json!({ "item_id": "mug", "title": "A mug", "hidden": false, "in_stock": true }));
    let typed = [("content-type", "application/merge-patch+json")];
    let response = gateway.raw(Method::PATCH, "/v1/items/mug", &typed, r#"{"brand":"Ours"}"#).await;
    assert_eq!(json_of(response, 200).await["brand"], "Ours");
    for (patch, says) in [
        (json!({ "titel": "x" }), "titel"),
        (json!({ "title": null }), "title"),
        (json!({ "title": "  " }), "title of \"mug\""),
        (json!({ "price": -1 }), "price of \"mug\""),
        (json!({ "price": "much" }), "invalid type"),
        (json!({ "item_id": "cup" }), "item_id"),
        (
            json!({ "available_from": "2026-02-01T00:00:00Z", "available_until": "2026-01-31T23:00:00Z" }),
            "after available_from",
        ),
        (json!(["title"]), "the body is not what this route reads"),
    ] {
        gateway.refused(Method::PATCH, "/v1/items/mug", Some(patch), 400, says).await;
    }
    assert_eq!(gateway.get("/v1/items/mug").await["brand"], "Ours");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn patches_at_the_same_time_lose_nothing() {
    let world = World::new().await;
    let gateway = Arc::new(world.gateway().await);
    gateway.put("mug", json!({ "title": "A mug" })).await;
    let patches = (0..20).map(|n| {
        let gateway = gateway.clone();
        tokio::spawn(
            async move { gateway.patch("mug", json!({ "properties": { format!("p{n}"): n } })).await },
        )
    });
    for patch in patches.collect::<Vec<_>>() {
        patch.await.unwrap();
    }
    let item = gateway.get("/v1/items/mug").await;
    assert_eq!(item["properties"].as_object().unwrap().len(), 20, "{item}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_names_what_is_wrong_with_it() {
    let window =
        |from: &str, until: &str| json!({ "title": "x", "available_from": from, "available_until": until });
    let world = World::new().await;
    let gateway = world.gateway().await;
    for (body, says) in [
        (json!({}), "title is missing"),
        (json!({ "title": "" }), "title of \"mug\""),
        (json!({ "title": "x".repeat(1_025) }), "1 to 1024 bytes"),
        (json!({ "title": "A mug", "price": -0.01 }), "price of \"mug\""),
        (json!({ "title": "A mug", "colour": "blue" }), "colour"),
        (json!({ "title": "A mug", "available_from": "soon" }), "the body is not what this route reads"),
        (json!({ "title": "A mug", "available_until": 7 }), "the body is not what this route reads"),
        (window("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"), "available_until of \"mug\" is 2026-01-01"),
        (window("2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z"), "it must be after available_from"),
    ] {
        gateway.refused(Method::PUT, "/v1/items/mug", Some(body), 400, says).await;
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_taken_whole_or_not_at_all() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    let lines = catalogue().iter().map(|item| format!("{item}\n")).collect::<String>();
    let ndjson = [("content-type", "application/x-ndjson")];
    let response = gateway.raw(Method::POST, "/v1/items", &ndjson, &lines).await;
    assert_eq!(json_of(response, 200).await, json!({ "accepted": 20 }));
    let good = json!({ "item_id": "extra", "title": "One more" });
    for (body, status, says) in [
        (json!({ "items": [] }), 400, "0 items"),
        (json!({ "items": [good, { "item_id": "bad", "title": "" }] }), 400, "title of \"bad\""),
        (json!({ "items": [good, { "item_id": "" , "title": "x" }] }), 400, "item_id is empty"),
        (json!({ "items": [good, { "title": "x" }] }), 400, "item 1: item_id is missing"),
        (json!({ "items": [{ "item_id": "a", "title": "x", "colour": "red" }] }), 400, "`colour`"),
        (json!({ "items": [good], "more": 1 }), 400, "more"),
        (json!({ "items": vec![&good; 5_001] }), 413, "5001 items"),
    ] {
        gateway.refused(Method::POST, "/v1/items", Some(body), status, says).await;
    }
    gateway.refused(Method::GET, "/v1/items/extra", None, 404, "extra").await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_the_list_hold_every_item_once() {
    let (_world, gateway) = World::furnished().await;
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = gateway.get(&format!("/v1/items?limit=7{after}")).await;
        let items = page["items"].as_array().unwrap();
        seen.extend(items.iter().map(|item| item["item_id"].as_str().unwrap().to_owned()));
        match page["next_after"].as_str() {
            Some(last) => after = format!("&after={last}"),
            None => break,
        }
    }
    assert_eq!((seen.len(), seen.is_sorted_by(|a, b| a < b)), (20, true));
    let rugs = gateway.get("/v1/items?category=rug&limit=4").await;
    assert_eq!((rugs["items"].as_array().unwrap().len(), rugs.get("next_after")), (4, None));
    assert_eq!(
        gateway.get("/v1/categories").await["categories"],
        json!([
            { "category": "lamp", "n_items": 8 }, { "category": "sofa", "n_items": 8 },
            { "category": "rug", "n_items": 4 },
        ])
    );
    for limit in ["0", "501", "-1", "many"] {
        let says = format!(
            "limit is {}",
            if limit.parse::<u32>().is_ok() { limit.to_owned() } else { format!("\"{limit}\"") }
        );
        gateway.refused(Method::GET, &format!("/v1/items?limit={limit}"), None, 400, &says).await;
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_may_hold_whatever_is_printable() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    for (encoded, id) in [
        ("a%2Fb", "a/b"),
        ("50%25%20off", "50% off"),
        ("%2E%2E%2Fetc%2Fpasswd", "../etc/passwd"),
        ("caf%C3%A9%3F%23", "café?#"),
        ("%F0%9F%90%9D", "🐝"),
        ("a+b", "a+b"),
        ("'%3B%20DROP%20TABLE%20items%3B--", "'; DROP TABLE items;--"),
        ("%252F", "%2F"),
    ] {
        let put = gateway.put(encoded, json!({ "title": "odd" })).await;
        assert_eq!(put["item_id"], id);
        assert_eq!(gateway.get(&format!("/v1/items/{encoded}")).await["item_id"], id);
        let similar = gateway.send(Method::GET, &format!("/v1/items/{encoded}/similar"), None).await;
        assert!([200, 404].contains(&similar.status().as_u16()), "the live table may be a moment behind");
    }
    let put = Some(json!({ "title": "x" }));
    gateway.refused(Method::PUT, "/v1/items/%00", put.clone(), 400, "control character").await;
    gateway
        .refused(Method::PUT, &format!("/v1/items/{}", "i".repeat(257)), put.clone(), 400, "257 bytes")
        .await;
    let not_utf8 = gateway.send(Method::PUT, "/v1/items/%FF%FE", put).await;
    assert!(not_utf8.status().is_client_error() || not_utf8.status().is_success(), "{not_utf8:?}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_with_the_key_of_another_is_refused_and_the_other_stays() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    let old = gateway.put("old", json!({ "title": "First come" })).await;
    // Two ids with one hash take 2³² tries to find; a changed row does as well.
    let key = ItemId::try_new("new").unwrap().key().0.cast_signed();
    let url = format!("sqlite://{}", world.dir.path().join("waggle.db").display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    sqlx::query("UPDATE items SET item_key = $1 WHERE item_id = 'old'")
        .bind(key)
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    let body = Some(json!({ "title": "Second" }));
    gateway.refused(Method::PUT, "/v1/items/new", body, 409, "same 64-bit key").await;
    let batch: Value =
        json!({ "items": [{ "item_id": "fine", "title": "x" }, { "item_id": "new", "title": "y" }] });
    gateway.refused(Method::POST, "/v1/items", Some(batch), 409, "\"new\"").await;
    assert_eq!(gateway.get("/v1/items/old").await, old);
    gateway.refused(Method::GET, "/v1/items/new", None, 404, "new").await;
    gateway.put("next", json!({ "title": "The catalogue goes on" })).await;
    gateway.stop().await;
}
