//! Takes a request's body apart into events.

use serde::de::IgnoredAny;
use waggle_http::Object;
use waggle_model::{Event, Timestamp, wire::WireEvent};

/// How the events of a body are strung together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `{"events":[…]}`.
    Json,
    /// One event per line; blank lines do not count.
    Ndjson,
}

/// Why nothing of a body is looked at.
#[derive(Debug, PartialEq, Eq)]
pub enum BodyError {
    /// It is not JSON, or not of the form `{"events":[…]}`.
    Malformed(String),
    /// It holds more than this many events.
    TooMany(usize),
}

/// The elements of a body, in order; of NDJSON they may be anything, else each is valid JSON.
///
/// # Errors
/// [`BodyError`] if the body as a whole cannot be taken apart, or holds more than `max`.
pub fn elements(body: &[u8], format: Format, max: usize) -> Result<Vec<&[u8]>, BodyError> {
    match format {
        Format::Json => json_elements(body, max),
        Format::Ndjson => lines(body, max),
    }
}

/// The event that one element of a body stands for; timed `now` if it names no time.
///
/// # Errors
/// One sentence that says what is wrong with it.
pub fn event(json: &[u8], now: Timestamp) -> Result<Event, String> {
    let Object(event): Object<WireEvent> =
        serde_json::from_slice(json).map_err(|e| format!("not an event: {e}"))?;
    event.into_event(now)
}

/// The elements of `{"events":[…]}`.
fn json_elements(body: &[u8], max: usize) -> Result<Vec<&[u8]>, BodyError> {
    let mut scan = Scan { body, at: 0 };
    scan.expect(b'{', "{")?;
    if scan.value()? != b"\"events\"" {
        return Err(scan.malformed("expected \"events\" as the only field"));
    }
    scan.expect(b':', ":")?;
    scan.expect(b'[', "an array of events")?;
    let mut elements = Vec::new();
    if !scan.take(b']') {
        loop {
            if elements.len() == max {
                return Err(BodyError::TooMany(max));
            }
            elements.push(scan.value()?);
            if scan.take(b']') {
                break;
            }
            scan.expect(b',', ", or ]")?;
        }
    }
    scan.expect(b'}', "} (\"events\" is the only field)")?;
    scan.skip_space();
    if scan.at < body.len() {
        Err(scan.malformed("unexpected characters behind the body"))
    } else {
        Ok(elements)
    }
}

fn lines(body: &[u8], max: usize) -> Result<Vec<&[u8]>, BodyError> {
    let lines: Vec<_> =
        body.split(|b| *b == b'\n').map(<[u8]>::trim_ascii).filter(|l| !l.is_empty()).collect();
    if lines.len() > max { Err(BodyError::TooMany(max)) } else { Ok(lines) }
}

/// A place in a JSON text.
struct Scan<'a> {
    body: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    fn skip_space(&mut self) {
        while self.body.get(self.at).is_some_and(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        self.skip_space();
        let found = self.body.get(self.at) == Some(&byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8, what: &str) -> Result<(), BodyError> {
        if self.take(byte) { Ok(()) } else { Err(self.malformed(&format!("expected {what}"))) }
    }

    /// The whole JSON value that starts here.
    fn value(&mut self) -> Result<&'a [u8], BodyError> {
        self.skip_space();
        let rest = &self.body[self.at..];
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<IgnoredAny>();
        match values.next() {
            Some(Ok(_)) => {
                let value = rest[..values.byte_offset()].trim_ascii();
                self.at += values.byte_offset();
                Ok(value)
            }
            Some(Err(error)) => Err(self.malformed(&error.to_string())),
            None => Err(self.malformed("unexpected end of the body")),
        }
    }

    fn malformed(&self, what: &str) -> BodyError {
        BodyError::Malformed(format!("{what}, at byte {}", self.at))
    }
}

#[cfg(test)]
mod tests;
