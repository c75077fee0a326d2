//! Stands between a program and the kernel (`LD_PRELOAD`) and follows what happens to files under one folder, for
//! `powercut` to undo what was not synced. That crate's documentation has the whole picture; here are the functions of the
//! C library that change files, each of which passes through to the kernel.
//!
//! Rust's standard library and SQLite reach the kernel through these: `open64`, `openat`, `write`, `writev`, `pwrite64`,
//! `ftruncate64`, `fsync`, `fdatasync`, `rename`, `unlink`, `mkdir`, `close`, `fcntl` and others. Callers that make
//! system calls by themselves are not seen; `powercut` finds the names they changed. Calls that copy within the kernel
//! (`copy_file_range`, `sendfile`, `splice`) answer that they are not available, upon which callers read and write.
//!
//! One program is followed at a time: the moments of its journal are its own.
#![expect(unsafe_code, reason = "functions of the C library, replaced: their callers pass raw pointers")]

mod layer;
mod sys;

use std::ffi::{c_char, c_int, c_long, c_uint, c_void};

use layer::{copied, followed, forget, layer};
use libc::{iovec, mode_t, off_t, size_t, ssize_t};
use sys::{FAILED, call, text};

/// Functions of the C library under all the names they have.
macro_rules! replace {
    ($(fn [$($name:ident)+] $arguments:tt -> $result:ty $body:block)*) => {$($(
        /// # Safety
        /// As the function of this name in the C library.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name $arguments -> $result $body
    )+)*};
}

