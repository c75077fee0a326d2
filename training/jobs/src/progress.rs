//! How far a job is, and how much memory it took.

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

/// The most memory that this process has held so far, as the kernel of Linux counts it; `None` where the system does not say.
pub fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}
