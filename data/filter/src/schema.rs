//! Which properties there are, and of which types.

mod inferred;

use std::{collections::BTreeMap, fmt, sync::Arc};

pub use inferred::Inferred;

use crate::{
    error::cut,
    nearest::nearest,
    property::{Field, Property, Type},
};

/// The names that a filter may use.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Schema {
    custom: BTreeMap<Arc<str>, Entry>,
}

#[derive(Debug, Clone, PartialEq)]
enum Entry {
    Typed(Type),
    Unclear(Conflict),
}

impl Schema {
    /// The item's own fields and nothing else.
    pub fn builtin() -> Self {
        Self::default()
    }

    /// Adds one of the shop's properties, or changes its type.
    ///
    /// # Errors
    /// The name is empty, or that of one of the item's own fields, whose types stand.
    pub fn with(mut self, name: impl Into<Arc<str>>, kind: Type) -> Result<Self, SchemaError> {
        let name = name.into();
        if name.is_empty() {
            return Err(SchemaError::Unnamed);
        }
        if let Some(field) = Field::named(&name) {
            return Err(SchemaError::Field { name: field.name(), kind: field.kind() });
        }
        self.custom.insert(name, Entry::Typed(kind));
        Ok(self)
    }

    /// The property of this name, unless there is none or its type is unclear.
    pub fn property(&self, name: &str) -> Option<Property> {
        self.resolve(name).ok()
    }

    /// Every property with a clear type: the fields, then the shop's by name.
    pub fn properties(&self) -> impl Iterator<Item = Property> + '_ {
        let custom = self.custom.iter().filter_map(|(name, entry)| match entry {
            Entry::Typed(kind) => Some(Property::Custom { name: Arc::clone(name), kind: *kind }),
            Entry::Unclear(_) => None,
        });
        Field::ALL.into_iter().map(Property::Field).chain(custom)
    }

    pub(crate) fn resolve(&self, name: &str) -> Result<Property, Unresolved> {
        if let Some(field) = Field::named(name) {
            return Ok(Property::Field(field));
        }
        match self.custom.get_key_value(name) {
            Some((name, Entry::Typed(kind))) => Ok(Property::Custom { name: Arc::clone(name), kind: *kind }),
            Some((_, Entry::Unclear(conflict))) => Err(Unresolved::Unclear(conflict.clone())),
            None => {
                let fields = Field::ALL.into_iter().map(|field| -> &str { field.name() });
                let names = fields.chain(self.custom.keys().map(|name| &**name));
                Err(Unresolved::Unknown { nearest: nearest(name, names).map(str::to_owned) })
            }
        }
    }
}

/// Why a name stands for nothing.
pub(crate) enum Unresolved {
    Unknown { nearest: Option<String> },
    Unclear(Conflict),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    #[error("`{name}` is a field of every item, a {kind}, and cannot be declared")]
    Field { name: &'static str, kind: Type },
    #[error("a property needs a name")]
    Unnamed,
}

/// A name that items use for values of several types, or of one that no filter can read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    pub name: Arc<str>,
    /// In how many items it has which type. `None` stands for what has no type: objects, and lists of other things than
    /// strings.
    pub seen: Vec<(Option<Type>, u64)>,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is ", cut(&self.name))?;
        for (at, (kind, n_items)) in self.seen.iter().enumerate() {
            let between = match at {
                0 => "",
                _ if at + 1 == self.seen.len() => " and ",
                _ => ", ",
            };
            match kind {
                Some(kind) => write!(f, "{between}a {kind}")?,
                None => write!(f, "{between}an object or a list of other things than strings")?,
            }
            write!(f, " in {n_items} item{}", if *n_items == 1 { "" } else { "s" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
