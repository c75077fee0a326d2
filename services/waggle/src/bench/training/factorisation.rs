//! iALS beside implicit: how long each takes to the best quality that implicit reaches.

use std::time::Instant;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use waggle_jobs::fit::fit_als;
use waggle_models::{Als, AlsParams};

use super::{Asked, Bench, Case, Set, ndcg, peers::Peers};

/// What implicit is asked for: 15 iterations are its own default.
const PEER_ITERATIONS: [usize; 11] = [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15];
/// We are given no more.
const MAX_ITERATIONS: usize = 32;
/// Of the best NDCG that implicit reaches: what comes after is too little to wait for.
const SHARE: f64 = 0.999;

/// Every number of factors.
pub(super) fn measure(bench: &Bench<'_>, set: &Set) -> Result<Vec<Case>> {
    let cases = set.sample();
    let mut peers = Peers::start(bench.home, &set.name, &set.train)?;
    bench.args.factors.iter().map(|&n_factors| race(bench, set, &cases, &mut peers, n_factors)).collect()
}

/// Each gets as many iterations as it needs to the best NDCG of the peer; then both are timed in turn.
fn race(bench: &Bench<'_>, set: &Set, cases: &[Asked], peers: &mut Peers, n_factors: usize) -> Result<Case> {
    let args = bench.args;
    let name = format!("ials-{n_factors}");
    bench.steps.begin(&format!("{name} {}", set.name), 0);
    let peer_settings: Value =
        serde_json::from_str(&args.peer_settings).context("--peer-settings is not JSON")?;
    let own_settings: AlsParams =
        serde_json::from_str(&args.settings).context("--settings are of another model")?;
    let fit = |n_iterations| -> Result<Als> {
        let params = AlsParams { n_factors, n_iterations, ..own_settings.clone() };
        Ok(fit_als(&set.train, &params, args.seed, &|_, _| {})?)
    };
    let own_ndcg = |n| ndcg(&fit(n)?, cases, set.train.n_items());
    let mut peer_ndcg = |n| {
        peers.ials(n_factors, n, &peer_settings)?;
        ndcg(&peers.factors(n_factors)?, cases, set.train.n_items())
    };
    let reached: Vec<f64> = PEER_ITERATIONS.into_iter().map(&mut peer_ndcg).collect::<Result<_>>()?;
    let target = SHARE * reached.iter().copied().fold(0.0, f64::max);
    let at = reached.iter().position(|ndcg| *ndcg >= target).context("implicit learned nothing")?;
    let (peer_iterations, peer_ndcg_at_20) = (PEER_ITERATIONS[at], reached[at]);
    let (n_iterations, ndcg_at_20) = fewest(MAX_ITERATIONS, target, own_ndcg)?;

    let (mut own_s, mut peer_s) = (Vec::new(), Vec::new());
    let mut version = String::new();
    for _ in 0..args.rounds {
        let started = Instant::now();
        fit(n_iterations)?;
        own_s.push(started.elapsed().as_secs_f64());
        let fitted = peers.ials(n_factors, peer_iterations, &peer_settings)?;
        peer_s.push(fitted.fit_s);
        version = fitted.version;
    }
    let with = |mut settings: Value, iterations: usize| {
        settings["n_factors"] = json!(n_factors);
        settings["n_iterations"] = json!(iterations);
        settings
    };
    let case = Case {
        case: name,
        set: set.name.clone(),
        n_pairs: set.train.len(),
        settings: with(serde_json::to_value(&own_settings)?, n_iterations),
        ndcg_at_20: Some(ndcg_at_20),
        peer: Some(format!("implicit {version}")),
        peer_settings: with(peer_settings.clone(), peer_iterations),
        peer_ndcg_at_20: Some(peer_ndcg_at_20),
        ..Case::default()
    };
    let case = case.with_rounds(&own_s, &peer_s);
    bench.steps.finish(&format!(
        "{:.2} s for {n_iterations} iterations to NDCG@20 {ndcg_at_20:.4}; implicit {:.2} s for {peer_iterations} to \
         {peer_ndcg_at_20:.4}",
        case.fit_s,
        case.peer_fit_s.unwrap_or_default()
    ));
    Ok(case)
}

/// The fewest iterations after which the target is reached, and what is reached then; the most where it never is.
fn fewest(most: usize, target: f64, mut reached: impl FnMut(usize) -> Result<f64>) -> Result<(usize, f64)> {
    let (mut too_few, mut enough) = (0, 1);
    let mut value = reached(enough)?;
    while value < target && enough < most {
        (too_few, enough) = (enough, (enough * 2).min(most));
        value = reached(enough)?;
    }
    while enough - too_few > 1 {
        let middle = usize::midpoint(too_few, enough);
        let there = reached(middle)?;
        if there >= target {
            (enough, value) = (middle, there);
        } else {
            too_few = middle;
        }
    }
    Ok((enough, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fewest_iterations_are_found() {
        for needed in 1..=32 {
            let reached = |n: usize| Ok(if n >= needed { 1.0 + n as f64 } else { 0.0 });
            assert_eq!(fewest(32, 1.0, reached).unwrap(), (needed, 1.0 + needed as f64));
        }
        assert_eq!(fewest(15, 1.0, |n| Ok(n as f64 / 100.0)).unwrap().0, 15);
    }
}
