//! What one person did: every distinct item with how often and when, and the last events in order.

use serde::{Deserialize, Serialize};
use waggle_model::{CountsAs, Interaction, InteractionKind, ItemKey, PersonKey, Signal, Timestamp};

use crate::{StateDecodeError, decode_versioned, encode_versioned};

const VERSION: u8 = 1;

/// Most distinct items kept per person; the one touched longest ago goes first.
pub const MAX_ITEMS: usize = 512;
/// Most recent events kept in order.
pub const MAX_RECENT: usize = 64;
/// Most evidence that own kinds give for one item, in orders.
pub const MAX_OWN_KINDS: f32 = 3.0;
/// Most sessions that a user may be known by.
pub const MAX_ALIASES: usize = 16;

/// What one person did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PersonState {
    /// Distinct items, the one touched longest ago first.
    pub items: Vec<ItemHistory>,
    /// The last [`MAX_RECENT`] events, by event time, oldest first.
    pub recent: Vec<RecentEvent>,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    pub n_events: u64,
    pub n_purchases: u64,
    /// Distinct orders: purchases with the same `order_id` in a row count once, purchases without one each.
    pub n_orders: u32,
    /// Event time of the newest purchase, and of the order before it.
    pub last_order_at: Timestamp,
    pub previous_order_at: Timestamp,
    /// XXH3 of the newest order's id.
    pub last_order: u64,
    /// `Σ ln(price)` over purchases that told one, and how many did: the person's price level.
    pub log_price_sum: f64,
    pub n_priced: u64,
    /// Sessions that turned out to be this user.
    pub aliases: Vec<PersonKey>,
}

/// One person and one item.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ItemHistory {
    pub item: ItemKey,
    pub first: Timestamp,
    pub last: Timestamp,
    /// Views and clicks.
    pub n_attention: u16,
    pub n_carts: u16,
    /// Orders (not pieces) that held it, less cancelled ones.
    pub n_purchases: u16,
    /// Event time of the newest purchase; meaningless while `n_purchases` is 0.
    pub last_purchase: Timestamp,
    /// XXH3 of the newest order that held it, so that two lines of one order count once.
    pub last_order: u64,
    /// The newest verdict was negative (dislike, dismiss, or an own kind that counts as negative).
    pub is_rejected: bool,
    /// What acts of the installation's own kinds add to the evidence, in orders.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub own_kinds: f32,
}

/// One of the last events, in order.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RecentEvent {
    pub item: ItemKey,
    pub kind: RecentKind,
    pub time: Timestamp,
}

/// [`InteractionKind`] in one byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RecentKind {
    View,
    Click,
    Cart,
    Purchase,
    Rating,
    Like,
    Dislike,
    Dismiss,
    PurchaseCancelled,
    Custom,
    /// An own kind that counts as negative.
    CustomNegative,
}

impl PersonState {
    /// # Errors
    /// [`StateDecodeError`] for bytes that [`encode`](Self::encode) of this version did not write.
    pub fn decode(bytes: &[u8]) -> Result<Self, StateDecodeError> {
        decode_versioned(VERSION, bytes)
    }

    pub fn encode(&self) -> Vec<u8> {
        encode_versioned(VERSION, self)
    }

    /// Folds one interaction at event time `time`.
    pub fn apply(&mut self, interaction: &Interaction, time: Timestamp) {
        if self.n_events == 0 {
            self.first_seen = time;
        }
        self.n_events += 1;
        self.first_seen = self.first_seen.min(time);
        self.last_seen = self.last_seen.max(time);
        if interaction.kind == InteractionKind::Purchase {
            self.count_purchase(interaction, time);
        }
        self.touch_item(interaction, time);
        self.push_recent(RecentEvent { item: interaction.item_id.key(), kind: interaction.into(), time });
    }

    /// The session `alias` turned out to be this person; the newest [`MAX_ALIASES`] are kept.
    pub fn add_alias(&mut self, alias: PersonKey) {
        self.aliases.retain(|known| *known != alias);
        self.aliases.push(alias);
        if self.aliases.len() > MAX_ALIASES {
            self.aliases.remove(0);
        }
    }

