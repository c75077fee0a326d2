//! The embedded state store: blobs in memory, checkpointed to disk.

mod checkpoint;

use std::{
    collections::{BTreeMap, HashMap},
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};

use async_trait::async_trait;
use bytes::Bytes;

use self::checkpoint::{Folder, encode};
use super::{
    ALL_SLOTS, Applied, StateBatch, StateError, StateKey, StateKind, StateStore, check_batch,
    no_such_partition, slot_of,
};
use crate::background;

/// A [`StateStore`] in memory.
///
/// One lock per partition: a commit holds its own partition's for as long as it takes to move the blobs' handles, a
/// read holds those of the partitions it asks about, all at once, so it sees a batch whole or not at all. What was
/// committed after the newest checkpoint is lost with the process and folded again from the log.
#[derive(Debug)]
pub struct MemoryState {
    partitions: Arc<[RwLock<Partition>]>,
    /// `None`: nothing survives the process. The mutex lets one checkpoint be written at a time.
    folder: Option<Arc<tokio::sync::Mutex<Folder>>>,
}

impl MemoryState {
    /// State that no checkpoint keeps; it starts at offset 0.
    pub fn in_memory(n_partitions: u32) -> Self {
        let partitions = (0..n_partitions).map(|_| RwLock::default()).collect();
        Self { partitions, folder: None }
    }

    /// State with checkpoints in the folder `dir`, which is created if need be.
    ///
    /// The newest whole checkpoint is loaded; a damaged one is logged and the one before it is used; with none, every
    /// partition starts at offset 0.
    ///
    /// # Errors
    /// [`StateError::Version`] for a whole checkpoint of another version, [`StateError::Storage`] if the folder cannot
    /// be read or the checkpoint has another number of partitions.
    pub async fn open(dir: impl AsRef<Path>, n_partitions: u32) -> Result<Self, StateError> {
        let dir = dir.as_ref().to_owned();
        blocking(move || Self::load(dir, n_partitions)).await
    }

    fn load(dir: PathBuf, n_partitions: u32) -> Result<Self, StateError> {
        let (folder, loaded) = Folder::open(dir)?;
        let partitions = match loaded {
            None => (0..n_partitions).map(|_| RwLock::default()).collect(),
            Some(partitions) if partitions.len() == n_partitions as usize => {
                partitions.into_iter().map(RwLock::new).collect()
            }
            Some(partitions) => {
                return Err(StateError::Storage(format!(
                    "the state checkpoint has {} partitions, the configuration says {n_partitions}",
                    partitions.len()
                )));
            }
        };
        Ok(Self { partitions, folder: Some(Arc::new(tokio::sync::Mutex::new(folder))) })
    }

    fn partition(&self, partition: u32) -> Result<&RwLock<Partition>, StateError> {
        self.partitions
            .get(partition as usize)
            .ok_or_else(|| no_such_partition(partition, self.partitions.len()))
    }

