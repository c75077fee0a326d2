//! The state store of production: blobs in Redis.
//!
//! | key | holds |
//! | --- | --- |
//! | `prefix:state` | layout version, number of partitions and of slots |
//! | `{prefix:partition}:applied` | hash: offset, newest event time in ms, id of the commit that wrote them |
//! | `{prefix:partition}:kind:slot` | hash: key (8 bytes, big endian) → blob |
//!
//! Everything of one partition has the same hash tag, so one script may touch it. Keys never expire.

use std::{
    collections::HashMap,
    ops::RangeInclusive,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use deadpool_redis::redis::{Pipeline, Script, ScriptInvocation};
use waggle_model::Timestamp;
use xxhash_rust::xxh3::Xxh3;

use super::{
    Applied, N_SLOTS, StateBatch, StateError, StateKey, StateKind, StateStore, check_batch,
    no_such_partition, slot_of,
};
use crate::redis::{Failed, Redis, RedisConfig, check_prefix};

/// Version of the keys and values described above.
const LAYOUT: u32 = 1;
/// Blobs that one step of walking a hash asks for; the server does nothing else while it answers.
const SCAN_BLOBS: usize = 500;
/// Hashes that are walked at once.
const SCAN_HASHES: usize = 16;
/// Commits per partition whose fate is remembered as unknown.
const IN_DOUBT: usize = 8;
/// Largest batch, so that its request stays below what Redis accepts (1 GB, and a million arguments before Redis 7).
const MAX_BATCH_BYTES: usize = 256 << 20;
const MAX_BATCH_WRITES: usize = 400_000;

/// A [`StateStore`] in Redis.
///
/// One owner per partition writes; anybody reads. A read of any number of keys is one transaction in one round trip, so
/// it sees a batch whole or not at all, of every partition it asks about (on one server with its replicas; Redis
/// Cluster would promise it per partition only, and this client does not speak to one).
///
/// **Durability is what Redis is configured for**, and state and offset always move together, whatever is lost: a commit
/// is one script, which the append-only file holds whole or not at all. With `appendfsync everysec` a crash of the machine
/// or of the process may take back the last two seconds of commits (Redis holds writes back while a sync is under way), a
/// failover those that the replica had not got. The state then stands exactly
/// as some earlier commit left it, the fold finds that offset and goes on from there: nothing is lost and nothing counts
/// twice, as long as the log still has the records. `appendfsync always` takes nothing back. Without any persistence a
/// restart begins at offset 0. An owner that goes on meanwhile is told by [`StateError::Fenced`] with an offset *below*
/// the one it expects: it may load its position again.
///
/// **A lost answer** (the connection died after a commit was sent) is [`StateError::Storage`], and what became of the
/// commit is unknown. Committing the same batch again settles it: if the first try arrived, the second succeeds without
/// doing anything. Loading [`applied`](StateStore::applied) again settles it as well; should the first try arrive even
/// later, the next commit fails with `Storage` once more instead of `Fenced`, for it is no other owner who moved the
/// state. Each commit carries an id of its own that is stored with the offset, so another owner's commit, be its offsets
/// and blobs the same, is never taken for ours.
#[derive(Debug)]
pub struct RedisState {
    redis: Redis,
    prefix: String,
    n_partitions: u32,
    commit: Script,
    /// Begins the ids of our commits: 128 random bits.
    owner: String,
    n_commits: AtomicU64,
    in_doubt: Mutex<HashMap<u32, Vec<InDoubt>>>,
}

/// A commit whose answer was lost.
#[derive(Debug)]
struct InDoubt {
    id: String,
    content: u128,
}

impl RedisState {
    /// Connects, and checks that what is stored under `prefix` has this layout and number of partitions; under a new
    /// prefix they are fixed now.
    ///
    /// # Errors
    /// [`StateError::Storage`] if there is no answer (within the configured time to connect, or to answer), for another
    /// number of partitions, and for a server that may throw keys away when its memory is full; [`StateError::Version`]
    /// for another layout. Messages name host and port, never the password.
    pub async fn connect(config: &RedisConfig, prefix: &str, n_partitions: u32) -> Result<Self, StateError> {
        check_prefix(prefix).map_err(StateError::Storage)?;
        let timeout = Duration::from_millis(config.timeout_ms.max(1));
        let store = Self {
            redis: Redis::new(config, timeout)?,
            prefix: prefix.to_owned(),
            n_partitions,
            commit: Script::new(include_str!("redis/commit.lua")),
            owner: format!("{:032x}", rand::random::<u128>()),
            n_commits: AtomicU64::new(0),
            in_doubt: Mutex::default(),
        };
        store.check_server().await?;
        store.check_layout().await?;
        Ok(store)
    }

    /// Refuses a server that evicts what has no time to live: state would go missing blob by blob, unnoticed.
    async fn check_server(&self) -> Result<(), StateError> {
        let mut pipeline = Pipeline::new();
        pipeline.cmd("INFO").arg("memory").cmd("INFO").arg("persistence");
        let (memory, persistence): (String, String) = self.redis.query(&pipeline).await?;
        let value = |info: &str, name: &str| {
            info.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim().to_owned()))
        };
        let policy = value(&memory, "maxmemory_policy").unwrap_or_default();
        if policy.starts_with("allkeys") && value(&memory, "maxmemory").is_some_and(|limit| limit != "0") {
            return Err(StateError::Storage(format!(
                "redis evicts keys of its own choice when its memory is full (maxmemory-policy {policy}); the online \
                 state needs noeviction"
            )));
        }
        if value(&persistence, "aof_enabled").is_some_and(|enabled| enabled == "0") {
            tracing::warn!(
                "redis keeps no append-only file (appendonly no): after its restart the state begins at its last \
                 snapshot, and the log must still hold everything since"
            );
        }
        Ok(())
    }

    async fn check_layout(&self) -> Result<(), StateError> {
        let key = format!("{}:state", self.prefix);
        let ours = [("layout", LAYOUT), ("partitions", self.n_partitions), ("slots", N_SLOTS.into())];
        let mut pipeline = Pipeline::new();
        pipeline.atomic();
        for (field, value) in ours {
            pipeline.cmd("HSETNX").arg(&key).arg(field).arg(value).ignore();
        }
        pipeline.cmd("HMGET").arg(&key).arg(ours.map(|(field, _)| field).as_slice());
        let ((layout, n_partitions, n_slots),): ((u32, u32, u32),) = self.redis.query(&pipeline).await?;
        if (layout, n_slots) != (LAYOUT, N_SLOTS.into()) {
            return Err(StateError::Version { got: layout, expected: LAYOUT });
        }
        if n_partitions != self.n_partitions {
            return Err(StateError::Storage(format!(
                "the state under the prefix {} has {n_partitions} partitions, the configuration says {}",
                self.prefix, self.n_partitions
            )));
        }
        Ok(())
    }

    fn check_partition(&self, partition: u32) -> Result<(), StateError> {
        if partition < self.n_partitions {
            return Ok(());
        }
        Err(no_such_partition(partition, self.n_partitions as usize))
    }

    fn applied_key(&self, partition: u32) -> String {
        format!("{{{}:{partition}}}:applied", self.prefix)
    }

    fn hash_key(&self, (partition, kind, slot): HashId) -> String {
        let kind = match kind {
            StateKind::Person => "person",
            StateKind::Item => "item",
            StateKind::Fold => "fold",
        };
        format!("{{{}:{partition}}}:{kind}:{slot}", self.prefix)
    }
}

