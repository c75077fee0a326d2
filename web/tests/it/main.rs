//! The shop over HTTP, against an API that answers in the contract's shapes, misbehaves on demand, and keeps what it was
//! told.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the failure")]

mod api;

use std::net::TcpListener;

use actix_web::{App, HttpServer};
use reqwest::{Client, Method, RequestBuilder, StatusCode, redirect::Policy};
use serde_json::Value;
use waggle_web_role::{Shop, ShopConfig, configure};

use crate::api::{EVIL, FakeApi};

/// A browser without scripts: it keeps cookies, reads pages, and follows no redirect unasked.
struct Browser {
    base: String,
    http: Client,
    cookies: Vec<(String, String)>,
}

struct Page {
    status: StatusCode,
    headers: reqwest::header::HeaderMap,
    body: String,
}

impl Browser {
    /// Opens a shop in front of `api` and comes in.
    async fn visit(api: &FakeApi) -> Self {
        let config = ShopConfig { api_base: api.base(), forward_events: true, ..ShopConfig::default() };
        let shop = Shop::try_new(config).unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let server = HttpServer::new(move || App::new().configure(configure(shop.clone())))
            .workers(1)
            .disable_signals()
            .listen(listener)
            .unwrap()
            .run();
        actix_web::rt::spawn(server);
        let http = Client::builder().redirect(Policy::none()).build().unwrap();
        Self { base, http, cookies: Vec::new() }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    async fn get(&mut self, path: &str) -> Page {
        let request = self.request(Method::GET, path).header("accept", "text/html");
        self.send(request).await
    }

    async fn post(&mut self, path: &str, form: &[(&str, &str)]) -> Page {
        let request = self.request(Method::POST, path).form(form);
        self.send(request).await
    }

    async fn send(&mut self, request: RequestBuilder) -> Page {
        let jar: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let response = request.header("cookie", jar.join("; ")).send().await.unwrap();
        for cookie in response.headers().get_all("set-cookie") {
            let cookie = cookie.to_str().unwrap();
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.retain(|(known, _)| known != name);
            if !cookie.contains("Max-Age=0") {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
        let (status, headers) = (response.status(), response.headers().clone());
        Page { status, headers, body: response.text().await.unwrap() }
    }
}

impl Page {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    fn location(&self) -> Option<&str> {
        self.header("location")
    }
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

/// The value of the first hidden field of that name.
fn hidden<'a>(page: &'a Page, name: &str) -> &'a str {
    let (_, rest) = page.body.split_once(&format!("name=\"{name}\" value=\"")).unwrap();
    rest.split('"').next().unwrap()
}

#[actix_web::test]
async fn every_page_renders_and_hostile_values_stay_text() {
    let api = FakeApi::start().await;
    let mut browser = Browser::visit(&api).await;
    let evil = "%3C%2Fa%3E%22%3E%3Cscript%3Ealert%281%29%3C%2Fscript%3E";
    for path in [
        "/".to_owned(),
        "/about".to_owned(),
        "/basket".to_owned(),
        "/shop-as?back=//evil.example".to_owned(),
        "/thanks".to_owned(),
        format!("/search?q={evil}"),
        "/search?q=mug".to_owned(),
        "/search".to_owned(),
        format!("/c/{}", api::encoded(EVIL)),
        "/p/mug-1?a=answer&pos=2".to_owned(),
        format!("/p/{}", api::encoded(EVIL)),
    ] {
        let page = browser.get(&path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        assert!(!page.body.contains("<script>"), "{path} lets a script in");
        assert!(!page.body.contains("style=\""), "{path} has a style that the policy would drop");
        assert!(!page.body.contains("http://") && !page.body.contains("https://"), "{path} points elsewhere");
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"), "{policy}");
    }
}

#[actix_web::test]
async fn what_was_found_is_marked_and_can_be_narrowed_and_ordered() {
    let api = FakeApi::start().await;
    let mut browser = Browser::visit(&api).await;
    let page = browser.get("/search?q=mug").await.body;
    for expected in [
        "<span class=\"card__title\"><mark>marked</mark> &lt;title&gt;</span>",
        "href=\"/search?q=mug&category=Mugs\"",
        "placeholder=\"1.25\"",
        "<option value=\"cheap\">",
    ] {
        assert!(
            page.contains(&expected.replace('&', "&#38;")) || page.contains(expected),
            "no {expected}:\n{page}"
        );
    }
    let narrowed = browser.get("/search?q=mug&category=Mugs&from=2&to=nonsense&order=cheap").await.body;
    for expected in [
        "Words spelt nearly like yours were taken, too.",
        "aria-current=\"true\"",
        "name=\"from\" min=\"0\" step=\"0.01\" inputmode=\"decimal\" value=\"2\"",
        "name=\"to\" min=\"0\" step=\"0.01\" inputmode=\"decimal\" value=\"\"",
        "<option value=\"cheap\" selected>",
        "href=\"/search?q=mug\">Start over",
    ] {
        assert!(narrowed.contains(expected), "no {expected}:\n{narrowed}");
    }
}

#[actix_web::test]
async fn the_home_page_groups_by_reason_and_shows_rung_and_snapshot() {
    let api = FakeApi::start().await;
    let mut browser = Browser::visit(&api).await;
    browser.post("/shop-as", &[("user", "14911"), ("back", "/")]).await;
    let page = browser.get("/").await.body;
    for expected in [
        "Because you bought Tea Mug",
        "Trending today",
        "data-testid=\"rung\">personal",
        "data-testid=\"snapshot\">v-7",
        "data-user=\"14911\"",
        "14911 · United Kingdom",
    ] {
        assert!(page.contains(expected), "{expected} is missing");
    }
    assert_eq!(page.matches("data-item=\"mug-2\"").count(), 1, "an item is shown twice");
}

#[actix_web::test]
async fn a_visit_from_basket_to_order_and_back_sends_the_right_events() {
    let api = FakeApi::start().await;
    let mut browser = Browser::visit(&api).await;
    browser.get("/p/mug-1?a=answer-9&pos=3").await;
    let added = [("item_id", "mug-1"), ("quantity", "2"), ("a", "answer-9"), ("pos", "3")];
    assert_eq!(browser.post("/basket/add", &added).await.location(), Some("/basket"));
    browser.post("/basket/set", &[("item_id", "mug-1"), ("quantity", "5")]).await;
    let basket = browser.get("/basket").await;
    assert!(basket.body.contains("£12.50") && basket.body.contains("Goes well with your basket"));

    let till = browser.get("/checkout").await;
    let order_id = hidden(&till, "order_id").to_owned();
    assert_eq!(browser.post("/checkout", &[("order_id", &order_id)]).await.location(), Some("/thanks"));
    let thanks = browser.get("/thanks").await;
    assert!(thanks.body.contains(&order_id) && thanks.body.contains("data-testid=\"thanks\""));
    let cancelled = browser.post("/order/cancel", &[]).await;
    assert_eq!(cancelled.location(), Some("/thanks?cancelled=1"));

    let events = api.events();
    assert_eq!(kinds(&events), ["cart", "purchase", "purchase_cancelled"]);
    let session = browser.cookies.iter().find(|(name, _)| name == "shop_session").unwrap().1.clone();
    for event in &events {
        assert_eq!(event["session_id"], session.as_str());
        assert!(event["event_id"].is_string());
    }
    assert_eq!((&events[0]["quantity"], &events[1]["quantity"]), (&Value::from(2.0), &Value::from(5.0)));
    assert_eq!((&events[1]["answer_id"], &events[1]["position"]), (&"answer-9".into(), &3.into()));
    assert_eq!((&events[1]["order_id"], &events[1]["currency"]), (&order_id.as_str().into(), &"GBP".into()));
}

#[actix_web::test]
async fn an_order_that_cannot_be_recorded_keeps_the_basket_and_its_number() {
    let api = FakeApi::start().await;
    let mut browser = Browser::visit(&api).await;
    browser.post("/basket/add", &[("item_id", "mug-1")]).await;
    let till = browser.get("/checkout").await;
    let order_id = hidden(&till, "order_id").to_owned();
    api.refuse_events(true);
    let refused = browser.post("/checkout", &[("order_id", &order_id)]).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(hidden(&refused, "order_id"), order_id);
    api.refuse_events(false);
    assert_eq!(browser.post("/checkout", &[("order_id", &order_id)]).await.status, StatusCode::SEE_OTHER);
    let events = api.events();
    assert_eq!(kinds(&events), ["cart", "purchase"]);
}

#[actix_web::test]
async fn a_cart_event_that_was_not_recorded_is_given_to_the_browser() {
    let api = FakeApi::start().await;
    let mut browser = Browser::visit(&api).await;
    api.refuse_events(true);
    let form = [("item_id", "mug-1")];
    let request =
        browser.request(Method::POST, "/basket/add").header("accept", "application/json").form(&form);
    let said: Value = serde_json::from_str(&browser.send(request).await.body).unwrap();
    assert_eq!((&said["n_pieces"], &said["recorded"]), (&1.into(), &false.into()));
    assert_eq!(said["event"]["type"], "cart");
    assert!(said["event"]["event_id"].as_str().unwrap().starts_with("shop-cart-"));
}

#[actix_web::test]
async fn without_an_api_pages_still_render_and_say_so() {
    let api = FakeApi::start().await;
    let mut browser = Browser::visit(&api).await;
    browser.post("/basket/add", &[("item_id", "mug-1")]).await;
    api.stop().await;
    let home = browser.get("/").await;
    assert_eq!(home.status, StatusCode::OK);
    assert!(home.body.contains("not answering") && home.body.contains("shelves are bare"), "{}", home.body);
    assert!(browser.get("/basket").await.body.contains("mug-1"));
    assert!(browser.get("/search?q=mug").await.body.contains("search is not answering"));
    let product = browser.get("/p/mug-1").await;
    assert_eq!(product.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(product.body.contains("The stockroom is not answering"));
}

#[actix_web::test]
async fn what_does_not_exist_gets_a_page_and_what_is_not_the_shops_does_not() {
    let api = FakeApi::start().await;
    let mut browser = Browser::visit(&api).await;
    for path in ["/nowhere", "/p/unknown", "/c/Unknown"] {
        let page = browser.get(path).await;
        assert_eq!(page.status, StatusCode::NOT_FOUND, "{path}");
        assert!(page.body.contains("every shelf"), "{path}");
    }
    for path in ["/v1/nothing", "/docs", "/metrics"] {
        assert!(browser.get(path).await.body.is_empty(), "{path} is another role's");
    }
}

#[actix_web::test]
async fn forms_lead_back_into_the_shop_only() {
    let api = FakeApi::start().await;
    let mut browser = Browser::visit(&api).await;
    for (back, expected) in [
        ("/p/mug-1?x=1", "/p/mug-1?x=1"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("/a\r\nset-cookie: x=1", "/"),
    ] {
        let page = browser.post("/shop-as", &[("user", "14911"), ("back", back)]).await;
        assert_eq!(page.location(), Some(expected), "{back}");
    }
}

#[actix_web::test]
async fn assets_and_tiles_may_be_kept_and_hold_no_script() {
    let api = FakeApi::start().await;
    let mut browser = Browser::visit(&api).await;
    let home = browser.get("/").await;
    let (_, rest) = home.body.split_once("rel=\"stylesheet\" href=\"").unwrap();
    let css = rest.split('"').next().unwrap();
    let first = browser.get(css).await;
    assert_eq!(first.status, StatusCode::OK);
    assert!(first.header("cache-control").unwrap().contains("immutable"));
    let again = browser.request(Method::GET, css).header("if-none-match", first.header("etag").unwrap());
    assert_eq!(browser.send(again).await.status, StatusCode::NOT_MODIFIED);

    let tile = browser.get("/tile/x%2Fy.svg?t=%3Cscript%3ERed+Mug&c=Mugs").await;
    assert_eq!(tile.status, StatusCode::OK);
    assert!(tile.body.starts_with("<svg") && !tile.body.contains("<script"));
    let asked = browser.get("/tile/mug-1.svg").await.body;
    assert!(asked.contains("<title>Tea Mug</title>"), "without a title the catalogue is asked");
}

#[actix_web::test]
async fn events_of_the_browser_are_passed_on() {
    let api = FakeApi::start().await;
    let mut browser = Browser::visit(&api).await;
    let batch = serde_json::json!({"events": [{"type": "view", "session_id": "s", "item_id": "mug-1"}]});
    let request = browser.request(Method::POST, "/v1/events").json(&batch);
    let page = browser.send(request).await;
    assert_eq!(page.status, StatusCode::ACCEPTED);
    assert_eq!(kinds(&api.events()), ["view"]);
}

#[test]
fn a_shop_without_a_usable_address_does_not_open() {
    for api_base in ["", "not a url", "ftp://127.0.0.1"] {
        let config = ShopConfig { api_base: api_base.to_owned(), ..ShopConfig::default() };
        assert!(Shop::try_new(config).unwrap_err().to_string().contains("api_base"), "{api_base}");
    }
}
