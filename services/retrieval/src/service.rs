//! The role behind its trait.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use metrics::{counter, histogram};
use serde::{Deserialize, Serialize};
use serde_json::Map;
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::warn;
use waggle_contracts::{
    Retrieval, RoleError,
    api::Highlight,
    policy::{Matches, SeenRule},
    retrieval::{
        CandidateRequest, CandidateResponse, Likeness, OpinionRequest, ProposedItem, SearchRequest,
        SearchResponse, SimilarRequest,
    },
};
use waggle_features::{ItemAttributes, Opinion, PersonState};
use waggle_filter::{Misfits, Schema};
use waggle_model::{CandidateSource, Item, ItemId, ItemKey, Scored, SnapshotVersion, Timestamp};
use waggle_models::{
    Lookalikes, Offer as _, Snapshot, SnapshotSlot, Vocabulary,
    candidates::{
        CandidateModels, CandidateQuery, Candidates, MAX_PAGE_ITEMS, Proposal, SourceLimits, candidates,
        similar,
    },
};
use waggle_stores::{EventLog, StateStore, Topic};

use crate::{
    bits::Bits,
    filters::{Filters, Passed},
    follower::Follower,
    lexical::LexicalIndex,
    lists::Lists,
    lookalikes::TextLikeness,
    offer::{Asked, OnOffer, group_of},
    search::search,
    table::{Entries, Entry, ItemTable, SnapshotRows},
};

/// How often to look whether the text index has merged its parts.
const MERGED: Duration = Duration::from_secs(5);
/// How often the table looks for items whose time has come.
const ADVANCE: Duration = Duration::from_millis(200);

/// `[retrieval]` of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetrievalConfig {
    /// How many items each source may propose.
    pub limits: SourceLimits,
}

/// Proposes candidates from the current snapshots and the live catalogue.
pub struct RetrievalService {
    config: RetrievalConfig,
    snapshots: Arc<SnapshotSlot>,
    table: Arc<ItemTable>,
    filters: Filters,
    /// Of the current snapshot and the one before it, the newest first.
    rows: Arc<ArcSwap<Vec<Arc<SnapshotRows>>>>,
    lexical: Arc<LexicalIndex>,
    lists: Arc<Lists>,
    likeness: Arc<TextLikeness>,
    /// How much of the catalogue topic is in the table: the same number in every process that has seen as much.
    applied: watch::Receiver<u64>,
}

impl RetrievalService {
    /// Reads the whole catalogue, computes the live lists, and starts the tasks that keep both fresh. The role is ready
    /// when this returns. What of the catalogue does not fit the types that the shop has declared is told in the log.
    ///
    /// # Errors
    /// [`RoleError::Failed`] when log, state or text index cannot be read.
    pub async fn start(
        config: RetrievalConfig,
        declared: Schema,
        snapshots: Arc<SnapshotSlot>,
        log: Arc<dyn EventLog>,
        state: Arc<dyn StateStore>,
        tasks: &TaskTracker,
        cancel: &CancellationToken,
    ) -> Result<Arc<Self>, RoleError> {
        let mut misfits = Misfits::of(&declared);
        let table = Arc::new(ItemTable::new(declared));
        let lexical = Arc::new(LexicalIndex::try_new().map_err(failed)?);
        let follower = Arc::new(Follower::new(log.clone(), table.clone(), lexical.clone()));
        let applied = follower.applied();
        let offsets = follower.catch_up().await.map_err(failed)?;
        table.load().iter().for_each(|(_, entry)| misfits.look_at(&entry.item()));
        misfits.told().for_each(|misfit| warn!("{misfit}; filters take these values for absent"));
        for (partition, offset) in (0..).zip(offsets) {
            tasks.spawn(follower.clone().run(partition, offset, cancel.clone()));
        }
        tasks.spawn(advance(table.clone(), cancel.clone()));
        tasks.spawn(follow_merges(lexical.clone(), cancel.clone()));
        let rows = Arc::new(ArcSwap::default());
        snapshots.before_install({
            let (table, rows) = (table.clone(), rows.clone());
            move |snapshot| join(&table, &rows, snapshot)
        });
        let lists = Arc::new(Lists::new(state, log.n_partitions(Topic::Events), table.clone()));
        lists.refresh(Timestamp::now()).await.map_err(failed)?;
        tasks.spawn(lists.clone().run(cancel.clone()));
        let likeness = TextLikeness::new(table.clone(), lexical.clone(), snapshots.clone(), rows.clone());
        let likeness = Arc::new(likeness);
        tasks.spawn(likeness.clone().run(cancel.clone()));
        Ok(Arc::new(Self {
            config,
            snapshots,
            table,
            filters: Filters::default(),
            rows,
            lexical,
            lists,
            likeness,
            applied,
        }))
    }

