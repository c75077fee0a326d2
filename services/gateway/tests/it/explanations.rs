//! Pages of a list, answers shown again, and why an item is in a list or not.

use std::collections::HashSet;

use reqwest::Method;
use serde_json::{Value, json};
use waggle_gateway_role::GatewayConfig;

use crate::world::{Gateway, World, slate};

async fn explain(gateway: &Gateway, answer: &Value, item: &str) -> Value {
    let id = answer["answer_id"].as_str().unwrap().replace('~', "%7E");
    gateway.get(&format!("/v1/explain?answer_id={id}&item_id={item}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_show_everything_once() {
    let (_world, gateway) = World::furnished().await;
    let (mut seen, mut after) = (Vec::new(), Value::Null);
    for _ in 0..4 {
        let page = gateway.recommend(json!({ "user_id": "anna", "k": 6, "after": after })).await;
        seen.extend(slate(&page));
        after = page["answer_id"].clone();
    }
    assert_eq!(seen.len(), 20, "{seen:?}");
    assert_eq!(seen.iter().collect::<HashSet<_>>().len(), 20, "{seen:?}");
    let last = gateway.recommend(json!({ "user_id": "anna", "k": 6, "after": after })).await;
    assert_eq!(slate(&last), Vec::<String>::new(), "nothing is left");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_page_is_the_same_and_has_what_a_new_act_brings_on_the_next() {
    let (world, gateway) = World::furnished().await;
    let first = gateway.recommend(json!({ "user_id": "anna", "k": 5 })).await;
    // Served from the cache: its own id leads to the same list.
    let again = gateway.recommend(json!({ "user_id": "anna", "k": 5 })).await;
    assert_ne!(first["answer_id"], again["answer_id"]);
    let page = async |answer: &Value| {
        slate(&gateway.recommend(json!({ "user_id": "anna", "k": 5, "after": answer["answer_id"] })).await)
    };
    let second = page(&first).await;
    assert_eq!(page(&first).await, second);
    assert_eq!(page(&again).await, second);
    gateway.act("user_id", "anna", "dismiss", &[second[0].as_str()]).await;
    world.settled().await;
    let changed = page(&first).await;
    assert!(!changed.contains(&second[0]), "{changed:?}");
    assert!(changed.iter().all(|id| !slate(&first).contains(id)), "{changed:?}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_shown_again_as_it_was_until_it_expires() {
    let (world, gateway) = World::furnished().await;
    let mut answer = gateway.recommend(json!({ "user_id": "anna", "k": 5 })).await;
    let path = format!("/v1/answers/{}", answer["answer_id"].as_str().unwrap());
    let mut again = gateway.get(&path).await;
    // What it took is measured after it was kept.
    (answer["took_ms"], again["took_ms"]) = (json!(0), json!(0));
    assert_eq!(again, answer);
    let config = GatewayConfig { answer_retention_s: 0, ..GatewayConfig::default() };
    let forgetful = world.gateway_with(|app| app.config = config).await;
    let id =
        forgetful.recommend(json!({ "user_id": "anna" })).await["answer_id"].as_str().unwrap().to_owned();
    forgetful.refused(Method::GET, &format!("/v1/answers/{id}"), None, 410, "not kept any more").await;
    let explained = format!("/v1/explain?answer_id={id}&item_id=lamp-0");
    forgetful.refused(Method::GET, &explained, None, 410, "not kept any more").await;
    let after = Some(json!({ "user_id": "anna", "after": id }));
    forgetful.refused(Method::POST, "/v1/recommendations", after, 410, "not kept any more").await;
    gateway.stop().await;
    forgetful.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_and_foreign_answers_are_refused() {
    let (_world, gateway) = World::furnished().await;
    let anna = gateway.recommend(json!({ "user_id": "anna" })).await;
    for (body, says) in [
        (json!({ "user_id": "bert", "after": anna["answer_id"] }), "somebody else"),
        (json!({ "user_id": "anna", "placement": "cart", "after": anna["answer_id"] }), "another placement"),
        (json!({ "after": anna["answer_id"] }), "somebody else"),
        (json!({ "user_id": "anna", "after": "" }), "answer_id"),
    ] {
        gateway.refused(Method::POST, "/v1/recommendations", Some(body), 400, says).await;
    }
    for (id, status) in [("x", 404), ("../etc", 404), (&"f".repeat(32), 404), (&"0".repeat(32), 410)] {
        gateway
            .refused(
                Method::GET,
                &format!("/v1/explain?answer_id={id}&item_id=lamp-0"),
                None,
                status,
                "answer",
            )
            .await;
    }
    gateway.refused(Method::GET, "/v1/explain?answer_id=x", None, 400, "item_id").await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shown_is_explained_by_what_adds_up_to_its_score() {
    let (_world, gateway) = World::furnished().await;
    let answer = gateway.recommend(json!({ "user_id": "anna", "k": 5 })).await;
    let first = &answer["items"][0];
    let explained = explain(&gateway, &answer, first["item_id"].as_str().unwrap()).await;
    assert_eq!((&explained["shown"], &explained["why_not"]), (first, &Value::Null));
    let parts = explained["contributions"].as_array().unwrap();
    let of = |part: &Value| part["contribution"].as_f64().unwrap();
    let sum: f64 = parts.iter().map(of).sum();
    let score = first["score"].as_f64().unwrap();
    assert!((sum - score).abs() < 1e-4 * score.abs(), "{sum} against {score}");
    assert!(parts.is_sorted_by(|a, b| of(a).abs() >= of(b).abs()) && parts.len() > 5);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_shown_has_its_reason() {
    let (world, gateway) = World::furnished().await;
    gateway.put("hidden", json!({ "title": "x", "category": "sofa", "hidden": true })).await;
    gateway.put("sold-out", json!({ "title": "x", "category": "sofa", "in_stock": false })).await;
    let later = "2999-01-01T00:00:00Z";
    gateway.put("later", json!({ "title": "x", "category": "sofa", "available_from": later })).await;
    gateway.put("dear", json!({ "title": "x", "category": "sofa", "price": 900 })).await;
    gateway.act("user_id", "anna", "dislike", &["sofa-6"]).await;
    world.settled().await;
    let asked = json!({
        "user_id": "anna", "k": 1, "category": "sofa", "filter": "not price > 500", "exclude": ["sofa-5"],
        "items": ["sofa-4"], "exclude_known": true,
    });
    let answer = gateway.recommend(asked.clone()).await;
    let shown = slate(&answer)[0].clone();
    let why_not = async |item: &str| explain(&gateway, &answer, item).await["why_not"].clone();
    assert_eq!(why_not("nothing").await, json!({ "kind": "not_in_catalogue" }));
    assert_eq!(why_not("hidden").await, json!({ "kind": "hidden" }));
    assert_eq!(why_not("sold-out").await, json!({ "kind": "out_of_stock" }));
    assert_eq!(why_not("later").await["kind"], "not_yet");
    assert_eq!(why_not("sofa-5").await, json!({ "kind": "excluded" }));
    assert_eq!(why_not("sofa-4").await, json!({ "kind": "on_the_page" }));
    assert_eq!(why_not("sofa-6").await, json!({ "kind": "refused" }));
    assert_eq!(why_not("sofa-0").await, json!({ "kind": "known", "seen": "exclude_bought" }));
    assert_eq!(why_not("lamp-5").await, json!({ "kind": "other_category", "category": "sofa" }));
    assert_eq!(why_not("dear").await, json!({ "kind": "filter", "filter": "not price > 500" }));
    let other = ["sofa-1", "sofa-2", "sofa-3"].into_iter().find(|id| *id != shown).unwrap();
    let outranked = why_not(other).await;
    assert_eq!(outranked["kind"], "outranked", "{outranked}");
    assert!(
        outranked["rank"].as_u64().unwrap() >= 2
            && outranked["score"].as_f64() <= outranked["last_shown_score"].as_f64()
    );
    let mut next = asked;
    next["after"] = answer["answer_id"].clone();
    let page = gateway.recommend(next).await;
    assert_eq!(explain(&gateway, &page, &shown).await["why_not"], json!({ "kind": "on_an_earlier_page" }));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_beside_an_item_is_explained_as_far_as_there_is_anything_to_say() {
    let (_world, gateway) = World::furnished().await;
    let list = gateway.get("/v1/items/lamp-1/similar?k=2&user_id=anna").await;
    let shown = slate(&list)[0].clone();
    assert_eq!(explain(&gateway, &list, &shown).await["shown"]["item_id"], shown.as_str());
    assert_eq!(explain(&gateway, &list, "lamp-1").await["why_not"], json!({ "kind": "on_the_page" }));
    let other =
        ["lamp-5", "lamp-6", "lamp-7"].into_iter().find(|id| !slate(&list).iter().any(|s| s == id)).unwrap();
    assert_eq!(explain(&gateway, &list, other).await["why_not"], json!({ "kind": "not_proposed" }));
    let after = Some(json!({ "user_id": "anna", "placement": "item_page", "after": list["answer_id"] }));
    gateway.refused(Method::POST, "/v1/recommendations", after, 400, "somebody else").await;
    gateway.stop().await;
}
