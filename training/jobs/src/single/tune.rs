//! Settings, and the model itself, by what they reach on the validation part of what may be learned from. Nothing of the
//! test is seen.
//!
//! The search turns one setting at a time to its next value and keeps what is better, until no turn is: few trials, each
//! easy to follow, and the same ones for the same seed. With a model to be chosen, every one is tried as it is, the best one and the
//! best of another form are searched, and the best of every model are blended.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use waggle_evaluation::evaluate;
use waggle_models::{Blend, ItemScorer};

use super::{
    PublicData, SingleModel, Split,
    blend::blend_weights,
    knobs::Knob,
    model::{BlendParams, BlendPart},
};
use crate::{Progress, Silent, fit::SasRecParams};

/// How long and by what to search.
#[derive(Debug, Clone, PartialEq)]
pub struct TuneParams {
    /// Wall time, the last fit included.
    pub budget: Duration,
    pub seed: u64,
}

/// What some settings reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Which data, how split: trials of another question say nothing.
    pub question: String,
    pub model: SingleModel,
    /// All of them.
    pub settings: Value,
    /// What the search goes by.
    pub metric: String,
    /// On the validation part; `None` if the fit failed.
    pub value: Option<f64>,
    /// Why it did.
    pub error: Option<String>,
    pub fit_s: f64,
    pub evaluate_s: f64,
}

/// What came of a search.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Choice {
    /// The best one.
    pub best: Trial,
    /// All of them, in the order they were made; those that were known before are among them.
    pub trials: Vec<Trial>,
    /// Whether no turn was left that is better, or time ran out before.
    pub is_finished: bool,
}

/// Searches `model`, or for a model, beginning with `start` in place of some settings.
///
/// `known` are trials of a search that was cut off: they are not made again, so that a search goes on where it
/// stopped. `record` hears of every new one.
///
/// # Errors
/// For settings that the model does not have, when what the search begins with cannot be fitted, when time does not suffice
/// for a single trial, or when `record` fails.
pub fn tune(
    data: &PublicData,
    model: Option<SingleModel>,
    start: &Value,
    params: &TuneParams,
    known: Vec<Trial>,
    record: &mut dyn FnMut(&Trial) -> Result<()>,
    progress: &dyn Progress,
) -> Result<Choice> {
    let split = data.validation(params.seed)?;
    let question = question(&split, params.seed);
    if let Some(other) = known.iter().find(|trial| trial.question != question) {
        bail!("the trials that are known are of another question: {}, not {question}", other.question);
    }
    let is_ordered = matches!(data, PublicData::LeaveOneOut { .. });
    let mut search = Search {
        split,
        question,
        is_ordered,
        is_to_blend: false,
        metric: String::new(),
        started: Instant::now(),
        params,
        known: known.into_iter().map(|trial| (key(trial.model, &trial.settings), trial)).collect(),
        trials: Vec::new(),
        record,
        progress,
    };
    search.metric = format!("ndcg@{}", search.cutoff());
    let is_finished = match model {
        Some(model) => search.one_model(model, start)?,
        None => search.all_models()?,
    };
    let best = search.best(None).cloned().context("the time does not suffice for a single trial")?;
    Ok(Choice { best, trials: search.trials, is_finished })
}

struct Search<'a> {
    split: Split,
    question: String,
    is_ordered: bool,
    /// Whether time is kept for a blend.
    is_to_blend: bool,
    metric: String,
    started: Instant,
    params: &'a TuneParams,
    known: BTreeMap<String, Trial>,
    trials: Vec<Trial>,
    record: &'a mut dyn FnMut(&Trial) -> Result<()>,
    progress: &'a dyn Progress,
}

struct Turned {
    better: Option<Trial>,
    /// Whether the last turn was tried, too.
    is_complete: bool,
}

/// Learning from everything takes longer than learning from all but the validation part: a fifth more pairs, and pairs of
/// pairs.
const LAST_FIT: f64 = 1.6;
/// A machine is slower at times.
const MARGIN: f64 = 1.3;
/// Models of a blend.
const MAX_PARTS: usize = 4;