/// Partition, kind and slot: what one hash in Redis holds.
type HashId = (u32, StateKind, u16);
/// A key within a hash, and its blob if it is set.
type Write<'a> = (u64, Option<&'a Bytes>);

#[async_trait]
impl StateStore for RedisState {
    async fn read(&self, keys: &[StateKey]) -> Result<Vec<Option<Bytes>>, StateError> {
        let mut hashes: HashMap<HashId, Vec<usize>> = HashMap::new();
        for (place, key) in keys.iter().enumerate() {
            self.check_partition(key.partition)?;
            hashes.entry((key.partition, key.kind, slot_of(key.key))).or_default().push(place);
        }
        if hashes.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = Pipeline::with_capacity(hashes.len());
        if hashes.len() > 1 {
            pipeline.atomic();
        }
        let hashes = hashes.into_iter().collect::<Vec<_>>();
        for (id, places) in &hashes {
            pipeline.cmd("HMGET").arg(self.hash_key(*id));
            for &place in places {
                pipeline.arg(&keys[place].key.to_be_bytes());
            }
        }
        let found: Vec<Vec<Option<Vec<u8>>>> = self.redis.query(&pipeline).await?;
        let mut blobs = vec![None; keys.len()];
        for ((_, places), found) in hashes.iter().zip(found) {
            for (&place, blob) in places.iter().zip(found) {
                blobs[place] = blob.map(Bytes::from);
            }
        }
        Ok(blobs)
    }

