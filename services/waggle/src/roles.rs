//! The roles, each opened from the stores it needs and nothing else.
//!
//! - [`ingest`]: takes events to the log. [`features`]: folds the log into the online state and archives it.
//! - [`gateway`]: answers; with retrieval, ranking, the catalogue's projector and the shop in the same process.

pub(crate) mod features;
pub(crate) mod gateway;
pub(crate) mod ingest;
mod placements;

use std::{collections::BTreeSet, fmt};

pub(crate) use self::{features::FeaturesRole, gateway::GatewayRole, ingest::IngestRole};
use crate::cli::RoleName;

/// The roles of one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Roles(BTreeSet<RoleName>);

impl Roles {
    pub(crate) fn all() -> Self {
        Self([RoleName::Ingest, RoleName::Features, RoleName::Gateway].into())
    }

    /// `all` stands for every role, whatever is named beside it.
    pub(crate) fn of(names: &[RoleName]) -> Self {
        if names.contains(&RoleName::All) { Self::all() } else { Self(names.iter().copied().collect()) }
    }

    pub(crate) fn has(&self, role: RoleName) -> bool {
        self.0.contains(&role)
    }

    pub(crate) fn is_whole(&self) -> bool {
        *self == Self::all()
    }

    /// What these roles have to reach before they want requests.
    pub(crate) fn parts(&self) -> Vec<&'static str> {
        let mut parts = vec!["log"];
        if self.has(RoleName::Features) || self.has(RoleName::Gateway) {
            parts.extend(["state", "database", "artifacts"]);
        }
        if self.has(RoleName::Gateway) {
            parts.extend(["cache", "catalogue", "snapshot"]);
        }
        parts
    }
}

/// As on the command line.
impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_whole() {
            return f.write_str("all");
        }
        let names: Vec<&str> = self.0.iter().map(|role| role.as_str()).collect();
        f.write_str(&names.join(" "))
    }
}
