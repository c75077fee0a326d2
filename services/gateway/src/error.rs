//! How failures of other roles and of the database look to a client.

use waggle_contracts::RoleError;
use waggle_http::{ApiError, Kind, Problem};
use waggle_stores::DatabaseError;

use crate::held::HeldError;

/// The client's view of a role's failure.
pub fn of_role(error: RoleError) -> ApiError {
    let retry_s = |after: std::time::Duration| after.as_secs().max(1);
    let problem = match error {
        RoleError::NotReady { detail, retry_after } => {
            Problem::new(Kind::NotReady).retry_after_s(retry_s(retry_after)).cause(detail)
        }
        RoleError::Overloaded { retry_after } => {
            Problem::new(Kind::Overloaded).retry_after_s(retry_s(retry_after))
        }
        RoleError::SnapshotNotLoaded { .. } => Problem::new(Kind::Conflict).detail(error),
        RoleError::Invalid(detail) => Problem::new(Kind::Invalid).detail(detail),
        RoleError::Deadline { .. } => Problem::new(Kind::Deadline).cause(error),
        RoleError::Failed { .. } => Problem::new(Kind::Internal).cause(error),
    };
    problem.into()
}

/// The client's view of a failure of the database.
pub fn of_database(error: DatabaseError) -> ApiError {
    let problem = match &error {
        DatabaseError::KeyCollision { .. } => Problem::new(Kind::Conflict).detail(&error),
        _ => Problem::new(Kind::Internal).cause(&error),
    };
    problem.into()
}

/// The client's view of a failure to look for what is held about somebody.
pub fn of_held(error: &HeldError) -> ApiError {
    Problem::new(Kind::Internal).cause(error).into()
}

/// The request itself is wrong.
pub fn invalid(detail: impl std::fmt::Display) -> ApiError {
    Problem::new(Kind::Invalid).detail(detail).into()
}

pub fn not_found(detail: impl std::fmt::Display) -> ApiError {
    Problem::new(Kind::NotFound).detail(detail).into()
}
