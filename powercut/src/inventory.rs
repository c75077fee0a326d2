//! Which names a folder has.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs, io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// Everything under `root`, relative to it.
pub(crate) fn of(root: &Path) -> io::Result<BTreeSet<PathBuf>> {
    let (mut found, mut open) = (BTreeSet::new(), vec![root.to_owned()]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                open.push(entry.path());
            }
            found.insert(entry.path().strip_prefix(root).unwrap_or(&entry.path()).to_owned());
        }
    }
    Ok(found)
}

pub(crate) fn write(file: &Path, names: &BTreeSet<PathBuf>) -> io::Result<()> {
    let mut bytes = Vec::new();
    for name in names {
        bytes.extend_from_slice(name.as_os_str().as_bytes());
        bytes.push(0);
    }
    fs::write(file, bytes)
}

pub(crate) fn read(file: &Path) -> io::Result<BTreeSet<PathBuf>> {
    let bytes = fs::read(file)?;
    let names = bytes.split(|b| *b == 0).filter(|name| !name.is_empty());
    Ok(names.map(|name| PathBuf::from(OsStr::from_bytes(name))).collect())
}
