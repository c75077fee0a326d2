//! Files and folders of the services.

use std::{fs, io::Write, os::unix::fs::MetadataExt, path::Path};

use anyhow::{Context, Result};

/// Writes a file in one step: whoever reads it sees the old or the new one.
pub(super) fn write(path: &Path, content: &[u8]) -> Result<()> {
    let dir = path.parent().context("a file has a folder")?;
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(content)?;
    file.persist(path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(())
}

/// What a folder takes on disk, in bytes. Blocks are counted, because Kafka's index files are mostly holes.
pub(super) fn size_bytes(path: &Path) -> u64 {
    const BLOCK_BYTES: u64 = 512;
    // A file that vanishes while we look takes nothing.
    let Ok(metadata) = fs::symlink_metadata(path) else { return 0 };
    let own = metadata.blocks() * BLOCK_BYTES;
    if !metadata.is_dir() {
        return own;
    }
    own + fs::read_dir(path)
        .map(|entries| entries.flatten().map(|entry| size_bytes(&entry.path())).sum())
        .unwrap_or(0)
}

/// Removes a folder with everything in it, if it is there.
pub(super) fn remove(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
