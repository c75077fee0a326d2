//! How good a recommender is: splits that do not leak, metrics with stated denominators, intervals, and tables.
//!
//! Start at [`evaluate`]: it asks any [`Recommender`](waggle_models::Recommender) for every [`Case`] and keeps the
//! value of every case, so that two recommenders can be compared person by person.
//!
//! - [`metrics`]: the formulas. [`split`]: what may be learned from, what must be foretold.
//! - [`bootstrap`]: intervals and paired tests over persons. [`table`]: comparisons for people and programs.

pub mod beyond;
pub mod bootstrap;
pub mod evaluation;
pub mod metrics;
pub mod slices;
pub mod split;
pub mod table;

pub use beyond::{TailPoint, Touched};
pub use bootstrap::{Bootstrap, Difference, Interval};
pub use evaluation::{Case, Coverage, Evaluation, EvaluationError, evaluate};
pub use slices::{Slice, by_activity, by_item_age};
pub use split::{Repeats, SplitCases, TimeSplit, TimedInteraction};
pub use table::{Comparison, Row};
