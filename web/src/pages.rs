//! The pages: what each template is filled with.

use actix_web::{
    HttpResponse,
    http::{
        StatusCode,
        header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, SET_COOKIE},
    },
};
use askama::Template;

use crate::{
    panel::{Knows, Trace},
    rows::{Card, Row},
    visitor::Visitor,
};

/// Only what this shop serves itself; no inline script or style.
pub(crate) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What surrounds every page.
#[derive(Debug, Clone)]
pub(crate) struct Shell {
    pub shop: String,
    pub visitor: Visitor,
    /// How the visitor is called in the header.
    pub who: String,
    /// How the shopkeeper greets them.
    pub greeting: String,
    pub customers: Vec<Customer>,
    pub categories: Vec<Category>,
    /// Path and query of this page, for forms that come back.
    pub here: String,
    pub query: String,
    pub knows: Knows,
    pub traces: Vec<Trace>,
    /// The API, and so its description, answers at this address.
    pub is_beside_api: bool,
    /// What the page has to admit.
    pub notices: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Customer {
    pub user_id: String,
    pub label: String,
    pub is_current: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Category {
    pub name: String,
    pub url: String,
    pub n_items: String,
    pub is_current: bool,
}

impl Shell {
    fn asset(&self, name: &str) -> String {
        crate::assets::url(name)
    }

    fn n_pieces(&self) -> u32 {
        self.visitor.basket.n_pieces()
    }

    fn user_id(&self) -> &str {
        self.visitor.user_id.as_deref().unwrap_or_default()
    }
}

#[derive(Debug, Template)]
#[template(path = "home.html")]
pub(crate) struct Home {
    pub shell: Shell,
    pub rows: Vec<Row>,
    pub is_stranger: bool,
}

#[derive(Debug, Template)]
#[template(path = "category.html")]
pub(crate) struct CategoryPage {
    pub shell: Shell,
    pub name: String,
    pub n_items: Option<String>,
    pub rows: Vec<Row>,
    pub cards: Vec<Card>,
    pub is_first: bool,
    pub next_url: Option<String>,
}

#[derive(Debug, Template)]
#[template(path = "product.html")]
pub(crate) struct Product {
    pub shell: Shell,
    pub card: Card,
    pub category_url: Option<String>,
    pub brand: Option<String>,
    pub description: Option<String>,
    pub is_new: bool,
    pub in_stock: bool,
    /// What led here, handed on to the basket.
    pub from_answer: String,
    pub from_position: String,
    pub rows: Vec<Row>,
}

/// A line of a basket or an order, priced.
#[derive(Debug, Clone)]
pub(crate) struct PricedLine {
    pub card: Card,
    pub quantity: u32,
    pub sum: Option<String>,
    /// The catalogue does not know the item any more.
    pub is_gone: bool,
}

#[derive(Debug, Template)]
#[template(path = "basket.html")]
pub(crate) struct BasketPage {
    pub shell: Shell,
    pub lines: Vec<PricedLine>,
    pub total: Option<String>,
    pub rows: Vec<Row>,
}

#[derive(Debug, Template)]
#[template(path = "checkout.html")]
pub(crate) struct Checkout {
    pub shell: Shell,
    pub lines: Vec<PricedLine>,
    pub total: Option<String>,
    pub order_id: String,
    pub trouble: Option<&'static str>,
}

#[derive(Debug, Template)]
#[template(path = "thanks.html")]
pub(crate) struct Thanks {
    pub shell: Shell,
    pub order_id: Option<String>,
    pub lines: Vec<PricedLine>,
    pub is_cancelled: bool,
    pub trouble: bool,
    pub rows: Vec<Row>,
}

#[derive(Debug, Template)]
#[template(path = "search.html")]
pub(crate) struct Search {
    pub shell: Shell,
    pub n_matches: usize,
    pub took_ms: String,
    /// What the page has to say about how it was found.
    pub said: Vec<&'static str>,
    pub cards: Vec<Card>,
    pub chips: Vec<Category>,
    pub form: SearchForm,
    pub rows: Vec<Row>,
    pub is_failed: bool,
    pub previous_url: Option<String>,
    pub next_url: Option<String>,
}

/// What narrows and orders a search.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SearchForm {
    pub category: String,
    pub price_from: String,
    pub price_to: String,
    /// Of what was found: the least and the greatest, as hints.
    pub least: String,
    pub greatest: String,
    pub orders: Vec<SearchOrderOption>,
    /// The search without any of it.
    pub reset_url: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SearchOrderOption {
    pub value: &'static str,
    pub label: &'static str,
    pub is_chosen: bool,
}

#[derive(Debug, Template)]
#[template(path = "shop_as.html")]
pub(crate) struct ShopAs {
    pub shell: Shell,
    pub back: String,
}

#[derive(Debug, Template)]
#[template(path = "about.html")]
pub(crate) struct About {
    pub shell: Shell,
}

#[derive(Debug, Template)]
#[template(path = "trouble.html")]
pub(crate) struct Trouble {
    pub shell: Shell,
    pub title: &'static str,
    pub sentence: &'static str,
    pub can_retry: bool,
}

/// The page as a response. A first visit gets its session's cookie.
pub(crate) fn respond(status: StatusCode, page: &impl Template, visitor: &Visitor) -> HttpResponse {
    match page.render() {
        Ok(body) => {
            let mut response = html(status, body);
            if visitor.is_new {
                response.headers_mut().append(SET_COOKIE, visitor.session_cookie());
            }
            response
        }
        Err(error) => {
            tracing::error!(error = %error, "a page did not render");
            html(
                StatusCode::INTERNAL_SERVER_ERROR,
                "<!doctype html><title>Sorry</title><p>This page is broken.".into(),
            )
        }
    }
}

/// HTML with the shop's headers.
pub(crate) fn html(status: StatusCode, body: String) -> HttpResponse {
    let mut response = HttpResponse::build(status).content_type("text/html; charset=utf-8").body(body);
    let headers: [(HeaderName, &'static str); 4] = [
        (CONTENT_SECURITY_POLICY, POLICY),
        // About one person, at this moment.
        (CACHE_CONTROL, "private, no-cache"),
        (actix_web::http::header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (actix_web::http::header::REFERRER_POLICY, "same-origin"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// 303 with cookies: what a form answers.
pub(crate) fn redirect(to: &str, cookies: impl IntoIterator<Item = HeaderValue>) -> HttpResponse {
    let mut response = HttpResponse::SeeOther().insert_header(("location", to)).finish();
    for cookie in cookies {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}
