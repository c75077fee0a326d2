//! Searching: what was typed, narrowed by category and price, in an order of choice.

use std::collections::HashSet;

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web::Data};
use waggle_contracts::api::{
    Facet, FoundItem, MAX_OFFSET, MAX_QUERY_BYTES, SearchAnswer, SearchBody, SearchOrder,
};

use super::Visit;
use crate::{
    Shop,
    api::Live,
    pages::{Category, Search, SearchForm, SearchOrderOption, respond},
    rows::{self, Card},
    text,
};

/// Items of a page.
const PAGE: usize = 60;
/// Categories to choose from.
const MAX_CHIPS: usize = 8;
/// Of the row where nothing was found.
const TRENDING: usize = 16;

pub(super) async fn search(request: HttpRequest, shop: Data<Shop>) -> HttpResponse {
    let visit = Visit::begin(&request, &shop);
    let asked = Asked::of(&visit);
    let find = async {
        if asked.query.is_empty() { None } else { Some(shop.api().search(&asked.body(&visit)).await) }
    };
    // The other categories are counted as if none were chosen, so that one can go from one to the next.
    let everywhere = async {
        if asked.query.is_empty() || asked.category.is_empty() {
            return None;
        }
        let all = Asked { category: String::new(), offset: 0, ..asked.clone() };
        let counts = SearchBody { k: Some(1), highlight: Some(false), ..all.body(&visit) };
        shop.api().search(&counts).await.ok()
    };
    let ((mut shell, profile), found, everywhere) = futures::join!(visit.shell(), find, everywhere);
    let is_failed = matches!(found, Some(Err(_)));
    if let Some(Err(error)) = &found {
        super::log(error);
    }
    let found = found.and_then(Result::ok);
    let items: &[FoundItem] = found.as_ref().map_or(&[], |found| &found.items);
    let mut page_rows = Vec::new();
    if items.is_empty() {
        let trending = shop.api().live(Live::Trending, TRENDING, visit.visitor.who()).await;
        if let Some(answer) = visit.take(trending, "Trending", "GET /v1/trending", &mut shell) {
            let note = "What many people want right now.";
            let shown = &mut HashSet::new();
            page_rows.extend(rows::single("trending", "Perhaps one of these", note, &answer.response, shown));
        }
    }
    shell.query.clone_from(&asked.query);
    let counted = everywhere.as_ref().or(found.as_ref());
    let n_matches = found.as_ref().map_or(0, |found| found.n_matches);
    let is_known = profile.is_some_and(|profile| profile.n_events > 0);
    let page = Search {
        n_matches,
        took_ms: found.as_ref().map_or_else(String::new, |found| format!("{:.1}", found.took_ms)),
        said: found.as_ref().map_or_else(Vec::new, said),
        cards: items.iter().map(card).collect(),
        chips: counted
            .and_then(|found| found.facets.get("category"))
            .map_or_else(Vec::new, |facet| asked.chips(facet)),
        form: asked.form(counted.and_then(|found| found.facets.get("price")), is_known),
        rows: page_rows,
        is_failed,
        previous_url: (asked.offset > 0).then(|| asked.at(asked.offset.saturating_sub(PAGE)).url()),
        next_url: Some(asked.offset + PAGE)
            .filter(|next| *next < n_matches.min(MAX_OFFSET))
            .map(|next| asked.at(next).url()),
        shell,
    };
    respond(StatusCode::OK, &page, &visit.visitor)
}

/// A search as the address has it; what makes no sense there is left out.
#[derive(Debug, Clone, Default, PartialEq)]
struct Asked {
    query: String,
    category: String,
    price_from: Option<f64>,
    price_to: Option<f64>,
    /// One of [`ORDERS`].
    order: &'static str,
    offset: usize,
}

/// Value, label, and what the API calls it.
const ORDERS: [(&str, &str, Option<&str>); 5] = [
    ("", "Best match", None),
    ("personal", "Picked for you", None),
    ("cheap", "Price, lowest first", Some("price:asc")),
    ("dear", "Price, highest first", Some("price:desc")),
    ("new", "Newest first", Some("available_from:desc")),
];

impl Asked {
    fn of(visit: &Visit<'_>) -> Self {
        let price =
            |name| visit.param(name).parse::<f64>().ok().filter(|price| price.is_finite() && *price >= 0.0);
        let order = ORDERS.iter().find(|(value, ..)| *value == visit.param("order"));
        Self {
            query: searchable(visit.param("q")),
            category: searchable(visit.param("category")),
            price_from: price("from"),
            price_to: price("to"),
            order: order.map_or("", |(value, ..)| value),
            offset: visit.param("offset").parse().ok().filter(|offset| *offset <= MAX_OFFSET).unwrap_or(0),
        }
    }

    fn at(&self, offset: usize) -> Self {
        Self { offset, ..self.clone() }
    }

