//! What every implementation of a port must do. Written against the traits, so that each implementation runs the same.

pub(crate) mod artifacts;
pub(crate) mod cache;
pub(crate) mod database;
pub(crate) mod log;
pub(crate) mod state;
