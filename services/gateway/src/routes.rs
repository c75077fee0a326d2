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

use actix_web::web::{self, ServiceConfig};

use crate::App;

/// Mounts the API.
pub fn configure(app: Arc<App>) -> impl FnOnce(&mut ServiceConfig) + Clone {
    move |config| {
        config
            .app_data(web::Data::from(app))
            .service(
                web::resource("/v1/recommendations")
                    .route(web::get().to(recommendations::get))
                    .route(web::post().to(recommendations::post)),
            )
            .service(web::resource("/v1/answers/{id}").route(web::get().to(answers::get)))
            .service(web::resource("/v1/explain").route(web::get().to(answers::explanation)))
            .service(web::resource("/v1/trending").route(web::get().to(recommendations::trending)))
            .service(web::resource("/v1/search").route(web::get().to(search::search)))
            .service(web::resource("/v1/categories").route(web::get().to(items::categories)))
            .service(
                web::resource("/v1/items")
                    .route(web::get().to(items::list))
                    .route(web::post().to(items::batch)),
            )
            .service(
                web::resource("/v1/items/{id}")
                    .route(web::get().to(items::get))
                    .route(web::put().to(items::put))
                    .route(web::patch().to(items::patch))
                    .route(web::delete().to(items::delete)),
            )
            .service(web::resource("/v1/items/{id}/similar").route(web::get().to(recommendations::similar)))
            .service(web::resource("/v1/profile").route(web::get().to(profile::get)))
            .service(web::resource("/v1/users").route(web::get().to(users::list)))
            .service(
                web::resource("/v1/users/{id}")
                    .route(web::get().to(users::get))
                    .route(web::put().to(users::put))
                    .route(web::delete().to(users::delete)),
            )
            .service(web::resource("/v1/users/{id}/erasure").route(web::get().to(users::erasure)))
            .service(web::resource("/v1/users/{id}/export").route(web::get().to(person_export::get)))
            .service(web::resource("/v1/users/{id}/merge").route(web::post().to(users::merge)));
    }
}
