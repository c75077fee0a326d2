//! The catalogue: writes that a following read sees.

use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection, SqliteConnection};
use waggle_filter::Declaration;
use waggle_model::ItemId;

use crate::world::{World, catalogue, json_of, slate};

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
async fn each_item_of_a_batch_has_its_own_verdict() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    let lines = catalogue().iter().map(|item| format!("{item}\n")).collect::<String>();
    let ndjson = [("content-type", "application/x-ndjson")];
    let response = gateway.raw(Method::POST, "/v1/items", &ndjson, &lines).await;
    assert_eq!(json_of(response, 200).await, json!({ "accepted": 20, "rejected": [] }));
    let good = json!({ "item_id": "extra", "title": "One more" });
    let mixed = json!({ "items": [
        { "item_id": "bad", "title": "" }, good, { "item_id": "", "title": "x" }, { "title": "x" },
        { "item_id": "a", "title": "x", "colour": "red" }, { "item_id": "last", "title": "The last" },
    ] });
    let report = json_of(gateway.send(Method::POST, "/v1/items", Some(mixed)).await, 200).await;
    assert_eq!(report["accepted"], 2);
    let rejected = report["rejected"].as_array().unwrap();
    let expected = [
        (0, "title of \"bad\""),
        (2, "item_id is empty"),
        (3, "item_id is missing"),
        (4, "unknown field `colour`"),
    ];
    assert_eq!(rejected.len(), expected.len(), "{report}");
    for (rejection, (index, says)) in rejected.iter().zip(expected) {
        assert_eq!(rejection["index"], index, "{report}");
        assert!(rejection["detail"].as_str().unwrap().contains(says), "{rejection} does not say {says}");
    }
    for kept in ["extra", "last"] {
        assert_eq!(gateway.get(&format!("/v1/items/{kept}")).await["item_id"], kept);
    }
    for (body, status, says) in [
        (json!({ "items": [] }), 400, "0 items"),
        (json!({ "items": [{ "item_id": "bad", "title": "" }, {}] }), 400, "item 0: title of \"bad\""),
        (json!({ "items": [good, "lamp"] }), 400, "expected a map"),
        (json!({ "items": [good], "more": 1 }), 400, "more"),
        (json!({ "items": vec![&good; 5_001] }), 413, "5001 items"),
    ] {
        gateway.refused(Method::POST, "/v1/items", Some(body), status, says).await;
    }
    gateway.refused(Method::GET, "/v1/items/bad", None, 404, "bad").await;
    gateway.stop().await;
}

