//! The models of one moment: fitted on everything that was folded up to it.

use std::{collections::BTreeSet, sync::Arc};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use waggle_model::{Event, EventBody, Item, ItemId, Timestamp};
use waggle_models::{
    Als, AlsParams, AnnIndex, CandidateModels, ItemItem, Popularity, Segments, Sessions, Vocabulary,
    ann::{ExactIndex, Int8Index, choice::SUFFICIENT_QUERIES},
    candidates::history_entries,
};

use crate::{
    fit::{
        ContentParams, Interactions, ItemItemParams, PopularityParams, SegmentParams, SessionParams,
        SessionRow, Triple, fit_als, fit_item_item, fit_popularity, fit_segments, fit_sessions, tf_idf,
        with_untouched_items,
    },
    item_terms::ItemTerms,
    progress::Progress,
    replay::{Basket, Replay, Session},
};

/// Settings of every single model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelParams {
    /// With [`unobserved_weight`](AlsParams::unobserved_weight) at most: see
    /// [`max_unobserved_ratio`](Self::max_unobserved_ratio).
    pub als: AlsParams,
    /// All cells of the matrix of people and items together weigh at most so many times what was observed,
    /// `α₀·n_users·n_items ≤ ratio·Σc`. A fixed `α₀` is right for one density only: on a large and sparse catalogue the
    /// regularisation, which counts it for every cell, would leave nothing of the factors. The settings of Rendle et
    /// al. (2022; see [`Als`]) come to 2.6 (Pinterest), 6.7 (ML-1M), 14 (MSD) and 28 (ML-20M) by our arithmetic; the default was
    /// chosen on simulated markets, and leaves Online Retail as it was.
    pub max_unobserved_ratio: f32,
    pub item_item: ItemItemParams,
    pub sessions: SessionParams,
    pub popularity: PopularityParams,
    pub segments: SegmentParams,
    /// How items that nobody touched are placed among the embeddings.
    pub content: ContentParams,
    /// Most people who are held out of the fit of the embeddings, so that the index is measured with vectors of people
    /// it was not made for. None are where a tenth of all would be fewer than 1,000.
    pub max_held_out: usize,
}

impl Default for ModelParams {
    fn default() -> Self {
        Self {
            // Chosen on the window before the last one of Online Retail: the sources of these settings are movies.
            als: AlsParams { n_iterations: 8, unobserved_weight: 0.3, ..AlsParams::default() },
            max_unobserved_ratio: 64.0,
            item_item: ItemItemParams::default(),
            sessions: SessionParams::default(),
            popularity: PopularityParams { half_life: Some(std::time::Duration::from_secs(14 * 86_400)) },
            segments: SegmentParams::default(),
            content: ContentParams::default(),
            max_held_out: 1_500,
        }
    }
}

impl ModelParams {
    /// [`als`](Self::als), with an `α₀` that suits how sparse these interactions are.
    pub fn als_for(&self, interactions: &Interactions) -> AlsParams {
        let n_cells = interactions.n_users() as f64 * interactions.n_items() as f64;
        let density = interactions.total_weight() / n_cells;
        let limit = (f64::from(self.max_unobserved_ratio) * density) as f32;
        // `f32::min` passes over a limit that is no number, which no cells at all make.
        AlsParams { unobserved_weight: self.als.unobserved_weight.min(limit), ..self.als.clone() }
    }
}

/// Single models over one vocabulary.
#[derive(Clone)]
pub struct FittedModels {
    pub vocabulary: Arc<Vocabulary>,
    pub als: Als,
    pub ann: Arc<dyn AnnIndex>,
    pub item_item: ItemItem,
    /// `None` if nobody ever touched two items in one session.
    pub sessions: Option<Sessions>,
    pub popularity: Popularity,
    /// `None` where people are too few.
    pub segments: Option<Segments>,
    /// One row per person.
    pub histories: Interactions,
    /// Whose vectors the index is measured with.
    pub sample: Sample,
}

