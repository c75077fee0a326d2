//! What the person is busy with right now: the items of the last hours and of the page they are on.

use waggle_model::{ItemKey, Timestamp};

use crate::{PersonState, RecentKind};

/// After this long an act counts half.
pub const HALF_LIFE_HOURS: f64 = 1.0;
/// Most items of a session.
pub const MAX_SESSION_ITEMS: usize = 16;
/// Acts weaker than this no longer belong to the session.
const MIN_WEIGHT: f32 = 0.02;

/// An item of the session.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SessionItem {
    pub item: ItemKey,
    /// 1 for an item put into the cart just now or shown on the page, less for lighter and for older acts.
    pub weight: f32,
    /// It lies in the basket: put there within the session and not bought since.
    pub is_in_basket: bool,
}

/// The session as of `now`, the strongest item first. `context` are the items of the page: the item of an item page or
/// the contents of a basket; they count as acts of this moment.
pub fn session_items(person: &PersonState, context: &[ItemKey], now: Timestamp) -> Vec<SessionItem> {
    let mut items: Vec<SessionItem> = Vec::new();
    for &item in context {
        if !items.iter().any(|known| known.item == item) {
            items.push(SessionItem { item, weight: 1.0, is_in_basket: false });
        }
    }
    for event in &person.recent {
        let age_hours = now.days_since(event.time).max(0.0) * 24.0;
        let weight = kind_weight(event.kind) * (-age_hours / HALF_LIFE_HOURS).exp2() as f32;
        let place = items.iter().position(|known| known.item == event.item);
        if weight < MIN_WEIGHT {
            // A verdict against an item ends its part in the session.
            if let (Some(place), true) = (place, event.kind.is_negative()) {
                items.remove(place);
            }
            continue;
        }
        let is_in_basket = event.kind == RecentKind::Cart;
        match place {
            None => items.push(SessionItem { item: event.item, weight, is_in_basket }),
            Some(place) => {
                let known = &mut items[place];
                known.weight = known.weight.max(weight);
                known.is_in_basket =
                    is_in_basket || (known.is_in_basket && event.kind != RecentKind::Purchase);
            }
        }
    }
    items.sort_by(|a, b| b.weight.total_cmp(&a.weight).then(a.item.cmp(&b.item)));
    items.truncate(MAX_SESSION_ITEMS);
    items
}

/// How much an act of this kind says about what the person is after.
fn kind_weight(kind: RecentKind) -> f32 {
    match kind {
        RecentKind::Cart | RecentKind::Like => 1.0,
        RecentKind::Click => 0.8,
        RecentKind::View | RecentKind::Rating => 0.6,
        // Bought is done; what goes with it may still be wanted.
        RecentKind::Purchase => 0.4,
        RecentKind::Custom => 0.3,
        RecentKind::Dislike
        | RecentKind::Dismiss
        | RecentKind::PurchaseCancelled
        | RecentKind::CustomNegative => 0.0,
    }
}

impl RecentKind {
    /// Whether it speaks for the item.
    pub fn is_positive(self) -> bool {
        !self.is_negative() && self != Self::Custom
    }

    /// Whether it speaks against the item.
    pub fn is_negative(self) -> bool {
        matches!(self, Self::Dislike | Self::Dismiss | Self::PurchaseCancelled | Self::CustomNegative)
    }
}

#[cfg(test)]
mod tests;
