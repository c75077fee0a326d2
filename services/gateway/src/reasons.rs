//! Why an item is in the list, for showing to the person. Only what the sources said: a reason is never made up.

use std::sync::Arc;

use waggle_contracts::api::Reason;
use waggle_features::PersonState;
use waggle_model::{AnsweredItem, CandidateSource, Item, KeyMap, SourceScore};

use crate::recommend::Wanted;

/// The reason of one place of a slate.
///
/// Pinned items say so. An item of the person's own purchases is "buy again". Else the source that placed it highest
/// speaks; a tie goes to the source that can name another item.
///
/// - `items`: catalogue entries, for the titles of items that led here
pub fn reason_of(
    place: &AnsweredItem,
    person: &PersonState,
    wanted: &Wanted<'_>,
    items: &KeyMap<Arc<Item>>,
) -> Reason {
    if wanted.pin.contains(&place.item_id) {
        return Reason::Pinned;
    }
    let is_repeat = place.sources.iter().any(|s| s.source == CandidateSource::Repeat);
    let bought = person.item(place.item_id.key()).filter(|entry| entry.n_purchases > 0);
    if let Some(entry) = bought.filter(|_| is_repeat) {
        return Reason::BuyAgain { times: u32::from(entry.n_purchases), last: entry.last_purchase };
    }
    let Some(strongest) = place.sources.iter().min_by_key(|s| (s.rank, s.because.is_none())) else {
        return Reason::Popular;
    };
    of_source(strongest, wanted.request.category.as_deref(), items)
}

fn of_source(opinion: &SourceScore, category: Option<&str>, items: &KeyMap<Arc<Item>>) -> Reason {
    match (opinion.source, &opinion.because) {
        (CandidateSource::New, _) => Reason::New,
        (CandidateSource::Trending, _) if category.is_some() => {
            Reason::PopularHere { category: category.map(ToOwned::to_owned) }
        }
        (CandidateSource::Trending, _) => Reason::Trending,
        (CandidateSource::Segment, _) => Reason::PopularAlike,
        (CandidateSource::Static, _) => Reason::Popular,
        (_, Some(item_id)) => Reason::BecauseOf {
            item_id: item_id.clone(),
            title: items.get(&item_id.key()).map(|item| item.title.clone()),
        },
        (_, None) => Reason::YourTaste,
    }
}
