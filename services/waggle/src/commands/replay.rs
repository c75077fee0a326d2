//! `waggle replay`: the online state once more from the log, to verify the live one or to replace it.

use anyhow::{Result, ensure};

use crate::{
    cli::ReplayArgs,
    config::Config,
    progress::{Steps, print},
    replay::{self, Pace, Verified},
    stores::Stores,
};

pub(super) async fn run(config: &Config, args: &ReplayArgs) -> Result<()> {
    let stores = Stores::for_command(config)?;
    let steps = Steps::new();
    let outcome = if args.verify {
        replay::verify(&stores, &steps).await.and_then(|(found, pace)| report(&found, pace, args.json))
    } else {
        replay::rebuild(config, &stores, &steps).await.map(drop)
    };
    stores.close().await?;
    outcome
}

/// # Errors
/// If a partition differs, after all were printed.
fn report(verified: &[Verified], pace: Pace, as_json: bool) -> Result<()> {
    let n_different = verified.iter().filter(|v| !v.is_equal).count();
    if as_json {
        print(&serde_json::to_string_pretty(&serde_json::json!({
            "verified": n_different == 0, "records": pace.records, "records_per_s": pace.records_per_s,
            "partitions": verified,
        }))?);
    } else {
        for v in verified {
            let verdict = if v.is_equal { "equal" } else { "DIFFERENT" };
            print(&format!(
                "partition {:>4} at offset {:>10}: {verdict}, {} blobs, {}",
                v.partition, v.offset, v.blobs, v.live
            ));
        }
    }
    let n_partitions = verified.len();
    ensure!(n_different == 0, "{n_different} of {n_partitions} partitions are not what the log says");
    Ok(())
}
