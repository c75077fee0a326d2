//! What else goes into the basket? Baskets of the test window, stopped after some lines: the question that knowledge of
//! the session is for.

use std::collections::HashMap;

use waggle_evaluation::Case;
use waggle_features::PersonState;
use waggle_model::{Event, ItemIdx, Person, PersonKey, Scored, Timestamp};
use waggle_models::{HistoryEntry, Query, RecommendError, Recommender, Vocabulary};

use crate::{
    clicks::{Before, first_baskets, states_before},
    replay::Basket,
    train::Run,
    two_stage::TwoStage,
};

/// The first baskets after the split of everybody known before it, each with some lines in the cart.
pub(crate) struct StoppedBaskets<'a> {
    /// The truth is the rest of the basket. The history is the cart alone: what a model of sessions can know.
    pub cases: Vec<Case>,
    two_stage: &'a TwoStage,
    states: HashMap<PersonKey, PersonState>,
}

impl<'a> StoppedBaskets<'a> {
    /// Between one line and half of the basket is revealed, at most as many as the ranker learns from; the person's key
    /// says how many.
    pub(crate) fn new(run: &Run<'_>, split_at: Timestamp, two_stage: &'a TwoStage) -> Self {
        let baskets = first_baskets(run, split_at, two_stage);
        let before = states_before(&run.input.events, &baskets);
        let people = people(&run.input.events);
        let (mut cases, mut states) = (Vec::with_capacity(baskets.len()), HashMap::new());
        for basket in baskets {
            let at_most = run.params.examples.max_revealed.min(basket.items.len() / 2).max(1);
            let n_revealed = 1 + (basket.person.0 % at_most as u64) as usize;
            let person = people.get(&basket.person).copied().cloned();
            cases.push(case(basket, n_revealed, person, &two_stage.models.vocabulary));
            let Before { whole, .. } = &before[&basket.person];
            states.insert(basket.person, basket.in_progress(whole, n_revealed));
        }
        Self { cases, two_stage, states }
    }
}

impl Recommender for StoppedBaskets<'_> {
    fn name(&self) -> &str {
        self.two_stage.name()
    }

    /// The two-stage list for the person with the lines in the cart.
    fn recommend(&self, query: &Query<'_>, k: usize) -> Result<Vec<Scored>, RecommendError> {
        let key = query.person.and_then(Person::key);
        let state = key.and_then(|key| self.states.get(&key));
        let state = state.ok_or_else(|| RecommendError::Failed("nobody has such a basket".to_owned()))?;
        self.two_stage.list(state, query, false, k)
    }
}

fn people(events: &[Event]) -> HashMap<PersonKey, &Person> {
    events.iter().filter_map(|event| Some((event.person.key()?, &event.person))).collect()
}

/// Items that the models do not know have rows after theirs and count as missed.
fn case(basket: &Basket, n_revealed: usize, person: Option<Person>, vocabulary: &Vocabulary) -> Case {
    let (cart, rest) = basket.items.split_at(n_revealed);
    let history: Vec<HistoryEntry> = cart
        .iter()
        .filter_map(|item| vocabulary.idx(item))
        .map(|item| HistoryEntry { item, weight: 1.0, time: basket.start })
        .collect();
    let mut exclude: Vec<ItemIdx> = history.iter().map(|entry| entry.item).collect();
    exclude.sort_unstable();
    let truth = rest
        .iter()
        .zip(vocabulary.len()..)
        .map(|(item, unknown)| vocabulary.idx(item).unwrap_or(ItemIdx::from_row(unknown)))
        .collect();
    Case { person, history, truth, exclude, now: basket.start }
}