/// Some people's histories.
#[derive(Debug, Clone)]
pub struct Sample {
    pub histories: Interactions,
    /// Whether the embeddings were fitted without them.
    pub is_held_out: bool,
}

impl FittedModels {
    pub fn as_candidate_models(&self) -> CandidateModels<'_> {
        CandidateModels {
            vocabulary: &self.vocabulary,
            als: Some(&self.als),
            ann: Some(&*self.ann),
            item_item: Some(&self.item_item),
            sessions: self.sessions.as_ref(),
            popular: None,
            segments: self.segments.as_ref(),
            lookalikes: None,
        }
    }
}

/// Every item of the catalogue and of the events, ascending by id.
///
/// # Errors
/// If two ids share a 64-bit key.
pub fn vocabulary(items: &[Item], events: &[Event]) -> Result<Vocabulary> {
    let mut ids: BTreeSet<&ItemId> = items.iter().map(|item| &item.item_id).collect();
    for event in events {
        if let EventBody::Interaction(interaction) = &event.body {
            ids.insert(&interaction.item_id);
        }
    }
    Ok(Vocabulary::try_new(ids.into_iter().cloned())?)
}

/// What models are fitted on: nothing of it is later than `now`.
#[derive(Clone, Copy)]
pub struct Past<'a> {
    /// The catalogue: it says where items belong that nobody touched yet.
    pub items: &'a [Item],
    pub states: &'a Replay,
    pub baskets: &'a [Basket],
    pub sessions: &'a [Session],
    pub now: Timestamp,
}

/// Fits the models on what was known at a moment.
///
/// The embeddings learn from people with the very weights that serving folds them in with. Item-item learns from
/// baskets, or from histories where there are hardly any baskets of two; sessions are visits and orders alike.
///
/// # Errors
/// If nobody has a history, or a fit fails.
pub fn fit_models(
    vocabulary: &Arc<Vocabulary>,
    past: &Past<'_>,
    params: &ModelParams,
    seed: u64,
    progress: &dyn Progress,
) -> Result<FittedModels> {
    let Past { items, states, baskets, sessions, now } = *past;
    let histories = histories(vocabulary, states)?;
    let of_baskets = basket_rows(vocabulary, baskets)?;
    let item_item_rows = if of_baskets.is_empty() { &histories } else { &of_baskets };
    let item_item =
        fit_item_item(item_item_rows, &params.item_item).context("item-item could not be fitted")?;
    progress.report("item-item", 1, 1);
    let sessions = fit_sessions(&session_rows(vocabulary, sessions), vocabulary.len(), &params.sessions)
        .context("the sessions could not be indexed")?;
    progress.report("sessions", 1, 1);
    let popularity =
        fit_popularity(&histories, &params.popularity, now).context("popularity could not be fitted")?;
    let (sample, trained_on) = sample(&histories, params.max_held_out);
    let trained_on = trained_on.as_ref().unwrap_or(&histories);
    let als = fit_als(trained_on, &params.als_for(trained_on), seed, &|done, total| {
        progress.report("embeddings", done, total);
    })
    .context("the embeddings could not be fitted")?;
    let als = with_catalogue(als, vocabulary, items, trained_on, &params.content)
        .context("items that nobody touched could not be placed")?;
    let segments = fit_segments(&histories, &als, &params.segments, now, seed)
        .context("the segments could not be fitted")?;
    progress.report("segments", 1, 1);
    let ann = scan(&als)?;
    Ok(FittedModels {
        vocabulary: Arc::clone(vocabulary),
        als,
        ann,
        item_item,
        sessions,
        popularity,
        segments,
        histories,
        sample,
    })
}

/// [`with_untouched_items`], by what the catalogue says of them.
fn with_catalogue(
    als: Als,
    vocabulary: &Vocabulary,
    items: &[Item],
    touched: &Interactions,
    params: &ContentParams,
) -> Result<Als> {
    if items.is_empty() || !touched.item_counts().contains(&0) {
        return Ok(als);
    }
    let terms = ItemTerms::new(vocabulary, items);
    let content = tf_idf(terms.n_terms, terms.of_items.iter().map(Vec::as_slice))?;
    Ok(if content.is_empty() { als } else { with_untouched_items(&als, &content, touched, params)? })
}

