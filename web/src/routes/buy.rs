//! Basket, pretended checkout, thanks.

use std::collections::HashSet;

use actix_web::{
    Either, HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web::{self, Data, Form},
};
use futures::future::join_all;
use serde::Deserialize;
use serde_json::json;
use waggle_contracts::api::RecommendationRequest;
use waggle_model::{Item, Timestamp};

use super::{Visit, attribution, browse::together_row, trouble};
use crate::{
    Shop,
    api::ApiError,
    basket::{Basket, MAX_LINES, MAX_QUANTITY},
    events,
    pages::{BasketPage, Checkout, PricedLine, Thanks, redirect, respond},
    rows::{self, Card, Context},
    text,
    visitor::{Order, is_order_id, new_order_id},
};

const ROW_K: i64 = 16;

/// A form that may be anything: what cannot be read gets a page, not a raw error.
type Sent<T> = Either<Form<T>, web::Bytes>;

#[derive(Debug, Deserialize)]
pub(super) struct AddForm {
    item_id: String,
    #[serde(default)]
    quantity: String,
    #[serde(default)]
    a: String,
    #[serde(default)]
    pos: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct SetForm {
    item_id: String,
    quantity: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct OrderForm {
    order_id: String,
}

pub(super) async fn basket(request: HttpRequest, shop: Data<Shop>) -> HttpResponse {
    let visit = Visit::begin(&request, &shop);
    let held = visit.visitor.basket.item_ids();
    let ask =
        RecommendationRequest { items: held.clone(), exclude: held.clone(), ..visit.ask("cart", ROW_K) };
    let ((mut shell, _), priced, answer) =
        futures::join!(visit.shell(), price(&shop, &visit.visitor.basket), shop.api().recommend(&ask),);
    let mut shown: HashSet<String> = held.iter().cloned().collect();
    let mut page_rows = Vec::new();
    if let Some(answer) = visit.take(answer, "With your basket", "POST /v1/recommendations", &mut shell) {
        let (title, note) = if held.is_empty() {
            ("To begin with", "Your basket is empty, so this is what we know of you, or of everybody.")
        } else {
            ("Goes well with your basket", "Chosen for everything in your basket at once.")
        };
        page_rows.extend(together_row(&answer, &mut shown, title, note));
    }
    if visit.param("full") == "1" {
        shell.notices.push(format!(
            "The basket holds {MAX_LINES} different things at most. Buy some, then come back."
        ));
    }
    let page = BasketPage { shell, lines: priced.lines, total: priced.total, rows: page_rows };
    respond(StatusCode::OK, &page, &visit.visitor)
}

/// `POST /basket/add`: a redirect for a form, JSON for the script that sent the form in the background.
pub(super) async fn add(request: HttpRequest, shop: Data<Shop>, form: Sent<AddForm>) -> HttpResponse {
    let mut visit = Visit::begin(&request, &shop);
    let Either::Left(Form(form)) = form else { return redirect("/basket", []) };
    let item = match shop.api().item(&form.item_id).await {
        Ok(item) => item,
        Err(error) if wants_json(&request) => {
            super::log(&error);
            return HttpResponse::ServiceUnavailable()
                .json(json!({ "error": "the shop cannot reach its stockroom" }));
        }
        Err(error) => return trouble(&visit, &error).await,
    };
    let quantity = form.quantity.trim().parse().unwrap_or(1).clamp(1, MAX_QUANTITY);
    let from = attribution(&form.a, &form.pos);
    let event = events::cart(&visit.visitor, &item, quantity, from.as_ref());
    let fits = visit.visitor.basket.add(&form.item_id, quantity, from);
    let recorded = fits && is_recorded(&shop, std::slice::from_ref(&event)).await;
    let cookies = [visit.visitor.basket_cookie(), visit.visitor.session_cookie()];
    if wants_json(&request) {
        let mut response =
            HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(json!({
                "n_pieces": visit.visitor.basket.n_pieces(),
                "fits": fits,
                "recorded": recorded,
                // For the browser to send later, under the same id.
                "event": (fits && !recorded).then_some(event),
            }));
        for cookie in cookies {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        return response;
    }
    redirect(if fits { "/basket" } else { "/basket?full=1" }, cookies)
}

pub(super) async fn set(request: HttpRequest, shop: Data<Shop>, form: Sent<SetForm>) -> HttpResponse {
    let mut visit = Visit::begin(&request, &shop);
    if let Either::Left(Form(form)) = form
        && let Ok(quantity) = form.quantity.trim().parse::<u32>()
    {
        visit.visitor.basket.set(&form.item_id, quantity);
    }
    redirect("/basket", [visit.visitor.basket_cookie()])
}

pub(super) async fn checkout(request: HttpRequest, shop: Data<Shop>) -> HttpResponse {
    let visit = Visit::begin(&request, &shop);
    if visit.visitor.basket.lines.is_empty() {
        return redirect("/basket", []);
    }
    checkout_page(&visit, new_order_id(), None).await
}

async fn checkout_page(visit: &Visit<'_>, order_id: String, trouble: Option<&'static str>) -> HttpResponse {
    let ((shell, _), priced) = futures::join!(visit.shell(), price(visit.shop, &visit.visitor.basket));
    let status = if trouble.is_some() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let page = Checkout { shell, lines: priced.lines, total: priced.total, order_id, trouble };
    respond(status, &page, &visit.visitor)
}

/// `POST /checkout`: one `purchase` event per line, under one order. The order's number came with the page, so pressing
/// twice, or trying again after a failure, counts once.
pub(super) async fn place_order(
    request: HttpRequest,
    shop: Data<Shop>,
    form: Sent<OrderForm>,
) -> HttpResponse {
    let mut visit = Visit::begin(&request, &shop);
    if visit.visitor.basket.lines.is_empty() {
        return redirect("/thanks", []);
    }
    let order_id = match form {
        Either::Left(Form(form)) if is_order_id(&form.order_id) => form.order_id,
        _ => new_order_id(),
    };
    let priced = price(&shop, &visit.visitor.basket).await;
    let events: Vec<_> = visit
        .visitor
        .basket
        .lines
        .iter()
        .zip(&priced.items)
        .filter_map(|(line, item)| Some(events::purchase(&visit.visitor, &order_id, line, item.as_ref()?)))
        .collect();
    if priced.is_incomplete || events.is_empty() || !is_recorded(&shop, &events).await {
        const TROUBLE: &str = "Your order could not be recorded just now. Nothing is lost: your basket is as it was. \
            Please try again; however often you press, the order counts once.";
        return checkout_page(&visit, order_id, Some(TROUBLE)).await;
    }
    visit.visitor.last_order = Some(Order { order_id, basket: std::mem::take(&mut visit.visitor.basket) });
    redirect(
        "/thanks",
        [visit.visitor.basket_cookie(), visit.visitor.order_cookie(), visit.visitor.session_cookie()],
    )
}

pub(super) async fn thanks(request: HttpRequest, shop: Data<Shop>) -> HttpResponse {
    let visit = Visit::begin(&request, &shop);
    let bought = visit.visitor.last_order.as_ref().map(|order| order.basket.clone()).unwrap_or_default();
    let ask = RecommendationRequest { exclude: bought.item_ids(), ..visit.ask("home", ROW_K * 2) };
    let ((mut shell, profile), priced, answer) =
        futures::join!(visit.shell(), price(&shop, &bought), shop.api().recommend(&ask));
    let mut shown: HashSet<String> = bought.item_ids().into_iter().collect();
    let mut page_rows = Vec::new();
    if let Some(answer) = visit.take(answer, "What next", "POST /v1/recommendations", &mut shell) {
        let context = Context { profile: profile.as_ref(), now: Timestamp::now() };
        page_rows.extend(rows::by_reason(&answer.response, context, &mut shown));
    }
    let page = Thanks {
        shell,
        order_id: visit.visitor.last_order.as_ref().map(|order| order.order_id.clone()),
        lines: priced.lines,
        is_cancelled: visit.param("cancelled") == "1",
        trouble: visit.param("cancelled") == "0",
        rows: page_rows,
    };
    respond(StatusCode::OK, &page, &visit.visitor)
}

/// `POST /order/cancel`: takes the last order back, `purchase_cancelled` for each line.
pub(super) async fn cancel(request: HttpRequest, shop: Data<Shop>) -> HttpResponse {
    let mut visit = Visit::begin(&request, &shop);
    let Some(order) = visit.visitor.last_order.clone() else { return redirect("/thanks", []) };
    let priced = price(&shop, &order.basket).await;
    let events: Vec<_> = order
        .basket
        .lines
        .iter()
        .zip(&priced.items)
        .filter_map(|(line, item)| Some(events::cancellation(&visit.visitor, &order, line, item.as_ref()?)))
        .collect();
    if priced.is_incomplete || !is_recorded(&shop, &events).await {
        return redirect("/thanks?cancelled=0", []);
    }
    visit.visitor.last_order = None;
    redirect("/thanks?cancelled=1", [visit.visitor.order_cookie()])
}

/// Whether every event is on stable storage now.
async fn is_recorded(shop: &Shop, events: &[waggle_model::wire::WireEvent]) -> bool {
    match shop.api().send(events).await {
        Ok(report) if report.rejected.is_empty() => true,
        Ok(report) => {
            tracing::error!(rejected = ?report.rejected, "the api rejected an event of the shop");
            false
        }
        Err(error) => {
            super::log(&error);
            false
        }
    }
}

fn wants_json(request: &HttpRequest) -> bool {
    let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.starts_with("application/json"))
}

/// A basket with today's catalogue beside it.
struct Priced {
    /// Per line; `None` where the catalogue gave nothing.
    items: Vec<Option<Item>>,
    lines: Vec<PricedLine>,
    /// Absent for an empty basket or one without prices or of several currencies.
    total: Option<String>,
    /// An item could not be asked for (rather than being unknown).
    is_incomplete: bool,
}

async fn price(shop: &Shop, basket: &Basket) -> Priced {
    let found = join_all(basket.lines.iter().map(|line| shop.api().item(&line.item_id))).await;
    let is_incomplete =
        found.iter().any(|item| matches!(item, Err(error) if !matches!(error, ApiError::NotFound)));
    let items: Vec<Option<Item>> = found.into_iter().map(Result::ok).collect();
    let lines = basket
        .lines
        .iter()
        .zip(&items)
        .map(|(line, item)| match item {
            Some(item) => PricedLine {
                card: Card::plain(item),
                quantity: line.quantity,
                sum: item.price.map(|p| text::price(p * f64::from(line.quantity), item.currency.as_deref())),
                is_gone: false,
            },
            None => PricedLine {
                card: Card::plain(&nameless(&line.item_id)),
                quantity: line.quantity,
                sum: None,
                is_gone: true,
            },
        })
        .collect();
    Priced { total: total(basket, &items), lines, items, is_incomplete }
}

/// An item of which only the id is known. Basket ids that are no item ids never got in by [`add`].
fn nameless(item_id: &str) -> Item {
    let id = waggle_model::ItemId::try_new(item_id).or(waggle_model::ItemId::try_new("unknown"));
    Item::new(id.expect("\"unknown\" is an item id"), item_id)
}

fn total(basket: &Basket, items: &[Option<Item>]) -> Option<String> {
    let known: Vec<(f64, Option<&str>)> = basket
        .lines
        .iter()
        .zip(items)
        .filter_map(|(line, item)| {
            let item = item.as_ref()?;
            Some((item.price? * f64::from(line.quantity), item.currency.as_deref()))
        })
        .collect();
    let (_, currency) = *known.first()?;
    let is_one_currency = known.iter().all(|(_, other)| *other == currency);
    is_one_currency.then(|| text::price(known.iter().map(|(sum, _)| sum).sum(), currency))
}
