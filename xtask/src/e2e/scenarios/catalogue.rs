//! The other lists, and the catalogue behind them.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use reqwest::Method;
use serde_json::{Value, json};

use super::answers::checked_slate;
use crate::{
    e2e::{
        expect,
        http::{Client, encoded},
        shop::Shop,
    },
    steps::Outcome,
};

/// The promise: hidden or out of stock counts within this time.
const EFFECT: Duration = Duration::from_secs(1);

pub(in crate::e2e) fn every_list_answers(shop: &mut Shop) -> Result<Outcome> {
    let user = shop.known_user()?;
    let catalogue = shop.catalogue()?;
    let client = shop.client()?;

    let trending = client.get("/v1/trending?k=20")?;
    let popular = checked_slate(&trending)?;
    expect::that("trending", !popular.is_empty(), "some items", &trending)?;
    let first = &popular[0];
    let similar = client.get(&format!("/v1/items/{}/similar?k=10", encoded(first)))?;
    let neighbours = checked_slate(&similar)?;
    expect::that("similar items", !neighbours.is_empty(), "some items", &similar)?;
    expect::that("similar items", !neighbours.contains(first), "others than the item itself", &neighbours)?;

    let item = client.get(&format!("/v1/items/{}", encoded(first)))?;
    expect::equal("item", item["item_id"].as_str(), Some(first.as_str()))?;
    let title = item["title"].as_str().context("an item without title")?;
    let found = search(client, title)?;
    expect::that(
        &format!("search for {title:?}"),
        found.contains(first),
        "the item among the found",
        &found,
    )?;
    expect::equal("search for nonsense", search(client, "qqzzxxyyvv")?.len(), 0)?;
    for odd in ["\"", "AND OR NOT", "title:[* TO *]", "(((", "🐝", "  ", "\\", "^~*?:"] {
        // Whatever people type is text, never a syntax error.
        search(client, odd).with_context(|| format!("search for {odd:?}"))?;
    }

    let categories = client.get("/v1/categories")?;
    let counts: Vec<u64> = categories["categories"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|c| c["n_items"].as_u64())
        .collect();
    expect::that("categories", counts.len() > 1, "more than one", &counts)?;
    expect::that("categories", counts.is_sorted_by(|a, b| a >= b), "largest first", &counts)?;
    let (category, _) = catalogue.by_category.iter().next().context("the catalogue is empty")?;
    let page = client.get(&format!("/v1/items?limit=5&category={}", encoded(category)))?;
    for item in page["items"].as_array().into_iter().flatten() {
        expect::equal("category on the page of one", item["category"].as_str(), Some(category.as_str()))?;
    }

    let profile = client.get(&format!("/v1/profile?user_id={}", encoded(&user)))?;
    expect::that(
        "events of a known person",
        profile["n_events"].as_u64() > Some(0),
        "some",
        &profile["n_events"],
    )?;
    let recent = profile["recent"].as_array().map_or(0, Vec::len);
    expect::that("recent events", (1..=20).contains(&recent), "1 to 20", recent)?;
    let shares: f64 =
        profile["categories"].as_array().into_iter().flatten().filter_map(|c| c["share"].as_f64()).sum();
    expect::that(
        "shares of the categories",
        shares > 0.0 && shares < 1.000_001,
        "above 0, at most 1",
        shares,
    )?;
    Outcome::passed()
}

pub(in crate::e2e) fn a_hidden_item_is_gone_within_a_second(shop: &mut Shop) -> Result<Outcome> {
    let user = shop.known_user()?;
    let client = shop.client()?;
    let path = format!("/v1/recommendations?user_id={}&k=10", encoded(&user));
    let item = checked_slate(&client.get(&path)?)?.into_iter().next().context("an empty slate")?;
    let item_path = format!("/v1/items/{}", encoded(&item));
    let title = client.get(&item_path)?["title"].as_str().context("an item without title")?.to_owned();
    let is_shown = || -> Result<(bool, bool)> {
        Ok((checked_slate(&client.get(&path)?)?.contains(&item), search(client, &title)?.contains(&item)))
    };
    expect::equal("recommended and found at first", is_shown()?, (true, true))?;

    let mut took = Vec::new();
    for change in [
        json!({"hidden": true}),
        json!({"hidden": false}),
        json!({"in_stock": false}),
        json!({"in_stock": true}),
    ] {
        let wanted = change["hidden"] == false || change["in_stock"] == true;
        let acknowledged = client.send_json(Method::PATCH, &item_path, &change)?;
        acknowledged.json_of(200).with_context(|| format!("PATCH {change}"))?;
        took.push(wait_for(&change, (wanted, wanted), acknowledged.at, &is_shown)?);
    }
    let slowest = took.iter().max().copied().unwrap_or_default();
    shop.figure("acknowledged change of an item to its effect, slowest of 4", format!("{slowest:.0?}"));
    Outcome::passed()
}

/// Waits until the item is shown as wanted, at most [`EFFECT`] after the acknowledgement.
fn wait_for(
    change: &Value,
    wanted: (bool, bool),
    since: Instant,
    is_shown: &impl Fn() -> Result<(bool, bool)>,
) -> Result<Duration> {
    loop {
        let got = is_shown()?;
        if got == wanted {
            return Ok(since.elapsed());
        }
        if since.elapsed() > EFFECT {
            bail!("{EFFECT:?} after {change}: expected (recommended, found) {wanted:?}, got {got:?}");
        }
    }
}

fn search(client: &Client, query: &str) -> Result<Vec<String>> {
    let answer = client.get(&format!("/v1/search?k=50&q={}", encoded(query)))?;
    let items = answer["items"].as_array().context("a search without items")?;
    items
        .iter()
        .map(|found| Ok(found["item"]["item_id"].as_str().context("a found item without id")?.to_owned()))
        .collect()
}
