//! Placements follow the configuration's file: what is written there counts within a second, without a restart.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio_util::sync::CancellationToken;
use tracing::{error, info};
use waggle_gateway_role::{App, placements::report_unanswerable};

use crate::config::Config;

/// How often the file is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// Reads the placements again whenever the file has changed, until cancelled. Wrong ones are told and leave those in
/// force.
pub(super) async fn follow(config: Config, app: Arc<App>, cancel: CancellationToken) {
    report_unanswerable(&app).await;
    let Some(file) = config.file.clone() else { return };
    let changed_at = || std::fs::metadata(&file).and_then(|found| found.modified()).ok();
    let mut known: Option<SystemTime> = changed_at();
    while cancel.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
        let now = changed_at();
        // A file that is away is about to be replaced.
        if now.is_none() || now == known {
            continue;
        }
        known = now;
        match config.read_again() {
            Ok(read) if app.placements.configs() == read.placements => {}
            Ok(read) => match app.placements.replace(read.placements) {
                Ok(()) => {
                    info!("the placements of {} are in force", file.display());
                    report_unanswerable(&app).await;
                }
                Err(detail) => error!("{} is left out: {detail}", file.display()),
            },
            Err(e) => error!("{} is left out: {e:#}", file.display()),
        }
    }
}