impl Search<'_> {
    /// Whether it came to its end.
    fn one_model(&mut self, model: SingleModel, start: &Value) -> Result<bool> {
        let mut settings = model.start(&self.split.train, self.is_ordered);
        let start = start.as_object().context("settings are an object, such as {\"n_factors\": 128}")?;
        for (name, value) in start {
            settings[name] = value.clone();
        }
        let first = self.attempt(model, &settings, 0.0)?;
        let first = first.context("the time does not suffice for a single trial")?;
        if let Some(error) = &first.error {
            ensure!(first.value.is_some(), "{error}");
        }
        self.climb(first, self.params.budget.as_secs_f64())
    }

    fn all_models(&mut self) -> Result<bool> {
        let mut is_finished = true;
        // Scores of some items only are on another scale than those of all that a blend goes by.
        self.is_to_blend = self.split.among.is_none();
        for &model in self.choices() {
            let expected = self.expected(model);
            is_finished &=
                self.attempt(model, &model.start(&self.split.train, self.is_ordered), expected)?.is_some();
        }
        // The best one may take most of the time; what it leaves is for the best of another form.
        let budget = self.params.budget.as_secs_f64();
        let best = self.best_of_models();
        let has_factors = best.first().is_some_and(|best| best.model.has_factors());
        let other = best.iter().find(|trial| trial.model.has_factors() != has_factors).cloned();
        for (first, share) in best.first().cloned().into_iter().chain(other).zip([0.45, 0.7]) {
            is_finished &= self.climb(first, share * budget)?;
        }
        Ok(is_finished & self.blend()?)
    }

    fn choices(&self) -> &'static [SingleModel] {
        SingleModel::choices(self.is_ordered, self.split.among.is_some())
    }

    /// The best trial of every model, the best one first.
    fn best_of_models(&self) -> Vec<Trial> {
        let mut best: Vec<Trial> =
            self.choices().iter().filter_map(|&model| self.best(Some(model)).cloned()).collect();
        best.sort_by(|a, b| b.value.unwrap_or(0.0).total_cmp(&a.value.unwrap_or(0.0)));
        best
    }

    /// One more trial: the best of every model together. Whether there was time for it.
    fn blend(&mut self) -> Result<bool> {
        let mut parts = self.best_of_models();
        parts.truncate(MAX_PARTS);
        if parts.len() < 2 || !self.is_to_blend {
            return Ok(true);
        }
        if let Some(known) = self.known_blend(&parts) {
            self.trials.push(known);
            return Ok(true);
        }
        if self.elapsed() + blend_s(parts.iter().map(cost_in_blend)) > self.params.budget.as_secs_f64() {
            return Ok(false);
        }
        let started = Instant::now();
        let fit =
            |part: &Trial| part.model.fit(&self.split.train, None, &part.settings, self.params.seed, &Silent);
        let models: Vec<Box<dyn ItemScorer>> = parts.iter().map(fit).collect::<Result<_>>()?;
        let fit_s = started.elapsed().as_secs_f64();
        let weights = blend_weights(&models, &self.split.cases, self.cutoff())?;
        let weighted = |(part, weight): (&Trial, &f32)| BlendPart {
            model: part.model,
            settings: part.settings.clone(),
            weight: *weight,
        };
        let params = BlendParams { parts: parts.iter().zip(&weights).map(weighted).collect() };
        let settings = SingleModel::Blend.settings(&serde_json::to_value(params)?)?;
        let blend = Blend::try_new(models.into_iter().zip(weights).collect())?;
        let trial = self.trial(SingleModel::Blend, settings, fit_s, self.measure(&blend));
        (self.record)(&trial)?;
        self.trials.push(trial);
        Ok(true)
    }

    /// A blend of the same models with the same settings, whatever its weights.
    fn known_blend(&self, parts: &[Trial]) -> Option<Trial> {
        let is_same = |trial: &&Trial| {
            let params: Option<BlendParams> = serde_json::from_value(trial.settings.clone()).ok();
            params.is_some_and(|params| {
                let own = params.parts.iter().map(|part| (part.model, &part.settings));
                own.eq(parts.iter().map(|part| (part.model, &part.settings)))
            })
        };
        self.known.values().filter(|trial| trial.model == SingleModel::Blend).find(is_same).cloned()
    }

    /// Seconds of the first fit, before anything is known, of models that can take very long.
    fn expected(&self, model: SingleModel) -> f64 {
        /// Multiply-adds in a second, a third of what two cores do.
        const OF_LARGE_MATRICES: f64 = 3e10;
        const OF_SMALL_MATRICES: f64 = 1e10;
        let train = &self.split.train;
        match model {
            SingleModel::Ease => (train.n_items() as f64).powi(3) / 2.0 / OF_LARGE_MATRICES,
            SingleModel::SasRec => SasRecParams::default().cost(train) / OF_SMALL_MATRICES,
            _ => 0.0,
        }
    }

    /// Turns one setting after the other. Whether no turn was left out for want of time, which is up after `until` seconds.
    fn climb(&mut self, first: Trial, until: f64) -> Result<bool> {
        let mut best = first;
        loop {
            let before = best.value;
            let mut is_complete = true;
            for knob in best.model.knobs(self.is_ordered) {
                for up in [true, false] {
                    let turned = self.turn(knob, up, &best, until)?;
                    is_complete &= turned.is_complete;
                    if let Some(better) = turned.better {
                        best = better;
                        break;
                    }
                }
            }
            if best.value == before {
                return Ok(is_complete);
            }
        }
    }

    /// When to have stopped, so that there is time to blend the best of every model, among them one of `model` that takes
    /// `expected_s`: a model that is a little better and takes much longer would be all that comes of the search. Never where the time
    /// does not suffice for a blend as it is.
    fn latest_for_blend(&self, model: SingleModel, expected_s: f64) -> f64 {
        if !self.is_to_blend {
            return f64::INFINITY;
        }
        let mut parts = self.best_of_models();
        parts.truncate(MAX_PARTS);
        let budget = self.params.budget.as_secs_f64();
        if self.elapsed() + blend_s(parts.iter().map(cost_in_blend)) > budget {
            return f64::INFINITY;
        }
        let cost = |part: &Trial| cost_in_blend(part).max(if part.model == model { expected_s } else { 0.0 });
        budget - blend_s(parts.iter().map(cost))
    }

    /// Turns one setting in one direction for as long as that is better.
    fn turn(&mut self, knob: &Knob, up: bool, from: &Trial, until: f64) -> Result<Turned> {
        let mut turned = Turned { better: None, is_complete: true };
        loop {
            let best = turned.better.as_ref().unwrap_or(from);
            let Some(settings) = knob.turned(&best.settings, up) else { return Ok(turned) };
            let expected_s = knob.cost(&best.settings, &settings) * (best.fit_s + best.evaluate_s);
            let (model, value) = (best.model, best.value);
            let is_late = self.elapsed() + expected_s > until.min(self.latest_for_blend(model, expected_s));
            let trial = if is_late { None } else { self.attempt(model, &settings, expected_s)? };
            let Some(trial) = trial else {
                turned.is_complete = false;
                return Ok(turned);
            };
            if trial.value <= value {
                return Ok(turned);
            }
            turned.better = Some(trial);
        }
    }

    /// A trial, or `None` if it and the last fit may not be over in time.
    fn attempt(&mut self, model: SingleModel, settings: &Value, expected_s: f64) -> Result<Option<Trial>> {
        let settings = model.settings(settings)?;
        let trial = if let Some(known) = self.known.remove(&key(model, &settings)) {
            known
        } else if let Some(known) = self.trials.iter().find(|t| t.model == model && t.settings == settings) {
            return Ok(Some(known.clone()));
        } else {
            let best_s = self.best(None).map_or(0.0, |best| best.fit_s + best.evaluate_s);
            let last_s = LAST_FIT * best_s.max(expected_s);
            if self.elapsed() + MARGIN * (expected_s + last_s) > self.params.budget.as_secs_f64() {
                return Ok(None);
            }
            let trial = self.make(model, settings);
            (self.record)(&trial)?;
            trial
        };
        self.trials.push(trial.clone());
        let share = (self.elapsed() / self.params.budget.as_secs_f64()).min(1.0);
        self.progress.report("settings", (share * 1000.0) as usize, 1000);
        Ok(Some(trial))
    }

    fn make(&self, model: SingleModel, settings: Value) -> Trial {
        let started = Instant::now();
        let fitted =
            model.fit(&self.split.train, self.split.content.as_ref(), &settings, self.params.seed, &Silent);
        let fit_s = started.elapsed().as_secs_f64();
        let measured = fitted.and_then(|fitted| self.measure(&fitted));
        self.trial(model, settings, fit_s, measured)
    }

    /// What a fitted model reaches, and the seconds it took to ask.
    fn measure(&self, fitted: &dyn ItemScorer) -> Result<(f64, f64)> {
        let started = Instant::now();
        let fitted = self.split.restricted(fitted);
        let evaluation = evaluate(&fitted, &self.split.cases, &[self.cutoff()], self.split.n_candidates())?;
        let value = evaluation.mean(&self.metric).context("nobody was asked")?;
        Ok((value, started.elapsed().as_secs_f64()))
    }

    fn trial(&self, model: SingleModel, settings: Value, fit_s: f64, measured: Result<(f64, f64)>) -> Trial {
        let (value, evaluate_s, error) = match measured {
            Ok((value, evaluate_s)) => (Some(value), evaluate_s, None),
            Err(error) => (None, 0.0, Some(format!("{error:#}"))),
        };
        let (question, metric) = (self.question.clone(), self.metric.clone());
        Trial { question, model, settings, metric, value, error, fit_s, evaluate_s }
    }

    /// Of the published tables.
    fn cutoff(&self) -> usize {
        if self.is_ordered { 10 } else { 20 }
    }

    /// The best so far, of one model or of all; among equals the first.
    fn best(&self, model: Option<SingleModel>) -> Option<&Trial> {
        let valued = self.trials.iter().filter(|trial| trial.value.is_some());
        let of_model = valued.filter(|trial| model.is_none_or(|model| trial.model == model));
        of_model.reduce(|best, trial| if trial.value > best.value { trial } else { best })
    }

    fn elapsed(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }
}

/// A part of a blend is fitted once more and asked twice.
fn cost_in_blend(part: &Trial) -> f64 {
    part.fit_s + 2.0 * part.evaluate_s
}

/// Making a blend, and in the end fitting it on everything.
fn blend_s(costs: impl Iterator<Item = f64>) -> f64 {
    MARGIN * (1.0 + LAST_FIT) * costs.sum::<f64>()
}

fn question(split: &Split, seed: u64) -> String {
    format!(
        "{}, {} users, {} items, {} pairs learned, {} asked, seed {seed}",
        split.protocol,
        split.train.n_users(),
        split.train.n_items(),
        split.train.len(),
        split.n_test
    )
}

fn key(model: SingleModel, settings: &Value) -> String {
    format!("{model:?} {settings}")
}
