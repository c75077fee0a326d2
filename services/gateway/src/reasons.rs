//! Why an item is in the list, for showing to the person. Only what the sources said: a reason is never made up.

use std::{collections::HashMap, sync::Arc};

use waggle_contracts::{
    Retrieval,
    api::{Reason, RecommendedItem},
};
use waggle_features::PersonState;
use waggle_model::{AnsweredItem, CandidateSource, ItemId, SourceScore};

/// The reason of one place of a slate.
///
/// Pinned items say so. An item of the person's own purchases is "buy again". Else the source that placed it highest
/// speaks; a tie goes to the source that can name another item.
pub fn reason_of(
    place: &AnsweredItem,
    person: &PersonState,
    pinned: &[ItemId],
    category: Option<&str>,
) -> Reason {
    if pinned.contains(&place.item_id) {
        return Reason::Pinned;
    }
    let bought = person.item(place.item_id.key()).filter(|entry| entry.n_purchases > 0);
    if let Some(entry) = bought.filter(|_| place.sources.iter().any(|s| s.source == CandidateSource::Repeat))
    {
        return Reason::BuyAgain { times: u32::from(entry.n_purchases), last: entry.last_purchase };
    }
    let Some(strongest) = place.sources.iter().min_by_key(|s| (s.rank, s.because.is_none())) else {
        return Reason::Popular;
    };
    of_source(strongest, category)
}

fn of_source(opinion: &SourceScore, category: Option<&str>) -> Reason {
    match (opinion.source, &opinion.because) {
        (CandidateSource::New, _) => Reason::New,
        (CandidateSource::Trending, _) if category.is_some() => {
            Reason::PopularHere { category: category.map(ToOwned::to_owned) }
        }
        (CandidateSource::Trending, _) => Reason::Trending,
        (CandidateSource::Segment, _) => Reason::PopularHere { category: category.map(ToOwned::to_owned) },
        (CandidateSource::Static, _) => Reason::Popular,
        (_, Some(item_id)) => Reason::BecauseOf { item_id: item_id.clone(), title: None },
        (_, None) => Reason::YourTaste,
    }
}

/// Fills in the titles of the items that reasons name. A catalogue that cannot answer costs the titles, not the list.
pub async fn add_titles(retrieval: &Arc<dyn Retrieval>, items: &mut [RecommendedItem]) {
    let mut wanted: Vec<ItemId> = items
        .iter()
        .filter_map(|item| match &item.reason {
            Reason::BecauseOf { item_id, .. } => Some(item_id.clone()),
            _ => None,
        })
        .collect();
    wanted.sort();
    wanted.dedup();
    if wanted.is_empty() {
        return;
    }
    let Ok(found) = retrieval.items(&wanted).await else { return };
    let titles: HashMap<ItemId, String> =
        wanted.into_iter().zip(found).filter_map(|(id, item)| Some((id, item?.title.clone()))).collect();
    for item in items {
        if let Reason::BecauseOf { item_id, title } = &mut item.reason {
            *title = titles.get(item_id).cloned();
        }
    }
}
