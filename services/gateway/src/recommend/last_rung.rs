//! The last rung: what was wanted when all was well. It needs the gateway's own database at most.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use metrics::counter;
use tracing::warn;
use waggle_contracts::{RoleError, features::PersonView};
use waggle_model::{AnsweredItem, CandidateSource, Item, ItemId, Rung, Timestamp};

use super::{
    Checked,
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
    request: &Checked,
    view: &PersonView,
    why: &'static str,
    error: &RoleError,
) -> Composed {
    counter!("waggle_gateway_degraded_total", "role" => "compose", "why" => why).increment(1);
    warn!(error = %error, "an answer fell to the last rung");
    let mut composed = Composed::empty(Rung::Static);
    fill(app, request, view, &mut composed).await;
    composed
}

/// Keeps what is trending for the day when nobody can say. Only lists that are the same for everybody and that nobody
/// narrowed down are worth keeping.
pub(super) fn remember(app: &App, request: &Checked, composed: &Composed) {
    let is_plain = request.category.is_none()
        && request.exclude.is_empty()
        && request.pin.is_empty()
        && may_be_filled(request);
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

/// Fills a short slate from the list of the last rung.
pub(super) async fn fill(app: &App, request: &Checked, view: &PersonView, composed: &mut Composed) {
    if composed.slate.len() >= request.k || !may_be_filled(request) {
        return;
    }
    let now = Timestamp::now();
    let is_wanted = |item: &Item| {
        let bought = view.state.item(item.item_id.key()).is_some_and(|entry| entry.n_purchases > 0);
        item.is_available(now)
            && request.category.as_ref().is_none_or(|c| item.category.as_ref() == Some(c))
            && !request.exclude.contains(&item.item_id)
            && !request.items.contains(&item.item_id)
            && !(request.exclude_known && bought)
    };
    let mut list = remembered(app);
    list.retain(|item| is_wanted(item));
    let list = if list.is_empty() {
        first_items(app, request.category.as_deref()).await
    } else {
        as_they_are_now(app, list).await
    };
    for item in list.into_iter().filter(|item| is_wanted(item)) {
        if composed.slate.len() >= request.k {
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
            features: Vec::new(),
        });
        composed.items.insert(item.item_id.key(), item);
    }
}

/// A list of new items holds new items only; every other may be filled with popular ones.
fn may_be_filled(request: &Checked) -> bool {
    request.sources.is_empty() || request.sources.contains(&CandidateSource::Trending)
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

/// Nothing was trending yet: the first items of the catalogue.
async fn first_items(app: &App, category: Option<&str>) -> Vec<Arc<Item>> {
    match tokio::time::timeout(PATIENCE, app.database.list_items(category, None, MAX_LAST_GOOD)).await {
        Ok(Ok(items)) => items.into_iter().map(Arc::new).collect(),
        _ => Vec::new(),
    }
}
