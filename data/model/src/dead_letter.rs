//! What could not be understood, kept with the reason so that nobody has to guess and it can be sent again.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{CodecError, Timestamp};

/// Version byte of a letter written today.
const VERSION: u8 = 1;
/// What a note begins with, where a letter has its version.
const RETRIED: u8 = 2;

/// Most bytes of the original that are kept.
pub const MAX_DEAD_LETTER_BYTES: usize = 256 * 1024;
/// Most bytes of a reason, and of a record's key: both may quote what came, and a letter has to fit into the log.
const MAX_REASON_BYTES: usize = 2 * 1024;
const MAX_KEY_BYTES: usize = 4 * 1024;

/// A record of the dead-letter topic.
#[derive(Debug, Clone, PartialEq)]
pub enum DeadLetterRecord {
    Letter(DeadLetter),
    /// Letters before it were sent again.
    Retried(Retried),
}

/// The note that letters were sent again and taken in, so that nobody sends them once more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retried {
    pub at: Timestamp,
    /// Partition and offset of each, in the dead-letter topic.
    pub letters: Vec<(u32, u64)>,
}

/// What was set aside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// One sentence; a very long one is cut.
    pub reason: String,
    pub origin: DeadLetterOrigin,
    /// When it was set aside.
    pub at: Timestamp,
    /// The bytes as they came, at most [`MAX_DEAD_LETTER_BYTES`] of them.
    pub payload: Bytes,
    /// Not all of the original was kept.
    pub is_truncated: bool,
}

/// Where it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadLetterOrigin {
    /// An element of a client's request, 0-based.
    Request { index: usize },
    /// A record of a topic that others fill.
    Source {
        /// Its full name.
        topic: String,
        partition: u32,
        offset: u64,
        /// The record's key, and the time that the broker kept beside it: a mapping may read them.
        key: Option<Bytes>,
        timestamp: Timestamp,
    },
    /// A record of the log.
    Log { topic: String, partition: u32, offset: u64 },
}

impl DeadLetter {
    pub fn new(
        reason: impl Into<String>,
        mut origin: DeadLetterOrigin,
        at: Timestamp,
        original: &Bytes,
    ) -> Self {
        let kept = original.len().min(MAX_DEAD_LETTER_BYTES);
        let is_key_cut = match &mut origin {
            DeadLetterOrigin::Source { key: Some(key), .. } if key.len() > MAX_KEY_BYTES => {
                *key = Bytes::copy_from_slice(&key[..MAX_KEY_BYTES]);
                true
            }
            _ => false,
        };
        Self {
            reason: shortened(reason.into()),
            origin,
            at,
            // A copy: a slice would keep the whole request alive for as long as the letter.
            payload: Bytes::copy_from_slice(&original[..kept]),
            is_truncated: kept < original.len() || is_key_cut,
        }
    }

    /// One version byte, then MessagePack with field names, like an event.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.payload.len() + self.reason.len() + 128);
        bytes.push(VERSION);
        rmp_serde::encode::write_named(&mut bytes, self).expect("a dead letter serialises into memory");
        bytes
    }

    /// # Errors
    /// [`CodecError`] for anything that [`encode`](Self::encode) of a known version did not write.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        match DeadLetterRecord::decode(bytes)? {
            DeadLetterRecord::Letter(letter) => Ok(letter),
            DeadLetterRecord::Retried(_) => Err(CodecError::Version { got: RETRIED }),
        }
    }
}

fn shortened(mut reason: String) -> String {
    if reason.len() > MAX_REASON_BYTES {
        reason.truncate(reason.floor_char_boundary(MAX_REASON_BYTES));
        reason.push('…');
    }
    reason
}

impl Retried {
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![RETRIED];
        rmp_serde::encode::write_named(&mut bytes, self).expect("a note serialises into memory");
        bytes
    }
}

impl DeadLetterRecord {
    /// # Errors
    /// [`CodecError`] for what is neither a letter nor a note.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        match bytes.split_first() {
            None => Err(CodecError::Empty),
            Some((&VERSION, body)) => Ok(Self::Letter(rmp_serde::from_slice(body)?)),
            Some((&RETRIED, body)) => Ok(Self::Retried(rmp_serde::from_slice(body)?)),
            Some((&got, _)) => Err(CodecError::Version { got }),
        }
    }
}

#[cfg(test)]
mod tests;
