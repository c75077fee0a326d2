//! A tiny HTTP server: a thread per connection, an answer per request.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use flate2::read::GzDecoder;

/// What a request asked.
pub(crate) struct Asked {
    path: String,
    n_events: usize,
}

/// A whole answer, given the number of the request and what it asked. `None` hangs up and stops listening.
type Handler = dyn Fn(u64, &Asked) -> Option<String> + Send + Sync;

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// Requests so far, without those that list users and items.
    pub(crate) n_requests: Arc<AtomicU64>,
}

/// Starts a server that knows users and items, and answers everything else with `handler`. It lives as long as the
/// test program.
pub(crate) fn serve(handler: impl Fn(u64, &Asked) -> Option<String> + Send + Sync + 'static) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let n_requests = Arc::new(AtomicU64::new(0));
    let (count, handler): (_, Arc<Handler>) = (n_requests.clone(), Arc::new(handler));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (count, handler) = (count.clone(), handler.clone());
            thread::spawn(move || converse(stream.unwrap(), &count, &*handler));
        }
    });
    Server { address, n_requests }
}

fn converse(stream: TcpStream, count: &AtomicU64, handler: &Handler) {
    stream.set_nodelay(true).unwrap();
    let mut writer = stream.try_clone().unwrap();
    let mut reader = BufReader::new(stream);
    while let Some(asked) = read_request(&mut reader) {
        let path = &asked.path;
        let answer = if path.starts_with("/v1/users") {
            Some(ok(r#"{"users":[{"user_id":"ada"},{"user_id":"bob"}]}"#))
        } else if path.starts_with("/v1/items") {
            // Items of the simulated market, in two pages.
            let (from, next) =
                if path.contains("after=") { (50, "") } else { (0, r#","next_after":"sim-0000049""#) };
            let items: Vec<_> = (from..from + 50).map(|n| format!(r#"{{"item_id":"sim-{n:07}"}}"#)).collect();
            Some(ok(&format!(r#"{{"items":[{}]{next}}}"#, items.join(","))))
        } else {
            handler(count.fetch_add(1, Ordering::SeqCst), &asked)
        };
        let Some(answer) = answer else { return };
        if writer.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// The next request, its events counted.
fn read_request(reader: &mut impl BufRead) -> Option<Asked> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    let (mut n_body, mut is_packed) = (0, false);
    loop {
        line.clear();
        reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
        match line.trim().split_once(": ") {
            Some(("content-length", n)) => n_body = n.parse().unwrap(),
            Some(("content-encoding", "gzip")) => is_packed = true,
            Some(_) => (),
            None => break,
        }
    }
    let mut body = vec![0; n_body];
    reader.read_exact(&mut body).ok()?;
    if is_packed {
        let packed = std::mem::take(&mut body);
        GzDecoder::new(packed.as_slice()).read_to_end(&mut body).unwrap();
    }
    let n_events = String::from_utf8(body).unwrap().matches("event_id").count();
    Some(Asked { path, n_events })
}

pub(crate) fn ok(body: &str) -> String {
    response("200 OK", body)
}

pub(crate) fn response(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A right answer.
pub(crate) fn right(asked: &Asked) -> String {
    if asked.path.starts_with("/v1/events") {
        let n = asked.n_events;
        return response("202 Accepted", &format!(r#"{{"accepted":{n},"duplicates":0,"rejected":[]}}"#));
    }
    let items: Vec<_> = (1..=10).map(|n| format!(r#"{{"item_id":"i{n}","rank":{n}}}"#)).collect();
    ok(&format!(r#"{{"rung":"personal","items":[{}]}}"#, items.join(",")))
}
