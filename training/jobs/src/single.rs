//! One model on one public data set: how the data is split, what is fitted, what comes of it.
//!
//! - [`split`]: published protocols, and the validation part of what may be learned from.
//! - [`model`]: models by name, with settings. [`report`]: fitted and asked about everybody, over the whole catalogue.
//! - [`tune`]: settings, and the model itself, by what they reach on the validation part. [`knobs`]: what is
//!   tried. [`blend`]: how much the best of them count together. [`plots`]: curves and a map, where they are asked for.

pub mod blend;
pub mod knobs;
pub mod model;
pub mod plots;
pub mod report;
pub mod split;
pub mod tune;

pub use model::SingleModel;
pub use plots::{LearningPoint, MapPoint, Plots};
pub use report::{SplitReport, evaluate_split};
pub use split::{Lists, PublicData, Split};
pub use tune::{Choice, Trial, TuneParams, tune};
