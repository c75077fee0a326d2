//! The public JSON form of an event, and the checks between it and an [`Event`].

use std::io;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{
    AnswerId, Event, EventBody, EventId, Impression, Interaction, InteractionKind, ItemId, Person, Placement,
    SessionId, Timestamp, UserId, answer::MAX_PLACEMENT_BYTES, event::SeenItem,
};

/// Most items in one impression.
pub const MAX_IMPRESSION_ITEMS: usize = 500;
/// Most bytes of one event's `context`, as JSON.
pub const MAX_CONTEXT_BYTES: usize = 16 * 1024;
/// Longest name of a kind, currency or order, in bytes.
pub const MAX_NAME_BYTES: usize = 64;

/// One event. Everything but `type`, one id of the person and what it is about is optional.
// Ids are kept as plain strings here, so that one bad id rejects its event with a sentence instead of the whole batch.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WireEvent {
    /// Makes a retry harmless: two events with the same id count once.
    #[schema(value_type = Option<EventId>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    /// `view`, `click`, `cart`, `purchase`, `rating`, `like`, `dislike`, `dismiss`, `purchase_cancelled`,
    /// `impression`, or a kind of the installation's own.
    #[schema(min_length = 1, max_length = 64)]
    pub r#type: String,
    /// Who did it; this or `session_id`, or both.
    #[schema(value_type = Option<UserId>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    #[schema(value_type = Option<SessionId>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// With what; every type but `impression` needs it.
    #[schema(value_type = Option<ItemId>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item_id: Option<String>,
    /// For `impression`: what came into view.
    #[schema(min_items = 1, max_items = 500)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items: Option<Vec<WireSeenItem>>,
    /// RFC 3339; the time of arrival when absent.
    #[schema(value_type = Option<Timestamp>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
    /// Stars, or seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Pieces.
    #[schema(minimum = 0)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantity: Option<f64>,
    /// Of one piece.
    #[schema(minimum = 0)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<f64>,
    /// ISO 4217 of `price`.
    #[schema(min_length = 1, max_length = 64)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// Lines of one order share it.
    #[schema(min_length = 1, max_length = 64)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_id: Option<String>,
    /// The answer that led here; `impression` needs it.
    #[schema(value_type = Option<AnswerId>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer_id: Option<String>,
    /// The item's place in that answer, from 1.
    #[schema(minimum = 1)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<u32>,
    /// Where on the page it happened (`home`, `item_page`, `cart`, `search`, or a name of the shop's own). Without it, the
    /// placement of the answer that `answer_id` names.
    #[schema(value_type = Option<Placement>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement: Option<String>,
    /// A free object of at most 16 KiB as JSON.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub context: Map<String, Value>,
}

/// An item that came into view.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WireSeenItem {
    #[schema(value_type = ItemId)]
    pub item_id: String,
    /// Its place in the answer, from 1.
    #[schema(minimum = 1)]
    pub position: u32,
}

