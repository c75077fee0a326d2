//! Published protocols: what is learned from and what is asked about.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use waggle_evaluation::Case;
use waggle_model::{ItemIdx, Person, Timestamp, UserId};
use waggle_models::{ItemScorer, Query, RecommendError};

use crate::fit::{Interactions, SparseRows, tf_idf};

/// Items by user, as rows are numbered, in the order of the file. Weights are 1.
pub type Lists = BTreeMap<u32, Vec<u32>>;

/// A data set under the protocol that its published figures follow.
///
/// | protocol | learned from | history of a case | truth |
/// | --- | --- | --- | --- |
/// | fixed split | the first file | all that was learned of the user | the user's list in the second file |
/// | leave-one-out | all but the last two items of every list | all but the last item | the last item |
/// | strong | users who are not held out | 80 % of a held-out user's items | the other 20 % |
/// | cold items | all but a tenth of the items | the user's other items | the user's among the held-out items |
///
/// Nobody is recommended what is in the history; of cold items, nothing but held-out items.
#[derive(Debug, Clone, PartialEq)]
pub enum PublicData {
    /// Weak generalisation with somebody's own split: NGCF's, `LightGCN`'s, `UltraGCN`'s.
    FixedSplit { train: Lists, test: Lists },
    /// The last item of every sequence, with the one before it for validation (Kang and `McAuley`, "Self-attentive
    /// sequential recommendation", ICDM 2018, section IV-B).
    LeaveOneOut { sequences: Lists },
    /// So many users are held out for the test, and as many for validation (Liang et al., "Variational autoencoders for
    /// collaborative filtering", WWW 2018, section 4.1). Items that no other user touched are left out.
    Strong { lists: Lists, n_held_out: usize },
    /// A tenth of the items is held out for the test, and a tenth of the others for validation: items that nobody touched yet,
    /// but of which something is said. `terms` are by item.
    ColdItems { lists: Lists, terms: Lists },
}

/// What was learned from and what is asked about.
#[derive(Debug, Clone)]
pub struct Split {
    pub protocol: &'static str,
    pub train: Interactions,
    /// What is said of the items, as tf-idf.
    pub content: Option<SparseRows>,
    /// Items that may be recommended, ascending; `None`: all.
    pub among: Option<Vec<ItemIdx>>,
    /// Their persons are named by their rows.
    pub cases: Vec<Case>,
    /// Pairs that are asked about.
    pub n_test: usize,
    /// Those of them that were learned from, too: never recommended, so always missed.
    pub n_overlap: usize,
}

/// Of every user's list, where there is no published part to validate with.
const VALIDATION_SHARE: f64 = 0.2;
/// Of a held-out user's list, and the shortest list that is shared.
const TARGET_SHARE: f64 = 0.2;
const MIN_SHARED: usize = 5;
/// Of the items.
const COLD_SHARE: f64 = 0.1;

impl Split {
    /// A model that recommends what may be recommended here.
    pub fn restricted<'a>(&self, model: &'a dyn ItemScorer) -> Restricted<'a> {
        let is_allowed = self.among.as_ref().map(|items| {
            let mut is_allowed = vec![false; model.n_items()];
            items.iter().for_each(|item| is_allowed[item.row()] = true);
            is_allowed
        });
        Restricted { model, is_allowed }
    }

    /// Items that may be recommended.
    pub fn n_candidates(&self) -> usize {
        self.among.as_ref().map_or(self.train.n_items(), Vec::len)
    }
}

/// See [`Split::restricted`].
pub struct Restricted<'a> {
    model: &'a dyn ItemScorer,
    /// By row.
    is_allowed: Option<Vec<bool>>,
}

impl ItemScorer for Restricted<'_> {
    fn name(&self) -> &str {
        self.model.name()
    }

    fn n_items(&self) -> usize {
        self.model.n_items()
    }

    fn score_items(&self, query: &Query<'_>, scores: &mut [f32]) -> Result<(), RecommendError> {
        self.score_items_for_all(std::slice::from_ref(query), scores)
    }

    fn score_items_for_all(&self, queries: &[Query<'_>], scores: &mut [f32]) -> Result<(), RecommendError> {
        self.model.score_items_for_all(queries, scores)?;
        if let Some(is_allowed) = &self.is_allowed {
            for scores in scores.chunks_exact_mut(is_allowed.len().max(1)) {
                let others = scores.iter_mut().zip(is_allowed).filter(|(_, is_allowed)| !**is_allowed);
                others.for_each(|(score, _)| *score = f32::NEG_INFINITY);
            }
        }
        Ok(())
    }
}

