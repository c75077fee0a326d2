//! `waggle serve`.

use anyhow::Result;

use super::stop_requested;
use crate::{cli::ServeArgs, config::Config, dir::DataDir, progress::say, system::System};

pub(super) async fn run(config: Config, args: &ServeArgs) -> Result<()> {
    debug_assert!(!args.roles.is_empty(), "clap gives the default role");
    waggle_http::telemetry::metrics_handle();
    let listener = waggle_http::bind(System::address(&config, args.port))?;
    let url = format!("http://{}", listener.local_addr()?);
    let system = System::start(DataDir::open(&config.dir)?, config).await?;
    let server = system.serve(listener)?;
    say(&format!("waggle answers on {url}"));
    if !system.readiness.is_ready() {
        say(&format!("  still missing: {}", system.readiness.missing().join("; ")));
    }
    stop_requested().await?;
    system.stop(Some(server)).await
}
