//! Filters over the whole table at once: which slots hold what an expression lets through.
//!
//! Expressions are parsed once and kept by their text. What their leaves ask about lies in columns by slot, one per
//! property, built when a filter first asks for it and brought up to date chunk by chunk where the catalogue has changed
//! since. A leaf is then one pass over a column, and `and`, `or` and `not` work on 64 items at a time.

pub(crate) mod column;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::{Map, Value};
use waggle_filter::{BoundFilter, Filter, Leaf, Property, Schema, Tree};
use waggle_model::Timestamp;

use crate::{bits::Bits, table::Entries};
use column::Column;

/// Parsed expressions, and outcomes of filters that are the same for everybody, that are kept.
const MAX_KEPT: usize = 1_024;

/// What is kept between requests.
#[derive(Default)]
pub struct Filters {
    parsed: Mutex<Kept<(Arc<Schema>, Arc<Filter>)>>,
    outcomes: Mutex<Kept<(u64, Arc<Bits>)>>,
    columns: Mutex<HashMap<Property, Arc<Column>>>,
}

/// Values by text, all forgotten when there are too many.
struct Kept<T>(HashMap<String, T>);

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T> Kept<T> {
    fn put(&mut self, key: String, value: T) {
        if self.0.len() >= MAX_KEPT {
            self.0.clear();
        }
        self.0.insert(key, value);
    }
}

impl Filters {
    /// The expression, checked against the properties that the catalogue has now.
    ///
    /// # Errors
    /// One sentence that says what is wrong and where, for whoever wrote it.
    pub fn parse(&self, text: &str, schema: &Arc<Schema>) -> Result<Arc<Filter>, String> {
        let known = lock(&self.parsed).0.get(text).cloned();
        if let Some((_, filter)) = known.filter(|(of, _)| Arc::ptr_eq(of, schema) || **of == **schema) {
            return Ok(filter);
        }
        let filter = Arc::new(Filter::parse(text, schema).map_err(|e| e.to_string())?);
        lock(&self.parsed).put(text.to_owned(), (schema.clone(), filter.clone()));
        Ok(filter)
    }

    /// The slots that all the expressions let through, among those that may be shown.
    pub fn allowed(
        &self,
        filters: &[Arc<Filter>],
        entries: &Entries,
        user: &Map<String, Value>,
        now: Timestamp,
    ) -> Arc<Bits> {
        let passed = filters.iter().map(|filter| self.passed(filter, entries, user, now));
        let all = passed.reduce(|all, passed| Arc::new(all.and(&passed)));
        all.unwrap_or_else(|| Arc::new(entries.offered().clone()))
    }

    /// The slots that the filter lets through, among those that may be shown.
    fn passed(
        &self,
        filter: &Filter,
        entries: &Entries,
        user: &Map<String, Value>,
        now: Timestamp,
    ) -> Arc<Bits> {
        let is_for_all = !filter.uses_user() && !filter.uses_now();
        if is_for_all
            && let Some((of, bits)) = lock(&self.outcomes).0.get(filter.canonical())
            && *of == entries.generation()
        {
            return bits.clone();
        }
        let bits = Arc::new(self.evaluate(&filter.bind(Some(user), now), entries));
        if is_for_all {
            lock(&self.outcomes).put(filter.canonical().to_owned(), (entries.generation(), bits.clone()));
        }
        bits
    }

    /// The slots that the filter lets through, among those that may be shown.
    pub fn evaluate(&self, filter: &BoundFilter, entries: &Entries) -> Bits {
        self.tree(filter.tree(), entries).and(entries.offered())
    }

    fn tree(&self, tree: &Tree<Leaf>, entries: &Entries) -> Bits {
        match tree {
            Tree::Constant(value) => Bits::all(*value, entries.n_slots()),
            Tree::And(children) => self.joined(children, entries, Bits::and),
            Tree::Or(children) => self.joined(children, entries, Bits::or),
            Tree::Not(child) => self.tree(child, entries).not(entries.n_slots()),
            Tree::Leaf(leaf) => self.column(&leaf.property, entries).matching(&leaf.test),
        }
    }

    /// A loop and not recursion over the children; how deep they nest is bounded by the language.
    fn joined(&self, children: &[Tree<Leaf>], entries: &Entries, join: fn(&Bits, &Bits) -> Bits) -> Bits {
        let mut children = children.iter().map(|child| self.tree(child, entries));
        let first = children.next().unwrap_or_default();
        children.fold(first, |joined, child| join(&joined, &child))
    }

    /// The property's column as of `entries`.
    pub(crate) fn column(&self, property: &Property, entries: &Entries) -> Arc<Column> {
        let known = lock(&self.columns).get(property).cloned();
        if let Some(column) = known.as_ref().filter(|column| column.is_of(entries)) {
            return column.clone();
        }
        let column = Arc::new(match known {
            Some(before) => before.updated(property, entries),
            None => Column::new(property, entries),
        });
        lock(&self.columns).insert(property.clone(), column.clone());
        column
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
