//! How good the whole is: everything on one side of a moment learned, everything after it foretold.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use serde::Serialize;
use waggle_evaluation::{
    Bootstrap, Case, Comparison, Difference, Evaluation, Slice, TimeSplit, TimedInteraction, by_activity,
    by_item_age, evaluate, split::Repeats,
};
use waggle_model::{Event, EventBody, InteractionKind, Item, Timestamp};
use waggle_models::{
    Popularity, PopularityInLastDays, Ranker, Recommender, RepeatLastPurchases, Snapshot, Vocabulary,
    candidates::history_entries,
};

use crate::{
    clicks::{ClickReport, click_counts},
    models::FittedModels,
    next_items::StoppedBaskets,
    replay::Replay,
    train::{Run, first_at},
    two_stage::TwoStage,
};

/// Cut-offs of every list metric.
const KS: [usize; 2] = [10, 20];
/// The metric that decides.
const PRIMARY: &str = "ndcg@10";
/// Of people by activity.
const N_GROUPS: usize = 4;

/// Figures of the last window.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TimeSplitReport {
    pub split_at: Timestamp,
    /// Lists and truth hold all items: people buy again.
    pub all_items: Comparison,
    /// Lists and truth are restricted to items the person never bought.
    pub new_to_person: Comparison,
    /// The best model or ruler in NDCG@10 over all items, two-stage systems apart.
    pub best_other: String,
    /// Two-stage minus the best other, NDCG@10 over all items, paired.
    pub two_stage_vs_best_other: Difference,
    pub best_other_new_to_person: String,
    pub two_stage_vs_best_other_new_to_person: Difference,
    /// Known people's first baskets after the split, stopped after some lines: what else goes in. Single models see the
    /// cart alone.
    pub next_items: Option<Comparison>,
    /// The two-stage list over all items, people by how much is known of them.
    pub by_activity: Vec<Slice>,
    /// The same, what people chose among cold items, and among the others.
    pub by_item_age: Vec<Slice>,
    /// What popularity gives people first seen after the split.
    pub cold: Option<Comparison>,
    pub n_cold: usize,
    /// Items first seen after the split; they count as missed.
    pub n_new_items: usize,
    /// L2 of the ranker, chosen before the split.
    pub ranker_l2: f64,
    /// Whether the last event moves the list to the better.
    pub clicks: Option<ClickReport>,
}

/// What somebody who adds a recommender may know: the past, and a snapshot trained on it.
pub struct SplitContext<'a> {
    /// Events before the split, ascending.
    pub events: &'a [Event],
    pub items: &'a [Item],
    pub at: Timestamp,
    /// Rows that lists must be given in; equal to the snapshot's.
    pub vocabulary: &'a Vocabulary,
    pub snapshot: Arc<Snapshot>,
}

