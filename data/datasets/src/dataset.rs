//! What a reader gives.

use serde_json::{Map, Value};
use waggle_model::{Event, Item, Timestamp, UserId};

use crate::CleaningReport;

/// A public dataset as the domain's values.
#[derive(Debug, Clone)]
pub struct Dataset {
    pub name: &'static str,
    /// Ascending by id.
    pub items: Vec<Item>,
    /// Users and their properties (such as `country`), ascending by id.
    pub users: Vec<(UserId, Map<String, Value>)>,
    /// Ascending by time; events of one time keep the order of the files.
    pub events: Vec<Event>,
    pub report: CleaningReport,
    /// How far all times were moved from what the files say, in milliseconds.
    shift_ms: i64,
}

impl Dataset {
    pub(crate) fn new(
        name: &'static str,
        items: Vec<Item>,
        users: Vec<(UserId, Map<String, Value>)>,
        events: Vec<Event>,
        report: CleaningReport,
    ) -> Self {
        debug_assert!(events.is_sorted_by_key(|e| e.timestamp));
        Self { name, items, users, events, report, shift_ms: 0 }
    }

    /// Moves every time by one constant, so that what happened at `anchor_from` happens at `anchor_to`: intervals,
    /// weekdays apart, stay as they were. Shifts add up.
    pub fn shift_to(&mut self, anchor_from: Timestamp, anchor_to: Timestamp) {
        let by = anchor_to.as_millis().saturating_sub(anchor_from.as_millis());
        for event in &mut self.events {
            event.timestamp = event.timestamp.shifted_by_millis(by);
        }
        for from in self.items.iter_mut().filter_map(|item| item.available_from.as_mut()) {
            *from = from.shifted_by_millis(by);
        }
        self.shift_ms = self.shift_ms.saturating_add(by);
    }

    /// Shifts so that the newest event happened one minute before `now`.
    pub fn shift_newest_before(&mut self, now: Timestamp) {
        if let Some(newest) = self.events.last().map(|e| e.timestamp) {
            self.shift_to(newest, now.shifted_by_millis(-60_000));
        }
    }

    /// The time the files give for a time of this dataset.
    pub fn original_time(&self, shifted: Timestamp) -> Timestamp {
        shifted.shifted_by_millis(self.shift_ms.saturating_neg())
    }

    /// The events as they go into a log: each with `context.original_time`, the unshifted time in RFC 3339.
    ///
    /// The context is made on the way out because a map per event would more than double the memory of
    /// [`events`](Self::events).
    pub fn into_log_events(self) -> impl Iterator<Item = Event> {
        let shift_ms = self.shift_ms;
        self.events.into_iter().map(move |mut event| {
            let original = event.timestamp.shifted_by_millis(shift_ms.saturating_neg());
            event.context.insert("original_time".to_owned(), Value::String(original.to_rfc3339()));
            event
        })
    }
}
