//! How far a consumer is behind the log, for dashboards and alarms.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use waggle_stores::Topic;

/// How often lag is measured.
pub(crate) const PERIOD: Duration = Duration::from_secs(1);

/// The lag of one consumer of one topic.
///
/// Every replica measures every partition, whoever owns it: the offsets are in the stores, and a partition that nobody
/// owns is the very one to hear of. So dashboards take the maximum over replicas.
pub(crate) struct Lag {
    consumer: &'static str,
    topic: Topic,
    /// By partition: ends of the log that were seen and are not reached yet, with the moment each was first seen.
    waiting: Vec<VecDeque<(u64, Instant)>>,
}

impl Lag {
    pub(crate) fn new(consumer: &'static str, topic: Topic, n_partitions: u32) -> Self {
        metrics::describe_gauge!(
            "waggle_consumer_lag_records",
            "Records of the partition that the consumer has not applied; the maximum over replicas counts."
        );
        metrics::describe_gauge!(
            "waggle_consumer_lag_seconds",
            metrics::Unit::Seconds,
            "How long the oldest record that is not applied has been waiting, by this replica's clock."
        );
        Self { consumer, topic, waiting: vec![VecDeque::new(); n_partitions as usize] }
    }

    /// Exports what was measured at `now`: the consumer has reached `applied`, the log ends at `end`.
    pub(crate) fn observe(&mut self, partition: u32, applied: u64, end: u64, now: Instant) {
        let Some(waiting) = self.waiting.get_mut(partition as usize) else { return };
        let age = age_of_oldest(waiting, applied, end, now);
        let labels = [
            ("consumer", self.consumer.to_owned()),
            ("topic", self.topic.as_str().to_owned()),
            ("partition", partition.to_string()),
        ];
        metrics::gauge!("waggle_consumer_lag_records", &labels).set(end.saturating_sub(applied) as f64);
        metrics::gauge!("waggle_consumer_lag_seconds", &labels).set(age.as_secs_f64());
    }
}

/// How long the record at `applied` has been known to wait; right to the period of measuring.
///
/// The records' own times are of no use here: an import's are years old, and clients' clocks differ.
fn age_of_oldest(waiting: &mut VecDeque<(u64, Instant)>, applied: u64, end: u64, now: Instant) -> Duration {
    while waiting.front().is_some_and(|(seen_end, _)| *seen_end <= applied) {
        waiting.pop_front();
    }
    if end > applied && waiting.back().is_none_or(|(seen_end, _)| *seen_end < end) {
        waiting.push_back((end, now));
    }
    waiting.front().map_or(Duration::ZERO, |(_, first_seen)| now.duration_since(*first_seen))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_ages_from_when_it_was_first_seen_until_it_is_applied() {
        let start = Instant::now();
        let mut waiting = VecDeque::new();
        let mut age = |applied, end, seconds| {
            age_of_oldest(&mut waiting, applied, end, start + Duration::from_secs(seconds)).as_secs()
        };
        assert_eq!(age(10, 10, 0), 0, "nothing waits");
        assert_eq!(age(10, 12, 1), 0, "just seen");
        assert_eq!(age(10, 15, 4), 3);
        assert_eq!(age(11, 15, 5), 4, "a part of what was seen first still waits");
        assert_eq!(age(12, 15, 6), 2, "what came second is the oldest now");
        assert_eq!(age(15, 15, 7), 0);
        assert_eq!(age(15, 16, 8), 0);
    }
}
