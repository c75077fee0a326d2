//! The snapshots a serving process holds: the current one and the one before it, swapped in one step.

use std::sync::{Arc, Mutex, PoisonError};

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

    /// Makes `snapshot` the current one. The former one stays for requests in flight, the one before it goes. Installing
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
            Loaded { current: Some(snapshot.clone()), previous: loaded.current.clone() }
        });
    }
}
