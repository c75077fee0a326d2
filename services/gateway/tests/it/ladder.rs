//! A dead or late dependency costs quality, never the page.

use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    faults::{BeforeTheSwap, Fault, NoFeatures, NoRanking, NoRetrieval},
    world::{Gateway, World, json_of, slate},
};

/// Short, so that stalls end soon; long enough for everybody else on a busy machine.
const DEADLINE_MS: u64 = 1_500;

fn for_anna() -> Value {
    json!({ "user_id": "anna", "k": 5 })
}

#[tokio::test(flavor = "multi_thread")]
async fn without_features_a_known_person_gets_what_a_stranger_gets() {
    let (world, gateway) = World::furnished().await;
    assert_eq!(gateway.recommend(for_anna()).await["rung"], "personal");
    for fault in Fault::BOTH {
        let limping = world
            .gateway_with(|app| {
                app.config.deadline_ms = DEADLINE_MS;
                app.features = Arc::new(NoFeatures(fault));
            })
            .await;
        let answer = limping.recommend(for_anna()).await;
        assert_eq!(answer["rung"], "trending", "{fault:?}: {answer}");
        assert_eq!(slate(&answer).len(), 5);
        limping.stop().await;
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_ranking_the_sources_decide_the_order_and_pins_stay_first() {
    let (world, gateway) = World::furnished().await;
    for fault in Fault::BOTH {
        let limping = world
            .gateway_with(|app| {
                app.config.deadline_ms = DEADLINE_MS;
                app.ranking = Arc::new(NoRanking(fault));
            })
            .await;
        let answer = limping.recommend(json!({ "user_id": "anna", "k": 6, "pin": ["rug-3"] })).await;
        assert_eq!(answer["rung"], "personal", "{fault:?}: {answer}");
        assert_eq!(slate(&answer)[0], "rug-3");
        assert_eq!(slate(&answer).len(), 6);
        let scores: Vec<f64> =
            answer["items"].as_array().unwrap()[1..].iter().map(|i| i["score"].as_f64().unwrap()).collect();
        assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
        limping.stop().await;
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_retrieval_the_last_rung_answers() {
    let (world, gateway) = World::furnished().await;
    for fault in Fault::BOTH {
        let limping = limping(&world, fault).await;
        let answer = limping.recommend(for_anna()).await;
        assert_eq!((&answer["rung"], slate(&answer).len()), (&json!("static"), 5), "{fault:?}: {answer}");
        assert!(answer["items"].as_array().unwrap().iter().all(|item| item["reason"]["kind"] == "popular"));
        let sofas = limping.recommend(json!({ "k": 3, "category": "sofa", "exclude": ["sofa-0"] })).await;
        assert_eq!(slate(&sofas), ["sofa-1", "sofa-2", "sofa-3"]);
        let new_only = limping.recommend(json!({ "user_id": "anna", "k": 20, "exclude_known": true })).await;
        assert!(!slate(&new_only).iter().any(|id| ["lamp-0", "lamp-1", "sofa-0"].contains(&id.as_str())));
        limping.stop().await;
    }
    gateway.stop().await;
}

async fn limping(world: &World, fault: Fault) -> Gateway {
    world
        .gateway_with(|app| {
            app.config.deadline_ms = DEADLINE_MS;
            app.retrieval = Arc::new(NoRetrieval(fault));
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_rung_is_what_trended_while_all_was_well_less_what_was_hidden_since() {
    let (world, gateway) = World::furnished().await;
    let well = slate(&gateway.recommend(json!({ "k": 4 })).await);
    assert_eq!(well.len(), 4);
    let remembered = gateway.app.last_good.read().unwrap().clone();
    gateway.patch(&well[0], json!({ "hidden": true })).await;
    let limping = world
        .gateway_with(|app| {
            app.retrieval = Arc::new(NoRetrieval(Fault::Fails));
            app.last_good = remembered.into();
        })
        .await;
    let answer = limping.recommend(json!({ "k": 3 })).await;
    assert_eq!(answer["rung"], "static");
    assert_eq!(slate(&answer), well[1..4]);
    limping.stop().await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_catalogue_gives_an_empty_list_and_no_error() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    for body in [json!({}), json!({ "user_id": "anna", "pin": ["lamp-0"], "items": ["lamp-1"] })] {
        let answer = gateway.recommend(body).await;
        assert_eq!((&answer["rung"], slate(&answer).len()), (&json!("static"), 0), "{answer}");
        assert_eq!(answer["snapshot"], Value::Null);
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalogue_without_events_or_snapshot_is_recommended_as_it_stands() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    gateway.put_catalogue().await;
    let answer = gateway.recommend(json!({ "k": 7 })).await;
    assert_eq!((&answer["rung"], slate(&answer).len()), (&json!("static"), 7), "{answer}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_swapped_out_in_mid_request_costs_a_second_try_not_the_answer() {
    let (world, gateway) = World::furnished().await;
    let retrieval = Arc::new(BeforeTheSwap(world.retrieval.clone()));
    let surprised = world.gateway_with(|app| app.retrieval = retrieval).await;
    let answer = surprised.recommend(for_anna()).await;
    assert_eq!((&answer["rung"], &answer["snapshot"]), (&json!("personal"), &json!("v1")), "{answer}");
    let similar = surprised.get("/v1/items/lamp-3/similar?k=3").await;
    assert_eq!((slate(&similar).len(), &similar["snapshot"]), (3, &json!("v1")));
    surprised.stop().await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_page_without_retrieval_is_a_problem_not_another_list() {
    let (world, gateway) = World::furnished().await;
    let failing = limping(&world, Fault::Fails).await;
    let stalling = limping(&world, Fault::Stalls).await;
    let path = "/v1/items/lamp-3/similar";
    for (gateway, status) in [(&failing, 500), (&stalling, 504)] {
        let problem = json_of(gateway.send(Method::GET, path, None).await, status).await;
        assert!(!problem.to_string().contains("plug"), "a failure gives no cause away: {problem}");
    }
    failing.stop().await;
    stalling.stop().await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_degraded_answer_is_not_kept() {
    let (world, gateway) = World::furnished().await;
    let limping = world.gateway_with(|app| app.ranking = Arc::new(NoRanking(Fault::Fails))).await;
    limping.recommend(for_anna()).await;
    limping.recommend(for_anna()).await;
    let answers = world.answers(2).await;
    assert!(answers.iter().all(|(_, answer)| answer.computed_by.is_none()));
    limping.stop().await;
    gateway.stop().await;
}
