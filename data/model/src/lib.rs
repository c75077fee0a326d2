//! The domain's words as types, and the event schema with its version.
//!
//! Everything that two parts of Waggle must agree on by name lives here: identities ([`ids`]), time ([`time`]), what
//! is in the log ([`event`], [`signal`], [`answer`], [`catalog`]) and where ([`partition`]), what a request-time answer is made of ([`candidate`]), the
//! public JSON form of an event ([`wire`]) and the versioned binary form of a log record ([`codec`], and
//! [`dead_letter`] for what is not one). What is public carries its JSON Schema ([`schema`]).
//!
//! No I/O and no clock beyond [`Timestamp::now`]. Start reading at [`event::Event`].

pub mod answer;
pub mod candidate;
pub mod catalog;
pub mod codec;
pub mod dead_letter;
pub mod event;
pub mod ids;
mod lent;
pub mod partition;
pub mod schema;
pub mod signal;
pub mod time;
pub mod wire;

pub use answer::{Answer, AnsweredItem, AppliedRule, Placement, Rung, Watermark};
pub use candidate::{CandidateSource, Scored, SeenRule, SourceScore};
pub use catalog::{CatalogChange, Item};
pub use codec::{CodecError, SCHEMA_VERSION, decode_event, encode_event};
pub use dead_letter::{DeadLetter, DeadLetterOrigin, DeadLetterRecord, Retried};
pub use event::{Event, EventBody, Impression, Interaction, InteractionKind, Person, UserChange};
pub use ids::{
    AnswerId, EventId, IdError, ItemId, ItemIdx, ItemKey, KeyMap, PersonKey, SessionId, SnapshotVersion,
    UserId,
};
pub use partition::partition_of;
pub use signal::{CountsAs, Signal};
pub use time::Timestamp;
