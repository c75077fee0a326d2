//! Bodies that are worth it leave compressed, for clients that can read that.
//!
//! Only a body whose size is known and that is large and textual is worth it, whatever the route. A body that is sent
//! piece by piece is left alone, since somebody may wait for its pieces, unless the handler says otherwise
//! ([`compressible`]).

use actix_http::encoding::Encoder;
use actix_web::{
    HttpMessage as _, HttpResponse,
    body::{BodySize, BoxBody, EitherBody, MessageBody},
    dev::ServiceResponse,
    http::{
        Version,
        header::{self, AcceptEncoding, ContentEncoding, HeaderMap, HeaderValue},
    },
};

/// Smaller bodies stay as they are. Such a body is one to three packets: compressing it takes longer than sending the
/// bytes that it saves over anything faster than 100 Mbit/s.
const MIN_BYTES: u64 = 4_096;

/// Said by a handler of a body that is sent piece by piece and that nobody reads before its end.
struct Compressible;

/// Lets a body be compressed that is sent piece by piece.
#[must_use]
pub fn compressible(mut response: HttpResponse) -> HttpResponse {
    response.extensions_mut().insert(Compressible);
    response
}

/// Compresses the body if that is worth it and the client asked for it.
pub(crate) fn compressed<B: MessageBody + 'static>(
    mut response: ServiceResponse<EitherBody<B, BoxBody>>,
) -> ServiceResponse<EitherBody<B, BoxBody>> {
    if !is_worth_it(&response) {
        return response;
    }
    match encoding_for(&response) {
        Some(encoding) => {
            weaken_etag(response.headers_mut());
            // Names the encoding in the headers, and that it depends on what the client accepts.
            response.map_body(|head, body| {
                EitherBody::right(BoxBody::new(Encoder::response(encoding, head, body)))
            })
        }
        None => {
            let headers = response.headers_mut();
            headers.append(header::VARY, HeaderValue::from_static("accept-encoding"));
            response
        }
    }
}

fn is_worth_it<B: MessageBody>(response: &ServiceResponse<B>) -> bool {
    let is_large = match response.response().body().size() {
        BodySize::Sized(n_bytes) => n_bytes >= MIN_BYTES,
        BodySize::Stream => response.response().extensions().contains::<Compressible>(),
        BodySize::None => false,
    };
    is_large
        && !response.headers().contains_key(header::CONTENT_ENCODING)
        && response.headers().get(header::CONTENT_TYPE).is_some_and(is_text)
}

fn is_text(content_type: &HeaderValue) -> bool {
    let kind = content_type.to_str().unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.ends_with("json")
        || kind.ends_with("xml")
        || (kind.starts_with("text/") && kind != "text/event-stream")
        || matches!(kind, "application/javascript" | "application/x-ndjson")
}

/// zstd where the client takes it as gladly as gzip: as small, in a third of the time.
fn encoding_for<B>(response: &ServiceResponse<B>) -> Option<ContentEncoding> {
    let request = response.request();
    // Before 1.1 a body has to have a known length.
    if request.version() < Version::HTTP_11 {
        return None;
    }
    let AcceptEncoding(accepted) = request.get_header::<AcceptEncoding>()?;
    let of = |encoding: ContentEncoding| {
        let named = accepted.iter().find(|wish| wish.item.to_string() == encoding.as_str());
        named.map(|wish| wish.quality).filter(|quality| *quality > header::Quality::ZERO)
    };
    let offered = [ContentEncoding::Gzip, ContentEncoding::Zstd];
    let wished = offered.into_iter().filter_map(|encoding| Some((of(encoding)?, encoding)));
    // Of equals the last one.
    wished.max_by_key(|(quality, _)| *quality).map(|(_, encoding)| encoding)
}

/// The same thing in other bytes.
fn weaken_etag(headers: &mut HeaderMap) {
    let strong = headers.get(header::ETAG).and_then(|etag| etag.to_str().ok());
    if let Some(strong) = strong.filter(|etag| !etag.starts_with("W/"))
        && let Ok(weak) = HeaderValue::try_from(format!("W/{strong}"))
    {
        headers.insert(header::ETAG, weak);
    }
}
