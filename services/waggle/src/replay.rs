//! The online state once more from the log: to replace the live one, or to show that it is what the log says.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use anyhow::{Context, Result, bail, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use waggle_features_role::{
    position::Position,
    replay::{Past, replay},
};
use waggle_stores::{
    ArchiveReader, EventLog, MemoryState, RedisState, StateStore, Topic, bench::forget_redis, state::digest,
};

use crate::{
    config::{Config, StateKind},
    dir::Paths,
    progress::Steps,
    stores::Stores,
};

/// Partitions that are folded at once.
const AT_ONCE: usize = 2;
/// How often a partition that moves while it is read is read again.
const TRIES: usize = 5;

/// How many records were folded, and how fast.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Pace {
    pub(crate) records: u64,
    pub(crate) records_per_s: f64,
}

impl Pace {
    pub(crate) fn since(started: Instant, records: u64) -> Self {
        Self { records, records_per_s: records as f64 / started.elapsed().as_secs_f64() }
    }
}

impl std::fmt::Display for Pace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} records, {:.0} records/s", self.records, self.records_per_s)
    }
}

/// What verifying one partition came to.
#[derive(Debug, Serialize)]
pub(crate) struct Verified {
    pub(crate) partition: u32,
    /// Offset that both states stand at.
    pub(crate) offset: u64,
    pub(crate) blobs: u64,
    pub(crate) live: String,
    pub(crate) replayed: String,
    pub(crate) is_equal: bool,
}

/// Folds every partition from its beginning into fresh memory, up to where the live state stands, and compares. What
/// retention has taken from the log is read from the archive.
pub(crate) async fn verify(stores: &Stores, steps: &Steps) -> Result<(Vec<Verified>, Pace)> {
    let (log, live, archive) = (stores.log().await?, stores.state().await?, archive(stores).await?);
    let (past, live) = (Past { log: &*log, archive: &archive }, &*live);
    let n_partitions = log.n_partitions(Topic::Events);
    steps.begin("replay and compare", records_until_live(&*log, live).await?);
    let (started, n_done) = (Instant::now(), AtomicU64::new(0));
    let on_progress = |n| steps.at(n_done.fetch_add(n, Ordering::Relaxed) + n, 0);
    let verified = stream::iter(0..n_partitions)
        .map(|partition| verify_partition(past, live, partition, n_partitions, on_progress))
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    let pace = Pace::since(started, n_done.into_inner());
    steps.finish(&pace.to_string());
    Ok((verified, pace))
}

/// Replaces the state by what the log says.
pub(crate) async fn rebuild(config: &Config, stores: &Stores, steps: &Steps) -> Result<Pace> {
    let (log, archive) = (stores.log().await?, archive(stores).await?);
    let past = Past { log: &*log, archive: &archive };
    let n_partitions = log.n_partitions(Topic::Events);
    for partition in 0..n_partitions {
        check_whole(past, partition).await?;
    }
    match config.state.kind {
        StateKind::Memory => rebuild_folder(config, past, steps).await,
        StateKind::Redis => {
            let (redis, prefix) = (&config.state.redis, &config.prefix);
            // A features role that still runs is fenced off by the offset, and folds from the beginning, too.
            forget_redis(redis, prefix).await?;
            let state = RedisState::connect(redis, prefix, n_partitions).await?;
            fold_all(config, past, &state, steps).await
        }
    }
}

async fn verify_partition(
    past: Past<'_>,
    live: &dyn StateStore,
    partition: u32,
    n_partitions: u32,
    on_progress: impl FnMut(u64),
) -> Result<Verified> {
    check_whole(past, partition).await?;
    let (original, at_rest) = at_rest(live, partition, n_partitions).await?;
    let fresh = MemoryState::in_memory(n_partitions);
    let mut position = Position::load(&fresh, partition, n_partitions).await?;
    position.follow_policies_of(&original);
    replay(past, &fresh, position, at_rest.applied.offset, on_progress).await?;
    let replayed = digest(&fresh, partition).await?;
    Ok(Verified {
        partition,
        offset: at_rest.applied.offset,
        blobs: at_rest.n_blobs,
        live: at_rest.to_string(),
        replayed: replayed.to_string(),
        is_equal: replayed == at_rest,
    })
}

