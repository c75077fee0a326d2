//! A filter about one user at one moment: nothing in it is open but the item.

mod bind;

use std::{
    ops::{Bound, RangeBounds},
    sync::Arc,
};

use waggle_model::{Item, Timestamp};

use crate::{
    property::{Property, Value},
    tree::Tree,
    values::Values,
};

/// An expression over [`Leaf`]s, for whoever has an index of them, and a slow and obvious evaluator.
#[derive(Debug, Clone, PartialEq)]
pub struct BoundFilter {
    tree: Tree<Leaf>,
}

/// One question about an item. An item that has no value there, or one of another type, answers no.
#[derive(Debug, Clone, PartialEq)]
pub struct Leaf {
    pub property: Property,
    pub test: Test,
}

/// What is asked of the value.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// It is one of these, which are of the property's type.
    OneOf(Values),
    /// It lies in the range; of a property of type number.
    NumberIn(Range<f64>),
    /// It lies in the range; of a property of type time.
    TimeIn(Range<Timestamp>),
    /// It begins with this; of a property of type string.
    StartsWith(Arc<str>),
    /// It holds one of these, which are strings; of a property of type list of strings.
    ContainsAny(Values),
    /// There is one.
    Exists,
}

/// Not empty, as far as its ends can say, and bounded on one side at least.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range<T> {
    pub lower: Bound<T>,
    pub upper: Bound<T>,
}

impl BoundFilter {
    pub fn tree(&self) -> &Tree<Leaf> {
        &self.tree
    }

    pub fn into_tree(self) -> Tree<Leaf> {
        self.tree
    }

    /// The answer, if it is the same for every item.
    pub fn constant(&self) -> Option<bool> {
        match self.tree {
            Tree::Constant(value) => Some(value),
            _ => None,
        }
    }

    /// Whether the item passes.
    pub fn matches(&self, item: &Item) -> bool {
        self.tree.evaluate(&mut |leaf| leaf.matches(item))
    }
}

impl Leaf {
    pub fn matches(&self, item: &Item) -> bool {
        self.property.value(item).is_some_and(|value| self.test.matches(&value))
    }
}

impl Test {
    pub fn matches(&self, value: &Value<'_>) -> bool {
        match (self, value) {
            (Self::OneOf(values), value) => values.has(value),
            (Self::NumberIn(range), Value::Number(number)) => range.contains(number),
            (Self::TimeIn(range), Value::Time(time)) => range.contains(time),
            (Self::StartsWith(prefix), Value::String(text)) => text.starts_with(&**prefix),
            (Self::ContainsAny(values), Value::Strings(held)) => {
                held.iter().any(|text| values.has(&Value::String(text)))
            }
            (Self::Exists, _) => true,
            _ => false,
        }
    }
}

impl<T: PartialOrd + Copy> Range<T> {
    pub fn contains(&self, value: &T) -> bool {
        (self.lower, self.upper).contains(value)
    }

    fn is_empty(&self) -> bool {
        match (self.lower, self.upper) {
            (Bound::Included(lower), Bound::Included(upper)) => lower > upper,
            (
                Bound::Included(lower) | Bound::Excluded(lower),
                Bound::Included(upper) | Bound::Excluded(upper),
            ) => lower >= upper,
            _ => false,
        }
    }

    fn intersection(&self, other: &Self) -> Self {
        Self {
            lower: tighter(self.lower, other.lower, |mine, others| mine > others),
            upper: tighter(self.upper, other.upper, |mine, others| mine < others),
        }
    }
}

fn tighter<T: PartialOrd + Copy>(
    mine: Bound<T>,
    others: Bound<T>,
    is_tighter: impl Fn(T, T) -> bool,
) -> Bound<T> {
    let (Some(a), Some(b)) = (end(mine), end(others)) else {
        return if matches!(mine, Bound::Unbounded) { others } else { mine };
    };
    if is_tighter(a, b) || (!is_tighter(b, a) && matches!(mine, Bound::Excluded(_))) { mine } else { others }
}

fn end<T>(bound: Bound<T>) -> Option<T> {
    match bound {
        Bound::Included(value) | Bound::Excluded(value) => Some(value),
        Bound::Unbounded => None,
    }
}

#[cfg(test)]
mod tests;