/// From how many items on questions are asked by the scan of rounded vectors: it reads a quarter of the bytes, and scores
/// again exactly what it finds.
const ROUNDED_MIN_ITEMS: usize = 200_000;

/// No candidate is lost to a graph in training.
fn scan(als: &Als) -> Result<Arc<dyn AnnIndex>> {
    let exact = ExactIndex::try_new(als.shared_item_factors())?;
    Ok(if als.n_items() < ROUNDED_MIN_ITEMS { Arc::new(exact) } else { Arc::new(Int8Index::new(exact)) })
}

/// One row per person who has a history, ascending by key.
fn histories(vocabulary: &Vocabulary, states: &Replay) -> Result<Interactions> {
    let people = states.people();
    let mut triples = Vec::new();
    for ((_, person), user) in people.iter().zip(0..) {
        triples.extend(history_entries(person, &[], vocabulary).into_iter().map(|entry| Triple {
            user,
            item: entry.item,
            weight: entry.weight,
            time: entry.time,
        }));
    }
    Ok(Interactions::from_triples(people.len(), vocabulary.len(), triples)?)
}

/// The sessions in the rows of the vocabulary.
fn session_rows(vocabulary: &Vocabulary, sessions: &[Session]) -> Vec<SessionRow> {
    let in_rows = |session: &Session| SessionRow {
        end: session.end,
        items: session.items.iter().filter_map(|item| vocabulary.idx_of_key(*item)).collect(),
    };
    sessions.iter().map(in_rows).collect()
}

/// Most people that an index is measured with.
const MAX_SAMPLE: usize = 1_500;
/// One person in so many is held out at most: more would cost the embeddings too much.
const ONE_IN: usize = 10;

/// Evenly spread people to measure the index with, and everybody else if those are held out.
fn sample(histories: &Interactions, max_held_out: usize) -> (Sample, Option<Interactions>) {
    let people: Vec<usize> =
        (0..histories.n_users()).filter(|&user| !histories.items(user).is_empty()).collect();
    let n_held_out = (people.len() / ONE_IN).min(max_held_out);
    let is_held_out = n_held_out >= SUFFICIENT_QUERIES;
    let n = if is_held_out { n_held_out } else { people.len().min(MAX_SAMPLE) };
    let mut is_sampled = vec![false; people.len()];
    for at in 0..n {
        is_sampled[at * people.len() / n] = true;
    }
    let those = |sampled: bool| -> Vec<usize> {
        people.iter().zip(&is_sampled).filter(|(_, is)| **is == sampled).map(|(&user, _)| user).collect()
    };
    let sample = Sample { histories: histories.of_users(&those(true)), is_held_out };
    (sample, is_held_out.then(|| histories.of_users(&those(false))))
}

/// Fewer baskets of two items or more say too little about what goes together.
const MIN_BASKETS: usize = 200;

