//! How far a job is.

/// Hears of named steps; called from several threads.
pub trait Progress: Sync {
    /// `done` of `total` parts of the step `name` are finished. Every step reports `total` of `total` in the end.
    fn report(&self, name: &'static str, done: usize, total: usize);
}

/// Nobody listens.
pub struct Silent;

impl Progress for Silent {
    fn report(&self, _name: &'static str, _done: usize, _total: usize) {}
}