impl WireEvent {
    /// Checks every field and gives the event, timed `now` where the client gave no time.
    ///
    /// # Errors
    /// One sentence that names the field and the value.
    pub fn into_event(self, now: Timestamp) -> Result<Event, String> {
        let text = |e: crate::IdError| e.to_string();
        let timestamp = match &self.timestamp {
            Some(t) => Timestamp::parse_rfc3339(t).map_err(|e| format!("timestamp {e}"))?,
            None => now,
        };
        let person = Person {
            user_id: self.user_id.as_deref().map(UserId::try_new).transpose().map_err(text)?,
            session_id: self.session_id.as_deref().map(SessionId::try_new).transpose().map_err(text)?,
        };
        if person.is_nobody() {
            return Err("neither user_id nor session_id is given".to_owned());
        }
        check_context(&self.context)?;
        let event_id = self.event_id.as_deref().map(EventId::try_new).transpose().map_err(text)?;
        let answer_id = self.answer_id.as_deref().map(AnswerId::try_new).transpose().map_err(text)?;
        let placement = placement(self.placement, answer_id.as_ref())?;
        let body = if self.r#type == "impression" {
            if self.item_id.is_some() {
                return Err("an impression lists its items, item_id belongs to other types".to_owned());
            }
            EventBody::Impression(impression(answer_id, self.items, placement)?)
        } else {
            check_type(&self.r#type)?;
            if self.items.is_some() {
                return Err(format!("items belong to impressions, not to \"{}\"", self.r#type));
            }
            let item_id = self.item_id.as_deref().ok_or("item_id is missing")?;
            for (name, value) in [("currency", &self.currency), ("order_id", &self.order_id)] {
                value.as_deref().map_or(Ok(()), |v| check_name(name, v))?;
            }
            for (name, value) in [("quantity", self.quantity), ("price", self.price)] {
                if value.is_some_and(|v| !v.is_finite() || v < 0.0) {
                    return Err(format!("{name} is {}, it must be 0 or more", value.unwrap_or_default()));
                }
            }
            if self.value.is_some_and(|v| !v.is_finite()) {
                return Err("value is not a finite number".to_owned());
            }
            if self.position == Some(0) {
                return Err("position is 0, places count from 1".to_owned());
            }
            EventBody::Interaction(Interaction {
                kind: InteractionKind::from(self.r#type),
                item_id: ItemId::try_new(item_id).map_err(text)?,
                value: self.value,
                quantity: self.quantity,
                price: self.price,
                currency: self.currency,
                order_id: self.order_id,
                answer_id,
                position: self.position,
                signal: None,
                placement,
            })
        };
        Ok(Event { event_id, timestamp, person, body, context: self.context })
    }
}

impl WireEvent {
    /// The event as a client would send it; nothing for what clients do not send (answers, changes, merges, erasures).
    ///
    /// What an own kind means is not part of it: the installation that takes it in decides.
    pub fn of(event: &Event) -> Option<Self> {
        let wire = Self {
            event_id: event.event_id.as_ref().map(|id| id.as_str().to_owned()),
            user_id: event.person.user_id.as_ref().map(|id| id.as_str().to_owned()),
            session_id: event.person.session_id.as_ref().map(|id| id.as_str().to_owned()),
            timestamp: Some(event.timestamp.to_rfc3339()),
            context: event.context.clone(),
            ..Self::default()
        };
        match &event.body {
            EventBody::Interaction(act) => Some(Self {
                r#type: act.kind.as_str().to_owned(),
                item_id: Some(act.item_id.as_str().to_owned()),
                value: act.value,
                quantity: act.quantity,
                price: act.price,
                currency: act.currency.clone(),
                order_id: act.order_id.clone(),
                answer_id: act.answer_id.as_ref().map(|id| id.as_str().to_owned()),
                position: act.position,
                placement: act.placement.as_ref().map(|placement| placement.as_str().to_owned()),
                ..wire
            }),
            EventBody::Impression(seen) => Some(Self {
                r#type: "impression".to_owned(),
                answer_id: Some(seen.answer_id.as_str().to_owned()),
                items: Some(seen.items.iter().map(WireSeenItem::of).collect()),
                placement: seen.placement.as_ref().map(|placement| placement.as_str().to_owned()),
                ..wire
            }),
            _ => None,
        }
    }
}

impl WireSeenItem {
    fn of(seen: &SeenItem) -> Self {
        Self { item_id: seen.item_id.as_str().to_owned(), position: seen.position }
    }
}

/// Bodies that clients cannot send under a `type`.
const RESERVED: [&str; 5] = ["answer", "catalog_change", "user_change", "merge", "erasure"];

/// Whether clients may send events of this type.
///
/// # Errors
/// One sentence that says why not.
pub fn check_type(name: &str) -> Result<(), String> {
    check_name("type", name)?;
    if RESERVED.contains(&name) {
        return Err(format!("type \"{name}\" is written by waggle itself"));
    }
    Ok(())
}

/// What the client says, else what the answer's id says.
fn placement(said: Option<String>, answer_id: Option<&AnswerId>) -> Result<Option<Placement>, String> {
    let Some(name) = said else { return Ok(answer_id.and_then(AnswerId::placement)) };
    let placement = Placement::from(name);
    if !placement.is_nameable() {
        return Err(format!(
            "placement must have 1 to {MAX_PLACEMENT_BYTES} bytes without control characters"
        ));
    }
    Ok(Some(placement))
}

fn impression(
    answer_id: Option<AnswerId>,
    items: Option<Vec<WireSeenItem>>,
    placement: Option<Placement>,
) -> Result<Impression, String> {
    let answer_id = answer_id.ok_or("answer_id is missing")?;
    let items = items.ok_or("items are missing")?;
    if items.is_empty() || items.len() > MAX_IMPRESSION_ITEMS {
        return Err(format!("items has {} entries, 1 to {MAX_IMPRESSION_ITEMS} are allowed", items.len()));
    }
    let items = items
        .into_iter()
        .map(|seen| {
            if seen.position == 0 {
                return Err("position is 0, places count from 1".to_owned());
            }
            Ok(SeenItem {
                item_id: ItemId::try_new(&seen.item_id).map_err(|e| e.to_string())?,
                position: seen.position,
            })
        })
        .collect::<Result<_, _>>()?;
    Ok(Impression { answer_id, items, placement })
}

fn check_name(field: &str, name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
        return Err(format!("{field} must have 1 to {MAX_NAME_BYTES} bytes without control characters"));
    }
    Ok(())
}

fn check_context(context: &Map<String, Value>) -> Result<(), String> {
    if context.is_empty() {
        return Ok(());
    }
    let mut size = Size(0);
    serde_json::to_writer(&mut size, context).map_err(|e| format!("context {e}"))?;
    let Size(size) = size;
    if size > MAX_CONTEXT_BYTES {
        return Err(format!("context has {size} bytes, at most {MAX_CONTEXT_BYTES} are allowed"));
    }
    Ok(())
}

/// Counts what is written.
struct Size(usize);

impl io::Write for Size {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
