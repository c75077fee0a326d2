//! Styles and scripts, embedded and addressed by the hash of their content, so that browsers may keep them for good.

use std::sync::LazyLock;

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use sha2::{Digest as _, Sha256};

const JS: &str = "text/javascript; charset=utf-8";

/// One embedded file.
struct Asset {
    name: &'static str,
    kind: &'static str,
    content: &'static str,
}

/// The modules import each other by name, so they share one version: that of all assets together.
const ASSETS: [Asset; 6] = [
    Asset { name: "shop.css", kind: "text/css; charset=utf-8", content: include_str!("../assets/shop.css") },
    Asset { name: "shop.js", kind: JS, content: include_str!("../assets/shop.js") },
    Asset { name: "events.js", kind: JS, content: include_str!("../assets/events.js") },
    Asset { name: "panel.js", kind: JS, content: include_str!("../assets/panel.js") },
    Asset { name: "bee.svg", kind: "image/svg+xml", content: include_str!("../assets/bee.svg") },
    Asset {
        name: "manifest.webmanifest",
        kind: "application/manifest+json",
        content: include_str!("../assets/manifest.webmanifest"),
    },
];

static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut hasher = Sha256::new();
    for asset in &ASSETS {
        hasher.update(asset.content);
    }
    hasher.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
});

/// `/assets/{version}/{name}`.
pub(crate) fn url(name: &str) -> String {
    format!("/assets/{}/{name}", *VERSION)
}

/// `GET /assets/{version}/{name}`. A page of an older release may still ask with its version: it gets today's file, not
/// to be kept.
pub(crate) async fn serve(request: HttpRequest, path: web::Path<(String, String)>) -> HttpResponse {
    let (version, name) = path.into_inner();
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else {
        return HttpResponse::NotFound().content_type("text/plain; charset=utf-8").body("no such asset");
    };
    let etag = format!("\"{}\"", *VERSION);
    let is_current = version == *VERSION;
    let cache = if is_current { "public, max-age=31536000, immutable" } else { "no-cache" };
    let known = request.headers().get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    // Weak where it was sent compressed.
    if known.map(|known| known.trim_start_matches("W/")) == Some(etag.as_str()) {
        return HttpResponse::NotModified().insert_header((header::ETAG, etag)).finish();
    }
    HttpResponse::Ok()
        .content_type(asset.kind)
        .insert_header((header::CACHE_CONTROL, cache))
        .insert_header((header::ETAG, etag))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(asset.content)
}
