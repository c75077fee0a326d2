//! JSON Schemas of what this crate writes as strings by hand; the derives beside the other types see to theirs.

use utoipa::openapi::schema::{ObjectBuilder, Type};

/// A string of 1 to `max_bytes` bytes of UTF-8 without control characters.
///
/// JSON Schema counts characters, so of the longest strings that it lets through some are still refused.
pub fn text(max_bytes: usize) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(max_bytes))
        .pattern(Some(r"^[^\u0000-\u001f\u007f-\u009f]+$"))
}
