//! Reading: cursors that stay where their follower is.
//!
//! Whoever follows a partition (the fold, the archiver, a projector) reads on from where its last batch ended. So a
//! *cursor* keeps fetching ahead from where it was last read, and a read takes the cursor that stands at the asked
//! offset; which follower it served before does not matter. A client of the broker has one position per partition,
//! so each of several followers needs a client of its own: a [`Lane`]. There are as many lanes as a topic has
//! followers, up to [`MAX_LANES`]; beyond that, followers share and pay with a seek per read.

mod cursor;
mod lane;

use std::{
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};

use rdkafka::{ClientConfig, error::KafkaError, types::RDKafkaErrorCode};

use self::{
    cursor::{Cursor, NOWHERE, READ_BYTES},
    lane::{Held, Lane},
};
use super::{
    client::{Inquiry, blocking, client_config},
    config::KafkaConfig,
    tails::{Tail, Tails},
};
use crate::log::{LogError, LogRecord, Topic};

/// Most clients per topic.
const MAX_LANES: usize = 6;
/// A cursor that nobody used for this long may be sent elsewhere although there could be one more lane.
const STALE_AFTER: Duration = Duration::from_secs(10);
/// Longest time without any record before a read that knows of more gives up.
const READ_PATIENCE: Duration = Duration::from_secs(10);
/// How long a record that should follow may take before a read returns what it has.
const GAP_PATIENCE: Duration = Duration::from_millis(500);
/// How long the end of the partition is doubted that was reported while records were known to follow.
const DOUBT: Duration = Duration::from_millis(200);

/// Reads one topic.
pub(super) struct Reader {
    topic: Topic,
    name: Arc<str>,
    n_partitions: u32,
    settings: ClientConfig,
    inquiry: Arc<Inquiry>,
    tails: Arc<Tails>,
    lanes: Mutex<Vec<Arc<Lane>>>,
    /// Held while a lane is made, so that many readers at once do not make one each.
    making: tokio::sync::Mutex<()>,
}

impl Reader {
    pub(super) fn new(
        config: &KafkaConfig,
        prefix: &str,
        topic: Topic,
        name: Arc<str>,
        n_partitions: u32,
        inquiry: Arc<Inquiry>,
        tails: Arc<Tails>,
    ) -> Result<Self, LogError> {
        let mut settings = client_config(config)?;
        settings
            // The client wants a group's name; nothing is ever committed under it.
            .set("group.id", format!("{prefix}.reader"))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("enable.partition.eof", "true")
            .set("check.crcs", "true")
            // A request that waits for records holds up a cursor that was moved meanwhile for as long.
            .set("fetch.wait.max.ms", "100")
            .set("fetch.error.backoff.ms", "100")
            .set("fetch.queue.backoff.ms", "5")
            // Per cursor: enough to keep a fold busy, little enough for hundreds of cursors.
            .set("queued.min.messages", "10000")
            .set("queued.max.messages.kbytes", "4096");
        let lanes = Mutex::default();
        let making = tokio::sync::Mutex::default();
        Ok(Self { topic, name, n_partitions, settings, inquiry, tails, lanes, making })
    }

    /// See [`crate::EventLog::read`]; `partition` is one of the topic's.
    pub(super) async fn read(
        &self,
        partition: u32,
        offset: u64,
        max: usize,
    ) -> Result<Vec<LogRecord>, LogError> {
        let Some(mut held) = self.cursor_for_reading(partition, offset).await? else {
            return Ok(Vec::new());
        };
        loop {
            self.take_in(&mut held, max).await?;
            let cursor = &mut *held.cursor;
            let at_end = !self.tail(partition).reaches(cursor.fetched);
            if cursor.buffer.len() >= max || cursor.buffered_bytes >= READ_BYTES || at_end {
                return Ok(cursor.hand_out(max));
            }
            let patience = if cursor.buffer.is_empty() { READ_PATIENCE } else { GAP_PATIENCE };
            match self.more(held, partition, patience).await? {
                (same, true) => held = same,
                (mut same, false) if !same.cursor.buffer.is_empty() => return Ok(same.cursor.hand_out(max)),
                (_, false) => return Err(self.silent(partition, offset)),
            }
        }
    }