    async fn scan(
        &self,
        partition: u32,
        kind: StateKind,
        slots: RangeInclusive<u16>,
    ) -> Result<Vec<(u64, Bytes)>, StateError> {
        self.check_partition(partition)?;
        // A hash that grows or shrinks while it is walked may show a field twice: the later sight counts.
        let mut blobs = HashMap::new();
        let mut waiting = slots.map(|slot| self.hash_key((partition, kind, slot)));
        let mut walks = Vec::new();
        loop {
            let free = SCAN_HASHES - walks.len();
            walks.extend(waiting.by_ref().take(free).map(|key| Walk { key, cursor: 0 }));
            if walks.is_empty() {
                return Ok(blobs.into_iter().collect());
            }
            let mut pipeline = Pipeline::with_capacity(walks.len());
            for walk in &walks {
                pipeline.cmd("HSCAN").arg(&walk.key).arg(walk.cursor).arg("COUNT").arg(SCAN_BLOBS);
            }
            let steps: Vec<(u64, Vec<Vec<u8>>)> = self.redis.query(&pipeline).await?;
            for (walk, (cursor, found)) in walks.iter_mut().zip(steps) {
                walk.cursor = cursor;
                let mut found = found.into_iter();
                while let (Some(field), Some(blob)) = (found.next(), found.next()) {
                    let key = field.try_into().map_err(|field: Vec<u8>| unknown_field(&walk.key, &field))?;
                    blobs.insert(u64::from_be_bytes(key), Bytes::from(blob));
                }
            }
            walks.retain(|walk| walk.cursor != 0);
        }
    }

    async fn applied(&self, partition: u32) -> Result<Applied, StateError> {
        self.check_partition(partition)?;
        let mut pipeline = Pipeline::new();
        pipeline.cmd("HMGET").arg(self.applied_key(partition)).arg("offset").arg("time");
        let ((offset, time),): ((Option<u64>, Option<i64>),) = self.redis.query(&pipeline).await?;
        let time = time.map_or(Applied::default().time, Timestamp::from_millis);
        Ok(Applied { offset: offset.unwrap_or_default(), time })
    }

    async fn commit(&self, batch: StateBatch) -> Result<(), StateError> {
        self.check_partition(batch.partition)?;
        check_batch(&batch)?;
        check_size(&batch)?;
        let id = self.commit_id(&batch);
        let script = self.invocation(&batch, &id);
        let refusal: Result<Option<(u64, String)>, _> =
            self.redis.with(async |connection| script.invoke_async(connection).await).await;
        drop(script);
        match refusal {
            Ok(None) => {
                self.forget_doubts(batch.partition);
                Ok(())
            }
            Ok(Some((stored, stored_by))) => Err(self.refused(&batch, stored, &stored_by)),
            Err(failed) => {
                if failed.in_doubt {
                    self.doubt(&batch, id);
                }
                Err(failed.into())
            }
        }
    }

    /// Does nothing: see [`RedisState`] for what Redis itself makes durable, and when.
    async fn checkpoint(&self) -> Result<(), StateError> {
        Ok(())
    }
}

/// A hash that is being walked.
struct Walk {
    key: String,
    cursor: u64,
}

