//! What some items hold of a property, counted; and items in its order.

use std::{cmp::Ordering, cmp::Reverse};

use serde_json::Value as Json;
use waggle_contracts::api::{Facet, FacetValue, MAX_FACET_VALUES};
use waggle_filter::{Property, Type};
use waggle_model::Timestamp;

use super::{ABSENT, Column, NO_TIME, Names, Typed};
use crate::table::Slot;

impl Column {
    /// The values that the items in these slots have: of strings, booleans and lists how many items have which, of numbers
    /// and times the least and the greatest. An item without a value counts nowhere.
    pub(crate) fn facet(&self, property: &Property, slots: impl Iterator<Item = Slot>) -> Facet {
        match &self.values {
            Typed::Strings { codes, names } => {
                let held = slots.map(|slot| codes.get(slot.place()).map_or([ABSENT], |code| [*code]));
                counted(property, names, held)
            }
            Typed::Lists { codes, names } => {
                let held = slots.map(|slot| codes.get(slot.place()).map_or(&[ABSENT][..], |codes| codes));
                counted(property, names, held)
            }
            Typed::Numbers(numbers) => {
                let held = slots.filter_map(|slot| numbers.get(slot.place()).copied());
                range(held.filter(|number| !number.is_nan()), f64::total_cmp, Json::from)
            }
            Typed::Times(times) => {
                let held = slots.filter_map(|slot| times.get(slot.place()).copied());
                let text = |millis| Json::from(Timestamp::from_millis(millis).to_rfc3339());
                range(held.filter(|time| *time != NO_TIME), i64::cmp, text)
            }
        }
    }

    /// Whether items can be put in the property's order.
    pub(crate) fn has_order(&self) -> bool {
        matches!(self.values, Typed::Numbers(_) | Typed::Times(_))
    }

    /// The least first, or last; items without a value always last.
    pub(crate) fn order(&self, a: Slot, b: Slot, descending: bool) -> Ordering {
        match &self.values {
            Typed::Numbers(numbers) => {
                let number = |slot: Slot| numbers.get(slot.place()).copied().filter(|n| !n.is_nan());
                ordered(number(a), number(b), f64::total_cmp, descending)
            }
            Typed::Times(times) => {
                let time = |slot: Slot| times.get(slot.place()).copied().filter(|t| *t != NO_TIME);
                ordered(time(a), time(b), i64::cmp, descending)
            }
            Typed::Strings { .. } | Typed::Lists { .. } => Ordering::Equal,
        }
    }
}

fn counted<T: AsRef<[u32]>>(property: &Property, names: &Names, held: impl Iterator<Item = T>) -> Facet {
    let mut counts = vec![0_u64; names.names.len() + 1];
    let (mut n_items, mut once) = (0, Vec::new());
    for codes in held {
        // A list may hold a value twice.
        once.clear();
        once.extend_from_slice(codes.as_ref());
        once.sort_unstable();
        once.dedup();
        once.iter().for_each(|code| counts[*code as usize] += 1);
        n_items += u64::from(once != [ABSENT]);
    }
    let mut values: Vec<(&str, u64)> =
        (1..).zip(&counts[1..]).filter(|(_, n)| **n > 0).map(|(code, n)| (names.name(code), *n)).collect();
    values.sort_unstable_by_key(|(name, n)| (Reverse(*n), *name));
    let n_other_values = values.len().saturating_sub(MAX_FACET_VALUES);
    values.truncate(MAX_FACET_VALUES);
    let json = |name: &str| match property.kind() {
        Type::Boolean => Json::from(name == "true"),
        _ => Json::from(name),
    };
    let values =
        values.into_iter().map(|(name, n_items)| FacetValue { value: json(name), n_items }).collect();
    Facet { n_items, values: Some(values), n_other_values: Some(n_other_values), ..Facet::default() }
}

fn range<T: Copy>(
    held: impl Iterator<Item = T>,
    order: fn(&T, &T) -> Ordering,
    json: impl Fn(T) -> Json,
) -> Facet {
    let (mut n_items, mut ends) = (0, None);
    for value in held {
        let (min, max) = ends.unwrap_or((value, value));
        let min = if order(&value, &min).is_lt() { value } else { min };
        let max = if order(&value, &max).is_gt() { value } else { max };
        (n_items, ends) = (n_items + 1, Some((min, max)));
    }
    let (min, max) = ends.map(|(min, max)| (json(min), json(max))).unzip();
    Facet { n_items, min, max, ..Facet::default() }
}

fn ordered<T>(a: Option<T>, b: Option<T>, order: fn(&T, &T) -> Ordering, descending: bool) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) if descending => order(&b, &a),
        (Some(a), Some(b)) => order(&a, &b),
        (a, b) => b.is_some().cmp(&a.is_some()),
    }
}
