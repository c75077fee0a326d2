//! Each feature once: the state it keeps, what an event does to that state, and its value at a time `t`.
//!
//! Serving and training run the same code. The online fold ([`fold`]) reads an event and the states it names, and writes
//! those states back; training replays the archive through the same fold, so the value a ranker learns from is the
//! value it will meet. A fold reads only the event and the state: no clock, no randomness, no I/O.
//!
//! - [`person`]: what one person did ([`PersonState`]), and how much of it counts for the items in a day.
//! - [`item`]: counters of one item ([`ItemState`]): decayed, by day, by placement, and what it is acted on together with.
//!   Exponential decay is linear, so the counter of a category *is* the sum of its items' counters and needs no state of
//!   its own; the same holds for daily counts.
//! - [`admission`]: which records of the log count at all; [`dedup`]: which of them are repetitions.
//! - [`fold`]: which states an event touches, and how.
//! - [`expiry`]: how long states are kept, decided by log position.
//! - [`live`]: what is trending and what is new, from the items' counters.
//! - [`opinions`]: what the candidate sources say of one item.
//! - [`session`]: what the person is busy with right now.
//! - [`ranking`]: the feature vector of one candidate for one person.
//! - [`states`]: all states in memory.

pub mod admission;
mod codec;
pub mod decay;
pub mod dedup;
pub mod expiry;
pub mod fold;
pub mod item;
pub mod live;
pub mod opinions;
pub mod person;
pub mod ranking;
pub mod session;
pub mod states;
#[cfg(test)]
mod testing;

use waggle_model::Timestamp;

pub use admission::Admission;
pub use codec::StateDecodeError;
pub use decay::Decayed;
pub use dedup::DedupWindow;
pub use expiry::{FoldPolicy, FoldRecord};
pub use fold::{fold, touched_items, touched_person};
pub use item::{ItemFacts, ItemState};
pub use live::{LiveLists, LiveListsBuilder, NEW_DAYS};
pub use opinions::{Opinion, Opinions};
pub use person::{ItemHistory, PersonState, RecentEvent, RecentKind};
pub use ranking::{CandidateInput, FEATURES, ItemAttributes, PersonContext};
pub use session::{SessionItem, session_items};
pub use states::MemoryStates;

pub(crate) const DAY_MS: i64 = 86_400_000;

/// The UTC day of a time, counted from 1970-01-01.
pub(crate) fn day_of(time: Timestamp) -> i64 {
    time.as_millis().div_euclid(DAY_MS)
}
