//! Every route of the shop in one table.

mod browse;
mod buy;
mod person;
mod search;

use std::collections::HashMap;

use actix_web::{
    HttpRequest, HttpResponse,
    guard::{self, GuardContext},
    http::{StatusCode, header},
    middleware::Compress,
    web::{self, Data, ServiceConfig},
};
use futures::FutureExt as _;
use waggle_contracts::api::Profile;
use waggle_model::Timestamp;

use crate::{
    Shop,
    api::ApiError,
    assets,
    pages::{Category, Customer, Shell, Trouble, respond},
    panel::Knows,
    rows::category_url,
    text, tile,
    visitor::Visitor,
};

/// Customers offered in the header.
const N_CUSTOMERS: usize = 8;
/// Longest batch of events that is forwarded, in bytes.
const MAX_EVENTS_BYTES: usize = 256 * 1024;
/// The category of what fits no other, as the datasets name it.
const CATCH_ALL: &str = "Everything Else";
/// Paths of other roles, which answer unknown addresses in their own form.
const NOT_OURS: [&str; 7] = ["/v1/", "/internal/", "/healthz", "/readyz", "/metrics", "/docs", "/openapi"];

/// Mounts the shop: pages, assets and tiles. It takes no path of the API (`/v1/…`, `/healthz`, `/readyz`, `/metrics`,
/// `/docs`) except, where [`ShopConfig::forward_events`](crate::ShopConfig::forward_events) says so, `POST /v1/events`.
///
/// Mounted last, it also answers unknown addresses that a browser asks for with a page instead of JSON.
pub fn configure(shop: Shop) -> impl FnOnce(&mut ServiceConfig) + Clone {
    move |config| {
        let forwards = shop.0.config.forward_events;
        config.app_data(Data::new(shop));
        let mut page = |path: &str, route: actix_web::Route| {
            config.service(web::resource(path).wrap(Compress::default()).route(route));
        };
        page("/", web::get().to(browse::home));
        page("/c/{category}", web::get().to(browse::category));
        page("/p/{item_id}", web::get().to(browse::product));
        page("/search", web::get().to(search::search));
        page("/about", web::get().to(browse::about));
        page("/basket", web::get().to(buy::basket));
        page("/basket/add", web::post().to(buy::add));
        page("/basket/set", web::post().to(buy::set));
        page("/thanks", web::get().to(buy::thanks));
        page("/order/cancel", web::post().to(buy::cancel));
        page("/knows", web::get().to(person::knows));
        page("/panel", web::post().to(person::panel));
        page("/tile/{item_id}.svg", web::get().to(tile_image));
        page("/assets/{version}/{name}", web::get().to(assets::serve));
        config
            .service(
                web::resource("/checkout")
                    .wrap(Compress::default())
                    .route(web::get().to(buy::checkout))
                    .route(web::post().to(buy::place_order)),
            )
            .service(
                web::resource("/shop-as")
                    .wrap(Compress::default())
                    .route(web::get().to(person::choose))
                    .route(web::post().to(person::become_person)),
            );
        if forwards {
            config.service(
                web::resource("/v1/events")
                    .app_data(web::PayloadConfig::new(MAX_EVENTS_BYTES))
                    .route(web::post().to(forward_events)),
            );
        }
        config.service(
            web::resource("/{tail:.*}")
                .guard(guard::Get())
                .guard(guard::fn_guard(is_lost_browser))
                .wrap(Compress::default())
                .route(web::get().to(not_found)),
        );
    }
}

fn is_lost_browser(context: &GuardContext<'_>) -> bool {
    let head = context.head();
    let accepts_html = head.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accepts_html.is_some_and(|accept| accept.contains("text/html"))
        && !NOT_OURS.iter().any(|prefix| head.uri.path().starts_with(prefix))
}

