//! Identities. Outside they are strings; state holds a stable 64-bit key; a matrix row is an [`ItemIdx`].

use std::{
    borrow::Borrow,
    collections::HashMap,
    fmt,
    hash::{BuildHasherDefault, Hasher},
    sync::Arc,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::{lent::Lent, schema};

/// Longest accepted identifier, in bytes of UTF-8.
pub const MAX_ID_BYTES: usize = 256;

/// Seeds of the 64-bit keys. They are part of the stored format: changing one orphans all stored state.
const ITEM_SEED: u64 = 0x17e6;
const USER_SEED: u64 = 0x05e7;
const SESSION_SEED: u64 = 0x5e55;

/// Why a string is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    #[error("{kind} is empty")]
    Empty { kind: &'static str },
    #[error("{kind} has {got} bytes, at most {MAX_ID_BYTES} are allowed")]
    TooLong { kind: &'static str, got: usize },
    #[error("{kind} contains a control character")]
    Control { kind: &'static str },
}

macro_rules! string_id {
    ($(#[doc = $doc:literal])* $name:ident, $kind:literal) => {
        $(#[doc = $doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks the string: 1 to [`MAX_ID_BYTES`] bytes, no control characters.
            ///
            /// # Errors
            /// [`IdError`] says which rule the string breaks.
            pub fn try_new(id: impl AsRef<str>) -> Result<Self, IdError> {
                let id = id.as_ref();
                if id.is_empty() {
                    return Err(IdError::Empty { kind: $kind });
                }
                if id.len() > MAX_ID_BYTES {
                    return Err(IdError::TooLong { kind: $kind, got: id.len() });
                }
                if id.chars().any(char::is_control) {
                    return Err(IdError::Control { kind: $kind });
                }
                Ok(Self(Arc::from(id)))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let Lent(id) = Lent::deserialize(deserializer)?;
                Self::try_new(id).map_err(de::Error::custom)
            }
        }

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let says = concat!($($doc),*).trim_start();
                let limits = format!("{says} 1 to {MAX_ID_BYTES} bytes of UTF-8 without control characters.");
                schema::text(MAX_ID_BYTES).description(Some(limits)).into()
            }
        }

        impl ToSchema for $name {}

        impl std::str::FromStr for $name {
            type Err = IdError;
            fn from_str(id: &str) -> Result<Self, IdError> {
                Self::try_new(id)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({:?})", stringify!($name), &*self.0)
            }
        }
    };
}

string_id!(
    /// A product, article, film … as the shop names it.
    ItemId, "item_id");
string_id!(
    /// A known person as the shop names them.
    UserId, "user_id");
string_id!(
    /// An anonymous visit.
    SessionId, "session_id");
string_id!(
    /// Chosen by the client; makes a retry of the same event harmless.
    EventId, "event_id");
string_id!(
    /// Names one served answer; minted by the gateway.
    AnswerId, "answer_id");
string_id!(
    /// Names one published snapshot. Versions sort by time of publishing.
    SnapshotVersion, "snapshot version");

/// Stable 64-bit key of an [`ItemId`] in state and history (XXH3, fixed seed).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ItemKey(pub u64);

/// A map by [`ItemKey`]. Keys are hashes already and are not hashed again.
pub type KeyMap<V> = HashMap<ItemKey, V, BuildHasherDefault<KeyHasher>>;

/// Takes a 64-bit key as its own hash.
#[derive(Debug, Clone, Copy, Default)]
pub struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }
}

impl ItemId {
    pub fn key(&self) -> ItemKey {
        ItemKey::of(self.as_str())
    }
}

impl ItemKey {
    /// The key of an [`ItemId`] that is kept as text.
    pub fn of(id: &str) -> Self {
        Self(xxh3_64_with_seed(id.as_bytes(), ITEM_SEED))
    }
}

/// Stable 64-bit key of the person an event belongs to: a user, or a session nobody has claimed.
///
/// Users and sessions hash with different seeds, so equal strings of the two kinds never meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PersonKey(pub u64);

impl UserId {
    pub fn key(&self) -> PersonKey {
        PersonKey(xxh3_64_with_seed(self.as_str().as_bytes(), USER_SEED))
    }
}

impl SessionId {
    pub fn key(&self) -> PersonKey {
        PersonKey(xxh3_64_with_seed(self.as_str().as_bytes(), SESSION_SEED))
    }
}

/// Row of an item in the matrices of one snapshot. Meaningless without that snapshot's vocabulary, so it never enters
/// log, state or archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ItemIdx(pub u32);

impl ItemIdx {
    /// # Panics
    /// If `row` does not fit 32 bits; matrices are bounded far below that.
    pub fn from_row(row: usize) -> Self {
        Self(u32::try_from(row).expect("a matrix has fewer than 2^32 rows"))
    }

    pub fn row(self) -> usize {
        self.0 as usize
    }
}

#[cfg(test)]
mod tests;