    fn body(&self, visit: &Visit<'_>) -> SearchBody {
        let bounds = [("price >= ", self.price_from), ("price <= ", self.price_to)];
        let bounds: Vec<String> =
            bounds.iter().filter_map(|(text, price)| Some(format!("{text}{}", (*price)?))).collect();
        let sort = ORDERS.iter().find(|(value, ..)| *value == self.order).and_then(|(_, _, sort)| *sort);
        SearchBody {
            q: Some(self.query.clone()),
            k: i64::try_from(PAGE).ok(),
            offset: i64::try_from(self.offset).ok(),
            category: Some(self.category.clone()).filter(|category| !category.is_empty()),
            filter: (!bounds.is_empty()).then(|| bounds.join(" and ")),
            facets: vec!["category".to_owned(), "price".to_owned()],
            sort: sort.map(ToOwned::to_owned),
            order: (self.order == "personal").then_some(SearchOrder::Personal),
            user_id: visit.visitor.user_id.clone(),
            session_id: Some(visit.visitor.session_id.clone()),
            ..SearchBody::default()
        }
    }

    fn url(&self) -> String {
        let price = |price: Option<f64>| price.map_or_else(String::new, |price| price.to_string());
        let offset = if self.offset == 0 { String::new() } else { self.offset.to_string() };
        let parameters = [
            ("category", self.category.clone()),
            ("from", price(self.price_from)),
            ("to", price(self.price_to)),
            ("order", self.order.to_owned()),
            ("offset", offset),
        ];
        let set = parameters.iter().filter(|(_, value)| !value.is_empty());
        set.fold(format!("/search?q={}", text::encode(&self.query)), |url, (name, value)| {
            format!("{url}&{name}={}", text::encode(value))
        })
    }

    /// The categories of what was found, each narrowing the search; the chosen one widens it again.
    fn chips(&self, facet: &Facet) -> Vec<Category> {
        let values =
            facet.values.iter().flatten().filter_map(|value| Some((value.value.as_str()?, value.n_items)));
        let mut shown: Vec<(&str, u64)> = values.clone().take(MAX_CHIPS).collect();
        let is_chosen = |(name, _): &(&str, u64)| *name == self.category;
        if !shown.iter().any(is_chosen) {
            shown.extend(values.clone().find(is_chosen));
        }
        let chip = |(name, n_items): (&str, u64)| {
            let is_current = name == self.category;
            let category = if is_current { String::new() } else { name.to_owned() };
            let url = Self { category, offset: 0, ..self.clone() }.url();
            Category { name: name.to_owned(), url, n_items: text::thousands(n_items), is_current }
        };
        shown.into_iter().map(chip).collect()
    }

    fn form(&self, price: Option<&Facet>, is_known: bool) -> SearchForm {
        let typed = |price: Option<f64>| price.map_or_else(String::new, |price| price.to_string());
        let hint = |end: Option<&serde_json::Value>| {
            end.and_then(serde_json::Value::as_f64).map_or_else(String::new, |end| format!("{end:.2}"))
        };
        // Nobody's taste can order anything.
        let orders = ORDERS.iter().filter(|(value, ..)| is_known || *value != "personal");
        let plain = Self { query: self.query.clone(), ..Self::default() };
        SearchForm {
            category: self.category.clone(),
            price_from: typed(self.price_from),
            price_to: typed(self.price_to),
            least: hint(price.and_then(|facet| facet.min.as_ref())),
            greatest: hint(price.and_then(|facet| facet.max.as_ref())),
            orders: orders
                .map(|&(value, label, _)| SearchOrderOption { value, label, is_chosen: value == self.order })
                .collect(),
            reset_url: (self.at(0) != plain).then(|| plain.url()),
        }
    }
}

fn said(found: &SearchAnswer) -> Vec<&'static str> {
    let mut said = Vec::new();
    if found.is_partial {
        said.push("Nothing has all of these words; here is what has most of them.");
    }
    if found.is_corrected {
        said.push("Words spelt nearly like yours were taken, too.");
    }
    if found.not_personal.is_some() {
        said.push("These are not in an order of your own just now.");
    }
    said
}

fn card(found: &FoundItem) -> Card {
    let plain = Card::plain(&found.item);
    Card {
        url: format!("{}?from=search&pos={}", plain.url, found.rank),
        marked: found.highlights.get("title").map(|title| title.html.clone()),
        position: found.rank,
        is_search_result: true,
        ..plain
    }
}

/// One line without control characters, cut to what the API takes.
fn searchable(text: &str) -> String {
    let mut query: String = text.trim().chars().filter(|c| !c.is_control()).collect();
    query.truncate(query.floor_char_boundary(MAX_QUERY_BYTES));
    query
}

#[cfg(test)]
mod tests;
