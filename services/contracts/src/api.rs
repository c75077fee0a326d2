//! Bodies of the public HTTP API: JSON, `snake_case`, times RFC 3339 UTC; errors are `application/problem+json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr, Schema,
        schema::{Object, Ref},
    },
};
use waggle_model::{
    AnswerId, AppliedRule, Item, ItemId, Placement, Rung, SessionId, SnapshotVersion, SourceScore, Timestamp,
    UserId, Watermark, wire::WireEvent,
};

use crate::policy::{OddsRule, SeenRule};

/// Length of a list when `k` is not given.
pub const DEFAULT_K: usize = 10;
/// Longest list.
pub const MAX_K: usize = 200;

/// `POST /v1/events`, where it is JSON.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EventBatch {
    #[schema(max_items = 5000)]
    pub events: Vec<WireEvent>,
}

/// What became of a body of events.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct IngestReport {
    /// On stable storage now.
    pub accepted: usize,
    /// Ids seen a moment ago: advice only, consumers decide for themselves.
    pub duplicates: usize,
    pub rejected: Vec<Rejection>,
}

/// One event or item of a batch that was not accepted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Rejection {
    /// 0-based place in the batch.
    pub index: usize,
    pub detail: String,
}

/// What is asked for, and by which rules. Without `user_id` and `session_id` the list is for nobody in particular.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RecommendationRequest {
    #[schema(value_type = Option<UserId>)]
    pub user_id: Option<String>,
    #[schema(value_type = Option<SessionId>)]
    pub session_id: Option<String>,
    /// `home` (default), `item_page`, `cart`, or a name of your own.
    #[schema(value_type = Option<Placement>)]
    pub placement: Option<String>,
    /// Length of the list; where it is absent the placement's own, else 10.
    #[schema(minimum = 1, maximum = 200)]
    pub k: Option<i64>,
    /// The item of an item page, the contents of a basket, or an anonymous person's history.
    #[schema(value_type = Vec<ItemId>, max_items = 200)]
    pub items: Vec<String>,
    /// Never in the answer.
    #[schema(value_type = Vec<ItemId>, max_items = 200)]
    pub exclude: Vec<String>,
    /// First in the answer, in this order.
    #[schema(value_type = Vec<ItemId>, max_items = 200)]
    pub pin: Vec<String>,
    /// Only this category.
    #[schema(min_length = 1, max_length = 256)]
    pub category: Option<String>,
    /// Only items that this expression lets through.
    #[schema(max_length = 4096)]
    pub filter: Option<String>,
    /// Items that are more, or less, likely to be shown; with those of the placement at most 32.
    #[schema(max_items = 32)]
    pub boost: Vec<OddsRule>,
    /// At most so many items, 1 or more, with the same value of an attribute: `category`, `brand` or a property of the
    /// shop. At most 8 attributes.
    pub max_per: BTreeMap<String, usize>,
    /// Leave out what the person already bought.
    pub exclude_known: bool,
    /// 0 keeps the order of the scores, 1 looks at variety alone; the placement's own where it is absent.
    #[schema(minimum = 0, maximum = 1)]
    pub diversity: Option<f32>,
    /// Share of the places for items of the last 30 days.
    #[schema(minimum = 0, maximum = 1)]
    pub new_share: Option<f32>,
    /// Carry each item's catalogue entry in the answer.
    pub include_items: bool,
    /// The next page after this answer: the same person and placement, without what was shown before.
    #[schema(value_type = Option<AnswerId>)]
    pub after: Option<String>,
}

/// The answer of every list of items that Waggle chose.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RecommendationResponse {
    pub answer_id: AnswerId,
    pub placement: Placement,
    pub rung: Rung,
    pub snapshot: Option<SnapshotVersion>,
    pub watermark: Option<Watermark>,
    pub items: Vec<RecommendedItem>,
    pub took_ms: f64,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RecommendedItem {
    pub item_id: ItemId,
    /// 1-based.
    pub rank: u32,
    /// Higher is better; comparable within one answer only.
    pub score: f32,
    pub sources: Vec<SourceScore>,
    pub reason: Reason,
    /// What led here beyond the score.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<AppliedRule>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<Item>,
}

