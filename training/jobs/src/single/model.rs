//! Models by name, with settings that stand beside their defaults.

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use waggle_model::Timestamp;
use waggle_models::{AlsParams, Recommender};

use crate::{
    Progress,
    fit::{
        EaseParams, Interactions, ItemItemParams, PopularityParams, SlimParams, fit_als, fit_ease,
        fit_item_item, fit_popularity, fit_slim,
    },
};

/// Models by the names of the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SingleModel {
    Popularity,
    /// Damped cosine.
    ItemKnn,
    TurboCf,
    Ials,
    /// EASE, and EDLAE, RLAE, RDLAE by its settings.
    Ease,
    Slim,
}

impl SingleModel {
    /// In tables. Models that share a form are told apart by what was asked for, all others know their own names.
    pub fn name(self, fitted: &dyn Recommender) -> String {
        match self {
            Self::ItemKnn => "item-knn".to_owned(),
            Self::TurboCf => "turbo-cf".to_owned(),
            _ => fitted.name().to_owned(),
        }
    }

    /// Fits it. `settings` is an object that replaces some of the model's defaults; what it is fitted with comes back.
    ///
    /// # Errors
    /// For settings that the model does not have, or a fit that fails.
    pub fn fit(
        self,
        train: &Interactions,
        settings: &Value,
        seed: u64,
        progress: &dyn Progress,
    ) -> Result<(Box<dyn Recommender>, Value)> {
        Ok(match self {
            Self::Popularity => {
                let params = with(PopularityParams { half_life: None }, settings)?;
                let now = Timestamp::from_millis(0);
                (Box::new(fit_popularity(train, &params, now)?), serde_json::to_value(&params)?)
            }
            Self::ItemKnn => item_item(train, ItemItemParams::default(), settings)?,
            Self::TurboCf => item_item(train, turbo_cf(), settings)?,
            Self::Ease => {
                let params = with(EaseParams::default(), settings)?;
                (Box::new(fit_ease(train, &params)?), serde_json::to_value(&params)?)
            }
            Self::Slim => {
                let params = with(SlimParams::default(), settings)?;
                let report = |done, total| progress.report("item weights", done, total);
                (Box::new(fit_slim(train, &params, &report)?), serde_json::to_value(&params)?)
            }
            Self::Ials => {
                let params = with(AlsParams::default(), settings)?;
                let report = |done, total| progress.report("embeddings", done, total);
                (Box::new(fit_als(train, &params, seed, &report)?), serde_json::to_value(&params)?)
            }
        })
    }
}

/// Turbo-CF with `a = 0.6`, `s = 0.7` and the linear filter, which its authors published for Gowalla; see
/// [`fit_item_item`].
fn turbo_cf() -> ItemItemParams {
    ItemItemParams {
        n_neighbours: 400,
        history_exponent: 1.2,
        source_exponent: 0.4,
        target_exponent: 0.4,
        counts_histories: true,
        power: 0.7,
        shrink: 0.0,
        ..ItemItemParams::default()
    }
}

fn item_item(
    train: &Interactions,
    defaults: ItemItemParams,
    settings: &Value,
) -> Result<(Box<dyn Recommender>, Value)> {
    let params = with(defaults, settings)?;
    Ok((Box::new(fit_item_item(train, &params)?), serde_json::to_value(&params)?))
}

/// `defaults` with what `settings` says instead.
fn with<P: Serialize + DeserializeOwned>(defaults: P, settings: &Value) -> Result<P> {
    let mut merged = serde_json::to_value(defaults)?;
    let settings = settings.as_object().context("settings are an object, such as {\"n_factors\": 128}")?;
    for (name, value) in settings {
        merged[name] = value.clone();
    }
    serde_json::from_value(merged).context("the model does not take these settings")
}
