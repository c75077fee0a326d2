//! What clients send by mistake or by malice.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    time::Duration,
};

use anyhow::{Context, Result};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    e2e::{expect, http::Client, shop::Shop},
    steps::Outcome,
};

/// Most bytes of a body of events, as the API documents it.
const MAX_BODY_BYTES: usize = 4 << 20;
/// Most events of one body.
const MAX_EVENTS: usize = 5_000;

pub(in crate::e2e) fn a_bad_request_is_refused_as_a_problem(shop: &mut Shop) -> Result<Outcome> {
    let client = shop.client()?;
    let long_id = "x".repeat(300);
    let wrong: Vec<(Method, String, &[u16])> = vec![
        (Method::GET, "/v1/recommendations?k=0".into(), &[400]),
        (Method::GET, "/v1/recommendations?k=-1".into(), &[400]),
        (Method::GET, "/v1/recommendations?k=201".into(), &[400]),
        (Method::GET, "/v1/recommendations?k=abc".into(), &[400]),
        (Method::GET, "/v1/recommendations?k=99999999999999999999".into(), &[400]),
        (Method::GET, "/v1/recommendations?misspelt=1".into(), &[400]),
        (Method::GET, "/v1/recommendations?user_id=".into(), &[400]),
        (Method::GET, format!("/v1/recommendations?user_id={long_id}"), &[400]),
        (Method::GET, "/v1/recommendations?session_id=a%00b".into(), &[400]),
        (Method::GET, "/v1/recommendations?diversity=NaN".into(), &[400]),
        (Method::GET, "/v1/items/no-such-item".into(), &[404]),
        (Method::GET, "/v1/items/no-such-item/similar".into(), &[404]),
        (Method::GET, format!("/v1/items/{long_id}"), &[400, 404]),
        (Method::DELETE, "/v1/items/no-such-item".into(), &[404]),
        (Method::GET, "/v1/items?limit=0".into(), &[400]),
        (Method::GET, "/v1/profile".into(), &[400]),
        (Method::GET, "/v1/search?q=x&k=0".into(), &[400]),
        (Method::GET, "/v1/search".into(), &[400]),
        (Method::GET, "/v1/no-such-route".into(), &[404]),
        (Method::DELETE, "/v1/recommendations".into(), &[404, 405]),
        (Method::GET, "/v1/events".into(), &[404, 405]),
    ];
    for (method, path, statuses) in wrong {
        let shown: String = path.chars().take(60).collect();
        let reply = client.send(method.clone(), &path, None)?;
        reply.problem(statuses).with_context(|| format!("{method} {shown}"))?;
    }
    bad_bodies(client)?;
    lives_on(client)?;
    Outcome::passed()
}

