//! Features: folds the log into online state and reads it back.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use waggle_features::{ItemFacts, PersonState};
use waggle_model::{ItemKey, Person, SessionId, Timestamp, UserId, Watermark};

use crate::RoleError;

#[async_trait]
pub trait Features: Send + Sync + 'static {
    /// What is known of the person: the user's state united with those of the sessions merged into it. Nothing known is
    /// an empty state, not an error.
    async fn person(&self, person: &Person) -> Result<PersonView, RoleError>;

    /// The sessions that were merged into the user, as of everything that was acknowledged before this call.
    ///
    /// Waits up to `patience` for the fold to have come that far, and is [`RoleError::NotReady`] if it has not.
    async fn aliases(&self, user: &UserId, patience: Duration) -> Result<Vec<SessionId>, RoleError>;

    /// What everybody does with the items, in the order asked, as of `now` or a moment before.
    async fn items(&self, items: &[ItemKey], now: Timestamp) -> Result<Vec<ItemFacts>, RoleError>;
}

/// A person's state, and how much of the log it has seen.
#[derive(Debug, Clone)]
pub struct PersonView {
    pub state: Arc<PersonState>,
    pub watermark: Watermark,
}
