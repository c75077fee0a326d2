//! Tables of routes.

use actix_web::{
    Route,
    web::{self, ServiceConfig},
};

/// What answers where: each path with its methods, in the order in which they are asked.
///
/// A table can be read as well as mounted, so a test can hold it beside the document that describes it ([`docs`](crate::docs)).
pub type Routes = Vec<(&'static str, Vec<Route>)>;

/// Mounts each path as a resource, which answers 405 with `Allow` for other methods, where `App::route` would say 404.
pub fn mount(config: &mut ServiceConfig, routes: Routes) {
    for (path, routes) in routes {
        config.service(routes.into_iter().fold(web::resource(path), actix_web::Resource::route));
    }
}
