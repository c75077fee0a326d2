//! From the records of a topic that others fill, and the lines of a file, to events.

use std::{borrow::Cow, collections::BTreeMap};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use waggle_http::Object;
use waggle_model::{
    Event, EventId, InteractionKind, Timestamp,
    codec::MAX_RECORD_BYTES,
    ids::MAX_ID_BYTES,
    wire::{WireEvent, WireSeenItem, check_type},
};
pub use waggle_stores::SourceRecord;
use xxhash_rust::xxh3::xxh3_128;

/// Longest name of a topic or group, in bytes; Kafka's own limit for topics.
const MAX_TOPIC_BYTES: usize = 249;

/// A topic that others fill, and how its records become events. One `[[ingest.topics]]` of the configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicConfig {
    /// Its full name; the installation's prefix does not apply.
    pub topic: String,
    /// Consumer group whose offsets say how far it was read.
    #[serde(default = "default_group")]
    pub group: String,
    #[serde(default)]
    pub format: RecordFormat,
    /// What the field `timestamp` holds. Records without it have the time that Kafka keeps beside them.
    #[serde(default)]
    pub time: TimeFormat,
    /// What becomes of records of a type that is neither among `types` nor known by name.
    #[serde(default)]
    pub unmapped_types: UnmappedTypes,
    /// Where each field of an event is found. Without any, records are events as `POST /v1/events` takes them.
    #[serde(default)]
    pub fields: BTreeMap<Field, Path>,
    /// Values of fields that a record does not have.
    #[serde(default)]
    pub constants: BTreeMap<Field, Value>,
    /// Their names of types, and ours: `page_view = "view"`.
    #[serde(default)]
    pub types: BTreeMap<String, String>,
    /// What goes into the event's `context`, and where it is found.
    #[serde(default)]
    pub context: BTreeMap<String, Path>,
}

/// How the lines of a file become events: the rules of a [`TopicConfig`] that concern a record's content.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LineRules {
    pub time: TimeFormat,
    pub unmapped_types: UnmappedTypes,
    pub fields: BTreeMap<Field, Path>,
    pub constants: BTreeMap<Field, Value>,
    pub types: BTreeMap<String, String>,
}

fn default_group() -> String {
    "waggle-ingest".to_owned()
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordFormat {
    #[default]
    Json,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeFormat {
    #[default]
    Rfc3339,
    /// Seconds since 1970, with or without a fraction.
    UnixS,
    /// Milliseconds since 1970.
    UnixMs,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnmappedTypes {
    /// They go to the dead letters, from where they can be taken in once they are mapped.
    #[default]
    DeadLetter,
    /// They are passed over.
    Skip,
    /// They become events of the installation's own types, as far as `ingest.unknown_types` lets them in.
    Keep,
}

/// A field of an event that can be mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    EventId,
    Type,
    UserId,
    SessionId,
    ItemId,
    /// An array of `{"item_id","position"}`, or of ids in the order in which they were seen.
    Items,
    Timestamp,
    Value,
    Quantity,
    Price,
    Currency,
    OrderId,
    AnswerId,
    Position,
    Placement,
}

impl Field {
    pub const ALL: [Self; 15] = [
        Self::EventId,
        Self::Type,
        Self::UserId,
        Self::SessionId,
        Self::ItemId,
        Self::Items,
        Self::Timestamp,
        Self::Value,
        Self::Quantity,
        Self::Price,
        Self::Currency,
        Self::OrderId,
        Self::AnswerId,
        Self::Position,
        Self::Placement,
    ];

    /// Its name in an event.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EventId => "event_id",
            Self::Type => "type",
            Self::UserId => "user_id",
            Self::SessionId => "session_id",
            Self::ItemId => "item_id",
            Self::Items => "items",
            Self::Timestamp => "timestamp",
            Self::Value => "value",
            Self::Quantity => "quantity",
            Self::Price => "price",
            Self::Currency => "currency",
            Self::OrderId => "order_id",
            Self::AnswerId => "answer_id",
            Self::Position => "position",
            Self::Placement => "placement",
        }
    }
}

/// A place in a record: `user.id`, the JSON pointer `/user/id` (RFC 6901), or `@key`, the record's key as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Path {
    text: String,
    /// As a JSON pointer; `None` for the key.
    pointer: Option<String>,
}