fn bad_bodies(client: &Client) -> Result<()> {
    let post = |path: &str, content_type: &str, body: Vec<u8>| {
        client.send(Method::POST, path, Some((content_type, body)))
    };
    let events = |n: usize| {
        let event = json!({"type": "view", "session_id": "input", "item_id": "x"});
        serde_json::to_vec(&json!({ "events": vec![event; n] }))
    };
    let json_type = "application/json";
    for body in
        ["", "{", "[]", "null", "{\"events\":5}", "{\"evnets\":[]}", "\u{0}\u{1}", "{\"events\":[{}]}x"]
    {
        let reply = post("/v1/events", json_type, body.into())?;
        reply.problem(&[400]).with_context(|| format!("events {body:?}"))?;
    }
    let deep = format!("{{\"events\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let reply = post("/v1/events", json_type, deep.into())?;
    let nothing_came_of_it =
        reply.problem(&[400]).is_ok() || reply.json_of(202).is_ok_and(|report| report["accepted"] == 0);
    expect::that("100,000 brackets", nothing_came_of_it, "a problem or a rejection", reply.status)?;
    let oversized = vec![b' '; MAX_BODY_BYTES + 1];
    post("/v1/events", json_type, oversized)?.problem(&[413]).context("a body past the limit")?;
    post("/v1/events", json_type, events(MAX_EVENTS + 1)?)?
        .problem(&[400, 413])
        .context("one event too many")?;
    post("/v1/events", "image/png", events(1)?)?.problem(&[400, 415]).context("events as a picture")?;

    for body in ["{", "{\"k\":0}", "{\"k\":1.5}", "{\"user\":\"x\"}", "{\"items\":[\"\"]}"] {
        let reply = post("/v1/recommendations", json_type, body.into())?;
        reply.problem(&[400]).with_context(|| format!("recommendations {body:?}"))?;
    }
    for body in
        [json!({}), json!({"title": ""}), json!({"title": "x", "price": -1}), json!({"colour": "red"})]
    {
        let reply = client.send_json(Method::PUT, "/v1/items/e2e-bad-item", &body)?;
        reply.problem(&[400]).with_context(|| format!("item {body}"))?;
    }
    client.send(Method::GET, "/v1/items/e2e-bad-item", None)?.problem(&[404]).context("a refused item")?;
    Ok(())
}

pub(in crate::e2e) fn a_bad_event_is_rejected_alone(shop: &mut Shop) -> Result<Outcome> {
    let catalogue = shop.catalogue()?;
    let item = (*catalogue.ids().first().context("the catalogue is empty")?).to_owned();
    let client = shop.client()?;
    let with = |changes: Value| {
        let mut event = json!({"type": "click", "session_id": "e2e-rejections", "item_id": item});
        for (name, value) in changes.as_object().into_iter().flatten() {
            event[name] = value.clone();
        }
        event.as_object_mut().into_iter().for_each(|event| event.retain(|_, v| !v.is_null()));
        event
    };
    // Each bad event, and a word its sentence must contain.
    let bad = [
        (with(json!({"session_id": null})), "session_id"),
        (with(json!({"item_id": null})), "item_id"),
        (with(json!({"item_id": "x".repeat(300)})), "300"),
        (with(json!({"session_id": "a\nb"})), "control"),
        (with(json!({"timestamp": "2999-01-01T00:00:00Z"})), "2999"),
        (with(json!({"timestamp": "yesterday"})), "yesterday"),
        (with(json!({"quantity": -1})), "quantity"),
        (with(json!({"type": "answer"})), "answer"),
        (with(json!({"position": 0})), "position"),
        (with(json!({"context": {"note": "x".repeat(20_000)}})), "context"),
    ];
    let mut events: Vec<_> = bad.iter().map(|(event, _)| event.clone()).collect();
    events.push(with(json!({})));
    let reply = client.send_json(Method::POST, "/v1/events", &json!({ "events": events }))?;
    let report = reply.json_of(202)?;
    expect::equal("accepted", report["accepted"].as_u64(), Some(1))?;
    let rejected = report["rejected"].as_array().context("a report without rejected")?;
    expect::equal("rejected", rejected.len(), bad.len())?;
    for ((place, (event, word)), rejection) in bad.iter().enumerate().zip(rejected) {
        expect::equal("index", rejection["index"].as_u64(), Some(place as u64))?;
        let detail = rejection["detail"].as_str().unwrap_or_default();
        let what = format!("sentence about {event:.200}");
        expect::that(&what, detail.contains(word), &format!("something about {word}"), detail)?;
    }
    lives_on(client)?;
    Outcome::passed()
}

pub(in crate::e2e) fn bytes_that_are_not_http_harm_nobody(shop: &mut Shop) -> Result<Outcome> {
    let server = shop.server()?;
    let address = server.url.trim_start_matches("http://").to_owned();
    let long_header = format!("GET / HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "y".repeat(1 << 20));
    let sent: [&[u8]; 6] = [
        b"",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n{\"events\":[",
        b"POST /v1/events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n",
        long_header.as_bytes(),
    ];
    for bytes in sent {
        let mut stream = TcpStream::connect(&address)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        // The server may hang up while it is still being written to, and then there is nothing to read.
        let _ = stream.write_all(bytes).and_then(|()| stream.shutdown(Shutdown::Write));
        let _ = stream.read_to_end(&mut Vec::new());
    }
    expect::that("the server", server.is_alive()?, "to run", server.output())?;
    lives_on(&server.client)?;
    Outcome::passed()
}

/// The server still does its work.
pub(super) fn lives_on(client: &Client) -> Result<()> {
    client.get("/healthz")?;
    client.get("/readyz")?;
    let answer = client.get("/v1/recommendations?k=3")?;
    expect::equal("items afterwards", super::answers::checked_slate(&answer)?.len(), 3)
}
