//! What the ranker learns from: candidates of past moments, with what happened next.
//!
//! Two kinds of question are asked of the past, both as of their moment. *What will this person buy in the weeks to
//! come?* is asked for everybody at a cut, people who were not known yet included. *What else goes into this basket?*
//! is asked in the middle of baskets: some lines lie in the cart, the rest is the truth. The features of the session are
//! 0 in the first kind and the ranker learns from the second kind what they mean.

use std::collections::{HashMap, HashSet};

use anyhow::Result;
use rand::{Rng, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use waggle_features::{
    CandidateInput, FEATURES, ItemFacts, LiveLists, PersonContext, PersonState, ranking::values,
};
use waggle_model::{Event, EventBody, InteractionKind, ItemId, ItemKey, PersonKey, SeenRule, Timestamp};
use waggle_models::{CandidateModels, CandidateQuery, Proposal, RecommendError, SourceLimits, candidates};

use crate::{
    fit_ranker::Rows,
    replay::{Attributes, Basket, Replay, baskets},
};

/// How many questions are asked and how many answers are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExampleParams {
    /// People asked about the weeks to come, per cut.
    pub max_people: usize,
    /// Baskets stopped half-way.
    pub max_baskets: usize,
    /// Baskets with fewer distinct items are not asked about.
    pub min_basket_items: usize,
    /// Most lines in the cart when a basket is stopped.
    pub max_revealed: usize,
    /// Most taken candidates kept per question, so that one wholesaler does not outweigh ten customers.
    pub max_positives: usize,
    /// Candidates not taken that are kept per question.
    pub max_negatives: usize,
    /// Most rows of one fit; negatives are thinned further to keep to it.
    pub max_rows: usize,
}

impl Default for ExampleParams {
    fn default() -> Self {
        Self {
            max_people: 1600,
            max_baskets: 800,
            min_basket_items: 4,
            max_revealed: 4,
            max_positives: 30,
            max_negatives: 50,
            max_rows: 90_000,
        }
    }
}

/// Candidates of one question with their features.
#[derive(Debug, Clone)]
pub struct Question {
    pub person: PersonKey,
    /// The person had done something before.
    pub is_known: bool,
    pub items: Vec<ItemKey>,
    /// `[n_items, n_features]`, row-major.
    pub values: Vec<f32>,
    pub labels: Vec<bool>,
    /// Items of the truth, proposed or not.
    pub n_truth: usize,
}

/// Everything needed to turn a person and a moment into candidates with features, as serving does.
#[derive(Clone, Copy)]
pub struct Featuriser<'a> {
    pub models: CandidateModels<'a>,
    pub attributes: &'a Attributes,
    pub limits: &'a SourceLimits,
}

impl Featuriser<'_> {
    /// Candidates as of `now`, and their features, `[n_candidates, n_features]`.
    ///
    /// # Errors
    /// [`RecommendError`] if the person's factors cannot be solved.
    pub fn candidates(
        &self,
        states: &Replay,
        live: &LiveLists,
        person: &PersonState,
        now: Timestamp,
        exclude_known: bool,
    ) -> Result<(Vec<Proposal>, Vec<f32>), RecommendError> {
        let query = CandidateQuery {
            person,
            context_items: &[],
            page_items: &[],
            now,
            limits: self.limits,
            offer: None,
            seen: if exclude_known { SeenRule::ExcludeBought } else { SeenRule::Keep },
            at_least: 0,
            until: None,
        };
        let proposals = candidates(&self.models, live, &query)?.proposals;
        let context = PersonContext::new(person, &[], now, |item| self.attributes.get(&item).copied());
        let mut all_values = vec![0.0; proposals.len() * FEATURES.len()];
        for (proposal, out) in proposals.iter().zip(all_values.chunks_exact_mut(FEATURES.len())) {
            let facts =
                states.known_item(proposal.item).map(|state| ItemFacts::of(state, now)).unwrap_or_default();
            let input = CandidateInput {
                item: proposal.item,
                facts: &facts,
                attributes: self.attributes.get(&proposal.item).copied().unwrap_or_default(),
                opinions: &proposal.opinions,
            };
            values(&context, &input, out);
        }
        Ok((proposals, all_values))
    }

    /// The question with its truth.
    fn ask(
        &self,
        states: &Replay,
        live: &LiveLists,
        person: (PersonKey, &PersonState),
        now: Timestamp,
        truth: &HashSet<ItemKey>,
    ) -> Result<Question, RecommendError> {
        let (proposals, values) = self.candidates(states, live, person.1, now, false)?;
        let items: Vec<ItemKey> = proposals.iter().map(|proposal| proposal.item).collect();
        let labels = items.iter().map(|item| truth.contains(item)).collect();
        let is_known = person.1.n_events > 0;
        Ok(Question { person: person.0, is_known, items, values, labels, n_truth: truth.len() })
    }
}

/// Replays `events` up to `until` and asks about people at `cut` and about baskets between `cut` and `until`.
///
/// `states` must hold the events before `cut` and none later; it holds those before `until` in the end. `after_cut` are
/// the events from `cut` on. The models must not know any event from `cut` on.
///
/// # Errors
/// If a person's factors cannot be solved.
pub fn questions(
    featuriser: &Featuriser<'_>,
    states: &mut Replay,
    after_cut: &[Event],
    cut: Timestamp,
    until: Timestamp,
    params: &ExampleParams,
    seed: u64,
) -> Result<Vec<Question>> {
    let window = &after_cut[..after_cut.partition_point(|event| event.timestamp < until)];
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut asked = questions_at_cut(featuriser, states, window, cut, params, &mut rng)?;
    asked.extend(questions_in_baskets(featuriser, states, window, params, &mut rng)?);
    Ok(asked)
}

