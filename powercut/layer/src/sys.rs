//! System calls that pass the layer by, in the few forms it needs.

use std::{
    ffi::{CStr, CString, c_char, c_int, c_long},
    mem,
    path::PathBuf,
};

use std::os::unix::ffi::OsStringExt;

/// What a call of the C library gives on failure; `errno` says why.
pub(crate) const FAILED: c_long = -1;

/// One system call, with the result and `errno` of the C library.
macro_rules! call {
    ($number:ident $(, $argument:expr)*) => {
        // SAFETY: the callers pass what the kernel's interface asks for; every pointer points to memory that lives
        // until the call returns, with the length that is passed with it.
        unsafe { libc::syscall(libc::$number $(, $argument)*) }
    };
}
pub(crate) use call;

pub(crate) fn errno() -> c_int {
    // SAFETY: the C library gives a pointer to this thread's `errno`.
    unsafe { *libc::__errno_location() }
}

pub(crate) fn set_errno(to: c_int) {
    // SAFETY: as in `errno`.
    unsafe { *libc::__errno_location() = to };
}

/// What the layer wants to know of an open file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Status {
    pub(crate) inode: u64,
    pub(crate) length: u64,
    mode: u32,
}

impl Status {
    pub(crate) fn is_folder(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFDIR
    }

    pub(crate) fn is_file(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFREG
    }
}

pub(crate) fn status(fd: c_int) -> Option<Status> {
    // SAFETY: a `stat` of zeros is valid, and the kernel writes one.
    let mut found: libc::stat = unsafe { mem::zeroed() };
    let done = call!(SYS_fstat, fd, &raw mut found);
    (done == 0).then(|| Status {
        inode: found.st_ino,
        length: u64::try_from(found.st_size).unwrap_or_default(),
        mode: found.st_mode,
    })
}

/// The absolute path of an open file, as the kernel knows it.
pub(crate) fn path_of(fd: c_int) -> Option<PathBuf> {
    let link = CString::new(format!("/proc/self/fd/{fd}")).ok()?;
    let mut path = vec![0_u8; libc::PATH_MAX as usize];
    let n = call!(SYS_readlinkat, libc::AT_FDCWD, link.as_ptr(), path.as_mut_ptr(), path.len());
    path.truncate(usize::try_from(n).ok()?);
    Some(PathBuf::from(std::ffi::OsString::from_vec(path)))
}

/// Reads up to `length` bytes at `offset`; less at the end of the file. The file need not be open for reading.
pub(crate) fn read_at(fd: c_int, offset: u64, length: u64) -> Option<Vec<u8>> {
    let path = CString::new(format!("/proc/self/fd/{fd}")).ok()?;
    let reader = call!(SYS_openat, libc::AT_FDCWD, path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
    if reader < 0 {
        return None;
    }
    let mut bytes = vec![0_u8; usize::try_from(length).ok()?];
    let mut n_read = 0;
    while n_read < bytes.len() {
        let rest = &mut bytes[n_read..];
        let at = offset + n_read as u64;
        match usize::try_from(call!(SYS_pread64, reader, rest.as_mut_ptr(), rest.len(), at)) {
            Ok(0) => break,
            Ok(n) => n_read += n,
            Err(_) if errno() == libc::EINTR => (),
            Err(_) => {
                call!(SYS_close, reader);
                return None;
            }
        }
    }
    call!(SYS_close, reader);
    bytes.truncate(n_read);
    Some(bytes)
}

/// Writes all of `bytes` to the end of the file.
pub(crate) fn append(fd: c_int, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match usize::try_from(call!(SYS_write, fd, bytes.as_ptr(), bytes.len())) {
            Ok(n) => bytes = &bytes[n.min(bytes.len())..],
            Err(_) if errno() == libc::EINTR => (),
            Err(_) => return false,
        }
    }
    true
}

pub(crate) fn open(folder: c_int, path: &CStr, flags: c_int, mode: libc::mode_t) -> c_int {
    let fd = call!(SYS_openat, folder, path.as_ptr(), flags | libc::O_LARGEFILE, mode);
    c_int::try_from(fd).unwrap_or(-1)
}

/// The text behind a pointer of the C library's callers.
///
/// # Safety
/// `text` ends with a zero byte and lives as long as the result is used.
pub(crate) unsafe fn text<'a>(text: *const c_char) -> Option<&'a CStr> {
    // SAFETY: by this function's own condition.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) })
}
