//! What the layer knows: which files are followed, and the journal.
//!
//! A change is noted and made under one lock, so the journal has the order in which things happened. A sync is not: it
//! makes durable what was noted before it began, and says so when it is over.

use std::{
    ffi::{CStr, CString, OsStr, c_int, c_long},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering},
    },
};

use powercut::{GRAVEYARD, JOURNAL, ROOM, ROOM_BYTES, ROOT_VARIABLE, Room, WORK_VARIABLE, journal::Record};

use crate::sys::{self, FAILED, Status, call};

/// Descriptors from here on are not followed; a program under test has fewer.
const MAX_FDS: usize = 1 << 16;

/// What is known of an open descriptor.
const FOLLOWED: u8 = 1;
const APPENDS: u8 = 2;
/// Writes are durable when they return.
const SYNCS: u8 = 4;
/// A file that SQLite keeps in memory only, whatever it writes there.
const SHARED_MEMORY: u8 = 8;

static FLAGS: [AtomicU8; MAX_FDS] = [const { AtomicU8::new(0) }; MAX_FDS];
static INODES: [AtomicU64; MAX_FDS] = [const { AtomicU64::new(0) }; MAX_FDS];
static LAYER: OnceLock<Option<Layer>> = OnceLock::new();

pub(crate) struct Layer {
    root: PathBuf,
    work: PathBuf,
    journal: c_int,
    room: &'static AtomicI64,
    /// The moment of the last change.
    clock: Mutex<u64>,
}

/// A folder that is followed and a name in it.
pub(crate) struct Place {
    folder: u64,
    /// Relative to the root.
    path: PathBuf,
}

/// The layer, if this program is to be followed.
pub(crate) fn layer() -> Option<&'static Layer> {
    LAYER.get_or_init(Layer::try_new).as_ref()
}

/// The layer and what it knows of this descriptor, if it is followed.
pub(crate) fn followed(fd: c_int) -> Option<(&'static Layer, File)> {
    let at = usize::try_from(fd).ok().filter(|fd| *fd < MAX_FDS)?;
    let flags = FLAGS[at].load(Ordering::Acquire);
    if flags & FOLLOWED == 0 {
        return None;
    }
    let errno = sys::errno();
    let status = sys::status(fd);
    sys::set_errno(errno);
    // The C library closes some descriptors by itself; their number may be another file's by now.
    let status = status.filter(|status| status.inode == INODES[at].load(Ordering::Acquire));
    let Some(status) = status else {
        forget(fd);
        return None;
    };
    Some((layer()?, File { fd, flags, status }))
}

/// A descriptor is about to be closed.
pub(crate) fn forget(fd: c_int) {
    if let Some(flags) = usize::try_from(fd).ok().and_then(|fd| FLAGS.get(fd)) {
        flags.store(0, Ordering::Release);
    }
}

/// `copy` is another number for `fd`.
pub(crate) fn copied(fd: c_int, copy: c_int) {
    let (Ok(fd), Ok(copy)) = (usize::try_from(fd), usize::try_from(copy)) else { return };
    if fd < MAX_FDS && copy < MAX_FDS {
        INODES[copy].store(INODES[fd].load(Ordering::Acquire), Ordering::Release);
        FLAGS[copy].store(FLAGS[fd].load(Ordering::Acquire), Ordering::Release);
    }
}

/// An open file or folder that is followed.
#[derive(Clone, Copy)]
pub(crate) struct File {
    fd: c_int,
    flags: u8,
    status: Status,
}

impl Layer {
    fn try_new() -> Option<Self> {
        let folder = |variable: &str| -> Option<PathBuf> {
            let variable = CString::new(variable).ok()?;
            // SAFETY: the name ends with a zero byte; the value is copied before anything could change it.
            let value = unsafe { sys::text(libc::getenv(variable.as_ptr())) }?;
            Some(PathBuf::from(OsStr::from_bytes(value.to_bytes())))
        };
        let (root, work) = (folder(ROOT_VARIABLE)?, folder(WORK_VARIABLE)?);
        let open = |name: &str, flags: c_int| {
            let path = CString::new(work.join(name).as_os_str().as_bytes()).ok()?;
            let fd = sys::open(libc::AT_FDCWD, &path, flags | libc::O_CLOEXEC, 0);
            (fd >= 0).then_some(fd)
        };
        let journal = open(JOURNAL, libc::O_WRONLY | libc::O_APPEND)?;
        let room = map(open(ROOM, libc::O_RDWR)?)?;
        let layer = Self { root, work, journal, room, clock: Mutex::new(0) };
        layer.note(&Record::Started { pid: u64::from(std::process::id()) });
        Some(layer)
    }

