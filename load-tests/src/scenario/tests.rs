use super::*;

fn requests(asks: Asks) -> Requests {
    Requests { asks, seed: 3, prefix: "load-3".to_owned(), headers: HEADERS.to_owned() }
}

const HEADERS: &str = "host: a\r\n";
const N: usize = 50;

fn popularity() -> Zipf<f64> {
    Zipf::new(N as u64, 1.0).unwrap()
}

fn recommendations() -> Requests {
    let by_user = (0..N).map(|i| ask("user_id", &format!("u {i}"), "", HEADERS)).collect();
    requests(Asks::Drawn {
        requests: by_user,
        popularity: popularity(),
        expected: Expected::Slate { n_items: K },
    })
}

fn events(batch: u32) -> Requests {
    let items = (0..N).map(|i| format!("\"i{i}\"")).collect();
    let writer = EventRequests::new(Form::default(), HEADERS, "run");
    requests(Asks::Events { items, popularity: popularity(), batch, requests: writer })
}

fn browse() -> Requests {
    let items: Vec<_> = (0..300).map(|n| format!("sim-{n:07}")).collect();
    let visits = Rc::new(Visits::load(Source::Sim, None, &items, 3).unwrap());
    let writer = EventRequests::new(Form::default(), HEADERS, "run");
    requests(Asks::Browse { items: as_json(items), visits, requests: writer })
}

fn arrival(index: u64) -> Arrival {
    Arrival { index, step: 0, at: Duration::ZERO }
}

fn rendered(requests: &Requests, arrival: Arrival) -> (String, Expected) {
    let mut out = Vec::new();
    let expected = requests.render(arrival, &mut out);
    (String::from_utf8(out).unwrap(), expected)
}

fn body(request: &str) -> Value {
    serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[test]
fn a_recommendation_asks_for_ten_items_of_an_encoded_user() {
    let (text, _) = rendered(&recommendations(), arrival(0));
    assert!(text.starts_with("GET /v1/recommendations?user_id=u%20"), "{text}");
    assert!(text.ends_with("&k=10 HTTP/1.1\r\nhost: a\r\n\r\n"), "{text}");
}

#[test]
fn the_most_popular_user_is_asked_for_as_often_as_zipf_says() {
    let requests = recommendations();
    let first = ask("user_id", "u 0", "", HEADERS);
    let mut out = Vec::new();
    let n = 20_000;
    let n_first = (0..n)
        .filter(|index| {
            requests.render(arrival(*index), &mut out);
            out == first
        })
        .count() as f64;
    let expected = n as f64 / (1..=50).map(|i| 1.0 / f64::from(i)).sum::<f64>();
    assert!((n_first - expected).abs() < 4.0 * expected.sqrt(), "{n_first} of {expected}");
}

#[test]
fn a_batch_is_one_session_s_clicks_with_ids_that_no_other_request_has() {
    let requests = events(20);
    let mut ids = std::collections::HashSet::new();
    for index in 0..50 {
        let (text, expected) = rendered(&requests, arrival(index));
        assert_eq!(expected, Expected::Receipt { n_events: 20 });
        let body = body(&text);
        let events = body["events"].as_array().unwrap();
        assert_eq!(events.len(), 20);
        for event in events {
            assert_eq!((&event["type"], &event["session_id"]), (&"click".into(), &events[0]["session_id"]));
            assert!(ids.insert(event["event_id"].as_str().unwrap().to_owned()), "{event}");
        }
    }
}

#[test]
fn a_visit_is_one_person_who_asks_acts_and_orders() {
    let requests = browse();
    let (mut n_asked, mut n_ordered) = (0, 0);
    let Schedule::Closed { order, .. } = requests.closed(Duration::from_secs(1)) else {
        panic!("not closed")
    };
    let mut person_of = std::collections::HashMap::new();
    for arrival in order.take(5000) {
        let (text, expected) = rendered(&requests, arrival);
        let person = match expected {
            Expected::Slate { .. } => {
                n_asked += 1;
                let query = text.split_once("recommendations?").unwrap().1.split_once('&').unwrap().0;
                query.split_once('=').unwrap().1.to_owned()
            }
            _ => {
                let body = body(&text);
                let events = body["events"].as_array().unwrap();
                assert_eq!(expected, Expected::Receipt { n_events: events.len() as u64 });
                n_ordered += events.iter().filter(|event| event["type"] == "purchase").count();
                for event in events {
                    assert_eq!(event["type"] == "purchase", event["order_id"].is_string(), "{event}");
                }
                let id = events[0]["user_id"].as_str().or(events[0]["session_id"].as_str());
                id.unwrap().to_owned()
            }
        };
        assert!(person.starts_with("load-3-"), "{person}");
        assert_eq!(*person_of.entry(arrival.index).or_insert_with(|| person.clone()), person);
    }
    assert!(n_asked > 1000 && n_ordered > 100, "{n_asked} asked, {n_ordered} ordered");
}

#[test]
fn a_request_depends_on_seed_and_number_only() {
    for make in [recommendations, || events(2), browse] {
        let (a, b) = (make(), make());
        drop(rendered(&a, arrival(1)));
        assert_eq!(rendered(&a, arrival(77)), rendered(&b, arrival(77)));
    }
}
