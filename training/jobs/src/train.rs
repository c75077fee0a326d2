//! From the archive's events to a snapshot: the whole training run.
//!
//! ```text
//! ───────── A fits ─────────┤ ranker questions ┤ test        │
//! ───────── B fits ────────────────────────────┤ ranker questions
//! ───────── C fits ──────────────────────────────────────────┤ published
//!                           T−2w               T−w           T
//! ```
//!
//! What is evaluated (B and the ranker that learned before it) knows nothing of the test window; what is published (C and
//! a ranker that learned from both windows) knows everything. Every fit gives the same bits for the same input and seed.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use ndarray::{Array2, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use waggle_evaluation::TimeSplit;
use waggle_model::{Event, EventBody, Item, SnapshotVersion, Timestamp};
use waggle_models::{
    Manifest, Ranker, Snapshot, SourceLimits, Vocabulary,
    ann::choice::{INT8_MIN_ITEMS, SUFFICIENT_QUERIES},
    snapshot::{FORMAT_VERSION, SnapshotModels},
};

use crate::{
    examples::{ExampleParams, Featuriser, Question, questions, rows},
    fit::user_factors,
    fit_ranker::{RankerFit, fit_ranker, mean_ndcg},
    models::{FittedModels, ModelParams, Past, fit_models, vocabulary},
    progress::Progress,
    replay::{Attributes, Basket, Replay, attributes_of, baskets, sessions},
    time_split::{ExtraRecommenders, TimeSplitReport, evaluate_split},
};

/// What is learned from.
#[derive(Debug, Clone, Default)]
pub struct TrainingInput {
    /// Ascending in time.
    pub events: Vec<Event>,
    /// The catalogue.
    pub items: Vec<Item>,
}

/// Settings of a training run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainParams {
    pub models: ModelParams,
    pub limits: SourceLimits,
    pub examples: ExampleParams,
    /// Length of the ranker's window and of the test window, where the data is long enough: a window is never longer than
    /// one part in [`WINDOWS_PER_SPAN`] of the whole, so that most of it is left to fit on.
    pub window: Duration,
    /// Candidates of [`RankerFit::l2`]; the best on people held out is taken.
    pub l2_choices: Vec<f64>,
    pub max_ranker_iterations: u64,
    /// Resamples behind every interval of the evaluation.
    pub n_resamples: usize,
    pub seed: u64,
}

impl Default for TrainParams {
    fn default() -> Self {
        Self {
            models: ModelParams::default(),
            limits: SourceLimits::default(),
            examples: ExampleParams::default(),
            window: Duration::from_secs(28 * 86_400),
            l2_choices: vec![1e-5, 1e-4, 1e-3],
            max_ranker_iterations: 60,
            n_resamples: 1000,
            seed: 42,
        }
    }
}

impl TrainParams {
    /// Length of a window on data that spans `span`.
    pub fn window_over(&self, span: Duration) -> Duration {
        self.window.min(span / WINDOWS_PER_SPAN)
    }
}

/// Times of the first and the last interaction; `None` if there is none. Events ascend in time.
pub fn span(events: &[Event]) -> Option<(Timestamp, Timestamp)> {
    let is_interaction = |event: &&Event| matches!(event.body, EventBody::Interaction(_));
    Some((events.iter().find(is_interaction)?.timestamp, events.iter().rfind(is_interaction)?.timestamp))
}

/// The time from the first interaction to the last holds at least this many windows.
pub const WINDOWS_PER_SPAN: u32 = 6;

/// Fewer people asked about, per window, teach a ranker more noise than taste: the snapshot goes without one, and serving
/// keeps the order of the sources.
pub const MIN_RANKER_PEOPLE: usize = 50;

/// A snapshot that may be published, with the figures that say whether it should be.
pub struct TrainedSnapshot {
    pub snapshot: Snapshot,
    /// `None` where the data is too little to hold a window back; [`notes`](Self::notes) says so.
    pub evaluation: Option<TimeSplitReport>,
    pub gate: Gate,
    /// What had to be left out, in sentences for the operator.
    pub notes: Vec<String>,
}

/// Whether the run is good enough to be published.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Gate {
    pub is_passed: bool,
    /// One sentence with the figures.
    pub reason: String,
}

/// Why there is no snapshot at all.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    #[error("there are no interactions to learn from; trending and new items need no snapshot")]
    NoInteractions,
    #[error("event {index} is older than the one before it, events must ascend in time")]
    Unsorted { index: usize },
    #[error("{0} failed")]
    Step(&'static str, #[source] anyhow::Error),
}

