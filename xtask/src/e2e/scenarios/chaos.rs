//! The production shape under kills, in short; `cargo xtask chaos` is the long form.

use anyhow::{Result, bail};

use crate::{
    chaos::{self, Args},
    e2e::shop::Shop,
    steps::Outcome,
};

const N_KILLS: u64 = 20;

pub(in crate::e2e) fn twenty_kills_of_roles_kafka_and_redis_lose_nothing(shop: &mut Shop) -> Result<Outcome> {
    shop.stop()?;
    let report = chaos::prove(&shop.root, &shop.target, &Args::of_test(N_KILLS, shop.binary.clone()))?;
    println!("{report}");
    if !report.is_clean() {
        bail!("{}", report.in_short());
    }
    Ok(Outcome::Passed(report.in_short()))
}
