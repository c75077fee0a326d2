//! The log into online state and archive. Needs log, state, database and artifacts.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use waggle_features_role::{Archiver, FeaturesConsumer, Progress, upkeep::keep_up};
use waggle_http::Readiness;

use crate::{config::Config, process::Process, stores::Stores};

/// Time that the fold may need for what the log holds at start or after an import.
const CATCH_UP: Duration = Duration::from_secs(3_600);

pub(crate) struct FeaturesRole {
    pub(crate) fold: Arc<Progress>,
    pub(crate) archiver: Arc<Archiver>,
}

impl FeaturesRole {
    /// Joins the groups of fold and archive as `member`.
    pub(crate) async fn start(process: &Process, config: &Config) -> Result<Self> {
        let Process { stores, member, .. } = process;
        let (log, state) = (stores.log().await?, stores.state().await?);
        let consumer = FeaturesConsumer::new(log, state, config.features.clone(), member.as_str());
        let fold = consumer.progress();
        process.tasks.spawn(fold_until_stopped(consumer, process));
        let archiver = archiver(stores, config, member).await?;
        process.tasks.spawn(archiver.clone().run(process.working.clone()));
        let every = Duration::from_secs(config.archive.upkeep_every_s.max(1).into());
        let (artifacts, database) = (stores.artifacts().await?.clone(), stores.database().await?);
        process.tasks.spawn(keep_up(artifacts, database, every, process.working.clone()));
        Ok(Self { fold, archiver })
    }

    /// Returns when all that the log holds now is folded into the online state.
    ///
    /// # Errors
    /// If the fold makes no end within [`CATCH_UP`].
    pub(crate) async fn folded(&self) -> Result<()> {
        let is_done = self.fold.wait_until_caught_up(CATCH_UP).await?;
        anyhow::ensure!(is_done, "the online state did not catch up with the log within {CATCH_UP:?}");
        Ok(())
    }
}

/// An archiver over these stores; whoever only flushes it needs no member's name.
pub(crate) async fn archiver(stores: &Stores, config: &Config, member: &str) -> Result<Arc<Archiver>> {
    let (log, artifacts) = (stores.log().await?, stores.artifacts().await?);
    Ok(Archiver::new(log, artifacts, stores.database().await?, config.archive.clone(), member))
}

/// Folds until the process stops. What ends the fold before that is nothing that passes: the process says so and wants
/// no requests any more, and its partitions go to others.
fn fold_until_stopped(
    consumer: FeaturesConsumer,
    process: &Process,
) -> impl Future<Output = ()> + Send + use<> {
    let (working, readiness): (_, Arc<Readiness>) = (process.working.clone(), process.readiness.clone());
    async move {
        if let Err(e) = consumer.run(working).await {
            tracing::error!(error = %e, "the fold stopped; answers grow stale until a restart");
            readiness.set_missing("fold", format!("it stopped: {e}"));
        }
    }
}
