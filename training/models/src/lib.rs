//! What a trained model *is*: how it scores, how a person it never saw gets a vector, how it is stored. Fitting lives
//! in the training jobs; serving and evaluation run what is here.
//!
//! - [`recommender`]: the one interface that evaluation, jobs and serving know models by.
//! - [`vocabulary`]: identities outside, rows of matrices inside.
//! - [`als`], [`linear`], [`item_item`], [`sessions`], [`sasrec`], [`popularity`], [`segments`]: the single models. [`linalg`]: the kernels they run on.
//! - [`blend`]: several of them as one.
//! - [`lookalikes`]: items that no model knows, by the items they read like.
//! - [`ann`]: which items have the greatest inner product with a person's vector.
//! - [`candidates`]: the first stage: what is worth ranking. [`ranker`]: the second: how good each candidate is.
//! - [`snapshot`]: all that one training run publishes, under one version, with a checksum per part. [`slot`]: the ones a
//!   serving process holds.

pub mod als;
pub mod ann;
pub mod blend;
pub mod candidates;
pub mod item_item;
pub mod linalg;
pub mod linear;
pub mod lookalikes;
mod order;
pub mod popularity;
pub mod ranker;
pub mod recommender;
pub mod sasrec;
pub mod segments;
pub mod sessions;
pub mod slot;
pub mod snapshot;
pub mod vocabulary;

pub use als::{Als, AlsParams, SolveBuffers, SolveError};
pub use ann::{AnnIndex, AnnReport};
pub use blend::Blend;
pub use candidates::{
    CandidateModels, CandidateQuery, Offer, Proposal, SimilarItems, SourceLimits, candidates, similar,
};
pub use item_item::{ItemItem, ItemItemScoring};
pub use linear::{ItemWeights, LinearAutoencoder, LinearScoring, SparseWeights};
pub use lookalikes::Lookalikes;
pub use popularity::{Popularity, PopularityInLastDays, RepeatLastPurchases};
pub use ranker::{Ranker, RankerError};
pub use recommender::{HistoryEntry, ItemScorer, Query, RecommendError, Recommender, top_k};
pub use sasrec::{SasRec, SasRecWeights};
pub use segments::Segments;
pub use sessions::{SessionScoring, Sessions, SessionsError};
pub use slot::SnapshotSlot;
pub use snapshot::{
    EncodedPart, Manifest, PartEntry, Snapshot, SnapshotDraft, SnapshotError, SnapshotModels,
};
pub use vocabulary::Vocabulary;