    /// Recomputes the live lists now instead of within a second.
    ///
    /// # Errors
    /// [`RoleError::Failed`] when the counters cannot be read.
    pub async fn refresh_lists(&self, now: Timestamp) -> Result<(), RoleError> {
        self.lists.refresh(now).await.map_err(failed)
    }

    /// Works out now instead of within some seconds what items that the snapshot does not know read like.
    ///
    /// # Errors
    /// [`RoleError::Failed`] when the text index cannot be read.
    pub fn refresh_lookalikes(&self) -> Result<(), RoleError> {
        self.likeness.refresh().map_err(failed)
    }

    fn snapshot(&self, version: Option<&SnapshotVersion>) -> Result<Option<Arc<Snapshot>>, RoleError> {
        let Some(version) = version else { return Ok(None) };
        match self.snapshots.get(version) {
            Some(snapshot) => Ok(Some(snapshot)),
            None => {
                Err(RoleError::SnapshotNotLoaded { wanted: version.clone(), loaded: self.current_snapshot() })
            }
        }
    }

    fn rows(&self, snapshot: Option<&Arc<Snapshot>>) -> Option<Arc<SnapshotRows>> {
        let version = &snapshot?.manifest.version;
        self.rows.load().iter().find(|rows| rows.version == *version).cloned()
    }

    /// The source limits of a request: a source it does not name is off.
    fn limits(&self, sources: &[CandidateSource]) -> SourceLimits {
        let mut limits = self.config.limits.clone();
        if sources.is_empty() {
            return limits;
        }
        let table = [
            (CandidateSource::Ann, &mut limits.ann),
            (CandidateSource::ItemItem, &mut limits.item_item),
            (CandidateSource::Repeat, &mut limits.repeat),
            (CandidateSource::Session, &mut limits.session),
            (CandidateSource::Trending, &mut limits.trending),
            (CandidateSource::New, &mut limits.new),
            (CandidateSource::Segment, &mut limits.segment),
            (CandidateSource::Lexical, &mut limits.lexical),
        ];
        for (source, limit) in table {
            if !sources.contains(&source) {
                *limit = 0;
            }
        }
        limits
    }

    /// What people act on together with an item, for one that the snapshot does not know yet. Counters that cannot be read
    /// cost this list and not the page.
    async fn co_visited(
        &self,
        entries: &Entries,
        offer: &OnOffer<'_>,
        page: &Item,
        limit: usize,
    ) -> Vec<ProposedItem> {
        let found = match self.lists.co_visited(page.item_id.key()).await {
            Ok(found) => found,
            Err(e) => {
                warn!(item.id = %page.item_id, error = %e, "what goes together with an item cannot be read");
                return Vec::new();
            }
        };
        let offered = found
            .into_iter()
            .filter(|(key, _)| offer.has_key(*key))
            .filter_map(|(key, weight)| Some((weight, entries.get(key)?)));
        (1..)
            .zip(offered.take(limit))
            .map(|(rank, (score, entry))| {
                let because = Some(page.item_id.key());
                of_one_source(entry, Opinion { source: CandidateSource::Session, score, rank, because })
            })
            .collect()
    }