    /// See [`crate::EventLog::wait`]; `partition` is one of the topic's.
    pub(super) async fn wait(&self, partition: u32, offset: u64) -> Result<(), LogError> {
        let tail = self.tail(partition);
        while !tail.reaches(offset) && !self.tails.is_closed() {
            match self.cursor_for_waiting(partition, offset).await? {
                Watch::Driving(held) => return self.drive(held, offset).await,
                Watch::Another(slot) => {
                    let mut end = tail.subscribe();
                    tokio::select! {
                        // Its holder went away without a record: now it is our turn.
                        _ = slot.lock_owned() => {}
                        _ = end.wait_for(|_| tail.reaches(offset) || self.tails.is_closed()) => {}
                    }
                }
                // Somebody waits for what will not be there soon.
                Watch::Beyond => tokio::time::sleep(Duration::from_secs(1)).await,
            }
        }
        Ok(())
    }

    /// Polls the cursor at `offset` until it has a record, or until somebody else knows of one: an append of this
    /// process, or another cursor.
    async fn drive(&self, mut held: Held, offset: u64) -> Result<(), LogError> {
        let tail = self.tail(held.partition);
        let mut end = tail.subscribe();
        let arrived = Arc::clone(&held.cursor.arrived);
        loop {
            end.mark_unchanged();
            self.take_in(&mut held, 1).await?;
            if !held.cursor.buffer.is_empty() || tail.reaches(offset) || self.tails.is_closed() {
                return Ok(());
            }
            tokio::select! {
                () = arrived.notified() => {}
                _ = end.changed() => {}
            }
        }
    }

    /// Oldest offset held and the offset after the newest, as the broker says.
    pub(super) async fn bounds(&self, partition: u32) -> Result<(u64, u64), LogError> {
        let (inquiry, name) = (Arc::clone(&self.inquiry), Arc::clone(&self.name));
        let (start, end) = blocking(move || inquiry.bounds(&name, partition)).await?;
        self.tail(partition).raise(end);
        Ok((start, end))
    }

    /// Ends all clients. What still waits for a cursor is woken by [`Tails::close`].
    pub(super) fn close(&self) {
        self.lanes().clear();
    }

    fn tail(&self, partition: u32) -> &Tail {
        self.tails.of(self.topic, partition).expect("the log has checked the partition")
    }

