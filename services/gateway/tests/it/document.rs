//! What `/openapi.json` says, held beside what the server does.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use serde_json::{Value, json};

use crate::world::World;

/// Methods that a document may have under a path.
const METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_mounted_is_described_and_what_is_described_is_mounted() {
    let gateway = World::new().await.gateway().await;
    let tables = [
        waggle_http::health::routes(),
        waggle_http::docs::routes(),
        waggle_ingest_role::routes::routes(),
        waggle_gateway_role::routes::routes(),
    ];
    let mounted: BTreeSet<String> = tables.into_iter().flatten().map(|(path, _)| path.to_owned()).collect();
    let document = gateway.get("/openapi.json").await;
    let described = paths(&document);
    assert_eq!(described.keys().cloned().collect::<BTreeSet<_>>(), mounted);

    for (path, methods) in described {
        // A method that no route has is answered with those that some route has.
        let response = gateway.send(Method::TRACE, &path.replace(['{', '}'], ""), None).await;
        assert_eq!(response.status(), 405, "{path}");
        let allowed = response.headers()["allow"].to_str().unwrap().to_ascii_lowercase();
        let allowed: BTreeSet<String> = allowed.split(',').map(|method| method.trim().to_owned()).collect();
        assert_eq!(methods, allowed, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ranges_that_are_described_are_those_that_are_kept_to() {
    let (_world, gateway) = World::furnished().await;
    let document = gateway.get("/openapi.json").await;
    let mut n_ranges = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for parameter in item["get"]["parameters"].as_array().into_iter().flatten() {
            let (name, schema) = (parameter["name"].as_str().unwrap(), &parameter["schema"]);
            let with = async |value: String| {
                let needed = if path == "/v1/search" { "q=lamp&user_id=anna&" } else { "" };
                let path = format!("{}?{needed}{name}={value}", path.replace("{id}", "lamp-0"));
                gateway.send(Method::GET, &path, None).await.status().as_u16()
            };
            for (bound, beyond) in [("minimum", -1.0), ("maximum", 1.0)] {
                if let Some(bound) = schema[bound].as_f64() {
                    assert_eq!(with(bound.to_string()).await, 200, "{path}: {name}={bound}");
                    assert_eq!(
                        with((bound + beyond).to_string()).await,
                        400,
                        "{path}: {name} beyond {bound}"
                    );
                    n_ranges += 1;
                }
            }
            if let Some(most) = schema["maxItems"].as_u64() {
                let ids = |n: u64| (0..n).map(|i| format!("lamp-{i}")).collect::<Vec<_>>().join(",");
                assert_eq!(with(ids(most)).await, 200, "{path}: {name} with {most}");
                assert_eq!(with(ids(most + 1)).await, 400, "{path}: {name} with more than {most}");
                n_ranges += 1;
            }
            if let Some(default) = schema.get("default") {
                let default = default.as_str().map_or_else(|| default.to_string(), ToOwned::to_owned);
                assert_eq!(with(default).await, 200, "{path}: {name} by default");
            }
            for choice in schema["enum"].as_array().into_iter().flatten() {
                let choice = choice.as_str().unwrap();
                let more = if (name, choice) == ("order", "sort") { "&sort=price:asc" } else { "" };
                assert_eq!(with(format!("{choice}{more}")).await, 200, "{path}: {name}={choice}");
            }
        }
    }
    assert_eq!(n_ranges, 19);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limits_of_bodies_that_are_described_are_those_that_are_kept_to() {
    let (_world, gateway) = World::furnished().await;
    let document = gateway.get("/openapi.json").await;
    let request = &document["components"]["schemas"]["RecommendationRequest"]["properties"];
    let refused = async |name: &str, value: Value| {
        let body = json!({ name: value });
        gateway.send(Method::POST, "/v1/recommendations", Some(body)).await.status() == 400
    };
    for name in ["k", "diversity", "new_share"] {
        let (least, most) = (&request[name]["minimum"], &request[name]["maximum"]);
        for (value, is_refused) in [(least.clone(), false), (most.clone(), false)] {
            assert_eq!(refused(name, value.clone()).await, is_refused, "{name} {value}");
        }
        for value in [least.as_i64().unwrap() - 1, most.as_i64().unwrap() + 1] {
            assert!(refused(name, value.into()).await, "{name} {value}");
        }
    }
    let rule = &document["components"]["schemas"]["OddsRule"]["properties"];
    let rules =
        |n: u64, by: &Value| -> Value { (0..n).map(|_| json!({"when": "hidden", "by": by})).collect() };
    let (least, most) = (&rule["by"]["minimum"], &rule["by"]["maximum"]);
    let n_rules = request["boost"]["maxItems"].as_u64().unwrap();
    assert!(!refused("boost", rules(n_rules, least)).await && !refused("boost", rules(n_rules, most)).await);
    assert!(refused("boost", rules(n_rules + 1, most)).await);
    assert!(refused("boost", rules(1, &json!(least.as_f64().unwrap() / 2.0))).await);
    assert!(refused("boost", rules(1, &json!(most.as_f64().unwrap() + 1.0))).await);
    for name in ["items", "exclude", "pin"] {
        let most = request[name]["maxItems"].as_u64().unwrap();
        let ids = |n: u64| -> Value { (0..n).map(|i| json!(format!("lamp-{i}"))).collect() };
        assert!(!refused(name, ids(most)).await && refused(name, ids(most + 1)).await, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_of_bodies_are_taken() {
    let (_world, gateway) = World::furnished().await;
    let document = gateway.get("/openapi.json").await;
    let mut n_examples = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in METHODS {
            for (content_type, content) in
                item[method]["requestBody"]["content"].as_object().into_iter().flatten()
            {
                let several = content["examples"].as_object().into_iter().flatten();
                let examples: Vec<&Value> =
                    content.get("example").into_iter().chain(several.map(|(_, it)| &it["value"])).collect();
                assert!(!examples.is_empty(), "{method} {path} has no example of {content_type}");
                for example in examples {
                    let body = example.as_str().map_or_else(|| example.to_string(), ToOwned::to_owned);
                    let url = path.replace("{id}", "lamp-0");
                    let verb = Method::from_bytes(method.to_ascii_uppercase().as_bytes()).unwrap();
                    let response = gateway.raw(verb, &url, &[("content-type", content_type)], &body).await;
                    let status = response.status().as_u16();
                    // The answer that an example names is not of this installation.
                    let is_taken = status < 300 || example.get("after").is_some() && status == 410;
                    assert!(
                        is_taken,
                        "{method} {path}: {example} is {status}: {}",
                        response.text().await.unwrap()
                    );
                    n_examples += 1;
                }
            }
        }
    }
    assert!(n_examples > 10, "{n_examples}");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_described_in_words_of_its_own() {
    let gateway = World::new().await.gateway().await;
    let document = gateway.get("/openapi.json").await;
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let has_words = |value: &Value| value.as_str().is_some_and(|text| text.len() > 2);
            assert!(has_words(&operation["summary"]), "{method} {path}");
            assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{method} {path}");
            assert_eq!(operation["tags"].as_array().unwrap().len(), 1, "{method} {path}");
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                assert!(has_words(&parameter["description"]), "{method} {path}: {parameter}");
            }
            for (status, response) in operation["responses"].as_object().unwrap() {
                let shared = response["$ref"].as_str();
                let response =
                    shared.map_or(response, |at| document.pointer(&at[1..]).expect("a shared response"));
                assert!(has_words(&response["description"]), "{method} {path}: {status}");
                let is_problem = response["content"]["application/problem+json"].is_object();
                assert_eq!(is_problem, status.as_str() >= "400", "{method} {path}: {status}");
            }
        }
    }
    let text = document.to_string();
    assert!(!text.contains("[`"), "a link of rustdoc: {}", &text[text.find("[`").unwrap_or(0)..][..80]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_brings_all_that_it_needs() {
    let gateway = World::new().await.gateway().await;
    let page = gateway.send(Method::GET, "/docs", None).await;
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    let page = page.text().await.unwrap();
    let mut n_files = 0;
    for address in page.split('"').filter_map(|part| part.strip_prefix("./")) {
        let file = gateway.send(Method::GET, &format!("/{address}"), None).await;
        assert_eq!(file.status(), 200, "{address}");
        assert!(!file.bytes().await.unwrap().is_empty(), "{address}");
        n_files += 1;
    }
    assert_eq!(n_files, 4);
    gateway.refused(Method::GET, "/docs/other.js", None, 404, "no such file: other.js").await;
}

/// Each path with its methods.
fn paths(document: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let paths = document["paths"].as_object().unwrap().iter();
    let methods = |item: &Value| {
        METHODS
            .iter()
            .filter(|method| item[**method].is_object())
            .map(|method| (*method).to_owned())
            .collect()
    };
    paths.map(|(path, item)| (path.clone(), methods(item))).collect()
}
