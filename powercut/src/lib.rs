//! Power cuts for tests: what a program wrote and did not sync is thrown away.
//!
//! `kill -9` alone loses nothing that was written, because the kernel still has it. A power cut loses what was not yet
//! synced, in part and in any order: pages of 4 KiB, torn at sectors of 512 bytes, lengths of files, names in folders.
//! Two parts make one here, without a device, a mount or root:
//!
//! 1. The **layer** (crate `powercut-layer`, loaded with `LD_PRELOAD`) follows what a program does to files under one
//!    folder. Before each change it writes to a [`journal`] what would undo it, and it notes which changes an fsync has
//!    made durable. The journal lies outside the folder and outlives `kill -9` like everything that was written. The layer
//!    can also let the disk be full ([`Room`]).
//! 2. [`PowerCut::cut`], called when the program is dead, undoes what was not durable: everything, or what a seeded random
//!    generator picks ([`Fate`]).
//!
//! What is durable follows POSIX in its strict reading, which some file systems exceed: data by fsync or fdatasync of the
//! file (or `O_SYNC`), and a name, also that of a new file, only by fsync of its folder. What is assumed: bytes within a
//! sector do not tear; names are lost from the newest backwards, as a journaling file system does.
//!
//! What is not followed is reported by `cut` instead of passing as fine: writes through memory mappings (but those of
//! SQLite's `-shm` files, which nobody expects to survive), and names that changed without the layer having been asked, as
//! by a program that calls the kernel by itself.

mod cut;
mod inventory;
pub mod journal;

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

pub use cut::{CutError, Fate, Losses};

/// Names of what lies in the folder that the layer writes to.
pub const JOURNAL: &str = "journal";
/// Removed files are kept here while their removal is not durable.
pub const GRAVEYARD: &str = "graveyard";
/// How much the disk still takes, as [`Room`] encodes it.
pub const ROOM: &str = "room";
pub const ROOM_BYTES: usize = 8;
/// Variables that tell the layer its two folders.
pub const ROOT_VARIABLE: &str = "POWERCUT_ROOT";
pub const WORK_VARIABLE: &str = "POWERCUT_WORK";

const INVENTORY: &str = "inventory";

/// How much more the disk takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    Unlimited,
    /// Files may grow by so many bytes in all, and new ones be made as long as some are left; what was written before
    /// can be overwritten.
    Bytes(u32),
    /// No write succeeds at all, as on a file system that never overwrites.
    Nothing,
}

impl Room {
    /// As the layer reads it: bytes left, or a negative number.
    #[must_use]
    pub fn encode(self) -> i64 {
        match self {
            Self::Bytes(n) => i64::from(n),
            Self::Unlimited => -1,
            Self::Nothing => -2,
        }
    }
}

/// A folder whose power can be cut.
#[derive(Debug, Clone)]
pub struct PowerCut {
    root: PathBuf,
    work: PathBuf,
}

impl PowerCut {
    /// Follows what happens under `root`. The layer writes to `work`, which is made: a folder outside of `root` on the
    /// same file system.
    ///
    /// # Errors
    /// When the folders cannot be read and made.
    pub fn try_new(root: &Path, work: &Path) -> io::Result<Self> {
        fs::create_dir_all(work)?;
        let (root, work) = (root.canonicalize()?, work.canonicalize()?);
        if work.starts_with(&root) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the work folder lies in the followed one",
            ));
        }
        Ok(Self { root, work })
    }

    /// Takes all there is now as durable, with room for more. To be called before each start of the program.
    ///
    /// # Errors
    /// When a folder cannot be read or written.
    pub fn arm(&self) -> io::Result<()> {
        let graveyard = self.work.join(GRAVEYARD);
        if graveyard.exists() {
            fs::remove_dir_all(&graveyard)?;
        }
        fs::create_dir(&graveyard)?;
        File::create(self.work.join(JOURNAL))?;
        inventory::write(&self.work.join(INVENTORY), &inventory::of(&self.root)?)?;
        fs::write(self.work.join(ROOM), Room::Unlimited.encode().to_le_bytes())
    }

    /// The variables that put a program on the layer.
    ///
    /// - `layer`: the built `libpowercut_layer.so`
    #[must_use]
    pub fn environment(&self, layer: &Path) -> [(&'static str, OsString); 3] {
        [
            ("LD_PRELOAD", layer.into()),
            (ROOT_VARIABLE, self.root.clone().into()),
            (WORK_VARIABLE, self.work.clone().into()),
        ]
    }

    /// Fills the disk of the running program, or makes room.
    ///
    /// # Errors
    /// When the work folder cannot be written.
    pub fn set_room(&self, room: Room) -> io::Result<()> {
        // Over what is there: the program has the file mapped.
        let mut file = File::options().write(true).open(self.work.join(ROOM))?;
        file.write_all(&room.encode().to_le_bytes())
    }
}