async fn not_found(request: HttpRequest, shop: Data<Shop>) -> HttpResponse {
    let visit = Visit::begin(&request, &shop);
    let page = Trouble {
        shell: visit.shell().await.0,
        title: "We looked on every shelf",
        sentence: "There is no page at this address. It may have been sold, or never existed.",
        can_retry: false,
    };
    respond(StatusCode::NOT_FOUND, &page, &visit.visitor)
}

/// The page for an API that did not answer: 404 for what it does not know, else 503.
async fn trouble(visit: &Visit<'_>, error: &ApiError) -> HttpResponse {
    let shell = visit.shell().await.0;
    if matches!(error, ApiError::NotFound | ApiError::Refused { status: 400 | 422, .. }) {
        let page = Trouble {
            shell,
            title: "We looked on every shelf",
            sentence: "The catalogue knows no such thing. It may have been sold out and taken away.",
            can_retry: false,
        };
        return respond(StatusCode::NOT_FOUND, &page, &visit.visitor);
    }
    log(error);
    let page = Trouble {
        shell,
        title: "The stockroom is not answering",
        sentence: "The shop is open, but the system behind it is away or slow just now. Nothing of yours is lost.",
        can_retry: true,
    };
    respond(StatusCode::SERVICE_UNAVAILABLE, &page, &visit.visitor)
}

fn log(error: &ApiError) {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    tracing::warn!(error = %error, cause, "the api did not answer a page");
}

/// One request for a page: who, where, and the calls that every page needs.
struct Visit<'a> {
    shop: &'a Shop,
    visitor: Visitor,
    here: String,
    query: HashMap<String, String>,
}

impl<'a> Visit<'a> {
    fn begin(request: &HttpRequest, shop: &'a Shop) -> Self {
        let query = web::Query::<HashMap<String, String>>::from_query(request.query_string())
            .map(web::Query::into_inner)
            .unwrap_or_default();
        let here = request.uri().path_and_query().map_or("/", |here| here.as_str()).to_owned();
        Self { shop, visitor: Visitor::of(request), here, query }
    }

    fn param(&self, name: &str) -> &str {
        self.query.get(name).map_or("", String::as_str)
    }

    /// What led to this page: `?a=<answer_id>&pos=<n>`.
    fn came_from(&self) -> Option<(String, u32)> {
        attribution(self.param("a"), self.param("pos"))
    }

    /// Header, navigation and panel; and the profile, for wording reasons.
    async fn shell(&self) -> (Shell, Option<Profile>) {
        let api = self.shop.api();
        let inner = &self.shop.0;
        let (categories, users, profile) = futures::join!(
            inner.categories.get(api.categories()),
            inner.users.get(api.users(N_CUSTOMERS)),
            api.profile(self.visitor.who()).boxed_local(),
        );
        let mut notices = Vec::new();
        if categories.is_err() && users.is_err() && profile.is_err() {
            notices.push(
                "The system behind this shop is not answering, so this page shows only what it has."
                    .to_owned(),
            );
        }
        let now = Timestamp::now();
        let knows = match &profile {
            Ok(profile) => Knows::of(profile, now),
            Err(ApiError::NotFound) => Knows::nothing("Nothing yet. Look at something and come back."),
            Err(_) => Knows::nothing("The system is not answering just now."),
        };
        let current = self.visitor.user_id.as_deref();
        let customers: Vec<Customer> = users
            .iter()
            .flat_map(|list| &list.users)
            .map(|user| Customer {
                user_id: user.user_id.as_str().to_owned(),
                label: label(user.user_id.as_str(), &user.properties),
                is_current: current == Some(user.user_id.as_str()),
            })
            .collect();
        let who = match current {
            None => "a stranger".to_owned(),
            Some(id) => {
                let listed = customers.iter().find(|customer| customer.is_current);
                listed.map_or_else(|| format!("customer {id}"), |customer| customer.label.clone())
            }
        };
        let greeting = match (who.split_once(" · "), current) {
            (Some((first, _)), Some(id)) if first == id => format!("no. {id}"),
            (Some((name, _)), _) => name.to_owned(),
            (None, _) => who.clone(),
        };
        let here_path = self.here.split('?').next().unwrap_or_default();
        let mut listed: Vec<_> = categories.iter().flat_map(|list| &list.categories).collect();
        // What has no place of its own comes last, however much of it there is.
        listed.sort_by_key(|entry| entry.category == CATCH_ALL);
        let categories = listed
            .into_iter()
            .map(|entry| {
                let url = category_url(&entry.category);
                Category {
                    is_current: url == here_path,
                    name: entry.category.clone(),
                    n_items: text::thousands(entry.n_items),
                    url,
                }
            })
            .collect();
        let shell = Shell {
            shop: self.shop.name().to_owned(),
            visitor: self.visitor.clone(),
            who,
            greeting,
            customers,
            categories,
            here: self.here.clone(),
            query: String::new(),
            knows,
            traces: Vec::new(),
            is_beside_api: !inner.config.forward_events,
            notices,
        };
        (shell, profile.ok())
    }
}