replace! {
    // The last argument is there only with O_CREAT; what a register holds without it is not used.
    fn [open open64](path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
        // SAFETY: by this function's own condition.
        unsafe { open_at(libc::AT_FDCWD, path, flags, mode) }
    }

    fn [openat openat64](folder: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
        // SAFETY: by this function's own condition.
        unsafe { open_at(folder, path, flags, mode) }
    }

    fn [creat creat64](path: *const c_char, mode: mode_t) -> c_int {
        // SAFETY: by this function's own condition.
        unsafe { open_at(libc::AT_FDCWD, path, libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC, mode) }
    }

    fn [close](fd: c_int) -> c_int {
        forget(fd);
        int(call!(SYS_close, fd))
    }

    fn [dup](fd: c_int) -> c_int {
        let copy = int(call!(SYS_dup, fd));
        copied(fd, copy);
        copy
    }

    fn [dup2](fd: c_int, to: c_int) -> c_int {
        // The kernel has the two calls differ where both are the same.
        let copy = if fd == to { to } else { int(call!(SYS_dup3, fd, to, 0)) };
        copied(fd, copy);
        copy
    }

    fn [dup3](fd: c_int, to: c_int, flags: c_int) -> c_int {
        let copy = int(call!(SYS_dup3, fd, to, flags));
        copied(fd, copy);
        copy
    }

    // The last argument is of the size of a register, whatever the command makes of it.
    fn [fcntl fcntl64](fd: c_int, command: c_int, argument: usize) -> c_int {
        let result = int(call!(SYS_fcntl, fd, command, argument));
        if matches!(command, libc::F_DUPFD | libc::F_DUPFD_CLOEXEC) {
            copied(fd, result);
        }
        result
    }

    fn [write](fd: c_int, bytes: *const c_void, length: size_t) -> ssize_t {
        let write = |length: size_t| call!(SYS_write, fd, bytes, length);
        size(followed(fd).map_or_else(|| write(length), |(layer, file)| file.write(layer, None, length, write)))
    }

    fn [pwrite pwrite64](fd: c_int, bytes: *const c_void, length: size_t, offset: off_t) -> ssize_t {
        let write = |length: size_t| call!(SYS_pwrite64, fd, bytes, length, offset);
        let followed = followed(fd);
        size(followed.map_or_else(|| write(length), |(layer, file)| file.write(layer, Some(offset), length, write)))
    }

    fn [writev](fd: c_int, parts: *const iovec, n_parts: c_int) -> ssize_t {
        match followed(fd) {
            None => size(call!(SYS_writev, fd, parts, n_parts)),
            // SAFETY: by this function's own condition.
            Some(_) => unsafe { write_parts(parts, n_parts, None, |bytes, length, _| write(fd, bytes, length)) },
        }
    }

    fn [pwritev pwritev64](fd: c_int, parts: *const iovec, n_parts: c_int, offset: off_t) -> ssize_t {
        match followed(fd) {
            // The offset is one argument on 64-bit machines, the next its upper half.
            None => size(call!(SYS_pwritev, fd, parts, n_parts, offset, 0)),
            // SAFETY: by this function's own condition.
            Some(_) => unsafe {
                write_parts(parts, n_parts, Some(offset), |bytes, length, at| pwrite64(fd, bytes, length, at))
            },
        }
    }

    fn [pwritev2 pwritev64v2](
        fd: c_int,
        parts: *const iovec,
        n_parts: c_int,
        offset: off_t,
        flags: c_int
    ) -> ssize_t {
        if followed(fd).is_some() {
            sys::set_errno(libc::ENOSYS);
            return -1;
        }
        size(call!(SYS_pwritev2, fd, parts, n_parts, offset, 0, flags))
    }

    fn [ftruncate ftruncate64](fd: c_int, length: off_t) -> c_int {
        let set = || call!(SYS_ftruncate, fd, length);
        int(followed(fd).map_or_else(set, |(layer, file)| file.set_length(layer, length, set)))
    }

    fn [truncate truncate64](path: *const c_char, length: off_t) -> c_int {
        // SAFETY: by this function's own condition.
        let fd = unsafe { open_at(libc::AT_FDCWD, path, libc::O_WRONLY | libc::O_CLOEXEC, 0) };
        if fd < 0 {
            return fd;
        }
        // SAFETY: both are safe to call with a descriptor of our own.
        unsafe {
            let done = ftruncate(fd, length);
            let errno = sys::errno();
            close(fd);
            sys::set_errno(errno);
            done
        }
    }

    fn [fallocate fallocate64](fd: c_int, mode: c_int, offset: off_t, length: off_t) -> c_int {
        let allocate = || call!(SYS_fallocate, fd, mode, offset, length);
        match followed(fd) {
            None => int(allocate()),
            Some((layer, file)) if mode == 0 => int(file.set_length_at_least(layer, offset + length, allocate)),
            Some(_) => {
                sys::set_errno(libc::EOPNOTSUPP);
                -1
            }
        }
    }

    // Gives the error instead of setting `errno`.
    fn [posix_fallocate posix_fallocate64](fd: c_int, offset: off_t, length: off_t) -> c_int {
        let errno = sys::errno();
        // SAFETY: no pointer is passed.
        let done = unsafe { fallocate(fd, 0, offset, length) };
        let error = sys::errno();
        sys::set_errno(errno);
        if done == 0 { 0 } else { error }
    }

    fn [fsync](fd: c_int) -> c_int {
        let sync = || call!(SYS_fsync, fd);
        int(followed(fd).map_or_else(sync, |(layer, file)| file.sync(layer, sync)))
    }

    fn [fdatasync](fd: c_int) -> c_int {
        let sync = || call!(SYS_fdatasync, fd);
        int(followed(fd).map_or_else(sync, |(layer, file)| file.sync(layer, sync)))
    }

    fn [syncfs](fd: c_int) -> c_int {
        let sync = || call!(SYS_syncfs, fd);
        int(layer().map_or_else(sync, |layer| layer.sync_all(sync)))
    }

    fn [sync]() -> () {
        let sync = || call!(SYS_sync);
        layer().map_or_else(sync, |layer| layer.sync_all(sync));
    }

    fn [rename](from: *const c_char, to: *const c_char) -> c_int {
        // SAFETY: by this function's own condition.
        unsafe { renameat2(libc::AT_FDCWD, from, libc::AT_FDCWD, to, 0) }
    }

    fn [renameat](from_folder: c_int, from: *const c_char, to_folder: c_int, to: *const c_char) -> c_int {
        // SAFETY: by this function's own condition.
        unsafe { renameat2(from_folder, from, to_folder, to, 0) }
    }

    fn [renameat2](
        from_folder: c_int,
        from: *const c_char,
        to_folder: c_int,
        to: *const c_char,
        flags: c_uint
    ) -> c_int {
        let change = || call!(SYS_renameat2, from_folder, from, to_folder, to, flags);
        // SAFETY: by this function's own condition.
        let names = unsafe { (text(from), text(to)) };
        int(match (layer(), names) {
            (Some(layer), (Some(from), Some(to))) => {
                if flags & libc::RENAME_EXCHANGE != 0 {
                    sys::set_errno(libc::EINVAL);
                    return -1;
                }
                layer.rename((from_folder, from), (to_folder, to), change)
            }
            _ => change(),
        })
    }

    fn [unlink](path: *const c_char) -> c_int {
        // SAFETY: by this function's own condition.
        unsafe { unlinkat(libc::AT_FDCWD, path, 0) }
    }

    fn [rmdir](path: *const c_char) -> c_int {
        // SAFETY: by this function's own condition.
        unsafe { unlinkat(libc::AT_FDCWD, path, libc::AT_REMOVEDIR) }
    }

    fn [unlinkat](folder: c_int, path: *const c_char, flags: c_int) -> c_int {
        let take = || call!(SYS_unlinkat, folder, path, flags);
        // SAFETY: by this function's own condition.
        let name = unsafe { text(path) };
        int(match (layer(), name) {
            (Some(layer), Some(name)) => layer.remove(folder, name, flags & libc::AT_REMOVEDIR != 0, take),
            _ => take(),
        })
    }

    fn [mkdir](path: *const c_char, mode: mode_t) -> c_int {
        // SAFETY: by this function's own condition.
        unsafe { mkdirat(libc::AT_FDCWD, path, mode) }
    }

    fn [mkdirat](folder: c_int, path: *const c_char, mode: mode_t) -> c_int {
        let make = || call!(SYS_mkdirat, folder, path, mode);
        // SAFETY: by this function's own condition.
        unsafe { create(folder, path, make) }
    }

    fn [link](from: *const c_char, to: *const c_char) -> c_int {
        // SAFETY: by this function's own condition.
        unsafe { linkat(libc::AT_FDCWD, from, libc::AT_FDCWD, to, 0) }
    }

    fn [linkat](
        from_folder: c_int,
        from: *const c_char,
        to_folder: c_int,
        to: *const c_char,
        flags: c_int
    ) -> c_int {
        let make = || call!(SYS_linkat, from_folder, from, to_folder, to, flags);
        // SAFETY: by this function's own condition.
        unsafe { create(to_folder, to, make) }
    }

    fn [symlink](target: *const c_char, path: *const c_char) -> c_int {
        let make = || call!(SYS_symlinkat, target, libc::AT_FDCWD, path);
        // SAFETY: by this function's own condition.
        unsafe { create(libc::AT_FDCWD, path, make) }
    }

    fn [symlinkat](target: *const c_char, folder: c_int, path: *const c_char) -> c_int {
        let make = || call!(SYS_symlinkat, target, folder, path);
        // SAFETY: by this function's own condition.
        unsafe { create(folder, path, make) }
    }

    fn [copy_file_range](
        from: c_int,
        from_offset: *mut off_t,
        to: c_int,
        to_offset: *mut off_t,
        length: size_t,
        flags: c_uint
    ) -> ssize_t {
        if followed(to).is_some() {
            sys::set_errno(libc::ENOSYS);
            return -1;
        }
        size(call!(SYS_copy_file_range, from, from_offset, to, to_offset, length, flags))
    }

    fn [sendfile sendfile64](to: c_int, from: c_int, offset: *mut off_t, length: size_t) -> ssize_t {
        if followed(to).is_some() {
            sys::set_errno(libc::EINVAL);
            return -1;
        }
        size(call!(SYS_sendfile, to, from, offset, length))
    }

    fn [splice](
        from: c_int,
        from_offset: *mut off_t,
        to: c_int,
        to_offset: *mut off_t,
        length: size_t,
        flags: c_uint
    ) -> ssize_t {
        if followed(to).is_some() {
            sys::set_errno(libc::EINVAL);
            return -1;
        }
        size(call!(SYS_splice, from, from_offset, to, to_offset, length, flags))
    }

    fn [mmap mmap64](
        at: *mut c_void,
        length: size_t,
        access: c_int,
        flags: c_int,
        fd: c_int,
        offset: off_t
    ) -> *mut c_void {
        let is_written = access & libc::PROT_WRITE != 0 && flags & libc::MAP_SHARED != 0;
        if is_written && let Some((layer, file)) = followed(fd) {
            file.mapped(layer);
        }
        call!(SYS_mmap, at, length, access, flags, fd, offset) as *mut c_void
    }
}

