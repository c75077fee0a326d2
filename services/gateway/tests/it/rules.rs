//! Filters, rules of requests, and placements by configuration.

use reqwest::Method;
use serde_json::{Value, json};
use waggle_gateway_role::{PlacementConfigs, Placements};

use crate::world::{World, json_of, slate};

pub(crate) fn placements(json: Value) -> std::sync::Arc<Placements> {
    let configs: PlacementConfigs = serde_json::from_value(json).unwrap();
    std::sync::Arc::new(Placements::try_new(configs).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_lets_through_what_it_says_and_fills_the_list_with_it() {
    let (world, gateway) = World::furnished().await;
    for n in 0..6 {
        gateway
            .put(
                &format!("chair-{n}"),
                json!({ "title": "chair", "category": "chair", "price": 10 + n, "properties": { "legs": n } }),
            )
            .await;
    }
    world.settled().await;
    let asked = async |filter: &str| {
        let answer = gateway.recommend(json!({ "user_id": "anna", "k": 20, "filter": filter })).await;
        (slate(&answer), answer["rung"].as_str().unwrap().to_owned())
    };
    let (mut chairs, rung) = asked("category = \"chair\" and price in 11..14").await;
    chairs.sort();
    assert_eq!(
        (chairs, rung.as_str()),
        (["chair-1", "chair-2", "chair-3", "chair-4"].map(str::to_owned).to_vec(), "personal")
    );
    assert_eq!(asked("legs >= 5").await.0, ["chair-5"]);
    assert_eq!(asked("legs > 100").await.0, Vec::<String>::new());
    let (others, _) = asked("not exists(legs)").await;
    assert!(others.len() >= 10 && others.iter().all(|id| !id.starts_with("chair")), "{others:?}");
    gateway.patch("chair-5", json!({ "properties": { "legs": 3 } })).await;
    world.settled().await;
    assert_eq!(asked("legs >= 5").await.0, Vec::<String>::new());
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_user_told_is_asked_for_by_name() {
    let (world, gateway) = World::furnished().await;
    let blocked = json!({ "properties": { "blocked": "lamp" } });
    json_of(gateway.send(Method::PUT, "/v1/users/bert", Some(blocked)).await, 200).await;
    world.settled().await;
    let filter = "not category = user.blocked";
    let of = async |user: &str| {
        slate(&gateway.recommend(json!({ "user_id": user, "k": 20, "filter": filter })).await)
    };
    let (bert, anna) = (of("bert").await, of("anna").await);
    assert!(!bert.is_empty() && bert.iter().all(|id| !id.starts_with("lamp")), "{bert:?}");
    assert!(anna.iter().any(|id| id.starts_with("lamp")), "{anna:?}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_of_a_request_name_themselves_where_they_counted() {
    let (_world, gateway) = World::furnished().await;
    let plain = gateway.recommend(json!({ "user_id": "anna", "k": 5 })).await;
    assert!(plain["items"].as_array().unwrap().iter().all(|item| item.get("rules").is_none()), "{plain}");
    let last = slate(&gateway.recommend(json!({ "user_id": "anna", "k": 15 })).await).pop().unwrap();
    let when = format!("item_id = \"{last}\"");
    let boosted = gateway
        .recommend(json!({ "user_id": "anna", "k": 5, "boost": [{ "when": when, "by": 1000 }] }))
        .await;
    assert_eq!(boosted["items"][0]["item_id"], last.as_str());
    assert_eq!(boosted["items"][0]["rules"], json!([{ "rule": "boost", "when": when, "by": 1000.0 }]));
    let capped = gateway.recommend(json!({ "user_id": "anna", "k": 5, "max_per": { "category": 1 } })).await;
    let kinds: Vec<String> =
        slate(&capped).iter().map(|id| id.split_once('-').unwrap().0.to_owned()).collect();
    assert_eq!(kinds.len(), kinds.iter().collect::<std::collections::HashSet<_>>().len(), "{kinds:?}");
    let pinned = gateway.recommend(json!({ "user_id": "anna", "k": 5, "pin": [last] })).await;
    assert_eq!(pinned["items"][0]["rules"], json!([{ "rule": "pin" }]));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_an_expression_is_told_to_who_wrote_it() {
    let (_world, gateway) = World::furnished().await;
    for (body, says) in [
        (json!({ "filter": "price < " }), "filter"),
        (json!({ "filter": "colour = 'red'" }), "colour"),
        (json!({ "filter": "price = 'red'" }), "number"),
        (json!({ "filter": "a".repeat(5_000) }), "4096"),
        (json!({ "filter": format!("{}price < 3{}", "(".repeat(500), ")".repeat(500)) }), "deep"),
        (json!({ "boost": [{ "when": "prize < 3", "by": 2 }] }), "price"),
        (json!({ "boost": [{ "when": "price < 3", "by": 0 }] }), "by 0"),
        (json!({ "boost": vec![json!({ "when": "price < 3", "by": 2 }); 33] }), "33 rules"),
        (json!({ "max_per": { "colour": 2 } }), "colour"),
        (json!({ "max_per": { "brand": 0 } }), "max_per.brand is 0"),
        (json!({ "new_share": 7 }), "new_share is 7"),
    ] {
        gateway.refused(Method::POST, "/v1/recommendations", Some(body), 400, says).await;
    }
    gateway.refused(Method::GET, "/v1/trending?filter=prize%3C3", None, 400, "price").await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_placement_is_what_its_section_says_and_changes_without_a_restart() {
    let (world, _gateway) = World::furnished().await;
    let configured = placements(json!({
        "shelf": { "k": 3, "policy": { "filter": "category = \"sofa\"", "pin": ["sofa-1"] } },
    }));
    let gateway = world.gateway_with(|app| app.placements = configured.clone()).await;
    let shelf = async || slate(&gateway.get("/v1/recommendations?user_id=anna&placement=shelf").await);
    let before = shelf().await;
    assert_eq!((before.len(), before[0].as_str()), (3, "sofa-1"));
    assert!(before.iter().all(|id| id.starts_with("sofa")), "{before:?}");
    // The answer of before is not served any more.
    configured.replace(serde_json::from_value(json!({ "shelf": { "k": 2 } })).unwrap()).unwrap();
    assert_eq!(shelf().await.len(), 2);
    assert_eq!(
        slate(&gateway.get("/v1/recommendations?user_id=anna").await).len(),
        10,
        "others are as they were"
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_placement_that_the_catalogue_cannot_answer_shows_nothing_that_it_forbids() {
    let (world, _gateway) = World::furnished().await;
    let configured = placements(json!({
        "adults": { "policy": { "filter": "age_limit < 18" } },
        "plain": { "fallback": ["sofa-2", "lamp-3"], "policy": { "max_per": { "shade": 1 } } },
    }));
    let gateway = world.gateway_with(|app| app.placements = configured).await;
    let adults = gateway.get("/v1/recommendations?user_id=anna&placement=adults").await;
    assert_eq!((slate(&adults), &adults["rung"]), (Vec::new(), &json!("static")));
    let plain = gateway.get("/v1/recommendations?user_id=anna&placement=plain&k=2").await;
    assert_eq!(
        (slate(&plain), &plain["rung"]),
        (vec!["sofa-2".to_owned(), "lamp-3".to_owned()], &json!("static"))
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_shown_again_and_again_steps_back_and_says_so() {
    let (world, plain) = World::furnished().await;
    let configured = placements(json!({ "home": { "policy": { "fatigue": { "after": 2, "by": 0.001 } } } }));
    let gateway = world.gateway_with(|app| app.placements = configured).await;
    let ask = async || gateway.recommend(json!({ "user_id": "anna", "k": 20 })).await;
    let first = ask().await;
    let best = slate(&first)[0].clone();
    let see = async |times: usize| {
        let items = json!([{ "item_id": best, "position": 1 }]);
        let seen = json!({ "type": "impression", "user_id": "anna", "answer_id": first["answer_id"], "items": items });
        let body = Some(json!({ "events": vec![seen; times] }));
        let report = json_of(gateway.send(Method::POST, "/v1/events", body).await, 202).await;
        assert_eq!(report["accepted"], times);
        world.settled().await;
    };
    see(2).await;
    assert_eq!(slate(&ask().await), slate(&first), "twice costs nothing");
    see(2).await;
    let tired = ask().await;
    let place = slate(&tired).iter().position(|id| *id == best).unwrap();
    assert!(place > 0, "{tired}");
    let item = &tired["items"][place];
    assert_eq!(item["rules"], json!([{ "rule": "fatigue", "shown": 4.0, "by": 0.001 }]));
    let path = format!("/v1/explain?answer_id={}&item_id={best}", tired["answer_id"].as_str().unwrap());
    let explained = gateway.get(&path).await;
    let parts = explained["contributions"].as_array().unwrap().iter();
    let sum: f64 = parts.map(|part| part["contribution"].as_f64().unwrap()).sum();
    let score = item["score"].as_f64().unwrap();
    assert!(
        (sum + 0.001_f64.ln() - score).abs() < 1e-3 * score.abs().max(1.0),
        "{sum} and the rule against {score}"
    );
    // Who did not see it, and places without the rule, are served as before.
    let of = async |body: Value| slate(&gateway.recommend(body).await);
    for body in
        [json!({ "user_id": "anna", "k": 20, "placement": "cart" }), json!({ "user_id": "bert", "k": 20 })]
    {
        assert_eq!(of(body.clone()).await, slate(&plain.recommend(body).await));
    }
    gateway.act("user_id", "anna", "click", &[best.as_str()]).await;
    world.settled().await;
    let clicked = ask().await;
    assert!(clicked["items"].as_array().unwrap().iter().all(|item| item.get("rules").is_none()), "{clicked}");
    gateway.stop().await;
    plain.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_loaded_again_within_the_window_is_the_same() {
    let (world, plain) = World::furnished().await;
    let configured = placements(json!({ "home": { "policy": { "rotation": { "by": 3, "every_h": 720 } } } }));
    let gateway = world.gateway_with(|app| (app.placements, app.config.cache_ttl_s) = (configured, 0)).await;
    let ask = async |gateway: &crate::world::Gateway, user: &str| {
        gateway.recommend(json!({ "user_id": user, "k": 15, "category": "lamp" })).await
    };
    let (first, again) = (ask(&gateway, "anna").await, ask(&gateway, "anna").await);
    assert_eq!(slate(&first), slate(&again));
    for item in first["items"].as_array().unwrap() {
        let rules = item["rules"].as_array().unwrap();
        let by = rules[0]["by"].as_f64().unwrap();
        assert!(rules.len() == 1 && rules[0]["rule"] == "rotation" && (0.333..=3.0).contains(&by), "{item}");
    }
    let unturned = ask(&plain, "anna").await;
    assert!(unturned["items"].as_array().unwrap().iter().all(|item| item.get("rules").is_none()));
    let recorded = world.answers(3).await;
    let items = recorded.iter().flat_map(|(_, answer)| &answer.items);
    assert!(items.map(|item| item.propensity).all(|propensity| propensity.to_bits() == 1.0_f32.to_bits()));
    gateway.stop().await;
    plain.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn items_that_a_person_refused_are_not_shown_to_them_again() {
    let (world, gateway) = World::furnished().await;
    let first = slate(&gateway.recommend(json!({ "user_id": "anna", "k": 20 })).await);
    gateway.act("user_id", "anna", "dismiss", &[first[0].as_str(), first[1].as_str()]).await;
    world.settled().await;
    let after = slate(&gateway.recommend(json!({ "user_id": "anna", "k": 20 })).await);
    assert!(!after.contains(&first[0]) && !after.contains(&first[1]), "{after:?}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_beside_an_item_keep_to_the_filter_of_item_pages() {
    let (world, plain) = World::furnished().await;
    let beside =
        async |gateway: &crate::world::Gateway| slate(&gateway.get("/v1/items/lamp-1/similar?k=20").await);
    let unfiltered = beside(&plain).await;
    assert!(unfiltered.len() > 3 && unfiltered.iter().any(|id| id.starts_with("lamp")), "{unfiltered:?}");
    for (filter, excluded) in [("not category = \"lamp\"", "sofa-0"), ("age_limit < 18", "sofa-0")] {
        let configured = json!({ "item_page": { "policy": { "filter": filter, "exclude": [excluded] } } });
        let gateway = world.gateway_with(|app| app.placements = placements(configured)).await;
        let list = beside(&gateway).await;
        assert!(list.iter().all(|id| !id.starts_with("lamp") && id != excluded), "{filter}: {list:?}");
        assert!(
            filter.starts_with("age") == list.is_empty(),
            "what cannot be answered shows nothing: {list:?}"
        );
        gateway.stop().await;
    }
    plain.stop().await;
}
