//! Asking a recommender about every case.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};

use rayon::prelude::*;
use serde::Serialize;
use waggle_model::{ItemIdx, Person, Timestamp};
use waggle_models::{HistoryEntry, Query, RecommendError, Recommender};

use crate::metrics;

/// One question with a known answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// Who asks. Cases of the same person are resampled together; without it the case is a person of its own.
    pub person: Option<Person>,
    /// What was known when it was asked; as in [`Query`].
    pub history: Vec<HistoryEntry>,
    /// What the person went on to choose: distinct rows. A row that no model knows counts as missed.
    pub truth: Vec<ItemIdx>,
    /// Items that must not be recommended, ascending.
    pub exclude: Vec<ItemIdx>,
    pub now: Timestamp,
}

/// Values of one recommender, case by case.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// Of the recommender.
    pub name: String,
    /// Names of the metrics, for example `ndcg@10`; the first is the one that comparisons go by.
    pub metrics: Vec<String>,
    /// `values[metric][case]`, over the cases with a truth, in their order.
    pub values: Vec<Vec<f64>>,
    /// The person of every case with a truth, as a number.
    pub persons: Vec<u32>,
    /// What was recommended in each of these cases, as many items as the largest cut-off.
    pub lists: Vec<Vec<ItemIdx>>,
    /// Cases without a truth, left out of every mean.
    pub n_left_out: usize,
    /// By cut-off.
    pub coverage: BTreeMap<usize, Coverage>,
}

/// How much of the catalogue was shown to anybody.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Coverage {
    /// Different items among the first `k` of all lists.
    pub n_distinct: usize,
    /// `n_distinct / n_items`.
    pub share: f64,
}

#[derive(Debug, thiserror::Error)]
pub enum EvaluationError {
    #[error("there is no cut-off to evaluate at, or one of them is 0")]
    Cutoffs,
    #[error("the recommender failed on case {case}")]
    Recommend { case: usize, source: RecommendError },
    #[error("\"{0}\" and \"{1}\" were not evaluated on the same cases")]
    DifferentCases(String, String),
    #[error("no case has a truth to compare with")]
    NoCases,
    #[error("there is no metric \"{0}\"")]
    UnknownMetric(String),
}

/// Asks `recommender` once per case, for as many items as the largest of `ks`, in parallel, and computes NDCG, recall
/// (both definitions), hit rate, reciprocal rank and average precision at every cut-off. `n_items` is the size of the catalogue, for
/// coverage. Cases without a truth are not asked.
///
/// The metrics come in the order of `ks`, `ndcg@k` first.
///
/// # Errors
/// [`EvaluationError`] for useless cut-offs, or when the recommender fails on a case.
pub fn evaluate(
    recommender: &dyn Recommender,
    cases: &[Case],
    ks: &[usize],
    n_items: usize,
) -> Result<Evaluation, EvaluationError> {
    let largest = ks.iter().copied().max().filter(|_| !ks.contains(&0)).ok_or(EvaluationError::Cutoffs)?;
    let scored: Vec<(usize, &Case)> =
        cases.iter().enumerate().filter(|(_, case)| !case.truth.is_empty()).collect();
    let lists: Vec<Vec<ItemIdx>> = scored
        .par_chunks(ASKED_AT_ONCE)
        .map(|cases| lists(recommender, cases, largest))
        .collect::<Result<Vec<_>, _>>()?
        .concat();

    let truths: Vec<&[ItemIdx]> = scored.iter().map(|(_, case)| case.truth.as_slice()).collect();
    let names = ks.iter().flat_map(|k| METRICS.map(|(name, _)| format!("{name}@{k}")));
    Ok(Evaluation {
        name: recommender.name().to_owned(),
        metrics: names.collect(),
        values: ks
            .iter()
            .flat_map(|&k| METRICS.map(|(_, metric)| values_of(metric, &lists, &truths, k)))
            .collect(),
        persons: persons(&scored),
        n_left_out: cases.len() - scored.len(),
        coverage: ks.iter().map(|&k| (k, coverage(&lists, k, n_items))).collect(),
        lists,
    })
}

fn values_of(metric: Metric, lists: &[Vec<ItemIdx>], truths: &[&[ItemIdx]], k: usize) -> Vec<f64> {
    let value = |(list, truth): (&Vec<ItemIdx>, &&[ItemIdx])| {
        metric(list, truth, k).expect("cases without a truth were left out")
    };
    lists.par_iter().zip(truths).map(value).collect()
}

impl Case {
    /// The case as a recommender sees it: without the truth.
    pub fn query(&self) -> Query<'_> {
        Query { history: &self.history, exclude: &self.exclude, now: self.now, person: self.person.as_ref() }
    }
}

impl Evaluation {
    /// Cases that the means are over.
    pub fn n_cases(&self) -> usize {
        self.persons.len()
    }

