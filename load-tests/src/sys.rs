//! What the standard library does not offer: waiting for many sockets at once with timeouts in nanoseconds, the moment
//! at which the kernel received what is read, and processor time.
//!
//! The portable crates round timeouts up to milliseconds, or set a timer with one more system call. A generator that
//! wakes up to a millisecond late adds that to what it measures. With the kernel's receive times it need not wake for
//! each answer: waking costs 15 to 20 µs of processor on a virtual machine, more than all else that it does for a
//! request (README.md has the measurement).
#![expect(unsafe_code, reason = "system calls that no dependency in use wraps; measured in README.md")]

use std::{
    io, mem,
    net::TcpStream,
    os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd},
    ptr,
    time::Duration,
};

/// Sockets that are ready are reported this many at a time.
const MAX_EVENTS: usize = 256;

/// Something has happened on the socket of this key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct News {
    pub(crate) key: u64,
    /// The other side sends no more, or the connection is broken.
    pub(crate) is_ending: bool,
}

/// A set of sockets, each known by a key.
pub(crate) struct Poller {
    epoll: OwnedFd,
    events: Vec<libc::epoll_event>,
}

impl Poller {
    pub(crate) fn try_new() -> io::Result<Self> {
        // SAFETY: no memory is passed; a descriptor that is not negative is new and belongs to nobody else.
        let epoll = unsafe {
            let fd = libc::epoll_create1(libc::EPOLL_CLOEXEC);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(fd)
        };
        Ok(Self { epoll, events: Vec::with_capacity(MAX_EVENTS) })
    }

    /// Reports `socket` from now on, until it is closed, whenever something new happens on it (edge-triggered).
    pub(crate) fn add(&self, socket: &impl AsFd, key: u64) -> io::Result<()> {
        let events = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET;
        let mut event = libc::epoll_event { events: events.cast_unsigned(), u64: key };
        let socket = socket.as_fd().as_raw_fd();
        // SAFETY: both descriptors are open, and the kernel only reads `event`.
        let done =
            unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, socket, &raw mut event) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Waits until a socket has news, at most this long, and adds what there is to `news`.
    pub(crate) fn wait(&mut self, timeout: Duration, news: &mut Vec<News>) -> io::Result<()> {
        let timeout = libc::timespec {
            tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: libc::c_long::from(timeout.subsec_nanos().cast_signed()),
        };
        self.events.clear();
        // By number, because not every C library that is in use has a function for it. The last two are the signal mask,
        // which stays as it is.
        //
        // SAFETY: the kernel writes at most MAX_EVENTS events to the vector's memory, which has room for as many, and
        // says how many; their bytes may be anything.
        unsafe {
            let n = libc::syscall(
                libc::SYS_epoll_pwait2,
                self.epoll.as_raw_fd(),
                self.events.as_mut_ptr(),
                MAX_EVENTS,
                &raw const timeout,
                ptr::null::<libc::sigset_t>(),
                0_usize,
            );
            match usize::try_from(n) {
                Ok(n) => self.events.set_len(n),
                Err(_) => {
                    let error = io::Error::last_os_error();
                    if error.kind() != io::ErrorKind::Interrupted {
                        return Err(error);
                    }
                }
            }
        }
        let ending = (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR).cast_unsigned();
        news.extend(self.events.iter().map(|e| News { key: e.u64, is_ending: e.events & ending != 0 }));
        Ok(())
    }
}

/// Room for one control message, aligned as the kernel writes it.
type Control = [u64; 8];

/// Has the kernel note when bytes arrive on this socket, for [`receive`] to tell.
pub(crate) fn note_arrivals(socket: &impl AsFd) -> io::Result<()> {
    let on: libc::c_int = 1;
    let size = libc::socklen_t::try_from(size_of_val(&on)).expect("an int is small");
    // SAFETY: the kernel reads `size` bytes of `on`, which lives until the call returns.
    let done = unsafe {
        let socket = socket.as_fd().as_raw_fd();
        libc::setsockopt(socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, (&raw const on).cast(), size)
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Reads what there is; gives the number of bytes and, where it was noted, when the last of them arrived (time of day).
pub(crate) fn receive(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<(usize, Option<Duration>)> {
    let mut control = Control::default();
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: a `msghdr` of zeros is valid. It points to `buffer` and `control` with their lengths, which outlive the
    // call and are not looked at meanwhile. `CMSG_FIRSTHDR` gives null or a header within `control`, whose data is
    // read as a `timespec` only if the kernel says that it wrote one.
    unsafe {
        let mut message: libc::msghdr = mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = (&raw mut control).cast();
        message.msg_controllen = size_of::<Control>();
        let n = libc::recvmsg(stream.as_raw_fd(), &raw mut message, 0);
        let n = usize::try_from(n).map_err(|_| io::Error::last_os_error())?;
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        let is_time = !header.is_null()
            && (*header).cmsg_level == libc::SOL_SOCKET
            && (*header).cmsg_type == libc::SCM_TIMESTAMPNS;
        let time = is_time.then(|| duration(ptr::read_unaligned(libc::CMSG_DATA(header).cast())));
        Ok((n, time))
    }
}

/// Processor time of this process so far, in user space and in the kernel.
pub(crate) fn cpu_time() -> Duration {
    clock(libc::CLOCK_PROCESS_CPUTIME_ID)
}

/// The time of day, by the clock of [`receive`].
pub(crate) fn time_of_day() -> Duration {
    clock(libc::CLOCK_REALTIME)
}

fn clock(clock: libc::clockid_t) -> Duration {
    // SAFETY: a `timespec` of zeros is valid, the kernel writes one, and both clocks exist on every Linux.
    let time = unsafe {
        let mut time: libc::timespec = mem::zeroed();
        libc::clock_gettime(clock, &raw mut time);
        time
    };
    duration(time)
}

fn duration(time: libc::timespec) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::from_secs(seconds) + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or_default())
}
