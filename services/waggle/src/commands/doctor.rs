//! `waggle doctor`: is everything there, and what does it hold?

use anyhow::{Result, bail};
use serde_json::json;

use crate::{
    config::Config,
    doctor::{Verdict, examine},
    progress::print,
    stores::Stores,
};

/// # Errors
/// If any part failed, after all of them were printed.
pub(super) async fn run(config: &Config, as_json: bool) -> Result<()> {
    let stores = Stores::for_command(config)?;
    let findings = examine(config, &stores).await;
    stores.close().await?;
    let worst = findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Ok);
    if as_json {
        print(&serde_json::to_string_pretty(&json!({ "verdict": worst, "findings": findings }))?);
    } else {
        for finding in &findings {
            print(&format!("{:<8} {:<14} {}", finding.verdict.as_str(), finding.part, finding.detail));
        }
    }
    let failed: Vec<_> = findings.iter().filter(|f| f.verdict == Verdict::Failed).map(|f| f.part).collect();
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}
