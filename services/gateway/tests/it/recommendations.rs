//! What a client may ask for, and what it gets.

use reqwest::Method;
use serde_json::{Value, json};
use waggle_gateway_role::GatewayConfig;
use waggle_retrieval_role::RetrievalConfig;

use crate::{
    rules::placements,
    world::{World, eventually, json_of, slate},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_known_person_gets_a_personal_list_and_a_stranger_what_is_trending() {
    let (_world, gateway) = World::furnished().await;
    let anna = gateway.get("/v1/recommendations?user_id=anna&k=6").await;
    assert_eq!(
        (&anna["rung"], &anna["snapshot"], &anna["placement"]),
        (&json!("personal"), &json!("v1"), &json!("home"))
    );
    assert!(anna["watermark"]["offset"].as_u64().unwrap() > 0, "{anna}");
    assert_eq!(slate(&anna).len(), 6);
    assert_eq!(anna["items"][0].get("item"), None);
    for query in ["", "user_id=nobody-knows-me", "session_id=new"] {
        let stranger = gateway.get(&format!("/v1/recommendations?k=4&{query}")).await;
        assert_eq!(
            (&stranger["rung"], &stranger["snapshot"]),
            (&json!("trending"), &Value::Null),
            "{stranger}"
        );
        // Nothing but the four items of the history is wanted by anybody.
        let mut ids = slate(&stranger);
        ids.sort();
        assert_eq!(ids, ["lamp-0", "lamp-1", "lamp-2", "sofa-0"]);
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn get_and_post_answer_alike() {
    let (_world, gateway) = World::furnished().await;
    let get = gateway
        .get("/v1/recommendations?user_id=anna&k=3&category=sofa&exclude_known=true&diversity=0.5&items=lamp-1,lamp-2&exclude=sofa-0&pin=sofa-3,sofa-2")
        .await;
    let post = gateway
        .recommend(json!({
            "user_id": "anna", "k": 3, "category": "sofa", "exclude_known": true, "diversity": 0.5,
            "items": ["lamp-1", "lamp-2"], "exclude": ["sofa-0"], "pin": ["sofa-3", "sofa-2"],
        }))
        .await;
    assert_eq!(get["items"], post["items"]);
    assert_eq!(slate(&get).len(), 3);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_click_of_an_anonymous_session_counts() {
    let (world, gateway) = World::furnished().await;
    gateway.act("session_id", "visit", "click", &["rug-0"]).await;
    world.settled().await;
    let answer = gateway.recommend(json!({ "session_id": "visit", "k": 20 })).await;
    assert_eq!(answer["rung"], "personal");
    let items = answer["items"].as_array().unwrap();
    let because_of_rug = items
        .iter()
        .any(|item| item["reason"]["item_id"] == "rug-0" && item["reason"]["title"] == "rug model 0");
    assert!(because_of_rug, "{answer}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_anonymous_history_gives_items_that_go_with_it_and_never_the_history() {
    let (_world, gateway) = World::furnished().await;
    let answer = gateway.recommend(json!({ "items": ["rug-0", "rug-1"], "k": 5, "placement": "cart" })).await;
    assert_eq!((&answer["rung"], &answer["placement"]), (&json!("segment"), &json!("cart")));
    let ids = slate(&answer);
    assert!(ids.contains(&"rug-2".to_owned()) && !ids.contains(&"rug-0".to_owned()), "{ids:?}");
    let unknown = gateway.recommend(json!({ "items": ["no-such-item"], "k": 5 })).await;
    assert_eq!(slate(&unknown).len(), 5);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn category_exclude_and_exclude_known_narrow_the_list() {
    let (_world, gateway) = World::furnished().await;
    let lamps = slate(&gateway.recommend(json!({ "user_id": "anna", "k": 20, "category": "lamp" })).await);
    assert!(lamps.len() >= 3 && lamps.iter().all(|id| id.starts_with("lamp")), "{lamps:?}");
    let fewer = json!({ "user_id": "anna", "k": 20, "category": "lamp", "exclude": [lamps[0]] });
    assert!(!slate(&gateway.recommend(fewer).await).contains(&lamps[0]));
    let new = slate(&gateway.recommend(json!({ "user_id": "anna", "k": 20, "exclude_known": true })).await);
    assert!(!new.iter().any(|id| ["lamp-0", "lamp-1", "sofa-0"].contains(&id.as_str())), "{new:?}");
    let none = gateway.recommend(json!({ "category": "no such thing" })).await;
    assert_eq!(slate(&none), Vec::<String>::new());
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pins_come_first_in_their_order_unless_they_cannot_be_sold() {
    let (world, gateway) = World::furnished().await;
    gateway.patch("rug-1", json!({ "hidden": true })).await;
    gateway.patch("rug-2", json!({ "in_stock": false })).await;
    world.settled().await;
    let pin = ["rug-3", "no-such-item", "rug-1", "rug-2", "sofa-7", "rug-3", "rug-0"];
    let answer =
        gateway.recommend(json!({ "user_id": "anna", "k": 6, "pin": pin, "exclude": ["rug-0"] })).await;
    let ids = slate(&answer);
    assert_eq!((&ids[..2], ids.len()), (&["rug-3".to_owned(), "sofa-7".to_owned()][..], 6));
    assert_eq!(answer["items"][0]["reason"], json!({ "kind": "pinned" }));
    assert!(["rug-0", "rug-1", "rug-2"].iter().all(|id| !ids.contains(&(*id).to_owned())), "{ids:?}");
    let only = gateway.recommend(json!({ "k": 1, "pin": ["rug-3", "sofa-7"] })).await;
    assert_eq!(slate(&only), ["rug-3"]);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn diversity_mixes_the_categories() {
    let (_world, gateway) = World::furnished().await;
    let ask = async |diversity: f64| {
        let body = json!({ "items": ["lamp-3"], "k": 4, "diversity": diversity, "include_items": true });
        let answer = gateway.recommend(body).await;
        let mut categories: Vec<String> = answer["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["item"]["category"].as_str().unwrap().to_owned())
            .collect();
        categories.dedup();
        categories.len()
    };
    let (plain, mixed) = (ask(0.0).await, ask(1.0).await);
    assert!(mixed > plain, "{mixed} changes of category with variety, {plain} without");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn catalogue_entries_come_along_when_asked_for() {
    let (_world, gateway) = World::furnished().await;
    let answer = gateway.get("/v1/recommendations?user_id=anna&k=200&include_items=true").await;
    for item in answer["items"].as_array().unwrap() {
        assert_eq!(item["item"]["item_id"], item["item_id"]);
        assert!(item["item"]["price"].is_f64());
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_requests_are_told_what_is_wrong() {
    let (_world, gateway) = World::furnished().await;
    for (k, says) in [
        ("0", "k is 0"),
        ("-1", "k is -1"),
        ("201", "between 1 and 200"),
        ("abc", "k is \"abc\""),
        ("1.5", "k is \"1.5\""),
    ] {
        for path in
            ["/v1/recommendations?", "/v1/trending?", "/v1/items/lamp-0/similar?", "/v1/search?q=lamp&"]
        {
            gateway.refused(Method::GET, &format!("{path}k={k}"), None, 400, says).await;
        }
    }
    let long = "x".repeat(257);
    for (query, says) in [
        ("usr_id=anna", "usr_id"),
        ("diversity=2", "diversity is 2"),
        ("diversity=NaN", "diversity is NaN"),
        ("include_items=yes", "include_items is \"yes\""),
        ("exclude_known=1", "exclude_known is \"1\""),
        ("user_id=", "user_id is empty"),
        ("session_id=%00", "session_id contains a control character"),
        (&format!("user_id={long}"), "user_id has 257 bytes"),
        ("category=", "category must have"),
        ("placement=", "placement must have"),
        ("items=a,,b", "items: item_id is empty"),
    ] {
        gateway.refused(Method::GET, &format!("/v1/recommendations?{query}"), None, 400, says).await;
    }
    for (body, says) in [
        (json!({ "usr_id": "anna" }), "usr_id"),
        (json!({ "k": 0 }), "k is 0"),
        (json!({ "k": 201 }), "k is 201"),
        (json!({ "k": "abc" }), "invalid type"),
        (json!({ "diversity": -0.1 }), "diversity is -0.1"),
        (json!({ "pin": vec!["x"; 201] }), "pin has 201 entries"),
        (json!({ "exclude": [""] }), "exclude: item_id is empty"),
        (json!("anna"), "the body is not what this route reads"),
        (json!([]), "expected an object"),
        (json!(["anna"]), "expected an object"),
    ] {
        gateway.refused(Method::POST, "/v1/recommendations", Some(body), 400, says).await;
    }
    let json_type = [("content-type", "application/json")];
    let torn = gateway.raw(Method::POST, "/v1/recommendations", &json_type, "{\"k\": 3").await;
    assert_eq!(torn.status(), 400);
    let plain =
        gateway.raw(Method::POST, "/v1/recommendations", &[("content-type", "text/plain")], "{}").await;
    assert_eq!(plain.status(), 415);
    gateway.refused(Method::DELETE, "/v1/recommendations", None, 405, "").await;
    gateway.refused(Method::GET, "/v1/trending?source=hot", None, 400, "source is \"hot\"").await;
    gateway.refused(Method::GET, "/v1/items/lamp-0/similar?kind=twin", None, 400, "kind is \"twin\"").await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_record_of_an_answer_accounts_for_every_place() {
    let (world, gateway) = World::furnished().await;
    let served = gateway.recommend(json!({ "user_id": "anna", "session_id": "s", "k": 5 })).await;
    let (event, answer) = world.answers(1).await.pop().unwrap();
    assert_eq!(event.person.user_id.unwrap().as_str(), "anna");
    assert_eq!(event.person.session_id.unwrap().as_str(), "s");
    assert_eq!(answer.answer_id.as_str(), served["answer_id"]);
    assert_eq!(answer.rung.as_str(), "personal");
    assert_eq!(answer.snapshot.unwrap().as_str(), "v1");
    assert_eq!(answer.watermark.unwrap().offset, served["watermark"]["offset"].as_u64().unwrap());
    assert!(answer.n_candidates >= 5);
    assert_eq!(answer.feature_names.len(), waggle_features::FEATURES.len());
    let recorded: Vec<&str> = answer.items.iter().map(|place| place.item_id.as_str()).collect();
    assert_eq!(recorded, slate(&served));
    for (place, item) in (1..).zip(&answer.items) {
        assert_eq!((item.position, item.propensity.to_bits()), (place, 1.0_f32.to_bits()));
        assert_eq!(item.features.len(), answer.feature_names.len());
        assert!(!item.sources.is_empty());
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trending_new_and_similar_are_recorded_lists_of_their_own() {
    let (world, gateway) = World::furnished().await;
    let trending = gateway.get("/v1/trending?k=3&category=lamp&session_id=s").await;
    assert_eq!(trending["placement"], "trending");
    assert_eq!(slate(&trending).len(), 3);
    // Only items that somebody met are known to be new; the list is not filled with others.
    let mut new = slate(&gateway.get("/v1/trending?source=new&k=20&session_id=s").await);
    new.sort();
    assert_eq!(new, ["lamp-0", "lamp-1", "lamp-2", "sofa-0"]);
    let similar = gateway.get("/v1/items/lamp-3/similar?k=4&include_items=true&session_id=s").await;
    assert!(slate(&similar).iter().all(|id| id.starts_with("lamp") && id != "lamp-3"), "{similar}");
    assert_eq!(similar["items"][0]["reason"]["item_id"], "lamp-3");
    let together = gateway.get("/v1/items/lamp-3/similar?kind=bought_together&session_id=s").await;
    assert_eq!(slate(&together), ["lamp-4"]);
    gateway
        .refused(Method::GET, "/v1/items/nothing/similar", None, 404, "\"nothing\" is not in the catalogue")
        .await;
    let placements: Vec<String> =
        world.answers(4).await.iter().map(|(_, answer)| answer.placement.as_str().to_owned()).collect();
    assert_eq!(placements, ["trending", "new", "item_page", "item_page"]);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_the_snapshot_does_not_know_stands_beside_what_people_look_at_with_it() {
    let (world, gateway) = World::furnished().await;
    gateway.put("clock", json!({ "title": "a clock", "category": "clock" })).await;
    gateway.put("vase", json!({ "title": "something else", "category": "vase" })).await;
    for visit in ["a", "b", "c"] {
        gateway.act("session_id", visit, "view", &["sofa-1", "clock"]).await;
    }
    gateway.act("session_id", "d", "view", &["rug-2", "clock"]).await;
    world.settled().await;
    for kind in ["similar", "bought_together"] {
        let beside = gateway.get(&format!("/v1/items/clock/similar?k=2&kind={kind}")).await;
        assert_eq!(slate(&beside), ["sofa-1", "rug-2"], "{beside}");
        assert_eq!(beside["items"][0]["sources"][0]["source"], "session");
    }
    assert!(slate(&gateway.get("/v1/items/vase/similar?kind=bought_together").await).is_empty());
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answers_id_names_the_placement() {
    let (_world, gateway) = World::furnished().await;
    let answer = gateway.recommend(json!({ "user_id": "anna", "k": 1, "placement": "footer" })).await;
    let again = gateway.recommend(json!({ "user_id": "anna", "k": 1, "placement": "footer" })).await;
    assert_ne!(answer["answer_id"], again["answer_id"]);
    for answer in [answer, again] {
        assert!(answer["answer_id"].as_str().unwrap().ends_with("~footer"), "{answer}");
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn search_ranks_pages_and_forgets_what_is_not_on_offer() {
    let (world, gateway) = World::furnished().await;
    eventually("the text index follows", async || gateway.get("/v1/search?q=lamp").await["n_matches"] == 8)
        .await;
    let first = gateway.get("/v1/search?q=LAMP&k=5").await;
    let second = gateway.get("/v1/search?q=lamp&k=5&offset=5").await;
    assert_eq!((&first["n_matches"], &first["is_partial"]), (&json!(8), &json!(false)));
    let ids = |answer: &Value| -> Vec<String> {
        let items = answer["items"].as_array().unwrap();
        items.iter().map(|found| found["item"]["item_id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!((ids(&first).len(), ids(&second).len(), &second["items"][0]["rank"]), (5, 3, &json!(6)));
    assert!(ids(&second).iter().all(|id| !ids(&first).contains(id)));
    gateway.patch("lamp-0", json!({ "in_stock": false })).await;
    gateway.patch("lamp-1", json!({ "hidden": true })).await;
    gateway.patch("lamp-2", json!({ "available_from": "2999-01-01T00:00:00Z" })).await;
    world.settled().await;
    eventually("the text index follows", async || {
        gateway.get("/v1/search?q=lamp&k=20").await["n_matches"] == 5
    })
    .await;
    for (query, says) in [
        ("k=3", "q is missing"),
        ("q=a&offset=x", "offset is \"x\""),
        ("q=a&offset=10001", "offset is 10001"),
    ] {
        gateway.refused(Method::GET, &format!("/v1/search?{query}"), None, 400, says).await;
    }
    let long = format!("/v1/search?q={}", "y".repeat(513));
    gateway.refused(Method::GET, &long, None, 400, "q has 513 bytes").await;
    for odd in ["", "%22", "AND%20OR", "title:[*%20TO%20*]", "(((", "%F0%9F%90%9D", "%00", "^~*?:%5C"] {
        json_of(gateway.send(Method::GET, &format!("/v1/search?q={odd}"), None).await, 200).await;
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_nobody_in_particular_is_recorded_too() {
    let (world, gateway) = World::furnished().await;
    let answer = gateway.recommend(json!({ "k": 3 })).await;
    let recorded = world.answers(1).await;
    assert_eq!(recorded.len(), 1);
    assert_eq!(recorded[0].1.answer_id.as_str(), answer["answer_id"]);
    gateway.stop().await;
}

/// The sources of an item of an answer, by name.
fn sources(answer: &Value, item_id: &str) -> Vec<String> {
    let items = answer["items"].as_array().unwrap();
    let found = items.iter().filter(|item| item["item_id"] == item_id);
    let sources = found.flat_map(|item| item["sources"].as_array().unwrap());
    sources.map(|source| source["source"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_a_category_gives_a_stranger_what_people_of_that_taste_want() {
    let (world, plain) = World::furnished().await;
    let answer = plain.recommend(json!({ "category": "sofa", "k": 3 })).await;
    assert_eq!(answer["rung"], "segment");
    assert_eq!(sources(&answer, "sofa-7").last().unwrap(), "segment", "{answer}");
    plain.stop().await;

    let configured = placements(json!({ "home": { "sources": ["segment"] } }));
    let gateway = world.gateway_with(|app| app.placements = configured).await;
    let alone = gateway.recommend(json!({ "category": "sofa", "k": 3 })).await;
    for item in alone["items"].as_array().unwrap() {
        let item_id = item["item_id"].as_str().unwrap();
        // What fills the list is nobody's taste.
        let is_wanted = ["sofa-6", "sofa-7"].contains(&item_id);
        let (source, reason) = if is_wanted { ("segment", "popular_alike") } else { ("static", "popular") };
        assert_eq!(sources(&alone, item_id), [source]);
        assert_eq!(item["reason"], json!({ "kind": reason }));
    }
    let ids = slate(&alone);
    assert!(["sofa-6", "sofa-7"].iter().all(|id| ids.contains(&(*id).to_owned())), "{ids:?}");
    // Without a person and a page there is no segment, and no other source may propose.
    let elsewhere = gateway.recommend(json!({ "k": 20 })).await;
    assert_eq!(elsewhere["rung"], "static");
    assert_eq!(sources(&elsewhere, "sofa-7"), ["static"]);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_item_reaches_who_likes_what_it_reads_like_and_nobody_else() {
    let (world, gateway) = World::furnished().await;
    gateway.buy("carl", &["rug-0", "rug-2"]).await;
    // Of no category, and never touched: nothing but the words tells what it is.
    gateway.put("novelty", json!({ "title": "lamp 1", "price": 12.0 })).await;
    world.publish_ranked_by("v2", "item_item_score");
    world.settled().await;
    let asked = |who: &str| json!({ "user_id": who, "k": 5 });
    let anna = gateway.recommend(asked("anna")).await;
    assert_eq!(sources(&anna, "novelty"), ["lexical"], "{anna}");
    let shown = anna["items"].as_array().unwrap().iter().find(|item| item["item_id"] == "novelty").unwrap();
    let because = json!({ "kind": "because_of", "item_id": "lamp-1", "title": "lamp model 1" });
    assert_eq!(shown["reason"], because);
    let carl = gateway.recommend(asked("carl")).await;
    assert_eq!(slate(&carl).len(), 5);
    assert!(!slate(&carl).contains(&"novelty".to_owned()), "{carl}");
    // Once it is not on offer, it is gone.
    gateway.patch("novelty", json!({ "in_stock": false })).await;
    world.settled().await;
    let later = gateway.recommend(asked("anna")).await;
    assert!(!slate(&later).contains(&"novelty".to_owned()), "{later}");
    gateway.stop().await;
}

#[test]
fn by_default_nothing_that_the_sources_propose_is_cut_before_it_is_ranked() {
    assert!(GatewayConfig::default().n_candidates >= RetrievalConfig::default().limits.total());
}
