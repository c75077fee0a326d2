//! One keep-alive connection that never blocks: it writes what the socket takes, reads what there is, and says when an
//! answer is whole. One request at a time; nothing is pipelined.

use std::{
    io::{ErrorKind, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, Type};

use crate::{
    http::{Answer, Failure},
    sys::{self, Poller},
};

/// A connection unused for longer is replaced, since the server may be about to close it.
const MAX_IDLE: Duration = Duration::from_secs(5);

/// What has become of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    Waiting,
    /// [`Connection::answer`] is whole.
    Answered,
}

/// A connection that opens itself anew after a failure.
#[derive(Debug)]
pub(crate) struct Connection {
    address: SocketAddr,
    /// Under which the poller reports it.
    key: u64,
    /// Absent after a failure, and after an answer that ended the connection.
    stream: Option<TcpStream>,
    /// Since the start of the run.
    used: Duration,
    /// The request, written by the owner before [`send`](Self::send); sent up to `n_sent`.
    pub(crate) request: Vec<u8>,
    n_sent: usize,
    pub(crate) answer: Answer,
    /// When the last bytes of the answer arrived, by the time of day, where the kernel said so.
    pub(crate) arrived: Option<Duration>,
    notes_arrivals: bool,
    /// Connections opened so far.
    pub(crate) n_opened: u64,
}

impl Connection {
    /// - `notes_arrivals`: [`arrived`](Self::arrived) is wanted, so that answers need not be read when they come
    pub(crate) fn new(address: SocketAddr, key: u64, notes_arrivals: bool) -> Self {
        Self {
            address,
            key,
            stream: None,
            used: Duration::ZERO,
            request: Vec::with_capacity(512),
            n_sent: 0,
            answer: Answer::default(),
            arrived: None,
            notes_arrivals,
            n_opened: 0,
        }
    }

    /// Starts an exchange: sends `request`, as far as the socket takes it.
    ///
    /// - `keeps_body`: the body of the answer is wanted
    /// - `now`: since the start of the run
    pub(crate) fn send(&mut self, poller: &Poller, now: Duration, keeps_body: bool) -> Result<(), Failure> {
        if now.saturating_sub(self.used) > MAX_IDLE {
            self.stream = None;
        }
        self.used = now;
        if self.stream.is_none() {
            self.open(poller)?;
        }
        self.n_sent = 0;
        self.answer.reset(keeps_body);
        self.write().inspect_err(|_| self.close())
    }

    /// Opens a connection without waiting until it stands.
    pub(crate) fn open(&mut self, poller: &Poller) -> Result<(), Failure> {
        let socket = Socket::new(Domain::for_address(self.address), Type::STREAM, Some(Protocol::TCP));
        let socket = socket.map_err(|_| Failure::Refused)?;
        let set_up = socket.set_nonblocking(true).and_then(|()| socket.set_tcp_nodelay(true));
        set_up.and_then(|()| poller.add(&socket, self.key)).map_err(|_| Failure::Refused)?;
        if self.notes_arrivals {
            sys::note_arrivals(&socket).map_err(|_| Failure::Refused)?;
        }
        match socket.connect(&self.address.into()) {
            Err(e) if e.raw_os_error() != Some(libc::EINPROGRESS) => return Err(Failure::Refused),
            _ => (),
        }
        self.stream = Some(socket.into());
        self.n_opened += 1;
        Ok(())
    }

    /// Forgets the connection: what else would arrive on it belongs to a request that was given up.
    pub(crate) fn close(&mut self) {
        self.stream = None;
    }

    /// Goes on after the poller has reported news during an exchange. After a failure the connection is closed.
    ///
    /// - `scratch`: room for what comes in, shared by all connections
    /// - `is_ending`: the server has said that it sends no more
    pub(crate) fn go_on(&mut self, scratch: &mut [u8], is_ending: bool) -> Result<Progress, Failure> {
        let progress = self.write().and_then(|()| self.read(scratch));
        match progress {
            Err(_) => self.close(),
            // What the server did not wait for must not reach it as the start of the next request.
            Ok(Progress::Answered)
                if is_ending || self.answer.is_last() || self.n_sent < self.request.len() =>
            {
                self.close();
            }
            Ok(_) => (),
        }
        progress
    }

    fn write(&mut self) -> Result<(), Failure> {
        let Some(stream) = &mut self.stream else { return Err(Failure::Closed) };
        while self.n_sent < self.request.len() {
            match stream.write(&self.request[self.n_sent..]) {
                Ok(n) => self.n_sent += n,
                Err(e) => match e.kind() {
                    ErrorKind::WouldBlock => break,
                    // The handshake is not over yet.
                    ErrorKind::NotConnected => break,
                    ErrorKind::Interrupted => (),
                    // It may have answered before it hung up.
                    ErrorKind::BrokenPipe => break,
                    kind => return Err(failure(kind)),
                },
            }
        }
        Ok(())
    }

    /// Reads until the answer is whole or nothing is left to read, since the poller reports only what is new.
    fn read(&mut self, scratch: &mut [u8]) -> Result<Progress, Failure> {
        let Some(stream) = &self.stream else { return Err(Failure::Closed) };
        loop {
            match sys::receive(stream, scratch) {
                Ok((0, _)) => return Err(Failure::Closed),
                Ok((n, arrived)) => {
                    self.arrived = arrived;
                    if self.answer.read(&scratch[..n])? {
                        return Ok(Progress::Answered);
                    }
                    if n < scratch.len() {
                        return Ok(Progress::Waiting);
                    }
                }
                Err(e) => match e.kind() {
                    ErrorKind::WouldBlock | ErrorKind::NotConnected => return Ok(Progress::Waiting),
                    ErrorKind::Interrupted => (),
                    kind => return Err(failure(kind)),
                },
            }
        }
    }
}

fn failure(kind: ErrorKind) -> Failure {
    match kind {
        ErrorKind::ConnectionRefused => Failure::Refused,
        ErrorKind::TimedOut => Failure::Timeout,
        _ => Failure::Closed,
    }
}