    fn read_lock(&self, partition: u32) -> Result<RwLockReadGuard<'_, Partition>, StateError> {
        // A panic while the lock is held cannot leave half a batch: `apply` only moves handles.
        Ok(self.partition(partition)?.read().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl StateStore for MemoryState {
    async fn read(&self, keys: &[StateKey]) -> Result<Vec<Option<Bytes>>, StateError> {
        // Locked in ascending order, and nobody who holds one for writing asks for another: no deadlock.
        let mut locked = BTreeMap::new();
        let mut asked = keys.iter().map(|key| key.partition).collect::<Vec<_>>();
        asked.sort_unstable();
        asked.dedup();
        for partition in asked {
            locked.insert(partition, self.read_lock(partition)?);
        }
        Ok(keys
            .iter()
            .map(|key| locked.get(&key.partition)?.blobs(key.kind).get(key.key).map(Bytes::copy_from_slice))
            .collect())
    }

    async fn scan(
        &self,
        partition: u32,
        kind: StateKind,
        slots: RangeInclusive<u16>,
    ) -> Result<Vec<(u64, Bytes)>, StateError> {
        let partition = self.read_lock(partition)?;
        let blobs = slots.filter_map(|slot| partition.blobs(kind).slots.get(usize::from(slot))).flatten();
        Ok(blobs.map(|(&key, blob)| (key, Bytes::copy_from_slice(blob))).collect())
    }

    async fn applied(&self, partition: u32) -> Result<Applied, StateError> {
        Ok(self.read_lock(partition)?.applied)
    }

    async fn commit(&self, batch: StateBatch) -> Result<(), StateError> {
        check_batch(&batch)?;
        let mut partition = self.partition(batch.partition)?.write().unwrap_or_else(PoisonError::into_inner);
        let stored = partition.applied.offset;
        if stored != batch.expected_offset {
            let (partition, expected) = (batch.partition, batch.expected_offset);
            return Err(StateError::Fenced { partition, stored, expected });
        }
        partition.apply(batch);
        Ok(())
    }

    async fn checkpoint(&self) -> Result<(), StateError> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let mut folder = Arc::clone(folder).lock_owned().await;
        let partitions = Arc::clone(&self.partitions);
        blocking(move || {
            // One partition after the other: each is consistent with its own offset, which is all that replay needs.
            let encoded = |p: &RwLock<Partition>| encode(&p.read().unwrap_or_else(PoisonError::into_inner));
            folder.write(partitions.len(), partitions.iter().map(encoded))
        })
        .await
    }
}

/// The blobs of one partition by kind and key, and how far they have come.
#[derive(Debug, Default)]
struct Partition {
    applied: Applied,
    blobs: [Blobs; KINDS.len()],
}

/// The blobs of one kind, by slot: walking one does not touch the others. There may be millions of them, some tens of
/// bytes long, so each is kept without anything beside it and copied for whoever reads it.
#[derive(Debug)]
struct Blobs {
    slots: Box<[HashMap<u64, Box<[u8]>>]>,
}

impl Default for Blobs {
    fn default() -> Self {
        Self { slots: ALL_SLOTS.map(|_| HashMap::new()).collect() }
    }
}

impl Blobs {
    fn get(&self, key: u64) -> Option<&[u8]> {
        self.slots[usize::from(slot_of(key))].get(&key).map(|blob| &**blob)
    }

    fn insert(&mut self, key: u64, blob: &[u8]) {
        self.slots[usize::from(slot_of(key))].insert(key, blob.into());
    }

    fn remove(&mut self, key: u64) {
        self.slots[usize::from(slot_of(key))].remove(&key);
    }

    fn len(&self) -> usize {
        self.slots.iter().map(HashMap::len).sum()
    }

    fn iter(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.slots.iter().flatten().map(|(key, blob)| (*key, &**blob))
    }
}

/// In the order of their code in a checkpoint.
const KINDS: [StateKind; 3] = [StateKind::Person, StateKind::Item, StateKind::Fold];

fn kind_code(kind: StateKind) -> u8 {
    match kind {
        StateKind::Person => 0,
        StateKind::Item => 1,
        StateKind::Fold => 2,
    }
}

impl Partition {
    fn blobs(&self, kind: StateKind) -> &Blobs {
        &self.blobs[usize::from(kind_code(kind))]
    }

    fn apply(&mut self, batch: StateBatch) {
        for (key, blob) in batch.writes {
            let blobs = &mut self.blobs[usize::from(kind_code(key.kind))];
            match blob {
                Some(blob) => blobs.insert(key.key, &blob),
                None => blobs.remove(key.key),
            }
        }
        self.applied = Applied { offset: batch.next_offset, time: batch.time };
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StateError> + Send + 'static,
) -> Result<T, StateError> {
    match background::run(work).await {
        Ok(done) => done,
        Err(failure) => {
            Err(StateError::Storage(format!("the checkpoint's thread ended abnormally: {failure}")))
        }
    }
}
