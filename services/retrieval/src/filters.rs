//! Filters over the whole table at once: which slots hold what an expression lets through.
//!
//! Expressions are parsed once and kept by their text. What their leaves ask about lies in columns by slot, one per
//! property, built when a filter first asks for it and brought up to date chunk by chunk where the catalogue has changed
//! since. A leaf is then one pass over a column, and `and`, `or` and `not` work on 64 items at a time.

pub(crate) mod column;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use arc_swap::ArcSwapOption;
use serde_json::{Map, Value};
use waggle_filter::{BoundFilter, Filter, Leaf, Property, Schema, Tree};
use waggle_model::{SnapshotVersion, Timestamp};

use crate::{
    bits::Bits,
    table::{Entries, SnapshotRows},
};
use column::Column;

/// Parsed expressions, and outcomes of filters that are the same for everybody, that are kept.
const MAX_KEPT: usize = 1_024;
/// Bytes of all those outcomes: fewer are kept of a large catalogue.
const MAX_KEPT_BYTES: usize = 16 << 20;

/// What is kept between requests.
#[derive(Default)]
pub struct Filters {
    parsed: Mutex<Kept<(Arc<Schema>, Arc<Filter>)>>,
    outcomes: Mutex<Kept<(u64, Arc<Passed>)>>,
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
    fn put(&mut self, key: String, value: T, max: usize) {
        if self.0.len() >= max {
            self.0.clear();
        }
        self.0.insert(key, value);
    }
}

/// What filters let through among what may be shown.
#[derive(Debug, Default)]
pub struct Passed {
    slots: Bits,
    /// By the rows of the snapshot that asked last: a search meets rows in no order of slots, and looking the slot of each up
    /// takes longer than scoring it.
    rows: ArcSwapOption<PassedRows>,
    was_asked: AtomicBool,
}

/// What filters let through, by the rows of one snapshot.
#[derive(Debug)]
pub struct PassedRows {
    of: SnapshotVersion,
    pub bits: Bits,
}

impl Passed {
    pub fn new(slots: Bits) -> Self {
        Self { slots, ..Self::default() }
    }

    pub fn slots(&self) -> &Bits {
        &self.slots
    }

    /// The same by row, once that is worth being worked out: not for the first request, which may be the only one.
    pub fn rows(&self, snapshot: &SnapshotRows) -> Option<Arc<PassedRows>> {
        if !self.was_asked.swap(true, Ordering::Relaxed) {
            return None;
        }
        if let Some(known) = self.rows.load_full().filter(|known| known.of == snapshot.version) {
            return Some(known);
        }
        // A snapshot may come while the table stays as it is.
        let rows = PassedRows { of: snapshot.version.clone(), bits: snapshot.by_row(&self.slots) };
        let rows = Arc::new(rows);
        self.rows.store(Some(Arc::clone(&rows)));
        Some(rows)
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
        lock(&self.parsed).put(text.to_owned(), (schema.clone(), filter.clone()), MAX_KEPT);
        Ok(filter)
    }

    /// What all the expressions let through, among what may be shown.
    pub fn allowed(
        &self,
        filters: &[Arc<Filter>],
        entries: &Entries,
        user: &Map<String, Value>,
        now: Timestamp,
    ) -> Arc<Passed> {
        let is_own = |filter: &&Arc<Filter>| filter.uses_user() || filter.uses_now();
        let (own, common): (Vec<_>, Vec<_>) = filters.iter().partition(is_own);
        let common = self.for_everybody(&common, entries);
        let own = own.into_iter().map(|filter| self.evaluate(&filter.bind(Some(user), now), entries));
        match own.reduce(|all, passed| all.and(&passed)) {
            None => common,
            Some(own) => Arc::new(Passed::new(own.and(common.slots()))),
        }
    }

    /// What expressions let through that say the same to everybody at any time.
    fn for_everybody(&self, filters: &[&Arc<Filter>], entries: &Entries) -> Arc<Passed> {
        let name = filters.iter().map(|filter| filter.canonical()).collect::<Vec<_>>().join("\n");
        let known = lock(&self.outcomes).0.get(&name).cloned();
        if let Some((_, passed)) = known.filter(|(of, _)| *of == entries.generation()) {
            return passed;
        }
        let passed = filters
            .iter()
            .map(|filter| self.evaluate(&filter.bind(None, Timestamp::default()), entries))
            .reduce(|all, passed| all.and(&passed));
        let passed = Arc::new(Passed::new(passed.unwrap_or_else(|| entries.offered().clone())));
        let n_bytes = 2 * entries.n_slots().div_ceil(8).max(1);
        let max = (MAX_KEPT_BYTES / n_bytes).clamp(1, MAX_KEPT);
        lock(&self.outcomes).put(name, (entries.generation(), passed.clone()), max);
        passed
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
