//! The API's own description: `/openapi.json`, and `/docs` to read it and try it out.
//!
//! What is described stands beside the handlers (`#[utoipa::path]`) and the types of bodies and queries (`ToSchema`,
//! `IntoParams`). Each role has the document of its routes, and a process serves those of its roles as one ([`joined`]).

use actix_web::{
    HttpResponse,
    http::header,
    web::{self, Bytes, Data, Path, ServiceConfig},
};
use utoipa::{OpenApi, openapi::OpenApi as Described};

use crate::{
    ApiError, Kind, Problem, health,
    problem::{self, responses},
    routes::{Routes, mount},
};

const DESCRIPTION: &str = include_str!("docs/about.md");

/// Scripts and styles from here alone; the viewer's icons are `data:` addresses within its styles.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

#[derive(OpenApi)]
#[openapi(
    info(title = "Waggle", description = DESCRIPTION, license(name = "Apache-2.0", identifier = "Apache-2.0")),
    servers((url = "/")),
    components(schemas(problem::Body<'static>)),
)]
struct About;

#[derive(OpenApi)]
#[openapi(paths(document, page, file))]
struct Document;

/// The document of a process: what its roles describe, and what every process answers.
pub fn joined(roles: impl IntoIterator<Item = Described>) -> Described {
    let mut joined = About::openapi();
    let components = joined.components.get_or_insert_default();
    components.responses.extend(responses::shared().map(|(name, response)| (name, response.into())));
    let own = [health::Document::openapi(), Document::openapi()];
    roles.into_iter().chain(own).for_each(|document| joined.merge(document));
    joined
}

pub fn routes() -> Routes {
    vec![
        ("/openapi.json", vec![web::get().to(document)]),
        ("/docs", vec![web::get().to(page)]),
        ("/docs/{file}", vec![web::get().to(file)]),
    ]
}

/// Mounts the document and the page that shows it.
///
/// # Panics
/// Never: a document serialises into memory.
pub fn configure(document: &Described) -> impl FnOnce(&mut ServiceConfig) + Clone + Send + 'static {
    let json = document.to_json().expect("a document serialises into memory");
    let json = Json(Bytes::from(json));
    move |config| {
        config.app_data(Data::new(json));
        mount(config, routes());
    }
}

#[derive(Clone)]
struct Json(Bytes);

/// This description, in OpenAPI 3.1.
#[utoipa::path(
    get, path = "/openapi.json", tag = "operations", operation_id = "openapi",
    responses((status = 200, description = "The document.", body = Object)),
)]
async fn document(json: Data<Json>) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(json.0.clone())
}

/// A page to read this description and to try it out.
#[utoipa::path(
    get, path = "/docs", tag = "operations", operation_id = "docs",
    responses((status = 200, description = "The page.", body = String, content_type = "text/html")),
)]
async fn page() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .body(include_str!("docs/page.html"))
}

/// Scripts, styles and pictures of the page.
#[utoipa::path(
    get, path = "/docs/{file}", tag = "operations", operation_id = "docs_file",
    params(("file" = String, Path, description = "Name of the file.", example = "start.js")),
    responses(
        (status = 200, description = "The file; the viewer's own are compressed with gzip.", content(
            (String = "text/javascript"), (String = "text/css"), (Vec<u8> = "image/png"),
        )),
        responses::NotFound,
    ),
)]
async fn file(name: Path<String>) -> Result<HttpResponse, ApiError> {
    let Some(file) = FILES.iter().find(|file| file.name == name.as_str()) else {
        return Err(Problem::new(Kind::NotFound).detail(format_args!("no such file: {name}")).into());
    };
    let mut response = HttpResponse::Ok();
    response.content_type(file.content_type).insert_header((header::CACHE_CONTROL, "max-age=3600"));
    if file.is_gzip {
        response.insert_header((header::CONTENT_ENCODING, "gzip"));
    }
    Ok(response.body(file.bytes))
}

struct File {
    name: &'static str,
    content_type: &'static str,
    is_gzip: bool,
    bytes: &'static [u8],
}

/// Of Swagger UI, as the build took it from the crate that carries it.
macro_rules! viewer {
    ($name:literal, $content_type:literal) => {
        File {
            name: $name,
            content_type: $content_type,
            is_gzip: true,
            bytes: include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".gz")),
        }
    };
}

const FILES: [File; 4] = [
    viewer!("swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
    viewer!("swagger-ui.css", "text/css; charset=utf-8"),
    viewer!("favicon-32x32.png", "image/png"),
    File {
        name: "start.js",
        content_type: "text/javascript; charset=utf-8",
        is_gzip: false,
        bytes: include_bytes!("docs/start.js"),
    },
];
