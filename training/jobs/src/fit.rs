//! Fitting of single models from interactions: plain numbers in, a checked model out.
//!
//! Every fit gives the same bits for the same input and seed, whatever the number of threads.

mod als;
mod interactions;
mod item_item;
mod popularity;
mod segments;
mod sessions;
#[cfg(test)]
mod tests;

pub use als::{fit_als, user_factors};
pub use interactions::{Interactions, InteractionsError, Triple};
pub use item_item::{CoOccurrence, ItemItemParams, fit_item_item};
pub use popularity::{PopularityParams, fit_popularity};
pub use segments::{SegmentParams, fit_segments};
pub use sessions::{SessionParams, SessionRow, fit_sessions};

use waggle_models::{
    als::AlsError, als::SolveError, item_item::ItemItemError, popularity::PopularityError,
    segments::SegmentsError, sessions::SessionsError,
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
    #[error(transparent)]
    ItemItem(#[from] ItemItemError),
    #[error(transparent)]
    Popularity(#[from] PopularityError),
    #[error(transparent)]
    Sessions(#[from] SessionsError),
    #[error("people could not be grouped: {0}")]
    Clusters(String),
    #[error(transparent)]
    Segments(#[from] SegmentsError),
}
