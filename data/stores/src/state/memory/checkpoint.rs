//! Checkpoint files: `state-<sequence>.checkpoint`, the two newest of which are kept.
//!
//! Layout, little endian: magic (8 bytes), version (u32), number of partitions (u32); per partition its offset (u64),
//! time (i64, ms), number of blobs (u64) and the blobs (kind u8, key u64, length u32, bytes); at the end the XXH3-64 of
//! everything before it. Every version ends with that checksum, so a damaged file is told from one of another version.
//!
//! A file is written under another name, fsynced, renamed, and the folder fsynced: it is there whole or not at all.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use bytes::{Buf, Bytes};
use waggle_model::Timestamp;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::{Blobs, KINDS, Partition, StateError};

const MAGIC: &[u8; 8] = b"WGLSTATE";
const VERSION: u32 = 1;
const CHECKSUM_BYTES: usize = 8;
/// The newest, and one in case that is damaged.
const KEPT: usize = 2;

/// Where the checkpoints lie.
#[derive(Debug)]
pub(super) struct Folder {
    dir: PathBuf,
    next_sequence: u64,
}

impl Folder {
    /// Opens the folder and loads the newest whole checkpoint.
    pub(super) fn open(dir: PathBuf) -> Result<(Self, Option<Vec<Partition>>), StateError> {
        let fail = |e: io::Error| storage(&dir, &e);
        std::fs::create_dir_all(&dir).map_err(fail)?;
        remove_unfinished(&dir).map_err(fail)?;
        let mut files = list(&dir).map_err(fail)?;
        let next_sequence = files.last().map_or(0, |(sequence, _)| sequence.saturating_add(1));
        while let Some((_, path)) = files.pop() {
            match decode(&Bytes::from(std::fs::read(&path).map_err(|e| storage(&path, &e))?)) {
                Ok(partitions) => return Ok((Self { dir, next_sequence }, Some(partitions))),
                Err(Unreadable::Version(got)) => return Err(StateError::Version { got, expected: VERSION }),
                Err(Unreadable::Damaged(what)) => tracing::warn!(
                    checkpoint = %path.display(),
                    "state checkpoint {} is damaged ({what}); using the one before it",
                    path.display()
                ),
            }
        }
        Ok((Self { dir, next_sequence }, None))
    }

    /// Writes a checkpoint and removes those that are not needed any more.
    pub(super) fn write(
        &mut self,
        n_partitions: usize,
        partitions: impl Iterator<Item = io::Result<Vec<u8>>>,
    ) -> Result<(), StateError> {
        let path = self.dir.join(format!("state-{:020}.checkpoint", self.next_sequence));
        let unfinished = path.with_extension("unfinished");
        let written = write_file(&unfinished, n_partitions, partitions).and_then(|()| {
            std::fs::rename(&unfinished, &path)?;
            sync_folder(&self.dir)
        });
        if let Err(error) = written {
            // Whatever is left of it is removed when the folder is opened next.
            std::fs::remove_file(&unfinished).ok();
            return Err(storage(&path, &error));
        }
        self.next_sequence += 1;
        let mut files = list(&self.dir).map_err(|e| storage(&self.dir, &e))?;
        files.truncate(files.len().saturating_sub(KEPT));
        for (_, old) in files {
            std::fs::remove_file(&old).map_err(|e| storage(&old, &e))?;
        }
        Ok(())
    }
}

fn write_file(
    path: &Path,
    n_partitions: usize,
    partitions: impl Iterator<Item = io::Result<Vec<u8>>>,
) -> io::Result<()> {
    let mut out =
        Checksummed { inner: BufWriter::with_capacity(1 << 20, File::create(path)?), hash: Xxh3::new() };
    out.write_all(MAGIC)?;
    out.write_all(&VERSION.to_le_bytes())?;
    out.write_all(&u32::try_from(n_partitions).map_err(io::Error::other)?.to_le_bytes())?;
    for partition in partitions {
        out.write_all(&partition?)?;
    }
    let checksum = out.hash.digest();
    let mut file = out.inner;
    file.write_all(&checksum.to_le_bytes())?;
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

/// One partition as a checkpoint has it: one copy, made in one piece while the partition stands still.
pub(super) fn encode(partition: &Partition) -> io::Result<Vec<u8>> {
    let Partition { applied, blobs } = partition;
    let mut out = applied.offset.to_le_bytes().to_vec();
    out.extend(applied.time.as_millis().to_le_bytes());
    out.extend((blobs.iter().map(Blobs::len).sum::<usize>() as u64).to_le_bytes());
    for (kind, blobs) in (0_u8..).zip(blobs) {
        for (key, blob) in blobs.iter() {
            out.push(kind);
            out.extend(key.to_le_bytes());
            out.extend(u32::try_from(blob.len()).map_err(io::Error::other)?.to_le_bytes());
            out.extend(blob);
        }
    }
    Ok(out)
}

struct Checksummed<W> {
    inner: W,
    hash: Xxh3,
}

impl<W: Write> Checksummed<W> {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.inner.write_all(bytes)
    }
}

enum Unreadable {
    Damaged(&'static str),
    Version(u32),
}

fn decode(file: &Bytes) -> Result<Vec<Partition>, Unreadable> {
    let length = file.len().checked_sub(CHECKSUM_BYTES).ok_or(Unreadable::Damaged("too short"))?;
    let (mut rest, mut checksum) = (file.slice(..length), file.slice(length..));
    if checksum.get_u64_le() != xxh3_64(&rest) {
        return Err(Unreadable::Damaged("checksum"));
    }
    if rest.len() < 16 || rest.split_to(8) != MAGIC.as_slice() {
        return Err(Unreadable::Damaged("not a checkpoint"));
    }
    let version = rest.get_u32_le();
    if version != VERSION {
        return Err(Unreadable::Version(version));
    }
    let n_partitions = rest.get_u32_le();
    let partitions = (0..n_partitions)
        .map(|_| decode_partition(&mut rest))
        .collect::<Option<Vec<_>>>()
        .ok_or(Unreadable::Damaged("cut off"))?;
    if rest.is_empty() { Ok(partitions) } else { Err(Unreadable::Damaged("too long")) }
}

fn decode_partition(rest: &mut Bytes) -> Option<Partition> {
    let mut partition = Partition::default();
    partition.applied.offset = rest.try_get_u64_le().ok()?;
    partition.applied.time = Timestamp::from_millis(rest.try_get_i64_le().ok()?);
    for _ in 0..rest.try_get_u64_le().ok()? {
        let kind = usize::from(rest.try_get_u8().ok()?);
        let key = rest.try_get_u64_le().ok()?;
        let length = rest.try_get_u32_le().ok()? as usize;
        if kind >= KINDS.len() || rest.len() < length {
            return None;
        }
        partition.blobs[kind].insert(key, &rest.split_to(length));
    }
    Some(partition)
}

/// Checkpoints by ascending sequence.
fn list(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|n| n.to_str());
        let sequence = name.and_then(|n| n.strip_prefix("state-")?.strip_suffix(".checkpoint")?.parse().ok());
        if let Some(sequence) = sequence {
            files.push((sequence, path));
        }
    }
    files.sort_unstable();
    Ok(files)
}

fn remove_unfinished(dir: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "unfinished") {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Makes names in the folder durable. Windows cannot open folders as files and needs no such step.
fn sync_folder(dir: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
}

fn storage(path: &Path, error: &io::Error) -> StateError {
    StateError::Storage(format!("{}: {error}", path.display()))
}
