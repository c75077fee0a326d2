//! Why an item is in an answer, and why another one is not.
//!
//! What was shown is explained from the answer as it was kept. Why something was *not* shown is worked out again, with
//! the same question on the same snapshot and the person as they are now: the explanation says so.

use std::time::Instant;

use waggle_contracts::{
    RoleError,
    api::{Contribution, Explanation, WhyNot},
    features::PersonView,
    ranking::{RankedItem, Rules},
};
use waggle_features::PersonState;
use waggle_filter::Values;
use waggle_model::{Item, ItemId, SeenRule, SnapshotVersion, Timestamp};

use super::{
    Wanted,
    compose::{Proposed, by_ids, propose, rank},
    nobody, person_view,
};
use crate::{App, kept::KeptAnswer};

/// Explains the item's place in the answer, or its absence.
///
/// # Errors
/// [`RoleError`] when a role cannot say.
pub async fn explain(app: &App, kept: &KeptAnswer, item_id: &ItemId) -> Result<Explanation, RoleError> {
    let KeptAnswer { request, response, n_candidates, features } = kept;
    let mut explanation = Explanation {
        answer_id: response.answer_id.clone(),
        item_id: item_id.clone(),
        rung: response.rung,
        snapshot: response.snapshot.clone(),
        n_candidates: *n_candidates,
        shown: None,
        contributions: Vec::new(),
        why_not: None,
    };
    if let Some(place) = response.items.iter().position(|item| item.item_id == *item_id) {
        explanation.shown = Some(response.items[place].clone());
        let features = features.get(place).map_or(&[][..], Vec::as_slice);
        explanation.contributions = contributions(app, response.snapshot.as_ref(), features).await?;
        return Ok(explanation);
    }
    let wanted = Wanted::new(request, &app.placements.load(), &app.config);
    let view = if request.is_impersonal {
        nobody()
    } else {
        person_view(app, &request.person).await.unwrap_or_else(nobody)
    };
    let why_not = match left_out(app, &wanted, &view.state, item_id).await? {
        Some(why_not) => why_not,
        // Such lists are as their source has them: nobody ranks what is not in them.
        None if request.beside.is_some() => WhyNot::NotProposed,
        None => {
            let (why_not, features) =
                outranked(app, &wanted, &view, response.snapshot.clone(), item_id).await?;
            explanation.contributions = contributions(app, response.snapshot.as_ref(), &features).await?;
            why_not
        }
    };
    explanation.why_not = Some(why_not);
    Ok(explanation)
}

/// What each feature adds to the score, what moves it most first.
async fn contributions(
    app: &App,
    snapshot: Option<&SnapshotVersion>,
    features: &[f32],
) -> Result<Vec<Contribution>, RoleError> {
    let (Some(snapshot), false) = (snapshot, features.is_empty()) else { return Ok(Vec::new()) };
    let mut all = app.ask("ranking", app.ranking.contributions(snapshot, features)).await?;
    all.retain(|c| c.contribution != 0.0);
    all.sort_by(|a, b| b.contribution.abs().total_cmp(&a.contribution.abs()));
    Ok(all)
}

