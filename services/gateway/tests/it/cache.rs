//! An answer may be served again until the person acts or the catalogue changes.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use serde_json::{Value, json};
use waggle_model::{Answer, Timestamp};
use waggle_stores::{Cache, MokaCache};

use crate::{
    faults::{Aged, Crowd, Fault, NoRanking},
    world::{Gateway, PATIENCE, World, eventually, slate},
};

async fn ask(gateway: &Gateway) -> Value {
    gateway.recommend(json!({ "user_id": "anna", "k": 4 })).await
}

/// The records of the two latest answers, the older first.
async fn latest_two(world: &World, n_answers: usize) -> (Answer, Answer) {
    let mut answers = world.answers(n_answers).await;
    assert_eq!(answers.len(), n_answers);
    let newer = answers.pop().unwrap().1;
    (answers.pop().unwrap().1, newer)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_question_gets_the_same_list_under_an_id_of_its_own() {
    let (world, gateway) = World::furnished().await;
    let (first, second) = (ask(&gateway).await, ask(&gateway).await);
    assert_eq!(first["items"], second["items"]);
    assert_ne!(first["answer_id"], second["answer_id"]);
    let (computed, cached) = latest_two(&world, 2).await;
    assert_eq!(computed.answer_id.as_str(), first["answer_id"]);
    assert_eq!(cached.answer_id.as_str(), second["answer_id"]);
    assert_eq!(cached.computed_by, Some(computed.answer_id));
    assert_eq!(cached.items, []);
    assert_eq!(cached.n_candidates, computed.n_candidates);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn acting_invalidates_and_what_others_do_does_not() {
    let (world, gateway) = World::furnished().await;
    ask(&gateway).await;
    gateway.buy("bert", &["rug-1"]).await;
    world.settled().await;
    ask(&gateway).await;
    assert!(latest_two(&world, 2).await.1.computed_by.is_some(), "bert's purchase is not anna's");
    gateway.buy("anna", &["rug-2"]).await;
    world.settled().await;
    ask(&gateway).await;
    assert!(latest_two(&world, 3).await.1.computed_by.is_none(), "anna acted");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_option_of_the_question_counts() {
    let (world, gateway) = World::furnished().await;
    let questions = [
        json!({ "user_id": "anna", "k": 4 }),
        json!({ "user_id": "bert", "k": 4 }),
        json!({ "session_id": "anna", "k": 4 }),
        json!({ "user_id": "anna", "k": 5 }),
        json!({ "user_id": "anna", "k": 4, "placement": "cart" }),
        json!({ "user_id": "anna", "k": 4, "category": "lamp" }),
        json!({ "user_id": "anna", "k": 4, "items": ["lamp-3"] }),
        json!({ "user_id": "anna", "k": 4, "exclude": ["lamp-3"] }),
        json!({ "user_id": "anna", "k": 4, "pin": ["lamp-3"] }),
        json!({ "user_id": "anna", "k": 4, "exclude_known": true }),
        json!({ "user_id": "anna", "k": 4, "include_items": true }),
        json!({ "user_id": "anna", "k": 4, "diversity": 0.5 }),
    ];
    for question in &questions {
        gateway.recommend(question.clone()).await;
    }
    world.publish("v2");
    gateway.recommend(questions[0].clone()).await;
    let answers = world.answers(questions.len() + 1).await;
    assert!(answers.iter().all(|(_, answer)| answer.computed_by.is_none()));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cached_answer_never_holds_what_was_hidden_since_and_has_what_came_back() {
    let (world, gateway) = World::furnished().await;
    let best = slate(&ask(&gateway).await)[0].clone();
    for change in [json!({ "hidden": true }), json!({ "hidden": false, "in_stock": false })] {
        gateway.patch(&best, change.clone()).await;
        world.settled().await;
        assert!(!slate(&ask(&gateway).await).contains(&best), "{change}");
    }
    gateway.patch(&best, json!({ "in_stock": true })).await;
    world.settled().await;
    assert_eq!(slate(&ask(&gateway).await)[0], best);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_leaves_every_list_at_the_end_of_its_time_and_cached_answers_with_it() {
    let (world, gateway) = World::furnished().await;
    let best = slate(&ask(&gateway).await)[0].clone();
    let until = Timestamp::now() + Duration::from_secs(4);
    gateway.patch(&best, json!({ "available_until": until })).await;
    world.settled().await;
    let lists = async || {
        let asked_at = Timestamp::now();
        let found = gateway.get("/v1/search?q=model&k=20").await;
        let found = found["items"].as_array().unwrap().iter().any(|f| f["item"]["item_id"] == best.as_str());
        let mut are_in = vec![slate(&ask(&gateway).await).contains(&best), found];
        for list in ["/v1/trending?k=20", "/v1/items/lamp-3/similar?k=20"] {
            are_in.push(slate(&gateway.get(list).await).contains(&best));
        }
        (asked_at, are_in, Timestamp::now())
    };
    eventually("the text index follows", async || lists().await.1[1]).await;
    let (_, before, answered_at) = lists().await;
    assert!(answered_at < until, "the machine is too slow for this test");
    assert_eq!(before, [true; 4], "{best}");
    eventually("some are cached", async || {
        world.answers(0).await.iter().any(|(_, answer)| answer.computed_by.is_some())
    })
    .await;
    let gone = tokio::time::timeout(PATIENCE, async {
        loop {
            let (asked_at, are_in, answered_at) = lists().await;
            if are_in == [false; 4] {
                return answered_at;
            }
            assert!(asked_at < until + Duration::from_secs(1), "{are_in:?} a second after the end");
        }
    });
    assert!(gone.await.unwrap() >= until, "it was gone before its end");
    assert_eq!(gateway.get(&format!("/v1/items/{best}")).await["item_id"], best.as_str());
    let answer = gateway.recommend(json!({ "user_id": "anna", "k": 3, "pin": [best] })).await;
    assert!(!slate(&answer).contains(&best), "a pin does not bring it back: {answer}");
    let why_not = gateway
        .get(&format!("/v1/explain?answer_id={}&item_id={best}", answer["answer_id"].as_str().unwrap()))
        .await["why_not"]
        .clone();
    assert_eq!(why_not, json!({ "kind": "no_longer", "available_until": until }));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_the_same_for_everybody_is_computed_once() {
    let (world, gateway) = World::furnished().await;
    let anna = gateway.get("/v1/trending?k=3&user_id=anna").await;
    let bert = gateway.get("/v1/trending?k=3&user_id=bert").await;
    assert_eq!(anna["items"], bert["items"]);
    let answers = world.answers(2).await;
    let of = |user: &str| {
        &answers.iter().find(|(event, _)| event.person.user_id.as_ref().unwrap().as_str() == user).unwrap().1
    };
    assert_eq!(of("bert").computed_by.as_ref(), Some(&of("anna").answer_id));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_store_and_a_ttl_of_zero_bypass_the_cache() {
    let (world, gateway) = World::furnished().await;
    let path = "/v1/recommendations?user_id=anna&k=4";
    gateway.get(path).await;
    let headers = [("cache-control", "max-age=0, No-Store")];
    let response = gateway.raw(reqwest::Method::GET, path, &headers, "").await;
    assert_eq!(response.status(), 200);
    let uncached = world.gateway_with(|app| app.config.cache_ttl_s = 0).await;
    uncached.get(path).await;
    uncached.get(path).await;
    let answers = world.answers(4).await;
    assert!(answers.iter().all(|(_, answer)| answer.computed_by.is_none()));
    uncached.stop().await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_answer_is_computed_for_all_who_ask_the_same_at_once() {
    const N: usize = 20;
    let (world, furnished) = World::furnished().await;
    let crowd = Crowd::of(N, world.features.clone(), world.retrieval.clone());
    let roles = crowd.clone();
    let gateway = world.gateway_with(|app| (app.features, app.retrieval) = (roles.clone(), roles)).await;
    let answers = futures::future::join_all((0..N).map(|_| ask(&gateway))).await;
    assert_eq!(crowd.n_computed.load(Ordering::Relaxed), 1);
    assert!(answers.iter().all(|answer| answer["items"] == answers[0]["items"]));
    let records = world.answers(N).await;
    let computed: Vec<_> = records.iter().filter(|(_, answer)| answer.computed_by.is_none()).collect();
    assert_eq!(computed.len(), 1);
    let by = &computed[0].1.answer_id;
    assert_eq!(records.iter().filter(|(_, answer)| answer.computed_by.as_ref() == Some(by)).count(), N - 1);
    gateway.stop().await;
    furnished.stop().await;
}

/// Gateways that share a cache: one that fills it, and one that finds its answers aged.
async fn sharing(world: &World, age_s: u64, ranks: bool) -> (Gateway, Gateway) {
    let cache: Arc<dyn Cache> = Arc::new(MokaCache::new(1 << 20));
    let aged = Arc::new(Aged(cache.clone(), Duration::from_secs(age_s)));
    let first = world.gateway_with(|app| app.cache = cache).await;
    let second = world
        .gateway_with(|app| {
            app.cache = aged;
            if !ranks {
                app.ranking = Arc::new(NoRanking(Fault::Fails));
            }
        })
        .await;
    (first, second)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_answer_stands_in_for_a_failure_and_for_nothing_else() {
    let (world, furnished) = World::furnished().await;
    // Fresh for 30 s and stale for 30 s more.
    for (age_s, ranks, is_again) in [(29, true, true), (31, true, false), (31, false, true)] {
        let (first, second) = sharing(&world, age_s, ranks).await;
        let before = world.answers(0).await.len();
        let (filled, found) = (ask(&first).await, ask(&second).await);
        let records = world.answers(before + 2).await;
        let of = |served: &Value| {
            let same = |record: &&(_, Answer)| record.1.answer_id.as_str() == served["answer_id"];
            records.iter().find(same).unwrap().1.clone()
        };
        let (computed, record) = (of(&filled), of(&found));
        let expected = is_again.then_some(computed.answer_id);
        assert_eq!(record.computed_by, expected, "after {age_s} s, with a ranker: {ranks}");
        assert_eq!((&found["rung"], slate(&found)), (&filled["rung"], slate(&filled)));
        assert!(
            !is_again || found["items"] == filled["items"],
            "what is served again is the same to the last score"
        );
        first.stop().await;
        second.stop().await;
    }
    furnished.stop().await;
}
