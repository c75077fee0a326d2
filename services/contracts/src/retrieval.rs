//! Retrieval: proposes candidates from the snapshot and the live catalogue.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use waggle_features::{ItemAttributes, Opinions, PersonState};
use waggle_model::{CandidateSource, Item, ItemId, ItemKey, SnapshotVersion, Timestamp};

use crate::{
    RoleError,
    api::{Facet, Highlight},
    policy::{Matches, SeenRule},
};

#[async_trait]
pub trait Retrieval: Send + Sync + 'static {
    /// The snapshot that new requests should name; `None` while none is published.
    fn current_snapshot(&self) -> Option<SnapshotVersion>;

    /// Grows with every change of the catalogue that requests can see by now, to the same number in every process; what
    /// was worked out under a smaller one may hold an item that is gone.
    fn catalog_version(&self) -> u64;

    /// Whether the catalogue has what expressions and attributes of a request ask about.
    ///
    /// # Errors
    /// [`RoleError::Invalid`] says what is wrong with the first that does not fit.
    async fn check(&self, expressions: &[String], attributes: &[String]) -> Result<(), RoleError>;

    /// Candidates for one person on one page.
    async fn candidates(&self, request: &CandidateRequest) -> Result<CandidateResponse, RoleError>;

    /// What stands beside an item on its page, best first.
    async fn similar(&self, request: &SimilarRequest) -> Result<CandidateResponse, RoleError>;

    /// Items that match a text query, best first.
    ///
    /// # Errors
    /// [`RoleError::Invalid`] says what is wrong with a filter, facet or order that does not fit the catalogue.
    async fn search(&self, request: &SearchRequest) -> Result<SearchResponse, RoleError>;

    /// The found words in the texts of items, in the order asked.
    async fn highlights(
        &self,
        terms: &BTreeSet<String>,
        items: &[Arc<Item>],
    ) -> Result<Vec<BTreeMap<String, Highlight>>, RoleError>;

    /// These items as candidates for one person, with what every source says of each. Items that have left the offer, or
    /// that the person refused, are not among them.
    async fn opinions(&self, request: &OpinionRequest) -> Result<CandidateResponse, RoleError>;

    /// Items of the live table, in the order asked; `None` where unknown or hidden.
    async fn items(&self, items: &[ItemId]) -> Result<Vec<Option<Arc<Item>>>, RoleError>;

    /// Items by 64-bit key, for showing a slate or a history.
    async fn items_by_key(&self, items: &[ItemKey]) -> Result<Vec<Option<Arc<Item>>>, RoleError>;
}

/// What a page asks for.
#[derive(Debug, Clone)]
pub struct CandidateRequest {
    /// `None`: whatever can be proposed without a snapshot (trending, new).
    pub snapshot: Option<SnapshotVersion>,
    pub person: Arc<PersonState>,
    /// The item of an item page, or the contents of a basket.
    pub context_items: Vec<ItemId>,
    /// Only items of this category.
    pub category: Option<String>,
    /// Only items that all of these expressions let through.
    pub filters: Vec<String>,
    /// Expressions whose outcome the candidates carry in [`ProposedItem::matches`].
    pub conditions: Vec<String>,
    /// Attributes whose values the candidates carry in [`CandidateResponse::groups`].
    pub group_by: Vec<String>,
    /// What `user.…` in expressions refers to.
    pub user: Arc<Map<String, Value>>,
    /// Never proposed.
    pub exclude: Vec<ItemId>,
    /// What becomes of items that the person knows.
    pub seen: SeenRule,
    /// Which sources may propose; empty means all that fit the request.
    pub sources: Vec<CandidateSource>,
    /// As many are proposed if as many may be shown, whatever the sources find.
    pub at_least: usize,
    /// At most this many candidates.
    pub limit: usize,
    /// A source whose turn comes later is left out, and named in [`CandidateResponse::missing`].
    pub deadline: Option<Instant>,
    /// The moment of the request.
    pub now: Timestamp,
}

/// What an item page asks for.
#[derive(Debug, Clone)]
pub struct SimilarRequest {
    /// `None`: by text alone.
    pub snapshot: Option<SnapshotVersion>,
    pub item_id: ItemId,
    pub kind: Likeness,
    /// Only items that all of these expressions let through.
    pub filters: Vec<String>,
    /// What `user.…` in them refers to.
    pub user: Arc<Map<String, Value>>,
    /// Never proposed.
    pub exclude: Vec<ItemId>,
    pub limit: usize,
    pub now: Timestamp,
}

/// In what way an item is like another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Likeness {
    /// Could stand in its place: close embeddings, and similar text where there are none.
    #[default]
    Similar,
    /// Goes with it: bought by the same people in the same orders.
    BoughtTogether,
}

#[derive(Debug, Clone)]
pub struct CandidateResponse {
    pub snapshot: Option<SnapshotVersion>,
    pub candidates: Vec<ProposedItem>,
    /// Attributes of the items of the person's history and of the page, as far as the catalogue still has them, ascending
    /// by key.
    pub known_items: Vec<(ItemKey, ItemAttributes)>,
    /// `[n_candidates, n_attributes]`, row-major: equal numbers are equal values of [`CandidateRequest::group_by`], 0 is
    /// none.
    pub groups: Vec<u64>,
    /// Sources that did not answer in time or failed.
    pub missing: Vec<CandidateSource>,
}

/// A candidate with what the next stage needs to know of it. Hundreds are proposed for ten that are shown, so the rest of
/// an item is looked up by [`Retrieval::items_by_key`] when it is known which.
#[derive(Debug, Clone, Copy)]
pub struct ProposedItem {
    pub item: ItemKey,
    pub attributes: ItemAttributes,
    pub opinions: Opinions,
    /// Which of [`CandidateRequest::conditions`] it meets.
    pub matches: Matches,
}

/// Some items about which one person's taste is asked.
#[derive(Debug, Clone)]
pub struct OpinionRequest {
    pub snapshot: Option<SnapshotVersion>,
    pub person: Arc<PersonState>,
    pub items: Vec<ItemKey>,
    /// The moment of the request.
    pub now: Timestamp,
}

#[derive(Debug, Clone)]
pub struct SearchRequest {
    /// Empty text finds everything on offer.
    pub query: String,
    /// The last word may be the beginning of one.
    pub completes: bool,
    pub category: Option<String>,
    /// Only items that all of these expressions let through.
    pub filters: Vec<String>,
    /// What `user.…` in them refers to.
    pub user: Arc<Map<String, Value>>,
    /// Properties whose values are counted.
    pub facets: Vec<String>,
    /// What to order by instead of relevance.
    pub sort: Option<Sort>,
    pub limit: usize,
    pub offset: usize,
    /// The moment of the request.
    pub now: Timestamp,
}

/// An order by a number or time; items without it come last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sort {
    pub property: String,
    pub is_descending: bool,
}

#[derive(Debug, Clone)]
pub struct SearchResponse {
    /// How many items on offer match in all.
    pub n_matches: usize,
    /// No item has every word of the query: these have most of them.
    pub is_partial: bool,
    /// Words spelt alike were taken for words of the query, too.
    pub is_corrected: bool,
    /// One page, with scores: higher is better, comparable within one query only.
    pub items: Vec<(Arc<Item>, f32)>,
    /// The best score of all matches.
    pub best_score: f32,
    /// By property, over all matches.
    pub facets: BTreeMap<String, Facet>,
    /// What [`Retrieval::highlights`] marks.
    pub terms: BTreeSet<String>,
}
