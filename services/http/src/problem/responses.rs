//! Failures as an operation's description names them: `responses((status = 200, …), Invalid, NotFound)`.
//!
//! Each is a reference to a response that all operations share; [`shared`] has those.

use std::collections::BTreeMap;

use utoipa::{
    IntoResponses, ToSchema,
    openapi::{
        Content, Header, Ref, RefOr, Response, ResponseBuilder,
        schema::{ObjectBuilder, Type},
    },
};

use super::{Body, Kind, PROBLEM_JSON};

macro_rules! responses {
    ($($(#[$doc:meta])* $name:ident: $($kind:ident)+;)+) => {
        $(
            $(#[$doc])*
            #[derive(Debug)]
            pub enum $name {}

            impl IntoResponses for $name {
                fn responses() -> BTreeMap<String, RefOr<Response>> {
                    [$(Kind::$kind),+].map(reference).into()
                }
            }
        )+
    };
}

responses! {
    /// The request is wrong.
    Invalid: Invalid;
    /// The body cannot be read, or says what it must not.
    BadBody: Invalid PayloadTooLarge UnsupportedMediaType;
    NotFound: NotFound;
    Expired: Expired;
    Conflict: Conflict;
    /// Part of the process is not ready, or overloaded: nothing was done, and the request may be sent again.
    NotReady: NotReady;
    /// What is behind the operation failed, is away, or is late.
    Broken: Internal NotReady Deadline;
}

fn reference(kind: Kind) -> (String, RefOr<Response>) {
    (kind.status().as_str().to_owned(), Ref::from_response_name(name(kind)).into())
}

/// The response of each status, by its name in the document.
pub(crate) fn shared() -> impl Iterator<Item = (String, Response)> {
    // Statuses that two kinds share are described by the first.
    let is_first = |kind: &Kind| Kind::of_status(kind.status()) == Some(*kind);
    Kind::ALL.into_iter().filter(is_first).map(|kind| (name(kind), response(kind)))
}

fn name(kind: Kind) -> String {
    format!("{kind:?}")
}

fn response(kind: Kind) -> Response {
    let example = Body {
        r#type: format!("/problems/{}", kind.slug()),
        title: kind.title(),
        status: kind.status().as_u16(),
        detail: None,
        instance: Some("/requests/7f3a1c".to_owned()),
    };
    let mut content = Content::new(Some(Ref::from_schema_name(Body::name())));
    content.example = Some(serde_json::to_value(example).expect("a problem serialises into memory"));
    let response = ResponseBuilder::new().description(kind.title()).content(PROBLEM_JSON, content);
    match kind {
        Kind::NotReady => {
            let seconds = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1));
            let mut header = Header::new(seconds.build());
            header.description = Some("Seconds after which to try again.".to_owned());
            response
                .description("The service is not ready, or overloaded")
                .header("retry-after", header)
                .build()
        }
        _ => response.build(),
    }
}
