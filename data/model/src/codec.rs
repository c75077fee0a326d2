//! The binary form of a log record: one version byte, then MessagePack with field names.
//!
//! Field names make additions compatible both ways: a new optional field is ignored by an older reader and absent for
//! a newer one. A change that is not an addition takes a new version byte and a decoder for the old one.

use serde::Deserialize;

use crate::Event;

/// Version byte written today.
pub const SCHEMA_VERSION: u8 = 1;

/// Largest record a reader accepts, in bytes.
pub const MAX_RECORD_BYTES: usize = 1 << 20;

/// Why bytes are not an event.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    #[error("record is empty")]
    Empty,
    #[error("record has {got} bytes, at most {MAX_RECORD_BYTES} are allowed")]
    TooLarge { got: usize },
    #[error("record has schema version {got}, this build reads {SCHEMA_VERSION}")]
    Version { got: u8 },
    #[error("record does not decode as an event")]
    Malformed(#[from] rmp_serde::decode::Error),
    #[error("record goes on behind its event")]
    Trailing,
}

pub fn encode_event(event: &Event) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    append_event(&mut bytes, event);
    bytes
}

/// Writes the record behind what is there.
pub fn append_event(bytes: &mut Vec<u8>, event: &Event) {
    bytes.push(SCHEMA_VERSION);
    rmp_serde::encode::write_named(bytes, event).expect("an event serialises into memory");
}

/// # Errors
/// [`CodecError`] for anything that [`encode_event`] of a known version did not write.
pub fn decode_event(bytes: &[u8]) -> Result<Event, CodecError> {
    if bytes.len() > MAX_RECORD_BYTES {
        return Err(CodecError::TooLarge { got: bytes.len() });
    }
    match bytes.split_first() {
        None => Err(CodecError::Empty),
        Some((&SCHEMA_VERSION, body)) => {
            let mut decoder = rmp_serde::Deserializer::from_read_ref(body);
            let event = Event::deserialize(&mut decoder)?;
            // Anything left starts with a marker byte, so failing to read a marker means the end of the record.
            match <()>::deserialize(&mut decoder) {
                Err(rmp_serde::decode::Error::InvalidMarkerRead(_)) => Ok(event),
                _ => Err(CodecError::Trailing),
            }
        }
        Some((&got, _)) => Err(CodecError::Version { got }),
    }
}

#[cfg(test)]
mod tests;
