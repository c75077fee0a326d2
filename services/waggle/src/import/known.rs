//! Which events are in the log already.

use std::collections::HashSet;

use anyhow::Result;
use waggle_model::{EventId, decode_event};
use waggle_stores::{EventLog, LogSection, Topic};
use xxhash_rust::xxh3::xxh3_128;

use crate::progress::Steps;

/// Records read at once.
const BATCH: usize = 5_000;

/// The ids of events that are in the log, as far as somebody looked.
///
/// The log's consumers tell a repetition by the last positions of its partition. A file that is imported once more is
/// longer than those, so whoever imports looks for the ids in the whole log. 128 bits stand for an id: among a thousand
/// million of them an accidental match has odds of one in 2^68.
#[derive(Debug, Default)]
pub(crate) struct KnownIds(HashSet<u128>);

impl KnownIds {
    /// Reads the log of events from its beginning to its present end; about 35 bytes of memory per id.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub(crate) async fn in_log(log: &dyn EventLog, steps: &Steps) -> Result<Self> {
        let mut sections = Vec::new();
        for partition in 0..log.n_partitions(Topic::Events) {
            sections.push(LogSection::whole(log, Topic::Events, partition).await?);
        }
        let n_records = sections.iter().map(LogSection::rest).map(|(next, end)| end - next).sum();
        let mut known = Self::default();
        if n_records == 0 {
            return Ok(known);
        }
        steps.begin("what is there already", n_records);
        let mut n_read = 0;
        for mut section in sections {
            while let Some(records) = section.next(BATCH).await? {
                n_read += records.len() as u64;
                steps.at(n_read, n_records);
                // What is no event has no id.
                let events = records.iter().filter_map(|record| decode_event(&record.value).ok());
                known.0.extend(events.filter_map(|event| event.event_id).map(|id| fingerprint(&id)));
            }
        }
        steps.finish(&format!("{} ids of events in the log", known.0.len()));
        Ok(known)
    }

    /// Whether the id was not known before.
    pub(crate) fn insert(&mut self, id: &EventId) -> bool {
        self.0.insert(fingerprint(id))
    }

    pub(crate) fn contains(&self, id: &EventId) -> bool {
        self.0.contains(&fingerprint(id))
    }
}

fn fingerprint(id: &EventId) -> u128 {
    xxh3_128(id.as_str().as_bytes())
}
