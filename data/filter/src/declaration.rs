//! Types that a shop has declared for its properties, and what does not fit them.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use waggle_model::{Item, ItemId};

use crate::{
    Property, Schema, SchemaError, Type, Value,
    error::{cut, suggestion},
    nearest::nearest,
};

/// Items that are named of those that do not fit.
const MAX_NAMED: usize = 5;

/// `[catalog]` of the configuration: what the shop says of its items' own properties.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Declaration {
    /// Whether an item with a property that is not declared is refused.
    pub strict: bool,
    /// Types by name.
    pub properties: BTreeMap<String, Type>,
}

impl Declaration {
    /// The declared types, for filters.
    ///
    /// # Errors
    /// The first name that cannot be declared.
    pub fn schema(&self) -> Result<Schema, SchemaError> {
        let mut declared = self.properties.iter();
        declared.try_fold(Schema::builtin(), |schema, (name, kind)| schema.with(name.as_str(), *kind))
    }

    /// Whether an item may come in with these properties. Null is absent, and fits every type.
    ///
    /// # Errors
    /// The first property that does not fit.
    pub fn check(&self, properties: &Map<String, Json>) -> Result<(), Misfit> {
        for (name, value) in properties {
            match self.properties.get(name) {
                Some(wanted) if !value.is_null() && Value::read(*wanted, value).is_none() => {
                    return Err(Misfit::Mistyped { name: cut(name), wanted: *wanted, got: told(value) });
                }
                Some(_) => {}
                None if self.strict => {
                    let nearest = nearest(name, self.properties.keys().map(String::as_str));
                    return Err(Misfit::Undeclared { name: cut(name), nearest: nearest.map(str::to_owned) });
                }
                None => {}
            }
        }
        Ok(())
    }
}

/// Why an item's properties are not what was declared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    #[error("property `{name}` is declared as a {wanted}, got {got}{}", example(*.wanted))]
    Mistyped { name: String, wanted: Type, got: String },
    #[error(
        "property `{name}` is not declared{}; with catalog.strict every property must be",
        suggestion(.nearest.as_deref())
    )]
    Undeclared { name: String, nearest: Option<String> },
}

fn example(wanted: Type) -> &'static str {
    match wanted {
        Type::Time => "; a time is written like \"2026-01-31T12:00:00Z\"",
        Type::String | Type::Number | Type::Boolean | Type::Strings => "",
    }
}

/// The value, with its type where it does not show.
fn told(value: &Json) -> String {
    match value {
        Json::Null => "null".to_owned(),
        Json::Bool(value) => format!("the boolean {value}"),
        Json::Number(number) => format!("the number {number}"),
        Json::String(text) => format!("the string \"{}\"", cut(text)),
        Json::Array(list) if list.iter().all(Json::is_string) => "a list of strings".to_owned(),
        Json::Array(_) => "a list of other things than strings".to_owned(),
        Json::Object(_) => "an object".to_owned(),
    }
}

/// Stored items that do not fit what was declared since. Filters take their values for absent.
#[derive(Debug, Clone)]
pub struct Misfits {
    declared: Vec<(Property, OfProperty)>,
}

#[derive(Debug, Clone, Default)]
struct OfProperty {
    n_items: u64,
    named: Vec<ItemId>,
}

impl Misfits {
    /// None yet.
    pub fn of(declared: &Schema) -> Self {
        let custom = declared.properties().filter(|property| matches!(property, Property::Custom { .. }));
        Self { declared: custom.map(|property| (property, OfProperty::default())).collect() }
    }

    /// Takes an item into account.
    pub fn look_at(&mut self, item: &Item) {
        for (property, found) in &mut self.declared {
            let is_there = item.properties.get(property.name()).is_some_and(|value| !value.is_null());
            if is_there && property.value(item).is_none() {
                found.n_items += 1;
                if found.named.len() < MAX_NAMED {
                    found.named.push(item.item_id.clone());
                }
            }
        }
    }

    /// One sentence for each property that some items hold as something else, with the first of those items.
    pub fn told(&self) -> impl Iterator<Item = String> + '_ {
        self.declared.iter().filter(|(_, found)| found.n_items > 0).map(|(property, found)| {
            let OfProperty { n_items, named } = found;
            let names = Names { named, n_items: *n_items };
            let (items, hold) = if *n_items == 1 { ("item", "holds") } else { ("items", "hold") };
            let (name, kind) = (cut(property.name()), property.kind());
            format!("property `{name}` is declared as a {kind}, and {n_items} {items} {hold} something else: {names}")
        })
    }
}

/// Some ids, and that there are more.
struct Names<'a> {
    named: &'a [ItemId],
    n_items: u64,
}

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, id) in self.named.iter().enumerate() {
            write!(f, "{}{id}", if at == 0 { "" } else { ", " })?;
        }
        if self.n_items > self.named.len() as u64 { f.write_str(", …") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
