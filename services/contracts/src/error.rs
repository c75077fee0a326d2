//! How a role fails, in terms its caller can act on.

use std::time::Duration;

use waggle_model::SnapshotVersion;

#[derive(Debug, Clone, thiserror::Error)]
pub enum RoleError {
    /// Start-up is not finished, or something it needs is away. Ask again after `retry_after`.
    #[error("not ready: {detail}")]
    NotReady { detail: String, retry_after: Duration },
    /// Its queue is full. Nothing of the request was accepted.
    #[error("overloaded")]
    Overloaded { retry_after: Duration },
    /// The role holds another snapshot than the request names; the caller may start again with `loaded`.
    #[error("snapshot {wanted} is not loaded")]
    SnapshotNotLoaded { wanted: SnapshotVersion, loaded: Option<SnapshotVersion> },
    /// The request itself is wrong; the sentence is meant for who sent it.
    #[error("{0}")]
    Invalid(String),
    /// The request's deadline passed.
    #[error("deadline passed in {role}")]
    Deadline { role: &'static str },
    /// Something broke; the text is for the log, never for the caller.
    #[error("{role} failed: {detail}")]
    Failed { role: &'static str, detail: String },
}
