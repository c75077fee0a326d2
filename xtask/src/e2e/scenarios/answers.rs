//! Recommendations: for a known person, for a stranger, and after somebody did something.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rand::{Rng, seq::SliceRandom};
use serde_json::{Value, json};

use crate::{
    e2e::{
        expect::{self, percentile},
        http::{Client, encoded},
        shop::Shop,
    },
    steps::Outcome,
};

/// The promise of the embedded shop: an acknowledged event shows in the same person's next answer, p99.
const FRESHNESS_P99_MS: f64 = 100.0;
/// Fresh visitors the promise is measured with.
const N_VISITORS: usize = 100;
/// When waiting for a change is given up.
const PATIENCE: Duration = Duration::from_secs(5);

pub(in crate::e2e) fn a_known_person_gets_ten_items_chosen_for_them(shop: &mut Shop) -> Result<Outcome> {
    let user = shop.known_user()?;
    let client = shop.client()?;
    let path = format!("/v1/recommendations?user_id={}&k=10", encoded(&user));
    let first = client.get(&path)?;
    let slate = checked_slate(&first)?;
    expect::equal("items", slate.len(), 10)?;
    expect::equal("rung", first["rung"].as_str(), Some("personal"))?;
    let snapshot = first["snapshot"].as_str().unwrap_or_default();
    expect::that("snapshot", !snapshot.is_empty(), "a version", &first["snapshot"])?;
    expect::that("watermark", offset(&first).is_some(), "an offset", &first["watermark"])?;
    expect::equal("placement", first["placement"].as_str(), Some("home"))?;

    let mut ids: Vec<_> = (0..20).map(|_| answer_id(&client.get(&path)?)).collect::<Result<_>>()?;
    ids.push(answer_id(&first)?);
    ids.sort_unstable();
    ids.dedup();
    expect::equal("different answer ids of 21 answers", ids.len(), 21)?;

    // The longest list may run out of candidates in a small catalogue, a usual one may not.
    for (k, at_least) in [(1, 1), (50, 50), (200, 100)] {
        let answer = client.get(&format!("/v1/recommendations?user_id={}&k={k}", encoded(&user)))?;
        let got = checked_slate(&answer)?.len();
        let expected = format!("{at_least} to {k}");
        expect::that(&format!("items for k={k}"), (at_least..=k).contains(&got), &expected, got)?;
    }
    Outcome::passed()
}