    fn lanes(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Lane>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The cursor at `offset`, or `None` if the partition ends there or before.
    async fn cursor_for_reading(&self, partition: u32, offset: u64) -> Result<Option<Held>, LogError> {
        if let Some(held) = self.standing_at(partition, offset) {
            return Ok(Some(held));
        }
        let (start, end) = self.bounds(partition).await?;
        if offset < start {
            return Err(self.trimmed(partition, offset, start));
        }
        if offset >= end {
            return Ok(None);
        }
        self.moved_to(partition, offset).await.map(Some)
    }

    async fn cursor_for_waiting(&self, partition: u32, offset: u64) -> Result<Watch, LogError> {
        if let Some(held) = self.standing_at(partition, offset) {
            return Ok(Watch::Driving(held));
        }
        let another = self.lanes().iter().find_map(|lane| {
            let slot = &lane.slots[partition as usize];
            (slot.position() == offset && !lane.is_broken()).then(|| Arc::clone(&slot.cursor))
        });
        if let Some(another) = another {
            return Ok(Watch::Another(another));
        }
        let (_, end) = self.bounds(partition).await?;
        match offset.cmp(&end) {
            std::cmp::Ordering::Greater => Ok(Watch::Beyond),
            _ => self.moved_to(partition, offset).await.map(Watch::Driving),
        }
    }

    fn standing_at(&self, partition: u32, offset: u64) -> Option<Held> {
        self.lanes().iter().filter(|lane| !lane.is_broken()).find_map(|lane| {
            if lane.slots[partition as usize].position() != offset {
                return None;
            }
            lane.hold(partition).filter(|held| held.cursor.next == offset)
        })
    }

    /// A cursor that is sent to `offset`: one without a follower, else one of a new lane, else the one that was not
    /// used for the longest time.
    async fn moved_to(&self, partition: u32, offset: u64) -> Result<Held, LogError> {
        let mut held = match self.unused(partition, STALE_AFTER) {
            Some(held) => held,
            None => self.of_new_lane(partition).await?,
        };
        held.slot().position.store(offset, Ordering::Release);
        let sure_end = self.tail(partition).end();
        let name = Arc::clone(&self.name);
        blocking(move || {
            held.place(&name, offset, sure_end)?;
            Ok(held)
        })
        .await
    }

    fn unused(&self, partition: u32, since: Duration) -> Option<Held> {
        let mut lanes = self.lanes();
        lanes.retain(|lane| !lane.is_broken());
        let idle = |lane: &Arc<Lane>| {
            let slot = &lane.slots[partition as usize];
            if slot.position() == NOWHERE { Duration::MAX } else { slot.idle() }
        };
        let mut candidates = lanes.iter().collect::<Vec<_>>();
        candidates.sort_by_key(|lane| std::cmp::Reverse(idle(lane)));
        candidates.into_iter().filter(|lane| idle(lane) >= since).find_map(|lane| lane.hold(partition))
    }

    async fn of_new_lane(&self, partition: u32) -> Result<Held, LogError> {
        let making = self.making.lock().await;
        // Whoever had the lock before us may have made a lane of which this partition is unused.
        if let Some(held) = self.unused(partition, STALE_AFTER) {
            return Ok(held);
        }
        if self.lanes().len() < MAX_LANES {
            let (settings, n_partitions) = (self.settings.clone(), self.n_partitions);
            let name = Arc::clone(&self.name);
            let lane = blocking(move || Lane::open(&settings, name, n_partitions)).await?;
            let held = lane.hold(partition);
            let mut lanes = self.lanes();
            if self.tails.is_closed() {
                return Err(LogError::Closed);
            }
            lanes.push(lane);
            return held.ok_or(LogError::Busy);
        }
        drop(making);
        if let Some(held) = self.unused(partition, Duration::ZERO) {
            return Ok(held);
        }
        // All are in use: the next to be free will do.
        let lane = self.lanes().iter().max_by_key(|lane| lane.slots[partition as usize].idle()).cloned();
        let lane = lane.ok_or(LogError::Closed)?;
        let cursor = Arc::clone(&lane.slots[partition as usize].cursor).lock_owned().await;
        Ok(Held { lane, partition, cursor })
    }

    /// Takes in what has been fetched until `max` records are there.
    async fn take_in(&self, held: &mut Held, max: usize) -> Result<(), LogError> {
        let partition = held.partition;
        match held.cursor.take_in(partition, max) {
            Ok(()) => {
                self.tail(partition).raise(held.cursor.fetched);
                Ok(())
            }
            Err(error) => {
                held.lane.broken.store(true, Ordering::Release);
                Err(self.failed(partition, held.cursor.next, &error).await)
            }
        }
    }

    /// Waits until the cursor has something new, a record or the certainty that there is none; `false` if `patience`
    /// ran out first.
    async fn more(
        &self,
        mut held: Held,
        partition: u32,
        patience: Duration,
    ) -> Result<(Held, bool), LogError> {
        let tail = self.tail(partition);
        let arrived = Arc::clone(&held.cursor.arrived);
        if !held.cursor.at_end {
            let news = tokio::time::timeout(patience, arrived.notified()).await.is_ok();
            return if self.tails.is_closed() { Err(LogError::Closed) } else { Ok((held, news)) };
        }
        // The client came to the partition's end although records were known to follow.
        let end = tail.end();
        if held.cursor.sure_end >= end {
            // It was sent here after they were known of, so there are none: a transaction's marker, or compaction.
            tail.set_barren(held.cursor.fetched, end);
            return Ok((held, true));
        }
        // The report may be older than the records. Usually they are about to come; if not, going to the same place
        // again gives a fresh report.
        if tokio::time::timeout(DOUBT, arrived.notified()).await.is_err() {
            let name = Arc::clone(&self.name);
            held = blocking(move || {
                held.place_again(&name, end)?;
                Ok(held)
            })
            .await?;
        }
        Ok((held, true))
    }

    async fn failed(&self, partition: u32, offset: u64, error: &KafkaError) -> LogError {
        let out_of_range = matches!(
            error,
            KafkaError::MessageConsumption(
                RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange
            )
        );
        if out_of_range {
            match self.bounds(partition).await {
                Ok((start, _)) if offset < start => return self.trimmed(partition, offset, start),
                Ok((_, end)) if offset > end => {
                    return LogError::Storage(format!(
                        "{} partition {partition} ends at {end}, before offset {offset}: it was cut or made anew",
                        self.name
                    ));
                }
                Ok(_) => {}
                Err(error) => return error,
            }
        }
        LogError::Storage(format!("reading {} partition {partition} at {offset} failed: {error}", self.name))
    }

    fn trimmed(&self, partition: u32, offset: u64, start: u64) -> LogError {
        LogError::Trimmed { topic: self.topic.as_str(), partition, offset, start }
    }

    fn silent(&self, partition: u32, offset: u64) -> LogError {
        LogError::Storage(format!(
            "no record of {} partition {partition} came from the brokers within {} s although there are some \
             from {offset} on",
            self.name,
            READ_PATIENCE.as_secs()
        ))
    }
}

/// How a waiter learns of the record it waits for.
enum Watch {
    /// By polling the cursor that it holds.
    Driving(Held),
    /// From whoever holds the cursor that stands there.
    Another(Arc<tokio::sync::Mutex<Cursor>>),
    /// The partition ends before.
    Beyond,
}