    /// Opens a file, noting its creation, and cutting it by a followed change.
    pub(crate) fn open(&self, folder: c_int, path: &CStr, flags: c_int, mode: libc::mode_t) -> c_int {
        let writes = flags & libc::O_ACCMODE != libc::O_RDONLY;
        let cuts = writes && flags & libc::O_TRUNC != 0;
        let place = (writes || flags & libc::O_CREAT != 0).then(|| self.place(folder, path)).flatten();
        let Some(place) = place.filter(|_| flags & libc::O_TMPFILE != libc::O_TMPFILE) else {
            let fd = sys::open(folder, path, flags, mode);
            self.follow(fd, flags);
            return fd;
        };
        let mut clock = self.lock();
        let exists = call!(SYS_faccessat, folder, path.as_ptr(), libc::F_OK) == 0;
        let creates = flags & libc::O_CREAT != 0 && !exists;
        if creates && self.is_full() {
            sys::set_errno(libc::ENOSPC);
            return -1;
        }
        let at = creates.then(|| self.created(&mut clock, place));
        let fd = sys::open(folder, path, flags & !libc::O_TRUNC, mode);
        if fd < 0 {
            at.inspect(|at| self.note(&Record::Failed { at: *at }));
            return fd;
        }
        self.follow(fd, flags);
        drop(clock);
        if cuts
            && !creates
            && let Some((_, file)) = followed(fd)
            && file.set_length(self, 0, || call!(SYS_ftruncate, fd, 0)) != 0
        {
            let errno = sys::errno();
            forget(fd);
            call!(SYS_close, fd);
            sys::set_errno(errno);
            return -1;
        }
        fd
    }

    /// Follows a descriptor from now on, if it is of a file or folder under the root.
    fn follow(&self, fd: c_int, flags: c_int) {
        let Some(at) = usize::try_from(fd).ok().filter(|fd| *fd < MAX_FDS) else { return };
        let errno = sys::errno();
        let status = sys::status(fd).filter(|status| status.is_file() || status.is_folder());
        let path = status.and_then(|_| sys::path_of(fd)).filter(|path| path.starts_with(&self.root));
        sys::set_errno(errno);
        let (Some(status), Some(path)) = (status, path) else {
            FLAGS[at].store(0, Ordering::Release);
            return;
        };
        let mut known = FOLLOWED;
        if flags & libc::O_APPEND != 0 {
            known |= APPENDS;
        }
        // O_SYNC includes the bit of O_DSYNC.
        if flags & libc::O_DSYNC != 0 {
            known |= SYNCS;
        }
        if path.as_os_str().as_bytes().ends_with(b"-shm") {
            known |= SHARED_MEMORY;
        }
        INODES[at].store(status.inode, Ordering::Release);
        FLAGS[at].store(known, Ordering::Release);
    }

    /// Makes a name, by `make`.
    pub(crate) fn create(&self, folder: c_int, path: &CStr, make: impl FnOnce() -> c_long) -> c_long {
        let Some(place) = self.place(folder, path) else { return make() };
        let mut clock = self.lock();
        if call!(SYS_faccessat, folder, path.as_ptr(), libc::F_OK) == 0 {
            return make();
        }
        if self.is_full() {
            sys::set_errno(libc::ENOSPC);
            return FAILED;
        }
        let at = self.created(&mut clock, place);
        self.unless_failed(at, make())
    }

    /// Takes a name away, by `take`.
    pub(crate) fn remove(
        &self,
        folder: c_int,
        path: &CStr,
        is_folder: bool,
        take: impl FnOnce() -> c_long,
    ) -> c_long {
        let Some(Place { folder: inode, path: place }) = self.place(folder, path) else { return take() };
        let mut clock = self.lock();
        if call!(SYS_faccessat, folder, path.as_ptr(), libc::F_OK) != 0 {
            return take();
        }
        let at = tick(&mut clock);
        let grave = if is_folder { 0 } else { self.bury(folder, path, at) };
        self.note(&Record::Removed { at, folder: inode, path: place, grave });
        self.unless_failed(at, take())
    }