fn declared(strict: bool) -> Declaration {
    let types = json!({ "weight": "number", "organic": "boolean", "sizes": "strings", "harvested": "time" });
    serde_json::from_value(json!({ "strict": strict, "properties": types })).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_has_to_fit_what_is_declared() {
    let world = World::declaring(declared(false)).await;
    let gateway = world.gateway().await;
    let item = |properties: Value| Some(json!({ "title": "x", "properties": properties }));
    let fitting = json!({ "weight": 1.5, "organic": true, "sizes": ["S"], "harvested": "2026-01-01T00:00:00Z", "own": {} });
    gateway.put("tea", item(fitting).unwrap()).await;
    for (properties, says) in [
        (json!({ "weight": "12 kg" }), "property `weight` is declared as a number, got the string \"12 kg\""),
        (json!({ "organic": 1 }), "`organic` is declared as a boolean, got the number 1"),
        (json!({ "sizes": "S" }), "`sizes` is declared as a list of strings, got the string \"S\""),
        (json!({ "harvested": "May" }), "`harvested` is declared as a time, got the string \"May\""),
    ] {
        gateway.refused(Method::PUT, "/v1/items/tea", item(properties.clone()), 400, says).await;
        let patch = Some(json!({ "properties": properties }));
        gateway.refused(Method::PATCH, "/v1/items/tea", patch, 400, says).await;
    }
    assert_eq!(gateway.get("/v1/items/tea").await["properties"]["weight"], 1.5, "nothing of it was taken");
    let batch = json!({ "items": [
        { "item_id": "a", "title": "x", "properties": { "weight": 2 } },
        { "item_id": "b", "title": "x", "properties": { "weight": "heavy" } },
    ] });
    let report = json_of(gateway.send(Method::POST, "/v1/items", Some(batch)).await, 200).await;
    assert_eq!(
        report,
        json!({ "accepted": 1, "rejected": [{
            "index": 1, "detail": "property `weight` is declared as a number, got the string \"heavy\"",
        }] })
    );
    let patch = json!({ "properties": { "weight": null, "organic": null } });
    assert_eq!(gateway.patch("tea", patch).await["properties"]["sizes"], json!(["S"]), "null is absent");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strict_refuses_what_is_not_declared() {
    let world = World::declaring(declared(true)).await;
    let gateway = world.gateway().await;
    gateway.put("tea", json!({ "title": "x", "properties": { "weight": 2 } })).await;
    let misspelt = json!({ "title": "x", "properties": { "wieght": 2 } });
    let says = "property `wieght` is not declared, did you mean `weight`?";
    gateway.refused(Method::PUT, "/v1/items/tea", Some(misspelt.clone()), 400, says).await;
    gateway
        .refused(
            Method::PATCH,
            "/v1/items/tea",
            Some(json!({ "properties": misspelt["properties"] })),
            400,
            says,
        )
        .await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn items_from_before_a_declaration_stay_and_count_as_without_the_value() {
    let before = World::new().await;
    let open = before.gateway().await;
    open.put_catalogue().await;
    for (item, weight) in [("light", json!(2)), ("odd", json!("heavy")), ("odd-as-well", json!([1]))] {
        open.put(item, json!({ "title": "x", "category": "tea", "properties": { "weight": weight } })).await;
    }
    before.settled().await;
    open.refused(Method::GET, "/v1/trending?filter=weight%20%3C%205", None, 400, "`weight` is").await;
    open.stop().await;

    let world = before.redeclaring(declared(false)).await;
    let gateway = world.gateway().await;
    let asked = async |filter: &str| {
        let mut found =
            slate(&gateway.recommend(json!({ "k": 20, "category": "tea", "filter": filter })).await);
        found.sort();
        found
    };
    assert_eq!(asked("weight < 5").await, ["light"]);
    assert_eq!(asked("not exists(weight)").await, ["odd", "odd-as-well"]);
    // Declared, and no item has it yet.
    assert_eq!(asked("organic").await, Vec::<String>::new());
    let wrong = Some(json!({ "filter": "organic = \"yes\"" }));
    gateway.refused(Method::POST, "/v1/recommendations", wrong, 400, "`organic` is a boolean").await;
    // What was wrong before does not stand in the way of other changes, and can be mended.
    assert_eq!(gateway.patch("odd", json!({ "price": 3 })).await["properties"]["weight"], "heavy");
    gateway
        .refused(
            Method::PATCH,
            "/v1/items/odd",
            Some(json!({ "properties": { "weight": "light" } })),
            400,
            "weight",
        )
        .await;
    gateway.patch("odd", json!({ "properties": { "weight": 3 } })).await;
    world.settled().await;
    assert_eq!(asked("weight < 5").await, ["light", "odd"]);
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
async fn a_long_list_leaves_compressed_and_a_recommendation_does_not() {
    let (_world, gateway) = World::furnished().await;
    for n in 0..60 {
        gateway
            .put(&format!("more-{n}"), json!({ "title": format!("One more of many things, number {n}") }))
            .await;
    }
    let gzip = [("accept-encoding", "gzip")];
    let encoding = |response: &reqwest::Response| response.headers().get("content-encoding").cloned();
    let (list, plain) = (
        gateway.raw(Method::GET, "/v1/items?limit=500", &gzip, "").await,
        gateway.get("/v1/items?limit=500").await,
    );
    assert_eq!(encoding(&list).unwrap(), "gzip");
    let unpacked: Value =
        serde_json::from_reader(flate2::read::GzDecoder::new(&list.bytes().await.unwrap()[..])).unwrap();
    assert_eq!((unpacked["items"].as_array().unwrap().len(), &unpacked), (80, &plain));
    let answer = gateway.raw(Method::GET, "/v1/recommendations?user_id=anna&k=10", &gzip, "").await;
    assert_eq!(encoding(&answer), None);
    assert_eq!(slate(&json_of(answer, 200).await).len(), 10);
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
    let report = json_of(gateway.send(Method::POST, "/v1/items", Some(batch)).await, 200).await;
    assert_eq!((&report["accepted"], &report["rejected"][0]["index"]), (&json!(1), &json!(1)));
    assert!(report["rejected"][0]["detail"].as_str().unwrap().contains("same 64-bit key"), "{report}");
    assert_eq!(gateway.get("/v1/items/old").await, old);
    gateway.refused(Method::GET, "/v1/items/new", None, 404, "new").await;
    gateway.put("next", json!({ "title": "The catalogue goes on" })).await;
    gateway.stop().await;
}