/// Why an item is in an answer, or why it is not.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    pub answer_id: AnswerId,
    pub item_id: ItemId,
    pub rung: Rung,
    pub snapshot: Option<SnapshotVersion>,
    /// How many items the answer was chosen from.
    pub n_candidates: u32,
    /// The item as it was shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<RecommendedItem>,
    /// What each feature adds to the score, what moves it most first; with the ranker's intercept and the logarithms
    /// of what boosts, fatigue and rotation multiply the odds by they sum to the score.
    pub contributions: Vec<Contribution>,
    /// Worked out again on the answer's snapshot, with the person and the catalogue as they are now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why_not: Option<WhyNot>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Contribution {
    pub feature: String,
    pub value: f32,
    /// `weight · (value − mean)/scale`.
    pub contribution: f32,
}

/// Why an item is not in an answer: the first of these that holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum WhyNot {
    NotInCatalogue,
    Hidden,
    OutOfStock,
    /// It is offered from a later moment on.
    NotYet {
        available_from: Option<Timestamp>,
    },
    /// It was offered until then.
    NoLonger {
        available_until: Option<Timestamp>,
    },
    /// It stands on a page before this one.
    OnAnEarlierPage,
    /// The request or the placement excludes it by name.
    Excluded,
    /// The page is about it.
    OnThePage,
    /// The person said that they do not want it.
    Refused,
    /// The person knows it, and the placement leaves such items out.
    Known {
        seen: SeenRule,
    },
    OtherCategory {
        category: String,
    },
    Filter {
        filter: String,
    },
    /// No source thought of it.
    NotProposed,
    /// Others have higher scores.
    Outranked {
        rank: u32,
        n_candidates: u32,
        score: f32,
        last_shown_score: f32,
        sources: Vec<SourceScore>,
    },
    /// Its score would do, but it stands back for pins, caps, new items, variety or chance.
    StoodBack {
        rank: u32,
        n_candidates: u32,
        score: f32,
        sources: Vec<SourceScore>,
    },
}

/// Why an item is in the list, for showing to the person: the source that weighed most.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Reason {
    /// Close to the person's taste as a whole.
    YourTaste,
    /// Goes with an item of the person's history, or of the page.
    BecauseOf {
        item_id: ItemId,
        title: Option<String>,
    },
    /// Bought before, and due again.
    BuyAgain {
        times: u32,
        last: Timestamp,
    },
    Trending,
    New,
    /// Popular in the category at hand.
    PopularHere {
        category: Option<String>,
    },
    /// People of a similar taste want it: similar to the person's, or to that of who looks at such pages.
    PopularAlike,
    /// The shop put it first.
    Pinned,
    /// A list fixed in advance.
    Popular,
}

/// What is searched for.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SearchBody {
    /// What is looked for, at most 512 bytes; empty text finds everything on offer.
    #[schema(value_type = String, required, max_length = 512)]
    pub q: Option<String>,
    /// The last word may be the beginning of one, for searching while somebody types; true if absent.
    pub prefix: Option<bool>,
    /// Length of a page; 10 if absent.
    #[schema(minimum = 1, maximum = 200)]
    pub k: Option<i64>,
    /// Items before the page.
    #[schema(minimum = 0, maximum = 10000)]
    pub offset: Option<i64>,
    /// Only this category.
    pub category: Option<String>,
    /// Only items that this expression lets through.
    pub filter: Option<String>,
    /// Properties whose values are counted over all matches.
    #[schema(max_items = 16)]
    pub facets: Vec<String>,
    /// A number or time to order by, as `price:asc` or `available_from:desc`; items without it come last.
    pub sort: Option<String>,
    /// By text alone if absent.
    pub order: Option<SearchOrder>,
    /// Mark the found words; true if absent.
    pub highlight: Option<bool>,
    /// Whose order is asked for, and what `user.…` in the filter refers to.
    #[schema(value_type = Option<UserId>)]
    pub user_id: Option<String>,
    #[schema(value_type = Option<SessionId>)]
    pub session_id: Option<String>,
}

/// Longest text of a search, in bytes.
pub const MAX_QUERY_BYTES: usize = 512;
/// Deepest page of a search, in items before it.
pub const MAX_OFFSET: usize = 10_000;
/// Most properties whose values are counted in one search.
pub const MAX_FACETS: usize = 16;
/// Most values that are listed of one property.
pub const MAX_FACET_VALUES: usize = 100;

/// By what the found items are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SearchOrder {
    /// How well the text fits.
    #[default]
    Relevance,
    /// That, and what the person is likely to want.
    Personal,
    /// A property's value.
    Sort,
}

