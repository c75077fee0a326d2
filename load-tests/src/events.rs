//! Requests that send events.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};

/// One event, borrowed from whoever knows what was done. Texts are JSON already.
pub(crate) struct Act<'a> {
    pub(crate) kind: &'a str,
    pub(crate) item: &'a str,
    pub(crate) quantity: Option<f64>,
    pub(crate) price: Option<f64>,
    /// Belongs to the order of this request.
    pub(crate) is_ordered: bool,
}

/// How events are written into the body of a request.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Form {
    /// One event a line (`application/x-ndjson`) instead of one JSON document.
    pub(crate) ndjson: bool,
    pub(crate) gzip: bool,
}

/// Writes whole requests.
pub(crate) struct EventRequests {
    form: Form,
    /// The header lines that all requests share.
    headers: String,
    /// Begins each event's id. No other run begins its own so, or the target would drop them as repetitions.
    run: String,
}

impl EventRequests {
    pub(crate) fn new(form: Form, headers: &str, run: &str) -> Self {
        let content_type = if form.ndjson { "application/x-ndjson" } else { "application/json" };
        let encoding = if form.gzip { "content-encoding: gzip\r\n" } else { "" };
        let headers = format!("{headers}content-type: {content_type}\r\n{encoding}");
        Self { form, headers, run: run.to_owned() }
    }

    /// Writes a request with these events to `out`.
    ///
    /// - `number`: no other request of the run has it
    /// - `person`: who does all this, as a JSON field: `"user_id":"ada"`
    pub(crate) fn write<'a>(
        &self,
        number: (u64, u32),
        person: &str,
        acts: impl Iterator<Item = Act<'a>>,
        out: &mut Vec<u8>,
    ) {
        // Room for a content-length that is known only at the end.
        write!(out, "POST /v1/events HTTP/1.1\r\n{}content-length: ", self.headers)
            .expect("writing to memory does not fail");
        let at_length = out.len();
        out.extend_from_slice(b"0000000000\r\n\r\n");
        let at_body = out.len();
        if self.form.gzip {
            let mut body = Vec::new();
            self.write_body(number, person, acts, &mut body);
            let mut encoder = GzEncoder::new(&mut *out, Compression::fast());
            encoder.write_all(&body).expect("writing to memory does not fail");
            encoder.finish().expect("writing to memory does not fail");
        } else {
            self.write_body(number, person, acts, out);
        }
        let length = out.len() - at_body;
        write!(&mut out[at_length..at_length + 10], "{length:010}").expect("ten digits hold a length");
    }

    fn write_body<'a>(
        &self,
        (index, step): (u64, u32),
        person: &str,
        acts: impl Iterator<Item = Act<'a>>,
        out: &mut Vec<u8>,
    ) {
        let (open, between, close): (&[u8], &[u8], &[u8]) =
            if self.form.ndjson { (b"", b"\n", b"\n") } else { (b"{\"events\":[", b",", b"]}") };
        out.extend_from_slice(open);
        for (i, act) in acts.enumerate() {
            if i > 0 {
                out.extend_from_slice(between);
            }
            let Act { kind, item, quantity, price, is_ordered } = act;
            let run = &self.run;
            let mut event = || -> std::io::Result<()> {
                write!(
                    out,
                    r#"{{"event_id":"{run}-{index}-{step}-{i}","type":"{kind}",{person},"item_id":{item}"#
                )?;
                quantity.map_or(Ok(()), |quantity| write!(out, r#","quantity":{quantity}"#))?;
                price.map_or(Ok(()), |price| write!(out, r#","price":{price}"#))?;
                if is_ordered {
                    write!(out, r#","order_id":"{run}-{index}""#)?;
                }
                out.write_all(b"}")
            };
            event().expect("writing to memory does not fail");
        }
        out.extend_from_slice(close);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;
    use serde_json::{Value, json};

    use super::*;

    fn act(kind: &'static str, bought: Option<f64>) -> Act<'static> {
        Act { kind, item: r#""a \" b""#, quantity: bought, price: bought, is_ordered: bought.is_some() }
    }

    /// Head and body of a request with two events.
    fn request(form: Form) -> (String, Vec<u8>) {
        let mut out = Vec::new();
        let acts = [act("view", None), act("purchase", Some(2.5))];
        EventRequests::new(form, "host: a\r\n", "run").write(
            (7, 2),
            r#""user_id":"ada""#,
            acts.into_iter(),
            &mut out,
        );
        let at = out.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
        (String::from_utf8(out[..at].to_vec()).unwrap(), out[at..].to_vec())
    }

    fn events() -> [Value; 2] {
        [
            json!({"event_id": "run-7-2-0", "type": "view", "user_id": "ada", "item_id": "a \" b"}),
            json!({"event_id": "run-7-2-1", "type": "purchase", "user_id": "ada", "item_id": "a \" b",
                   "quantity": 2.5, "price": 2.5, "order_id": "run-7"}),
        ]
    }

    #[test]
    fn every_form_says_how_long_it_is_and_holds_the_same_events() {
        for (ndjson, gzip) in [(false, false), (false, true), (true, false), (true, true)] {
            let (head, mut body) = request(Form { ndjson, gzip });
            let length = head.split_once("content-length: ").unwrap().1.split_once("\r\n").unwrap().0;
            assert_eq!(length.parse::<usize>().unwrap(), body.len(), "{head}");
            assert_eq!(head.contains("content-encoding: gzip\r\n"), gzip);
            assert_eq!(head.contains("application/x-ndjson\r\n"), ndjson);
            if gzip {
                let packed = std::mem::take(&mut body);
                GzDecoder::new(packed.as_slice()).read_to_end(&mut body).unwrap();
            }
            let text = String::from_utf8(body).unwrap();
            if ndjson {
                let lines: Vec<Value> =
                    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
                assert_eq!(lines, events());
            } else {
                assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), json!({"events": events()}));
            }
        }
    }
}
