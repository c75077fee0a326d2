//! Models by name, with settings that stand beside their defaults.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use waggle_model::Timestamp;
use waggle_models::{AlsParams, Blend, ItemScorer, Popularity, Query, RecommendError, SessionScoring};

use crate::{
    Progress,
    fit::{
        ContentParams, EaseParams, Interactions, ItemItemParams, PopularityParams, SasRecParams,
        SessionParams, SessionRow, SlimParams, SparseRows, fit_als, fit_ease, fit_item_item, fit_popularity,
        fit_sasrec, fit_sessions, fit_slim, with_untouched_items,
    },
};

/// Models by the names of the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
    /// Everybody's history is a session.
    VmisKnn,
    /// A history is a sequence, read by self-attention.
    #[serde(rename = "sasrec")]
    SasRec,
    /// iALS, with a place for items that nobody touched by what is said of them.
    Content,
    /// Cosine of what is said of an item and of the items of the history.
    ContentKnn,
    /// The greatest row first: what came last, where rows are numbered as items come.
    Newest,
    /// Several of the others, with weights.
    Blend,
}

impl SingleModel {
    /// As the command line has it.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Popularity => "popularity",
            Self::ItemKnn => "item-knn",
            Self::TurboCf => "turbo-cf",
            Self::Ials => "ials",
            Self::Ease => "ease",
            Self::Slim => "slim",
            Self::VmisKnn => "vmis-knn",
            Self::SasRec => "sasrec",
            Self::Content => "content",
            Self::ContentKnn => "content-knn",
            Self::Newest => "newest",
            Self::Blend => "blend",
        }
    }

    /// In tables. Models that share a form are told apart by what was asked for, all others know their own names.
    pub fn name(self, fitted: &dyn ItemScorer) -> String {
        match self {
            Self::ItemKnn | Self::TurboCf | Self::Content | Self::Newest => self.kind().to_owned(),
            _ => fitted.name().to_owned(),
        }
    }

    /// All settings: the model's own, with what `settings`, an object, says in place of some.
    ///
    /// # Errors
    /// For settings that the model does not have.
    pub fn settings(self, settings: &Value) -> Result<Value> {
        let mut all = match self {
            Self::Popularity => serde_json::to_value(with(PopularityParams { half_life: None }, settings)?)?,
            Self::ItemKnn => serde_json::to_value(with(ItemItemParams::default(), settings)?)?,
            Self::TurboCf => serde_json::to_value(with(turbo_cf(), settings)?)?,
            Self::Ials => serde_json::to_value(with(AlsParams::default(), settings)?)?,
            Self::Ease => serde_json::to_value(with(EaseParams::default(), settings)?)?,
            Self::Slim => serde_json::to_value(with(SlimParams::default(), settings)?)?,
            Self::VmisKnn => serde_json::to_value(with(vmis_knn(), settings)?)?,
            Self::SasRec => serde_json::to_value(with(SasRecParams::default(), settings)?)?,
            Self::Content => serde_json::to_value(with(PlacedParams::default(), settings)?)?,
            Self::ContentKnn | Self::Newest => serde_json::to_value(with(NoParams {}, settings)?)?,
            Self::Blend => {
                let mut params = with(BlendParams::default(), settings)?;
                for part in &mut params.parts {
                    part.settings = part.model.settings(&part.settings)?;
                }
                serde_json::to_value(params)?
            }
        };
        shorten(&mut all);
        Ok(all)
    }

    /// Fits it with `settings` in place of some of its own. `content` is tf-idf of the items, where there is any.
    ///
    /// # Errors
    /// For settings that the model does not have, a model of content without any, or a fit that fails.
    pub fn fit(
        self,
        train: &Interactions,
        content: Option<&SparseRows>,
        settings: &Value,
        seed: u64,
        progress: &dyn Progress,
    ) -> Result<Box<dyn ItemScorer>> {
        Ok(match self {
            Self::Popularity => {
                let params = with(PopularityParams { half_life: None }, settings)?;
                Box::new(fit_popularity(train, &params, Timestamp::from_millis(0))?)
            }
            Self::ItemKnn => Box::new(fit_item_item(train, &with(ItemItemParams::default(), settings)?)?),
            Self::TurboCf => Box::new(fit_item_item(train, &with(turbo_cf(), settings)?)?),
            Self::Ease => Box::new(fit_ease(train, &with(EaseParams::default(), settings)?)?),
            Self::Slim => {
                let report = |done, total| progress.report("item weights", done, total);
                Box::new(fit_slim(train, &with(SlimParams::default(), settings)?, &report)?)
            }
            Self::Blend => {
                let parts = with(BlendParams::default(), settings)?.parts.into_iter().map(|part| {
                    let BlendPart { model, settings, weight } = part;
                    Ok((model.fit(train, content, &settings, seed, progress)?, weight))
                });
                Box::new(Blend::try_new(parts.collect::<Result<_>>()?)?)
            }
            Self::Ials => {
                let report = |done, total| progress.report("embeddings", done, total);
                Box::new(fit_als(train, &with(AlsParams::default(), settings)?, seed, &report)?)
            }
            Self::VmisKnn => {
                let row = |user| SessionRow {
                    end: Timestamp::from_millis(0),
                    items: train.history(user).into_iter().map(|entry| entry.item).collect(),
                };
                let rows: Vec<SessionRow> = (0..train.n_users()).map(row).collect();
                let sessions = fit_sessions(&rows, train.n_items(), &with(vmis_knn(), settings)?)?;
                Box::new(sessions.context("nobody touched two items")?)
            }
            Self::SasRec => {
                let report = |done, total| progress.report("epochs", done, total);
                Box::new(fit_sasrec(train, &with(SasRecParams::default(), settings)?, seed, &report)?)
            }
            Self::Content => {
                let report = |done, total| progress.report("embeddings", done, total);
                let params = with(PlacedParams::default(), settings)?;
                let als = fit_als(train, &params.als, seed, &report)?;
                Box::new(with_untouched_items(&als, needed(content)?, train, &params.content)?)
            }
            Self::ContentKnn => Box::new(ContentKnn::new(needed(content)?.clone())),
            Self::Newest => {
                let scores = (1..=train.n_items()).map(|row| row as f32).collect();
                Box::new(Popularity::try_new(scores)?)
            }
        })
    }
}

