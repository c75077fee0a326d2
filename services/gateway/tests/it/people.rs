//! People: what the shop tells of them, what is known of them, and their right to be forgotten.

use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};
use waggle_gateway_role::canary::measure_once;

use crate::{
    faults::Behind,
    world::{World, json_of, slate},
};

#[tokio::test(flavor = "multi_thread")]
async fn what_the_shop_tells_is_kept_and_forgotten_on_demand() {
    let (world, gateway) = World::furnished().await;
    gateway.refused(Method::GET, "/v1/users/anna", None, 404, "nothing was told about user \"anna\"").await;
    let body = json!({ "properties": { "country": "DE" } });
    let put = json_of(gateway.send(Method::PUT, "/v1/users/anna", Some(body)).await, 200).await;
    assert_eq!(put, json!({ "user_id": "anna", "properties": { "country": "DE" } }));
    assert_eq!(gateway.get("/v1/users/anna").await, put);
    assert_eq!(gateway.recommend(json!({ "user_id": "anna" })).await["rung"], "personal");

    assert_eq!(gateway.send(Method::DELETE, "/v1/users/anna", None).await.status(), 204);
    world.settled().await;
    gateway.refused(Method::GET, "/v1/users/anna", None, 404, "anna").await;
    assert_eq!(gateway.recommend(json!({ "user_id": "anna" })).await["rung"], "trending");
    assert_eq!(gateway.get("/v1/profile?user_id=anna").await["n_events"], 0);
    gateway.buy("anna", &["rug-0"]).await;
    world.settled().await;
    assert_eq!(gateway.get("/v1/profile?user_id=anna").await["n_events"], 0, "an erased id stays erased");

    json_of(gateway.send(Method::PUT, "/v1/users/anna", Some(json!({}))).await, 200).await;
    gateway.buy("anna", &["rug-1"]).await;
    world.settled().await;
    assert_eq!(gateway.get("/v1/profile?user_id=anna").await["n_events"], 1);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn erasing_a_user_erases_the_sessions_that_turned_out_to_be_theirs() {
    let (world, gateway) = World::furnished().await;
    gateway.act("session_id", "visit", "view", &["rug-0", "rug-1"]).await;
    let merge = Some(json!({ "session_id": "visit" }));
    assert_eq!(gateway.send(Method::POST, "/v1/users/anna/merge", merge).await.status(), 204);
    // At once: the erasure itself waits for the merge to be folded.
    assert_eq!(gateway.send(Method::DELETE, "/v1/users/anna", None).await.status(), 204);
    gateway.act("session_id", "visit", "view", &["rug-2"]).await;
    world.settled().await;
    for who in ["user_id=anna", "session_id=visit"] {
        assert_eq!(gateway.get(&format!("/v1/profile?{who}")).await["n_events"], 0, "{who}");
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_that_cannot_know_the_sessions_erases_nothing_and_says_when_to_ask_again() {
    let (world, gateway) = World::furnished().await;
    let behind = world.gateway_with(|app| app.features = Arc::new(Behind(app.features.clone()))).await;
    let response = behind.send(Method::DELETE, "/v1/users/anna", None).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["retry-after"]),
        (503, &"2".parse().unwrap())
    );
    world.settled().await;
    assert_eq!(gateway.get("/v1/profile?user_id=anna").await["n_events"], 3);
    behind.stop().await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_brings_the_session_along() {
    let (world, gateway) = World::furnished().await;
    gateway.act("session_id", "visit", "view", &["rug-0", "rug-1"]).await;
    let merge =
        gateway.send(Method::POST, "/v1/users/cora/merge", Some(json!({ "session_id": "visit" }))).await;
    assert_eq!(merge.status(), 204);
    world.settled().await;
    let profile = gateway.get("/v1/profile?user_id=cora").await;
    assert_eq!((&profile["n_events"], &profile["rung"]), (&json!(2), &json!("personal")));
    let answer = gateway.recommend(json!({ "user_id": "cora", "k": 5 })).await;
    assert_eq!((&answer["rung"], slate(&answer).len()), (&json!("personal"), 5));
    let path = "/v1/users/cora/merge";
    gateway.refused(Method::POST, path, Some(json!({})), 400, "session_id").await;
    gateway.refused(Method::POST, path, Some(json!(["visit"])), 400, "expected an object").await;
    gateway.refused(Method::POST, path, Some(json!({ "session_id": "" })), 400, "session_id is empty").await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_tells_what_is_known_now() {
    let (world, gateway) = World::furnished().await;
    gateway.act("user_id", "anna", "click", &["rug-0"]).await;
    world.settled().await;
    let profile = gateway.get("/v1/profile?user_id=anna").await;
    assert_eq!(
        (&profile["n_events"], &profile["n_orders"], &profile["n_distinct_items"]),
        (&json!(4), &json!(3), &json!(4))
    );
    assert_eq!(
        (&profile["recent"][0]["kind"], &profile["recent"][0]["item_id"]),
        (&json!("click"), &json!("rug-0"))
    );
    assert_eq!(profile["categories"][0], json!({ "category": "lamp", "share": 0.5 }));
    assert_eq!((&profile["snapshot"], &profile["rung"]), (&json!("v1"), &json!("personal")));
    let stranger = gateway.get("/v1/profile?session_id=nobody").await;
    assert_eq!((&stranger["n_events"], &stranger["first_seen"]), (&json!(0), &Value::Null));
    assert_eq!(stranger["recent"], json!([]));
    gateway.refused(Method::GET, "/v1/profile", None, 400, "neither user_id nor session_id").await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_of_people_begins_with_the_most_active() {
    let (world, gateway) = World::furnished().await;
    for user in ["zoe", "bert", "anna"] {
        gateway.send(Method::PUT, &format!("/v1/users/{user}"), Some(json!({}))).await;
    }
    world.settled().await;
    let list = gateway.get("/v1/users?limit=2").await;
    let ids: Vec<&str> =
        list["users"].as_array().unwrap().iter().map(|u| u["user_id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["anna", "bert"]);
    for (limit, says) in [("0", "limit is 0"), ("201", "limit is 201"), ("x", "limit is \"x\"")] {
        gateway.refused(Method::GET, &format!("/v1/users?limit={limit}"), None, 400, says).await;
    }
    let put = Some(json!({ "properties": [] }));
    gateway.refused(Method::PUT, "/v1/users/anna", put, 400, "the body is not what this route reads").await;
    gateway.refused(Method::PUT, "/v1/users/anna", Some(json!({ "name": "A" })), 400, "name").await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_shows_in_its_answer_and_leaves_no_other_trace() {
    let (world, gateway) = World::furnished().await;
    world.settled().await;
    let what_everybody_sees = gateway.get("/v1/trending?k=50").await["items"].clone();
    let n_answers = world.answers(1).await.len();
    for round in 0..3 {
        for partition in 0..2 {
            let took = measure_once(&gateway.app, &*world.log, partition).await.unwrap();
            assert!(took.is_some(), "round {round}, partition {partition}");
        }
    }
    world.settled().await;
    gateway.recommend(json!({ "user_id": "anna" })).await;
    let answers = world.answers(n_answers + 1).await;
    assert!(answers.iter().all(|(event, _)| !format!("{:?}", event.person).contains("canary")), "recorded");
    assert_eq!(gateway.get("/v1/trending?k=50").await["items"], what_everybody_sees);
    gateway.stop().await;
}
