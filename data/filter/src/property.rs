//! What a filter may ask an item about, and how the answer is read out of an [`Item`].

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use waggle_model::{Item, Timestamp};

/// What a property holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Type {
    String,
    Number,
    Boolean,
    /// RFC 3339 in JSON.
    Time,
    /// A list of strings.
    Strings,
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::String => "string",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Time => "time",
            Self::Strings => "list of strings",
        })
    }
}

/// The item's own fields, which every shop has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Field {
    ItemId,
    Title,
    Category,
    Brand,
    Currency,
    Price,
    AvailableFrom,
    AvailableUntil,
    InStock,
    Hidden,
}

impl Field {
    pub const ALL: [Self; 10] = [
        Self::ItemId,
        Self::Title,
        Self::Category,
        Self::Brand,
        Self::Currency,
        Self::Price,
        Self::AvailableFrom,
        Self::AvailableUntil,
        Self::InStock,
        Self::Hidden,
    ];

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.name() == name)
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::ItemId => "item_id",
            Self::Title => "title",
            Self::Category => "category",
            Self::Brand => "brand",
            Self::Currency => "currency",
            Self::Price => "price",
            Self::AvailableFrom => "available_from",
            Self::AvailableUntil => "available_until",
            Self::InStock => "in_stock",
            Self::Hidden => "hidden",
        }
    }

    pub const fn kind(self) -> Type {
        match self {
            Self::ItemId | Self::Title | Self::Category | Self::Brand | Self::Currency => Type::String,
            Self::Price => Type::Number,
            Self::AvailableFrom | Self::AvailableUntil => Type::Time,
            Self::InStock | Self::Hidden => Type::Boolean,
        }
    }
}

/// A property as a schema knows it. An index over items reads them with [`Property::value`], so that it can never
/// disagree with the evaluator about what an item holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Property {
    Field(Field),
    /// One of the shop's own, in [`Item::properties`].
    Custom {
        name: Arc<str>,
        kind: Type,
    },
}

impl Property {
    pub fn name(&self) -> &str {
        match self {
            Self::Field(field) => field.name(),
            Self::Custom { name, .. } => name,
        }
    }

    pub fn kind(&self) -> Type {
        match self {
            Self::Field(field) => field.kind(),
            Self::Custom { kind, .. } => *kind,
        }
    }

    /// What the item holds. `None` if that is absent, null, or not of the property's type.
    pub fn value<'a>(&self, item: &'a Item) -> Option<Value<'a>> {
        match self {
            Self::Field(field) => match field {
                Field::ItemId => Some(Value::String(item.item_id.as_str())),
                Field::Title => Some(Value::String(&item.title)),
                Field::Category => item.category.as_deref().map(Value::String),
                Field::Brand => item.brand.as_deref().map(Value::String),
                Field::Currency => item.currency.as_deref().map(Value::String),
                Field::Price => item.price.filter(|price| price.is_finite()).map(Value::Number),
                Field::AvailableFrom => item.available_from.map(Value::Time),
                Field::AvailableUntil => item.available_until.map(Value::Time),
                Field::InStock => Some(Value::Boolean(item.in_stock)),
                Field::Hidden => Some(Value::Boolean(item.hidden)),
            },
            Self::Custom { name, kind } => Value::read(*kind, item.properties.get(&**name)?),
        }
    }
}

/// A value as an item holds it.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    String(&'a str),
    /// Finite.
    Number(f64),
    Boolean(bool),
    Time(Timestamp),
    Strings(Vec<&'a str>),
}

impl<'a> Value<'a> {
    /// Reads JSON as a value of the given type; `None` if it is of another.
    pub fn read(kind: Type, json: &'a Json) -> Option<Self> {
        match kind {
            Type::String => json.as_str().map(Value::String),
            Type::Number => json.as_f64().filter(|number| number.is_finite()).map(Value::Number),
            Type::Boolean => json.as_bool().map(Value::Boolean),
            Type::Time => json.as_str().and_then(read_time).map(Value::Time),
            Type::Strings => {
                json.as_array()?.iter().map(Json::as_str).collect::<Option<_>>().map(Value::Strings)
            }
        }
    }
}

/// Most strings are no times: those are told by their length and fifth byte, before anything is parsed.
pub(crate) fn read_time(text: &str) -> Option<Timestamp> {
    const SHORTEST: usize = "2026-01-01T00:00:00Z".len();
    if text.len() < SHORTEST || text.as_bytes()[4] != b'-' {
        return None;
    }
    Timestamp::parse_rfc3339(text).ok().filter(|time| time.is_expressible())
}