    /// Items with similar text, by the words of the title.
    fn more_like_this(
        &self,
        entries: &Entries,
        offer: &OnOffer<'_>,
        item: &Item,
        limit: usize,
    ) -> Result<Vec<ProposedItem>, RoleError> {
        let itself = entries.slot(item.item_id.key());
        let may_show = |slot| Some(slot) != itself && offer.has(slot);
        let found = self.lexical.alike(&item.title, limit, may_show).map_err(failed)?;
        let offered = found.iter().filter_map(|hit| Some((hit, entries.at(hit.slot)?)));
        Ok((1..)
            .zip(offered)
            .map(|(rank, (hit, entry))| {
                let (source, because) = (CandidateSource::Lexical, Some(item.item_id.key()));
                of_one_source(entry, Opinion { source, score: hit.score, rank, because })
            })
            .collect())
    }
}

#[async_trait]
impl Retrieval for RetrievalService {
    fn current_snapshot(&self) -> Option<SnapshotVersion> {
        self.snapshots.current().map(|snapshot| snapshot.manifest.version.clone())
    }

    fn catalog_version(&self) -> u64 {
        *self.applied.borrow()
    }

    async fn check(&self, expressions: &[String], attributes: &[String]) -> Result<(), RoleError> {
        let (entries, nobody) = (self.table.load(), Map::new());
        let asked = Asked { filters: &self.filters, entries: &entries, user: &nobody, now: Timestamp::now() };
        asked.conditions(expressions)?;
        asked.attributes(attributes).map(drop)
    }

    async fn candidates(&self, request: &CandidateRequest) -> Result<CandidateResponse, RoleError> {
        let snapshot = self.snapshot(request.snapshot.as_ref())?;
        let (entries, lists) = (self.table.load(), self.lists.load());
        let rows = self.rows(snapshot.as_ref());
        let context_items: Vec<ItemKey> = request.context_items.iter().map(ItemId::key).collect();
        let asked =
            Asked { filters: &self.filters, entries: &entries, user: &request.user, now: request.now };
        let allowed = asked.allowed(&request.filters, request.category.as_deref())?;
        let offer = OnOffer::new(&entries, rows.as_deref(), allowed.as_deref(), &request.exclude);
        let limits = self.limits(&request.sources);
        let page_items = page_items(request, snapshot.as_deref(), rows.as_deref(), &offer);
        let query = CandidateQuery {
            person: &request.person,
            context_items: &context_items,
            page_items: &page_items,
            now: request.now,
            limits: &limits,
            offer: Some(&offer),
            seen: request.seen,
            at_least: request.at_least,
            until: request.deadline,
        };
        let (nothing, lookalikes) = (Vocabulary::default(), self.likeness.load());
        let models = serving_models(snapshot.as_deref(), rows.as_deref(), &lookalikes, &nothing);
        let Candidates { mut proposals, late, took, fold_in } =
            candidates(&models, &lists, &query).map_err(failed)?;
        observe(&late, &took, fold_in);
        // Never by default: the sources together propose fewer. A placement that asks for fewer gets what some source
        // places highest.
        if proposals.len() > request.limit {
            proposals.sort_by_key(|p| (p.opinions.best_rank().unwrap_or(u32::MAX), p.item));
            proposals.truncate(request.limit);
        }
        let conditions = asked.conditions(&request.conditions)?;
        let attributes = asked.attributes(&request.group_by)?;
        // Few requests ask for it, and unpacking all the proposals costs more than ranking them.
        let is_looked_into = !(conditions.is_empty() && attributes.is_empty());
        let mut groups = Vec::with_capacity(proposals.len() * attributes.len());
        let mut found = Vec::with_capacity(proposals.len());
        for proposal in &proposals {
            let Some((entry, mut item)) = proposed(&entries, rows.as_deref(), proposal) else { continue };
            if is_looked_into {
                let known = entry.item();
                for (place, condition) in conditions.iter().enumerate() {
                    item.matches |= Matches::from(condition.matches(&known)) << place;
                }
                groups.extend(attributes.iter().map(|attribute| group_of(attribute, &known)));
            }
            found.push(item);
        }
        Ok(CandidateResponse {
            snapshot: request.snapshot.clone(),
            candidates: found,
            known_items: known_items(&entries, &request.person, &context_items),
            groups,
            missing: late,
        })
    }

