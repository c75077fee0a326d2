//! Models that are one formula: EASE, whose cost is an inverse, and Turbo-CF.

use std::time::Instant;

use anyhow::Result;
use serde_json::{Value, json};
use waggle_jobs::{
    Silent,
    fit::{EaseParams, fit_ease},
    single::SingleModel,
};

use super::{Bench, Case, Set, ndcg, peers::Peers};

/// Our whole fit beside the two LAPACK routines that it needs at least.
pub(super) fn ease(bench: &Bench<'_>, set: &Set) -> Result<Vec<Case>> {
    let n_items = bench.args.ease_items.unwrap_or(usize::MAX).min(set.train.n_items());
    let train = set.train.of_first_items(n_items);
    let mut peers = Peers::start(bench.home, &set.name, &set.train)?;
    bench.steps.begin(&format!("ease {n_items} items"), 0);
    let (mut own_s, mut peer_s) = (Vec::new(), Vec::new());
    let mut version = String::new();
    for _ in 0..bench.args.ease_rounds {
        let started = Instant::now();
        fit_ease(&train, &EaseParams::default())?;
        own_s.push(started.elapsed().as_secs_f64());
        let fitted = peers.inverse(n_items)?;
        peer_s.push(fitted.fit_s);
        version = fitted.version;
    }
    bench.steps.finish("");
    let case = Case {
        case: "ease".to_owned(),
        set: format!("{}, {n_items} items", set.name),
        n_pairs: train.len(),
        settings: serde_json::to_value(EaseParams::default())?,
        peer: Some(format!("scipy {version}, spotrf + spotri")),
        peer_settings: json!({ "l2": EaseParams::default().l2 }),
        ..Case::default()
    };
    Ok(vec![case.with_rounds(&own_s, &peer_s)])
}

pub(super) fn turbo_cf(bench: &Bench<'_>, set: &Set) -> Result<Vec<Case>> {
    let model = SingleModel::TurboCf;
    let mut fit_s = Vec::new();
    bench.steps.begin(&format!("turbo-cf {}", set.name), 0);
    let mut evaluate_s = 0.0;
    let mut ndcg_at_20 = None;
    for _ in 0..bench.args.rounds {
        let started = Instant::now();
        let fitted = model.fit(&set.train, None, &Value::Null, bench.args.seed, &Silent)?;
        fit_s.push(started.elapsed().as_secs_f64());
        let started = Instant::now();
        ndcg_at_20 = Some(ndcg(&fitted, &set.all, set.train.n_items())?);
        evaluate_s = started.elapsed().as_secs_f64();
    }
    bench.steps.finish("");
    let case = Case {
        case: model.kind().to_owned(),
        set: set.name.clone(),
        n_pairs: set.train.len(),
        settings: model.settings(&Value::Null)?,
        ndcg_at_20,
        evaluate_s: Some(evaluate_s),
        ..Case::default()
    };
    Ok(vec![case.with_rounds(&fit_s, &[])])
}
