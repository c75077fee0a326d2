//! The models of one moment: fitted on everything that was folded up to it.

use std::{collections::BTreeSet, sync::Arc};

use anyhow::{Context as _, Result};
use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};
use waggle_model::{Event, EventBody, Item, ItemId, Timestamp};
use waggle_models::{
    Als, AlsParams, AnnIndex, CandidateModels, ItemItem, Popularity, Vocabulary, ann,
    candidates::history_entries, snapshot::MIN_RECALL,
};

use crate::{
    fit::{Interactions, ItemItemParams, PopularityParams, Triple, fit_als, fit_item_item, fit_popularity},
    progress::Progress,
    replay::{Basket, Replay},
};

/// Settings of every single model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelParams {
    pub als: AlsParams,
    pub item_item: ItemItemParams,
    pub popularity: PopularityParams,
}

impl Default for ModelParams {
    fn default() -> Self {
        Self {
            // Chosen on the window before the last one of Online Retail: the sources of these settings are movies.
            als: AlsParams { n_iterations: 8, unobserved_weight: 0.3, ..AlsParams::default() },
            item_item: ItemItemParams::default(),
            popularity: PopularityParams { half_life: Some(std::time::Duration::from_secs(14 * 86_400)) },
        }
    }
}

/// Single models over one vocabulary.
#[derive(Clone)]
pub struct FittedModels {
    pub vocabulary: Arc<Vocabulary>,
    pub als: Als,
    pub ann: Arc<dyn AnnIndex>,
    pub item_item: ItemItem,
    pub popularity: Popularity,
    /// What the embeddings were fitted on: one row per person.
    pub histories: Interactions,
}

impl FittedModels {
    pub fn as_candidate_models(&self) -> CandidateModels<'_> {
        CandidateModels {
            vocabulary: &self.vocabulary,
            als: Some(&self.als),
            ann: Some(&*self.ann),
            item_item: Some(&self.item_item),
            popular: None,
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

/// Fits the models on the states as of `now` and on the `baskets` before it.
///
/// The embeddings learn from people with the very weights that serving folds them in with. Item-item learns from
/// baskets, or from histories where there are hardly any baskets of two.
///
/// # Errors
/// If nobody has a history, or a fit fails.
pub fn fit_models(
    vocabulary: &Arc<Vocabulary>,
    states: &Replay,
    baskets: &[Basket],
    now: Timestamp,
    params: &ModelParams,
    seed: u64,
    progress: &dyn Progress,
) -> Result<FittedModels> {
    let histories = histories(vocabulary, states)?;
    let of_baskets = basket_rows(vocabulary, baskets)?;
    let item_item_rows = if of_baskets.is_empty() { &histories } else { &of_baskets };
    let item_item =
        fit_item_item(item_item_rows, &params.item_item).context("item-item could not be fitted")?;
    progress.report("item-item", 1, 1);
    let popularity =
        fit_popularity(&histories, &params.popularity, now).context("popularity could not be fitted")?;
    let als =
        fit_als(&histories, &params.als, seed, &|done, total| progress.report("embeddings", done, total))
            .context("the embeddings could not be fitted")?;
    // Without queries to judge a graph by, this is the exact scan: no candidate is lost to the index in training.
    let (ann, _) = ann::choose(als.item_factors(), ArrayView2::from(&[[0.0; 0]; 0]), MIN_RECALL)?;
    let ann: Arc<dyn AnnIndex> = Arc::from(ann);
    Ok(FittedModels { vocabulary: Arc::clone(vocabulary), als, ann, item_item, popularity, histories })
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
