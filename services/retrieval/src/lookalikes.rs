//! What reads like which item, for items that the snapshot does not know: worked out in the background when the
//! catalogue or the snapshot changes, so that a request only adds up.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use waggle_model::{Item, ItemIdx, ItemKey, KeyMap, SnapshotVersion, Timestamp};
use waggle_models::{Lookalikes, Snapshot, SnapshotSlot};
use waggle_stores::background;

use crate::{
    bits::Bits,
    lexical::{LexicalError, LexicalIndex},
    offer::slot_at,
    table::{Entries, ItemTable, Slot, SnapshotRows},
};

/// Shortest time between two looks at whether anything has changed.
const MIN_PERIOD: Duration = Duration::from_secs(1);
/// Working it out may use at most one part in this many of one core.
const MAX_LOAD: u32 = 20;
/// Most unknown items that are looked at, the newest first.
const MAX_UNKNOWN: usize = 2_000;
/// Known items that lead to an unknown one, the most alike first.
const NEAREST: usize = 20;
/// Less likeness than this is a word in common and no more.
const MIN_LIKENESS: f32 = 0.3;

/// Keeps [`Lookalikes`] of the current snapshot.
pub struct TextLikeness {
    table: Arc<ItemTable>,
    lexical: Arc<LexicalIndex>,
    snapshots: Arc<SnapshotSlot>,
    rows: Arc<ArcSwap<Vec<Arc<SnapshotRows>>>>,
    /// Held while it is worked out.
    kept: Mutex<Kept>,
    current: ArcSwap<Lookalikes>,
}

/// What need not be worked out again.
#[derive(Default)]
struct Kept {
    /// Table and snapshot that `current` was made of.
    made_of: Option<(u64, SnapshotVersion)>,
    by_item: KeyMap<Likenesses>,
}

/// The known items that an unknown one reads like, as long as its title is the same.
struct Likenesses {
    of: String,
    to: Vec<(ItemKey, f32)>,
}

impl TextLikeness {
    pub fn new(
        table: Arc<ItemTable>,
        lexical: Arc<LexicalIndex>,
        snapshots: Arc<SnapshotSlot>,
        rows: Arc<ArcSwap<Vec<Arc<SnapshotRows>>>>,
    ) -> Self {
        Self { table, lexical, snapshots, rows, kept: Mutex::default(), current: ArcSwap::default() }
    }

    pub fn load(&self) -> Arc<Lookalikes> {
        self.current.load_full()
    }

    /// Works it out anew if table or snapshot have changed. Costs one search of the text index per unknown item that is
    /// new or was changed; after another snapshot, per unknown item.
    ///
    /// # Errors
    /// [`LexicalError`] when the index cannot be read; what was known stays.
    pub fn refresh(&self) -> Result<(), LexicalError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(snapshot) = self.snapshots.current() else { return Ok(()) };
        let version = &snapshot.manifest.version;
        let loaded = self.rows.load();
        let Some(rows) = loaded.iter().find(|rows| rows.version == *version) else { return Ok(()) };
        let entries = self.table.load();
        let made_of = (entries.generation(), version.clone());
        if kept.made_of.as_ref() == Some(&made_of) {
            return Ok(());
        }
        let is_same_snapshot = kept.made_of.as_ref().is_some_and(|(_, before)| before == version);
        let mut before = if is_same_snapshot { std::mem::take(&mut kept.by_item) } else { KeyMap::default() };
        let known = known(&entries, rows, &snapshot);
        // What follows may take seconds: a snapshot that is replaced meanwhile does not stay for it.
        drop((snapshot, loaded));
        let is_known = |slot: Slot| known.has(slot.place());
        let mut by_item = KeyMap::default();
        for (slot, Item { item_id, title, .. }) in newest_unknown(&entries, is_known) {
            let key = item_id.key();
            let likenesses = match before.remove(&key).filter(|kept| kept.of == title) {
                Some(kept) => kept,
                None => Likenesses { to: self.nearest(&entries, slot, &title, is_known)?, of: title },
            };
            by_item.insert(key, likenesses);
        }
        let pairs = by_item.iter().map(|(key, likenesses)| (*key, likenesses.to.as_slice()));
        self.current.store(Arc::new(Lookalikes::new(pairs)));
        *kept = Kept { made_of: Some(made_of), by_item };
        Ok(())
    }

    /// The known items on offer that this item's title reads like most, with the share of the item's own score.
    fn nearest(
        &self,
        entries: &Entries,
        itself: Slot,
        title: &str,
        is_known: impl Fn(Slot) -> bool,
    ) -> Result<Vec<(ItemKey, f32)>, LexicalError> {
        let hits = self.lexical.alike(title, NEAREST + 1, |slot| slot == itself || is_known(slot))?;
        let own = hits.iter().find(|hit| hit.slot == itself).or(hits.first());
        let whole = own.map_or(0.0, |hit| hit.score);
        let others = hits.iter().filter(|hit| hit.slot != itself);
        let alike = others.map(|hit| (hit.slot, (hit.score / whole).min(1.0)));
        Ok(alike
            .filter(|(_, likeness)| *likeness >= MIN_LIKENESS)
            .filter_map(|(slot, likeness)| Some((entries.at(slot)?.key(), likeness)))
            .take(NEAREST)
            .collect())
    }

    /// Refreshes until cancelled.
    pub async fn run(self: Arc<Self>, cancel: CancellationToken) {
        let mut pause = MIN_PERIOD;
        while cancel.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
            let started = Instant::now();
            let likeness = self.clone();
            match background::run(move || likeness.refresh()).await {
                Ok(Ok(())) => {}
                Ok(Err(e)) => warn!(error = %e, "what new items read like could not be worked out"),
                Err(e) => warn!(error = %e, "working out what new items read like panicked"),
            }
            metrics::histogram!("waggle_retrieval_lookalikes_duration_seconds")
                .record(started.elapsed().as_secs_f64());
            pause = MIN_PERIOD.max(started.elapsed() * MAX_LOAD);
        }
    }
}

/// Which slots hold what is on offer and known.
fn known(entries: &Entries, rows: &SnapshotRows, snapshot: &Snapshot) -> Bits {
    let mut known = Bits::default();
    for slot in entries.offered().ones().map(slot_at) {
        known.set(slot.place(), rows.row(slot).is_some_and(|idx| knows(snapshot, idx)));
    }
    known
}

/// Whether a model says anything of the row: an item that nobody touched before the snapshot has neither neighbours nor
/// factors.
fn knows(snapshot: &Snapshot, idx: ItemIdx) -> bool {
    let (neighbours, _) = snapshot.item_item.neighbours(idx);
    !neighbours.is_empty() || snapshot.als.item_factors().row(idx.row()).iter().any(|factor| *factor != 0.0)
}

/// What is on offer and unknown: those that came on offer last, of one moment those that this process met last.
fn newest_unknown(entries: &Entries, is_known: impl Fn(Slot) -> bool) -> Vec<(Slot, Item)> {
    let unknown = entries.offered().ones().map(slot_at).filter(|slot| !is_known(*slot));
    let mut unknown: Vec<(Option<Timestamp>, Slot)> =
        unknown.filter_map(|slot| Some((entries.at(slot)?.item().available_from, slot))).collect();
    unknown.sort_unstable_by(|a, b| b.cmp(a));
    unknown.truncate(MAX_UNKNOWN);
    unknown.into_iter().filter_map(|(_, slot)| Some((slot, entries.at(slot)?.item()))).collect()
}
