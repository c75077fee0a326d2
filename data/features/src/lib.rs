//! Each feature once: the state it keeps, what an event does to that state, and its value at a time `t`.
//!
//! Serving and training run the same code. The online fold ([`fold`]) reads an event and the states it names, and writes
//! those states back; training replays the archive through the same fold, so the value a ranker learns from is the
//! value it will meet. A fold reads only the event and the state: no clock, no randomness, no I/O.
//!
//! - [`person`]: what one person did ([`PersonState`]).
//! - [`item`]: decayed counters of one item ([`ItemState`]). Exponential decay is linear, so the counter of a category
//!   *is* the sum of its items' counters and needs no state of its own.
//! - [`admission`]: which records of the log count at all.
//! - [`fold`]: which states an event touches, and how.
//! - [`dedup`]: which events are repetitions, decided alike by every consumer of the log.
//! - [`live`]: what is trending and what is new, from the items' counters.
//! - [`session`]: what the person is busy with right now.
//! - [`ranking`]: the feature vector of one candidate for one person.

pub mod admission;
pub mod decay;
pub mod dedup;
pub mod fold;
pub mod item;
pub mod live;
pub mod person;
pub mod ranking;
pub mod session;
#[cfg(test)]
mod testing;

pub use admission::Admission;
pub use decay::Decayed;
pub use dedup::DedupWindow;
pub use fold::{StateRef, fold, touched};
pub use item::ItemState;
pub use live::LiveLists;
pub use person::{ItemHistory, PersonState, RecentEvent, RecentKind};
pub use ranking::{CandidateInput, FEATURES, ItemAttributes, Opinion, PersonContext};
pub use session::{SessionItem, session_items};

/// Why stored bytes are not a state.
#[derive(Debug, thiserror::Error)]
pub enum StateDecodeError {
    #[error("state is empty")]
    Empty,
    #[error("state has version {got}, this build reads {expected}")]
    Version { got: u8, expected: u8 },
    #[error("state does not decode")]
    Malformed(#[from] rmp_serde::decode::Error),
}

/// One version byte, then the fields in order (MessagePack arrays: compact, and exact for floats).
fn encode_versioned<T: serde::Serialize>(version: u8, state: &T) -> Vec<u8> {
    let mut bytes = vec![version];
    rmp_serde::encode::write(&mut bytes, state).expect("a state serialises into memory");
    bytes
}

fn decode_versioned<T: serde::de::DeserializeOwned>(
    expected: u8,
    bytes: &[u8],
) -> Result<T, StateDecodeError> {
    match bytes.split_first() {
        None => Err(StateDecodeError::Empty),
        Some((&got, body)) if got == expected => Ok(rmp_serde::from_slice(body)?),
        Some((&got, _)) => Err(StateDecodeError::Version { got, expected }),
    }
}
