//! One model on a split that somebody published: fitted on one file, asked about another, over the whole catalogue.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use waggle_evaluation::{Bootstrap, Case, Evaluation, Interval, evaluate};
use waggle_model::{ItemIdx, Timestamp};
use waggle_models::{AlsParams, Recommender};

use crate::{
    Progress,
    fit::{
        EaseParams, Interactions, ItemItemParams, PopularityParams, SlimParams, Triple, fit_als, fit_ease,
        fit_item_item, fit_popularity, fit_slim,
    },
};

/// Cut-offs of the published tables.
const CUTOFFS: [usize; 2] = [20, 10];

/// What was learned from and what is asked about: pairs of a user and an item, everything of weight 1.
#[derive(Debug, Clone)]
pub struct FixedSplit {
    pub train: Interactions,
    pub cases: Vec<Case>,
    pub n_train: usize,
    pub n_test: usize,
    /// Test pairs that are training pairs, too: never recommended, so always missed.
    pub n_overlap: usize,
}

/// Models by the names of the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FixedModel {
    Popularity,
    /// Damped cosine.
    ItemKnn,
    TurboCf,
    Ials,
    /// EASE, and EDLAE, RLAE, RDLAE by its settings.
    Ease,
    Slim,
}

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub struct FixedSplitReport {
    pub protocol: &'static str,
    pub model: String,
    /// As the fit took them.
    pub settings: Value,
    pub seed: u64,
    pub n_users: usize,
    pub n_items: usize,
    pub n_train: usize,
    pub n_test: usize,
    pub n_overlap: usize,
    /// Users with anything to be asked about; means are over them.
    pub n_cases: usize,
    /// `hits/|truth|`, as the tables of `LightGCN` have it.
    pub recall_at_20: f64,
    /// `hits/min(20, |truth|)`, as those of Mult-VAE have it.
    pub recall_of_possible_at_20: f64,
    pub ndcg_at_20: f64,
    pub hr_at_10: f64,
    pub ndcg_at_10: f64,
    /// Different items among everybody's first 20, as a share of the catalogue.
    pub coverage_at_20: f64,
    /// 95 % intervals of the figures above, over users.
    pub intervals: std::collections::BTreeMap<&'static str, (f64, f64)>,
    pub fit_s: f64,
    pub evaluate_s: f64,
    /// Most memory that the process has held so far, reading included; `None` where the system does not say.
    pub peak_bytes: Option<u64>,
}

