//! Undoing what was not durable.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    ops::Range,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rand::Rng;

use crate::{
    GRAVEYARD, INVENTORY, JOURNAL, PowerCut, inventory,
    journal::{self, Record},
};

/// What reaches the disk of its own accord before the power goes: in units of this.
const PAGE: usize = 4096;
/// What a disk writes whole.
const SECTOR: usize = 512;
/// Share of the pages that tear, where some do.
const TORN: f64 = 0.2;

/// What becomes of changes that were not durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// None of them reached the disk.
    AllLost,
    /// All of them did: the same as `kill -9` alone.
    AllKept,
    /// Each page is as it was after one of its changes, a fifth of them torn between several; each file has one of its
    /// lengths; names are lost from the newest back to a random one.
    Random,
}

/// What a cut threw away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Losses {
    /// Changes of data that no sync had made durable.
    pub unsynced_writes: u64,
    /// Pages that are older now than they were.
    pub lost_pages: u64,
    /// Pages of which some sectors are older than others.
    pub torn_pages: u64,
    /// Files that have another length now.
    pub changed_lengths: u64,
    /// Changes of names that no sync had made durable.
    pub unsynced_names: u64,
    /// Changes of names that were undone.
    pub lost_names: u64,
}

impl Losses {
    /// Adds those of another cut.
    pub fn add(&mut self, other: Self) {
        self.unsynced_writes += other.unsynced_writes;
        self.lost_pages += other.lost_pages;
        self.torn_pages += other.torn_pages;
        self.changed_lengths += other.changed_lengths;
        self.unsynced_names += other.unsynced_names;
        self.lost_names += other.lost_names;
    }
}

/// Why a cut would not mean anything.
#[derive(Debug, thiserror::Error)]
pub enum CutError {
    #[error("no program was followed: was it started with the variables of `environment`?")]
    NobodyFollowed,
    #[error("not followed: {0}")]
    NotFollowed(String),
    #[error("the folder has other names than were followed: {}", .0.join(", "))]
    OtherNames(Vec<String>),
    #[error("cutting the power of {}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
}

impl PowerCut {
    /// Leaves in the folder what a power cut would have. The program has to be dead; call [`arm`](Self::arm) before the
    /// next start.
    ///
    /// # Errors
    /// When nothing was followed, or something happened that the layer does not follow.
    pub fn cut(&self, fate: Fate, rng: &mut impl Rng) -> Result<Losses, CutError> {
        let path = self.work.join(JOURNAL);
        let records = journal::read_done(&fs::read(&path).map_err(|error| CutError::Io { path, error })?);
        self.check_followed(&records)?;
        let mut losses = Losses::default();
        let fail = |error| CutError::Io { path: self.root.clone(), error };
        self.undo_data(&records, fate, rng, &mut losses).map_err(fail)?;
        self.undo_names(&records, fate, rng, &mut losses).map_err(fail)?;
        Ok(losses)
    }

    fn check_followed(&self, records: &[Record]) -> Result<(), CutError> {
        if !records.iter().any(|record| matches!(record, Record::Started { .. })) {
            return Err(CutError::NobodyFollowed);
        }
        if let Some(Record::NotFollowed { what }) =
            records.iter().find(|record| matches!(record, Record::NotFollowed { .. }))
        {
            return Err(CutError::NotFollowed(what.clone()));
        }
        let fail = |error| CutError::Io { path: self.root.clone(), error };
        let known = inventory::read(&self.work.join(INVENTORY)).map_err(fail)?;
        let (expected, doubtful) = expected_names(known, records);
        let found = inventory::of(&self.root).map_err(fail)?;
        let other: Vec<_> = expected
            .symmetric_difference(&found)
            .filter(|name| !doubtful.contains(*name))
            .map(|name| name.display().to_string())
            .collect();
        if other.is_empty() { Ok(()) } else { Err(CutError::OtherNames(other)) }
    }

    fn undo_data(
        &self,
        records: &[Record],
        fate: Fate,
        rng: &mut impl Rng,
        losses: &mut Losses,
    ) -> io::Result<()> {
        let paths = inodes(&[&self.root, &self.work.join(GRAVEYARD)])?;
        for (inode, changes) in unsynced_data(records) {
            losses.unsynced_writes += changes.len() as u64;
            // A file that was removed for good has no content to lose.
            let Some(path) = paths.get(&inode) else { continue };
            if fate != Fate::AllKept {
                undo_file(path, &changes, fate, rng, losses)?;
            }
        }
        for record in records {
            let Record::Mapped { inode } = record else { continue };
            // Whatever was in memory is gone, and nobody may have relied on it.
            if let Some(path) = paths.get(inode).filter(|_| fate == Fate::AllLost || rng.gen_bool(0.5)) {
                let length = fs::metadata(path)?.len();
                let file = File::options().write(true).open(path)?;
                file.set_len(0)?;
                file.set_len(length)?;
            }
        }
        Ok(())
    }

