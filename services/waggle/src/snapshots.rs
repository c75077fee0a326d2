//! Publishing snapshots and loading them.
//!
//! A snapshot is published in three steps: its parts and then its manifest into the artifacts, its row into the
//! registry, and (if it passed the gate) its promotion. Whoever serves follows the registry and loads what is promoted.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use waggle_model::SnapshotVersion;
use waggle_models::{EncodedPart, Manifest, PartEntry, Snapshot, SnapshotSlot, ann::choice::ENGINES};
use waggle_stores::{ArtifactError, Artifacts, Database, NewSnapshot, background, database::SnapshotState};

/// How often the registry is asked for another promoted snapshot.
const FOLLOW: Duration = Duration::from_secs(2);

/// How long the snapshot before the present one stays. Requests in flight finish on it, and so do those of a gateway that
/// takes longer to load the present one; kept for good, it would double what a role needs.
pub(crate) const LINGER: Duration = Duration::from_secs(60);

/// Where a snapshot's files lie.
pub(crate) fn folder(version: &SnapshotVersion) -> String {
    format!("snapshots/{version}")
}

/// Writes and registers a snapshot; it does not serve yet unless promoted. Gives the manifest as written.
///
/// # Errors
/// If artifacts or database fail; a folder without a manifest may stay behind, which no reader takes for a snapshot.
pub(crate) async fn publish(
    artifacts: &Artifacts,
    database: &Database,
    snapshot: &Snapshot,
    is_refused: bool,
) -> Result<Manifest> {
    let folder = folder(&snapshot.manifest.version);
    let mut parts = BTreeMap::new();
    for EncodedPart { name, file, bytes } in snapshot.encoded() {
        parts.insert(name.to_owned(), PartEntry::of(file, &bytes));
        artifacts.put(&format!("{folder}/{file}"), bytes.into()).await?;
    }
    let manifest = snapshot.manifest_of(parts);
    artifacts.put(&format!("{folder}/manifest.json"), manifest.encode().into()).await?;
    let new = NewSnapshot {
        version: manifest.version.clone(),
        created_at: manifest.created_at,
        is_refused,
        manifest: serde_json::to_value(&manifest)?,
        metrics: manifest.evaluation.clone(),
    };
    database.register_snapshot(&new).await?;
    Ok(manifest)
}

/// Reads a published snapshot, verifying every part.
///
/// # Errors
/// Names what is missing or damaged.
pub(crate) async fn load(artifacts: &Artifacts, version: &SnapshotVersion) -> Result<Snapshot> {
    let folder = folder(version);
    let manifest = Manifest::decode(&artifacts.get(&format!("{folder}/manifest.json")).await?)?;
    if manifest.version != *version {
        bail!("the manifest in {folder} is of snapshot {}", manifest.version);
    }
    let mut files: HashMap<String, File> = HashMap::new();
    for part in manifest.parts.values() {
        files.insert(part.file.clone(), artifacts.open(&format!("{folder}/{}", part.file)).await?);
    }
    let decode = move || {
        Snapshot::decode(manifest, &mut |part| {
            files.remove(&part.file).ok_or_else(|| "another part has the same file".to_owned())
        })
    };
    Ok(background::run(decode).await.context("the snapshot was not decoded")??)
}

/// Loads the promoted snapshot; if it is damaged, the newest older one that is whole. `None` if there is none.
///
/// # Errors
/// If the registry cannot be read, or the place of the artifacts fails. A damaged snapshot is no error: it is logged,
/// and serving goes on without it.
pub(crate) async fn load_best(artifacts: &Artifacts, database: &Database) -> Result<Option<Snapshot>> {
    let mut records = database.list_snapshots().await?;
    records.retain(|r| matches!(r.state, SnapshotState::Promoted | SnapshotState::Retired));
    // The promoted one first, then by when they served last.
    records.sort_by_key(|r| (r.state != SnapshotState::Promoted, std::cmp::Reverse(r.promoted_at)));
    for record in records {
        match load(artifacts, &record.version).await {
            Ok(snapshot) => return Ok(Some(snapshot)),
            Err(e) if is_of_place(&e) => return Err(e),
            Err(e) => error!("snapshot {} is not used: {e:#}", record.version),
        }
    }
    Ok(None)
}

/// Whether the place of the artifacts failed: the snapshot itself may be whole.
pub(crate) fn is_of_place(error: &anyhow::Error) -> bool {
    error.downcast_ref::<ArtifactError>().is_some_and(ArtifactError::is_of_place)
}

/// Makes `snapshot` the one that serves, and says with what recall its index finds what it should.
pub(crate) fn install(slot: &SnapshotSlot, snapshot: Snapshot) {
    const RECALL: &str = "waggle_ann_recall_at_100";
    metrics::describe_gauge!(
        RECALL,
        "Share of the true 100 best items that the index of the snapshot in use finds for its sample of people, by \
         engine; 0 for engines that are not in use"
    );
    let report = &snapshot.ann_report;
    for engine in ENGINES {
        let recall = if report.engine == engine { report.recall_at_100 } else { 0.0 };
        metrics::gauge!(RECALL, "engine" => engine).set(recall);
    }
    info!("index {} over {} items: {}", report.engine, report.n_items, report.reason);
    slot.install(Arc::new(snapshot));
}

/// Installs whatever snapshot is promoted from now on, by this process or another, until cancelled.
pub(crate) async fn follow(
    artifacts: Artifacts,
    database: Arc<Database>,
    slot: Arc<SnapshotSlot>,
    cancel: CancellationToken,
) {
    // Trouble with a snapshot is reported once, not every two seconds.
    let mut told: Option<SnapshotVersion> = None;
    let mut refused: Option<SnapshotVersion> = None;
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(FOLLOW) => {}
        }
        slot.release_previous(LINGER);
        let promoted = match database.current_snapshot().await {
            Ok(record) => record.map(|record| record.version),
            Err(e) => {
                warn!(error = %e, "the registry cannot be read; the present snapshot keeps serving");
                continue;
            }
        };
        let Some(version) = promoted else { continue };
        let serving = slot.current().map(|snapshot| snapshot.manifest.version.clone());
        if serving.as_ref() == Some(&version) || refused.as_ref() == Some(&version) {
            continue;
        }
        match load(&artifacts, &version).await {
            Ok(snapshot) => {
                install(&slot, snapshot);
                info!("snapshot {version} serves from now on");
            }
            Err(e) if is_of_place(&e) => {
                if told.as_ref() != Some(&version) {
                    warn!("snapshot {version} cannot be read, trying again: {e:#}");
                    told = Some(version);
                }
            }
            Err(e) => {
                error!("snapshot {version} is not used: {e:#}");
                refused = Some(version);
            }
        }
    }
}
