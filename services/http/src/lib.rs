//! The plumbing of every HTTP role: how it listens, stops, fails, and is watched. It knows no domain.
//!
//! - [`server`]: [`bind`] and [`serve`], with what every role's requests go through (ids, tracing, metrics, headers).
//! - [`problem`]: how a request fails ([`Problem`], RFC 9457), whoever noticed: a handler, an extractor or the router.
//! - [`object`]: bodies that must be JSON objects.
//! - [`compression`]: large bodies leave compressed.
//! - [`routes`]: tables of routes, and how they are mounted. [`docs`]: `/openapi.json`, and `/docs` to read and try it.
//! - [`health`]: `/healthz`, `/readyz`, `/metrics`; [`Readiness`] collects what a start still waits for.
//!
//! A role gives its routes as a closure over [`actix_web::web::ServiceConfig`].

pub mod compression;
pub mod docs;
pub mod health;
pub mod object;
pub mod problem;
pub mod request_id;
pub mod routes;
pub mod server;
pub mod telemetry;

pub use compression::compressible;
pub use health::Readiness;
pub use object::Object;
pub use problem::{ApiError, Kind, PROBLEM_JSON, Problem};
pub use request_id::RequestId;
pub use routes::{Routes, mount};
pub use server::{BindError, JSON_LIMIT_BYTES, ServerOptions, bind, serve};
