//! Fit, evaluate, gate: from the archive's events to a snapshot that may be published.
//!
//! Start at [`train`](train::train). The caller reads the archive and writes the snapshot; here is no I/O.
//!
//! - [`fit`]: the single models. [`models`]: all of them as of one moment.
//! - [`replay`]: point-in-time states by the very fold that serving runs. [`examples`]: what the ranker learns from.
//! - [`fit_ranker`]: the ranker. [`two_stage`]: candidates and ranker as one recommender.
//! - [`time_split`]: the evaluation, with baskets stopped half-way (`next_items`). [`clicks`]: whether a single event counts.
//! - [`single`]: one model on a public data set, under the protocol of its published figures.

pub mod clicks;
pub mod examples;
pub mod fit;
pub mod fit_ranker;
mod item_terms;
pub mod models;
mod next_items;
pub mod progress;
pub mod replay;
pub mod single;
pub mod time_split;
pub mod train;
pub mod two_stage;

pub use progress::{Progress, Silent};
pub use time_split::{ExtraRecommenders, SplitContext, TimeSplitReport};
pub use train::{
    Gate, TrainError, TrainParams, TrainedSnapshot, TrainingInput, evaluate_time_split, span, train,
};
