//! Who is looking, from the request's cookies.

use actix_web::{
    HttpRequest,
    http::header::{COOKIE, HeaderValue},
};
use rand::RngCore as _;
use waggle_model::{SessionId, UserId};

use crate::{api::Who, basket::Basket, text};

const USER: &str = "shop_user";
const SESSION: &str = "shop_session";
const BASKET: &str = "shop_basket";
const ORDER: &str = "shop_order";
const PANEL: &str = "shop_panel";
const YEAR_S: u32 = 365 * 86_400;
/// A finished order can be taken back this long.
const ORDER_S: u32 = 3600;

/// One visitor at one request.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    /// The customer they shop as; `None` is a stranger.
    pub user_id: Option<String>,
    pub session_id: String,
    /// The session began with this request: its cookie has to be set.
    pub is_new: bool,
    pub basket: Basket,
    pub last_order: Option<Order>,
    pub is_panel_open: bool,
    is_secure: bool,
}

/// The order that was placed last: its number and what was in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Order {
    pub order_id: String,
    pub basket: Basket,
}

impl Visitor {
    /// Reads the cookies. What is missing or damaged counts as absent.
    pub(crate) fn of(request: &HttpRequest) -> Self {
        let cookie = |name| {
            request
                .headers()
                .get_all(COOKIE)
                .filter_map(|header| header.to_str().ok())
                .flat_map(|header| header.split(';'))
                .find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
        };
        let session = cookie(SESSION).and_then(text::decode).filter(|id| SessionId::try_new(id).is_ok());
        Self {
            user_id: cookie(USER).and_then(text::decode).filter(|id| UserId::try_new(id).is_ok()),
            is_new: session.is_none(),
            session_id: session.unwrap_or_else(|| format!("s-{}", random_id())),
            basket: cookie(BASKET).map(Basket::from_cookie).unwrap_or_default(),
            last_order: cookie(ORDER).and_then(Order::from_cookie),
            is_panel_open: cookie(PANEL) == Some("open"),
            is_secure: request.connection_info().scheme() == "https",
        }
    }

    pub(crate) fn who(&self) -> Who<'_> {
        Who { user_id: self.user_id.as_deref(), session_id: &self.session_id }
    }

    /// Becomes a customer, or a stranger: with a fresh session and an empty basket either way.
    pub(crate) fn become_person(&mut self, user_id: Option<String>) {
        self.user_id = user_id;
        self.session_id = format!("s-{}", random_id());
        self.basket = Basket::default();
        self.last_order = None;
    }

    pub(crate) fn session_cookie(&self) -> HeaderValue {
        self.cookie(SESSION, &text::encode(&self.session_id), YEAR_S)
    }

    pub(crate) fn user_cookie(&self) -> HeaderValue {
        let user = self.user_id.as_deref().map(text::encode).unwrap_or_default();
        self.cookie(USER, &user, if user.is_empty() { 0 } else { YEAR_S })
    }

    pub(crate) fn basket_cookie(&self) -> HeaderValue {
        let basket = self.basket.to_cookie();
        self.cookie(BASKET, &basket, if basket.is_empty() { 0 } else { YEAR_S })
    }

    pub(crate) fn order_cookie(&self) -> HeaderValue {
        let order = self.last_order.as_ref().map(Order::to_cookie).unwrap_or_default();
        self.cookie(ORDER, &order, if order.is_empty() { 0 } else { ORDER_S })
    }

    pub(crate) fn panel_cookie(&self) -> HeaderValue {
        self.cookie(PANEL, if self.is_panel_open { "open" } else { "shut" }, YEAR_S)
    }

    /// No script reads a cookie: pages carry what scripts need.
    fn cookie(&self, name: &str, value: &str, max_age_s: u32) -> HeaderValue {
        let secure = if self.is_secure { "; Secure" } else { "" };
        HeaderValue::from_str(&format!(
            "{name}={value}; Path=/; Max-Age={max_age_s}; SameSite=Lax; HttpOnly{secure}"
        ))
        .expect("cookie values are percent-encoded")
    }
}

impl Order {
    fn to_cookie(&self) -> String {
        format!("{}!{}", text::encode(&self.order_id), self.basket.to_cookie())
    }

    fn from_cookie(cookie: &str) -> Option<Self> {
        let (order_id, basket) = cookie.split_once('!')?;
        let order_id = text::decode(order_id).filter(|id| is_order_id(id))?;
        Some(Self { order_id, basket: Basket::from_cookie(basket) })
    }
}

/// Order numbers are minted here; anything else in a form or cookie was tampered with.
pub(crate) fn is_order_id(text: &str) -> bool {
    text.strip_prefix("o-").is_some_and(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()))
}

pub(crate) fn new_order_id() -> String {
    format!("o-{}", random_id())
}

/// 128 random bits, as hexadecimal digits.
pub(crate) fn random_id() -> String {
    let mut bytes = [0_u8; 16];
    rand::thread_rng().fill_bytes(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
