use std::collections::HashMap;

use super::*;

fn requests(scenario: Scenario) -> Requests {
    let headers = "host: a\r\n".to_owned();
    let n = 50;
    let asks = (0..n).map(|i| ask("user_id", &format!("u {i}"), &headers)).collect();
    let items = (0..n).map(|i| format!("\"i{i}\"")).collect();
    Requests { scenario, seed: 3, asks, items, popularity: Zipf::new(n, 1.0).unwrap(), headers }
}

fn rendered(requests: &Requests, index: u64) -> String {
    let mut out = Vec::new();
    requests.render(index, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_recommendation_asks_for_ten_items_of_an_encoded_user() {
    let text = rendered(&requests(Scenario::Recommendations), 0);
    assert!(text.starts_with("GET /v1/recommendations?user_id=u%20"), "{text}");
    assert!(text.ends_with("&k=10 HTTP/1.1\r\nhost: a\r\n\r\n"), "{text}");
}

#[test]
fn the_most_popular_user_is_asked_for_as_often_as_zipf_says() {
    let requests = requests(Scenario::Recommendations);
    let n = 20_000;
    let first = (0..n).filter(|index| requests.popular(*index) == 0).count() as f64;
    let expected = f64::from(n as u32) / (1..=50).map(|i| 1.0 / f64::from(i)).sum::<f64>();
    assert!((first - expected).abs() < 4.0 * expected.sqrt(), "{first} of {expected}");
}

#[test]
fn an_event_says_how_long_it_is_and_is_one_click() {
    let text = rendered(&requests(Scenario::Events), 5);
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["events"].as_array().unwrap().len(), 1);
    assert_eq!(body["events"][0]["type"], "click");
}

#[test]
fn sessions_of_mixed_view_click_and_ask_in_this_order_about_one_item() {
    let requests = requests(Scenario::Mixed);
    let mut sessions: HashMap<String, Vec<(String, String)>> = HashMap::new();
    for index in 0..N_LANES * 30 {
        let text = rendered(&requests, index);
        let (session, step) = match text.split_once("\r\n\r\n").unwrap() {
            (head, "") => {
                let id = head.split_once("session_id=").unwrap().1.split('&').next().unwrap();
                (id.to_owned(), ("ask".to_owned(), String::new()))
            }
            (_, body) => {
                let body: Value = serde_json::from_str(body).unwrap();
                let text = |name: &str| body["events"][0][name].as_str().unwrap().to_owned();
                (text("session_id"), (text("type"), text("item_id")))
            }
        };
        sessions.entry(session).or_default().push(step);
    }
    let whole: Vec<_> = sessions.values().filter(|steps| steps.len() == 3).collect();
    assert!(whole.len() as u64 > N_LANES * 8, "{} whole sessions", whole.len());
    for steps in whole {
        let kinds: Vec<_> = steps.iter().map(|(kind, _)| kind.as_str()).collect();
        assert_eq!(kinds, ["view", "click", "ask"]);
        assert_eq!(steps[0].1, steps[1].1);
    }
}

#[test]
fn a_request_depends_on_seed_and_index_only() {
    for scenario in [Scenario::Recommendations, Scenario::Events, Scenario::Mixed] {
        let (a, b) = (requests(scenario), requests(scenario));
        drop(rendered(&a, 1));
        assert_eq!(rendered(&a, 77), rendered(&b, 77));
    }
}