/// Distinct items bought in the events, by person.
pub fn bought_by_person(events: &[Event]) -> HashMap<PersonKey, HashSet<ItemKey>> {
    let mut bought: HashMap<PersonKey, HashSet<ItemKey>> = HashMap::new();
    for event in events {
        if let (EventBody::Interaction(interaction), Some(person)) = (&event.body, event.person.key())
            && interaction.kind == InteractionKind::Purchase
        {
            bought.entry(person).or_default().insert(interaction.item_id.key());
        }
    }
    bought
}

fn questions_at_cut(
    featuriser: &Featuriser<'_>,
    states: &Replay,
    window: &[Event],
    cut: Timestamp,
    params: &ExampleParams,
    rng: &mut ChaCha8Rng,
) -> Result<Vec<Question>> {
    let live = states.live_lists(featuriser.attributes, cut);
    let bought = bought_by_person(window);
    let nobody = PersonState::default();
    let mut people: Vec<PersonKey> = bought.keys().copied().collect();
    people.sort_unstable();
    people.shuffle(rng);
    people.truncate(params.max_people);
    let asked: Result<Vec<_>, RecommendError> = people
        .par_iter()
        .map(|key| (*key, states.known_person(*key).unwrap_or(&nobody)))
        .map(|person| featuriser.ask(states, &live, person, cut, &bought[&person.0]))
        .collect();
    Ok(asked?)
}

fn questions_in_baskets(
    featuriser: &Featuriser<'_>,
    states: &mut Replay,
    window: &[Event],
    params: &ExampleParams,
    rng: &mut ChaCha8Rng,
) -> Result<Vec<Question>> {
    let mut stopped: Vec<Basket> =
        baskets(window).into_iter().filter(|basket| basket.items.len() >= params.min_basket_items).collect();
    stopped.shuffle(rng);
    stopped.truncate(params.max_baskets);
    for basket in &mut stopped {
        basket.items.shuffle(rng);
    }
    stopped.sort_by_key(|basket| (basket.start, basket.person));

    let mut rest = window;
    let mut asked = Vec::with_capacity(stopped.len());
    // The counters of items are as of the day's first basket, so that a day's questions can be asked in parallel; people
    // are as of their basket. Counters some hours old are a little staler than what is served, never newer.
    for day in stopped.chunk_by(|a, b| same_day(a.start, b.start)) {
        rest = states.fold_until(rest, day[0].start);
        let live = states.live_lists(featuriser.attributes, day[0].start);
        let moments: Vec<_> = day.iter().map(|basket| stop(basket, states, rest, params, rng)).collect();
        let answers: Result<Vec<_>, RecommendError> = moments
            .par_iter()
            .map(|moment| {
                featuriser.ask(states, &live, (moment.person, &moment.state), moment.now, &moment.truth)
            })
            .collect();
        asked.extend(answers?);
    }
    states.fold_all(rest);
    Ok(asked)
}

/// A basket stopped half-way.
struct Moment {
    person: PersonKey,
    state: PersonState,
    now: Timestamp,
    truth: HashSet<ItemKey>,
}

/// Stops the basket after some lines. `states` may be some hours older than the basket; `since` holds the events from
/// there on, and the person's own are caught up.
fn stop(
    basket: &Basket,
    states: &Replay,
    since: &[Event],
    params: &ExampleParams,
    rng: &mut impl Rng,
) -> Moment {
    let mut before = states.known_person(basket.person).cloned().unwrap_or_default();
    let until = since.partition_point(|event| event.timestamp < basket.start);
    for event in since[..until].iter().filter(|event| event.person.key() == Some(basket.person)) {
        if let EventBody::Interaction(interaction) = &event.body {
            before.apply(interaction, event.timestamp);
        }
    }
    let n_revealed = rng.gen_range(1..=params.max_revealed.min(basket.items.len() / 2).max(1));
    Moment {
        person: basket.person,
        state: basket.in_progress(&before, n_revealed),
        now: basket.start,
        truth: basket.items[n_revealed..].iter().map(ItemId::key).collect(),
    }
}

fn same_day(a: Timestamp, b: Timestamp) -> bool {
    a.as_millis().div_euclid(86_400_000) == b.as_millis().div_euclid(86_400_000)
}

/// The rows of the questions to fit on, and the share of negatives they hold. Without positives a question teaches
/// nothing and is left out.
pub fn rows(questions: &[&Question], params: &ExampleParams, seed: u64) -> (Rows, f64) {
    let n_features = FEATURES.len();
    let mut rows = Rows::default();
    let (mut n_kept, mut n_negatives) = (0_usize, 0_usize);
    let max_negatives = params.max_negatives.min(params.max_rows / questions.len().max(1)).max(1);
    for question in questions.iter().filter(|question| question.labels.contains(&true)) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ question.person.0);
        let (mut positives, mut negatives): (Vec<usize>, Vec<usize>) =
            (0..question.items.len()).partition(|place| question.labels[*place]);
        n_negatives += negatives.len();
        positives.shuffle(&mut rng);
        positives.truncate(params.max_positives);
        negatives.shuffle(&mut rng);
        negatives.truncate(max_negatives);
        n_kept += negatives.len();
        for (place, label) in
            positives.into_iter().map(|p| (p, true)).chain(negatives.into_iter().map(|p| (p, false)))
        {
            rows.values.extend_from_slice(&question.values[place * n_features..(place + 1) * n_features]);
            rows.labels.push(label);
        }
    }
    (rows, n_kept as f64 / n_negatives.max(1) as f64)
}