impl Path {
    /// The field of this very name, whatever is in the name.
    pub fn column(name: &str) -> Self {
        Self { text: name.to_owned(), pointer: Some(format!("/{}", escaped(name))) }
    }
}

impl TryFrom<String> for Path {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let pointer = match text.as_str() {
            "@key" => None,
            pointer if pointer.starts_with('/') => Some(pointer.to_owned()),
            dotted if dotted.split('.').all(|name| !name.is_empty()) => {
                Some(dotted.split('.').map(|name| format!("/{}", escaped(name))).collect())
            }
            _ => {
                return Err(format!(
                    "\"{text}\" is not a place in a record: write user.id, /user/id or @key"
                ));
            }
        };
        Ok(Self { text, pointer })
    }
}

/// As a part of a JSON pointer (RFC 6901).
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

impl From<Path> for String {
    fn from(path: Path) -> Self {
        path.text
    }
}

/// What became of a record that could be read.
#[derive(Debug, Clone, PartialEq)]
pub enum Mapped {
    Event(Box<Event>),
    /// Its type is passed over.
    Skipped,
}

/// A checked [`TopicConfig`].
#[derive(Debug, Clone)]
pub struct Mapping {
    config: TopicConfig,
}

impl Mapping {
    /// # Errors
    /// One sentence that names what is wrong with the configuration.
    pub fn try_new(config: TopicConfig) -> Result<Self, String> {
        let checked = check_name("topic", &config.topic)
            .and_then(|()| check_name("group", &config.group))
            .and_then(|()| check_rules(&config));
        checked.map_err(|detail| format!("ingest.topics: topic \"{}\": {detail}", config.topic))?;
        Ok(Self { config })
    }

    /// The same rules for the lines of a file, which belong to no topic: [`event`](Self::event) alone applies to them.
    ///
    /// # Errors
    /// One sentence that names what is wrong with the rules.
    pub fn of_lines(rules: LineRules) -> Result<Self, String> {
        let LineRules { time, unmapped_types, fields, constants, types } = rules;
        if fields.values().any(|path| path.pointer.is_none()) {
            return Err("a line has no key: @key is for topics".to_owned());
        }
        let config = TopicConfig {
            topic: String::new(),
            group: String::new(),
            format: RecordFormat::Json,
            time,
            unmapped_types,
            fields,
            constants,
            types,
            context: BTreeMap::new(),
        };
        check_rules(&config)?;
        Ok(Self { config })
    }

    pub fn config(&self) -> &TopicConfig {
        &self.config
    }

    /// The record's event. One that names no `event_id` is named after the record's place in its topic, so reading the
    /// record again gives the same event again.
    ///
    /// - `is_own_type`: whether a type is one of the installation's own, beside those known by name.
    ///
    /// # Errors
    /// One sentence that says why the record is not an event.
    pub fn map(&self, record: &SourceRecord, is_own_type: impl Fn(&str) -> bool) -> Result<Mapped, String> {
        let value = record.value.as_deref().ok_or("the record has no value")?;
        let mut mapped = self.event(value, record.key.as_deref(), record.timestamp, is_own_type)?;
        if let Mapped::Event(event) = &mut mapped
            && event.event_id.is_none()
        {
            event.event_id = Some(self.id_of(record));
        }
        Ok(mapped)
    }

    /// The event that a record's content stands for, timed `timestamp` where it names no time.
    ///
    /// # Errors
    /// As [`map`](Self::map).
    pub fn event(
        &self,
        value: &[u8],
        key: Option<&[u8]>,
        timestamp: Timestamp,
        is_own_type: impl Fn(&str) -> bool,
    ) -> Result<Mapped, String> {
        if value.len() > MAX_RECORD_BYTES {
            return Err(format!(
                "the record has {} bytes, at most {MAX_RECORD_BYTES} are allowed",
                value.len()
            ));
        }
        let Parts { mut wire, timestamp: named } = if self.config.fields.is_empty() {
            let Object(wire) = serde_json::from_slice(value).map_err(|e| format!("not an event: {e}"))?;
            Parts { wire, timestamp: None }
        } else {
            self.parts(value, key)?
        };
        match self.type_of(&wire.r#type, is_own_type)? {
            None => return Ok(Mapped::Skipped),
            Some(Cow::Borrowed(_)) => {}
            Some(Cow::Owned(ours)) => wire.r#type = ours,
        }
        Ok(Mapped::Event(Box::new(wire.into_event(named.unwrap_or(timestamp))?)))
    }

