//! Reads a person's and items' state.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use waggle_contracts::{Features, RoleError, features::PersonView};
use waggle_features::{ItemFacts, PersonState};
use waggle_model::{ItemKey, Person, SessionId, Timestamp, UserId, Watermark, partition_of};
use waggle_stores::{StateError, StateKey, StateStore};

use crate::{
    Progress,
    batch::{item_key, person_key},
    facts_cache::FactsCache,
};

const ROLE: &str = "features";
/// When to ask again while the fold is behind.
const RETRY_BEHIND: Duration = Duration::from_secs(2);

/// Reads the state that [`FeaturesConsumer`](crate::FeaturesConsumer) writes.
pub struct FeaturesService {
    state: Arc<dyn StateStore>,
    progress: Arc<Progress>,
    facts: FactsCache,
}

impl FeaturesService {
    /// `progress` is that of the fold, in this process ([`FeaturesConsumer::progress`](crate::FeaturesConsumer::progress))
    /// or as seen from outside ([`Progress::new`]).
    pub fn new(state: Arc<dyn StateStore>, progress: Arc<Progress>) -> Self {
        Self { state, progress, facts: FactsCache::default() }
    }

    fn n_partitions(&self) -> u32 {
        self.progress.n_partitions()
    }

    fn partition_of(&self, id: &str) -> u32 {
        partition_of(id.as_bytes(), self.n_partitions())
    }

    fn session_key(&self, session: &SessionId) -> StateKey {
        person_key(self.partition_of(session.as_str()), session.key())
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
    /// Two round trips: who was asked for, then (all at once) the sessions that turned out to be them.
    async fn person(&self, person: &Person) -> Result<PersonView, RoleError> {
        let partition = person.partition_key().map_or(0, |id| self.partition_of(id));
        // Read before the state, so that the state has seen at least what the watermark says.
        let applied = self.state.applied(partition).await.map_err(|e| unavailable(&e))?;
        let watermark = Watermark { partition, offset: applied.offset, time: applied.time };
        let Some(own) = person.key() else {
            return Ok(PersonView { state: Arc::default(), watermark });
        };
        let session = person.session_id.as_ref().filter(|_| person.user_id.is_some());
        let mut keys = vec![person_key(partition, own)];
        keys.extend(session.map(|session| self.session_key(session)));
        let mut found = self.persons(&keys).await?.into_iter();
        let mut state = found.next().flatten().unwrap_or_default();
        let session_state = found.next().flatten();

        let aliases = state.aliases.iter().filter(|alias| session != Some(alias));
        let aliases: Vec<StateKey> = aliases.map(|alias| self.session_key(alias)).collect();
        if !aliases.is_empty() {
            for alias in self.persons(&aliases).await?.into_iter().flatten() {
                state = state.united_with(&alias);
            }
        }
        if let Some(session) = session_state {
            state = state.united_with(&session);
        }
        Ok(PersonView { state: Arc::new(state), watermark })
    }

    async fn aliases(&self, user: &UserId, patience: Duration) -> Result<Vec<SessionId>, RoleError> {
        let partition = self.partition_of(user.as_str());
        if !self.progress.wait_until_partition_caught_up(partition, patience).await.map_err(failed)? {
            return Err(RoleError::NotReady {
                detail: format!(
                    "the fold of partition {partition} is behind the log by more than {patience:?}"
                ),
                retry_after: RETRY_BEHIND,
            });
        }
        let found = self.persons(&[person_key(partition, user.key())]).await?;
        Ok(found.into_iter().flatten().flat_map(|state| state.aliases).collect())
    }

    /// Asks the store for those alone that were not asked for within the last second: half of the answers of a busy shop
    /// are about the same few hundred items.
    async fn items(&self, items: &[ItemKey], now: Timestamp) -> Result<Vec<ItemFacts>, RoleError> {
        let (mut facts, missing) = self.facts.get(items, now);
        if missing.is_empty() {
            return Ok(facts);
        }
        let n_partitions = self.n_partitions().max(1);
        let wanted = missing.iter().map(|&place| items[place]);
        let keys: Vec<_> =
            wanted.flat_map(|item| (0..n_partitions).map(move |p| item_key(p, item))).collect();
        let blobs = self.state.read(&keys).await.map_err(|e| unavailable(&e))?;
        // Always in partition order: a sum of floats depends on it.
        for (&place, partials) in missing.iter().zip(blobs.chunks(n_partitions as usize)) {
            let partials = partials.iter().flatten().map(|blob| &**blob);
            facts[place] = ItemFacts::of_partials(partials, now).map_err(failed)?;
        }
        self.facts.put(missing.iter().map(|&place| (items[place], facts[place])), now);
        Ok(facts)
    }
}

fn unavailable(error: &StateError) -> RoleError {
    RoleError::Failed { role: ROLE, detail: error.to_string() }
}

fn failed(error: impl fmt::Display) -> RoleError {
    RoleError::Failed { role: ROLE, detail: error.to_string() }
}