/// Builds further recommenders for the same cases, such as the served system.
pub type ExtraRecommenders<'f> = dyn FnMut(&SplitContext<'_>) -> Result<Vec<Box<dyn Recommender>>> + 'f;
pub(crate) fn evaluate_split(
    run: &Run<'_>,
    split: TimeSplit,
    models: &Arc<FittedModels>,
    ranker: Arc<Ranker>,
    ranker_l2: f64,
    states: &Arc<Replay>,
    extra: Option<&mut ExtraRecommenders<'_>>,
) -> Result<TimeSplitReport> {
    let purchases = purchases(&run.input.events);
    let two_stage = TwoStage::new(
        Arc::clone(models),
        Arc::clone(&ranker),
        Arc::clone(states),
        Arc::clone(&run.attributes),
        run.params.limits.clone(),
        split.at,
    );
    let extras = match extra {
        Some(extra) => {
            let snapshot =
                run.snapshot((**models).clone(), Some((*ranker).clone()), split.at, None, Some(ranker_l2))?;
            extra(&SplitContext {
                events: &run.input.events[..first_at(&run.input.events, split.at)],
                items: &run.input.items,
                at: split.at,
                vocabulary: &models.vocabulary,
                snapshot: Arc::new(snapshot),
            })?
        }
        // Assembling it measures and builds an index, which nobody asks here.
        None => Vec::new(),
    };
    let rulers = Rulers::new(models, &purchases, split.at)?;
    let recommenders: Vec<&dyn Recommender> =
        std::iter::once::<&dyn Recommender>(&two_stage).chain(extras.iter().map(|extra| &**extra)).collect();
    let n_systems = recommenders.len();
    let recommenders: Vec<&dyn Recommender> =
        recommenders.into_iter().chain(single_models(models)).chain(rulers.all()).collect();

    let bootstrap =
        Bootstrap { n_resamples: run.params.n_resamples, seed: run.params.seed, ..Bootstrap::default() };
    let table = |title: &str, repeats| {
        let cases = cases(split, &purchases, run.end, repeats, models, states)?;
        let judged = judge(&recommenders, &cases.warm, models.vocabulary.len())?;
        run.progress.report("evaluation", 1, 1);
        let (other, difference) = best_other(&judged, n_systems, &bootstrap)?;
        let comparison = Comparison::of(title, &judged, &bootstrap)?;
        let two_stage = judged.into_iter().next().context("there is nothing to compare")?;
        anyhow::Ok((comparison, other, difference, cases, two_stage))
    };
    let (all_items, best_other, two_stage_vs_best_other, all_cases, of_two_stage) =
        table("all items", Repeats::Count)?;
    let (new_to_person, best_other_new_to_person, two_stage_vs_best_other_new_to_person, _, _) =
        table("new to the person", Repeats::Exclude)?;
    let impersonal: [&dyn Recommender; 3] = [&two_stage, &models.popularity, &rulers.last_week];
    let cold = if all_cases.cold.is_empty() {
        None
    } else {
        let judged = judge(&impersonal, &all_cases.cold, models.vocabulary.len())?;
        Some(Comparison::of("people first seen after the split", &judged, &bootstrap)?)
    };
    let stopped = StoppedBaskets::new(run, split.at, &two_stage);
    let next_items = if stopped.cases.is_empty() {
        None
    } else {
        let of_sessions = [&stopped as &dyn Recommender].into_iter().chain(single_models(models));
        let judged = judge(&of_sessions.collect::<Vec<_>>(), &stopped.cases, models.vocabulary.len())?;
        Some(Comparison::of("baskets, next items", &judged, &bootstrap)?)
    };
    Ok(TimeSplitReport {
        split_at: split.at,
        all_items,
        new_to_person,
        best_other,
        two_stage_vs_best_other,
        best_other_new_to_person,
        two_stage_vs_best_other_new_to_person,
        next_items,
        by_activity: by_activity(&of_two_stage, &all_cases.warm, N_GROUPS, &bootstrap)?,
        by_item_age: by_item_age(
            &of_two_stage,
            &all_cases.warm,
            &models.histories.item_counts(),
            &bootstrap,
        )?,
        cold,
        n_cold: all_cases.cold.len(),
        n_new_items: all_cases.n_new_items,
        ranker_l2,
        clicks: click_counts(run, split.at, &two_stage, &bootstrap)?,
    })
}

/// Purchases as the split counts them.
fn purchases(events: &[Event]) -> Vec<TimedInteraction> {
    let purchase = |event: &Event| match &event.body {
        EventBody::Interaction(interaction) if interaction.kind == InteractionKind::Purchase => {
            Some(TimedInteraction {
                person: event.person.clone(),
                item: interaction.item_id.clone(),
                weight: 1.0,
                time: event.timestamp,
            })
        }
        _ => None,
    };
    events.iter().filter_map(purchase).collect()
}

/// Most scores that one recommender is asked for, people times items: of large catalogues, fewer people are asked about.
/// Every item is scored, so that figures mean the same whatever the catalogue.
const MAX_SCORES: usize = 500_000_000;
/// People asked about all the same, if there are so many.
const MIN_ASKED: usize = 500;

struct Cases {
    warm: Vec<Case>,
    cold: Vec<Case>,
    n_new_items: usize,
}

