//! Items and their changes.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{ItemId, Timestamp};

/// Longest title, in bytes.
pub const MAX_TITLE_BYTES: usize = 1_024;

/// An item as the catalogue knows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Item {
    pub item_id: ItemId,
    pub title: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brand: Option<String>,
    /// Of one piece.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<f64>,
    /// ISO 4217 of `price`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_url: Option<String>,
    /// When the shop first offered it; makes an item "new".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available_from: Option<Timestamp>,
    /// From when on it is not offered any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available_until: Option<Timestamp>,
    /// A hidden item is never recommended or found.
    #[serde(default)]
    pub hidden: bool,
    #[serde(default = "yes")]
    pub in_stock: bool,
    /// The shop's own properties.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub properties: serde_json::Map<String, serde_json::Value>,
}

fn yes() -> bool {
    true
}

impl Item {
    pub fn new(item_id: ItemId, title: impl Into<String>) -> Self {
        Self {
            item_id,
            title: title.into(),
            category: None,
            brand: None,
            price: None,
            currency: None,
            description: None,
            image_url: None,
            available_from: None,
            available_until: None,
            hidden: false,
            in_stock: true,
            properties: serde_json::Map::new(),
        }
    }

    /// Whether a catalogue may hold it.
    ///
    /// # Errors
    /// One sentence that names the field and the item.
    pub fn check(&self) -> Result<(), String> {
        if self.title.trim().is_empty() || self.title.len() > MAX_TITLE_BYTES {
            return Err(format!("title of \"{}\" must have 1 to {MAX_TITLE_BYTES} bytes", self.item_id));
        }
        if self.price.is_some_and(|price| !price.is_finite() || price < 0.0) {
            return Err(format!("price of \"{}\" must be 0 or more", self.item_id));
        }
        if let (Some(from), Some(until)) = (self.available_from, self.available_until)
            && until <= from
        {
            return Err(format!(
                "available_until of \"{}\" is {until}, it must be after available_from, which is {from}",
                self.item_id
            ));
        }
        Ok(())
    }

    /// Whether it may be shown to anybody at `now`.
    pub fn is_available(&self, now: Timestamp) -> bool {
        !self.hidden
            && self.in_stock
            && self.available_from.is_none_or(|from| from <= now)
            && self.available_until.is_none_or(|until| now < until)
    }

    /// The next moment after `now` at which [`is_available`](Self::is_available) changes by itself.
    pub fn turns_at(&self, now: Timestamp) -> Option<Timestamp> {
        let moments = [self.available_from, self.available_until].into_iter().flatten();
        moments.filter(|moment| *moment > now && !self.hidden && self.in_stock).min()
    }
}

/// A change of the catalogue. `Put` replaces, `Delete` removes; a PATCH is merged by the gateway into a `Put`, so that
/// the newest record of an item is its whole state and the topic can be compacted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every change is a Put, and the log's body boxes the whole enum"
)]
pub enum CatalogChange {
    Put(Item),
    Delete(ItemId),
}

impl CatalogChange {
    pub fn item_id(&self) -> &ItemId {
        match self {
            Self::Put(item) => &item.item_id,
            Self::Delete(item_id) => item_id,
        }
    }
}
