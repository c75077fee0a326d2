//! Which records of a partition the fold takes: the rule for who reads the log or its archive from the beginning.

use std::collections::{HashMap, HashSet};

use waggle_model::{Event, EventBody, PersonKey};

use crate::DedupWindow;

/// Decides record by record, in the order of offsets within each partition, as the online fold does:
/// - an event whose id stands among the positions before it ([`DedupWindow`]) is a duplicate;
/// - after an erasure, events of that id are dropped until a `UserChange` re-opens it.
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
        if partition.window.record(offset, event.event_id.as_ref()) {
            return false;
        }
        let Some(person) = event.person.key() else { return true };
        match &event.body {
            EventBody::Erasure => {
                partition.erased.insert(person);
                true
            }
            EventBody::UserChange(_) => {
                partition.erased.remove(&person);
                true
            }
            _ => !partition.erased.contains(&person),
        }
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
