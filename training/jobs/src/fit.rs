//! Fitting of single models from interactions: plain numbers in, a checked model out.
//!
//! Every fit gives the same bits for the same input and seed, whatever the number of threads.

mod als;
mod content;
mod ease;
mod gram;
mod interactions;
mod inverse;
mod item_item;
#[cfg(test)]
mod linear_tests;
mod popularity;
mod sasrec;
mod segments;
mod sessions;
mod slim;
#[cfg(test)]
mod tests;

pub use als::{fit_als, user_factors};
pub use content::{ContentParams, ContentRegression, fit_content, tf_idf, with_untouched_items};
pub use ease::{EaseParams, fit_ease};
pub use gram::SequenceParams;
pub use interactions::{Interactions, InteractionsError, SparseRows, Triple};
pub use item_item::{CoOccurrence, ItemItemParams, fit_item_item};
pub use popularity::{PopularityParams, fit_popularity};
pub use sasrec::{SasRecParams, fit_sasrec};
pub use segments::{SegmentParams, fit_segments};
pub use sessions::{SessionParams, SessionRow, fit_sessions};
pub use slim::{SlimParams, fit_slim};

use waggle_models::{
    als::AlsError, als::SolveError, item_item::ItemItemError, linear::LinearError,
    popularity::PopularityError, sasrec::SasRecError, segments::SegmentsError, sessions::SessionsError,
};

/// Why a model could not be fitted.
#[derive(Debug, thiserror::Error)]
pub enum FitError {
    #[error("there are no interactions to fit a model from")]
    NoInteractions,
    #[error("{name} is {got}, it must be {rule}")]
    Param { name: &'static str, got: f64, rule: &'static str },
    #[error(transparent)]
    Als(#[from] AlsError),
    #[error("row {row} could not be solved")]
    Solve { row: usize, source: SolveError },
    #[error(
        "nothing is left of the factors: an unobserved weight of {unobserved_weight} and a regularization of \
         {regularization} outweigh what was observed; lower one of them"
    )]
    Vanished { unobserved_weight: f32, regularization: f32 },
    #[error("the solution is not found in {n_iterations} iterations: a greater l2 helps")]
    NotConverged { n_iterations: usize },
    #[error(transparent)]
    Interactions(#[from] InteractionsError),
    #[error("what explains item {item} cannot be told apart: greater l2 or dropout helps")]
    Singular { item: usize },
    #[error(
        "{n_items} items need {needed_mib} MiB for a matrix of all pairs; {available_mib} MiB are there: slim does with less"
    )]
    Memory { n_items: usize, needed_mib: u64, available_mib: u64 },
    #[error(transparent)]
    Linear(#[from] LinearError),
    #[error(transparent)]
    ItemItem(#[from] ItemItemError),
    #[error(transparent)]
    Popularity(#[from] PopularityError),
    #[error(transparent)]
    Sessions(#[from] SessionsError),
    #[error("the weights grew beyond all bounds: a smaller learning_rate helps")]
    Diverged(#[from] SasRecError),
    #[error("people could not be grouped: {0}")]
    Clusters(String),
    #[error(transparent)]
    Segments(#[from] SegmentsError),
}

fn param(is_ok: bool, name: &'static str, got: f64, rule: &'static str) -> Result<(), FitError> {
    if is_ok { Ok(()) } else { Err(FitError::Param { name, got, rule }) }
}
