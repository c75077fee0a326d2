//! Values of a query, with messages that name the parameter: what serde says about a number does not.

use std::{fmt::Display, str::FromStr};

use actix_web::{HttpRequest, http::header};
use serde::{
    Deserialize,
    de::{IntoDeserializer, value},
};
use waggle_http::ApiError;

use crate::error::invalid;

/// # Errors
/// Names the parameter and what it holds.
pub(super) fn number<T: FromStr<Err: Display>>(
    name: &str,
    text: Option<&str>,
) -> Result<Option<T>, ApiError> {
    text.map(|text| text.parse().map_err(|e| invalid(format!("{name} is \"{}\": {e}", text.escape_debug()))))
        .transpose()
}

/// `true` or `false`; absent is false.
///
/// # Errors
/// Names the parameter and what it holds.
pub(super) fn flag(name: &str, text: Option<&str>) -> Result<bool, ApiError> {
    match text {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => {
            Err(invalid(format!("{name} is \"{}\", it must be true or false", other.escape_debug())))
        }
    }
}

/// One of the names of `T`; absent is its default.
///
/// # Errors
/// Names the parameter, what it holds, and the names.
pub(super) fn choice<'q, T: Deserialize<'q> + Default>(
    name: &str,
    text: Option<&'q str>,
) -> Result<T, ApiError> {
    let Some(text) = text else { return Ok(T::default()) };
    T::deserialize(text.into_deserializer())
        .map_err(|e: value::Error| invalid(format!("{name} is \"{}\": {e}", text.escape_debug())))
}

/// A list, comma-separated.
pub(super) fn listed(text: Option<&str>) -> Vec<String> {
    text.into_iter().flat_map(|text| text.split(',')).map(ToOwned::to_owned).collect()
}

/// Whether the client wants an answer that is computed now.
pub(super) fn is_uncached(request: &HttpRequest) -> bool {
    request
        .headers()
        .get_all(header::CACHE_CONTROL)
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.split(',').any(|directive| directive.trim().eq_ignore_ascii_case("no-store")))
}