    /// This person's state united with that of an alias; histories merge by time.
    #[must_use]
    pub fn united_with(&self, alias: &Self) -> Self {
        let mut all = self.clone();
        for theirs in &alias.items {
            match all.items.iter_mut().find(|mine| mine.item == theirs.item) {
                Some(mine) => mine.unite(theirs),
                None => all.items.push(*theirs),
            }
        }
        all.items.sort_by_key(|entry| (entry.last, entry.item));
        trim_front(&mut all.items, MAX_ITEMS);
        all.recent.extend_from_slice(&alias.recent);
        all.recent.sort_by_key(|event| event.time);
        trim_front(&mut all.recent, MAX_RECENT);
        if alias.n_events > 0 {
            all.first_seen =
                if all.n_events == 0 { alias.first_seen } else { all.first_seen.min(alias.first_seen) };
            all.last_seen = all.last_seen.max(alias.last_seen);
        }
        if alias.last_order_at > all.last_order_at {
            all.previous_order_at = all.last_order_at.max(alias.previous_order_at);
            all.last_order_at = alias.last_order_at;
            all.last_order = alias.last_order;
        }
        all.n_events += alias.n_events;
        all.n_purchases += alias.n_purchases;
        all.n_orders += alias.n_orders;
        all.log_price_sum += alias.log_price_sum;
        all.n_priced += alias.n_priced;
        all
    }

    /// The person and one item, if they ever met (and it was not pushed out by [`MAX_ITEMS`] others since).
    pub fn item(&self, item: ItemKey) -> Option<&ItemHistory> {
        self.items.iter().rev().find(|entry| entry.item == item)
    }

    fn count_purchase(&mut self, interaction: &Interaction, time: Timestamp) {
        self.n_purchases += 1;
        let order = order_key(interaction);
        if order == 0 || order != self.last_order {
            self.n_orders += 1;
            if time >= self.last_order_at {
                self.previous_order_at = self.last_order_at;
                self.last_order_at = time;
                self.last_order = order;
            } else {
                self.previous_order_at = self.previous_order_at.max(time);
            }
        }
        if let Some(price) = interaction.price.filter(|price| *price > 0.0 && price.is_finite()) {
            self.log_price_sum += price.ln();
            self.n_priced += 1;
        }
    }

    fn touch_item(&mut self, interaction: &Interaction, time: Timestamp) {
        let item = interaction.item_id.key();
        let mut entry = match self.items.iter().rposition(|entry| entry.item == item) {
            Some(place) => self.items.remove(place),
            None => ItemHistory::new(item, time),
        };
        entry.apply(interaction, time);
        // Events mostly come in order, so the place is at or near the end.
        let place = self.items.iter().rposition(|other| other.last <= entry.last).map_or(0, |p| p + 1);
        self.items.insert(place, entry);
        trim_front(&mut self.items, MAX_ITEMS);
    }

    fn push_recent(&mut self, event: RecentEvent) {
        let place = self.recent.iter().rposition(|other| other.time <= event.time).map_or(0, |p| p + 1);
        self.recent.insert(place, event);
        trim_front(&mut self.recent, MAX_RECENT);
    }
}

impl ItemHistory {
    fn new(item: ItemKey, time: Timestamp) -> Self {
        Self {
            item,
            first: time,
            last: time,
            n_attention: 0,
            n_carts: 0,
            n_purchases: 0,
            last_purchase: Timestamp::default(),
            last_order: 0,
            is_rejected: false,
            own_kinds: 0.0,
        }
    }