    async fn similar(&self, request: &SimilarRequest) -> Result<CandidateResponse, RoleError> {
        let snapshot = self.snapshot(request.snapshot.as_ref())?;
        let entries = self.table.load();
        let Some(page) = entries.find(&request.item_id).map(|entry| entry.item()) else {
            return Err(RoleError::Invalid(format!("item \"{}\" is not in the catalogue", request.item_id)));
        };
        let rows = self.rows(snapshot.as_ref());
        let asked =
            Asked { filters: &self.filters, entries: &entries, user: &request.user, now: request.now };
        let allowed = asked.allowed(&request.filters, None)?;
        let offer = OnOffer::new(&entries, rows.as_deref(), allowed.as_deref(), &request.exclude);
        let mut candidates = match &snapshot {
            Some(snapshot) => {
                let key = request.item_id.key();
                let lists = similar(&models_of(snapshot), key, request.limit, Some(&offer));
                let (source, list) = match request.kind {
                    Likeness::Similar => (CandidateSource::Ann, lists.similar),
                    Likeness::BoughtTogether => (CandidateSource::ItemItem, lists.bought_together),
                };
                listed(&entries, snapshot, source, &list, key)
            }
            None => Vec::new(),
        };
        if candidates.is_empty() {
            candidates = self.co_visited(&entries, &offer, &page, request.limit).await;
        }
        if candidates.len() < request.limit && request.kind == Likeness::Similar {
            let more = self.more_like_this(&entries, &offer, &page, request.limit)?;
            let known: Vec<ItemKey> = candidates.iter().map(|c| c.item).collect();
            candidates.extend(more.into_iter().filter(|c| !known.contains(&c.item)));
            candidates.truncate(request.limit);
        }
        Ok(CandidateResponse {
            snapshot: request.snapshot.clone(),
            candidates,
            known_items: Vec::new(),
            groups: Vec::new(),
            missing: Vec::new(),
        })
    }

    async fn search(&self, request: &SearchRequest) -> Result<SearchResponse, RoleError> {
        let (entries, rows) = (self.table.load(), self.rows.load());
        let asked =
            Asked { filters: &self.filters, entries: &entries, user: &request.user, now: request.now };
        search(&self.lexical, &asked, rows.first().map(|rows| &**rows), request)
    }

    async fn highlights(
        &self,
        terms: &BTreeSet<String>,
        items: &[Arc<Item>],
    ) -> Result<Vec<BTreeMap<String, Highlight>>, RoleError> {
        let of_item = |item: &Arc<Item>| {
            let highlights = self.lexical.highlight(item, terms);
            highlights.into_iter().map(|(text, highlight)| (text.to_owned(), highlight)).collect()
        };
        Ok(items.iter().map(of_item).collect())
    }

