//! Published protocols: what is learned from and what is asked about.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use waggle_evaluation::Case;
use waggle_model::{ItemIdx, Timestamp};

use crate::fit::{Interactions, Triple};

/// Items by user, as rows are numbered, in the order of the file. Weights are 1.
pub type Lists = BTreeMap<u32, Vec<u32>>;

/// A data set under the protocol that its published figures follow.
///
/// | protocol | learned from | history of a case | truth |
/// | --- | --- | --- | --- |
/// | fixed split | the first file | all that was learned of the user | the user's list in the second file |
/// | leave-one-out | all but the last two items of every list | all but the last item | the last item |
/// | strong | users who are not held out | 80 % of a held-out user's items | the other 20 % |
///
/// Nobody is recommended what is in the history.
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
}

/// What was learned from and what is asked about.
#[derive(Debug, Clone)]
pub struct Split {
    pub protocol: &'static str,
    pub train: Interactions,
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
            case(known, truth)
        })
        .collect();
    split("fixed-split", learned, cases)
}

/// Asks for the last item but `n_later − 1`, and learns from all but the last two of every list.
fn leave_out(sequences: &Lists, n_later: usize) -> Result<Split> {
    let learned = sequences.iter().map(|(user, items)| (*user, &items[..items.len().saturating_sub(2)]));
    let learned = interactions(learned, None, size(sequences.values()))?;
    let cases = sequences.values().filter_map(|items| {
        let at = items.len().checked_sub(n_later)?;
        // Nothing is known of a user with one item.
        (at > 0).then(|| case(&items[..at], &items[at..=at]))
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
        Some(case(&items, &truth))
    });
    split("strong", learned, cases.collect())
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
    let mut triples = Vec::new();
    let mut n_users = last_user.map_or(0, |user| user as usize + 1);
    for (user, items) in lists {
        n_users = n_users.max(user as usize + 1);
        triples.extend(items.iter().zip(0..).map(|(&item, place)| Triple {
            user,
            item: ItemIdx(item),
            weight: 1.0,
            time: Timestamp::from_millis(place),
        }));
    }
    Ok(Interactions::from_triples(n_users, n_items, triples)?)
}

fn case(known: &[u32], truth: &[u32]) -> Case {
    let entry = |(&item, place)| waggle_models::HistoryEntry {
        item: ItemIdx(item),
        weight: 1.0,
        time: Timestamp::from_millis(place),
    };
    let mut exclude: Vec<ItemIdx> = known.iter().copied().map(ItemIdx).collect();
    exclude.sort_unstable();
    Case {
        person: None,
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
    Ok(Split { protocol, train, cases, n_test, n_overlap })
}
