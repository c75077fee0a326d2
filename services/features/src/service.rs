//! Reads a person's and items' state.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use waggle_contracts::{Features, RoleError, features::PersonView};
use waggle_features::{ItemState, PersonState};
use waggle_model::{ItemKey, Person, PersonKey, Watermark};
use waggle_stores::{StateError, StateKey, StateStore, log::partition_of};

use crate::batch::{item_key, person_key};

const ROLE: &str = "features";

/// Reads the state that [`FeaturesConsumer`](crate::FeaturesConsumer) writes.
pub struct FeaturesService {
    state: Arc<dyn StateStore>,
    /// Of the log's events.
    n_partitions: u32,
}

impl FeaturesService {
    /// `n_partitions` is the log's, `EventLog::n_partitions(Topic::Events)`.
    pub fn new(state: Arc<dyn StateStore>, n_partitions: u32) -> Self {
        Self { state, n_partitions }
    }

    async fn persons(&self, keys: &[StateKey]) -> Result<Vec<Option<PersonState>>, RoleError> {
        let blobs = self.state.read(keys).await.map_err(|e| unavailable(&e))?;
        blobs
            .iter()
            .map(|blob| blob.as_deref().map(PersonState::decode).transpose().map_err(failed))
            .collect()
    }
}

#[async_trait]
impl Features for FeaturesService {
    /// Two round trips: who was asked for, then (all at once) the sessions that turned out to be them. A session's
    /// partition follows from its name, of which the aliases keep only the key, so those are looked up in every one.
    async fn person(&self, person: &Person) -> Result<PersonView, RoleError> {
        let partition =
            person.partition_key().map_or(0, |key| partition_of(key.as_bytes(), self.n_partitions));
        // Read before the state, so that the state has seen at least what the watermark says.
        let applied = self.state.applied(partition).await.map_err(|e| unavailable(&e))?;
        let watermark = Watermark { partition, offset: applied.offset, time: applied.time };
        let Some(own) = person.key() else {
            return Ok(PersonView { state: PersonState::default(), watermark });
        };
        let session = person.session_id.as_ref().filter(|_| person.user_id.is_some()).map(|session| {
            let partition = partition_of(session.as_str().as_bytes(), self.n_partitions);
            (session.key(), person_key(partition, session.key()))
        });
        let mut keys = vec![person_key(partition, own)];
        keys.extend(session.map(|(_, key)| key));
        let mut found = self.persons(&keys).await?.into_iter();
        let mut state = found.next().flatten().unwrap_or_default();
        let session_state = found.next().flatten();

        let aliases: Vec<PersonKey> = state
            .aliases
            .iter()
            .copied()
            .filter(|alias| session.is_none_or(|(key, _)| key != *alias))
            .collect();
        if !aliases.is_empty() {
            let keys: Vec<_> = aliases
                .iter()
                .flat_map(|&alias| (0..self.n_partitions).map(move |p| person_key(p, alias)))
                .collect();
            for alias in self.persons(&keys).await?.into_iter().flatten() {
                state = state.united_with(&alias);
            }
        }
        if let Some(session) = session_state {
            state = state.united_with(&session);
        }
        Ok(PersonView { state, watermark })
    }

    async fn items(&self, items: &[ItemKey]) -> Result<Vec<ItemState>, RoleError> {
        let keys: Vec<_> =
            items.iter().flat_map(|&item| (0..self.n_partitions).map(move |p| item_key(p, item))).collect();
        let blobs = self.state.read(&keys).await.map_err(|e| unavailable(&e))?;
        // Always in partition order: a sum of floats depends on it.
        blobs
            .chunks(self.n_partitions.max(1) as usize)
            .map(|partials| {
                partials.iter().flatten().try_fold(ItemState::default(), |sum, blob| {
                    Ok(sum.merged(&ItemState::decode(blob).map_err(failed)?))
                })
            })
            .collect()
    }
}

fn unavailable(error: &StateError) -> RoleError {
    RoleError::Failed { role: ROLE, detail: error.to_string() }
}

fn failed(error: impl fmt::Display) -> RoleError {
    RoleError::Failed { role: ROLE, detail: error.to_string() }
}
