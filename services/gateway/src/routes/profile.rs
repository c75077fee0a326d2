//! `/v1/profile`: what the system knows of a person now.

use std::{collections::HashMap, sync::Arc};

use actix_web::web::{Data, Json, Query};
use serde::Deserialize;
use utoipa::IntoParams;
use waggle_contracts::api::{CategoryShare, Profile, ProfileEvent};
use waggle_features::{PersonState, RecentKind};
use waggle_http::{
    ApiError,
    problem::responses::{Broken, Invalid},
};
use waggle_model::{Item, ItemKey, Rung, SessionId, UserId};

use crate::{
    App,
    error::{invalid, of_role},
    recommend::checked_person,
};

/// Most events shown.
const MAX_EVENTS: usize = 20;
/// Most categories shown.
const MAX_CATEGORIES: usize = 8;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ProfileQuery {
    /// A user; this or `session_id`, or both.
    #[param(value_type = Option<UserId>)]
    user_id: Option<String>,
    /// An anonymous visit.
    #[param(value_type = Option<SessionId>)]
    session_id: Option<String>,
}

/// What the system knows of a person now.
///
/// Whoever did nothing yet has an empty profile.
#[utoipa::path(
    get, path = "/v1/profile", tag = "people", operation_id = "profile",
    params(ProfileQuery),
    responses((status = 200, description = "The profile.", body = Profile), Invalid, Broken),
)]
pub(super) async fn get(app: Data<App>, query: Query<ProfileQuery>) -> Result<Json<Profile>, ApiError> {
    let ProfileQuery { user_id, session_id } = query.into_inner();
    let person = checked_person(user_id.clone(), session_id.clone()).map_err(invalid)?;
    if person.is_nobody() {
        return Err(invalid("neither user_id nor session_id is given"));
    }
    let view = app.ask("features", app.features.person(&person)).await.map_err(of_role)?;
    let state = view.state;
    let items = known_items(&app, &state).await?;
    let is_known = state.n_events > 0;
    Ok(Json(Profile {
        user_id,
        session_id,
        watermark: view.watermark,
        n_events: state.n_events,
        n_orders: state.n_orders,
        first_seen: is_known.then_some(state.first_seen),
        last_seen: is_known.then_some(state.last_seen),
        typical_price: state.typical_price(),
        recent: recent_events(&state, &items, MAX_EVENTS),
        categories: category_shares(&state, &items),
        n_distinct_items: state.items.len(),
        rung: if is_known { Rung::Personal } else { Rung::Trending },
        snapshot: app.retrieval.current_snapshot(),
    }))
}

pub(super) async fn known_items(
    app: &App,
    state: &PersonState,
) -> Result<HashMap<ItemKey, Arc<Item>>, ApiError> {
    let history = state.items.iter().map(|entry| entry.item);
    let recent = state.recent.iter().map(|event| event.item);
    let keys: Vec<ItemKey> = history.chain(recent).chain(state.shown.items()).collect();
    let items = app.ask("retrieval", app.retrieval.items_by_key(&keys)).await.map_err(of_role)?;
    Ok(keys.into_iter().zip(items).filter_map(|(key, item)| Some((key, item?))).collect())
}

/// The newest first.
pub(super) fn recent_events(
    state: &PersonState,
    items: &HashMap<ItemKey, Arc<Item>>,
    max: usize,
) -> Vec<ProfileEvent> {
    let newest_first = state.recent.iter().rev().take(max);
    newest_first
        .map(|event| {
            let item = items.get(&event.item);
            ProfileEvent {
                kind: kind_name(event.kind).to_owned(),
                time: event.time,
                item_id: item.map(|item| item.item_id.clone()),
                title: item.map(|item| item.title.clone()),
            }
        })
        .collect()
}

fn category_shares(state: &PersonState, items: &HashMap<ItemKey, Arc<Item>>) -> Vec<CategoryShare> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    let categories = state.items.iter().filter_map(|entry| items.get(&entry.item)?.category.as_deref());
    for category in categories {
        *counts.entry(category).or_default() += 1;
    }
    let total = counts.values().sum::<usize>().max(1) as f64;
    let mut shares: Vec<CategoryShare> = counts
        .into_iter()
        .map(|(category, n)| CategoryShare { category: category.to_owned(), share: n as f64 / total })
        .collect();
    shares.sort_by(|a, b| b.share.total_cmp(&a.share).then_with(|| a.category.cmp(&b.category)));
    shares.truncate(MAX_CATEGORIES);
    shares
}

fn kind_name(kind: RecentKind) -> &'static str {
    match kind {
        RecentKind::View => "view",
        RecentKind::Click => "click",
        RecentKind::Cart => "cart",
        RecentKind::Purchase => "purchase",
        RecentKind::Rating => "rating",
        RecentKind::Like => "like",
        RecentKind::Dislike => "dislike",
        RecentKind::Dismiss => "dismiss",
        RecentKind::PurchaseCancelled => "purchase_cancelled",
        RecentKind::Custom | RecentKind::CustomNegative => "custom",
    }
}
