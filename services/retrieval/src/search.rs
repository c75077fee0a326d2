//! One search: which items match, in which order, and what they hold.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use metrics::histogram;
use waggle_contracts::{
    RoleError,
    api::Facet,
    retrieval::{SearchRequest, SearchResponse, Sort},
};
use waggle_filter::{Filter, Property, Schema};

use crate::{
    filters::Passed,
    filters::column::Column,
    lexical::{Found, Hit, LexicalIndex, SearchQuery},
    offer::{Asked, slot_at},
    table::{Slot, SnapshotRows},
};

/// Answers a search over the table that is asked about.
///
/// # Errors
/// [`RoleError::Invalid`] says what does not fit the catalogue; [`RoleError::Failed`] when the text index cannot be read.
pub(crate) fn search(
    lexical: &LexicalIndex,
    asked: &Asked<'_>,
    rows: Option<&SnapshotRows>,
    request: &SearchRequest,
) -> Result<SearchResponse, RoleError> {
    let facets = properties(asked, "facets", &request.facets)?;
    let sort = request.sort.as_ref().map(|sort| sort_column(asked, sort)).transpose()?;
    let allowed = asked.allowed(&request.filters, request.category.as_deref())?;
    let may_show = allowed.as_deref().map_or_else(|| asked.entries.offered(), Passed::slots);
    let mut found = if request.query.trim().is_empty() {
        everything(may_show.ones())
    } else {
        let query = SearchQuery { text: &request.query, completes: request.completes };
        lexical.search(query, |slot| may_show.has(slot.place())).map_err(crate::service::failed)?
    };
    histogram!("waggle_search_postings").record(found.work.n_postings as f64);
    let n_matches = found.hits.len();
    let best_score = found.hits.iter().map(|hit| hit.score).fold(0.0, f32::max);
    let facets: BTreeMap<String, Facet> = facets
        .iter()
        .map(|property| {
            let slots = found.hits.iter().map(|hit| hit.slot);
            let column = asked.filters.column(property, asked.entries);
            (property.name().to_owned(), column.facet(property, slots))
        })
        .collect();
    let popularity = |slot: Slot| rows.map_or(u32::MAX, |rows| rows.popularity_place(slot));
    let order = |a: &Hit, b: &Hit| -> Ordering {
        let by_value = sort
            .as_ref()
            .map_or(Ordering::Equal, |(column, descending)| column.order(a.slot, b.slot, *descending));
        // Slots differ from process to process, so the last word is the id's.
        let id = |hit: &Hit| asked.entries.at(hit.slot).map(|entry| entry.id());
        by_value
            .then_with(|| b.score.total_cmp(&a.score))
            .then_with(|| popularity(a.slot).cmp(&popularity(b.slot)))
            .then_with(|| id(a).cmp(&id(b)))
    };
    let page = page(&mut found.hits, request.offset, request.limit, order);
    let items = page.iter().filter_map(|hit| Some((Arc::new(asked.entries.at(hit.slot)?.item()), hit.score)));
    Ok(SearchResponse {
        n_matches,
        is_partial: found.is_partial,
        is_corrected: found.is_corrected,
        items: items.collect(),
        best_score,
        facets,
        terms: found.terms,
    })
}

/// What nothing is asked of.
fn everything(places: impl Iterator<Item = usize>) -> Found {
    let hits = places.map(|place| Hit { slot: slot_at(place), score: 0.0 }).collect();
    Found { hits, terms: BTreeSet::new(), ..Found::default() }
}

/// Sorts no more than it must.
fn page(hits: &mut [Hit], offset: usize, limit: usize, order: impl Fn(&Hit, &Hit) -> Ordering) -> &[Hit] {
    let (from, to) = (offset.min(hits.len()), (offset + limit).min(hits.len()));
    if to > 0 && to < hits.len() {
        hits.select_nth_unstable_by(to - 1, &order);
    }
    hits[..to].sort_unstable_by(&order);
    &hits[from..to]
}

fn sort_column(asked: &Asked<'_>, sort: &Sort) -> Result<(Arc<Column>, bool), RoleError> {
    let property = property(asked.entries.schema(), "sort", &sort.property)?;
    let column = asked.filters.column(&property, asked.entries);
    if column.has_order() {
        return Ok((column, sort.is_descending));
    }
    let (name, kind) = (property.name(), property.kind());
    Err(RoleError::Invalid(format!("sort: `{name}` is a {kind}, only numbers and times have an order")))
}

fn properties(asked: &Asked<'_>, parameter: &str, names: &[String]) -> Result<Vec<Property>, RoleError> {
    names.iter().map(|name| property(asked.entries.schema(), parameter, name)).collect()
}

/// The property of that name; the language of filters says why there is none.
fn property(schema: &Schema, parameter: &str, name: &str) -> Result<Property, RoleError> {
    schema.property(name).ok_or_else(|| {
        let asked_for = Filter::parse(&format!("exists(`{}`)", name.replace('`', "``")), schema);
        let reason = asked_for.err().map_or_else(String::new, |error| error.reason.to_string());
        RoleError::Invalid(format!("{parameter}: {reason}"))
    })
}
