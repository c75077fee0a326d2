//! What an answer is made of before it is one.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{ItemId, ItemIdx};

/// Who proposed a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CandidateSource {
    /// Nearest item embeddings to the person's folded-in vector.
    Ann,
    /// Bought together with the person's recent items.
    ItemItem,
    /// What the person bought before, due again.
    Repeat,
    /// Next items of similar sessions.
    Session,
    /// Similar text: to the item of the page, or to the person's items where nothing else is known of the item.
    Lexical,
    /// Many people want it now.
    Trending,
    /// Recently added to the catalogue.
    New,
    /// Popular with people of a similar taste, or on pages like this.
    Segment,
    /// A list fixed in advance, or what fills a short one.
    Static,
}

impl CandidateSource {
    /// Every source; its place here is its bit in a mask and its column in per-source tables.
    pub const ALL: [Self; 9] = [
        Self::Ann,
        Self::ItemItem,
        Self::Repeat,
        Self::Session,
        Self::Lexical,
        Self::Trending,
        Self::New,
        Self::Segment,
        Self::Static,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ann => "ann",
            Self::ItemItem => "item_item",
            Self::Repeat => "repeat",
            Self::Session => "session",
            Self::Lexical => "lexical",
            Self::Trending => "trending",
            Self::New => "new",
            Self::Segment => "segment",
            Self::Static => "static",
        }
    }
}

/// What becomes of items that the person knows, from the mildest rule to the strictest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SeenRule {
    /// They compete like all others.
    #[default]
    Keep,
    /// What was bought is left out.
    ExcludeBought,
    /// What was bought, clicked or looked at is left out.
    ExcludeTouched,
}

/// One source's opinion of one candidate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SourceScore {
    pub source: CandidateSource,
    /// In the source's own unit; higher is better.
    pub score: f32,
    /// 1-based place in the source's list.
    pub rank: u32,
    /// The item of the person's history that led here, if there is one ("because you bought …").
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<ItemId>,
}

/// A matrix row and its score.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    pub item: ItemIdx,
    pub score: f32,
}

impl Scored {
    /// Best first; ties go to the smaller index, so a slate never depends on thread timing.
    pub fn best_first(a: &Self, b: &Self) -> Ordering {
        b.score.total_cmp(&a.score).then(a.item.cmp(&b.item))
    }
}

#[cfg(test)]
mod tests;