/// One row per basket of at least two items; no rows if there are too few of them.
fn basket_rows(vocabulary: &Vocabulary, baskets: &[Basket]) -> Result<Interactions> {
    let together: Vec<&Basket> = baskets.iter().filter(|basket| basket.items.len() >= 2).collect();
    if together.len() < MIN_BASKETS {
        return Ok(Interactions::from_triples(0, vocabulary.len(), Vec::new())?);
    }
    let mut triples = Vec::new();
    for (basket, user) in together.iter().zip(0..) {
        triples.extend(basket.items.iter().filter_map(|item| {
            Some(Triple { user, item: vocabulary.idx(item)?, weight: 1.0, time: basket.start })
        }));
    }
    Ok(Interactions::from_triples(together.len(), vocabulary.len(), triples)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every third person has no history.
    fn people(n: usize) -> Interactions {
        let triples = (0..n as u32).filter(|user| user % 3 != 0).map(|user| Triple {
            user,
            item: waggle_model::ItemIdx(user % 7),
            weight: 1.0 + user as f32,
            time: Timestamp::from_millis(user.into()),
        });
        Interactions::from_triples(n, 7, triples.collect()).unwrap()
    }

    #[test]
    fn an_untouched_item_comes_to_lie_beside_those_that_are_like_it() {
        let item = |n: usize, kind: &str| -> Item {
            serde_json::from_value(serde_json::json!({ "item_id": format!("{n:02}"), "title": kind }))
                .unwrap()
        };
        // Whoever touches a mug touches mugs, and whoever a hat, hats; but nobody the last of either.
        let items: Vec<Item> = (0..12).map(|n| item(n, if n % 2 == 0 { "a mug" } else { "a hat" })).collect();
        let vocabulary = vocabulary(&items, &[]).unwrap();
        let triples = (0..60_u32).flat_map(|user| {
            (0..5).filter(move |n| *n != user / 2 % 5).map(move |n| Triple {
                user,
                item: waggle_model::ItemIdx(2 * n + user % 2),
                weight: 1.0,
                time: Timestamp::from_millis(0),
            })
        });
        let touched = Interactions::from_triples(60, 12, triples.collect()).unwrap();
        let als = AlsParams { n_factors: 4, regularization: 0.01, ..AlsParams::default() };
        let als = fit_als(&touched, &als, 1, &|_, _| {}).unwrap();
        let score = |als: &Als, item: u32| {
            als.score(als.item_factors().row(0).as_slice().unwrap(), waggle_model::ItemIdx(item))
        };
        let is_nowhere =
            |als: &Als, item: usize| als.item_factors().row(item).iter().all(|x| x.abs() < f32::MIN_POSITIVE);
        assert!(is_nowhere(&als, 10) && is_nowhere(&als, 11));
        let placed =
            with_catalogue(als.clone(), &vocabulary, &items, &touched, &ContentParams::default()).unwrap();
        let (mug, hat, known) = (score(&placed, 10), score(&placed, 11), score(&placed, 2));
        assert!(mug > 0.5 * known && hat.abs() < 0.2 * mug, "a mug {mug}, a hat {hat}, a known mug {known}");
        let unchanged = with_catalogue(als, &vocabulary, &[], &touched, &ContentParams::default()).unwrap();
        assert!(is_nowhere(&unchanged, 10));
    }

    #[test]
    fn a_tenth_of_many_people_is_held_out() {
        let all = people(18_000);
        let (sample, rest) = sample(&all, 1_500);
        let rest = rest.unwrap();
        assert!(sample.is_held_out);
        assert_eq!((sample.histories.n_users(), rest.n_users()), (1_200, 10_800));
        // Weights tell people apart: nobody is on both sides, and nobody is lost.
        let mut weights: Vec<f32> = [&sample.histories, &rest]
            .into_iter()
            .flat_map(|side| (0..side.n_users()).flat_map(|user| side.weights(user).to_vec()))
            .collect();
        weights.sort_by(f32::total_cmp);
        let expected: Vec<f32> = (0..18_000_u32).filter(|u| u % 3 != 0).map(|u| 1.0 + u as f32).collect();
        assert_eq!(weights, expected);

        let (sample, _) = super::sample(&people(60_000), 1_500);
        assert_eq!(sample.histories.n_users(), 1_500);
    }

    #[test]
    fn of_few_people_nobody_is_held_out() {
        for (n, max_held_out, n_sampled) in
            [(0, 1_500, 0), (9, 1_500, 6), (12_000, 1_500, 1_500), (60_000, 0, 1_500)]
        {
            let (sample, rest) = sample(&people(n), max_held_out);
            assert!(!sample.is_held_out && rest.is_none());
            assert_eq!(sample.histories.n_users(), n_sampled);
        }
    }
}
