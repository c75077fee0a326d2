//! What the gateway served, kept so that every answer can be accounted for.

use serde::{Deserialize, Serialize};

use crate::{AnswerId, ItemId, SnapshotVersion, Timestamp, candidate::SourceScore};

/// The record of one served slate. A cache hit gets a record of its own that points to the computed one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    pub answer_id: AnswerId,
    pub placement: Placement,
    pub rung: Rung,
    /// `None` on the rungs that need no snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<SnapshotVersion>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark: Option<Watermark>,
    /// For a cache hit: the answer that was computed. `items` is empty then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub computed_by: Option<AnswerId>,
    pub items: Vec<AnsweredItem>,
    /// Names of the captured feature values, in the order of [`AnsweredItem::features`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub feature_names: Vec<String>,
    /// How many candidates the slate was chosen from.
    #[serde(default)]
    pub n_candidates: u32,
    #[serde(default)]
    pub took_ms: f64,
}

/// One place of a served slate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnsweredItem {
    pub item_id: ItemId,
    /// 1-based.
    pub position: u32,
    /// The ranker's score; higher is better. Comparable within one answer only.
    pub score: f32,
    /// Probability with which the policy put this item at this position, given what came before; 1 where the policy
    /// is deterministic. Off-policy estimators divide by it.
    pub propensity: f32,
    pub sources: Vec<SourceScore>,
    /// Feature values the ranker saw, named by [`Answer::feature_names`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<f32>,
}

/// Where on the page a slate is shown. The named ones have their own defaults; others are configured.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default)]
#[serde(from = "String", into = "String")]
pub enum Placement {
    #[default]
    Home,
    /// Beside one item: "similar".
    ItemPage,
    /// Beside a basket: "bought together".
    Cart,
    Search,
    Custom(String),
}

impl Placement {
    pub fn as_str(&self) -> &str {
        match self {
            Self::Home => "home",
            Self::ItemPage => "item_page",
            Self::Cart => "cart",
            Self::Search => "search",
            Self::Custom(name) => name,
        }
    }
}

impl From<String> for Placement {
    fn from(name: String) -> Self {
        match name.as_str() {
            "home" => Self::Home,
            "item_page" => Self::ItemPage,
            "cart" => Self::Cart,
            "search" => Self::Search,
            _ => Self::Custom(name),
        }
    }
}

impl From<Placement> for String {
    fn from(placement: Placement) -> Self {
        placement.as_str().to_owned()
    }
}

/// How good an answer could be made: the ladder, best first. A dead dependency costs a rung, never the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rung {
    /// Computed from what this person did.
    Personal,
    /// Computed for people or pages like this one.
    Segment,
    /// What many people want now.
    Trending,
    /// A list that was fixed in advance.
    Static,
}

impl Rung {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Personal => "personal",
            Self::Segment => "segment",
            Self::Trending => "trending",
            Self::Static => "static",
        }
    }
}

/// How much of the person's log an answer has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Watermark {
    pub partition: u32,
    /// Offset of the next event that the person's partition will fold.
    pub offset: u64,
    /// Event time of the newest folded event of the partition.
    pub time: Timestamp,
}
