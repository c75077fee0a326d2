//! The last rung: what was wanted when all was well. It needs the gateway's own database at most.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use metrics::counter;
use tracing::warn;
use waggle_contracts::{RoleError, features::PersonView};
use waggle_model::{AnsweredItem, Item, ItemId, Rung, SeenRule, Timestamp};

use super::{
    Wanted,
    compose::{Composed, static_source},
};
use crate::app::App;

/// Most items kept for the last rung.
const MAX_LAST_GOOD: usize = 200;
/// Time that the database has to say how the items stand now.
const PATIENCE: Duration = Duration::from_millis(50);

/// Answers from the last rung, counted.
pub(super) async fn step_down(
    app: &App,
    wanted: &Wanted<'_>,
    view: &PersonView,
    why: &'static str,
    error: &RoleError,
) -> Composed {
    counter!("waggle_gateway_degraded_total", "role" => "compose", "why" => why).increment(1);
    warn!(error = %error, "an answer fell to the last rung");
    let mut composed = Composed::empty(Rung::Static);
    fill(app, wanted, view, &mut composed).await;
    composed
}

/// Keeps what is trending for the day when nobody can say. Only lists that are the same for everybody and that nobody
/// narrowed down are worth keeping.
pub(super) fn remember(app: &App, wanted: &Wanted<'_>, composed: &Composed) {
    let is_plain = wanted.request.category.is_none()
        && wanted.exclude.is_empty()
        && wanted.pin.is_empty()
        && wanted.rules.boost.is_empty()
        && wanted.may_be_filled();
    if composed.slate.is_empty() || !is_plain {
        return;
    }
    let Ok(mut last_good) = app.last_good.try_write() else { return };
    let mut list: Vec<Arc<Item>> =
        composed.slate.iter().filter_map(|place| composed.items.get(&place.item_id.key()).cloned()).collect();
    let is_listed = |old: &Arc<Item>| composed.slate.iter().any(|place| place.item_id == old.item_id);
    list.extend(last_good.iter().filter(|old| !is_listed(old)).cloned());
    list.truncate(MAX_LAST_GOOD);
    *last_good = list;
}

/// Fills a short slate: an empty one with what the placement names for this case, then with the list of the last rung.
pub(super) async fn fill(app: &App, wanted: &Wanted<'_>, view: &PersonView, composed: &mut Composed) {
    if composed.slate.len() >= wanted.k {
        return;
    }
    let now = Timestamp::now();
    let is_wanted = |item: &Item| {
        let entry = view.state.item(item.item_id.key());
        let is_left_out = match wanted.seen {
            SeenRule::Keep => entry.is_some_and(|entry| entry.is_rejected),
            SeenRule::ExcludeBought => entry.is_some_and(|entry| entry.is_rejected || entry.n_purchases > 0),
            SeenRule::ExcludeTouched => entry.is_some(),
        };
        item.is_available(now) && wanted.allows(item) && !is_left_out
    };
    let mut list = Vec::new();
    // The shop has named these itself, whatever the placement's rules say; what a client asks for may be something else.
    if composed.slate.is_empty() && wanted.request.filter.is_none() {
        list = items_of(app, &wanted.placement.fallback).await;
    }
    if wanted.may_be_filled() {
        let mut known = remembered(app);
        known.retain(|item| is_wanted(item));
        list.extend(if known.is_empty() {
            first_items(app, wanted.request.category.as_deref()).await
        } else {
            as_they_are_now(app, known).await
        });
    }
    for item in list.into_iter().filter(|item| is_wanted(item)) {
        if composed.slate.len() >= wanted.k {
            break;
        }
        if composed.slate.iter().any(|place| place.item_id == item.item_id) {
            continue;
        }
        let position = u32::try_from(composed.slate.len() + 1).unwrap_or(u32::MAX);
        composed.slate.push(AnsweredItem {
            item_id: item.item_id.clone(),
            position,
            // Below whatever was ranked, in the order of the list.
            score: composed.slate.last().map_or(0.0, |last| last.score - 1.0),
            propensity: 1.0,
            sources: vec![static_source(position)],
            rules: Vec::new(),
            features: Vec::new(),
        });
        composed.items.insert(item.item_id.key(), item);
    }
}

fn remembered(app: &App) -> Vec<Arc<Item>> {
    app.last_good.read().unwrap_or_else(PoisonError::into_inner).clone()
}

/// The items as the catalogue has them now: what was hidden since must not come back by this door. If the database
/// cannot say, they are taken as they were.
async fn as_they_are_now(app: &App, items: Vec<Arc<Item>>) -> Vec<Arc<Item>> {
    let ids: Vec<ItemId> = items.iter().map(|item| item.item_id.clone()).collect();
    match tokio::time::timeout(PATIENCE, app.database.items(&ids)).await {
        Ok(Ok(now)) => now.into_iter().flatten().map(Arc::new).collect(),
        _ => items,
    }
}

/// The items that the placement names for this case.
async fn items_of(app: &App, ids: &[ItemId]) -> Vec<Arc<Item>> {
    if ids.is_empty() {
        return Vec::new();
    }
    match tokio::time::timeout(PATIENCE, app.database.items(ids)).await {
        Ok(Ok(items)) => items.into_iter().flatten().map(Arc::new).collect(),
        _ => Vec::new(),
    }
}

/// Nothing was trending yet: the first items of the catalogue.
async fn first_items(app: &App, category: Option<&str>) -> Vec<Arc<Item>> {
    match tokio::time::timeout(PATIENCE, app.database.list_items(category, None, MAX_LAST_GOOD)).await {
        Ok(Ok(items)) => items.into_iter().map(Arc::new).collect(),
        _ => Vec::new(),
    }
}