    fn parts(&self, value: &[u8], key: Option<&[u8]>) -> Result<Parts, String> {
        let content: Value = serde_json::from_slice(value).map_err(|e| format!("not JSON: {e}"))?;
        let mut parts = Parts::default();
        for (&field, path) in &self.config.fields {
            if let Some(value) = find(path, &content, key)? {
                parts.set(field, &value, self.config.time)?;
            } else if let Some(constant) = self.config.constants.get(&field) {
                parts.set(field, constant, self.config.time)?;
            }
        }
        for (&field, constant) in &self.config.constants {
            if !self.config.fields.contains_key(&field) {
                parts.set(field, constant, self.config.time)?;
            }
        }
        for (name, path) in &self.config.context {
            if let Some(value) = find(path, &content, key)? {
                parts.wire.context.insert(name.clone(), value.into_owned());
            }
        }
        Ok(parts)
    }

    /// Our name of the type; `None` if it is passed over.
    fn type_of<'a>(
        &self,
        theirs: &'a str,
        is_own_type: impl Fn(&str) -> bool,
    ) -> Result<Option<Cow<'a, str>>, String> {
        if let Some(ours) = self.config.types.get(theirs) {
            return Ok(Some(Cow::Owned(ours.clone())));
        }
        let is_known = !matches!(InteractionKind::from(theirs.to_owned()), InteractionKind::Custom(_))
            || theirs == "impression"
            || is_own_type(theirs);
        match self.config.unmapped_types {
            _ if theirs.is_empty() => Err("type is missing".to_owned()),
            _ if is_known => Ok(Some(Cow::Borrowed(theirs))),
            UnmappedTypes::Keep => Ok(Some(Cow::Borrowed(theirs))),
            UnmappedTypes::Skip => Ok(None),
            UnmappedTypes::DeadLetter => Err(format!("type \"{theirs}\" is not mapped")),
        }
    }

    fn id_of(&self, record: &SourceRecord) -> EventId {
        let place = format!("/{}/{}", record.partition, record.offset);
        let topic = &self.config.topic;
        let id = if topic.len() + place.len() <= MAX_ID_BYTES {
            format!("{topic}{place}")
        } else {
            format!("{:032x}{place}", xxh3_128(topic.as_bytes()))
        };
        EventId::try_new(id).expect("a topic's name was checked and numbers are short")
    }
}

fn check_name(what: &str, name: &str) -> Result<(), String> {
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if name.is_empty() || name.len() > MAX_TOPIC_BYTES || !name.bytes().all(is_name) {
        return Err(format!(
            "{what} must have 1 to {MAX_TOPIC_BYTES} letters, digits, dots, dashes or underscores"
        ));
    }
    Ok(())
}

/// Whether an event can come out of the fields, constants and types.
fn check_rules(config: &TopicConfig) -> Result<(), String> {
    config.types.values().try_for_each(|target| check_type(target))?;
    let mut scratch = Parts::default();
    for (&field, constant) in &config.constants {
        scratch.set(field, constant, config.time).map_err(|detail| format!("constants: {detail}"))?;
    }
    if config.fields.is_empty() {
        if config.constants.is_empty() && config.context.is_empty() {
            return Ok(());
        }
        let detail = "constants and context need fields; without any, records are taken as they are";
        return Err(detail.to_owned());
    }
    let is_given = |field: Field| config.fields.contains_key(&field) || config.constants.contains_key(&field);
    if !is_given(Field::Type) {
        return Err("type is neither among fields nor among constants".to_owned());
    }
    if !is_given(Field::UserId) && !is_given(Field::SessionId) {
        return Err("neither user_id nor session_id is among fields".to_owned());
    }
    if !is_given(Field::ItemId) && !is_given(Field::Items) {
        return Err("neither item_id nor items is among fields".to_owned());
    }
    Ok(())
}

/// What a record holds; `null` and empty text are as good as nothing.
fn find<'a>(path: &Path, content: &'a Value, key: Option<&[u8]>) -> Result<Option<Cow<'a, Value>>, String> {
    let found = match &path.pointer {
        Some(pointer) => content.pointer(pointer).map(Cow::Borrowed),
        None => {
            let text = key.map(std::str::from_utf8).transpose();
            let text = text.map_err(|_| "the record's key is not text".to_owned())?;
            text.map(|text| Cow::Owned(Value::String(text.to_owned())))
        }
    };
    Ok(found.filter(|value| !value.is_null() && value.as_str() != Some("")))
}