impl PublicData {
    /// The published question. `seed` draws who is held out under the strong protocol.
    ///
    /// # Errors
    /// If there is nothing to learn from or nobody to ask about.
    pub fn test(&self, seed: u64) -> Result<Split> {
        match self {
            Self::FixedSplit { train, test } => fixed(train, test, size(train.values().chain(test.values()))),
            Self::LeaveOneOut { sequences } => leave_out(sequences, 1),
            Self::Strong { lists, n_held_out } => strong(lists, *n_held_out, 0, seed),
            Self::ColdItems { lists, terms } => cold_items(lists, terms, false, seed),
        }
    }

    /// The same question within what may be learned from: settings are chosen with it, and nothing of the test is seen.
    /// Of a fixed split a fifth of every user's training pairs, drawn by `seed`, is asked about; of sequences the item before
    /// the last; under the strong protocol users who are held out for it.
    ///
    /// # Errors
    /// As [`test`](Self::test).
    pub fn validation(&self, seed: u64) -> Result<Split> {
        match self {
            Self::FixedSplit { train, test } => {
                let (kept, asked) = share_of_each(train, seed);
                fixed(&kept, &asked, size(train.values().chain(test.values())))
            }
            Self::LeaveOneOut { sequences } => leave_out(sequences, 2),
            Self::Strong { lists, n_held_out } => strong(lists, *n_held_out, 1, seed),
            Self::ColdItems { lists, terms } => cold_items(lists, terms, true, seed),
        }
    }
}

/// Items are rows below this.
fn size<'a>(lists: impl Iterator<Item = &'a Vec<u32>>) -> usize {
    lists.flatten().max().map_or(0, |item| *item as usize + 1)
}

fn fixed(train: &Lists, test: &Lists, n_items: usize) -> Result<Split> {
    let lists = train.iter().map(|(user, items)| (*user, items.as_slice()));
    let learned = interactions(lists, test.keys().next_back().copied(), n_items)?;
    let asked = test.iter().filter(|(_, items)| !items.is_empty());
    let cases: Vec<Case> = asked
        .map(|(&user, truth)| {
            let known = train.get(&user).map_or(&[][..], Vec::as_slice);
            case(user, known, truth)
        })
        .collect();
    split("fixed-split", learned, cases)
}

/// Asks for the last item but `n_later − 1`, and learns from all but the last two of every list.
fn leave_out(sequences: &Lists, n_later: usize) -> Result<Split> {
    let learned = sequences.iter().map(|(user, items)| (*user, &items[..items.len().saturating_sub(2)]));
    let learned = interactions(learned, None, size(sequences.values()))?;
    let cases = sequences.iter().filter_map(|(&user, items)| {
        let at = items.len().checked_sub(n_later)?;
        // Nothing is known of a user with one item.
        (at > 0).then(|| case(user, &items[..at], &items[at..=at]))
    });
    split("leave-one-out", learned, cases.collect())
}

fn strong(lists: &Lists, n_held_out: usize, group: usize, seed: u64) -> Result<Split> {
    ensure!(
        lists.len() > 2 * n_held_out,
        "{n_held_out} users for the test and as many for validation leave none of {} to learn from",
        lists.len()
    );
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut users: Vec<u32> = lists.keys().copied().collect();
    users.shuffle(&mut rng);
    let (held_out, learned) = users.split_at(2 * n_held_out);
    let learned = learned.iter().map(|user| (*user, lists[user].as_slice()));
    let learned = interactions(learned, None, size(lists.values()))?;
    let by_item = learned.transpose();
    let is_known = |item: &u32| !by_item.items(*item as usize).is_empty();
    let cases = held_out[group * n_held_out..(group + 1) * n_held_out].iter().filter_map(|user| {
        let mut items: Vec<u32> = lists[user].iter().copied().filter(is_known).collect();
        if items.len() < MIN_SHARED {
            return None;
        }
        let truth = take_share(&mut items, TARGET_SHARE, &mut rng);
        Some(case(*user, &items, &truth))
    });
    split("strong", learned, cases.collect())
}

