//! Roles that fail or stall at will, and are the real ones otherwise.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;
use waggle_contracts::{
    Features, Ranking, Retrieval, RoleError,
    api::{Contribution, Highlight},
    features::PersonView,
    ranking::{RankRequest, RankResponse},
    retrieval::{
        CandidateRequest, CandidateResponse, OpinionRequest, SearchRequest, SearchResponse, SimilarRequest,
    },
};
use waggle_features::ItemFacts;
use waggle_gateway_role::answer_cache::{decode, encode};
use waggle_model::{Item, ItemId, ItemKey, Person, SessionId, SnapshotVersion, Timestamp, UserId};
use waggle_stores::{Cache, CacheError, CacheStats};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    Fails,
    Stalls,
}

impl Fault {
    pub(crate) const BOTH: [Self; 2] = [Self::Fails, Self::Stalls];

    async fn strike(self) -> RoleError {
        match self {
            Self::Fails => RoleError::Failed { role: "test", detail: "pulled the plug".to_owned() },
            Self::Stalls => std::future::pending().await,
        }
    }
}

pub(crate) struct NoFeatures(pub(crate) Fault);

#[async_trait]
impl Features for NoFeatures {
    async fn aliases(&self, _: &UserId, _: Duration) -> Result<Vec<SessionId>, RoleError> {
        Err(self.0.strike().await)
    }

    async fn person(&self, _: &Person) -> Result<PersonView, RoleError> {
        Err(self.0.strike().await)
    }

    async fn items(&self, _: &[ItemKey], _: Timestamp) -> Result<Vec<ItemFacts>, RoleError> {
        Err(self.0.strike().await)
    }
}

/// Features whose fold never catches up.
pub(crate) struct Behind(pub(crate) Arc<dyn Features>);

#[async_trait]
impl Features for Behind {
    async fn person(&self, person: &Person) -> Result<PersonView, RoleError> {
        self.0.person(person).await
    }

    async fn aliases(&self, _: &UserId, _: Duration) -> Result<Vec<SessionId>, RoleError> {
        Err(RoleError::NotReady { detail: "behind".to_owned(), retry_after: Duration::from_secs(2) })
    }

    async fn items(&self, items: &[ItemKey], now: Timestamp) -> Result<Vec<ItemFacts>, RoleError> {
        self.0.items(items, now).await
    }
}

pub(crate) struct NoRanking(pub(crate) Fault);

#[async_trait]
impl Ranking for NoRanking {
    async fn contributions(&self, _: &SnapshotVersion, _: &[f32]) -> Result<Vec<Contribution>, RoleError> {
        Err(self.0.strike().await)
    }

    async fn rank(&self, _: RankRequest) -> Result<RankResponse, RoleError> {
        Err(self.0.strike().await)
    }
}

/// Retrieval that answers nothing.
pub(crate) struct NoRetrieval(pub(crate) Fault);

#[async_trait]
impl Retrieval for NoRetrieval {
    fn current_snapshot(&self) -> Option<SnapshotVersion> {
        None
    }

    fn catalog_version(&self) -> u64 {
        0
    }

    async fn check(&self, _: &[String], _: &[String]) -> Result<(), RoleError> {
        Err(self.0.strike().await)
    }

    async fn candidates(&self, _: &CandidateRequest) -> Result<CandidateResponse, RoleError> {
        Err(self.0.strike().await)
    }

    async fn similar(&self, _: &SimilarRequest) -> Result<CandidateResponse, RoleError> {
        Err(self.0.strike().await)
    }

    async fn search(&self, _: &SearchRequest) -> Result<SearchResponse, RoleError> {
        Err(self.0.strike().await)
    }

    async fn highlights(
        &self,
        _: &BTreeSet<String>,
        _: &[Arc<Item>],
    ) -> Result<Vec<BTreeMap<String, Highlight>>, RoleError> {
        Err(self.0.strike().await)
    }

    async fn opinions(&self, _: &OpinionRequest) -> Result<CandidateResponse, RoleError> {
        Err(self.0.strike().await)
    }

    async fn items(&self, _: &[ItemId]) -> Result<Vec<Option<Arc<Item>>>, RoleError> {
        Err(self.0.strike().await)
    }

    async fn items_by_key(&self, _: &[ItemKey]) -> Result<Vec<Option<Arc<Item>>>, RoleError> {
        Err(self.0.strike().await)
    }
}

/// The real roles, where nobody gets candidates before so many persons were asked for.
pub(crate) struct Crowd {
    features: Arc<dyn Features>,
    retrieval: Arc<dyn Retrieval>,
    missing: watch::Sender<usize>,
    pub(crate) n_computed: AtomicUsize,
}

impl Crowd {
    pub(crate) fn of(
        n_persons: usize,
        features: Arc<dyn Features>,
        retrieval: Arc<dyn Retrieval>,
    ) -> Arc<Self> {
        let missing = watch::Sender::new(n_persons);
        Arc::new(Self { features, retrieval, missing, n_computed: AtomicUsize::new(0) })
    }
}

