//! Table `snapshots`: what training published, and which of it serves.

use serde_json::Value;
use waggle_model::{SnapshotVersion, Timestamp};

use super::{
    Database, DatabaseError, Transaction, corrupt,
    sql::{Row, query},
};

/// Where a snapshot stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotState {
    /// Complete, not serving yet.
    Published,
    /// Serving; at most one is.
    Promoted,
    /// Served before.
    Retired,
    /// Failed the gate; never serves.
    Refused,
}

/// A row of the registry.
#[derive(Debug, Clone, PartialEq)]
pub struct SnapshotRecord {
    pub version: SnapshotVersion,
    pub created_at: Timestamp,
    pub state: SnapshotState,
    pub manifest: Value,
    pub metrics: Value,
    /// When it was promoted last.
    pub promoted_at: Option<Timestamp>,
}

/// A snapshot about to be registered.
#[derive(Debug, Clone, PartialEq)]
pub struct NewSnapshot {
    pub version: SnapshotVersion,
    pub created_at: Timestamp,
    /// Whether the gate refused it: it is listed, and never serves.
    pub is_refused: bool,
    pub manifest: Value,
    pub metrics: Value,
}

const COLUMNS: &str = "version, created_at, state, manifest, metrics, promoted_at";

impl Database {
    /// # Errors
    /// [`DatabaseError::SnapshotExists`]: a version is published once.
    pub async fn register_snapshot(&self, snapshot: &NewSnapshot) -> Result<(), DatabaseError> {
        let state = if snapshot.is_refused { SnapshotState::Refused } else { SnapshotState::Published };
        let inserted = query(
            "INSERT INTO snapshots (version, created_at, state, manifest, metrics) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (version) DO NOTHING",
        )
        .bind(snapshot.version.as_str())
        .bind(snapshot.created_at.as_millis())
        .bind(state.as_str())
        .bind(snapshot.manifest.to_string())
        .bind(snapshot.metrics.to_string())
        .execute(self.write())
        .await?;
        if inserted == 1 { Ok(()) } else { Err(DatabaseError::SnapshotExists(snapshot.version.clone())) }
    }

    /// Makes the snapshot the one that serves, and retires the one that did, in one transaction. Promoting the one
    /// that serves changes nothing.
    ///
    /// # Errors
    /// [`DatabaseError::NoSuchSnapshot`], [`DatabaseError::SnapshotRefused`].
    pub async fn promote_snapshot(
        &self,
        version: &SnapshotVersion,
        at: Timestamp,
    ) -> Result<(), DatabaseError> {
        let mut transaction = self.begin_alone("snapshots").await?;
        let current = promoted(&mut transaction).await?;
        match find(&mut transaction, version).await?.map(|s| s.state) {
            None => return Err(DatabaseError::NoSuchSnapshot(version.clone())),
            Some(SnapshotState::Refused) => return Err(DatabaseError::SnapshotRefused(version.clone())),
            Some(SnapshotState::Promoted) => return Ok(()),
            Some(SnapshotState::Published | SnapshotState::Retired) => {}
        }
        // Rollback goes by the order of promotions, so a clock that stood still must not make two equal.
        let previous = current.and_then(|s| s.promoted_at);
        let at = previous.map_or(at, |previous| at.max(previous.shifted_by_millis(1)));
        flip(&mut transaction, version, at).await?;
        transaction.commit().await
    }

