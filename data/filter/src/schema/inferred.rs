//! Types learned from what the items hold.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value as Json};

use super::{Conflict, Entry, Schema};
use crate::property::{Field, Type, read_time};

/// Learns the types of the shop's properties from its items, and forgets with them: a catalogue that removes an item, or
/// replaces it, calls [`Inferred::forget`] with the old properties, so that one wrong item spoils a name only while it
/// is there.
///
/// - Null and an empty list say nothing about the type.
/// - A string that is an RFC 3339 time is a time, but a name that also has other strings is a string throughout.
/// - A name with two types is a [`Conflict`]: filters that use it are refused with that reason.
/// - A property with the name of one of the item's own fields can never be asked for, and is passed over.
#[derive(Debug, Clone, Default)]
pub struct Inferred {
    seen: BTreeMap<Arc<str>, Counts>,
}

/// In how many items a name has which type. Signed, so that items may be forgotten and learned in any order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    strings: i64,
    times: i64,
    numbers: i64,
    booleans: i64,
    lists: i64,
    others: i64,
}

impl Inferred {
    pub fn learn(&mut self, properties: &Map<String, Json>) {
        self.count(properties, 1);
    }

    /// Takes back what [`Inferred::learn`] made of the same properties.
    pub fn forget(&mut self, properties: &Map<String, Json>) {
        self.count(properties, -1);
    }

    /// The declared properties, and of the others what was learned.
    pub fn schema(&self, declared: &Schema) -> Schema {
        let mut schema = declared.clone();
        for (name, counts) in &self.seen {
            if !schema.custom.contains_key(name) {
                schema.custom.insert(Arc::clone(name), counts.entry(name));
            }
        }
        schema
    }

    /// What a shop has to declare or to repair, by name.
    pub fn conflicts(&self) -> impl Iterator<Item = Conflict> + '_ {
        self.seen.iter().filter_map(|(name, counts)| match counts.entry(name) {
            Entry::Unclear(conflict) => Some(conflict),
            Entry::Typed(_) => None,
        })
    }

    fn count(&mut self, properties: &Map<String, Json>, by: i64) {
        for (name, value) in properties {
            if Field::named(name).is_some() {
                continue;
            }
            let Some(pick) = counter(value) else { continue };
            if let Some(counts) = self.seen.get_mut(&**name) {
                *pick(counts) += by;
                if *counts == Counts::default() {
                    self.seen.remove(&**name);
                }
            } else {
                let mut counts = Counts::default();
                *pick(&mut counts) += by;
                self.seen.insert(Arc::from(&**name), counts);
            }
        }
    }
}

impl Counts {
    fn entry(&self, name: &Arc<str>) -> Entry {
        let (strings, times) =
            if self.strings > 0 { (self.strings + self.times, 0) } else { (0, self.times) };
        let seen: Vec<_> = [
            (Some(Type::String), strings),
            (Some(Type::Time), times),
            (Some(Type::Number), self.numbers),
            (Some(Type::Boolean), self.booleans),
            (Some(Type::Strings), self.lists),
            (None, self.others),
        ]
        .into_iter()
        .filter_map(|(kind, n)| u64::try_from(n).ok().filter(|n| *n > 0).map(|n| (kind, n)))
        .collect();
        match seen[..] {
            [(Some(kind), _)] => Entry::Typed(kind),
            _ => Entry::Unclear(Conflict { name: Arc::clone(name), seen }),
        }
    }
}

/// Which of the counters a value belongs to.
fn counter(value: &Json) -> Option<fn(&mut Counts) -> &mut i64> {
    Some(match value {
        Json::Null => return None,
        Json::Array(list) if list.is_empty() => return None,
        Json::String(text) if read_time(text).is_some() => |counts| &mut counts.times,
        Json::String(_) => |counts| &mut counts.strings,
        Json::Number(_) => |counts| &mut counts.numbers,
        Json::Bool(_) => |counts| &mut counts.booleans,
        Json::Array(list) if list.iter().all(Json::is_string) => |counts| &mut counts.lists,
        Json::Array(_) | Json::Object(_) => |counts| &mut counts.others,
    })
}