    fn undo_names(
        &self,
        records: &[Record],
        fate: Fate,
        rng: &mut impl Rng,
        losses: &mut Losses,
    ) -> io::Result<()> {
        let changes = unsynced_names(records);
        losses.unsynced_names += changes.len() as u64;
        let n_kept = match fate {
            Fate::AllLost => 0,
            Fate::AllKept => changes.len(),
            Fate::Random => rng.gen_range(0..=changes.len()),
        };
        for change in changes[n_kept..].iter().rev() {
            self.undo_name(change)?;
            losses.lost_names += 1;
        }
        Ok(())
    }

    fn undo_name(&self, change: &Record) -> io::Result<()> {
        let grave = |number: &u64| self.work.join(GRAVEYARD).join(number.to_string());
        match change {
            Record::Created { path, .. } => remove(&self.root.join(path)),
            Record::Removed { path, grave: 0, .. } => unless_there(fs::create_dir(self.root.join(path))),
            Record::Removed { path, grave: number, .. } => restore(&grave(number), &self.root.join(path)),
            Record::Renamed { from, to, grave: number, .. } => {
                restore(&self.root.join(to), &self.root.join(from))?;
                if *number == 0 { Ok(()) } else { restore(&grave(number), &self.root.join(to)) }
            }
            _ => Ok(()),
        }
    }
}

/// Puts a file back. It is not there if the program died before it made the change that is undone, or if its folder is
/// gone.
fn restore(from: &Path, to: &Path) -> io::Result<()> {
    unless_missing(fs::rename(from, to))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => unless_missing(Err(error)),
    }
}

fn unless_missing(result: io::Result<()>) -> io::Result<()> {
    result.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

fn unless_there(result: io::Result<()>) -> io::Result<()> {
    result.or_else(|error| if error.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) })
}

/// One change of a file's bytes.
#[derive(Debug, Clone, Copy)]
struct Change<'a> {
    old_length: u64,
    offset: u64,
    end: u64,
    old: &'a [u8],
}

/// Changes that no sync made durable, by inode, in order.
fn unsynced_data(records: &[Record]) -> BTreeMap<u64, Vec<Change<'_>>> {
    let mut synced: HashMap<u64, u64> = HashMap::new();
    let mut all_synced = 0;
    for record in records {
        match record {
            Record::Synced { before, inode } => {
                let until = synced.entry(*inode).or_default();
                *until = (*until).max(*before);
            }
            Record::SyncedAll { before } => all_synced = all_synced.max(*before),
            _ => (),
        }
    }
    let mut changes: BTreeMap<u64, Vec<Change<'_>>> = BTreeMap::new();
    for record in records {
        let Record::Data { at, inode, old_length, offset, end, old } = record else { continue };
        if *at >= synced.get(inode).copied().unwrap_or_default().max(all_synced) {
            let change = Change { old_length: *old_length, offset: *offset, end: *end, old };
            changes.entry(*inode).or_default().push(change);
        }
    }
    changes
}

/// Changes of names that no sync made durable, in order. A folder's sync makes all before it durable; a name that moved
/// from one folder to another needs either, since the file system writes both or none.
fn unsynced_names(records: &[Record]) -> Vec<&Record> {
    let mut synced: HashMap<u64, u64> = HashMap::new();
    let mut all_synced = 0;
    for record in records {
        match record {
            Record::SyncedFolder { before, inode } => {
                let until = synced.entry(*inode).or_default();
                *until = (*until).max(*before);
            }
            Record::SyncedAll { before } => all_synced = all_synced.max(*before),
            _ => (),
        }
    }
    let is_lost = |at: u64, folders: &[u64]| {
        let until = folders.iter().filter_map(|folder| synced.get(folder)).max().copied();
        at >= until.unwrap_or_default().max(all_synced)
    };
    let changes = records.iter().filter(|record| match record {
        Record::Created { at, folder, .. } | Record::Removed { at, folder, .. } => is_lost(*at, &[*folder]),
        Record::Renamed { at, folders, .. } => is_lost(*at, folders),
        _ => false,
    });
    changes.collect()
}

