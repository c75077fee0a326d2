//! Reading answers of HTTP/1.1, as bytes come in.
//!
//! A load test needs the status, the end of the answer, and sometimes the body. The rest of HTTP is skipped, or refused
//! with a sentence: a general client spends more time than the server under test.

/// Longest status line and headers, and longest line of a chunked body, in bytes.
const MAX_HEAD_BYTES: usize = 16 << 10;
const MAX_CHUNK_LINE_BYTES: usize = 1 << 10;
/// Largest body, in bytes.
const MAX_BODY_BYTES: usize = 8 << 20;

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

/// One answer while it is read. Reset it before each.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    stage: Stage,
    /// Bytes of a head that came in pieces; later those of the body, if it is kept.
    kept: Vec<u8>,
    keeps_body: bool,
    status: u16,
    /// The server closes the connection after this answer.
    is_last: bool,
    /// Bytes of the body so far.
    n_body: usize,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Head,
    /// So many bytes of the body are still to come.
    Body(usize),
    /// Within a line that says how long a chunk is: its number so far, if a digit was seen, and what follows it.
    ChunkSize {
        n: Option<usize>,
        n_line: usize,
        is_extension: bool,
    },
    /// Within a chunk, whose line end counts too.
    Chunk(usize),
    /// Within the lines after the last chunk; bytes of the present one.
    Trailer(usize),
    Whole,
}

impl Answer {
    /// Makes room for the next answer.
    ///
    /// - `keeps_body`: [`body`](Self::body) is wanted
    pub(crate) fn reset(&mut self, keeps_body: bool) {
        self.stage = Stage::Head;
        self.kept.clear();
        self.keeps_body = keeps_body;
        (self.status, self.is_last, self.n_body) = (0, false, 0);
    }

    /// Takes what has come in. True when the answer is whole.
    pub(crate) fn read(&mut self, mut bytes: &[u8]) -> Result<bool, Failure> {
        while !bytes.is_empty() {
            bytes = match self.stage {
                Stage::Head => self.read_head(bytes)?,
                Stage::Body(n_left) => {
                    let (body, rest) = bytes.split_at(n_left.min(bytes.len()));
                    self.take_body(body)?;
                    self.stage = body_of(n_left - body.len());
                    rest
                }
                Stage::Chunk(n_left) => self.read_chunk(bytes, n_left)?,
                Stage::ChunkSize { .. } | Stage::Trailer(_) => {
                    self.read_chunk_line(bytes[0])?;
                    &bytes[1..]
                }
                Stage::Whole => return Err(Failure::Malformed("more bytes than the answer has")),
            };
        }
        Ok(self.stage == Stage::Whole)
    }

    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    pub(crate) fn is_last(&self) -> bool {
        self.is_last
    }

    /// The body, if it is kept and whole.
    pub(crate) fn body(&self) -> &[u8] {
        &self.kept
    }

