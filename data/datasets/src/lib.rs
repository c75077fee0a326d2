//! Public datasets as the domain's own values: items, users and events in order of time.
//!
//! A reader turns the files its publisher offers into a [`Dataset`] and accounts for every line of them in a
//! [`CleaningReport`]: kept, dropped and why, or broken and where. [`online_retail`] reads the invoice lines of a British
//! gift shop, the data of the demo. [`ItemLists`] reads the files in which papers publish their splits. [`catalogue`] lists what is known by name, [`find`] looks for the files of one, and
//! [`fetch`](fetch::fetch) downloads and checks them.
//!
//! The crate reads no process environment: folders are arguments. It leaves writing to the log to `waggle import`, and
//! splitting for evaluation to `waggle-evaluation`. Start reading at [`Dataset`], then [`online_retail::read`].

mod catalogue;
mod dataset;
mod error;
pub mod fetch;
mod item_lists;
pub mod online_retail;
mod report;

pub use catalogue::{Descriptor, Download, catalogue, descriptor, find};
pub use dataset::Dataset;
pub use error::DatasetError;
pub use item_lists::{ItemLists, ItemListsForm, MAX_ID};
pub use report::{BrokenLine, CleaningReport, DropReason, FileReport};
