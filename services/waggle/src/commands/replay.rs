//! `waggle replay`: the online state once more from the log, to verify the live one or to replace it.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use anyhow::{Context, Result, bail, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use waggle_features_role::{position::Position, replay::replay};
use waggle_stores::{EventLog, MemoryState, StateStore, Topic, bench::forget_redis, state::digest};

use crate::{
    cli::ReplayArgs,
    config::{Config, StateKind},
    dir::Paths,
    progress::{Steps, print},
    stores::Stores,
};

/// Partitions that are folded at once.
const AT_ONCE: usize = 2;
/// How often a partition that moves while it is read is read again.
const TRIES: usize = 5;

pub(super) async fn run(config: &Config, args: &ReplayArgs) -> Result<()> {
    let stores = Stores::for_command(config)?;
    let outcome = if args.verify { verify(&stores, args.json).await } else { rebuild(config, &stores).await };
    stores.close().await?;
    outcome
}

/// What verifying one partition came to.
#[derive(Debug, Serialize)]
struct Verified {
    partition: u32,
    /// Offset that both states stand at.
    offset: u64,
    blobs: u64,
    live: String,
    replayed: String,
    is_equal: bool,
}

/// Folds every partition from its beginning into fresh memory, up to where the live state stands, and compares.
///
/// # Errors
/// If a partition differs, after all were printed.
async fn verify(stores: &Stores, as_json: bool) -> Result<()> {
    let (log, live) = (stores.log().await?, stores.state().await?);
    let (log, live) = (&*log, &*live);
    let n_partitions = log.n_partitions(Topic::Events);
    let steps = Steps::new();
    steps.begin("replay and compare", records_until_live(log, live).await?);
    let (started, n_done) = (Instant::now(), AtomicU64::new(0));
    let on_progress = |n| steps.at(n_done.fetch_add(n, Ordering::Relaxed) + n, 0);
    let verified: Vec<Verified> = stream::iter(0..n_partitions)
        .map(|partition| verify_partition(log, live, partition, n_partitions, on_progress))
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    let n_records = n_done.into_inner();
    let per_second = n_records as f64 / started.elapsed().as_secs_f64();
    steps.finish(&format!("{n_records} records, {per_second:.0} records/s"));
    let n_different = verified.iter().filter(|v| !v.is_equal).count();
    if as_json {
        print(&serde_json::to_string_pretty(&serde_json::json!({
            "verified": n_different == 0, "records": n_records, "records_per_s": per_second, "partitions": verified,
        }))?);
    } else {
        for v in &verified {
            let verdict = if v.is_equal { "equal" } else { "DIFFERENT" };
            print(&format!(
                "partition {:>4} at offset {:>10}: {verdict}, {} blobs, {}",
                v.partition, v.offset, v.blobs, v.live
            ));
        }
    }
    ensure!(n_different == 0, "{n_different} of {n_partitions} partitions are not what the log says");
    Ok(())
}

async fn verify_partition(
    log: &dyn EventLog,
    live: &dyn StateStore,
    partition: u32,
    n_partitions: u32,
    on_progress: impl FnMut(u64),
) -> Result<Verified> {
    check_whole(log, partition).await?;
    let (original, at_rest) = at_rest(live, partition).await?;
    let fresh = MemoryState::in_memory(n_partitions);
    let mut position = Position::load(&fresh, partition).await?;
    position.follow_policies_of(&original);
    replay(log, &fresh, position, at_rest.applied.offset, on_progress).await?;
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
async fn at_rest(live: &dyn StateStore, partition: u32) -> Result<(Position, waggle_stores::StateDigest)> {
    for _ in 0..TRIES {
        let position = Position::load(live, partition).await?;
        let found = digest(live, partition).await?;
        if !found.has_moved && found.applied == position.applied {
            return Ok((position, found));
        }
    }
    bail!("partition {partition} keeps moving; stop the features role, or verify at a quieter moment")
}

/// Replaces the state by what the log says.
async fn rebuild(config: &Config, stores: &Stores) -> Result<()> {
    let log = stores.log().await?;
    for partition in 0..log.n_partitions(Topic::Events) {
        check_whole(&*log, partition).await?;
    }
    let steps = Steps::new();
    match config.state.kind {
        StateKind::Memory => rebuild_folder(config, &*log, &steps).await,
        StateKind::Redis => {
            // A features role that still runs is fenced off by the offset, and folds from the beginning, too.
            forget_redis(&config.state.redis, &config.prefix).await?;
            let state = waggle_stores::RedisState::connect(
                &config.state.redis,
                &config.prefix,
                log.n_partitions(Topic::Events),
            );
            fold_all(config, &*log, &state.await?, &steps).await
        }
    }
}

/// Beside the present checkpoints, which are replaced at the end: what is cut off in the middle changes nothing.
async fn rebuild_folder(config: &Config, log: &dyn EventLog, steps: &Steps) -> Result<()> {
    let live = Paths::new(&config.dir).state();
    let (fresh, old) = (live.with_extension("rebuilt"), live.with_extension("replaced"));
    for leftover in [&fresh, &old] {
        remove(leftover)?;
    }
    let state = MemoryState::open(&fresh, log.n_partitions(Topic::Events)).await?;
    fold_all(config, log, &state, steps).await?;
    state.checkpoint().await?;
    if live.exists() {
        std::fs::rename(&live, &old).with_context(|| format!("cannot move {}", live.display()))?;
    }
    std::fs::rename(&fresh, &live).with_context(|| format!("cannot move {}", fresh.display()))?;
    remove(&old)
}

fn remove(dir: &std::path::Path) -> Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(e).with_context(|| format!("cannot remove {}", dir.display()))
        }
        _ => Ok(()),
    }
}

async fn fold_all(config: &Config, log: &dyn EventLog, state: &dyn StateStore, steps: &Steps) -> Result<()> {
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
            let mut position = Position::load(state, partition).await?;
            position.adopt(config.features.policy);
            replay(log, state, position, end, on_progress).await
        })
        .buffered(AT_ONCE)
        .try_for_each(async |_| Ok(()))
        .await?;
    let n_records = n_done.into_inner();
    let per_second = n_records as f64 / started.elapsed().as_secs_f64();
    steps.finish(&format!("{n_records} records, {per_second:.0} records/s"));
    Ok(())
}

/// A replay needs every record from the first on.
async fn check_whole(log: &dyn EventLog, partition: u32) -> Result<()> {
    let start = log.start(Topic::Events, partition).await?;
    ensure!(
        start == 0,
        "partition {partition} of the log begins at offset {start}: retention has removed the events before, so the \
         state cannot be folded again from the first"
    );
    Ok(())
}

async fn records_until_live(log: &dyn EventLog, live: &dyn StateStore) -> Result<u64> {
    let mut n_records = 0;
    for partition in 0..log.n_partitions(Topic::Events) {
        n_records += live.applied(partition).await?.offset;
    }
    Ok(n_records)
}