fn needed(content: Option<&SparseRows>) -> Result<&SparseRows> {
    content.context(
        "this model is about what is said of the items, and nothing is said of them: --content names a file",
    )
}

/// Settings of a model that has none.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NoParams {}

/// Settings of [`SingleModel::Content`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PlacedParams {
    pub als: AlsParams,
    pub content: ContentParams,
}

/// `score(j) = x_j · Σ_{i∈history} weight_i x_i`, of rows that have length 1.
struct ContentKnn {
    content: SparseRows,
    by_term: SparseRows,
}

impl ContentKnn {
    fn new(content: SparseRows) -> Self {
        Self { by_term: content.transpose(), content }
    }
}

impl ItemScorer for ContentKnn {
    fn name(&self) -> &'static str {
        "content-knn"
    }

    fn n_items(&self) -> usize {
        self.content.n_rows()
    }

    /// No opinion on an item that shares nothing with the history.
    fn score_items(&self, query: &Query<'_>, scores: &mut [f32]) -> Result<(), RecommendError> {
        let n_items = self.content.n_rows();
        scores.fill(f32::NEG_INFINITY);
        let mut profile = BTreeMap::new();
        for entry in query.history {
            let row = entry.item.row();
            if row >= n_items {
                return Err(RecommendError::UnknownItem { row, n_items });
            }
            for (term, weight) in self.content.columns(row).iter().zip(self.content.weights(row)) {
                *profile.entry(*term).or_insert(0.0) += entry.weight * weight;
            }
        }
        for (term, weight) in profile {
            for (item, own) in self.by_term.columns(term.row()).iter().zip(self.by_term.weights(term.row())) {
                let score = &mut scores[item.row()];
                *score = if score.is_finite() { *score } else { 0.0 } + weight * own;
            }
        }
        Ok(())
    }
}

/// Settings of [`SingleModel::Blend`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BlendParams {
    pub parts: Vec<BlendPart>,
}

/// One model of a blend.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlendPart {
    pub model: SingleModel,
    /// In place of some of its own.
    #[serde(default)]
    pub settings: Value,
    pub weight: f32,
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

/// Whole histories instead of the ends of visits, and nothing is long ago.
fn vmis_knn() -> SessionParams {
    SessionParams {
        max_items: 1000,
        scoring: SessionScoring { n_recent: 2000, n_neighbours: 200, length_exponent: 0.5, half_life: None },
        ..SessionParams::default()
    }
}

/// `defaults` with what `settings` says instead.
fn with<P: Serialize + DeserializeOwned>(defaults: P, settings: &Value) -> Result<P> {
    let mut merged = serde_json::to_value(defaults)?;
    let nothing = serde_json::Map::new();
    let settings = if settings.is_null() { Some(&nothing) } else { settings.as_object() };
    let settings = settings.context("settings are an object, such as {\"n_factors\": 128}")?;
    for (name, value) in settings {
        merged[name] = value.clone();
    }
    serde_json::from_value(merged).context("the model does not take these settings")
}

/// Settings are single precision: 0.3, not the double that is nearest to it.
fn shorten(settings: &mut Value) {
    match settings {
        Value::Object(fields) => fields.values_mut().for_each(shorten),
        Value::Array(values) => values.iter_mut().for_each(shorten),
        Value::Number(number) if number.is_f64() => {
            let shortest = number.as_f64().map(|double| (double as f32).to_string().parse::<f64>());
            if let Some(Ok(shortest)) = shortest {
                *settings = Value::from(shortest);
            }
        }
        _ => {}
    }
}