/// Trains, evaluates and assembles a snapshot named after `created_at`.
///
/// Little data is no error: with any interaction there is a snapshot with popularity, item-item and embeddings; below
/// [`MIN_RANKER_PEOPLE`] people with purchases in a window there is no ranker.
///
/// # Errors
/// [`TrainError`] says what is missing or which step failed.
pub fn train(
    input: &TrainingInput,
    params: &TrainParams,
    created_at: Timestamp,
    progress: &dyn Progress,
) -> Result<TrainedSnapshot, TrainError> {
    let run = Run::new(input, params, progress)?;
    let mut notes = Vec::new();
    let rehearsal = run.rehearse(None).map_err(|e| TrainError::Step("the evaluation", e))?;
    let (ranker, evaluation, l2) = match rehearsal {
        Rehearsal::Done(done) => {
            let ranker = run.final_ranker(&done).map_err(|e| TrainError::Step("the ranker", e))?;
            (Some(ranker), Some(done.report), Some(done.l2))
        }
        Rehearsal::TooLittle(note) => {
            notes.push(note);
            (None, None, None)
        }
    };
    let vocabulary =
        vocabulary(&input.items, &input.events).map_err(|e| TrainError::Step("the vocabulary", e))?;
    let mut states = Replay::default();
    states.fold_all(&input.events);
    let models = run
        .fit(&Arc::new(vocabulary), &states, run.end)
        .map_err(|e| TrainError::Step("fitting the published models", e))?;
    notes.extend(sample_note(&models));
    let snapshot = run
        .snapshot(models, ranker, created_at, evaluation.as_ref(), l2)
        .map_err(|e| TrainError::Step("assembling the snapshot", e))?;
    let gate = gate(evaluation.as_ref());
    Ok(TrainedSnapshot { snapshot, evaluation, gate, notes })
}

/// The evaluation alone: two-stage answers, single models, rulers and whatever `extra` adds, on the last window.
///
/// # Errors
/// [`TrainError`]; too little data to hold a window back is an error here.
pub fn evaluate_time_split(
    input: &TrainingInput,
    params: &TrainParams,
    extra: Option<&mut ExtraRecommenders<'_>>,
    progress: &dyn Progress,
) -> Result<TimeSplitReport, TrainError> {
    let run = Run::new(input, params, progress)?;
    match run.rehearse(extra).map_err(|e| TrainError::Step("the evaluation", e))? {
        Rehearsal::Done(done) => Ok(done.report),
        Rehearsal::TooLittle(note) => Err(TrainError::Step("the evaluation", anyhow::anyhow!(note))),
    }
}

/// One run over one input.
pub(crate) struct Run<'a> {
    pub input: &'a TrainingInput,
    pub params: &'a TrainParams,
    pub progress: &'a dyn Progress,
    pub attributes: Arc<Attributes>,
    /// Of all events, ascending by start.
    pub baskets: Vec<Basket>,
    /// Just after the newest event.
    pub end: Timestamp,
    /// Length of a window on this data.
    pub window: Duration,
}

/// What the run on the past, with the last window held back, came to.
enum Rehearsal {
    Done(Box<Rehearsed>),
    TooLittle(String),
}

struct Rehearsed {
    report: TimeSplitReport,
    l2: f64,
    /// Asked in the window before the split.
    questions: Vec<Question>,
    /// Asked in the test window, by models that do not know it.
    later_questions: Vec<Question>,
}

impl<'a> Run<'a> {
    fn new(
        input: &'a TrainingInput,
        params: &'a TrainParams,
        progress: &'a dyn Progress,
    ) -> Result<Self, TrainError> {
        let events = &input.events;
        if let Some(index) = events.windows(2).position(|pair| pair[0].timestamp > pair[1].timestamp) {
            return Err(TrainError::Unsorted { index: index + 1 });
        }
        let (oldest, newest) = span(events).ok_or(TrainError::NoInteractions)?;
        let window = params.window_over(newest.since(oldest));
        let attributes = Arc::new(attributes_of(&input.items));
        let (end, baskets) = (newest.shifted_by_millis(1), baskets(events));
        Ok(Self { input, params, progress, attributes, baskets, end, window })
    }

