//! The stored form of a person: about a kilobyte for fifty items, each with an order of its own.
//!
//! An item's 64-bit key stands once, with its history; the last events refer to it by its place there. Times are
//! differences in milliseconds, orders are written where they first occur and pointed back to, and flags say what is
//! left out because it is zero or equal to what stands before it.

use waggle_model::{ItemKey, SessionId, Timestamp};

use super::{
    Counted, ItemHistory, MAX_ALIASES, MAX_ITEMS, MAX_RECENT, OrderKey, PersonState, RecentEvent, RecentKind,
    ShownItems, Today,
};
use crate::{
    StateDecodeError,
    codec::{Reader, Writer},
};

const VERSION: u8 = 2;

const IS_USER: u8 = 1;
const HAS_EVENTS: u8 = 2;
const HAS_ORDERS: u8 = 4;
const HAS_PRICES: u8 = 8;
/// Added without a new version: who was shown nothing has the bytes of before.
const HAS_SHOWN: u8 = 16;
const KNOWN: u8 = IS_USER | HAS_EVENTS | HAS_ORDERS | HAS_PRICES | HAS_SHOWN;

/// What expiry needs to know of a person, read without the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PersonSeen {
    pub is_user: bool,
    /// [`PersonState::last_active`].
    pub last: Timestamp,
}

impl PersonSeen {
    pub fn of(state: &PersonState) -> Self {
        Self { is_user: state.is_user, last: state.last_active() }
    }

    /// # Errors
    /// As [`PersonState::decode`], as far as the bytes are read.
    pub fn decode(bytes: &[u8]) -> Result<Self, StateDecodeError> {
        let mut reader = Reader::new(VERSION, bytes)?;
        let head = Head::read(&mut reader)?;
        let state = PersonState {
            today: Today { day: head.day, ..Today::default() },
            n_events: head.n_events,
            last_seen: head.last_seen,
            ..PersonState::default()
        };
        Ok(Self { is_user: head.flags & IS_USER != 0, last: state.last_active() })
    }
}

/// What every blob begins with.
struct Head {
    flags: u8,
    day: i64,
    n_events: u64,
    first_seen: Timestamp,
    last_seen: Timestamp,
}

impl Head {
    fn of(state: &PersonState) -> Self {
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        let epoch = Timestamp::default();
        let has_events = state.n_events > 0 || state.first_seen != epoch || state.last_seen != epoch;
        let order_facts = (
            state.n_purchases,
            state.n_orders,
            state.last_order_at,
            state.previous_order_at,
            state.last_order,
        );
        let has_orders = order_facts != (0, 0, epoch, epoch, 0);
        let has_prices = state.n_priced > 0 || state.log_price_sum.to_bits() != 0;
        Self {
            flags: flag(state.is_user, IS_USER)
                | flag(has_events, HAS_EVENTS)
                | flag(has_orders, HAS_ORDERS)
                | flag(has_prices, HAS_PRICES)
                | flag(!state.shown.is_empty(), HAS_SHOWN),
            day: state.today.day,
            n_events: state.n_events,
            first_seen: state.first_seen,
            last_seen: state.last_seen,
        }
    }

