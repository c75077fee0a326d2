//! The folder that all state of the embedded default lies in.
//!
//! ```text
//! waggle-dir.json   the folder's format; a folder of another format is refused, never converted in place
//! lock              held while a process works on the folder
//! log.sqlite        the event log            state/      checkpoints of online state
//! waggle.sqlite     the database             artifacts/  snapshots and archive
//! datasets/         what `waggle data fetch` downloaded
//! ```

use std::{
    fs::{self, File, TryLockError},
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

/// Format written today.
const FORMAT: u32 = 1;
const MARKER: &str = "waggle-dir.json";

/// A folder that this process works on alone, as long as this value lives.
#[derive(Debug)]
pub(crate) struct DataDir {
    _lock: File,
}

#[derive(Serialize, Deserialize)]
struct Marker {
    format: u32,
    created_by: String,
}

impl DataDir {
    /// Opens the folder, making it if need be, and locks it.
    ///
    /// # Errors
    /// A folder of another format, one that another process works on, or one that holds something else.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        fs::create_dir_all(path).with_context(|| format!("cannot make the folder {}", path.display()))?;
        check_marker(path)?;
        let lock_path = path.join("lock");
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .with_context(|| format!("cannot open {}", lock_path.display()))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { _lock: lock }),
            Err(TryLockError::WouldBlock) => bail!(
                "another waggle works on {}; stop it or choose another folder with --dir",
                path.display()
            ),
            Err(TryLockError::Error(e)) => {
                Err(e).with_context(|| format!("cannot lock {}", lock_path.display()))
            }
        }
    }
}

/// Where each store of the embedded default lies in its folder.
#[derive(Debug, Clone)]
pub(crate) struct Paths(PathBuf);

impl Paths {
    pub(crate) fn new(dir: &Path) -> Self {
        Self(dir.to_owned())
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.0.join("log.sqlite")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.0.join("state")
    }

    /// May be opened without the folder's lock.
    pub(crate) fn database(&self) -> PathBuf {
        self.0.join("waggle.sqlite")
    }

    pub(crate) fn artifacts(&self) -> PathBuf {
        self.0.join("artifacts")
    }
}

fn check_marker(path: &Path) -> Result<()> {
    let marker_path = path.join(MARKER);
    match fs::read(&marker_path) {
        Ok(bytes) => {
            let marker: Marker = serde_json::from_slice(&bytes)
                .with_context(|| format!("{} is damaged", marker_path.display()))?;
            if marker.format != FORMAT {
                bail!(
                    "{} has format {} (written by waggle {}), this build works with format {FORMAT}; \
                     choose another folder with --dir",
                    path.display(),
                    marker.format,
                    marker.created_by
                );
            }
            Ok(())
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            if Paths::new(path).log().exists() {
                bail!("{} holds a log but no {MARKER}; it was not made by waggle", path.display());
            }
            write_marker(&marker_path)
        }
        Err(e) => Err(e).with_context(|| format!("cannot read {}", marker_path.display())),
    }
}

fn write_marker(path: &Path) -> Result<()> {
    let marker = Marker { format: FORMAT, created_by: env!("CARGO_PKG_VERSION").to_owned() };
    let write = || -> std::io::Result<()> {
        let mut file = File::create(path)?;
        file.write_all(&serde_json::to_vec_pretty(&marker)?)?;
        file.sync_all()
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests;
