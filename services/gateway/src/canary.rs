//! Freshness, measured all the time: how long after its acknowledgement an event shows in the same person's next answer.
//!
//! A canary is a person who exists for this alone, one in each partition. It takes the way that everybody takes: its event
//! is acknowledged by the log, folded by whoever owns the partition, and then an answer is asked for. The event is a merge
//! of the canary with its own session, which changes the state of that one person and nothing else: no item's counters,
//! nothing trending, no training row. Its answers are neither recorded nor counted.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use waggle_model::{Event, EventBody, Person, SessionId, Timestamp, UserId, encode_event, partition_of};
use waggle_stores::{EventLog, LogError, NewRecord, Position, Topic};

use crate::{
    App,
    recommend::{Checked, recommend},
};

/// Seconds from acknowledgement to changed answer.
const FRESHNESS: &str = "waggle_freshness_seconds";
/// Events that did not show in time.
const LOST: &str = "waggle_canary_failures_total";
/// Longest wait for one event; it is observed as this long.
const PATIENCE: Duration = Duration::from_secs(60);
/// Shortest pause between two looks. Longer waits are looked at less often: what is measured is at most a twentieth too
/// long, and an outage is not made worse.
const LOOK: Duration = Duration::from_millis(1);

/// Sends an event of a canary `every` so often, partition after partition, until cancelled.
pub async fn measure_freshness(
    app: Arc<App>,
    log: Arc<dyn EventLog>,
    every: Duration,
    cancel: CancellationToken,
) {
    metrics::describe_histogram!(
        FRESHNESS,
        metrics::Unit::Seconds,
        "Time from a canary's acknowledged event to the first answer that has seen it."
    );
    metrics::describe_counter!(
        LOST,
        "Canaries' events that the log refused or that did not show within a minute."
    );
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for partition in (0..log.n_partitions(Topic::Events)).cycle() {
        let measured = async {
            ticks.tick().await;
            measure_once(&app, &*log, partition).await
        };
        match cancel.run_until_cancelled(measured).await {
            None => return,
            Some(Ok(Some(took))) => {
                metrics::histogram!(FRESHNESS).record(took.as_secs_f64());
                debug!(took_ms = took.as_secs_f64() * 1e3, "a canary's event shows");
            }
            Some(Ok(None)) => {
                metrics::histogram!(FRESHNESS).record(PATIENCE.as_secs_f64());
                metrics::counter!(LOST, "why" => "late").increment(1);
                warn!("an acknowledged event did not show in its person's answers within {PATIENCE:?}");
            }
            Some(Err(error)) => {
                metrics::counter!(LOST, "why" => "log").increment(1);
                warn!(%error, "the log took no canary's event");
            }
        }
    }
}

/// One event of the partition's canary, from acknowledgement to answer; `None` if it does not show within a minute.
///
/// # Errors
/// The log's own, if it does not take the event.
pub async fn measure_once(
    app: &App,
    log: &dyn EventLog,
    partition: u32,
) -> Result<Option<Duration>, LogError> {
    let person = canary(partition, log.n_partitions(Topic::Events));
    let at = append(log, &person).await?;
    let acknowledged = Instant::now();
    let request = Checked { person: person.clone(), k: Some(1), is_probe: true, ..Checked::default() };
    while acknowledged.elapsed() < PATIENCE {
        // The person is asked for before the answer: a look costs one read of state, not a whole list.
        let is_seen = app.features.person(&person).await.is_ok_and(|view| view.watermark.offset > at.offset);
        if is_seen && recommend(app, &request).await.watermark.is_some_and(|w| w.offset > at.offset) {
            return Ok(Some(acknowledged.elapsed()));
        }
        tokio::time::sleep(LOOK.max(acknowledged.elapsed() / 20)).await;
    }
    Ok(None)
}

async fn append(log: &dyn EventLog, person: &Person) -> Result<Position, LogError> {
    let event = Event {
        event_id: None,
        timestamp: Timestamp::now(),
        person: person.clone(),
        body: EventBody::Merge,
        context: serde_json::Map::new(),
    };
    let key = person.partition_key().expect("a canary has a name");
    let record =
        NewRecord { key: Bytes::copy_from_slice(key.as_bytes()), value: encode_event(&event).into() };
    let positions = log.append(Topic::Events, vec![record]).await?;
    Ok(positions.into_iter().next().expect("one record has one position"))
}

/// The canary of a partition: the first of its names whose key leads there.
fn canary(partition: u32, n_partitions: u32) -> Person {
    let name = (0_u64..)
        .map(|n| format!("waggle:canary:{n}"))
        .find(|name| partition_of(name.as_bytes(), n_partitions) == partition)
        .expect("some name leads to every partition");
    Person {
        session_id: Some(
            SessionId::try_new(format!("{name}:session")).expect("a short name without control characters"),
        ),
        user_id: Some(UserId::try_new(name).expect("a short name without control characters")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_partition_has_a_canary_of_its_own() {
        for n_partitions in [1, 3, 64] {
            for partition in 0..n_partitions {
                let person = canary(partition, n_partitions);
                let key = person.partition_key().unwrap();
                assert_eq!(partition_of(key.as_bytes(), n_partitions), partition);
            }
        }
    }
}
