//! Looking around: home, category, product.

use std::collections::HashSet;

use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    web::{self, Data},
};
use waggle_contracts::api::RecommendationRequest;
use waggle_model::{Item, Timestamp};

use super::{Visit, trouble};
use crate::{
    Shop,
    api::{Answered, ApiError, Live},
    pages::{About, CategoryPage, Home, Product, respond},
    panel::Trace,
    rows::{self, Card, Context, Row, category_url},
    text,
};

/// Length of the two answers that the home page's personal rows are cut from.
const HOME_K: i64 = 40;
const ROW_K: usize = 16;
const CATALOGUE_PAGE: usize = 48;
/// An item is shown as new this long.
const NEW_DAYS: f64 = 45.0;

pub(super) async fn home(request: HttpRequest, shop: Data<Shop>) -> HttpResponse {
    let visit = Visit::begin(&request, &shop);
    let ask = visit.ask("home", HOME_K);
    // Somebody who buys the same things every month would see nothing else; so what they never had is asked for too.
    let discover = RecommendationRequest { exclude_known: true, ..visit.ask("home", HOME_K) };
    let discover = async {
        if visit.visitor.user_id.is_some() { Some(shop.api().recommend(&discover).await) } else { None }
    };
    let ((mut shell, profile), answer, discoveries, trending, new) = futures::join!(
        visit.shell(),
        shop.api().recommend(&ask),
        discover,
        shop.api().live(Live::Trending, ROW_K * 2, visit.visitor.who()),
        shop.api().live(Live::New, ROW_K, visit.visitor.who()),
    );
    let context = Context { profile: profile.as_ref(), now: Timestamp::now() };
    let mut shown = HashSet::new();
    let mut page_rows = Vec::new();
    if let Some(answer) = visit.take(answer, "For you", "POST /v1/recommendations", &mut shell) {
        page_rows.extend(rows::by_reason(&answer.response, context, &mut shown));
    }
    let discoveries = discoveries.and_then(|answer| {
        visit.take(answer, "For you, never bought", "POST /v1/recommendations", &mut shell)
    });
    if let Some(answer) = discoveries {
        rows::join(&mut page_rows, rows::by_reason(&answer.response, context, &mut shown));
    }
    // What was chosen for this person comes before what is the same for all; otherwise the answer's order stays.
    page_rows.sort_by_key(|row| !row.is_personal);
    if let Some(answer) = visit.take(trending, "Trending", "GET /v1/trending", &mut shell) {
        let note = "What many people want right now. The same for everybody.";
        rows::complete(&mut page_rows, "trending", "Trending today", note, &answer.response, &mut shown);
    }
    if let Some(answer) = visit.take(new, "New", "GET /v1/trending?source=new", &mut shell) {
        let note = "Fresh on the shelves, before anybody's clicks can speak for them.";
        rows::complete(&mut page_rows, "new", "New in the shop", note, &answer.response, &mut shown);
    }
    let is_stranger = profile.as_ref().is_none_or(|profile| profile.n_events == 0);
    respond(StatusCode::OK, &Home { shell, rows: page_rows, is_stranger }, &visit.visitor)
}

pub(super) async fn category(
    request: HttpRequest,
    shop: Data<Shop>,
    path: web::Path<String>,
) -> HttpResponse {
    let visit = Visit::begin(&request, &shop);
    let name = path.into_inner();
    let after = visit.query.get("after").map(String::as_str);
    let is_first = after.is_none();
    let ask = RecommendationRequest {
        category: Some(name.clone()),
        ..visit.ask("home", i64::try_from(ROW_K).unwrap_or(16))
    };
    let picks = async { if is_first { Some(shop.api().recommend(&ask).await) } else { None } };
    let ((mut shell, profile), picks, page) =
        futures::join!(visit.shell(), picks, shop.api().items(&name, after, CATALOGUE_PAGE));
    let page = match page {
        Ok(page) if page.items.is_empty() && is_first => return trouble(&visit, &ApiError::NotFound).await,
        Ok(page) => page,
        Err(error) => return trouble(&visit, &error).await,
    };
    let mut shown = HashSet::new();
    let mut page_rows = Vec::new();
    if let Some(answer) =
        picks.and_then(|picks| visit.take(picks, "Picks", "POST /v1/recommendations", &mut shell))
    {
        let knows_them = profile.is_some_and(|profile| profile.n_events > 0);
        let is_personal = knows_them && answer.response.rung == waggle_model::Rung::Personal;
        let (title, note) = if is_personal {
            (
                format!("For you in {name}"),
                "This corner of the shop, in the order we think you would want it.",
            )
        } else {
            (format!("Popular in {name}"), "What people who look around here choose most.")
        };
        let row = rows::single("picks", &title, note, &answer.response, &mut shown);
        page_rows.extend(row.map(|mut row| {
            row.is_personal = is_personal;
            row.cards.iter_mut().for_each(|card| card.can_dismiss = is_personal);
            row
        }));
    }
    // The shelf is complete, so that paging is; only the first page leaves out what the row above shows.
    let on_shelf = |item: &&Item| !item.hidden && !shown.contains(item.item_id.as_str());
    let cards = page.items.iter().filter(on_shelf).map(Card::plain).collect();
    let next_url = page
        .next_after
        .map(|after| format!("{}?after={}", category_url(&name), text::encode(after.as_str())));
    let n_items = shell.categories.iter().find(|known| known.name == name).map(|known| known.n_items.clone());
    let page = CategoryPage { shell, name, n_items, rows: page_rows, cards, is_first, next_url };
    respond(StatusCode::OK, &page, &visit.visitor)
}

