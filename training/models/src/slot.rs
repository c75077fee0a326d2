//! The snapshots a serving process holds: the current one and for a while the one before it, swapped in one step.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use waggle_model::SnapshotVersion;

use crate::Snapshot;

/// Requests name the version they started with; as long as it is the current or the previous one, they finish on it.
#[derive(Default)]
pub struct SnapshotSlot {
    loaded: ArcSwap<Loaded>,
    preparations: Mutex<Vec<Preparation>>,
}

type Preparation = Box<dyn Fn(&Snapshot) + Send + Sync>;

#[derive(Default, Clone)]
struct Loaded {
    current: Option<Arc<Snapshot>>,
    previous: Option<Arc<Snapshot>>,
    /// When `current` came in the place of `previous`.
    since: Option<Instant>,
}

impl SnapshotSlot {
    /// The snapshot that new requests should name.
    pub fn current(&self) -> Option<Arc<Snapshot>> {
        self.loaded.load().current.clone()
    }

    /// The snapshot of that version, if it is the current or the previous one.
    pub fn get(&self, version: &SnapshotVersion) -> Option<Arc<Snapshot>> {
        let loaded = self.loaded.load();
        [&loaded.current, &loaded.previous]
            .into_iter()
            .flatten()
            .find(|snapshot| snapshot.manifest.version == *version)
            .cloned()
    }

    /// `prepare` runs for every snapshot before requests can name it; for the one that is current now, at once.
    pub fn before_install(&self, prepare: impl Fn(&Snapshot) + Send + Sync + 'static) {
        let mut preparations = self.preparations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(current) = self.current() {
            prepare(&current);
        }
        preparations.push(Box::new(prepare));
    }

    /// Makes `snapshot` the current one. The former one stays for requests in flight until
    /// [`release_previous`](Self::release_previous), the one before it goes. Installing
    /// the current version again changes nothing.
    pub fn install(&self, snapshot: Arc<Snapshot>) {
        let preparations = self.preparations.lock().unwrap_or_else(PoisonError::into_inner);
        preparations.iter().for_each(|prepare| prepare(&snapshot));
        self.loaded.rcu(|loaded| {
            let is_current =
                loaded.current.as_ref().is_some_and(|c| c.manifest.version == snapshot.manifest.version);
            if is_current {
                return Loaded::clone(loaded);
            }
            let previous = loaded.current.clone();
            Loaded { current: Some(snapshot.clone()), previous, since: Some(Instant::now()) }
        });
    }

    /// Forgets the former snapshot if it has been that for `linger`; whoever holds it keeps it until they are done.
    pub fn release_previous(&self, linger: Duration) {
        self.loaded.rcu(|loaded| {
            let mut kept = Loaded::clone(loaded);
            if loaded.since.is_some_and(|since| since.elapsed() >= linger) {
                kept.previous = None;
            }
            kept
        });
    }
}