    /// Evaluates on the last window with a ranker from the window before it.
    fn rehearse(&self, extra: Option<&mut ExtraRecommenders<'_>>) -> anyhow::Result<Rehearsal> {
        let window_ms = i64::try_from(self.window.as_millis()).context("the window is too long")?;
        let split = TimeSplit { at: self.end.shifted_by_millis(-window_ms) };
        let cut = split.at.shifted_by_millis(-window_ms);
        let events = &self.input.events;
        let vocabulary = Arc::new(vocabulary(&[], &events[..first_at(events, split.at)])?);

        let mut states = Replay::default();
        let after_cut = states.fold_until(events, cut);
        self.progress.report("replay", 1, 1);
        if states.people().iter().all(|(_, person)| person.items.is_empty()) {
            return Ok(Rehearsal::TooLittle(self.too_little("nothing happened before the ranker's window")));
        }
        let early = self.fit(&vocabulary, &states, cut)?;
        let asked = self.ask(&early, &mut states, after_cut, cut, split.at)?;
        if n_taken(&asked) < MIN_RANKER_PEOPLE {
            return Ok(Rehearsal::TooLittle(
                self.too_little("too few known people bought in the ranker's window"),
            ));
        }
        let (ranker, l2) = self.choose_ranker(&asked)?;
        let models = Arc::new(self.fit(&vocabulary, &states, split.at)?);
        let states = Arc::new(states);
        let report = evaluate_split(self, split, &models, Arc::new(ranker), l2, &states, extra)?;

        let mut later = Arc::unwrap_or_clone(states);
        let after_split = &events[first_at(events, split.at)..];
        let later_questions = self.ask(&models, &mut later, after_split, split.at, self.end)?;
        Ok(Rehearsal::Done(Box::new(Rehearsed { report, l2, questions: asked, later_questions })))
    }

    fn too_little(&self, what: &str) -> String {
        format!(
            "no ranker and no evaluation: {what} (it takes {MIN_RANKER_PEOPLE} people with purchases in each of two \
             windows of {:.1} days, known from before)",
            self.window.as_secs_f64() / 86_400.0
        )
    }

    fn fit(
        &self,
        vocabulary: &Arc<Vocabulary>,
        states: &Replay,
        now: Timestamp,
    ) -> anyhow::Result<FittedModels> {
        let n_before = self.baskets.partition_point(|basket| basket.start < now);
        let events = &self.input.events;
        let past = Past {
            items: &self.input.items,
            states,
            baskets: &self.baskets[..n_before],
            sessions: &sessions(&events[..first_at(events, now)]),
            now,
        };
        fit_models(vocabulary, &past, &self.params.models, self.params.seed, self.progress)
    }

    fn ask(
        &self,
        models: &FittedModels,
        states: &mut Replay,
        after_cut: &[Event],
        cut: Timestamp,
        until: Timestamp,
    ) -> anyhow::Result<Vec<Question>> {
        let featuriser = Featuriser {
            models: models.as_candidate_models(),
            attributes: &self.attributes,
            limits: &self.params.limits,
        };
        let asked =
            questions(&featuriser, states, after_cut, cut, until, &self.params.examples, self.params.seed)?;
        self.progress.report("ranker questions", 1, 1);
        Ok(asked)
    }

    /// Fits on four fifths of the people per choice of L2, keeps the choice whose lists are best for the last fifth, and
    /// fits on everybody.
    fn choose_ranker(&self, asked: &[Question]) -> anyhow::Result<(Ranker, f64)> {
        let (held_out, kept): (Vec<&Question>, Vec<&Question>) =
            asked.iter().partition(|question| question.person.0 % 5 == 0);
        let quality: Vec<f64> = self
            .params
            .l2_choices
            .par_iter()
            .map(|l2| anyhow::Ok(mean_ndcg(&self.fit_ranker(&kept, *l2)?, &held_out, 10)))
            .collect::<anyhow::Result<_>>()?;
        let best = quality.iter().zip(&self.params.l2_choices).rev().max_by(|a, b| a.0.total_cmp(b.0));
        let l2 = *best.context("there is no L2 to choose from")?.1;
        let all: Vec<&Question> = asked.iter().collect();
        Ok((self.fit_ranker(&all, l2)?, l2))
    }

    fn final_ranker(&self, done: &Rehearsed) -> anyhow::Result<Ranker> {
        let all: Vec<&Question> = done.questions.iter().chain(&done.later_questions).collect();
        self.fit_ranker(&all, done.l2)
    }

