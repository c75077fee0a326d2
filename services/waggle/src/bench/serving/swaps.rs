//! Swaps of the snapshot under load: how much memory a new one takes while the old one serves, and what is left after.
//!
//! The snapshot that is there and a copy of it under another version take turns. For the server the copy is as new as
//! any: it is read, checked, measured and installed whole, while the other one answers.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use load_tests::Report;
use serde::Serialize;
use tokio::runtime::Handle;
use waggle_model::{SnapshotVersion, Timestamp};
use waggle_models::Manifest;
use waggle_stores::{Artifacts, Database, NewSnapshot};

use crate::{
    bench::server::{Memory, Server},
    config::Config,
    dir::Paths,
    progress::say,
    snapshots::{LINGER, folder},
    stores::open_database,
};

/// Swaps in a row: memory must not grow from one to the next.
const N_SWAPS: usize = 3;
const LOOK: Duration = Duration::from_millis(200);
/// For one swap.
const PATIENCE: Duration = Duration::from_secs(600);
/// What the copy's version ends with.
const COPY: &str = "-copy";

/// What all the swaps came to.
#[derive(Debug, Serialize)]
pub(crate) struct Swaps {
    /// Of the item vectors as `f32`: `4 · n_items · n_factors`.
    pub(crate) vectors_mib: f64,
    pub(crate) n_items: usize,
    pub(crate) n_factors: usize,
    /// Before the first swap.
    pub(crate) before: Memory,
    pub(crate) swaps: Vec<Swap>,
    /// Of all the swaps.
    pub(crate) swap_peak_mib: f64,
    /// In parts of `vectors_mib`: resident before the first swap, after the last one, and at most in between.
    pub(crate) before_per_vectors: f64,
    pub(crate) after_per_vectors: f64,
    pub(crate) peak_per_vectors: f64,
}

/// One of them.
#[derive(Debug, Serialize)]
pub(crate) struct Swap {
    /// From the promotion to the first answer by the new snapshot.
    pub(crate) took_s: f64,
    pub(crate) peak_mib: f64,
    /// After the former snapshot was released.
    pub(crate) resident_mib: f64,
    /// Of the answers meanwhile.
    pub(crate) requests_per_s: f64,
    pub(crate) p99_ms: f64,
}

/// Promotes the two in turn, each time while `ask` asks for as long as it is told to.
pub(super) fn swaps(
    config: &Config,
    server: &Server,
    ask: &(dyn Fn() -> Result<Report> + Sync),
) -> Result<Swaps> {
    let handle = Handle::current();
    let paths = Paths::new(&config.dir);
    let database = handle.block_on(open_database(config, &paths))?;
    let artifacts = handle.block_on(Artifacts::open_local(paths.artifacts(), u64::MAX))?;
    let (original, copy) = handle.block_on(pair(&artifacts, &database))?;
    let (n_items, n_factors) = (original.n_items, n_factors(&original)?);
    let vectors_mib = (4 * n_items * n_factors) as f64 / f64::from(1 << 20);
    let before = server.memory()?;
    // The one that a former run left serving is no swap.
    let is_copy_first = server.snapshot()?.as_deref() != Some(copy.as_str());
    let mut swaps = Vec::new();
    for nth in 0..N_SWAPS {
        let version = if (nth % 2 == 0) == is_copy_first { &copy } else { &original.version };
        let swap = swap(server, version, &handle, &database, ask)?;
        say(&format!(
            "  swap {} of {N_SWAPS}: {:.1} s, {:.0} MiB at most, {:.0} after; {:.0} answers/s meanwhile, p99 {:.2} ms",
            nth + 1,
            swap.took_s,
            swap.peak_mib,
            swap.resident_mib,
            swap.requests_per_s,
            swap.p99_ms
        ));
        swaps.push(swap);
    }
    handle.block_on(database.close());
    let swap_peak_mib = swaps.iter().map(|swap| swap.peak_mib).fold(0.0, f64::max);
    let after_mib = swaps.last().map_or(f64::NAN, |swap| swap.resident_mib);
    Ok(Swaps {
        vectors_mib,
        n_items,
        n_factors,
        before,
        swaps,
        swap_peak_mib,
        before_per_vectors: before.resident_mib / vectors_mib,
        after_per_vectors: after_mib / vectors_mib,
        peak_per_vectors: swap_peak_mib / vectors_mib,
    })
}

