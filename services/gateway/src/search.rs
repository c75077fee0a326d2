//! One search from start to end: matches from retrieval, and on request the person's order from the ranker.
//!
//! Personal order concerns the best [`PERSONAL_WINDOW`] matches by text; what comes behind stays where it is. Within the
//! window an item's score is `t·(1 + p)`: `t` is its text score as a share of the best one's, `p` its place in the ranker's
//! order of the window, 1 for the first and 0 for the last. So taste moves an item past others that fit up to twice as
//! well, and never further.

mod personal;
pub mod request;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use metrics::{counter, histogram};
use serde_json::{Map, Value};
use waggle_contracts::{
    RoleError,
    api::{FoundItem, NotPersonal, SearchAnswer, SearchOrder},
    retrieval::{SearchRequest, SearchResponse},
};
use waggle_model::{Item, SnapshotVersion, Timestamp};

use crate::{app::App, recommend::properties_of};
use personal::{Personal, personal};
pub use request::Checked;

/// Most matches that are put in personal order.
pub const PERSONAL_WINDOW: usize = 200;

/// An item of the page, with what it is ordered by.
type Scored = (Arc<Item>, f32);

/// Answers a search.
///
/// # Errors
/// [`RoleError::Invalid`] for a filter, facet or sort that does not fit the catalogue; otherwise retrieval's own failure.
pub async fn search(app: &App, request: &Checked) -> Result<SearchAnswer, RoleError> {
    let started = Instant::now();
    let deadline = started + app.config.deadline();
    let now = Timestamp::now();
    let is_personal = request.order == SearchOrder::Personal && request.offset < PERSONAL_WINDOW;
    let (offset, limit) = match is_personal {
        // The page is cut from the window, and what it has beyond is the continuation of the same list.
        true => (0, PERSONAL_WINDOW.max(request.offset + request.k)),
        false => (request.offset, request.k),
    };
    let asked = SearchRequest {
        query: request.query.clone(),
        completes: request.completes,
        category: request.category.clone(),
        filters: request.filter.iter().cloned().collect(),
        user: user_properties(app, request).await,
        facets: request.facets.clone(),
        sort: request.sort.clone(),
        limit,
        offset,
        now,
    };
    let mut found = app.ask("retrieval", app.retrieval.search(&asked)).await?;
    let mut order = Ordered::by(request.order);
    if request.order == SearchOrder::Personal {
        let window = &found.items[..found.items.len().min(if is_personal { PERSONAL_WINDOW } else { 0 })];
        match personal(app, &request.person, window, now, deadline).await {
            Ok(Personal { places, snapshot }) => {
                mix(&mut found, &places);
                order.snapshot = Some(snapshot);
            }
            Err(why) => order = Ordered { not_personal: Some(why), ..Ordered::by(SearchOrder::Relevance) },
        }
        if is_personal {
            found.items = found.items.drain(..).skip(request.offset).take(request.k).collect();
        }
    }
    let highlights = match request.highlight {
        true => {
            let items: Vec<Arc<Item>> = found.items.iter().map(|(item, _)| item.clone()).collect();
            app.ask("retrieval", app.retrieval.highlights(&found.terms, &items)).await?
        }
        false => vec![BTreeMap::new(); found.items.len()],
    };
    let first_rank = u32::try_from(request.offset).unwrap_or(u32::MAX - 1) + 1;
    let items = (first_rank..)
        .zip(found.items.into_iter().zip(highlights))
        .map(|(rank, ((item, score), highlights))| FoundItem {
            rank,
            score,
            highlights,
            item: Item::clone(&item),
        })
        .collect();
    let took = started.elapsed();
    observe(order.order, took);
    Ok(SearchAnswer {
        query: request.query.clone(),
        n_matches: found.n_matches,
        is_partial: found.is_partial,
        is_corrected: found.is_corrected,
        order: order.order,
        not_personal: order.not_personal,
        snapshot: order.snapshot,
        facets: found.facets,
        items,
        took_ms: took.as_secs_f64() * 1e3,
    })
}

/// What became of the order that was asked for.
struct Ordered {
    order: SearchOrder,
    not_personal: Option<NotPersonal>,
    snapshot: Option<SnapshotVersion>,
}

impl Ordered {
    fn by(order: SearchOrder) -> Self {
        Self { order, not_personal: None, snapshot: None }
    }
}

/// Joins text and taste; `places` are shares of the window, by the found items' places in it.
fn mix(found: &mut SearchResponse, places: &[f32]) {
    let best = found.best_score;
    for (at, (_, score)) in found.items.iter_mut().enumerate() {
        // Where nothing was looked for, everything fits alike.
        let text = if best > 0.0 { *score / best } else { 1.0 };
        *score = text * (1.0 + places.get(at).copied().unwrap_or(0.0));
    }
    // Stable: those alike stay in the order of their texts.
    let window = places.len().min(found.items.len());
    found.items[..window].sort_by(|(_, a): &Scored, (_, b): &Scored| b.total_cmp(a));
}

async fn user_properties(app: &App, request: &Checked) -> Arc<Map<String, Value>> {
    let uses_user = request.filter.as_ref().is_some_and(|filter| filter.contains("user"));
    match request.person.user_id.as_ref().filter(|_| uses_user) {
        Some(user_id) => properties_of(app, user_id).await,
        None => Arc::default(),
    }
}

fn observe(order: SearchOrder, took: Duration) {
    let order = match order {
        SearchOrder::Relevance => "relevance",
        SearchOrder::Personal => "personal",
        SearchOrder::Sort => "sort",
    };
    counter!("waggle_searches_total", "order" => order).increment(1);
    histogram!("waggle_search_duration_seconds", "order" => order).record(took.as_secs_f64());
}

#[cfg(test)]
mod tests;