/// The split's cases in the rows of the models, with histories weighted as serving weighs them.
fn cases(
    split: TimeSplit,
    purchases: &[TimedInteraction],
    until: Timestamp,
    repeats: Repeats,
    models: &FittedModels,
    states: &Replay,
) -> Result<Cases> {
    let split_cases = split.cases(purchases, until, repeats)?;
    let n_known = split_cases.vocabulary.len();
    // The models also know items that were only looked at before the split. Items after both have rows after both.
    let row = |idx: &waggle_model::ItemIdx| {
        let known = (idx.row() < n_known)
            .then(|| models.vocabulary.idx_of_key(split_cases.vocabulary.key(*idx)))
            .flatten();
        known.unwrap_or_else(|| waggle_model::ItemIdx::from_row(models.vocabulary.len() + idx.row()))
    };
    let in_rows = |mut case: Case| {
        case.truth = case.truth.iter().map(row).collect();
        case.exclude = case.exclude.iter().map(row).collect();
        case.exclude.sort_unstable();
        let key = case.person.as_ref().and_then(waggle_model::Person::key);
        let state = key.and_then(|key| states.known_person(key));
        case.history = state.map(|state| history_entries(state, &[], &models.vocabulary)).unwrap_or_default();
        case
    };
    let n_asked = n_asked(models.vocabulary.len());
    Ok(Cases {
        warm: evenly(split_cases.warm, n_asked).into_iter().map(in_rows).collect(),
        cold: evenly(split_cases.cold, n_asked).into_iter().map(in_rows).collect(),
        n_new_items: split_cases.n_new_items,
    })
}

/// How many people a recommender of so many items is asked about.
pub(crate) fn n_asked(n_items: usize) -> usize {
    (MAX_SCORES / n_items.max(1)).max(MIN_ASKED)
}

/// At most `n` of them, evenly spread, in their order.
pub(crate) fn evenly<T>(all: Vec<T>, n: usize) -> Vec<T> {
    let n_all = all.len();
    if n_all <= n {
        return all;
    }
    // One is taken where `place · n / n_all` reaches the next whole number.
    let is_taken = |place: &usize| (place + 1) * n / n_all > place * n / n_all;
    all.into_iter().enumerate().filter(|(place, _)| is_taken(place)).map(|(_, one)| one).collect()
}

struct Rulers {
    last_week: PopularityInLastDays,
    repeat: RepeatLastPurchases,
}

impl Rulers {
    fn new(models: &FittedModels, purchases: &[TimedInteraction], split_at: Timestamp) -> Result<Self> {
        let known = purchases.iter().filter(|purchase| purchase.time < split_at);
        let touches: Vec<_> = known
            .filter_map(|purchase| Some((models.vocabulary.idx(&purchase.item)?, purchase.time)))
            .collect();
        let n_items = models.vocabulary.len();
        let popularity = Popularity::try_new(models.popularity.scores().to_vec())?;
        Ok(Self {
            last_week: PopularityInLastDays::try_new(n_items, 7, touches)?,
            repeat: RepeatLastPurchases::new(popularity),
        })
    }

    fn all(&self) -> [&dyn Recommender; 2] {
        [&self.last_week, &self.repeat]
    }
}

fn single_models(models: &FittedModels) -> impl Iterator<Item = &dyn Recommender> {
    let sessions = models.sessions.as_ref().map(|sessions| sessions as &dyn Recommender);
    [&models.als as &dyn Recommender, &models.item_item]
        .into_iter()
        .chain(sessions)
        .chain([&models.popularity as &dyn Recommender])
}

fn judge(recommenders: &[&dyn Recommender], cases: &[Case], n_items: usize) -> Result<Vec<Evaluation>> {
    recommenders
        .iter()
        .map(|recommender| {
            evaluate(*recommender, cases, &KS, n_items)
                .with_context(|| format!("\"{}\" could not be evaluated", recommender.name()))
        })
        .collect()
}

/// The best of the evaluations after the first `n_systems`, and the first one minus it.
fn best_other(
    judged: &[Evaluation],
    n_systems: usize,
    bootstrap: &Bootstrap,
) -> Result<(String, Difference)> {
    let mean = |evaluation: &&Evaluation| evaluation.mean(PRIMARY).unwrap_or(f64::NEG_INFINITY);
    let others = judged[n_systems..].iter();
    let best =
        others.max_by(|a, b| mean(a).total_cmp(&mean(b))).context("there is nothing to compare with")?;
    Ok((best.name.clone(), bootstrap.difference(&judged[0], best, PRIMARY)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_people_some_are_asked_from_the_first_to_the_last() {
        for (n_all, n) in [(0, 5), (5, 5), (6, 5), (1_000, 7), (1_001, 500)] {
            let taken = evenly((0..n_all).collect(), n);
            assert_eq!(taken.len(), n.min(n_all));
            let widest = taken.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
            assert!(taken.is_sorted() && widest <= n_all.div_ceil(n), "{n} of {n_all}: {taken:?}");
        }
        assert_eq!((n_asked(0), n_asked(4_000), n_asked(1_000_000)), (MAX_SCORES, 125_000, 500));
    }
}