/// # Safety
/// `path` is a text of the C library.
unsafe fn open_at(folder: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: by this function's own condition.
    let name = unsafe { text(path) };
    match (layer(), name) {
        (Some(layer), Some(name)) => layer.open(folder, name, flags, mode),
        _ => int(call!(SYS_openat, folder, path, flags | libc::O_LARGEFILE, mode)),
    }
}

/// Makes a name by `make`.
///
/// # Safety
/// `path` is a text of the C library.
unsafe fn create(folder: c_int, path: *const c_char, make: impl FnOnce() -> c_long) -> c_int {
    // SAFETY: by this function's own condition.
    let name = unsafe { text(path) };
    int(match (layer(), name) {
        (Some(layer), Some(name)) => layer.create(folder, name, make),
        _ => make(),
    })
}

/// Writes one part after the other, until one is not written whole; gives the bytes written.
///
/// # Safety
/// `parts` points to `n_parts` parts, each of which points to as many bytes as it says.
unsafe fn write_parts(
    parts: *const iovec,
    n_parts: c_int,
    offset: Option<off_t>,
    write: impl Fn(*const c_void, size_t, off_t) -> ssize_t,
) -> ssize_t {
    let mut n_written: ssize_t = 0;
    for part in 0..usize::try_from(n_parts).unwrap_or_default() {
        // SAFETY: by this function's own condition.
        let part = unsafe { &*parts.add(part) };
        let n = write(part.iov_base, part.iov_len, offset.unwrap_or_default() + n_written as off_t);
        if n < 0 {
            return if n_written > 0 { n_written } else { n };
        }
        n_written += n;
        if n.unsigned_abs() < part.iov_len {
            break;
        }
    }
    n_written
}

fn int(result: c_long) -> c_int {
    c_int::try_from(result).unwrap_or(-1)
}

fn size(result: c_long) -> ssize_t {
    ssize_t::try_from(result).unwrap_or(FAILED as ssize_t)
}
