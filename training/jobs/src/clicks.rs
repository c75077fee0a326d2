//! Does one event move the list, and to the better? The same person is asked with the last event and without it.

use std::collections::{HashMap, HashSet};

use anyhow::Result;
use rayon::prelude::*;
use serde::Serialize;
use waggle_evaluation::{Bootstrap, Difference, Evaluation, Interval, metrics::ndcg_at_k};
use waggle_features::PersonState;
use waggle_model::{Event, EventBody, InteractionKind, ItemId, ItemIdx, ItemKey, PersonKey, Timestamp};
use waggle_models::RecommendError;

use crate::{
    replay::Basket,
    time_split::{evenly, n_asked},
    train::Run,
    two_stage::TwoStage,
};

const METRIC: &str = "ndcg@10";
/// Baskets with fewer distinct items leave too little truth behind the revealed line.
const MIN_BASKET_ITEMS: usize = 3;

/// NDCG@10 of the next basket, with and without one event.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClickReport {
    /// People asked: the first basket after the split of everybody known before it.
    pub n_people: usize,
    /// The last line of the history dropped against kept; truth is the whole next basket.
    pub last_purchase: Effect,
    /// The first line of the next basket put into the cart at its start against not; truth is the rest of it, in both
    /// arms. What the person looked at before the basket is known in both.
    pub first_line: Effect,
    /// Mean number of the ten items that the revealed line replaced.
    pub n_replaced_by_first_line: f64,
}

/// One comparison, paired by person.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Effect {
    pub with_event: Interval,
    pub without_event: Interval,
    pub difference: Difference,
}

/// `None` if nobody known before the split bought a basket after it.
pub(crate) fn click_counts(
    run: &Run<'_>,
    split_at: Timestamp,
    two_stage: &TwoStage,
    bootstrap: &Bootstrap,
) -> Result<Option<ClickReport>> {
    let baskets = evenly(first_baskets(run, split_at, two_stage), n_asked(two_stage.models.vocabulary.len()));
    if baskets.is_empty() {
        return Ok(None);
    }
    let states = states_before(&run.input.events, &baskets);
    let asked: Vec<Asked> = baskets
        .par_iter()
        .map(|basket| Asked::ask(basket, &states[&basket.person], two_stage))
        .collect::<Result<_, RecommendError>>()?;
    let column = |value: fn(&Asked) -> f64| asked.iter().map(value).collect::<Vec<f64>>();
    let n_replaced = column(|asked| asked.n_replaced).iter().sum::<f64>() / asked.len() as f64;
    Ok(Some(ClickReport {
        n_people: asked.len(),
        last_purchase: effect(column(|a| a.kept), column(|a| a.dropped), bootstrap)?,
        first_line: effect(column(|a| a.revealed), column(|a| a.unrevealed), bootstrap)?,
        n_replaced_by_first_line: n_replaced,
    }))
}

/// NDCG@10 of one person's four lists.
struct Asked {
    kept: f64,
    dropped: f64,
    revealed: f64,
    unrevealed: f64,
    n_replaced: f64,
}

impl Asked {
    fn ask(basket: &Basket, states: &Before, two_stage: &TwoStage) -> Result<Self, RecommendError> {
        let Before { whole: state, shortened } = states;
        let top = |person: &PersonState| -> Result<Vec<ItemKey>, RecommendError> {
            let ranked = two_stage.rank(person, basket.start, false)?;
            Ok(ranked.into_iter().map(|(item, _)| item).take(10).collect())
        };
        let whole: Vec<ItemKey> = basket.items.iter().map(ItemId::key).collect();
        let rest = &whole[1..];
        let (plain, with_line) = (top(state)?, top(&basket.in_progress(state, 1))?);
        let n_replaced = with_line.iter().filter(|item| !plain.contains(item)).count() as f64;
        Ok(Self {
            kept: ndcg(&plain, &whole),
            dropped: ndcg(&top(shortened)?, &whole),
            revealed: ndcg(&with_line, rest),
            unrevealed: ndcg(&plain, rest),
            n_replaced,
        })
    }
}

/// The metric on keys: rows by first mention, since it only asks which are equal.
fn ndcg(list: &[ItemKey], truth: &[ItemKey]) -> f64 {
    let mut rows = HashMap::new();
    let mut row = |key: &ItemKey| {
        let next = rows.len();
        ItemIdx::from_row(*rows.entry(*key).or_insert(next))
    };
    let truth: Vec<ItemIdx> = truth.iter().map(&mut row).collect();
    let list: Vec<ItemIdx> = list.iter().map(&mut row).collect();
    ndcg_at_k(&list, &truth, 10).expect("a basket of two leaves a truth")
}

/// The first basket after the split of everybody known as a buyer before it.
pub(crate) fn first_baskets<'a>(
    run: &'a Run<'_>,
    split_at: Timestamp,
    two_stage: &TwoStage,
) -> Vec<&'a Basket> {
    let mut seen = HashSet::new();
    let is_buyer = |person| two_stage.states.known_person(person).is_some_and(|state| state.n_purchases > 0);
    let after = run.baskets.iter().filter(|basket| basket.start >= split_at);
    after
        .filter(|basket| seen.insert(basket.person))
        .filter(|basket| basket.items.len() >= MIN_BASKET_ITEMS && is_buyer(basket.person))
        .collect()
}

/// A person's state just before their basket: with all they did until then, what they looked at on the way included.
#[derive(Default)]
pub(crate) struct Before {
    pub whole: PersonState,
    /// Without the last purchase.
    shortened: PersonState,
}

/// The states of the baskets' people, each as of the basket's start.
pub(crate) fn states_before(events: &[Event], baskets: &[&Basket]) -> HashMap<PersonKey, Before> {
    let starts: HashMap<PersonKey, Timestamp> = baskets.iter().map(|b| (b.person, b.start)).collect();
    let before = || {
        events.iter().enumerate().filter_map(|(index, event)| {
            let EventBody::Interaction(interaction) = &event.body else { return None };
            let person = event
                .person
                .key()
                .filter(|person| starts.get(person).is_some_and(|start| event.timestamp < *start))?;
            Some((index, person, interaction, event.timestamp))
        })
    };
    let purchases = before().filter(|(_, _, interaction, _)| interaction.kind == InteractionKind::Purchase);
    let last: HashMap<PersonKey, usize> = purchases.map(|(index, person, ..)| (person, index)).collect();
    let mut states: HashMap<PersonKey, Before> = HashMap::new();
    for (index, person, interaction, time) in before() {
        let states = states.entry(person).or_default();
        states.whole.apply(interaction, time);
        if last.get(&person) != Some(&index) {
            states.shortened.apply(interaction, time);
        }
    }
    states
}

fn effect(with: Vec<f64>, without: Vec<f64>, bootstrap: &Bootstrap) -> Result<Effect> {
    let evaluation = |name: &str, values: Vec<f64>| Evaluation {
        name: name.to_owned(),
        metrics: vec![METRIC.to_owned()],
        persons: (0..).take(values.len()).collect(),
        values: vec![values],
        n_left_out: 0,
        lists: Vec::new(),
        coverage: Default::default(),
    };
    let (with, without) = (evaluation("with", with), evaluation("without", without));
    Ok(Effect {
        with_event: bootstrap.intervals(&with)?[0],
        without_event: bootstrap.intervals(&without)?[0],
        difference: bootstrap.difference(&with, &without, METRIC)?,
    })
}
