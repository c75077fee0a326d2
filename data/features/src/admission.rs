//! Which records of a partition count: none that ingest would not have put there, no repetitions, and nothing of who was
//! erased.
//!
//! - A record that decodes may still not be an event of this partition, for anybody can write to a topic ([`Misfit`]).
//! - An event whose id stands among the positions before it ([`DedupWindow`]) is a repetition.
//! - After an erasure, events of that id are dropped until a `UserChange` re-opens it. A session has no `UserChange`: once
//!   erased, it stays so. A user who comes back may merge it again, but what it did is gone and what it does is dropped, for
//!   the tombstone lies in the session's partition and the merge in the user's; a shop that lets somebody back in starts a
//!   new session.
//!
//! The online fold asks with the tombstones it stores, whoever reads the log or its archive from the beginning with
//! [`Admission`], and both get the same answer from [`passes`].

use std::collections::{HashMap, HashSet};

use waggle_model::{
    Event, EventBody, PersonKey, Placement, Timestamp, answer::MAX_PLACEMENT_BYTES, partition_of,
};

use crate::DedupWindow;

/// Why an event is not one of its partition, although it decodes: ingest would not have written it there. The online fold
/// sets it aside; whoever reads log or archive passes over it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    #[error("neither user_id nor session_id is given")]
    Nobody,
    /// Counted here, it would be in nobody's answer, escape its person's erasure, and count once more where it belongs.
    #[error("its person belongs to partition {home}, it stands in partition {got}")]
    Elsewhere { home: u32, got: u32 },
    #[error("timestamp {0} is not within the years 0 to 9999")]
    Time(Timestamp),
    #[error("{0} is not a finite number")]
    Number(&'static str),
    #[error("placement must have 1 to {MAX_PLACEMENT_BYTES} bytes without control characters")]
    Placement,
}

/// Whether the event may stand in this partition of the log's events.
///
/// # Errors
/// [`Misfit`] says why not.
pub fn fits(event: &Event, partition: u32, n_partitions: u32) -> Result<(), Misfit> {
    let key = event.person.partition_key().ok_or(Misfit::Nobody)?;
    let home = partition_of(key.as_bytes(), n_partitions);
    if home != partition {
        return Err(Misfit::Elsewhere { home, got: partition });
    }
    if !event.timestamp.is_expressible() {
        return Err(Misfit::Time(event.timestamp));
    }
    let placement = match &event.body {
        EventBody::Interaction(act) => {
            let numbers = [("value", act.value), ("quantity", act.quantity), ("price", act.price)];
            if let Some((name, _)) = numbers.iter().find(|(_, n)| n.is_some_and(|n| !n.is_finite())) {
                return Err(Misfit::Number(name));
            }
            &act.placement
        }
        EventBody::Impression(seen) => &seen.placement,
        _ => &None,
    };
    if placement.as_ref().is_none_or(Placement::is_nameable) { Ok(()) } else { Err(Misfit::Placement) }
}

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
#[derive(Debug)]
pub struct Admission {
    n_partitions: u32,
    partitions: HashMap<u32, Partition>,
}

#[derive(Debug)]
struct Partition {
    window: DedupWindow,
    erased: HashSet<PersonKey>,
}

impl Admission {
    /// - `n_partitions`: of the log's events.
    pub fn new(n_partitions: u32) -> Self {
        Self { n_partitions, partitions: HashMap::new() }
    }

    /// Whether the record counts. Records of one partition must come in ascending order of offsets.
    pub fn admits(&mut self, partition: u32, offset: u64, event: &Event) -> bool {
        let fits = fits(event, partition, self.n_partitions).is_ok();
        let partition = self
            .partitions
            .entry(partition)
            .or_insert_with(|| Partition { window: DedupWindow::new(offset), erased: HashSet::new() });
        if !fits {
            // Its id is not remembered, as that of a record which does not decode.
            partition.window.record(offset, None);
            return false;
        }
        !partition.window.record(offset, event.event_id.as_ref()) && passes(event, &mut partition.erased)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Map;
    use waggle_model::{
        AnswerId, EventId, Impression, Interaction, InteractionKind, ItemId, Person, UserChange, UserId,
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
    fn a_repeated_id_counts_once() {
        let mut admission = Admission::new(1);
        assert!(admission.admits(0, 0, &click(Some("a"))));
        assert!(!admission.admits(0, 1, &click(Some("a"))));
        assert!(admission.admits(0, 2, &click(None)) && admission.admits(0, 3, &click(None)));
    }

    #[test]
    fn an_event_counts_in_its_persons_partition_only_and_is_not_remembered_elsewhere() {
        let home = partition_of(b"ada", 8);
        let elsewhere = (home + 1) % 8;
        let mut admission = Admission::new(8);
        assert!(!admission.admits(elsewhere, 0, &click(Some("a"))));
        assert!(admission.admits(home, 0, &click(Some("a"))));
        let misfit = fits(&click(None), elsewhere, 8).unwrap_err().to_string();
        assert_eq!(
            misfit,
            format!("its person belongs to partition {home}, it stands in partition {elsewhere}")
        );

        // What stood there with the same id before it was no event, so this one is no repetition.
        let nobodys = Event { person: Person::default(), ..click(Some("b")) };
        assert!(!admission.admits(home, 1, &nobodys));
        assert!(admission.admits(home, 2, &click(Some("b"))));
    }

    #[test]
    fn what_ingest_would_have_refused_does_not_fit() {
        let check = |change: fn(&mut Interaction), expected: Misfit| {
            let mut act = Interaction::new(InteractionKind::Purchase, ItemId::try_new("kettle").unwrap());
            change(&mut act);
            assert_eq!(fits(&event(None, EventBody::Interaction(act)), 0, 1), Err(expected));
        };
        check(|act| act.value = Some(f64::NAN), Misfit::Number("value"));
        check(|act| act.quantity = Some(f64::INFINITY), Misfit::Number("quantity"));
        check(|act| act.price = Some(f64::NEG_INFINITY), Misfit::Number("price"));
        check(|act| act.placement = Some(Placement::from("x".repeat(65))), Misfit::Placement);
        let seen = Impression {
            answer_id: AnswerId::try_new("a").unwrap(),
            items: Vec::new(),
            placement: Some(Placement::from(String::new())),
        };
        assert_eq!(fits(&event(None, EventBody::Impression(seen)), 0, 1), Err(Misfit::Placement));
        assert_eq!(fits(&event(None, EventBody::Erasure), 0, 1), Ok(()));
        for millis in [i64::MIN, i64::MAX] {
            let timestamp = Timestamp::from_millis(millis);
            let beyond = Event { timestamp, ..event(None, EventBody::Erasure) };
            assert_eq!(fits(&beyond, 0, 1), Err(Misfit::Time(timestamp)));
        }
    }

    #[test]
    fn an_erased_person_is_dropped_until_they_return() {
        let mut admission = Admission::new(1);
        assert!(admission.admits(0, 0, &event(None, EventBody::Erasure)));
        assert!(!admission.admits(0, 1, &click(None)));
        assert!(admission.admits(0, 2, &event(None, EventBody::UserChange(UserChange::default()))));
        assert!(admission.admits(0, 3, &click(None)));
    }
}
