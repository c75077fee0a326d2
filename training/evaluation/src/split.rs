//! One moment that separates what may be learned from what must be foretold.
//!
//! The rule: **nothing at or after the split is used to fit**, neither interactions nor item statistics nor the
//! vocabulary. Items first seen after it stay in the truth and count as missed, since a shopper could buy them;
//! persons first seen after it are cold cases, reported apart.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use waggle_model::{ItemId, ItemIdx, Person, PersonKey, Timestamp};
use waggle_models::{HistoryEntry, Vocabulary, vocabulary::KeyCollision};

use crate::Case;

/// The moment of the split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeSplit {
    /// The first moment that must not be learned from.
    pub at: Timestamp,
}

/// Somebody touched something.
#[derive(Debug, Clone, PartialEq)]
pub struct TimedInteraction {
    pub person: Person,
    pub item: ItemId,
    pub weight: f32,
    pub time: Timestamp,
}

/// What a person already touched, in the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeats {
    /// May be recommended, and counts: people buy again.
    Count,
    /// Is excluded from the list and taken out of the truth.
    Exclude,
}

/// Questions at the moment of the split.
#[derive(Debug, Clone)]
pub struct SplitCases {
    /// Items seen before the split, in order of their first touch; the rows of everything fitted.
    pub vocabulary: Vocabulary,
    /// Persons who had done something before the split.
    pub warm: Vec<Case>,
    /// Persons first seen after it: no history.
    pub cold: Vec<Case>,
    /// Distinct items first seen after the split. In truths they have the rows after the vocabulary's.
    pub n_new_items: usize,
}

impl TimeSplit {
    /// Whether a fit may know of what happened at `time`.
    pub fn may_learn(&self, time: Timestamp) -> bool {
        time < self.at
    }

    /// One case per person who did something from the split until `until` (exclusive): the history is everything before
    /// the split, the truth every distinct item after it. Cases come in order of the person's first act; interactions
    /// may come in any order. A repeated item's weights add up and its latest time counts. Interactions of nobody teach
    /// the vocabulary only.
    ///
    /// # Errors
    /// [`KeyCollision`] when two items have the same key.
    pub fn cases(
        &self,
        interactions: &[TimedInteraction],
        until: Timestamp,
        repeats: Repeats,
    ) -> Result<SplitCases, KeyCollision> {
        let mut ordered: Vec<&TimedInteraction> = interactions.iter().collect();
        ordered.sort_by(|a, b| a.time.cmp(&b.time).then_with(|| a.item.cmp(&b.item)));
        let n_before = ordered.partition_point(|interaction| self.may_learn(interaction.time));
        let n_until = ordered.partition_point(|interaction| interaction.time < until).max(n_before);
        let (before, after) = (&ordered[..n_before], &ordered[n_before..n_until]);

        let vocabulary = Vocabulary::try_new(before.iter().map(|interaction| interaction.item.clone()))?;
        let all = Vocabulary::try_new(
            vocabulary.ids().chain(after.iter().map(|interaction| interaction.item.clone())),
        )?;
        let row = |item: &ItemId| all.idx(item).expect("every item was entered");

        let mut people: Vec<Gathered<'_>> = Vec::new();
        let mut places: HashMap<PersonKey, usize> = HashMap::new();
        for (place, interaction) in before.iter().chain(after).enumerate() {
            let Some(key) = interaction.person.key() else { continue };
            let at = *places.entry(key).or_insert_with(|| {
                people.push(Gathered {
                    person: &interaction.person,
                    history: BTreeMap::new(),
                    truth: Vec::new(),
                });
                people.len() - 1
            });
            people[at].add(interaction, row(&interaction.item), place < n_before);
        }
        let cases = people.into_iter().filter(|person| !person.truth.is_empty());
        let (warm, cold) =
            cases.map(|person| person.into_case(self.at, repeats)).partition(|c| !c.history.is_empty());
        Ok(SplitCases { n_new_items: all.len() - vocabulary.len(), vocabulary, warm, cold })
    }
}

struct Gathered<'a> {
    person: &'a Person,
    history: BTreeMap<ItemIdx, HistoryEntry>,
    truth: Vec<ItemIdx>,
}

impl Gathered<'_> {
    fn add(&mut self, interaction: &TimedInteraction, item: ItemIdx, is_history: bool) {
        if !is_history {
            self.truth.push(item);
            return;
        }
        let entry =
            self.history.entry(item).or_insert(HistoryEntry { item, weight: 0.0, time: interaction.time });
        entry.weight += interaction.weight;
        entry.time = entry.time.max(interaction.time);
    }

    fn into_case(self, now: Timestamp, repeats: Repeats) -> Case {
        let Self { person, history, mut truth } = self;
        truth.sort_unstable();
        truth.dedup();
        let mut exclude = Vec::new();
        if repeats == Repeats::Exclude {
            truth.retain(|item| !history.contains_key(item));
            exclude.extend(history.keys().copied());
        }
        let mut history: Vec<HistoryEntry> = history.into_values().collect();
        history.sort_by_key(|entry| (entry.time, entry.item));
        Case { person: Some(person.clone()), history, truth, exclude, now }
    }
}