#[async_trait]
impl Features for Crowd {
    async fn aliases(&self, user: &UserId, patience: Duration) -> Result<Vec<SessionId>, RoleError> {
        self.features.aliases(user, patience).await
    }

    async fn person(&self, person: &Person) -> Result<PersonView, RoleError> {
        let view = self.features.person(person).await;
        self.missing.send_modify(|missing| *missing = missing.saturating_sub(1));
        view
    }

    async fn items(&self, items: &[ItemKey], now: Timestamp) -> Result<Vec<ItemFacts>, RoleError> {
        self.features.items(items, now).await
    }
}

#[async_trait]
impl Retrieval for Crowd {
    fn current_snapshot(&self) -> Option<SnapshotVersion> {
        self.retrieval.current_snapshot()
    }

    fn catalog_version(&self) -> u64 {
        self.retrieval.catalog_version()
    }

    async fn check(&self, expressions: &[String], attributes: &[String]) -> Result<(), RoleError> {
        self.retrieval.check(expressions, attributes).await
    }

    async fn candidates(&self, request: &CandidateRequest) -> Result<CandidateResponse, RoleError> {
        self.n_computed.fetch_add(1, Ordering::Relaxed);
        self.missing.subscribe().wait_for(|missing| *missing == 0).await.expect("the sender lives");
        self.retrieval.candidates(request).await
    }

    async fn similar(&self, request: &SimilarRequest) -> Result<CandidateResponse, RoleError> {
        self.retrieval.similar(request).await
    }

    async fn highlights(
        &self,
        terms: &BTreeSet<String>,
        items: &[Arc<Item>],
    ) -> Result<Vec<BTreeMap<String, Highlight>>, RoleError> {
        self.retrieval.highlights(terms, items).await
    }

    async fn opinions(&self, request: &OpinionRequest) -> Result<CandidateResponse, RoleError> {
        self.retrieval.opinions(request).await
    }

    async fn search(&self, request: &SearchRequest) -> Result<SearchResponse, RoleError> {
        self.retrieval.search(request).await
    }

    async fn items(&self, items: &[ItemId]) -> Result<Vec<Option<Arc<Item>>>, RoleError> {
        self.retrieval.items(items).await
    }

    async fn items_by_key(&self, items: &[ItemKey]) -> Result<Vec<Option<Arc<Item>>>, RoleError> {
        self.retrieval.items_by_key(items).await
    }
}

/// A cache whose answers are all from some time ago.
pub(crate) struct Aged(pub(crate) Arc<dyn Cache>, pub(crate) Duration);

#[async_trait]
impl Cache for Aged {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, CacheError> {
        let found = self.0.get(key).await?;
        let Some(mut answer) = found.as_deref().and_then(decode) else { return Ok(found) };
        let age_ms = i64::try_from(self.1.as_millis()).expect("some seconds");
        answer.computed_at = Timestamp::from_millis(answer.computed_at.as_millis() - age_ms);
        Ok(Some(encode(&answer)))
    }

    async fn set(&self, key: &[u8], value: Bytes, ttl: Duration) -> Result<(), CacheError> {
        self.0.set(key, value, ttl).await
    }

    async fn remove(&self, key: &[u8]) -> Result<(), CacheError> {
        self.0.remove(key).await
    }

    fn stats(&self) -> CacheStats {
        self.0.stats()
    }
}

/// The real retrieval as a request sees it that began just before the snapshot was swapped out for good.
pub(crate) struct BeforeTheSwap(pub(crate) Arc<dyn Retrieval>);

#[async_trait]
impl Retrieval for BeforeTheSwap {
    fn current_snapshot(&self) -> Option<SnapshotVersion> {
        Some(SnapshotVersion::try_new("v0").unwrap())
    }

    fn catalog_version(&self) -> u64 {
        self.0.catalog_version()
    }

    async fn check(&self, expressions: &[String], attributes: &[String]) -> Result<(), RoleError> {
        self.0.check(expressions, attributes).await
    }

    async fn candidates(&self, request: &CandidateRequest) -> Result<CandidateResponse, RoleError> {
        self.0.candidates(request).await
    }

    async fn similar(&self, request: &SimilarRequest) -> Result<CandidateResponse, RoleError> {
        self.0.similar(request).await
    }

    async fn search(&self, request: &SearchRequest) -> Result<SearchResponse, RoleError> {
        self.0.search(request).await
    }

    async fn highlights(
        &self,
        terms: &BTreeSet<String>,
        items: &[Arc<Item>],
    ) -> Result<Vec<BTreeMap<String, Highlight>>, RoleError> {
        self.0.highlights(terms, items).await
    }

    async fn opinions(&self, request: &OpinionRequest) -> Result<CandidateResponse, RoleError> {
        self.0.opinions(request).await
    }

    async fn items(&self, items: &[ItemId]) -> Result<Vec<Option<Arc<Item>>>, RoleError> {
        self.0.items(items).await
    }

    async fn items_by_key(&self, items: &[ItemKey]) -> Result<Vec<Option<Arc<Item>>>, RoleError> {
        self.0.items_by_key(items).await
    }
}