fn swap(
    server: &Server,
    version: &SnapshotVersion,
    handle: &Handle,
    database: &Database,
    ask: &(dyn Fn() -> Result<Report> + Sync),
) -> Result<Swap> {
    server.forget_peak()?;
    let started = Instant::now();
    handle.block_on(database.promote_snapshot(version, Timestamp::now()))?;
    let (report, took) = thread::scope(|scope| {
        let asked = scope.spawn(ask);
        let took = wait_for(server, version, started);
        let report = asked.join().map_err(|_| anyhow::anyhow!("the generator panicked"))?;
        anyhow::Ok((report?, took?))
    })?;
    // A moment longer than the former snapshot stays.
    thread::sleep((LINGER + Duration::from_secs(5)).saturating_sub(started.elapsed() - took));
    let Memory { resident_mib, peak_mib, .. } = server.memory()?;
    let (requests_per_s, p99_ms) = (report.rate, report.p99_ms);
    Ok(Swap { took_s: took.as_secs_f64(), peak_mib, resident_mib, requests_per_s, p99_ms })
}

fn wait_for(server: &Server, version: &SnapshotVersion, started: Instant) -> Result<Duration> {
    while server.snapshot()?.as_deref() != Some(version.as_str()) {
        ensure!(started.elapsed() < PATIENCE, "snapshot {version} does not serve after {PATIENCE:?}");
        thread::sleep(LOOK);
    }
    Ok(started.elapsed())
}

/// The snapshot that serves, and the version of its copy; made now, unless an earlier run did.
async fn pair(artifacts: &Artifacts, database: &Database) -> Result<(Manifest, SnapshotVersion)> {
    let current = database.current_snapshot().await?.context("no snapshot serves")?.version;
    let of_copy = |version: &str| SnapshotVersion::try_new(format!("{version}{COPY}"));
    if let Some(original) = current.as_str().strip_suffix(COPY) {
        return Ok((manifest(artifacts, &SnapshotVersion::try_new(original)?).await?, current));
    }
    let original = manifest(artifacts, &current).await?;
    let copy = of_copy(current.as_str())?;
    if database.list_snapshots().await?.iter().all(|record| record.version != copy) {
        for part in original.parts.values() {
            let bytes = artifacts.get(&format!("{}/{}", folder(&current), part.file)).await?;
            artifacts.put(&format!("{}/{}", folder(&copy), part.file), bytes).await?;
        }
        let manifest = Manifest { version: copy.clone(), ..original.clone() };
        artifacts.put(&format!("{}/manifest.json", folder(&copy)), manifest.encode().into()).await?;
        let new = NewSnapshot {
            version: copy.clone(),
            created_at: manifest.created_at,
            is_refused: false,
            manifest: serde_json::to_value(&manifest)?,
            metrics: manifest.evaluation,
        };
        database.register_snapshot(&new).await?;
    }
    Ok((original, copy))
}

async fn manifest(artifacts: &Artifacts, version: &SnapshotVersion) -> Result<Manifest> {
    Ok(Manifest::decode(&artifacts.get(&format!("{}/manifest.json", folder(version))).await?)?)
}

fn n_factors(manifest: &Manifest) -> Result<usize> {
    let n_factors = manifest.settings["models"]["als"]["n_factors"].as_u64();
    Ok(usize::try_from(n_factors.context("the manifest does not say how long the vectors are")?)?)
}