impl FixedSplit {
    /// A split from lists of items by user. Users and items are rows as they are numbered.
    ///
    /// # Errors
    /// If there is nothing to learn from or nobody to ask about.
    pub fn try_new<'a>(
        train: impl IntoIterator<Item = (u32, &'a [u32])>,
        test: impl IntoIterator<Item = (u32, &'a [u32])>,
    ) -> Result<Self> {
        let test: Vec<(u32, &[u32])> = test.into_iter().collect();
        let mut triples = Vec::new();
        for (user, items) in train {
            triples.extend(items.iter().zip(0_i64..).map(|(&item, place)| Triple {
                user,
                item: ItemIdx(item),
                weight: 1.0,
                // The order of the list, for models that know one.
                time: Timestamp::from_millis(place),
            }));
        }
        let rows = |greatest: Option<u32>| greatest.map_or(0, |id| id as usize + 1);
        let users = triples.iter().map(|t| t.user).chain(test.iter().map(|(user, _)| *user));
        let n_users = rows(users.max());
        let items = triples.iter().map(|t| t.item.0);
        let n_items = rows(items.chain(test.iter().flat_map(|(_, items)| items.iter().copied())).max());
        let train = Interactions::from_triples(n_users, n_items, triples)?;
        ensure!(!train.is_empty(), "there is nothing to learn from");
        let cases: Vec<Case> = test
            .iter()
            .filter(|(_, items)| !items.is_empty())
            .map(|&(user, items)| case(&train, user as usize, items))
            .collect();
        ensure!(!cases.is_empty(), "there is nobody to ask about");
        let is_known =
            |case: &Case| case.truth.iter().filter(|i| case.exclude.binary_search(i).is_ok()).count();
        let n_overlap = cases.iter().map(is_known).sum();
        let n_test = cases.iter().map(|case| case.truth.len()).sum();
        Ok(Self { n_train: train.len(), n_test, n_overlap, train, cases })
    }
}

/// Everything that was learned from is left out of the list.
fn case(train: &Interactions, user: usize, truth: &[u32]) -> Case {
    Case {
        person: None,
        history: train.history(user),
        truth: truth.iter().copied().map(ItemIdx).collect(),
        exclude: train.items(user).to_vec(),
        now: Timestamp::from_millis(i64::from(u32::MAX)),
    }
}

impl FixedModel {
    /// In tables. Models that share a form are told apart by what was asked for, all others know their own names.
    fn name(self, fitted: &dyn Recommender) -> String {
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

/// Fits the model and asks it about everybody.
///
/// # Errors
/// As [`FixedModel::fit`], or when the model fails on a case.
pub fn evaluate_fixed_split(
    split: &FixedSplit,
    model: FixedModel,
    settings: &Value,
    seed: u64,
    progress: &dyn Progress,
) -> Result<FixedSplitReport> {
    let started = Instant::now();
    let (fitted, settings) = model.fit(&split.train, settings, seed, progress)?;
    let fit_s = started.elapsed().as_secs_f64();
    progress.report("fit", 1, 1);
    let started = Instant::now();
    let evaluation = evaluate(&*fitted, &split.cases, &CUTOFFS, split.train.n_items())?;
    let evaluate_s = started.elapsed().as_secs_f64();
    let intervals = Bootstrap { seed, ..Bootstrap::default() }.intervals(&evaluation)?;
    let of = |metric: &str| interval(&evaluation, &intervals, metric);
    let figures = [
        ("recall_at_20", of("recall_of_truth@20")?),
        ("recall_of_possible_at_20", of("recall@20")?),
        ("ndcg_at_20", of("ndcg@20")?),
        ("hr_at_10", of("hit_rate@10")?),
        ("ndcg_at_10", of("ndcg@10")?),
    ];
    progress.report("evaluation", 1, 1);
    let [recall, recall_of_possible, ndcg_20, hr_10, ndcg_10] = figures.map(|(_, figure)| figure.value);
    Ok(FixedSplitReport {
        protocol: "fixed-split",
        model: model.name(&*fitted),
        settings,
        seed,
        n_users: split.train.n_users(),
        n_items: split.train.n_items(),
        n_train: split.n_train,
        n_test: split.n_test,
        n_overlap: split.n_overlap,
        n_cases: split.cases.len(),
        recall_at_20: recall,
        recall_of_possible_at_20: recall_of_possible,
        ndcg_at_20: ndcg_20,
        hr_at_10: hr_10,
        ndcg_at_10: ndcg_10,
        coverage_at_20: evaluation.coverage.get(&CUTOFFS[0]).map_or(0.0, |coverage| coverage.share),
        intervals: figures.map(|(name, figure)| (name, (figure.low, figure.high))).into(),
        fit_s,
        evaluate_s,
        peak_bytes: peak_bytes(),
    })
}

fn interval(evaluation: &Evaluation, intervals: &[Interval], metric: &str) -> Result<Interval> {
    let at = evaluation.metrics.iter().position(|name| name == metric);
    at.and_then(|at| intervals.get(at)).copied().with_context(|| format!("{metric} was not evaluated"))
}

/// Of this process, as the kernel of Linux counts it.
fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Silent;

    /// Users of even numbers like even items, and know all of theirs but one, which is asked about.
    fn split() -> FixedSplit {
        let lists: Vec<(u32, Vec<u32>, Vec<u32>)> = (0..40)
            .map(|user| {
                let liked: Vec<u32> = (0..10).map(|n| n * 2 + user % 2).collect();
                let asked = liked[user as usize % 10];
                (user, liked.into_iter().filter(|item| *item != asked).collect(), vec![asked])
            })
            .collect();
        let (train, test) = (lists.iter().map(|l| (l.0, &l.1[..])), lists.iter().map(|l| (l.0, &l.2[..])));
        FixedSplit::try_new(train, test).unwrap()
    }

    #[test]
    fn every_model_finds_what_is_plain() {
        let none = serde_json::json!({});
        for model in
            [FixedModel::ItemKnn, FixedModel::TurboCf, FixedModel::Ials, FixedModel::Ease, FixedModel::Slim]
        {
            let report = evaluate_fixed_split(&split(), model, &none, 1, &Silent).unwrap();
            assert!(report.recall_at_20 > 0.99 && report.ndcg_at_10 > 0.9, "{report:?}");
            let (low, high) = report.intervals["ndcg_at_20"];
            assert!(low <= report.ndcg_at_20 && report.ndcg_at_20 <= high);
        }
        let report = evaluate_fixed_split(&split(), FixedModel::Popularity, &none, 1, &Silent).unwrap();
        assert!(report.ndcg_at_20 < 0.7, "popularity knows no taste: {report:?}");
        assert_eq!((report.n_users, report.n_items, report.n_train, report.n_test), (40, 20, 360, 40));
    }

    #[test]
    fn models_of_one_form_have_names_of_their_own() {
        let name =
            |model, settings| evaluate_fixed_split(&split(), model, &settings, 1, &Silent).unwrap().model;
        let none = || serde_json::json!({});
        assert_eq!(name(FixedModel::ItemKnn, none()), "item-knn");
        assert_eq!(name(FixedModel::TurboCf, none()), "turbo-cf");
        assert_eq!(name(FixedModel::Ease, none()), "ease");
        assert_eq!(name(FixedModel::Ease, serde_json::json!({ "dropout": 0.5 })), "edlae");
    }

    #[test]
    fn settings_replace_defaults_and_unknown_ones_are_refused() {
        let fit = |settings: Value| {
            let report = evaluate_fixed_split(&split(), FixedModel::Ials, &settings, 1, &Silent);
            report.map_err(|e| format!("{e:#}"))
        };
        let report = fit(serde_json::json!({ "n_factors": 4 })).unwrap();
        assert_eq!((report.model.as_str(), &report.settings["n_factors"]), ("ials-4", &Value::from(4)));
        let refused = fit(serde_json::json!({ "n_faktors": 4 })).unwrap_err();
        assert!(
            refused.contains("does not take these settings") && refused.contains("n_faktors"),
            "{refused}"
        );
        assert!(fit(Value::from(3)).unwrap_err().starts_with("settings are an object"));
    }

    #[test]
    fn what_was_learned_is_counted_where_it_is_asked_about() {
        let split =
            FixedSplit::try_new([(0, &[1, 2][..]), (3, &[][..])], [(0, &[2, 9][..]), (1, &[][..])]).unwrap();
        assert_eq!((split.n_overlap, split.n_test, split.cases.len()), (1, 2, 1));
        assert_eq!((split.train.n_users(), split.train.n_items()), (2, 10));
        let nothing = FixedSplit::try_new([(0, &[][..])], [(0, &[1][..])]).unwrap_err();
        assert_eq!(nothing.to_string(), "there is nothing to learn from");
        let nobody = FixedSplit::try_new([(0, &[1][..])], [(0, &[][..])]).unwrap_err();
        assert_eq!(nobody.to_string(), "there is nobody to ask about");
    }
}
