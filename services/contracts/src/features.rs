//! Features: folds the log into online state and reads it back.

use async_trait::async_trait;
use waggle_features::{ItemState, PersonState};
use waggle_model::{ItemKey, Person, Watermark};

use crate::RoleError;

#[async_trait]
pub trait Features: Send + Sync + 'static {
    /// What is known of the person: the user's state united with those of the sessions merged into it. Nothing known is
    /// an empty state, not an error.
    async fn person(&self, person: &Person) -> Result<PersonView, RoleError>;

    /// Counters of the items, in the order asked, partials summed.
    async fn items(&self, items: &[ItemKey]) -> Result<Vec<ItemState>, RoleError>;
}

/// A person's state, and how much of the log it has seen.
#[derive(Debug, Clone)]
pub struct PersonView {
    pub state: PersonState,
    pub watermark: Watermark,
}