    fn write(&self, writer: &mut Writer) {
        writer.byte(self.flags);
        writer.zigzag(self.day);
        if self.flags & HAS_EVENTS != 0 {
            writer.varint(self.n_events);
            writer.time(self.first_seen);
            writer.later(self.last_seen, self.first_seen);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, StateDecodeError> {
        let flags = reader.byte()?;
        if flags & !KNOWN != 0 {
            return Err(StateDecodeError::Malformed("a flag is not known"));
        }
        let day = reader.zigzag()?;
        let (mut n_events, mut first_seen, mut last_seen) = (0, Timestamp::default(), Timestamp::default());
        if flags & HAS_EVENTS != 0 {
            n_events = reader.varint()?;
            first_seen = reader.time()?;
            last_seen = reader.later(first_seen)?;
        }
        Ok(Self { flags, day, n_events, first_seen, last_seen })
    }
}

impl PersonState {
    /// # Errors
    /// [`StateDecodeError`] for bytes that [`encode`](Self::encode) of this version did not write.
    pub fn decode(bytes: &[u8]) -> Result<Self, StateDecodeError> {
        let reader = &mut Reader::new(VERSION, bytes)?;
        let head = Head::read(reader)?;
        let mut state = Self {
            is_user: head.flags & IS_USER != 0,
            first_seen: head.first_seen,
            last_seen: head.last_seen,
            n_events: head.n_events,
            ..Self::default()
        };
        state.today =
            Today { day: head.day, n_counted: reader.narrow()?, n_seen: reader.narrow()?, seen: Vec::new() };
        let n_seen = reader.count(Self::max_seen_remembered(), 2)?;
        state.today.seen = (0..n_seen).map(|_| reader.u16()).collect::<Result<_, _>>()?;
        if head.flags & HAS_ORDERS != 0 {
            state.n_purchases = reader.varint()?;
            state.n_orders = reader.narrow()?;
            state.last_order_at = reader.time()?;
            state.previous_order_at = reader.time()?;
            state.last_order = reader.u32()?;
        }
        if head.flags & HAS_PRICES != 0 {
            state.log_price_sum = reader.f64()?;
            state.n_priced = reader.varint()?;
        }
        state.items = read_items(reader)?;
        state.recent = read_recent(reader, &state.items)?;
        let n_aliases = reader.count(MAX_ALIASES, 2)?;
        state.aliases = (0..n_aliases).map(|_| read_alias(reader)).collect::<Result<_, _>>()?;
        if head.flags & HAS_SHOWN != 0 {
            state.shown = ShownItems::read(head.day, reader)?;
        }
        reader.finish()?;
        Ok(state)
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new(VERSION, 64 + 20 * self.items.len() + 3 * self.recent.len());
        let head = Head::of(self);
        head.write(&mut writer);
        writer.varint(self.today.n_counted.into());
        writer.varint(self.today.n_seen.into());
        writer.varint(self.today.seen.len() as u64);
        self.today.seen.iter().for_each(|fingerprint| writer.u16(*fingerprint));
        if head.flags & HAS_ORDERS != 0 {
            writer.varint(self.n_purchases);
            writer.varint(self.n_orders.into());
            writer.time(self.last_order_at);
            writer.time(self.previous_order_at);
            writer.u32(self.last_order);
        }
        if head.flags & HAS_PRICES != 0 {
            writer.f64(self.log_price_sum);
            writer.varint(self.n_priced);
        }
        write_items(&self.items, &mut writer);
        write_recent(&self.recent, &self.items, &mut writer);
        writer.varint(self.aliases.len() as u64);
        self.aliases.iter().for_each(|alias| writer.text(alias.as_str()));
        if head.flags & HAS_SHOWN != 0 {
            self.shown.write(self.today.day, &mut writer);
        }
        writer.finish()
    }
}

/// First and last time are the same.
const TOUCHED_ONCE: u8 = 1;
const REJECTED: u8 = 2;
const HAS_PURCHASES: u8 = 4;
/// The newest purchase is the newest event, and the only purchase.
const BOUGHT_LAST: u8 = 8;
const HAS_ATTENTION: u8 = 16;
const HAS_CARTS: u8 = 32;
const HAS_COUNTED: u8 = 64;
const HAS_OWN_KINDS: u8 = 128;

fn write_items(items: &[ItemHistory], writer: &mut Writer) {
    writer.varint(items.len() as u64);
    let mut orders = Orders::default();
    let mut before = Timestamp::default();
    for entry in items {
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        let has_purchases =
            (entry.n_purchases, entry.last_purchase, entry.last_order) != (0, Timestamp::default(), 0);
        let is_bought_last = has_purchases && entry.n_purchases == 1 && entry.last_purchase == entry.last;
        let flags = flag(entry.first == entry.last, TOUCHED_ONCE)
            | flag(entry.is_rejected, REJECTED)
            | flag(has_purchases, HAS_PURCHASES)
            | flag(is_bought_last, BOUGHT_LAST)
            | flag(entry.n_attention > 0, HAS_ATTENTION)
            | flag(entry.n_carts > 0, HAS_CARTS)
            | flag(!entry.counted.is_nothing(), HAS_COUNTED)
            | flag(entry.own_kinds.to_bits() != 0, HAS_OWN_KINDS);
        writer.byte(flags);
        writer.u64(entry.item.0);
        writer.later(entry.last, before);
        before = entry.last;
        if flags & TOUCHED_ONCE == 0 {
            writer.later(entry.last, entry.first);
        }
        if has_purchases {
            if !is_bought_last {
                writer.varint(entry.n_purchases.into());
                writer.later(entry.last, entry.last_purchase);
            }
            orders.write(entry.last_order, writer);
        }
        if entry.n_attention > 0 {
            writer.varint(entry.n_attention.into());
        }
        if entry.n_carts > 0 {
            writer.varint(entry.n_carts.into());
        }
        if flags & HAS_COUNTED != 0 {
            writer.varint(entry.counted.packed());
        }
        if flags & HAS_OWN_KINDS != 0 {
            writer.f32(entry.own_kinds);
        }
    }
}

fn read_items(reader: &mut Reader<'_>) -> Result<Vec<ItemHistory>, StateDecodeError> {
    let n = reader.count(MAX_ITEMS, 10)?;
    let mut items = Vec::with_capacity(n);
    let mut orders = Orders::default();
    let mut before = Timestamp::default();
    for _ in 0..n {
        let flags = reader.byte()?;
        let item = ItemKey(reader.u64()?);
        let last = reader.later(before)?;
        before = last;
        let first = if flags & TOUCHED_ONCE != 0 { last } else { earlier(last, reader)? };
        let mut entry = ItemHistory { first, ..ItemHistory::new(item, last) };
        entry.is_rejected = flags & REJECTED != 0;
        if flags & HAS_PURCHASES != 0 {
            if flags & BOUGHT_LAST != 0 {
                (entry.n_purchases, entry.last_purchase) = (1, last);
            } else {
                entry.n_purchases = reader.narrow()?;
                entry.last_purchase = earlier(last, reader)?;
            }
            entry.last_order = orders.read(reader)?;
        }
        if flags & HAS_ATTENTION != 0 {
            entry.n_attention = reader.narrow()?;
        }
        if flags & HAS_CARTS != 0 {
            entry.n_carts = reader.narrow()?;
        }
        if flags & HAS_COUNTED != 0 {
            entry.counted = Counted::unpacked(reader.varint()?)
                .ok_or(StateDecodeError::Malformed("a share is too large"))?;
        }
        if flags & HAS_OWN_KINDS != 0 {
            entry.own_kinds = reader.f32()?;
        }
        items.push(entry);
    }
    Ok(items)
}

fn earlier(than: Timestamp, reader: &mut Reader<'_>) -> Result<Timestamp, StateDecodeError> {
    Ok(Timestamp::from_millis(than.as_millis().wrapping_sub(reader.varint()?.cast_signed())))
}

/// Orders in the order in which they occur: 0 is none, 1 is a new one that follows, more points back from the newest.
#[derive(Default)]
struct Orders(Vec<OrderKey>);

impl Orders {
    fn write(&mut self, order: OrderKey, writer: &mut Writer) {
        if order == 0 {
            writer.varint(0);
        } else if let Some(back) = self.0.iter().rev().position(|known| *known == order) {
            writer.varint(2 + back as u64);
        } else {
            writer.varint(1);
            writer.u32(order);
            self.0.push(order);
        }
    }

    fn read(&mut self, reader: &mut Reader<'_>) -> Result<OrderKey, StateDecodeError> {
        match reader.narrow::<usize>()? {
            0 => Ok(0),
            1 => {
                let order = reader.u32()?;
                self.0.push(order);
                Ok(order)
            }
            back => {
                let known = self.0.iter().rev().nth(back - 2);
                known.copied().ok_or(StateDecodeError::Malformed("an order is not there"))
            }
        }
    }
}

/// In the lower four bits of an event's first byte.
const KIND_BITS: u32 = 4;
/// The event is the newest of its item.
const IS_NEWEST: u8 = 16;
/// The event's item is the one behind the item of the event before.
const IS_NEXT: u8 = 32;
/// The item is not in the history: its key follows.
const IS_ELSEWHERE: u8 = 64;

const KINDS: [RecentKind; 11] = [
    RecentKind::View,
    RecentKind::Click,
    RecentKind::Cart,
    RecentKind::Purchase,
    RecentKind::Rating,
    RecentKind::Like,
    RecentKind::Dislike,
    RecentKind::Dismiss,
    RecentKind::PurchaseCancelled,
    RecentKind::Custom,
    RecentKind::CustomNegative,
];

fn write_recent(recent: &[RecentEvent], items: &[ItemHistory], writer: &mut Writer) {
    writer.varint(recent.len() as u64);
    let (mut time_before, mut place_before) = (Timestamp::default(), None::<usize>);
    for event in recent {
        let kind = KINDS.iter().position(|kind| *kind == event.kind).map_or(0, |place| place as u8);
        let place = items.iter().rposition(|entry| entry.item == event.item);
        let is_newest = place.is_some_and(|place| items[place].last == event.time);
        let is_next = place.is_some() && place == place_before.map(|before| before + 1);
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        writer.byte(
            kind | flag(is_newest, IS_NEWEST) | flag(is_next, IS_NEXT) | flag(place.is_none(), IS_ELSEWHERE),
        );
        match place {
            None => writer.u64(event.item.0),
            Some(_) if is_next => {}
            Some(place) => writer.varint(place as u64),
        }
        if !is_newest {
            writer.later(event.time, time_before);
        }
        (time_before, place_before) = (event.time, place);
    }
}

fn read_recent(reader: &mut Reader<'_>, items: &[ItemHistory]) -> Result<Vec<RecentEvent>, StateDecodeError> {
    let n = reader.count(MAX_RECENT, 1)?;
    let mut recent = Vec::with_capacity(n);
    let (mut time_before, mut place_before) = (Timestamp::default(), None::<usize>);
    for _ in 0..n {
        let flags = reader.byte()?;
        let kind = KINDS.get(usize::from(flags & ((1 << KIND_BITS) - 1)));
        let kind = *kind.ok_or(StateDecodeError::Malformed("a kind is not known"))?;
        let place = if flags & IS_ELSEWHERE != 0 {
            None
        } else if flags & IS_NEXT != 0 {
            Some(place_before.map_or(usize::MAX, |before| before.saturating_add(1)))
        } else {
            Some(reader.narrow::<usize>()?)
        };
        let not_there = StateDecodeError::Malformed("an event's item is not there");
        let entry = match place {
            Some(place) => Some(items.get(place).ok_or(not_there)?),
            None => None,
        };
        let item = match entry {
            Some(entry) => entry.item,
            None => ItemKey(reader.u64()?),
        };
        let time = match entry {
            Some(entry) if flags & IS_NEWEST != 0 => entry.last,
            _ => reader.later(time_before)?,
        };
        recent.push(RecentEvent { item, kind, time });
        (time_before, place_before) = (time, place);
    }
    Ok(recent)
}

fn read_alias(reader: &mut Reader<'_>) -> Result<SessionId, StateDecodeError> {
    let text = reader.text()?;
    SessionId::try_new(text).map_err(|_| StateDecodeError::Malformed("an alias is not a session's id"))
}
