//! A lean HTTP/1.1 client: one keep-alive connection, one request at a time, blocking.
//!
//! It reads what a load test needs, status and body, and refuses the rest of HTTP with a sentence. Two system calls per
//! request are all it costs, where a general client spends more time than the server under test.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

/// Longest status line and headers, in bytes.
const MAX_HEAD_BYTES: usize = 16 << 10;
/// Largest body, in bytes.
const MAX_BODY_BYTES: usize = 8 << 20;
/// A connection unused for longer is replaced, since the server may be about to close it.
const MAX_IDLE: Duration = Duration::from_secs(5);

/// Why a request has no answer. The message is also the name under which failures are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    #[error("no connection")]
    Refused,
    #[error("timeout")]
    Timeout,
    #[error("closed before the answer was whole")]
    Closed,
    #[error("not understood: {0}")]
    Malformed(&'static str),
}

/// Status and body of an answer, borrowed from the connection that read it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Response<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
}

/// A connection that opens itself anew after a failure.
#[derive(Debug)]
pub(crate) struct Connection {
    address: SocketAddr,
    timeout: Duration,
    /// Absent after a failure, and after an answer that ended the connection.
    stream: Option<TcpStream>,
    used: Instant,
    /// The answer being read is `buffer[..filled]`.
    buffer: Vec<u8>,
    filled: usize,
    /// Connections opened so far.
    pub(crate) n_opened: u64,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr, timeout: Duration) -> Result<Self, Failure> {
        let (used, buffer) = (Instant::now(), vec![0; 32 << 10]);
        let mut connection = Self { address, timeout, stream: None, used, buffer, filled: 0, n_opened: 0 };
        connection.stream = Some(connection.take_stream(used)?);
        Ok(connection)
    }

    /// Sends `request`, a whole request with head and body, and waits for the answer.
    pub(crate) fn exchange(&mut self, request: &[u8], now: Instant) -> Result<Response<'_>, Failure> {
        // Not put back on failure: what else would arrive on it belongs to a request that was given up.
        let mut stream = self.take_stream(now)?;
        let deadline = now + self.timeout;
        stream.write_all(request).map_err(|e| failure(e.kind()))?;
        self.filled = 0;
        let n_head = loop {
            self.fill(&mut stream, deadline)?;
            let seen = &self.buffer[..self.filled.min(MAX_HEAD_BYTES)];
            match seen.windows(4).position(|w| w == b"\r\n\r\n") {
                Some(at) => break at + 4,
                None if self.filled >= MAX_HEAD_BYTES => return Err(Failure::Malformed("headers too long")),
                None => (),
            }
        };
        let head = parse_head(&self.buffer[..n_head - 4])?;
        let end = n_head + head.n_body;
        while self.filled < end {
            self.fill(&mut stream, deadline)?;
        }
        if self.filled > end {
            return Err(Failure::Malformed("more bytes than content-length"));
        }
        if !head.is_last {
            self.stream = Some(stream);
        }
        Ok(Response { status: head.status, body: &self.buffer[n_head..end] })
    }

    fn take_stream(&mut self, now: Instant) -> Result<TcpStream, Failure> {
        let idle = now.saturating_duration_since(self.used);
        self.used = now;
        if let Some(stream) = self.stream.take()
            && idle < MAX_IDLE
        {
            return Ok(stream);
        }
        let stream = TcpStream::connect_timeout(&self.address, self.timeout).map_err(|_| Failure::Refused)?;
        let set_up = stream
            .set_nodelay(true)
            .and_then(|()| stream.set_read_timeout(Some(self.timeout)))
            .and_then(|()| stream.set_write_timeout(Some(self.timeout)));
        set_up.map_err(|_| Failure::Refused)?;
        self.n_opened += 1;
        Ok(stream)
    }

    /// Reads what there is, at least one byte.
    fn fill(&mut self, stream: &mut TcpStream, deadline: Instant) -> Result<(), Failure> {
        if self.filled == self.buffer.len() {
            self.buffer.resize(2 * self.filled, 0);
        }
        let n = loop {
            match stream.read(&mut self.buffer[self.filled..]) {
                Err(e) if e.kind() == ErrorKind::Interrupted => (),
                read => break read.map_err(|e| failure(e.kind()))?,
            }
        };
        if n == 0 {
            return Err(Failure::Closed);
        }
        self.filled += n;
        if Instant::now() > deadline { Err(Failure::Timeout) } else { Ok(()) }
    }
}

fn failure(kind: ErrorKind) -> Failure {
    match kind {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Failure::Timeout,
        _ => Failure::Closed,
    }
}

struct Head {
    status: u16,
    n_body: usize,
    /// The server closes the connection after this answer.
    is_last: bool,
}

/// Reads status line and headers, without the empty line that ends them.
fn parse_head(head: &[u8]) -> Result<Head, Failure> {
    let head = std::str::from_utf8(head).map_err(|_| Failure::Malformed("headers are not text"))?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(parse_status).ok_or(Failure::Malformed("no HTTP/1.1 status line"))?;
    let (mut n_body, mut is_last) = (None, false);
    for line in lines {
        let (name, value) = line.split_once(':').ok_or(Failure::Malformed("header without colon"))?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            let n = number(value).ok_or(Failure::Malformed("content-length is no number"))?;
            if n_body.is_some_and(|before| before != n) {
                return Err(Failure::Malformed("two content-lengths"));
            }
            n_body = Some(n);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(Failure::Malformed("chunked body, which this client does not read"));
        } else if name.eq_ignore_ascii_case("connection") {
            is_last |= value.eq_ignore_ascii_case("close");
        }
    }
    let n_body = match n_body {
        Some(n) if n > MAX_BODY_BYTES => return Err(Failure::Malformed("body too large")),
        Some(n) => n,
        None if matches!(status, 204 | 304) => 0,
        None => return Err(Failure::Malformed("no content-length")),
    };
    Ok(Head { status, n_body, is_last })
}

fn parse_status(line: &str) -> Option<u16> {
    let (code, rest) = line.strip_prefix("HTTP/1.1 ")?.split_at_checked(3)?;
    let status = number(code).and_then(|n| u16::try_from(n).ok())?;
    (status >= 100 && (rest.is_empty() || rest.starts_with(' '))).then_some(status)
}

fn number(digits: &str) -> Option<usize> {
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests;
