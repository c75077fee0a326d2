//! Every route of the public API in one table. `POST /v1/events` belongs to ingest, which mounts it itself where both
//! roles share a process.

mod answers;
mod items;
mod person_export;
mod profile;
mod query;
mod recommendations;
mod search;
mod users;

use std::sync::Arc;

use actix_web::web::{self, ServiceConfig, delete, get, patch, post, put};
use utoipa::OpenApi;
use waggle_http::{Routes, mount};

use crate::App;

/// Describes what [`configure`] mounts.
#[derive(OpenApi)]
#[openapi(
    paths(
        recommendations::get,
        recommendations::post,
        recommendations::trending,
        recommendations::similar,
        answers::get,
        answers::explanation,
        search::get,
        search::post,
        items::categories,
        items::list,
        items::batch,
        items::get,
        items::put,
        items::patch,
        items::delete,
        profile::get,
        users::list,
        users::get,
        users::put,
        users::delete,
        users::erasure,
        person_export::get,
        users::merge,
    ),
    tags(
        (name = "recommendations", description = "Lists of items that Waggle chose, and why it did."),
        (name = "catalogue", description = "What may be recommended and found."),
        (name = "people", description = "What is known about people, and their right to be told and forgotten."),
    ),
)]
pub struct Document;

pub fn routes() -> Routes {
    vec![
        ("/v1/recommendations", vec![get().to(recommendations::get), post().to(recommendations::post)]),
        ("/v1/answers/{id}", vec![get().to(answers::get)]),
        ("/v1/explain", vec![get().to(answers::explanation)]),
        ("/v1/trending", vec![get().to(recommendations::trending)]),
        ("/v1/search", vec![get().to(search::get), post().to(search::post)]),
        ("/v1/categories", vec![get().to(items::categories)]),
        ("/v1/items", vec![get().to(items::list), post().to(items::batch)]),
        (
            "/v1/items/{id}",
            vec![
                get().to(items::get),
                put().to(items::put),
                patch().to(items::patch),
                delete().to(items::delete),
            ],
        ),
        ("/v1/items/{id}/similar", vec![get().to(recommendations::similar)]),
        ("/v1/profile", vec![get().to(profile::get)]),
        ("/v1/users", vec![get().to(users::list)]),
        ("/v1/users/{id}", vec![get().to(users::get), put().to(users::put), delete().to(users::delete)]),
        ("/v1/users/{id}/erasure", vec![get().to(users::erasure)]),
        ("/v1/users/{id}/export", vec![get().to(person_export::get)]),
        ("/v1/users/{id}/merge", vec![post().to(users::merge)]),
    ]
}

/// Mounts the API.
pub fn configure(app: Arc<App>) -> impl FnOnce(&mut ServiceConfig) + Clone {
    move |config| {
        config.app_data(web::Data::from(app));
        mount(config, routes());
    }
}