    /// Values of one metric, case by case.
    pub fn values(&self, metric: &str) -> Option<&[f64]> {
        self.metrics.iter().position(|name| name == metric).map(|at| self.values[at].as_slice())
    }

    /// Some of the cases, by their number among those with a truth.
    #[must_use]
    pub fn of_cases(&self, is_kept: impl Fn(usize) -> bool) -> Self {
        let kept: Vec<usize> = (0..self.n_cases()).filter(|case| is_kept(*case)).collect();
        let mut numbers = HashMap::new();
        let renumbered = kept.iter().map(|&case| {
            let next = numbers.len() as u32;
            *numbers.entry(self.persons[case]).or_insert(next)
        });
        Self {
            name: self.name.clone(),
            metrics: self.metrics.clone(),
            persons: renumbered.collect(),
            values: self
                .values
                .iter()
                .map(|values| kept.iter().map(|&case| values[case]).collect())
                .collect(),
            lists: kept.iter().map(|&case| self.lists[case].clone()).collect(),
            n_left_out: self.n_left_out + self.n_cases() - kept.len(),
            coverage: BTreeMap::new(),
        }
    }

    /// The same lists beside other truths, one for each case; cases without one are left out.
    ///
    /// # Panics
    /// If there are fewer or more of them than cases.
    #[must_use]
    pub fn with_truths(&self, truths: &[Vec<ItemIdx>]) -> Self {
        assert_eq!(truths.len(), self.n_cases(), "every case has a truth, if an empty one");
        let part = self.of_cases(|case| !truths[case].is_empty());
        let truths: Vec<&[ItemIdx]> =
            truths.iter().map(Vec::as_slice).filter(|truth| !truth.is_empty()).collect();
        let value = |name: &String| {
            let (metric, k) = name.split_once('@').expect("metrics are named with their cut-off");
            let (_, metric) = METRICS.iter().find(|(other, _)| *other == metric).expect("it is one of ours");
            values_of(*metric, &part.lists, &truths, k.parse().expect("cut-offs are numbers"))
        };
        Self { values: part.metrics.iter().map(value).collect(), ..part }
    }

    /// Mean over the cases with a truth; `None` for an unknown metric or without cases.
    pub fn mean(&self, metric: &str) -> Option<f64> {
        let values = self.values(metric)?;
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    }
}

/// Enough that a model which reads all it knows for every list reads it seldom; few enough to spread over processors.
const ASKED_AT_ONCE: usize = 32;

/// The lists of some cases, which come with their numbers.
fn lists(
    recommender: &dyn Recommender,
    cases: &[(usize, &Case)],
    k: usize,
) -> Result<Vec<Vec<ItemIdx>>, EvaluationError> {
    let queries: Vec<Query<'_>> = cases.iter().map(|(_, case)| case.query()).collect();
    let found = recommender.recommend_all(&queries, k).map_err(|source| {
        // Asked once more, one by one, to name the case.
        let mut failures = cases
            .iter()
            .filter_map(|(case, asked)| Some((*case, recommender.recommend(&asked.query(), k).err()?)));
        let (case, source) = failures.next().unwrap_or((cases[0].0, source));
        EvaluationError::Recommend { case, source }
    })?;
    Ok(found.into_iter().map(|list| list.into_iter().map(|scored| scored.item).collect()).collect())
}

type Metric = fn(&[ItemIdx], &[ItemIdx], usize) -> Option<f64>;

/// What [`evaluate`] computes at every cut-off.
const METRICS: [(&str, Metric); 6] = [
    ("ndcg", metrics::ndcg_at_k),
    ("recall", metrics::recall_at_k),
    ("recall_of_truth", metrics::recall_at_k_of_truth),
    ("hit_rate", metrics::hit_rate_at_k),
    ("mrr", metrics::reciprocal_rank_at_k),
    ("map", metrics::average_precision_at_k),
];

/// Numbers persons in the order of their first case.
fn persons(cases: &[(usize, &Case)]) -> Vec<u32> {
    let mut numbers = HashMap::new();
    let mut next = 0_u32;
    let mut fresh = || {
        next += 1;
        next - 1
    };
    cases
        .iter()
        .map(|(_, case)| match case.person.as_ref().and_then(Person::key) {
            Some(key) => *numbers.entry(key).or_insert_with(&mut fresh),
            None => fresh(),
        })
        .collect()
}

fn coverage(lists: &[Vec<ItemIdx>], k: usize, n_items: usize) -> Coverage {
    let shown: HashSet<ItemIdx> = lists.iter().flat_map(|list| list.iter().take(k).copied()).collect();
    let n_distinct = shown.len();
    Coverage { n_distinct, share: if n_items == 0 { 0.0 } else { n_distinct as f64 / n_items as f64 } }
}