/// The rule that leaves the item out before anybody is asked to propose it.
async fn left_out(
    app: &App,
    wanted: &Wanted<'_>,
    person: &PersonState,
    item_id: &ItemId,
) -> Result<Option<WhyNot>, RoleError> {
    let failed = |e: &dyn std::fmt::Display| RoleError::Failed { role: "database", detail: e.to_string() };
    let found = app.database.items(std::slice::from_ref(item_id)).await.map_err(|e| failed(&e))?;
    let Some(item) = found.into_iter().flatten().next() else { return Ok(Some(WhyNot::NotInCatalogue)) };
    if let Some(why_not) = unavailable(&item, Timestamp::now()) {
        return Ok(Some(why_not));
    }
    if wanted.request.shown_before.contains(item_id) {
        return Ok(Some(WhyNot::OnAnEarlierPage));
    }
    if wanted.exclude.contains(item_id) {
        return Ok(Some(WhyNot::Excluded));
    }
    if wanted.request.items.contains(item_id) || wanted.request.beside.as_ref() == Some(item_id) {
        return Ok(Some(WhyNot::OnThePage));
    }
    if let Some(entry) = person.item(item_id.key()) {
        if entry.is_rejected {
            return Ok(Some(WhyNot::Refused));
        }
        let is_left_out = match wanted.seen {
            SeenRule::Keep => false,
            SeenRule::ExcludeBought => entry.n_purchases > 0,
            SeenRule::ExcludeTouched => true,
        };
        if is_left_out {
            return Ok(Some(WhyNot::Known { seen: wanted.seen }));
        }
    }
    if let Some(category) = wanted.request.category.as_ref().filter(|c| item.category.as_ref() != Some(c)) {
        return Ok(Some(WhyNot::OtherCategory { category: category.clone() }));
    }
    for filter in &wanted.filters {
        if !passes(app, wanted, filter, item_id).await? {
            return Ok(Some(WhyNot::Filter { filter: filter.clone() }));
        }
    }
    Ok(None)
}

fn unavailable(item: &Item, now: Timestamp) -> Option<WhyNot> {
    if item.hidden {
        Some(WhyNot::Hidden)
    } else if !item.in_stock {
        Some(WhyNot::OutOfStock)
    } else if item.is_available(now) {
        None
    } else if item.available_from.is_some_and(|from| now < from) {
        Some(WhyNot::NotYet { available_from: item.available_from })
    } else {
        Some(WhyNot::NoLonger { available_until: item.available_until })
    }
}

/// Whether one filter alone lets the item through.
async fn passes(app: &App, wanted: &Wanted<'_>, filter: &str, item_id: &ItemId) -> Result<bool, RoleError> {
    let only = format!("item_id = {}", Values::Strings(vec![item_id.as_str().into()]));
    let alone = wanted.narrowed_to(vec![filter.to_owned(), only]);
    let found = app.ask("retrieval", propose(app, &alone, &nobody(), None, (Timestamp::now(), None))).await?;
    Ok(found.candidates.iter().any(|candidate| candidate.item == item_id.key()))
}

/// The item's place among all candidates, by score and odds alone, and what the ranker sees of it.
async fn outranked(
    app: &App,
    wanted: &Wanted<'_>,
    view: &PersonView,
    snapshot: Option<SnapshotVersion>,
    item_id: &ItemId,
) -> Result<(WhyNot, Vec<f32>), RoleError> {
    let now = Timestamp::now();
    let proposed = app.ask("retrieval", propose(app, wanted, view, snapshot.clone(), (now, None))).await?;
    let Proposed { candidates, .. } = &proposed;
    let is_proposed = candidates.iter().any(|candidate| candidate.item == item_id.key());
    if !is_proposed {
        return Ok((WhyNot::NotProposed, Vec::new()));
    }
    let Rules { boost, fatigue, rotation, .. } = wanted.rules.clone();
    let by_score = Rules { boost, fatigue, rotation, ..Rules::default() };
    let deadline = Instant::now() + app.config.deadline();
    let candidates = candidates.clone();
    let ranked = rank(app, wanted, view, proposed, (candidates.len(), by_score), deadline).await?.slate;
    let place = ranked.iter().position(|place| candidates[place.candidate].item == item_id.key());
    let Some(place) = place else { return Ok((WhyNot::NotProposed, Vec::new())) };
    let RankedItem { score, features, .. } = ranked[place].clone();
    let last_shown =
        ranked.get(wanted.k.min(ranked.len()).saturating_sub(1)).map_or(score, |last| last.score);
    let sources = by_ids(app, &candidates[ranked[place].candidate]).await?;
    let rank = u32::try_from(place + 1).unwrap_or(u32::MAX);
    let n_candidates = u32::try_from(candidates.len()).unwrap_or(u32::MAX);
    let why_not = if place >= wanted.k {
        WhyNot::Outranked { rank, n_candidates, score, last_shown_score: last_shown, sources }
    } else {
        WhyNot::StoodBack { rank, n_candidates, score, sources }
    };
    Ok((why_not, features))
}