/// Position and digest of one and the same state: a partition that moved meanwhile is read again.
async fn at_rest(
    live: &dyn StateStore,
    partition: u32,
    n_partitions: u32,
) -> Result<(Position, waggle_stores::StateDigest)> {
    for _ in 0..TRIES {
        let position = Position::load(live, partition, n_partitions).await?;
        let found = digest(live, partition).await?;
        if !found.has_moved && found.applied == position.applied {
            return Ok((position, found));
        }
    }
    bail!("partition {partition} keeps moving; stop the features role, or verify at a quieter moment")
}

/// Beside the present checkpoints, which are replaced at the end: what is cut off in the middle changes nothing.
async fn rebuild_folder(config: &Config, past: Past<'_>, steps: &Steps) -> Result<Pace> {
    let live = Paths::new(&config.dir).state();
    let (fresh, old) = (live.with_extension("rebuilt"), live.with_extension("replaced"));
    for leftover in [&fresh, &old] {
        remove(leftover)?;
    }
    let state = MemoryState::open(&fresh, past.log.n_partitions(Topic::Events)).await?;
    let pace = fold_all(config, past, &state, steps).await?;
    state.checkpoint().await?;
    if live.exists() {
        std::fs::rename(&live, &old).with_context(|| format!("cannot move {}", live.display()))?;
    }
    std::fs::rename(&fresh, &live).with_context(|| format!("cannot move {}", fresh.display()))?;
    remove(&old)?;
    Ok(pace)
}

fn remove(dir: &std::path::Path) -> Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(e).with_context(|| format!("cannot remove {}", dir.display()))
        }
        _ => Ok(()),
    }
}

async fn fold_all(config: &Config, past: Past<'_>, state: &dyn StateStore, steps: &Steps) -> Result<Pace> {
    let log = past.log;
    let n_partitions = log.n_partitions(Topic::Events);
    let mut ends = Vec::new();
    for partition in 0..n_partitions {
        ends.push((partition, log.end(Topic::Events, partition).await?));
    }
    steps.begin("fold", ends.iter().map(|(_, end)| end).sum());
    let (started, n_done) = (Instant::now(), AtomicU64::new(0));
    let on_progress = |n| steps.at(n_done.fetch_add(n, Ordering::Relaxed) + n, 0);
    stream::iter(ends)
        .map(|(partition, end)| async move {
            let mut position = Position::load(state, partition, n_partitions).await?;
            position.adopt(config.features.policy);
            replay(past, state, position, end, on_progress).await
        })
        .buffered(AT_ONCE)
        .try_for_each(async |_| Ok(()))
        .await?;
    let pace = Pace::since(started, n_done.into_inner());
    steps.finish(&pace.to_string());
    Ok(pace)
}

/// A replay needs every record from the first on.
async fn check_whole(Past { log, archive }: Past<'_>, partition: u32) -> Result<()> {
    let start = log.start(Topic::Events, partition).await?;
    if start > 0 {
        let archived = archive.covers(partition).await?;
        ensure!(
            archived.start == 0 && archived.end >= start,
            "partition {partition} of the log begins at offset {start}, because retention has removed what was before, \
             and the archive holds offsets {} to {} of it: the state cannot be folded again from the first event",
            archived.start,
            archived.end
        );
    }
    Ok(())
}

async fn archive(stores: &Stores) -> Result<ArchiveReader> {
    Ok(ArchiveReader::new(stores.artifacts().await?.clone(), stores.database().await?, Topic::Events))
}

async fn records_until_live(log: &dyn EventLog, live: &dyn StateStore) -> Result<u64> {
    let mut n_records = 0;
    for partition in 0..log.n_partitions(Topic::Events) {
        n_records += live.applied(partition).await?.offset;
    }
    Ok(n_records)
}

#[cfg(test)]
mod tests;
