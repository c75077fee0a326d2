//! `waggle models`: the registry. Works beside a running server, which follows a promotion within seconds.

use anyhow::{Context, Result, bail};
use waggle_model::{SnapshotVersion, Timestamp};
use waggle_stores::{Database, SnapshotRecord};

use crate::{cli::ModelsCommand, config::Config, dir::Paths, progress::print, stores::open_database};

pub(super) async fn run(config: &Config, command: ModelsCommand) -> Result<()> {
    let paths = Paths::new(&config.dir);
    if config.database.url.is_none() && !paths.database().is_file() {
        bail!("{} holds no waggle database; start `waggle demo` or name another --dir", config.dir.display());
    }
    let database = open_database(config, &paths).await?;
    let outcome = act(&database, command).await;
    database.close().await;
    outcome
}

async fn act(database: &Database, command: ModelsCommand) -> Result<()> {
    match command {
        ModelsCommand::List { json } => list(&database.list_snapshots().await?, json),
        ModelsCommand::Show { version } => {
            let records = database.list_snapshots().await?;
            let record = records.iter().find(|record| record.version.as_str() == version);
            let record = record.with_context(|| format!("snapshot {version} is not registered"))?;
            print(&serde_json::to_string_pretty(&record.manifest)?);
            Ok(())
        }
        ModelsCommand::Promote { version } => {
            let version = SnapshotVersion::try_new(version)?;
            database.promote_snapshot(&version, Timestamp::now()).await?;
            print(&format!("snapshot {version} serves from now on"));
            Ok(())
        }
        ModelsCommand::Rollback => {
            let version = database.rollback_snapshot().await?;
            print(&format!("snapshot {version} serves again"));
            Ok(())
        }
    }
}

fn list(records: &[SnapshotRecord], json: bool) -> Result<()> {
    if json {
        let rows: Vec<_> = records
            .iter()
            .map(|r| {
                serde_json::json!({
                    "version": r.version, "state": r.state, "created_at": r.created_at,
                    "promoted_at": r.promoted_at, "metrics": r.metrics,
                })
            })
            .collect();
        print(&serde_json::to_string_pretty(&rows)?);
        return Ok(());
    }
    print(&format!("{:<22} {:<10} {:<26} promoted", "version", "state", "created"));
    for r in records {
        let promoted = r.promoted_at.map_or_else(|| "-".to_owned(), Timestamp::to_rfc3339);
        print(&format!(
            "{:<22} {:<10} {:<26} {promoted}",
            r.version.as_str(),
            r.state.as_str(),
            r.created_at.to_rfc3339()
        ));
    }
    Ok(())
}