    fn read_head<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], Failure> {
        // Usually the whole head comes at once and is read where it is.
        if self.kept.is_empty()
            && let Some(at) = end_of_head(bytes)
        {
            let head = parse_head(&bytes[..at])?;
            self.start_body(&head)?;
            return Ok(&bytes[at + 4..]);
        }
        let n_before = self.kept.len();
        self.kept.extend_from_slice(bytes);
        let Some(at) = end_of_head(&self.kept) else {
            return if self.kept.len() > MAX_HEAD_BYTES {
                Err(Failure::Malformed("headers too long"))
            } else {
                Ok(&[])
            };
        };
        let head = parse_head(&self.kept[..at])?;
        self.kept.clear();
        self.start_body(&head)?;
        Ok(&bytes[at + 4 - n_before..])
    }

    fn start_body(&mut self, head: &Head) -> Result<(), Failure> {
        (self.status, self.is_last) = (head.status, head.is_last);
        self.stage = match head.length {
            Length::Known(n) if n > MAX_BODY_BYTES => return Err(Failure::Malformed("body too large")),
            Length::Known(n) => body_of(n),
            Length::Chunked => Stage::ChunkSize { n: None, n_line: 0, is_extension: false },
        };
        Ok(())
    }

    fn take_body(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.n_body += bytes.len();
        if self.n_body > MAX_BODY_BYTES {
            return Err(Failure::Malformed("body too large"));
        }
        if self.keeps_body {
            self.kept.extend_from_slice(bytes);
        }
        Ok(())
    }

    /// - `n_left`: bytes of the chunk still to come, with the two of its line end
    fn read_chunk<'a>(&mut self, bytes: &'a [u8], n_left: usize) -> Result<&'a [u8], Failure> {
        if n_left > 2 {
            let (body, rest) = bytes.split_at((n_left - 2).min(bytes.len()));
            self.take_body(body)?;
            self.stage = Stage::Chunk(n_left - body.len());
            return Ok(rest);
        }
        if bytes[0] != if n_left == 2 { b'\r' } else { b'\n' } {
            return Err(Failure::Malformed("a chunk is longer than it says"));
        }
        self.stage = match n_left {
            2 => Stage::Chunk(1),
            _ => Stage::ChunkSize { n: None, n_line: 0, is_extension: false },
        };
        Ok(&bytes[1..])
    }

    /// One byte of a line that is not body. These lines are short, so bytes are read one at a time.
    fn read_chunk_line(&mut self, byte: u8) -> Result<(), Failure> {
        self.stage = match self.stage {
            Stage::ChunkSize { n_line, .. } | Stage::Trailer(n_line) if n_line > MAX_CHUNK_LINE_BYTES => {
                return Err(Failure::Malformed("a line between chunks is too long"));
            }
            Stage::ChunkSize { n: Some(0), .. } if byte == b'\n' => Stage::Trailer(0),
            Stage::ChunkSize { n: Some(n), .. } if byte == b'\n' => Stage::Chunk(n + 2),
            Stage::ChunkSize { n, n_line, is_extension } => {
                let digit = char::from(byte).to_digit(16).filter(|_| !is_extension);
                let n = match digit {
                    Some(digit) => Some(16 * n.unwrap_or_default() + digit as usize),
                    None if n.is_some() && (is_extension || matches!(byte, b'\r' | b';' | b' ' | b'\t')) => n,
                    None => return Err(Failure::Malformed("length of a chunk is no number")),
                };
                if n > Some(MAX_BODY_BYTES) {
                    return Err(Failure::Malformed("body too large"));
                }
                Stage::ChunkSize { n, n_line: n_line + 1, is_extension: digit.is_none() }
            }
            Stage::Trailer(0) if byte == b'\n' => Stage::Whole,
            Stage::Trailer(_) if byte == b'\n' => Stage::Trailer(0),
            Stage::Trailer(n_line) => Stage::Trailer(n_line + usize::from(byte != b'\r')),
            other => other,
        };
        Ok(())
    }
}

fn body_of(n_left: usize) -> Stage {
    if n_left == 0 { Stage::Whole } else { Stage::Body(n_left) }
}

/// Where the empty line begins that ends the head.
fn end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|w| w == b"\r\n\r\n")
}

struct Head {
    status: u16,
    length: Length,
    is_last: bool,
}

enum Length {
    Known(usize),
    Chunked,
}

/// Reads status line and headers, without the empty line that ends them.
fn parse_head(head: &[u8]) -> Result<Head, Failure> {
    let mut lines = head.split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let status = lines.next().and_then(parse_status).ok_or(Failure::Malformed("no HTTP/1.1 status line"))?;
    let (mut n_body, mut is_chunked, mut is_last) = (None, false, false);
    for line in lines {
        let colon = line.iter().position(|b| *b == b':').ok_or(Failure::Malformed("header without colon"))?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        // Most names are told apart by their length.
        if name.eq_ignore_ascii_case(b"content-length") {
            let n = number(value).ok_or(Failure::Malformed("content-length is no number"))?;
            if n_body.is_some_and(|before| before != n) {
                return Err(Failure::Malformed("two content-lengths"));
            }
            n_body = Some(n);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Failure::Malformed("a transfer-encoding other than chunked"));
            }
            is_chunked = true;
        } else if name.eq_ignore_ascii_case(b"connection") {
            is_last |= value.eq_ignore_ascii_case(b"close");
        }
    }
    let length = match n_body {
        Some(_) if is_chunked => return Err(Failure::Malformed("both chunked and content-length")),
        _ if matches!(status, 204 | 304) => Length::Known(0),
        None if is_chunked => Length::Chunked,
        Some(n) => Length::Known(n),
        None => return Err(Failure::Malformed("neither content-length nor chunked")),
    };
    Ok(Head { status, length, is_last })
}

fn parse_status(line: &[u8]) -> Option<u16> {
    let (code, rest) = line.strip_prefix(b"HTTP/1.1 ")?.split_at_checked(3)?;
    let status = number(code).and_then(|n| u16::try_from(n).ok())?;
    (status >= 100 && (rest.is_empty() || rest.starts_with(b" "))).then_some(status)
}

fn number(digits: &[u8]) -> Option<usize> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| std::str::from_utf8(digits).ok()?.parse().ok())?
}

#[cfg(test)]
mod tests;
