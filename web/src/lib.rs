//! The storefront: a small gift shop that is a client of the public HTTP API, like any customer's shop would be.
//!
//! Pages are rendered here (askama, `templates/`); a few ES modules (`assets/`) report what the browser alone can see:
//! views, clicks, impressions, dismissals. What goes through a form (basket, order) is sent by the server, so the shop
//! works without scripts. Everything is embedded in the binary and nothing is loaded from anywhere else.
//!
//! The shop knows no model and no store. When the API is slow or away, a page shows what it has and says so.
//!
//! Start reading at [`configure`] and `routes.rs`; `rows.rs` turns an answer into rows with honest reasons, [`tile`]
//! draws the pictures. `README.md` lists the `data-testid`s that browser tests may rely on.

mod api;
mod assets;
mod basket;
mod events;
mod pages;
mod panel;
mod routes;
mod rows;
mod shelf;
#[cfg(test)]
mod tests;
mod text;
pub mod tile;
mod visitor;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use waggle_contracts::api::{CategoryList, UserList};

pub use routes::configure;

use crate::{api::Api, shelf::Shelf};

/// Settings of the shop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ShopConfig {
    /// Where the gateway answers, as this process reaches it.
    pub api_base: String,
    /// The name over the door.
    pub name: String,
    /// Also take `POST /v1/events` and pass it on: needed where the shop has an address of its own and no reverse proxy
    /// puts the gateway beside it, because browsers send events to the page's own origin.
    pub forward_events: bool,
}

impl Default for ShopConfig {
    fn default() -> Self {
        Self {
            api_base: "http://127.0.0.1:8080".to_owned(),
            name: "Thistle & Bee".to_owned(),
            forward_events: false,
        }
    }
}

/// Why a shop cannot open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the shop cannot open: {0}")]
pub struct ShopError(String);

/// A shop, ready to be mounted with [`configure`]. Clones share one HTTP client.
#[derive(Debug, Clone)]
pub struct Shop(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: ShopConfig,
    api: Api,
    categories: Shelf<CategoryList>,
    users: Shelf<UserList>,
}

impl Shop {
    /// # Errors
    /// What is wrong with `api_base`. Whether anybody answers there shows with the first page.
    pub fn try_new(config: ShopConfig) -> Result<Self, ShopError> {
        let api = Api::try_new(&config.api_base).map_err(ShopError)?;
        Ok(Self(Arc::new(Inner { config, api, categories: Shelf::default(), users: Shelf::default() })))
    }

    fn api(&self) -> &Api {
        &self.0.api
    }

    fn name(&self) -> &str {
        &self.0.config.name
    }
}