/// Writes back to one file what it was, or a mixture of its versions.
fn undo_file(
    path: &Path,
    changes: &[Change<'_>],
    fate: Fate,
    rng: &mut impl Rng,
    losses: &mut Losses,
) -> io::Result<()> {
    let mut file = File::options().read(true).write(true).open(path)?;
    let length = file.metadata()?.len();
    let mut lengths: Vec<_> = changes.iter().map(|change| change.old_length).collect();
    lengths.push(length);
    let touched: BTreeSet<u64> = changes.iter().flat_map(|change| pages_of(change)).collect();
    let new_length = match fate {
        Fate::AllLost => lengths[0],
        _ => lengths[rng.gen_range(0..lengths.len())],
    };
    file.set_len(new_length.max(length))?;
    for page in touched {
        let versions = versions(&mut file, page, changes)?;
        let now = &versions[0];
        let chosen = match fate {
            Fate::Random if rng.gen_bool(TORN) => torn(&versions, rng),
            Fate::Random => versions[rng.gen_range(0..versions.len())].clone(),
            _ => versions[versions.len() - 1].clone(),
        };
        if chosen != *now {
            losses.lost_pages += 1;
            losses.torn_pages += u64::from(!versions.contains(&chosen));
            file.seek(SeekFrom::Start(page * PAGE as u64))?;
            file.write_all(&chosen)?;
        }
    }
    losses.changed_lengths += u64::from(new_length != length);
    file.set_len(new_length)
}

fn pages_of(change: &Change<'_>) -> Range<u64> {
    let end = change.end.max(change.offset + change.old.len() as u64);
    change.offset / PAGE as u64..end.div_ceil(PAGE as u64)
}

/// What a page has been, the newest first: now, and before each change that touched it.
fn versions(file: &mut File, page: u64, changes: &[Change<'_>]) -> io::Result<Vec<Vec<u8>>> {
    let start = page * PAGE as u64;
    let mut content = Vec::with_capacity(PAGE);
    file.seek(SeekFrom::Start(start))?;
    Read::by_ref(file).take(PAGE as u64).read_to_end(&mut content)?;
    content.resize(PAGE, 0);
    let mut versions = vec![content.clone()];
    for change in changes.iter().rev().filter(|change| pages_of(change).contains(&page)) {
        for (byte, at) in content.iter_mut().zip(start..) {
            if (change.offset..change.end.max(change.offset + change.old.len() as u64)).contains(&at) {
                let old = usize::try_from(at - change.offset).ok().and_then(|i| change.old.get(i));
                *byte = old.copied().unwrap_or_default();
            }
        }
        versions.push(content.clone());
    }
    Ok(versions)
}

fn torn(versions: &[Vec<u8>], rng: &mut impl Rng) -> Vec<u8> {
    let mut page = Vec::with_capacity(PAGE);
    for at in (0..PAGE).step_by(SECTOR) {
        page.extend_from_slice(&versions[rng.gen_range(0..versions.len())][at..at + SECTOR]);
    }
    page
}

/// Where each file of these folders lies.
fn inodes(folders: &[&Path]) -> io::Result<HashMap<u64, PathBuf>> {
    let mut paths = HashMap::new();
    for folder in folders {
        for name in inventory::of(folder)? {
            let path = folder.join(name);
            let found = fs::symlink_metadata(&path)?;
            if found.is_file() {
                paths.insert(found.ino(), path);
            }
        }
    }
    Ok(paths)
}

/// The names a folder has after these changes, and those that it may have or not, because the program may have failed or
/// died before it made a change it had announced.
fn expected_names(mut names: BTreeSet<PathBuf>, records: &[Record]) -> (BTreeSet<PathBuf>, HashSet<PathBuf>) {
    let mut doubtful = HashSet::new();
    let mut last: Option<&Record> = None;
    for record in records {
        match record {
            Record::Created { path, .. } => drop(names.insert(path.clone())),
            Record::Removed { path, .. } => drop(names.remove(path)),
            Record::Renamed { from, to, .. } => {
                let moved: Vec<_> = names.iter().filter(|name| name.starts_with(from)).cloned().collect();
                for name in moved {
                    names.remove(&name);
                    let rest = name.strip_prefix(from).unwrap_or(Path::new(""));
                    names.insert(if rest.as_os_str().is_empty() { to.clone() } else { to.join(rest) });
                }
            }
            _ => continue,
        }
        last = Some(record);
    }
    match last {
        Some(Record::Created { path, .. } | Record::Removed { path, .. }) => doubtful.extend([path.clone()]),
        Some(Record::Renamed { from, to, .. }) => doubtful.extend([from.clone(), to.clone()]),
        _ => (),
    }
    (names, doubtful)
}