    /// Changes a name, by `change`.
    pub(crate) fn rename(
        &self,
        (from_folder, from): (c_int, &CStr),
        (to_folder, to): (c_int, &CStr),
        change: impl FnOnce() -> c_long,
    ) -> c_long {
        let (source, target) = match (self.place(from_folder, from), self.place(to_folder, to)) {
            (Some(source), Some(target)) => (source, target),
            (None, None) => return change(),
            _ => {
                let (from, to) = (from.to_string_lossy(), to.to_string_lossy());
                self.note(&Record::NotFollowed {
                    what: format!("{from} moves to {to}, over the border of the folder"),
                });
                return change();
            }
        };
        let mut clock = self.lock();
        if call!(SYS_faccessat, from_folder, from.as_ptr(), libc::F_OK) != 0 {
            return change();
        }
        let at = tick(&mut clock);
        let replaces = call!(SYS_faccessat, to_folder, to.as_ptr(), libc::F_OK) == 0;
        let grave = if replaces { self.bury(to_folder, to, at) } else { 0 };
        let folders = [source.folder, target.folder];
        self.note(&Record::Renamed { at, folders, from: source.path, to: target.path, grave });
        self.unless_failed(at, change())
    }

    /// Everything that was changed before now is durable.
    pub(crate) fn sync_all(&self, sync: impl FnOnce() -> c_long) -> c_long {
        let before = tick(&mut self.lock());
        let done = sync();
        self.note(&Record::SyncedAll { before });
        done
    }

    pub(crate) fn note(&self, record: &Record) {
        let errno = sys::errno();
        if !sys::append(self.journal, &record.encode()) {
            // Without a journal nothing that follows would mean anything.
            std::process::abort();
        }
        sys::set_errno(errno);
    }

    fn created(&self, clock: &mut MutexGuard<'_, u64>, place: Place) -> u64 {
        let at = tick(clock);
        self.note(&Record::Created { at, folder: place.folder, path: place.path });
        at
    }

    fn unless_failed(&self, at: u64, result: c_long) -> c_long {
        if result < 0 {
            self.note(&Record::Failed { at });
        }
        result
    }

    /// Gives what has this name a second one in the graveyard; 0 if that cannot be (a folder, which is empty then).
    fn bury(&self, folder: c_int, path: &CStr, number: u64) -> u64 {
        let errno = sys::errno();
        let grave = self.work.join(GRAVEYARD).join(number.to_string());
        let linked = CString::new(grave.as_os_str().as_bytes()).is_ok_and(|grave| {
            call!(SYS_linkat, folder, path.as_ptr(), libc::AT_FDCWD, grave.as_ptr(), 0) == 0
        });
        sys::set_errno(errno);
        if linked { number } else { 0 }
    }

    /// Where a name lies, if under the root.
    fn place(&self, folder: c_int, path: &CStr) -> Option<Place> {
        let errno = sys::errno();
        let path = Path::new(OsStr::from_bytes(path.to_bytes()));
        let name = path.file_name()?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let parent = CString::new(parent.as_os_str().as_bytes()).ok()?;
        let fd = sys::open(folder, &parent, libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC, 0);
        if fd < 0 {
            sys::set_errno(errno);
            return None;
        }
        let (status, parent) = (sys::status(fd), sys::path_of(fd));
        call!(SYS_close, fd);
        sys::set_errno(errno);
        let parent = parent?;
        let parent = parent.strip_prefix(&self.root).ok()?;
        Some(Place { folder: status?.inode, path: parent.join(name) })
    }

    fn is_full(&self) -> bool {
        let room = self.room.load(Ordering::Acquire);
        room == 0 || room == Room::Nothing.encode()
    }

    fn lock(&self) -> MutexGuard<'_, u64> {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl File {
    /// Writes `length` bytes, by `write`, which is told how many of them there is room for.
    ///
    /// - `offset`: where; at the place the descriptor has reached if absent
    pub(crate) fn write(
        &self,
        layer: &Layer,
        offset: Option<i64>,
        length: usize,
        write: impl FnOnce(usize) -> c_long,
    ) -> c_long {
        let mut clock = layer.lock();
        // Another thread may have written since the descriptor was looked up.
        let Some(status) = sys::status(self.fd) else { return write(length) };
        let offset = match offset {
            _ if self.flags & APPENDS != 0 => status.length,
            Some(offset) => u64::try_from(offset).unwrap_or_default(),
            None => u64::try_from(call!(SYS_lseek, self.fd, 0, libc::SEEK_CUR)).unwrap_or_default(),
        };
        let Some(length) = self.take_room(layer, &status, offset, length) else {
            sys::set_errno(libc::ENOSPC);
            return FAILED;
        };
        self.change(layer, &mut clock, &status, offset, offset + length as u64);
        let done = write(length);
        self.sync_if_always(layer, &mut clock);
        done
    }