pub(in crate::e2e) fn what_a_person_does_changes_their_next_answer(shop: &mut Shop) -> Result<Outcome> {
    let user = shop.known_user()?;
    let catalogue = shop.catalogue()?;
    let client = shop.client()?;
    let path = format!("/v1/recommendations?user_id={}&k=10&include_items=true", encoded(&user));
    let before = client.get(&path)?;
    let shown = checked_slate(&before)?;
    let categories: Vec<_> = before["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|i| i["item"]["category"].as_str())
        .collect();
    let other = catalogue
        .by_category
        .iter()
        .filter(|(category, _)| !categories.contains(&category.as_str()))
        .chain(&catalogue.by_category)
        .find_map(|(_, items)| items.iter().find(|(id, _)| !shown.contains(id)))
        .context("the catalogue holds nothing but the slate")?;
    let event = |kind: &str| json!({"type": kind, "user_id": user, "item_id": other.0});
    client.post_events(&[event("click")])?;
    client.post_events(&[event("cart")])?;

    let after = wait_until(client, &path, |answer| offset(answer) > offset(&before).map(|o| o + 1))?;
    let places = |answer: &Value| -> Vec<(String, String)> {
        let items = answer["items"].as_array().into_iter().flatten();
        items.map(|i| (i["item_id"].to_string(), i["score"].to_string())).collect()
    };
    expect::that(
        "the answer after a click and a cart",
        places(&after.0) != places(&before),
        "another slate or other scores",
        places(&after.0),
    )?;
    checked_slate(&after.0)?;
    let profile = client.get(&format!("/v1/profile?user_id={}", encoded(&user)))?;
    expect::equal("newest event", profile["recent"][0]["kind"].as_str(), Some("cart"))?;
    expect::equal("its item", profile["recent"][0]["item_id"].as_str(), Some(other.0.as_str()))?;
    Outcome::passed()
}

pub(in crate::e2e) fn a_first_click_shows_in_the_answer_within_100_ms(shop: &mut Shop) -> Result<Outcome> {
    let catalogue = shop.catalogue()?;
    let ids = catalogue.ids();
    let client = shop.client()?;
    let mut rng = rand::thread_rng();
    let run: u64 = rng.r#gen();
    let mut took_ms = Vec::with_capacity(N_VISITORS);
    for visitor in 0..N_VISITORS {
        let session = format!("fresh-{run:x}-{visitor}");
        let path = format!("/v1/recommendations?session_id={session}&k=10");
        let before = client.get(&path)?;
        expect::that("rung before", before["rung"] != "personal", "not personal", &before["rung"])?;
        let item = ids.choose(&mut rng).context("the catalogue is empty")?;
        let acknowledged =
            client.post_events(&[json!({"type": "click", "session_id": session, "item_id": item})])?.at;
        let (after, at) = wait_until(client, &path, |answer| answer["rung"] == "personal")
            .with_context(|| format!("visitor {visitor} clicked {item:?}"))?;
        took_ms.push(at.duration_since(acknowledged).as_secs_f64() * 1e3);
        expect::that(
            "the answer after the first click",
            checked_slate(&after)? != checked_slate(&before)?,
            "another slate",
            &after["items"],
        )?;
        // A watermark is what the answer has seen at least, so it may come an answer later than the click.
        wait_until(client, &path, |answer| offset(answer) > offset(&before))
            .with_context(|| format!("the watermark after visitor {visitor}'s click"))?;
    }
    took_ms.sort_by(f64::total_cmp);
    let (p50, p99) = (percentile(&took_ms, 0.5), percentile(&took_ms, 0.99));
    let max = percentile(&took_ms, 1.0);
    shop.figure(
        "acknowledged event to changed answer",
        format!("p50 {p50:.1} ms, p99 {p99:.1} ms, max {max:.1} ms over {N_VISITORS} visitors"),
    );
    expect::that(
        "p99 from acknowledgement to changed answer",
        p99 <= FRESHNESS_P99_MS,
        &format!("at most {FRESHNESS_P99_MS} ms"),
        p99,
    )?;
    Outcome::passed()
}

pub(in crate::e2e) fn a_strangers_page_is_not_empty(shop: &mut Shop) -> Result<Outcome> {
    const RUNGS: [&str; 3] = ["trending", "segment", "static"];
    let client = shop.client()?;
    for who in ["user_id=nobody-has-this-name", "session_id=never-seen", ""] {
        for placement in ["home", "cart", "a-page-of-our-own"] {
            let answer = client.get(&format!("/v1/recommendations?{who}&placement={placement}"))?;
            let what = format!("{who} on {placement}");
            expect::equal(&format!("items for {what}"), checked_slate(&answer)?.len(), 10)?;
            let rung = answer["rung"].as_str().unwrap_or_default();
            expect::that(
                &format!("rung for {what}"),
                RUNGS.contains(&rung),
                "trending, segment or static",
                rung,
            )?;
        }
    }
    Outcome::passed()
}

/// The items of an answer in order, after checking what holds for every answer.
pub(super) fn checked_slate(answer: &Value) -> Result<Vec<String>> {
    let items = answer["items"].as_array().context("an answer without items")?;
    let mut ids = Vec::with_capacity(items.len());
    let mut score = f64::INFINITY;
    for (place, item) in (1_u64..).zip(items) {
        expect::equal("rank", item["rank"].as_u64(), Some(place))?;
        let id = item["item_id"].as_str().context("an item without id")?.to_owned();
        let is_pinned = item["reason"]["kind"] == "pinned";
        let own = item["score"].as_f64().context("an item without score")?;
        if !is_pinned {
            expect::that(&format!("score at rank {place}"), own <= score, &format!("at most {score}"), own)?;
            score = own;
        }
        expect::that("reason", item["reason"]["kind"].is_string(), "a kind", &item["reason"])?;
        expect::that("item", !ids.contains(&id), "each item once", &id)?;
        ids.push(id);
    }
    Ok(ids)
}

/// Asks as often as it can until the answer is as wanted; gives it and when it had arrived.
fn wait_until(client: &Client, path: &str, wanted: impl Fn(&Value) -> bool) -> Result<(Value, Instant)> {
    let started = Instant::now();
    loop {
        let answer = client.get(path)?;
        let at = Instant::now();
        if wanted(&answer) {
            return Ok((answer, at));
        }
        if started.elapsed() > PATIENCE {
            bail!("the answer had not changed after {PATIENCE:?}: {answer}");
        }
    }
}

fn offset(answer: &Value) -> Option<u64> {
    answer["watermark"]["offset"].as_u64()
}

fn answer_id(answer: &Value) -> Result<String> {
    Ok(answer["answer_id"].as_str().context("an answer without id")?.to_owned())
}