    fn apply(&mut self, interaction: &Interaction, time: Timestamp) {
        self.first = self.first.min(time);
        let is_newest = time >= self.last;
        self.last = self.last.max(time);
        match &interaction.kind {
            InteractionKind::View | InteractionKind::Click => {
                self.n_attention = self.n_attention.saturating_add(1)
            }
            InteractionKind::Cart => self.n_carts = self.n_carts.saturating_add(1),
            InteractionKind::Purchase => {
                let order = order_key(interaction);
                if order == 0 || order != self.last_order {
                    self.n_purchases = self.n_purchases.saturating_add(1);
                }
                self.last_order = order;
                self.last_purchase = self.last_purchase.max(time);
            }
            InteractionKind::PurchaseCancelled => self.n_purchases = self.n_purchases.saturating_sub(1),
            InteractionKind::Custom(_) => {
                self.own_kinds = (self.own_kinds + evidence_of(interaction.signal)).min(MAX_OWN_KINDS)
            }
            _ => {}
        }
        if is_newest {
            self.is_rejected = match &interaction.kind {
                InteractionKind::Dislike | InteractionKind::Dismiss => true,
                InteractionKind::Custom(_) => is_negative(interaction.signal),
                _ => false,
            };
        }
    }

    /// How strongly the person is bound to the item, for models that take a weighted history: orders count 1 each with
    /// diminishing return, a cart ½, attention a tenth, own kinds what they count as times their weight; nothing if the
    /// item was rejected.
    pub fn strength(&self) -> f32 {
        if self.is_rejected {
            return 0.0;
        }
        let evidence = f32::from(self.n_purchases)
            + 0.5 * f32::from(self.n_carts.min(2))
            + 0.1 * f32::from(self.n_attention.min(5))
            + self.own_kinds;
        evidence.ln_1p() / std::f32::consts::LN_2
    }

    fn unite(&mut self, other: &Self) {
        if other.last > self.last {
            self.is_rejected = other.is_rejected;
            self.last = other.last;
        }
        self.first = self.first.min(other.first);
        self.n_attention = self.n_attention.saturating_add(other.n_attention);
        self.n_carts = self.n_carts.saturating_add(other.n_carts);
        self.n_purchases = self.n_purchases.saturating_add(other.n_purchases);
        self.own_kinds = (self.own_kinds + other.own_kinds).min(MAX_OWN_KINDS);
        if other.last_purchase > self.last_purchase {
            self.last_purchase = other.last_purchase;
            self.last_order = other.last_order;
        }
    }
}

impl From<&Interaction> for RecentKind {
    fn from(interaction: &Interaction) -> Self {
        match &interaction.kind {
            InteractionKind::View => Self::View,
            InteractionKind::Click => Self::Click,
            InteractionKind::Cart => Self::Cart,
            InteractionKind::Purchase => Self::Purchase,
            InteractionKind::Rating => Self::Rating,
            InteractionKind::Like => Self::Like,
            InteractionKind::Dislike => Self::Dislike,
            InteractionKind::Dismiss => Self::Dismiss,
            InteractionKind::PurchaseCancelled => Self::PurchaseCancelled,
            InteractionKind::Custom(_) if is_negative(interaction.signal) => Self::CustomNegative,
            InteractionKind::Custom(_) => Self::Custom,
        }
    }
}

/// What an act of an own kind adds to the evidence, in the units of [`ItemHistory::strength`].
fn evidence_of(signal: Option<Signal>) -> f32 {
    let Some(signal) = signal else { return 0.0 };
    let unit = match signal.counts_as() {
        CountsAs::Purchase => 1.0,
        CountsAs::Cart => 0.5,
        CountsAs::Attention => 0.1,
        CountsAs::Negative => 0.0,
    };
    (unit * signal.weight()) as f32
}

fn is_negative(signal: Option<Signal>) -> bool {
    signal.is_some_and(|signal| signal.counts_as() == CountsAs::Negative)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(value: &f32) -> bool {
    *value == 0.0
}

/// XXH3 of the order's id; 0 stands for "no order named".
fn order_key(interaction: &Interaction) -> u64 {
    interaction.order_id.as_deref().map_or(0, |id| xxhash_rust::xxh3::xxh3_64(id.as_bytes()))
}

fn trim_front<T>(list: &mut Vec<T>, max: usize) {
    if list.len() > max {
        list.drain(..list.len() - max);
    }
}

#[cfg(test)]
mod tests;
