//! `waggle train`: works on the stores alone, so it may run beside services that share them.

use std::sync::Arc;

use anyhow::Result;

use crate::{
    cli::TrainArgs,
    config::Config,
    progress::{Steps, print},
    roles::features::archiver,
    snapshots,
    stores::Stores,
    training::{Training, train_and_publish, train_params},
};

pub(super) async fn run(config: Config, args: &TrainArgs) -> Result<()> {
    waggle_http::telemetry::metrics_handle();
    let stores = Stores::for_command(&config)?;
    let trained = train(&stores, &config, args).await;
    stores.close().await?;
    trained
}

async fn train(stores: &Stores, config: &Config, args: &TrainArgs) -> Result<()> {
    let steps = Arc::new(Steps::new());
    let (artifacts, database) = (stores.artifacts().await?, stores.database().await?);
    let training = Training {
        archiver: &*archiver(stores, config, "train").await?,
        artifacts,
        database: &database,
        is_first: snapshots::load_best(artifacts, &database).await?.is_none(),
        params: train_params(config, args.seed),
    };
    let snapshot = train_and_publish(&training, &steps, !args.no_promote).await?;
    let manifest = &snapshot.manifest;
    if args.json {
        print(&serde_json::to_string_pretty(manifest)?);
    } else {
        print(&format!("published snapshot {}", manifest.version));
    }
    Ok(())
}
