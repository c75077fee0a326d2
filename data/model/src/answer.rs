//! What the gateway served, kept so that every answer can be accounted for.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

use crate::{AnswerId, ItemId, SnapshotVersion, Timestamp, candidate::SourceScore, lent::Lent, schema};

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
    #[serde(default = "no_names", skip_serializing_if = "is_empty")]
    pub feature_names: Arc<[String]>,
    /// How many candidates the slate was chosen from.
    #[serde(default)]
    pub n_candidates: u32,
    #[serde(default)]
    pub took_ms: f64,
}

/// Nearly every answer of a process shares one list.
fn no_names() -> Arc<[String]> {
    Arc::default()
}

fn is_empty(names: &Arc<[String]>) -> bool {
    names.is_empty()
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
    /// What led here beyond the score.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<AppliedRule>,
    /// Feature values the ranker saw, named by [`Answer::feature_names`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<f32>,
}

/// What a rule did for one place of a slate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "rule", rename_all = "snake_case")]
pub enum AppliedRule {
    /// The shop put it here.
    Pin,
    /// The odds were multiplied because of this condition.
    Boost { when: String, by: f32 },
    /// The odds were multiplied because it was shown so many times without an act on it.
    Fatigue { shown: f32, by: f32 },
    /// The odds were multiplied so that items of nearly equal value take turns.
    Rotation { by: f32 },
    /// Better items stand back, because this place belongs to a new one.
    NewShare,
    /// So many better items stand back, because their attribute has had its share of the slate.
    MaxPer { attribute: String, n_passed: usize },
    /// So many better items stand back for variety.
    Diversity { n_passed: usize },
    /// Chance put it here.
    Exploration,
}

/// Longest name of a placement, in bytes of UTF-8.
pub const MAX_PLACEMENT_BYTES: usize = 64;
/// Hexadecimal digits in front of an answer id's placement.
const MINTED_DIGITS: usize = 32;
/// Stands between them.
const PLACEMENT_MARK: char = '~';

impl AnswerId {
    /// A new id: 48 bits of `time` in milliseconds and 80 bits of `random` as hexadecimal digits, so that ids sort by time
    /// of minting, then `~` and the placement's name: `019…c2~item_page`. Clients send it back as it is; with the placement
    /// inside, an event that names the answer needs no look-up to be counted where it happened. A name longer than
    /// [`MAX_PLACEMENT_BYTES`], or with control characters, is left out.
    pub fn mint(time: Timestamp, random: u128, placement: &Placement) -> Self {
        let millis = time.as_millis().max(0) & ((1 << 48) - 1);
        let random = random & ((1 << 80) - 1);
        let mut id = format!("{millis:012x}{random:020x}");
        if placement.is_nameable() {
            id.push(PLACEMENT_MARK);
            id.push_str(placement.as_str());
        }
        Self::try_new(id).expect("digits and a short name are a valid id")
    }

    /// When it was minted; `None` for an id of another form.
    pub fn minted_at(&self) -> Option<Timestamp> {
        let digits = self.as_str().get(..MINTED_DIGITS)?;
        let is_minted = digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let rest = &self.as_str()[MINTED_DIGITS..];
        if !is_minted || !(rest.is_empty() || rest.starts_with(PLACEMENT_MARK)) {
            return None;
        }
        i64::from_str_radix(&digits[..12], 16).ok().map(Timestamp::from_millis)
    }

    /// The placement that [`mint`](Self::mint) put into the id; `None` for ids of another form.
    pub fn placement(&self) -> Option<Placement> {
        let (digits, name) = self.as_str().split_once(PLACEMENT_MARK)?;
        let is_minted = digits.len() == MINTED_DIGITS
            && digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        Some(Placement::from(name.to_owned())).filter(|placement| is_minted && placement.is_nameable())
    }
}

/// Where on the page a slate is shown. The named ones have their own defaults; others are configured.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
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

    /// Whether the name has 1 to [`MAX_PLACEMENT_BYTES`] bytes without control characters.
    pub fn is_nameable(&self) -> bool {
        let name = self.as_str();
        (1..=MAX_PLACEMENT_BYTES).contains(&name.len()) && !name.chars().any(char::is_control)
    }
}

impl<S: AsRef<str> + Into<String>> From<S> for Placement {
    fn from(name: S) -> Self {
        match name.as_ref() {
            "home" => Self::Home,
            "item_page" => Self::ItemPage,
            "cart" => Self::Cart,
            "search" => Self::Search,
            _ => Self::Custom(name.into()),
        }
    }
}

impl Serialize for Placement {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Placement {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Lent::deserialize(deserializer).map(|Lent(name)| Self::from(name))
    }
}

impl PartialSchema for Placement {
    fn schema() -> RefOr<Schema> {
        let says = format!(
            "Where on the page a list stands: home, item_page, cart, search, or a name of the shop's own of at most \
             {MAX_PLACEMENT_BYTES} bytes."
        );
        schema::text(MAX_PLACEMENT_BYTES).description(Some(says)).into()
    }
}

impl ToSchema for Placement {}

/// How good an answer could be made: the ladder, best first. A dead dependency costs a rung, never the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub struct Watermark {
    pub partition: u32,
    /// Offset of the next event that the person's partition will fold.
    pub offset: u64,
    /// Event time of the newest folded event of the partition.
    pub time: Timestamp,
}

#[cfg(test)]
mod tests;