impl RedisState {
    fn invocation(&self, batch: &StateBatch, id: &str) -> ScriptInvocation<'_> {
        let mut script = self.commit.prepare_invoke();
        script.key(self.applied_key(batch.partition));
        let (from, to) = (batch.expected_offset, batch.next_offset);
        script.arg(from).arg(to).arg(batch.time.as_millis()).arg(id);
        for (hash, writes) in by_hash(batch) {
            script.key(self.hash_key(hash));
            let n_set = writes.iter().filter(|(_, blob)| blob.is_some()).count();
            script.arg(n_set).arg(writes.len() - n_set);
            for (key, blob) in &writes {
                if let Some(blob) = blob {
                    script.arg(&key.to_be_bytes()).arg(blob.as_ref());
                }
            }
            for (key, _) in writes.iter().filter(|(_, blob)| blob.is_none()) {
                script.arg(&key.to_be_bytes());
            }
        }
        script
    }

    /// The id under which the batch is committed: a new one, unless it is another try of a commit in doubt.
    fn commit_id(&self, batch: &StateBatch) -> String {
        let in_doubt = self.in_doubt.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(doubts) = in_doubt.get(&batch.partition) {
            let content = content(batch);
            if let Some(earlier) = doubts.iter().find(|doubt| doubt.content == content) {
                return earlier.id.clone();
            }
        }
        format!("{}:{}", self.owner, self.n_commits.fetch_add(1, Ordering::Relaxed))
    }

    fn doubt(&self, batch: &StateBatch, id: String) {
        let content = content(batch);
        let mut in_doubt = self.in_doubt.lock().unwrap_or_else(PoisonError::into_inner);
        let doubts = in_doubt.entry(batch.partition).or_default();
        doubts.retain(|doubt| doubt.id != id);
        if doubts.len() == IN_DOUBT {
            doubts.remove(0);
        }
        doubts.push(InDoubt { id, content });
    }

    /// After a commit that the server confirmed nothing older can arrive any more: its offset is gone.
    fn forget_doubts(&self, partition: u32) {
        self.in_doubt.lock().unwrap_or_else(PoisonError::into_inner).remove(&partition);
    }

    fn refused(&self, batch: &StateBatch, stored: u64, stored_by: &str) -> StateError {
        let partition = batch.partition;
        let in_doubt = self.in_doubt.lock().unwrap_or_else(PoisonError::into_inner);
        let ours = in_doubt.get(&partition).is_some_and(|all| all.iter().any(|doubt| doubt.id == stored_by));
        if ours {
            return StateError::Storage(format!(
                "a commit whose answer was lost has moved partition {partition} to offset {stored}; load it again"
            ));
        }
        StateError::Fenced { partition, stored, expected: batch.expected_offset }
    }
}

/// The batch's writes by the hash they go to; of several for one key the last.
fn by_hash(batch: &StateBatch) -> Vec<(HashId, Vec<Write<'_>>)> {
    let mut writes =
        batch.writes.iter().map(|(key, blob)| (key.kind, key.key, blob.as_ref())).collect::<Vec<_>>();
    // Stable, so that of equal keys the last stays last.
    writes.sort_by_key(|&(kind, key, _)| (kind, key));
    let mut hashes: Vec<(HashId, Vec<Write<'_>>)> = Vec::new();
    for (kind, key, blob) in writes {
        let id = (batch.partition, kind, slot_of(key));
        match hashes.last_mut() {
            Some((last, writes)) if *last == id => match writes.last_mut() {
                Some(write) if write.0 == key => write.1 = blob,
                _ => writes.push((key, blob)),
            },
            _ => hashes.push((id, vec![(key, blob)])),
        }
    }
    hashes
}

/// Everything that makes two batches the same.
fn content(batch: &StateBatch) -> u128 {
    let mut hash = Xxh3::new();
    for number in [batch.expected_offset, batch.next_offset, batch.time.as_millis().cast_unsigned()] {
        hash.update(&number.to_le_bytes());
    }
    for (key, blob) in &batch.writes {
        hash.update(&[key.kind as u8, u8::from(blob.is_some())]);
        hash.update(&key.key.to_le_bytes());
        let blob = blob.as_deref().unwrap_or_default();
        hash.update(&(blob.len() as u64).to_le_bytes());
        hash.update(blob);
    }
    hash.digest128()
}

fn check_size(batch: &StateBatch) -> Result<(), StateError> {
    let size_bytes = batch.writes.iter().filter_map(|(_, blob)| blob.as_ref()).map(Bytes::len).sum::<usize>();
    if batch.writes.len() > MAX_BATCH_WRITES || size_bytes > MAX_BATCH_BYTES {
        return Err(StateError::Storage(format!(
            "a batch of {} blobs and {size_bytes} bytes is larger than redis takes in one step ({MAX_BATCH_WRITES} \
             and {MAX_BATCH_BYTES})",
            batch.writes.len()
        )));
    }
    Ok(())
}

fn unknown_field(hash: &str, field: &[u8]) -> StateError {
    StateError::Storage(format!("{hash} holds a field of {} bytes, which no state has", field.len()))
}

impl From<Failed> for StateError {
    fn from(failed: Failed) -> Self {
        Self::Storage(failed.message)
    }
}