    /// Cuts or lengthens the file, by `set`.
    pub(crate) fn set_length(&self, layer: &Layer, length: i64, set: impl FnOnce() -> c_long) -> c_long {
        let mut clock = layer.lock();
        let Some(status) = sys::status(self.fd) else { return set() };
        let length = u64::try_from(length).unwrap_or_default();
        if length > status.length && layer.is_full() {
            sys::set_errno(libc::ENOSPC);
            return FAILED;
        }
        let (from, to) = (length.min(status.length), length.max(status.length));
        self.change(layer, &mut clock, &status, from, to);
        let done = set();
        self.sync_if_always(layer, &mut clock);
        done
    }

    /// Lengthens the file if it is shorter, by `set`.
    pub(crate) fn set_length_at_least(
        &self,
        layer: &Layer,
        length: i64,
        set: impl FnOnce() -> c_long,
    ) -> c_long {
        let is_longer = u64::try_from(length).is_ok_and(|length| length > self.status.length);
        if is_longer { self.set_length(layer, length, set) } else { set() }
    }

    /// Makes durable what was changed before now, by `sync`.
    pub(crate) fn sync(&self, layer: &Layer, sync: impl FnOnce() -> c_long) -> c_long {
        let before = tick(&mut layer.lock());
        if layer.room.load(Ordering::Acquire) == Room::Nothing.encode() {
            sys::set_errno(libc::ENOSPC);
            return FAILED;
        }
        let done = sync();
        if done == 0 {
            let inode = self.status.inode;
            layer.note(&if self.status.is_folder() {
                Record::SyncedFolder { before, inode }
            } else {
                Record::Synced { before, inode }
            });
        }
        done
    }

    /// The file can be written through memory from now on.
    pub(crate) fn mapped(&self, layer: &Layer) {
        let inode = self.status.inode;
        layer.note(&if self.flags & SHARED_MEMORY != 0 {
            Record::Mapped { inode }
        } else {
            let path = sys::path_of(self.fd).unwrap_or_default();
            Record::NotFollowed { what: format!("{} is written through memory", path.display()) }
        });
    }

    /// Notes what the bytes up to `end` are before they change.
    fn change(&self, layer: &Layer, clock: &mut MutexGuard<'_, u64>, status: &Status, offset: u64, end: u64) {
        let at = tick(clock);
        let errno = sys::errno();
        let n_old = end.min(status.length).saturating_sub(offset);
        let old = if n_old == 0 { Some(Vec::new()) } else { sys::read_at(self.fd, offset, n_old) };
        sys::set_errno(errno);
        let (inode, old_length) = (status.inode, status.length);
        layer.note(&match old {
            Some(old) => Record::Data { at, inode, old_length, offset, end, old },
            None => Record::NotFollowed { what: format!("inode {inode} cannot be read before it changes") },
        });
    }

    fn sync_if_always(&self, layer: &Layer, clock: &mut MutexGuard<'_, u64>) {
        if self.flags & SYNCS != 0 {
            layer.note(&Record::Synced { before: tick(clock), inode: self.status.inode });
        }
    }

    /// Of `length` bytes, those there is room for; `None` if there is none.
    fn take_room(&self, layer: &Layer, status: &Status, offset: u64, length: usize) -> Option<usize> {
        let room = layer.room.load(Ordering::Acquire);
        if room < 0 {
            return (room != Room::Nothing.encode()).then_some(length);
        }
        let room = u64::try_from(room).unwrap_or_default();
        let growth = (offset + length as u64).saturating_sub(status.length);
        let taken = growth.min(room);
        let fits = length - usize::try_from(growth - taken).ok()?;
        // Room that was made meanwhile stays.
        let left = i64::try_from(room - taken).unwrap_or_default();
        let now = i64::try_from(room).unwrap_or_default();
        let _ = layer.room.compare_exchange(now, left, Ordering::AcqRel, Ordering::Acquire);
        (fits > 0 || length == 0).then_some(fits)
    }
}

/// The next moment.
fn tick(clock: &mut MutexGuard<'_, u64>) -> u64 {
    **clock += 1;
    **clock
}

/// The first number of a file, shared with whoever writes it.
fn map(fd: c_int) -> Option<&'static AtomicI64> {
    // SAFETY: a new mapping of the file, which `arm` has made 8 bytes long. It is aligned to a page and never unmapped;
    // other processes write to it as a whole.
    unsafe {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let at = libc::syscall(libc::SYS_mmap, 0_usize, ROOM_BYTES, access, libc::MAP_SHARED, fd, 0_usize);
        (at != FAILED).then(|| AtomicI64::from_ptr(at as *mut i64))
    }
}
