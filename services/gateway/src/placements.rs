//! `[placements.NAME]` of the configuration: what each place on a page is made of.

use std::{collections::BTreeMap, sync::Arc};

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use waggle_contracts::{
    RoleError,
    api::MAX_K,
    policy::{OddsRule, Policy},
};
use waggle_model::{CandidateSource, ItemId, Placement, answer::MAX_PLACEMENT_BYTES};
use xxhash_rust::xxh3::xxh3_64;

/// One placement. What is not named here has the defaults.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PlacementConfig {
    /// Length of a list that does not say how long it is to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub k: Option<usize>,
    /// Which sources may propose; empty means all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<CandidateSource>,
    /// Candidates for one answer; absent: `gateway.n_candidates`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n_candidates: Option<usize>,
    /// How long an answer may be served again, in seconds; absent: `gateway.cache_ttl_s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_ttl_s: Option<u64>,
    /// What is shown when nothing else can answer, in this order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fallback: Vec<ItemId>,
    pub policy: Policy,
}

/// All placements of a configuration, by name.
pub type PlacementConfigs = BTreeMap<String, PlacementConfig>;

/// The placements in force; replaced as a whole while requests go on.
#[derive(Debug, Default)]
pub struct Placements(ArcSwap<Loaded>);

/// Placements of one moment.
#[derive(Debug, Default)]
pub struct Loaded {
    by_name: BTreeMap<String, Arc<PlacementConfig>>,
    configs: PlacementConfigs,
    default: Arc<PlacementConfig>,
    /// XXH3 of the configuration: the same in every process that serves the same placements, so that processes may share
    /// a cache.
    pub fingerprint: u64,
}

impl Placements {
    /// # Errors
    /// Names the placement and the setting that is out of range.
    pub fn try_new(configs: PlacementConfigs) -> Result<Self, String> {
        let placements = Self::default();
        placements.replace(configs)?;
        Ok(placements)
    }

    /// As they were configured.
    pub fn configs(&self) -> PlacementConfigs {
        self.load().configs.clone()
    }

    pub fn load(&self) -> Arc<Loaded> {
        self.0.load_full()
    }

    /// Requests from now on see these; if one of them is wrong, all stay as they were.
    ///
    /// # Errors
    /// As [`try_new`](Self::try_new).
    pub fn replace(&self, configs: PlacementConfigs) -> Result<(), String> {
        for (name, config) in &configs {
            config.check().and_then(|()| check_name(name)).map_err(|e| format!("placements.{name}: {e}"))?;
        }
        let shared = |(name, config): (&String, &PlacementConfig)| (name.clone(), Arc::new(config.clone()));
        let by_name: BTreeMap<_, _> = configs.iter().map(shared).collect();
        let text = serde_json::to_vec(&configs).expect("a configuration serialises into memory");
        let fingerprint = xxh3_64(&text);
        self.0.store(Arc::new(Loaded { by_name, configs, default: Arc::default(), fingerprint }));
        Ok(())
    }
}

impl Loaded {
    pub fn of(&self, placement: &Placement) -> &Arc<PlacementConfig> {
        self.by_name.get(placement.as_str()).unwrap_or(&self.default)
    }

    /// Every expression and attribute, with the name of its placement, for looking whether the catalogue has what they
    /// ask about.
    pub fn expressions(&self) -> impl Iterator<Item = (&str, Vec<String>, Vec<String>)> {
        self.by_name.iter().map(|(name, config)| {
            let Policy { filter, boost, max_per, .. } = &config.policy;
            let conditions = boost.iter().map(|rule: &OddsRule| rule.when.clone());
            (
                name.as_str(),
                filter.iter().cloned().chain(conditions).collect(),
                max_per.keys().cloned().collect(),
            )
        })
    }
}

impl PlacementConfig {
    fn check(&self) -> Result<(), String> {
        if let Some(k) = self.k.filter(|k| !(1..=MAX_K).contains(k)) {
            return Err(format!("k is {k}, it must be between 1 and {MAX_K}"));
        }
        if self.n_candidates == Some(0) {
            return Err("n_candidates is 0, it must be 1 or more".to_owned());
        }
        self.policy.check()
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let is_named = (1..=MAX_PLACEMENT_BYTES).contains(&name.len()) && !name.chars().any(char::is_control);
    if is_named {
        Ok(())
    } else {
        Err(format!("a name must have 1 to {MAX_PLACEMENT_BYTES} bytes without control characters"))
    }
}

/// Says in the log which expressions the catalogue cannot answer as it is now.
pub async fn report_unanswerable(app: &crate::App) {
    let placements = app.placements.load();
    for (name, expressions, attributes) in placements.expressions() {
        if let Err(RoleError::Invalid(detail)) = app.retrieval.check(&expressions, &attributes).await {
            tracing::warn!(placement = name, "placement {name} cannot be served as configured: {detail}");
        }
    }
}

#[cfg(test)]
mod tests;