pub(super) async fn product(request: HttpRequest, shop: Data<Shop>, path: web::Path<String>) -> HttpResponse {
    let visit = Visit::begin(&request, &shop);
    let item_id = path.into_inner();
    let ask = RecommendationRequest {
        items: vec![item_id.clone()],
        exclude: vec![item_id.clone()],
        ..visit.ask("cart", i64::try_from(ROW_K).unwrap_or(16))
    };
    let ((mut shell, _), item, similar, together) = futures::join!(
        visit.shell(),
        shop.api().item(&item_id),
        shop.api().similar(&item_id, ROW_K * 2, visit.visitor.who()),
        shop.api().recommend(&ask),
    );
    let item = match item {
        Ok(item) if !item.hidden => item,
        Ok(_) => return trouble(&visit, &ApiError::NotFound).await,
        Err(error) => return trouble(&visit, &error).await,
    };
    let mut shown = HashSet::from([item_id]);
    let mut page_rows = Vec::new();
    if let Some(answer) = visit.take(together, "Bought together", "POST /v1/recommendations", &mut shell) {
        page_rows.extend(together_row(
            &answer,
            &mut shown,
            "Bought together",
            "What shares a basket with this one.",
        ));
    }
    if let Some(answer) = visit.take(similar, "Similar", "GET /v1/items/{id}/similar", &mut shell) {
        let note = "Alike by who chooses them and by what they are.";
        page_rows.extend(rows::single("similar", "Similar things", note, &answer.response, &mut shown));
    }
    let (from_answer, from_position) =
        visit.came_from().map(|(answer, position)| (answer, position.to_string())).unwrap_or_default();
    let now = Timestamp::now();
    let page = Product {
        shell,
        card: Card::plain(&item),
        category_url: item.category.as_deref().map(category_url),
        brand: item.brand.clone(),
        description: item.description.clone(),
        is_new: item.available_from.is_some_and(|from| from <= now && now.days_since(from) < NEW_DAYS),
        in_stock: item.is_available(now),
        from_answer,
        from_position,
        rows: page_rows,
    };
    respond(StatusCode::OK, &page, &visit.visitor)
}

pub(super) async fn about(request: HttpRequest, shop: Data<Shop>) -> HttpResponse {
    let visit = Visit::begin(&request, &shop);
    respond(StatusCode::OK, &About { shell: visit.shell().await.0 }, &visit.visitor)
}

/// "Bought together", for a page or a basket.
pub(super) fn together_row(
    answer: &Answered,
    shown: &mut HashSet<String>,
    title: &str,
    note: &str,
) -> Option<Row> {
    rows::single("together", title, note, &answer.response, shown)
}

impl Visit<'_> {
    /// A request for recommendations about this visitor.
    pub(super) fn ask(&self, placement: &str, k: i64) -> RecommendationRequest {
        RecommendationRequest {
            user_id: self.visitor.user_id.clone(),
            session_id: Some(self.visitor.session_id.clone()),
            placement: Some(placement.to_owned()),
            k: Some(k),
            include_items: true,
            ..RecommendationRequest::default()
        }
    }

    /// Notes an answer in the panel; a missing one is admitted on the page.
    pub(super) fn take(
        &self,
        answer: Result<Answered, ApiError>,
        name: &'static str,
        call: &'static str,
        shell: &mut crate::pages::Shell,
    ) -> Option<Answered> {
        match answer {
            Ok(answer) => {
                shell.traces.push(Trace::of(name, call, &answer));
                Some(answer)
            }
            Err(ApiError::NotFound) => None,
            Err(error) => {
                super::log(&error);
                if shell.notices.is_empty() {
                    shell.notices.push(format!("The list \u{201c}{name}\u{201d} could not be fetched just now, so it is missing here."));
                }
                None
            }
        }
    }
}
