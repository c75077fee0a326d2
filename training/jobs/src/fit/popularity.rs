//! Popularity that fades with event time.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use waggle_model::Timestamp;
use waggle_models::Popularity;

use super::{FitError, Interactions};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PopularityParams {
    /// A touch this long ago counts half; `None`: all count alike.
    pub half_life: Option<Duration>,
}

impl Default for PopularityParams {
    fn default() -> Self {
        Self { half_life: Some(Duration::from_secs(30 * 86_400)) }
    }
}

/// `score(i) = Σ_u w_ui · 2^(−(now − time_ui)/half_life)`; a touch later than `now` counts as one at `now`.
///
/// # Errors
/// [`FitError`] for an empty set or a half-life of zero.
pub fn fit_popularity(
    interactions: &Interactions,
    params: &PopularityParams,
    now: Timestamp,
) -> Result<Popularity, FitError> {
    if interactions.is_empty() {
        return Err(FitError::NoInteractions);
    }
    if params.half_life.is_some_and(|half_life| half_life.is_zero()) {
        return Err(FitError::Param { name: "half_life", got: 0.0, rule: "longer than zero" });
    }
    let mut scores = vec![0.0_f64; interactions.n_items()];
    for user in 0..interactions.n_users() {
        let touches =
            interactions.items(user).iter().zip(interactions.weights(user)).zip(interactions.times(user));
        for ((item, &weight), &time) in touches {
            scores[item.row()] += f64::from(weight) * faded(now, time, params.half_life);
        }
    }
    Ok(Popularity::try_new(scores.into_iter().map(|score| score as f32).collect())?)
}

/// What a touch at `time` counts for at `now`: `2^(−(now − time)/half_life)`, 1 without a half-life.
pub(super) fn faded(now: Timestamp, time: Timestamp, half_life: Option<Duration>) -> f64 {
    half_life.map_or(1.0, |half_life| (-now.since(time).as_secs_f64() / half_life.as_secs_f64()).exp2())
}