/// What tells customers apart first: a name if they have one, else the id; then the country.
fn label(user_id: &str, properties: &serde_json::Map<String, serde_json::Value>) -> String {
    let property =
        |name: &str| properties.get(name).and_then(serde_json::Value::as_str).filter(|s| !s.is_empty());
    match (property("name"), property("country")) {
        (Some(name), _) => format!("{name} · {user_id}"),
        (None, Some(country)) => format!("{user_id} · {country}"),
        (None, None) => format!("customer {user_id}"),
    }
}

/// Answer and place from a form or an address; `None` unless both are usable.
fn attribution(answer: &str, position: &str) -> Option<(String, u32)> {
    let answer = waggle_model::AnswerId::try_new(answer).ok()?;
    let position = position.parse().ok().filter(|position| *position > 0)?;
    Some((answer.as_str().to_owned(), position))
}

/// Where a form goes back to: a path of this shop, whatever the form says.
fn way_back(text: &str) -> String {
    let is_ours = text.starts_with('/')
        && !text.starts_with("//")
        && !text.starts_with("/\\")
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_ours { text.to_owned() } else { "/".to_owned() }
}

/// `GET /tile/{item_id}.svg?t={title}&c={category}`: drawn from the address alone; without `t` the catalogue is asked.
async fn tile_image(request: HttpRequest, shop: Data<Shop>, path: web::Path<String>) -> HttpResponse {
    let item_id = path.into_inner();
    let query = web::Query::<HashMap<String, String>>::from_query(request.query_string());
    let query = query.map(web::Query::into_inner).unwrap_or_default();
    let (drawing, cache) = match query.get("t") {
        Some(title) => {
            let category = query.get("c").map(String::as_str);
            let subject = tile::Subject { item_id: &item_id, title, category };
            (tile::draw(&subject), "public, max-age=604800")
        }
        None => match shop.api().item(&item_id).await {
            Ok(item) => (tile::svg(&item), "public, max-age=3600"),
            Err(_) => {
                let subject = tile::Subject { item_id: &item_id, title: "", category: None };
                (tile::draw(&subject), "no-store")
            }
        },
    };
    HttpResponse::Ok()
        .content_type("image/svg+xml")
        .insert_header((header::CACHE_CONTROL, cache))
        .insert_header((header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(drawing)
}

/// `POST /v1/events` of a shop with an address of its own.
async fn forward_events(request: HttpRequest, shop: Data<Shop>, body: web::Bytes) -> HttpResponse {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    match shop.api().forward_events(kind.unwrap_or("application/json"), body.to_vec()).await {
        Ok((status, kind, body)) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
            HttpResponse::build(status).content_type(kind).body(body)
        }
        Err(error) => {
            log(&error);
            HttpResponse::BadGateway()
                .content_type("application/problem+json")
                .body(r#"{"type":"/problems/unavailable","title":"the api is not answering","status":502}"#)
        }
    }
}
