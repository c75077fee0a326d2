//! What one person did: every distinct item with how often and when, and the last events in order.

mod encoding;
mod share;
mod shown;

use serde::{Deserialize, Serialize};
use waggle_model::{CountsAs, Interaction, InteractionKind, ItemKey, SessionId, Signal, Timestamp};

pub use encoding::PersonSeen;
pub use share::{Counted, DailyCaps, MAX_COUNTED_PER_DAY, MAX_SEEN_PER_DAY, Today};
pub use shown::{HALF_LIFE_DAYS, MAX_SHOWN, ShownItems};

/// Most distinct items kept per person; the one touched longest ago goes first.
pub const MAX_ITEMS: usize = 512;
/// Most recent events kept in order.
pub const MAX_RECENT: usize = 64;
/// Most evidence that own kinds give for one item, in orders.
pub const MAX_OWN_KINDS: f32 = 3.0;
/// Most sessions that a user may be known by.
pub const MAX_ALIASES: usize = 16;
/// Acts on two items this near to each other belong to one session, in milliseconds.
pub const SESSION_GAP_MS: i64 = 30 * 60 * 1_000;
/// Most items of the session so far that an act is counted together with.
pub const MAX_COMPANIONS: usize = 5;

/// What one person did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PersonState {
    /// A user, not a session.
    pub is_user: bool,
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
    /// [`OrderKey`] of the newest order.
    pub last_order: OrderKey,
    /// `Σ ln(price)` over purchases that told one, and how many did: the person's price level.
    pub log_price_sum: f64,
    pub n_priced: u64,
    /// Sessions that turned out to be this user, the newest last.
    pub aliases: Vec<SessionId>,
    /// How much of the person's newest day has counted for the items.
    pub today: Today,
    /// What was shown since they last acted on it.
    pub shown: ShownItems,
}

/// XXH3 of an order's id, its lower half; 0 stands for "no order named". It only tells whether two lines in a row are of
/// one order.
pub type OrderKey = u32;

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
    /// The newest order that held it, so that two lines of one order count once.
    pub last_order: OrderKey,
    /// The newest verdict was negative (dislike, dismiss, or an own kind that counts as negative).
    pub is_rejected: bool,
    /// What acts of the installation's own kinds add to the evidence, in orders.
    pub own_kinds: f32,
    /// What of the person's newest day has counted for the item.
    pub counted: Counted,
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

/// What an act adds to the counters of items.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contribution {
    /// It counts for its own item: the person has not had their share of the day yet.
    pub counts: bool,
    /// It is a new order of the item, and whether it is the person's first.
    pub first_order: Option<bool>,
    /// Items of the same session; each of them and the act's own item were acted on together.
    pub companions: Vec<ItemKey>,
}

impl PersonState {
    /// Folds one interaction at event time `time`: the history keeps all of it. What it may add to the items' counters
    /// comes back, held against the person's share of the day ([`DailyCaps`]).
    pub fn apply(&mut self, interaction: &Interaction, time: Timestamp) -> Contribution {
        let is_late = self.enter_day(time);
        if self.n_events == 0 {
            (self.first_seen, self.last_seen) = (time, time);
        }
        self.n_events += 1;
        self.first_seen = self.first_seen.min(time);
        self.last_seen = self.last_seen.max(time);
        if interaction.kind == InteractionKind::Purchase {
            self.count_purchase(interaction, time);
        }
        let item = interaction.item_id.key();
        self.shown.forget(item);
        let contribution = self.touch_item(item, interaction, time, is_late);
        self.push_recent(RecentEvent { item, kind: interaction.into(), time });
        contribution
    }

    /// The session `alias` turned out to be this person at `time`; the newest [`MAX_ALIASES`] are kept.
    pub fn add_alias(&mut self, alias: SessionId, time: Timestamp) {
        self.enter_day(time);
        self.aliases.retain(|known| *known != alias);
        self.aliases.push(alias);
        trim_front(&mut self.aliases, MAX_ALIASES);
    }

    /// The last few distinct items, other than `item`, that the person acted on within [`SESSION_GAP_MS`] before `time`;
    /// acts against an item and acts of unknown meaning are passed over.
    pub fn companions(&self, item: ItemKey, time: Timestamp) -> Vec<ItemKey> {
        let from = time.shifted_by_millis(-SESSION_GAP_MS);
        let mut companions = Vec::new();
        let before = self.recent.iter().rev().skip_while(|event| event.time > time);
        for event in before.take_while(|event| event.time >= from) {
            let is_together =
                event.item != item && event.kind.is_positive() && !companions.contains(&event.item);
            if is_together {
                companions.push(event.item);
                if companions.len() == MAX_COMPANIONS {
                    break;
                }
            }
        }
        companions
    }

    /// Geometric mean of the prices paid.
    pub fn typical_price(&self) -> Option<f64> {
        (self.n_priced > 0).then(|| (self.log_price_sum / self.n_priced as f64).exp())
    }

    /// This person's state united with that of an alias; histories merge by time, and where times are equal the person's
    /// own events come first.
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
        all.shown = self.shown.united_with(&alias.shown);
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

    fn touch_item(
        &mut self,
        item: ItemKey,
        interaction: &Interaction,
        time: Timestamp,
        is_late: bool,
    ) -> Contribution {
        let known = self.items.iter().rposition(|entry| entry.item == item);
        // A late act on an item that a full history does not hold: nothing says how much of it counted already.
        let is_unaccountable = is_late && known.is_none() && self.items.len() >= MAX_ITEMS;
        let mut entry = match known {
            Some(place) => self.items.remove(place),
            None => ItemHistory::new(item, time),
        };
        let orders_before = entry.n_purchases;
        entry.apply(interaction, time);
        let mut contribution = Contribution::default();
        if is_unaccountable {
            entry.counted = Counted::EXHAUSTED;
        } else {
            let is_first_today = entry.counted.is_nothing();
            contribution.counts = self.today.take(&mut entry.counted, interaction);
            if contribution.counts {
                contribution.first_order = (entry.n_purchases > orders_before).then_some(orders_before == 0);
                if is_first_today && RecentKind::from(interaction).is_positive() {
                    contribution.companions = self.companions(item, time);
                }
            }
        }
        // Events mostly come in order, so the place is at or near the end.
        let place = self.items.iter().rposition(|other| other.last <= entry.last).map_or(0, |p| p + 1);
        self.items.insert(place, entry);
        trim_front(&mut self.items, MAX_ITEMS);
        contribution
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
            counted: Counted::default(),
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
                self.own_kinds = (self.own_kinds + evidence_of(interaction.signal)).min(MAX_OWN_KINDS);
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

fn order_key(interaction: &Interaction) -> OrderKey {
    // Never 0 for an order that has a name.
    interaction
        .order_id
        .as_deref()
        .map_or(0, |id| (xxhash_rust::xxh3::xxh3_64(id.as_bytes()) as OrderKey).max(1))
}

fn trim_front<T>(list: &mut Vec<T>, max: usize) {
    if list.len() > max {
        list.drain(..list.len() - max);
    }
}

#[cfg(test)]
mod tests;
