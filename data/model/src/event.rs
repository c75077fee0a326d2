//! What is in the log.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    AnswerId, EventId, ItemId, PersonKey, Placement, SessionId, Signal, Timestamp, UserId, answer::Answer,
    catalog::CatalogChange, lent::Lent,
};

/// One record of the log: who, when, what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Chosen by the client; two events with the same id are one. Without it a client's retry may count twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<EventId>,
    /// When it happened (event time); what every fold and feature computes with.
    pub timestamp: Timestamp,
    #[serde(default, skip_serializing_if = "Person::is_nobody")]
    pub person: Person,
    pub body: EventBody,
    /// Free facts that travel with the event (original time of an import, page, device …).
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub context: serde_json::Map<String, serde_json::Value>,
}

/// Who an event belongs to. At least one id is known for interactions, impressions and answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
}

impl Person {
    pub fn user(user_id: UserId) -> Self {
        Self { user_id: Some(user_id), session_id: None }
    }

    pub fn session(session_id: SessionId) -> Self {
        Self { user_id: None, session_id: Some(session_id) }
    }

    pub fn is_nobody(&self) -> bool {
        self.user_id.is_none() && self.session_id.is_none()
    }

    /// The user if known, else the session: whose state the event changes and whose partition it goes to.
    pub fn key(&self) -> Option<PersonKey> {
        match (&self.user_id, &self.session_id) {
            (Some(user), _) => Some(user.key()),
            (None, Some(session)) => Some(session.key()),
            (None, None) => None,
        }
    }

    /// Bytes that choose the log partition (the string form of whoever [`key`](Self::key) stands for).
    pub fn partition_key(&self) -> Option<&str> {
        self.user_id.as_ref().map(UserId::as_str).or(self.session_id.as_ref().map(SessionId::as_str))
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventBody {
    /// Somebody did something with an item.
    Interaction(Interaction),
    /// The gateway served a slate.
    Answer(Box<Answer>),
    /// Somebody saw items of a slate.
    Impression(Impression),
    /// The shop changed its catalogue.
    CatalogChange(Box<CatalogChange>),
    /// Something became known about a user; also re-opens an erased id.
    UserChange(UserChange),
    /// The event's `session_id` turned out to be its `user_id`.
    Merge,
    /// Everything personal about the event's user or session is to be forgotten.
    Erasure,
}

/// Somebody did something with an item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Interaction {
    pub kind: InteractionKind,
    pub item_id: ItemId,
    /// Strength: the stars of a rating, seconds of dwell; the kind's default weight applies when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Pieces bought or put into the cart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<f64>,
    /// Price of one piece, in `currency`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<f64>,
    /// ISO 4217.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_id: Option<String>,
    /// The answer that led here, and the item's 1-based place in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_id: Option<AnswerId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u32>,
    /// What an act of the installation's own kind means; without it, such an act is history and nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<Signal>,
    /// Where on the page it was done; follows from `answer_id` where the client does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
}

impl Interaction {
    pub fn new(kind: InteractionKind, item_id: ItemId) -> Self {
        Self {
            kind,
            item_id,
            value: None,
            quantity: None,
            price: None,
            currency: None,
            order_id: None,
            answer_id: None,
            position: None,
            signal: None,
            placement: None,
        }
    }
}

/// What was done. On the wire it is the event's `type`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum InteractionKind {
    /// The item's page was opened without a recommendation leading there.
    View,
    /// The item was chosen from a slate or a list.
    Click,
    Cart,
    Purchase,
    Rating,
    Like,
    Dislike,
    /// "Not interested".
    Dismiss,
    /// A purchase was taken back.
    PurchaseCancelled,
    /// The installation's own kind; its [`Signal`] says what it means.
    Custom(String),
}

impl InteractionKind {
    /// Every kind with a name of its own, in the order they are documented.
    pub const NAMED: [Self; 9] = [
        Self::View,
        Self::Click,
        Self::Cart,
        Self::Purchase,
        Self::Rating,
        Self::Like,
        Self::Dislike,
        Self::Dismiss,
        Self::PurchaseCancelled,
    ];

    pub fn as_str(&self) -> &str {
        match self {
            Self::View => "view",
            Self::Click => "click",
            Self::Cart => "cart",
            Self::Purchase => "purchase",
            Self::Rating => "rating",
            Self::Like => "like",
            Self::Dislike => "dislike",
            Self::Dismiss => "dismiss",
            Self::PurchaseCancelled => "purchase_cancelled",
            Self::Custom(name) => name,
        }
    }

    /// Whether it speaks against the item.
    pub fn is_negative(&self) -> bool {
        matches!(self, Self::Dislike | Self::Dismiss | Self::PurchaseCancelled)
    }
}

impl<S: AsRef<str> + Into<String>> From<S> for InteractionKind {
    fn from(name: S) -> Self {
        match name.as_ref() {
            "view" => Self::View,
            "click" => Self::Click,
            "cart" => Self::Cart,
            "purchase" => Self::Purchase,
            "rating" => Self::Rating,
            "like" => Self::Like,
            "dislike" => Self::Dislike,
            "dismiss" => Self::Dismiss,
            "purchase_cancelled" => Self::PurchaseCancelled,
            _ => Self::Custom(name.into()),
        }
    }
}

impl Serialize for InteractionKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for InteractionKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Lent::deserialize(deserializer).map(|Lent(name)| Self::from(name))
    }
}

/// Items of one answer that came into view.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Impression {
    pub answer_id: AnswerId,
    pub items: Vec<SeenItem>,
    /// Where on the page; follows from `answer_id` where the client does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenItem {
    pub item_id: ItemId,
    /// 1-based place in the slate.
    pub position: u32,
}

/// What became known about the event's user; absent properties stay as they were, `null` removes one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct UserChange {
    pub properties: serde_json::Map<String, serde_json::Value>,
}