    async fn opinions(&self, request: &OpinionRequest) -> Result<CandidateResponse, RoleError> {
        let snapshot = self.snapshot(request.snapshot.as_ref())?;
        let (entries, lists) = (self.table.load(), self.lists.load());
        let rows = self.rows(snapshot.as_ref());
        let mut asked_about = Bits::default();
        for slot in request.items.iter().filter_map(|item| entries.slot(*item)) {
            asked_about.set(slot.place(), entries.offered().has(slot.place()));
        }
        let asked_about = Passed::new(asked_about);
        let offer = OnOffer::new(&entries, rows.as_deref(), Some(&asked_about), &[]);
        let query = CandidateQuery {
            person: &request.person,
            context_items: &[],
            page_items: &[],
            now: request.now,
            limits: &self.config.limits,
            offer: Some(&offer),
            seen: SeenRule::Keep,
            at_least: request.items.len(),
            until: None,
        };
        let (nothing, lookalikes) = (Vocabulary::default(), self.likeness.load());
        let models = serving_models(snapshot.as_deref(), rows.as_deref(), &lookalikes, &nothing);
        let proposals = candidates(&models, &lists, &query).map_err(failed)?.proposals;
        let found = proposals.iter().filter_map(|p| Some(proposed(&entries, rows.as_deref(), p)?.1));
        Ok(CandidateResponse {
            snapshot: request.snapshot.clone(),
            candidates: found.collect(),
            known_items: known_items(&entries, &request.person, &[]),
            groups: Vec::new(),
            missing: Vec::new(),
        })
    }

    async fn items(&self, items: &[ItemId]) -> Result<Vec<Option<Arc<Item>>>, RoleError> {
        let entries = self.table.load();
        let visible = |id| shown(entries.find(id)?);
        Ok(items.iter().map(visible).collect())
    }

    async fn items_by_key(&self, items: &[ItemKey]) -> Result<Vec<Option<Arc<Item>>>, RoleError> {
        let entries = self.table.load();
        let visible = |key: &ItemKey| shown(entries.get(*key)?);
        Ok(items.iter().map(visible).collect())
    }
}

/// The item, if people may see it.
fn shown(entry: Entry<'_>) -> Option<Arc<Item>> {
    Some(Arc::new(entry.item())).filter(|item| !item.hidden)
}

fn observe(late: &[CandidateSource], took: &[(CandidateSource, Duration)], fold_in: Option<Duration>) {
    for source in late {
        counter!("waggle_candidates_late_total", "source" => source.as_str()).increment(1);
    }
    for (source, took) in took {
        histogram!("waggle_candidates_source_duration_seconds", "source" => source.as_str())
            .record(took.as_secs_f64());
    }
    if let Some(took) = fold_in {
        histogram!("waggle_candidates_fold_in_duration_seconds").record(took.as_secs_f64());
    }
}

/// The most popular items of a category page, which stand for its visitors' taste where the person has shown none.
fn page_items(
    request: &CandidateRequest,
    snapshot: Option<&Snapshot>,
    rows: Option<&SnapshotRows>,
    offer: &OnOffer<'_>,
) -> Vec<ItemKey> {
    let (Some(snapshot), Some(rows)) = (snapshot, rows) else { return Vec::new() };
    if request.category.is_none() || !request.person.items.is_empty() || !request.context_items.is_empty() {
        return Vec::new();
    }
    let offered = rows.by_popularity().iter().filter(|idx| offer.has_row(**idx));
    offered.take(MAX_PAGE_ITEMS).map(|idx| snapshot.vocabulary.key(*idx)).collect()
}

/// What proposes; `nothing` where there is no snapshot.
fn serving_models<'a>(
    snapshot: Option<&'a Snapshot>,
    rows: Option<&'a SnapshotRows>,
    lookalikes: &'a Lookalikes,
    nothing: &'a Vocabulary,
) -> CandidateModels<'a> {
    match snapshot {
        Some(snapshot) => CandidateModels {
            popular: rows.map(SnapshotRows::by_popularity),
            lookalikes: Some(lookalikes),
            ..models_of(snapshot)
        },
        None => CandidateModels {
            vocabulary: nothing,
            als: None,
            ann: None,
            item_item: None,
            sessions: None,
            popular: None,
            segments: None,
            lookalikes: None,
        },
    }
}

