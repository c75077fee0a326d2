//! Which records of a partition count: no repetitions, and nothing of who was erased.
//!
//! - An event whose id stands among the positions before it ([`DedupWindow`]) is a repetition.
//! - After an erasure, events of that id are dropped until a `UserChange` re-opens it. A session has no `UserChange`: once
//!   erased, it stays so. A user who comes back may merge it again, but what it did is gone and what it does is dropped, for
//!   the tombstone lies in the session's partition and the merge in the user's; a shop that lets somebody back in starts a
//!   new session.
//!
//! The online fold asks with the tombstones it stores, whoever reads the log or its archive from the beginning with
//! [`Admission`], and both get the same answer from [`passes`].

use std::collections::{HashMap, HashSet};

use waggle_model::{Event, EventBody, PersonKey};

use crate::DedupWindow;

/// Who was erased in a partition and has not come back.
pub trait Tombstones {
    fn is_erased(&mut self, person: PersonKey) -> bool;
    fn set_erased(&mut self, person: PersonKey, is_erased: bool);
}

impl Tombstones for HashSet<PersonKey> {
    fn is_erased(&mut self, person: PersonKey) -> bool {
        self.contains(&person)
    }

    fn set_erased(&mut self, person: PersonKey, is_erased: bool) {
        if is_erased {
            self.insert(person);
        } else {
            self.remove(&person);
        }
    }
}

/// Whether the event, which is no repetition, counts. Erasures and returns are noted in `tombstones`; events must come in
/// the order of their partition.
pub fn passes(event: &Event, tombstones: &mut impl Tombstones) -> bool {
    let Some(person) = event.person.key() else { return true };
    match &event.body {
        EventBody::Erasure => tombstones.set_erased(person, true),
        EventBody::UserChange(_) => tombstones.set_erased(person, false),
        _ => return !tombstones.is_erased(person),
    }
    true
}

/// Decides record by record, in the order of offsets within each partition.
#[derive(Debug, Default)]
pub struct Admission {
    partitions: HashMap<u32, Partition>,
}

#[derive(Debug)]
struct Partition {
    window: DedupWindow,
    erased: HashSet<PersonKey>,
}

impl Admission {
    /// Whether the record counts. Records of one partition must come in ascending order of offsets.
    pub fn admits(&mut self, partition: u32, offset: u64, event: &Event) -> bool {
        let partition = self
            .partitions
            .entry(partition)
            .or_insert_with(|| Partition { window: DedupWindow::new(offset), erased: HashSet::new() });
        !partition.window.record(offset, event.event_id.as_ref()) && passes(event, &mut partition.erased)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Map;
    use waggle_model::{
        EventId, Interaction, InteractionKind, ItemId, Person, Timestamp, UserChange, UserId,
    };

    use super::*;

    fn event(id: Option<&str>, body: EventBody) -> Event {
        Event {
            event_id: id.map(|id| EventId::try_new(id).unwrap()),
            timestamp: Timestamp::from_millis(0),
            person: Person::user(UserId::try_new("ada").unwrap()),
            body,
            context: Map::new(),
        }
    }

    fn click(id: Option<&str>) -> Event {
        let item = ItemId::try_new("kettle").unwrap();
        event(id, EventBody::Interaction(Interaction::new(InteractionKind::Click, item)))
    }

    #[test]
    fn a_repeated_id_counts_once_per_partition() {
        let mut admission = Admission::default();
        assert!(admission.admits(0, 0, &click(Some("a"))));
        assert!(!admission.admits(0, 1, &click(Some("a"))));
        assert!(admission.admits(1, 0, &click(Some("a"))), "another partition is another log");
        assert!(admission.admits(0, 2, &click(None)) && admission.admits(0, 3, &click(None)));
    }

    #[test]
    fn an_erased_person_is_dropped_until_they_return() {
        let mut admission = Admission::default();
        assert!(admission.admits(0, 0, &event(None, EventBody::Erasure)));
        assert!(!admission.admits(0, 1, &click(None)));
        assert!(admission.admits(0, 2, &event(None, EventBody::UserChange(UserChange::default()))));
        assert!(admission.admits(0, 3, &click(None)));
    }
}