/// An event being put together.
#[derive(Default)]
struct Parts {
    wire: WireEvent,
    timestamp: Option<Timestamp>,
}

impl Parts {
    fn set(&mut self, field: Field, value: &Value, time: TimeFormat) -> Result<(), String> {
        let wire = &mut self.wire;
        match field {
            Field::EventId => wire.event_id = Some(text("event_id", value)?),
            Field::Type => wire.r#type = text("type", value)?,
            Field::UserId => wire.user_id = Some(text("user_id", value)?),
            Field::SessionId => wire.session_id = Some(text("session_id", value)?),
            Field::ItemId => wire.item_id = Some(text("item_id", value)?),
            Field::Items => wire.items = Some(seen_items(value)?),
            Field::Timestamp => self.timestamp = Some(time_of(value, time)?),
            Field::Value => wire.value = Some(number("value", value)?),
            Field::Quantity => wire.quantity = Some(number("quantity", value)?),
            Field::Price => wire.price = Some(number("price", value)?),
            Field::Currency => wire.currency = Some(text("currency", value)?),
            Field::OrderId => wire.order_id = Some(text("order_id", value)?),
            Field::AnswerId => wire.answer_id = Some(text("answer_id", value)?),
            Field::Position => wire.position = Some(place("position", value)?),
            Field::Placement => wire.placement = Some(text("placement", value)?),
        }
        Ok(())
    }
}

/// Text, or a whole number as text: many systems number their users and items.
fn text(field: &str, value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) if !number.is_f64() => Ok(number.to_string()),
        other => Err(format!("{field} is {}, text or a whole number is wanted", kind_of(other))),
    }
}

fn number(field: &str, value: &Value) -> Result<f64, String> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number
        .filter(|number| number.is_finite())
        .ok_or_else(|| format!("{field} is {}, a number is wanted", kind_of(value)))
}

fn place(field: &str, value: &Value) -> Result<u32, String> {
    let number = match value {
        Value::Number(number) => number.as_u64().and_then(|number| u32::try_from(number).ok()),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.ok_or_else(|| format!("{field} is {}, a whole number is wanted", kind_of(value)))
}

fn time_of(value: &Value, format: TimeFormat) -> Result<Timestamp, String> {
    let per_unit_ms = match (format, value) {
        (TimeFormat::Rfc3339, Value::String(text)) => {
            return Timestamp::parse_rfc3339(text).map_err(|e| format!("timestamp {e}"));
        }
        (TimeFormat::Rfc3339, other) => {
            return Err(format!("timestamp is {}, an RFC 3339 time is wanted", kind_of(other)));
        }
        (TimeFormat::UnixS, _) => 1_000.0,
        (TimeFormat::UnixMs, _) => 1.0,
    };
    // Milliseconds of the calendar are far below 2^53, where f64 stops being exact.
    let time = Timestamp::from_millis((number("timestamp", value)? * per_unit_ms).round() as i64);
    if time.is_expressible() {
        Ok(time)
    } else {
        Err(format!("timestamp is {value}, which is no time in the unit that is configured"))
    }
}

fn seen_items(value: &Value) -> Result<Vec<WireSeenItem>, String> {
    let Value::Array(seen) = value else {
        return Err(format!("items is {}, an array is wanted", kind_of(value)));
    };
    let items = (1..).zip(seen).map(|(place, item)| match item {
        Value::Object(_) => WireSeenItem::deserialize(item).map_err(|e| format!("items: {e}")),
        id => Ok(WireSeenItem { item_id: text("items", id)?, position: place }),
    });
    items.collect()
}

fn kind_of(value: &Value) -> Cow<'static, str> {
    match value {
        Value::Null => "null".into(),
        Value::Bool(_) => "true or false".into(),
        Value::Number(number) => number.to_string().into(),
        Value::String(text) if text.len() <= 64 => format!("\"{text}\"").into(),
        Value::String(_) => "a long text".into(),
        Value::Array(_) => "an array".into(),
        Value::Object(_) => "an object".into(),
    }
}

#[cfg(test)]
mod tests;