fn models_of(snapshot: &Snapshot) -> CandidateModels<'_> {
    CandidateModels {
        vocabulary: &snapshot.vocabulary,
        als: Some(&snapshot.als),
        ann: Some(snapshot.ann.as_ref()),
        item_item: Some(&snapshot.item_item),
        sessions: snapshot.sessions.as_ref(),
        popular: None,
        segments: snapshot.segments.as_ref(),
        lookalikes: None,
    }
}

/// A proposal as the next stage takes it, and what the catalogue says of it; `None` if the item left the catalogue in
/// between.
fn proposed<'a>(
    entries: &'a Entries,
    rows: Option<&SnapshotRows>,
    proposal: &Proposal,
) -> Option<(Entry<'a>, ProposedItem)> {
    let slot = match (proposal.idx, rows) {
        (Some(idx), Some(rows)) => rows.slot(idx),
        _ => entries.slot(proposal.item)?,
    };
    let entry = entries.at(slot)?;
    let Proposal { item, opinions, .. } = *proposal;
    Some((entry, ProposedItem { item, attributes: entry.attributes, opinions, matches: 0 }))
}

fn of_one_source(entry: Entry<'_>, opinion: Opinion) -> ProposedItem {
    ProposedItem {
        item: entry.key(),
        attributes: entry.attributes,
        opinions: [opinion].into_iter().collect(),
        matches: 0,
    }
}

/// A list of one source beside the item it belongs to.
fn listed(
    entries: &Entries,
    snapshot: &Snapshot,
    source: CandidateSource,
    list: &[Scored],
    because: ItemKey,
) -> Vec<ProposedItem> {
    (1..)
        .zip(list)
        .filter_map(|(rank, scored)| {
            let entry = entries.get(snapshot.vocabulary.key(scored.item))?;
            let (score, because) = (scored.score, Some(because));
            Some(of_one_source(entry, Opinion { source, score, rank, because }))
        })
        .collect()
}

/// Joins the snapshot to the table; the one before the last is forgotten.
fn join(table: &ItemTable, rows: &ArcSwap<Vec<Arc<SnapshotRows>>>, snapshot: &Snapshot) {
    let version = &snapshot.manifest.version;
    let joined = Arc::new(table.join(version.clone(), &snapshot.vocabulary, snapshot.popularity.scores()));
    let before = rows.load();
    let others = before.iter().filter(|known| known.version != *version).take(1).cloned();
    rows.store(Arc::new(std::iter::once(joined).chain(others).collect()));
}

async fn follow_merges(lexical: Arc<LexicalIndex>, cancel: CancellationToken) {
    let mut ticks = tokio::time::interval(MERGED);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while cancel.run_until_cancelled(ticks.tick()).await.is_some() {
        let lexical = lexical.clone();
        match tokio::task::spawn_blocking(move || lexical.follow_merges()).await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => warn!(error = %e, "the text index cannot be read; what it had serves on"),
            Err(e) => warn!(error = %e, "looking at the text index panicked"),
        }
    }
}

async fn advance(table: Arc<ItemTable>, cancel: CancellationToken) {
    let mut ticks = tokio::time::interval(ADVANCE);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while cancel.run_until_cancelled(ticks.tick()).await.is_some() {
        table.advance(Timestamp::now());
    }
}

/// What the ranker must know of the items that the person and the page bring along.
fn known_items(
    entries: &Entries,
    person: &PersonState,
    context_items: &[ItemKey],
) -> Vec<(ItemKey, ItemAttributes)> {
    let history = person.items.iter().map(|entry| entry.item).chain(person.recent.iter().map(|e| e.item));
    let mut keys: Vec<ItemKey> = history.chain(context_items.iter().copied()).collect();
    keys.sort_unstable();
    keys.dedup();
    keys.into_iter().filter_map(|key| Some((key, entries.get(key)?.attributes))).collect()
}

pub(crate) fn failed(error: impl std::fmt::Display) -> RoleError {
    RoleError::Failed { role: "retrieval", detail: error.to_string() }
}