    /// Goes back to the snapshot that was promoted before the current one, which retires. Repeated, it goes back
    /// further.
    ///
    /// # Errors
    /// [`DatabaseError::NothingToRollBackTo`].
    pub async fn rollback_snapshot(&self) -> Result<SnapshotVersion, DatabaseError> {
        let mut transaction = self.begin_alone("snapshots").await?;
        let current = promoted(&mut transaction).await?;
        let Some(at) = current.and_then(|s| s.promoted_at) else {
            return Err(DatabaseError::NothingToRollBackTo);
        };
        let row = query(
            "SELECT version, promoted_at FROM snapshots WHERE state = 'retired' AND promoted_at < $1
             ORDER BY promoted_at DESC LIMIT 1",
        )
        .bind(at.as_millis())
        .fetch_optional(transaction.target())
        .await?;
        let Some(row) = row else { return Err(DatabaseError::NothingToRollBackTo) };
        let version = read_version(row.get(0)?)?;
        // It keeps its time of promotion: the next rollback goes to the one before it, not back to the bad one.
        flip(&mut transaction, &version, Timestamp::from_millis(row.get(1)?)).await?;
        transaction.commit().await?;
        Ok(version)
    }

    /// The snapshot that serves.
    pub async fn current_snapshot(&self) -> Result<Option<SnapshotRecord>, DatabaseError> {
        let sql = sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM snapshots WHERE state = 'promoted'"));
        let row = query(sql).fetch_optional(self.read()).await?;
        row.as_ref().map(read_snapshot).transpose()
    }

    /// Every snapshot, newest first.
    pub async fn list_snapshots(&self) -> Result<Vec<SnapshotRecord>, DatabaseError> {
        let sql = sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM snapshots ORDER BY created_at DESC, version DESC"
        ));
        let rows = query(sql).fetch_all(self.read()).await?;
        rows.iter().map(read_snapshot).collect()
    }
}

impl SnapshotState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Promoted => "promoted",
            Self::Retired => "retired",
            Self::Refused => "refused",
        }
    }
}

async fn flip(
    transaction: &mut Transaction<'_>,
    version: &SnapshotVersion,
    promoted_at: Timestamp,
) -> Result<(), DatabaseError> {
    query("UPDATE snapshots SET state = 'retired' WHERE state = 'promoted'")
        .execute(transaction.target())
        .await?;
    query("UPDATE snapshots SET state = 'promoted', promoted_at = $1 WHERE version = $2")
        .bind(promoted_at.as_millis())
        .bind(version.as_str())
        .execute(transaction.target())
        .await?;
    Ok(())
}

async fn promoted(transaction: &mut Transaction<'_>) -> Result<Option<SnapshotRecord>, DatabaseError> {
    let sql = sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM snapshots WHERE state = 'promoted'"));
    let row = query(sql).fetch_optional(transaction.target()).await?;
    row.as_ref().map(read_snapshot).transpose()
}

async fn find(
    transaction: &mut Transaction<'_>,
    version: &SnapshotVersion,
) -> Result<Option<SnapshotRecord>, DatabaseError> {
    let sql = sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM snapshots WHERE version = $1"));
    let row = query(sql).bind(version.as_str()).fetch_optional(transaction.target()).await?;
    row.as_ref().map(read_snapshot).transpose()
}

fn read_snapshot(row: &Row) -> Result<SnapshotRecord, DatabaseError> {
    let json = |column: usize| -> Result<Value, DatabaseError> {
        serde_json::from_str(row.get(column)?).map_err(|e| corrupt("snapshots", "manifest or metrics", e))
    };
    let state = match row.get::<&str>(2)? {
        "published" => SnapshotState::Published,
        "promoted" => SnapshotState::Promoted,
        "retired" => SnapshotState::Retired,
        "refused" => SnapshotState::Refused,
        other => return Err(corrupt("snapshots", "unknown state", other)),
    };
    Ok(SnapshotRecord {
        version: read_version(row.get(0)?)?,
        created_at: Timestamp::from_millis(row.get(1)?),
        state,
        manifest: json(3)?,
        metrics: json(4)?,
        promoted_at: row.get::<Option<i64>>(5)?.map(Timestamp::from_millis),
    })
}

fn read_version(version: &str) -> Result<SnapshotVersion, DatabaseError> {
    SnapshotVersion::try_new(version).map_err(|e| corrupt("snapshots", "a version", e))
}
