//! How long the source "session" takes on Online Retail II, by similar sessions and by item-item similarities:
//! `cargo run --release -p waggle-jobs --example sessions`.
//!
//! Finds the data in `$WAGGLE_DATA_DIR/online-retail`. The carts are the first lines of the last orders.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};
use waggle_features::{LiveLists, PersonState};
use waggle_jobs::{
    fit::{Interactions, ItemItemParams, SessionParams, SessionRow, Triple, fit_item_item, fit_sessions},
    models::vocabulary,
    replay::{Basket, baskets, sessions},
};
use waggle_model::{CandidateSource, SeenRule};
use waggle_models::{CandidateModels, CandidateQuery, SourceLimits, candidates};

const N_CARTS: usize = 2_000;

#[expect(clippy::print_stdout, reason = "an example prints")]
fn main() -> Result<()> {
    #[expect(clippy::disallowed_methods, reason = "an example has no configuration")]
    let dir = std::env::var("WAGGLE_DATA_DIR").context("WAGGLE_DATA_DIR is not set")?;
    let dataset =
        waggle_datasets::online_retail::read(&PathBuf::from(dir).join("online-retail"), &|_, _| {})?;
    let vocabulary = vocabulary(&dataset.items, &dataset.events)?;
    let rows: Vec<SessionRow> = sessions(&dataset.events)
        .into_iter()
        .map(|session| SessionRow {
            end: session.end,
            items: session.items.iter().filter_map(|item| vocabulary.idx_of_key(*item)).collect(),
        })
        .collect();
    let of_sessions = fit_sessions(&rows, vocabulary.len(), &SessionParams::default())?;
    let triples = rows.iter().zip(0..).flat_map(|(row, user)| {
        row.items.iter().map(move |&item| Triple { user, item, weight: 1.0, time: row.end })
    });
    let interactions = Interactions::from_triples(rows.len(), vocabulary.len(), triples.collect())?;
    let item_item = fit_item_item(&interactions, &ItemItemParams::default())?;
    let by_items = CandidateModels {
        vocabulary: &vocabulary,
        als: None,
        ann: None,
        item_item: Some(&item_item),
        sessions: None,
        popular: None,
        segments: None,
        lookalikes: None,
    };
    let by_sessions = CandidateModels { sessions: of_sessions.as_ref(), ..by_items };

    let orders: Vec<Basket> = baskets(&dataset.events).into_iter().rev().take(N_CARTS).collect();
    println!("lines  by          median   p90      p99 (µs)");
    for n_lines in [1, 2, 4, 8, 16] {
        for (name, models) in [("item-item", &by_items), ("sessions", &by_sessions)] {
            let mut took = Vec::with_capacity(orders.len());
            for order in orders.iter().filter(|order| order.items.len() >= n_lines) {
                took.push(duration(models, order, n_lines)?);
            }
            took.sort_unstable();
            let at = |share: usize| took[(took.len() * share / 100).min(took.len() - 1)].as_secs_f64() * 1e6;
            println!("{n_lines:5}  {name:10} {:7.1} {:7.1} {:8.1}", at(50), at(90), at(99));
        }
    }
    Ok(())
}

/// Of the source alone, for somebody with nothing but the cart.
fn duration(models: &CandidateModels<'_>, order: &Basket, n_lines: usize) -> Result<Duration> {
    let person = order.in_progress(&PersonState::default(), n_lines);
    let query = CandidateQuery {
        person: &person,
        context_items: &[],
        page_items: &[],
        now: order.start,
        limits: &SourceLimits::default(),
        offer: None,
        seen: SeenRule::Keep,
        at_least: 0,
        until: None,
    };
    let found = candidates(models, &LiveLists::default(), &query)?;
    let of_source = found.took.iter().find(|(source, _)| *source == CandidateSource::Session);
    Ok(of_source.context("the source was not asked")?.1)
}