/// Why an answer is not in personal order although it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NotPersonal {
    /// Nothing is known of the person.
    UnknownPerson,
    /// No snapshot with a ranker serves.
    NoRanker,
    /// A role did not answer in time.
    Late,
    /// A role failed.
    Failed,
}

/// What a search found.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SearchAnswer {
    pub query: String,
    /// Items on offer that match and that the filter lets through, of which `items` is one page.
    pub n_matches: usize,
    /// No item has every word of the query: these have most of them.
    #[serde(default)]
    pub is_partial: bool,
    /// Words spelt alike were taken for words of the query, too.
    #[serde(default)]
    pub is_corrected: bool,
    /// The order that the items are in.
    #[serde(default)]
    pub order: SearchOrder,
    /// Why it is not the personal order that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_personal: Option<NotPersonal>,
    /// Whose ranker made the personal order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<SnapshotVersion>,
    /// By property, over all matches.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub facets: BTreeMap<String, Facet>,
    pub items: Vec<FoundItem>,
    pub took_ms: f64,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct FoundItem {
    pub rank: u32,
    /// Higher is better; comparable within one answer only.
    pub score: f32,
    /// The found words: of the title always, of `brand`, `category` and `description` where they have one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub highlights: BTreeMap<String, Highlight>,
    pub item: Item,
}

/// The found words of a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Highlight {
    /// The text, or the best part of a long one, as HTML: escaped, with the found words in `<mark>`.
    pub html: String,
    /// Where in the whole text they are.
    pub ranges: Vec<TextRange>,
}

/// From `start` to before `end`, in UTF-16 code units, as strings in browsers are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TextRange {
    pub start: usize,
    pub end: usize,
}

/// What the matches of a search hold of one property: strings, booleans and lists have `values`, numbers and times ends.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct Facet {
    /// Matches that have the property at all.
    pub n_items: u64,
    /// The most frequent first, at most 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<FacetValue>>,
    /// Values beyond those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_other_values: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Value>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FacetValue {
    pub value: Value,
    pub n_items: u64,
}

/// The catalogue, by id.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ItemPage {
    pub items: Vec<Item>,
    /// Ask again with `after` = this; absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_after: Option<ItemId>,
}

/// `POST /v1/items`: each item has its own verdict.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CatalogReport {
    /// In the log and in the database now.
    pub accepted: usize,
    pub rejected: Vec<Rejection>,
}

/// Largest first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CategoryList {
    pub categories: Vec<CategoryCount>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CategoryCount {
    pub category: String,
    pub n_items: u64,
}

/// What the shop tells about a user.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserBody {
    #[serde(default)]
    pub properties: Map<String, Value>,
}

/// A user and what the shop told about them.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct User {
    pub user_id: UserId,
    pub properties: Map<String, Value>,
}

/// By activity: some users, the most active first; by id: a page of all.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct UserList {
    pub users: Vec<User>,
    /// By id: ask again with `after` = this; absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_after: Option<UserId>,
}

/// What still holds somebody who was erased, and until when.
///
/// The online state has forgotten them as soon as the erasure is folded. What stays for good is the erasure itself, with
/// the id and nothing else: it keeps what comes later under the id from counting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ErasureReport {
    pub user_id: UserId,
    pub erased_at: Timestamp,
    /// Those that turned out to be theirs, as far as it is still known.
    pub sessions: Vec<SessionId>,
    /// When the online state on disk is written without them at the latest; absent where it is in another server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_by: Option<Timestamp>,
    /// When the last of the answers that were given to them has left the cache at the latest.
    pub answers_by: Timestamp,
    /// Records of the log. Nothing removes a single record: each stays until its topic's retention takes it.
    pub log: Vec<LogTraces>,
    pub archive: ArchiveTraces,
    /// Learned before the erasure. A snapshot has no ids of people; what they did is in its items' vectors and counts, and
    /// they may be among the sampled people whose vectors, without ids, its index was measured with. Nothing removes it.
    pub snapshots: Vec<SnapshotTrace>,
}

/// Records in one partition of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LogTraces {
    pub topic: String,
    pub partition: u32,
    pub first_offset: u64,
    pub last_offset: u64,
    pub n_records: u64,
    /// The partition was looked through; if not, there may be more between the two offsets.
    pub is_whole: bool,
    pub kept: Kept,
}

