//! Roles that fail or stall at will, and are the real ones otherwise.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use waggle_contracts::{
    Features, Ranking, Retrieval, RoleError,
    api::Contribution,
    features::PersonView,
    ranking::{RankRequest, RankResponse},
    retrieval::{CandidateRequest, CandidateResponse, SearchRequest, SearchResponse, SimilarRequest},
};
use waggle_features::ItemFacts;
use waggle_model::{Item, ItemId, ItemKey, Person, SessionId, SnapshotVersion, Timestamp, UserId};

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

    async fn items(&self, _: &[ItemId]) -> Result<Vec<Option<Arc<Item>>>, RoleError> {
        Err(self.0.strike().await)
    }

    async fn items_by_key(&self, _: &[ItemKey]) -> Result<Vec<Option<Arc<Item>>>, RoleError> {
        Err(self.0.strike().await)
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

    async fn items(&self, items: &[ItemId]) -> Result<Vec<Option<Arc<Item>>>, RoleError> {
        self.0.items(items).await
    }

    async fn items_by_key(&self, items: &[ItemKey]) -> Result<Vec<Option<Arc<Item>>>, RoleError> {
        self.0.items_by_key(items).await
    }
}
