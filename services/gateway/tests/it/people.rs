//! People: what the shop tells of them, what is known of them, and their right to be forgotten.

use std::{sync::Arc, time::Duration};

use reqwest::Method;
use serde_json::{Value, json};
use waggle_features_role::upkeep::round;
use waggle_gateway_role::canary::measure_once;
use waggle_model::{SnapshotVersion, Timestamp};
use waggle_stores::NewSnapshot;

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

    assert_eq!(gateway.send(Method::DELETE, "/v1/users/anna", None).await.status(), 200);
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
    assert_eq!(gateway.send(Method::DELETE, "/v1/users/anna", None).await.status(), 200);
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

/// Records of each topic that the report finds, added up.
fn n_records(report: &Value, topic: &str) -> u64 {
    let traces = report["log"].as_array().unwrap().iter().filter(|trace| trace["topic"] == topic);
    traces.map(|trace| trace["n_records"].as_u64().unwrap()).sum()
}

fn n_rows(report: &Value) -> u64 {
    let files = report["archive"]["files"].as_array().unwrap();
    files.iter().map(|file| file["n_rows"].as_u64().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_says_what_still_holds_the_person_and_until_when() {
    let (world, gateway) = World::furnished().await;
    let snapshot = NewSnapshot {
        version: SnapshotVersion::try_new("before").unwrap(),
        created_at: Timestamp::now(),
        is_refused: false,
        manifest: json!({}),
        metrics: json!({}),
    };
    world.database.register_snapshot(&snapshot).await.unwrap();
    gateway.act("session_id", "visit", "view", &["rug-0", "rug-1"]).await;
    // A session of the same name is somebody else.
    gateway.act("session_id", "anna", "view", &["rug-2"]).await;
    let merge = Some(json!({ "session_id": "visit" }));
    gateway.send(Method::POST, "/v1/users/anna/merge", merge).await;
    gateway.recommend(json!({ "user_id": "anna" })).await;
    world.answers(1).await;
    world.archived().await;
    gateway.refused(Method::GET, "/v1/users/anna/erasure", None, 404, "was not erased").await;

    let report = json_of(gateway.send(Method::DELETE, "/v1/users/anna", None).await, 200).await;
    assert_eq!(report["sessions"], json!(["visit"]));
    // Three purchases and the merge, and what the session saw.
    assert_eq!((n_records(&report, "events"), n_records(&report, "answers")), (6, 1), "{report:#}");
    assert_eq!(n_rows(&report), 7, "{report:#}");
    for trace in report["log"].as_array().unwrap() {
        assert_eq!((&trace["kept"], &trace["is_whole"]), (&json!("for_ever"), &json!(true)));
        let span = trace["last_offset"].as_u64().unwrap() - trace["first_offset"].as_u64().unwrap();
        assert!(span + 1 >= trace["n_records"].as_u64().unwrap(), "{trace}");
    }
    let time = |value: &Value| Timestamp::parse_rfc3339(value.as_str().unwrap()).unwrap();
    let erased_at = time(&report["erased_at"]);
    let by = |value: &Value| time(value).since(erased_at).as_secs();
    let archive = &report["archive"];
    assert_eq!((by(&archive["rewritten_by"]), by(&archive["deleted_by"])), (360, 360 + 3_600 + 300));
    assert_eq!(by(&report["checkpoint_by"]), 60);
    assert_eq!(by(&report["answers_by"]), 600);
    assert_eq!(report["snapshots"][0]["version"], "before");

    world.archived().await;
    round(&world.artifacts().await, &world.database, Duration::ZERO).await.unwrap();
    let later = gateway.get("/v1/users/anna/erasure").await;
    assert_eq!((n_rows(&later), &later["archive"]["is_whole"]), (0, &json!(true)), "{later:#}");
    assert_eq!(later["log"], report["log"], "no record leaves the log alone");
    assert_eq!(later["sessions"], json!(["visit"]), "the log still tells");
    json_of(gateway.send(Method::PUT, "/v1/users/anna", Some(json!({}))).await, 200).await;
    gateway.refused(Method::GET, "/v1/users/anna/erasure", None, 404, "came back since").await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_is_held_about_a_person_can_be_had() {
    let (world, gateway) = World::furnished().await;
    let told = json!({ "properties": { "country": "DE" } });
    json_of(gateway.send(Method::PUT, "/v1/users/anna", Some(told)).await, 200).await;
    gateway.act("session_id", "visit", "view", &["rug-0"]).await;
    let merge = Some(json!({ "session_id": "visit" }));
    gateway.send(Method::POST, "/v1/users/anna/merge", merge).await;
    let answer = gateway.recommend(json!({ "user_id": "anna" })).await;
    let seen = json!({
        "type": "impression", "user_id": "anna", "answer_id": answer["answer_id"],
        "items": [{ "item_id": "rug-3", "position": 1 }],
    });
    json_of(gateway.send(Method::POST, "/v1/events", Some(json!({ "events": [seen] }))).await, 202).await;
    world.answers(1).await;
    world.archived().await;
    // Not archived yet, and somebody else's.
    gateway.act("user_id", "anna", "click", &["sofa-3"]).await;
    gateway.act("session_id", "anna", "view", &["rug-2"]).await;
    world.settled().await;

    let export = gateway.get("/v1/users/anna/export").await;
    assert_eq!(export["user"]["properties"], json!({ "country": "DE" }));
    assert_eq!((&export["sessions"], &export["profile"]["n_events"]), (&json!(["visit"]), &json!(5)));
    let items = export["events"].as_array().unwrap().iter().filter_map(|event| event["item_id"].as_str());
    let mut items: Vec<&str> = items.collect();
    assert_eq!(items.last(), Some(&"sofa-3"), "what is not archived yet comes last");
    items.sort_unstable();
    assert_eq!(items, ["lamp-0", "lamp-1", "rug-0", "sofa-0", "sofa-3"]);
    assert_eq!(
        export["events"].as_array().unwrap().len(),
        8,
        "a change, a merge and an impression, too: {export:#}"
    );
    let answers = export["answers"].as_array().unwrap();
    assert_eq!((answers.len(), &answers[0]["answer"]["answer_id"]), (1, &answer["answer_id"]));
    assert_eq!(export["history"].as_array().unwrap().len(), 5);
    assert_eq!(export["shown"], json!([{ "item_id": "rug-3", "times": 1.0 }]));

    // Of bert nothing was told, and yet something is held.
    let export = gateway.get("/v1/users/bert/export").await;
    assert_eq!((&export["user"], export["events"].as_array().unwrap().len()), (&Value::Null, 2));
    gateway
        .refused(Method::GET, "/v1/users/nobody/export", None, 404, "nothing is held about user \"nobody\"")
        .await;
    gateway.send(Method::DELETE, "/v1/users/anna", None).await;
    gateway.refused(Method::GET, "/v1/users/anna/export", None, 404, "was erased at").await;
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
    let page = gateway.get("/v1/users?order=id&limit=2").await;
    assert_eq!((&page["users"][1]["user_id"], &page["next_after"]), (&json!("bert"), &json!("bert")));
    let last = gateway.get("/v1/users?order=id&limit=2&after=bert").await;
    assert_eq!((&last["users"][0]["user_id"], &last["next_after"]), (&json!("zoe"), &Value::Null));
    for (query, says) in [("after=bert", "after goes with order=id"), ("order=x", "order is \"x\"")] {
        gateway.refused(Method::GET, &format!("/v1/users?{query}"), None, 400, says).await;
    }
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