/// How long records are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// At the longest.
    Until(Timestamp),
    ForEver,
    /// The log does not say.
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ArchiveTraces {
    /// Files that hold rows of them now.
    pub files: Vec<ArchiveFileTrace>,
    /// The archive was looked through; if not, there may be other files.
    pub is_whole: bool,
    /// When the archive's upkeep has usually written such files anew, without them.
    pub rewritten_by: Timestamp,
    /// When it has usually deleted the files of before.
    pub deleted_by: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ArchiveFileTrace {
    /// Among the artifacts.
    pub path: String,
    pub n_rows: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SnapshotTrace {
    pub version: SnapshotVersion,
    pub created_at: Timestamp,
}

/// What the system knows of a person now.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Profile {
    pub user_id: Option<String>,
    pub session_id: Option<String>,
    pub watermark: Watermark,
    pub n_events: u64,
    pub n_orders: u32,
    pub first_seen: Option<Timestamp>,
    pub last_seen: Option<Timestamp>,
    /// Geometric mean of the prices paid.
    pub typical_price: Option<f64>,
    /// Newest first, at most 20.
    pub recent: Vec<ProfileEvent>,
    /// Share of the person's distinct items, largest first, at most 8.
    pub categories: Vec<CategoryShare>,
    pub n_distinct_items: usize,
    pub rung: Rung,
    pub snapshot: Option<SnapshotVersion>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ProfileEvent {
    pub kind: String,
    pub time: Timestamp,
    /// Absent when the item has left the catalogue.
    pub item_id: Option<ItemId>,
    pub title: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CategoryShare {
    pub category: String,
    pub share: f64,
}

/// A whole item: what is absent or null gets its default.
// `PATCH` takes the same fields ([`ItemPatch`]). `None` is absent here; a patch that removes something is sent as plain
// JSON.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ItemBody {
    /// 1 to 1,024 bytes, not only white space.
    #[schema(value_type = String, required, min_length = 1, max_length = 1024, pattern = r"\S")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub brand: Option<String>,
    /// Of one piece.
    #[schema(minimum = 0)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<f64>,
    /// ISO 4217 of `price`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available_from: Option<Timestamp>,
    /// After `available_from`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available_until: Option<Timestamp>,
    /// A hidden item is never recommended or found; false if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden: Option<bool>,
    /// True if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_stock: Option<bool>,
    /// The shop's own properties, for filters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub properties: Option<Map<String, Value>>,
}

/// An [`ItemBody`] as a JSON merge patch (RFC 7396); names its schema.
#[derive(Debug)]
pub enum ItemPatch {}

impl PartialSchema for ItemPatch {
    fn schema() -> RefOr<Schema> {
        let says = "A JSON merge patch (RFC 7396): what is absent stays, what is null gets its default (an optional field \
                    goes, `hidden` is false, `in_stock` is true), and `properties` are merged by the same rule.";
        let mut patch = item_fields();
        patch.required.clear();
        patch.description = Some(says.to_owned());
        patch.into()
    }
}

impl ToSchema for ItemPatch {}

/// An [`ItemBody`] with its id, as in a batch; names its schema.
#[derive(Debug)]
pub enum NewItem {}

impl PartialSchema for NewItem {
    fn schema() -> RefOr<Schema> {
        let mut item = item_fields();
        item.properties.insert("item_id".to_owned(), Ref::from_schema_name(ItemId::name()).into());
        item.required.push("item_id".to_owned());
        item.into()
    }
}

impl ToSchema for NewItem {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((ItemId::name().into_owned(), ItemId::schema()));
    }
}

fn item_fields() -> Object {
    let RefOr::T(Schema::Object(fields)) = ItemBody::schema() else {
        unreachable!("the schema of a struct with named fields is an object")
    };
    fields
}

/// `POST /v1/items`, where it is one JSON object. Items are plain here, so that a bad one is refused with its place.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ItemBatch {
    #[schema(value_type = Vec<NewItem>, min_items = 1, max_items = 5000)]
    pub items: Vec<Map<String, Value>>,
}

/// The session turned out to be the user.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MergeBody {
    #[schema(value_type = SessionId)]
    pub session_id: String,
}

/// `application/problem+json` (RFC 9457).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Problem {
    /// `/problems/…`
    pub r#type: String,
    pub title: String,
    pub status: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// `/requests/{id}`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
}