    fn fit_ranker(&self, asked: &[&Question], l2: f64) -> anyhow::Result<Ranker> {
        let (rows, negative_rate) = rows(asked, &self.params.examples, self.params.seed);
        let max_iterations = self.params.max_ranker_iterations;
        let ranker = fit_ranker(&rows, &RankerFit { l2, max_iterations, negative_rate });
        self.progress.report("ranker", 1, 1);
        ranker
    }

    /// Puts the parts under one version.
    pub(crate) fn snapshot(
        &self,
        models: FittedModels,
        ranker: Option<Ranker>,
        created_at: Timestamp,
        evaluation: Option<&TimeSplitReport>,
        l2: Option<f64>,
    ) -> anyhow::Result<Snapshot> {
        let sample_queries = with_opinion(&user_factors(&models.sample.histories, &models.als)?);
        let FittedModels {
            vocabulary,
            als,
            item_item,
            sessions,
            popularity,
            segments,
            histories,
            sample,
            ..
        } = models;
        let version: String = created_at.to_rfc3339().chars().filter(char::is_ascii_alphanumeric).collect();
        let mut settings = serde_json::to_value(self.params)?;
        settings["ranker_l2"] = serde_json::to_value(l2)?;
        settings["sample_queries"] = serde_json::json!({
            "n": sample_queries.nrows(),
            "held_out": sample.is_held_out,
        });
        let manifest = Manifest {
            format_version: FORMAT_VERSION,
            version: SnapshotVersion::try_new(version)?,
            created_at,
            trained_until: self.end.shifted_by_millis(-1),
            n_items: vocabulary.len(),
            n_users: histories.n_users(),
            n_interactions: histories.len(),
            seed: self.params.seed,
            settings,
            evaluation: serde_json::to_value(evaluation)?,
            parts: Default::default(),
        };
        let vocabulary = Arc::unwrap_or_clone(vocabulary);
        let models = SnapshotModels {
            vocabulary,
            popularity,
            item_item,
            sessions,
            als,
            sample_queries,
            ranker,
            segments,
        };
        let mut snapshot = Snapshot::try_new(manifest, models)?;
        // As it was when this was published; whoever loads it measures again.
        snapshot.manifest.settings["ann"] = serde_json::to_value(&snapshot.ann_report)?;
        Ok(snapshot)
    }
}

/// The vectors of those who touched something that the embeddings know: zeros are asked about nothing.
fn with_opinion(factors: &Array2<f32>) -> Array2<f32> {
    let is_any = |row: usize| factors.row(row).iter().any(|x| *x != 0.0);
    factors.select(Axis(0), &(0..factors.nrows()).filter(|row| is_any(*row)).collect::<Vec<_>>())
}

/// What an operator should know about the sample that the index was measured with, where it matters.
fn sample_note(models: &FittedModels) -> Option<String> {
    let is_worth_a_note = !models.sample.is_held_out && models.vocabulary.len() >= INT8_MIN_ITEMS;
    is_worth_a_note.then(|| {
        format!(
            "the index is measured with {} people whom the embeddings were trained on: at most a tenth of all people \
             is held out, and {SUFFICIENT_QUERIES} are needed",
            models.sample.histories.n_users()
        )
    })
}

/// Place of the first event at or after `time`.
pub(crate) fn first_at(events: &[Event], time: Timestamp) -> usize {
    events.partition_point(|event| event.timestamp < time)
}

/// Questions about known people that something can be learned from.
fn n_taken(asked: &[Question]) -> usize {
    asked.iter().filter(|question| question.is_known && question.labels.contains(&true)).count()
}

/// The two-stage list must not lose against any ruler or single model beyond chance.
fn gate(evaluation: Option<&TimeSplitReport>) -> Gate {
    let Some(report) = evaluation else {
        return Gate { is_passed: true, reason: "too little data to hold a window back".to_owned() };
    };
    let difference = report.two_stage_vs_best_other;
    Gate {
        is_passed: difference.high >= 0.0,
        reason: format!(
            "two-stage against {} in NDCG@10 over all items: {:+.4} [{:+.4}, {:+.4}]",
            report.best_other, difference.value, difference.low, difference.high
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_touched_nothing_that_is_known_does_not_judge_the_index() {
        let factors = ndarray::array![[0.0, 1.0], [0.0, 0.0], [-2.0, 0.0]];
        assert_eq!(with_opinion(&factors), ndarray::array![[0.0, 1.0], [-2.0, 0.0]]);
    }
}