/// The test holds out the first tenth of the items in an order drawn by `seed`; validation does not know them at all, and holds
/// out a tenth of the others.
fn cold_items(lists: &Lists, terms: &Lists, is_validation: bool, seed: u64) -> Result<Split> {
    let n_items = size(lists.values());
    let mut items: Vec<u32> = lists.values().flatten().copied().collect();
    items.sort_unstable();
    items.dedup();
    items.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    let (test, others) = items.split_at((items.len() as f64 * COLD_SHARE) as usize);
    let validation = &others[..(others.len() as f64 * COLD_SHARE) as usize];
    let cold = if is_validation { validation } else { test };
    let of = |items: &[u32]| {
        let mut is_there = vec![false; n_items];
        items.iter().for_each(|item| is_there[*item as usize] = true);
        is_there
    };
    let (is_cold, is_unknown) = (of(cold), of(if is_validation { test } else { &[] }));
    let mut known = lists.clone();
    let mut asked = Lists::new();
    for (user, items) in &mut known {
        let taken: Vec<u32> = items.iter().copied().filter(|item| is_cold[*item as usize]).collect();
        items.retain(|item| !is_cold[*item as usize] && !is_unknown[*item as usize]);
        if !items.is_empty() {
            asked.insert(*user, taken);
        }
    }
    let n_terms = size(terms.values());
    let of_item = (0..n_items as u32).map(|item| terms.get(&item).map_or(&[][..], Vec::as_slice));
    let of_item: Vec<&[u32]> = of_item.collect();
    let mut among: Vec<ItemIdx> = cold.iter().copied().map(ItemIdx).collect();
    among.sort_unstable();
    let split = fixed(&known, &asked, n_items)?;
    let content = Some(tf_idf(n_terms, of_item.iter().copied())?);
    Ok(Split { protocol: "cold-items", content, among: Some(among), ..split })
}

/// What is kept of every list, and what is taken from it.
fn share_of_each(lists: &Lists, seed: u64) -> (Lists, Lists) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut kept, mut taken) = (lists.clone(), Lists::new());
    for (user, items) in &mut kept {
        if items.len() > 1 {
            taken.insert(*user, take_share(items, VALIDATION_SHARE, &mut rng));
        }
    }
    (kept, taken)
}

/// Takes a share of the items by chance, rounded; the others keep their order.
fn take_share(items: &mut Vec<u32>, share: f64, rng: &mut ChaCha8Rng) -> Vec<u32> {
    let n = (items.len() as f64 * share).round() as usize;
    let mut places = rand::seq::index::sample(rng, items.len(), n).into_vec();
    places.sort_unstable();
    places.into_iter().rev().map(|place| items.remove(place)).collect()
}

/// Places in a list are times, for models that know an order.
fn interactions<'a>(
    lists: impl Iterator<Item = (u32, &'a [u32])>,
    last_user: Option<u32>,
    n_items: usize,
) -> Result<Interactions> {
    let mut histories: Vec<&[u32]> = vec![&[]; last_user.map_or(0, |user| user as usize + 1)];
    for (user, items) in lists {
        let user = user as usize;
        histories.resize(histories.len().max(user + 1), &[]);
        histories[user] = items;
    }
    Ok(Interactions::from_histories(n_items, histories.iter().copied())?)
}

fn case(user: u32, known: &[u32], truth: &[u32]) -> Case {
    let entry = |(&item, place)| waggle_models::HistoryEntry {
        item: ItemIdx(item),
        weight: 1.0,
        time: Timestamp::from_millis(place),
    };
    let mut exclude: Vec<ItemIdx> = known.iter().copied().map(ItemIdx).collect();
    exclude.sort_unstable();
    Case {
        person: UserId::try_new(user.to_string()).ok().map(Person::user),
        history: known.iter().zip(0..).map(entry).collect(),
        truth: truth.iter().copied().map(ItemIdx).collect(),
        exclude,
        now: Timestamp::from_millis(known.len() as i64),
    }
}

fn split(protocol: &'static str, train: Interactions, cases: Vec<Case>) -> Result<Split> {
    ensure!(!train.is_empty(), "there is nothing to learn from");
    ensure!(!cases.is_empty(), "there is nobody to ask about");
    let is_known = |case: &Case| case.truth.iter().filter(|i| case.exclude.binary_search(i).is_ok()).count();
    let n_overlap = cases.iter().map(is_known).sum();
    let n_test = cases.iter().map(|case| case.truth.len()).sum();
    Ok(Split { protocol, train, content: None, among: None, cases, n_test, n_overlap })
}
