//! `waggle train`.

use std::sync::Arc;

use anyhow::Result;

use crate::{
    cli::TrainArgs,
    config::Config,
    dir::DataDir,
    progress::{Steps, print},
    system::System,
    training::train_and_publish,
};

pub(super) async fn run(config: Config, args: &TrainArgs) -> Result<()> {
    waggle_http::telemetry::metrics_handle();
    let steps = Arc::new(Steps::new());
    let system = System::start(DataDir::open(&config.dir)?, config).await?;
    let trained = train_and_publish(&system, &steps, args.seed, !args.no_promote).await;
    system.stop(None).await?;
    let manifest = trained?;
    if args.json {
        print(&serde_json::to_string_pretty(&manifest)?);
    } else {
        print(&format!("published snapshot {}", manifest.version));
    }
    Ok(())
}
