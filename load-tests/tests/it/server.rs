//! A tiny HTTP server: a thread per connection, an answer per request.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

/// A whole answer, given the number of the request and its path. `None` hangs up and stops listening.
type Handler = dyn Fn(u64, &str) -> Option<String> + Send + Sync;

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// Requests so far, without those that list users and items.
    pub(crate) n_requests: Arc<AtomicU64>,
}

/// Starts a server that knows users and items, and answers everything else with `handler`. It lives as long as the
/// test program.
pub(crate) fn serve(handler: impl Fn(u64, &str) -> Option<String> + Send + Sync + 'static) -> Server {
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
    while let Some(path) = read_request(&mut reader) {
        let answer = if path.starts_with("/v1/users") {
            Some(ok(r#"{"users":[{"user_id":"ada"},{"user_id":"bob"}]}"#))
        } else if path.starts_with("/v1/items") {
            Some(ok(r#"{"items":[{"item_id":"a"},{"item_id":"b"}]}"#))
        } else {
            handler(count.fetch_add(1, Ordering::SeqCst), &path)
        };
        let Some(answer) = answer else { return };
        if writer.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// The path of the next request, its body read and dropped.
fn read_request(reader: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut n_body = 0;
    loop {
        line.clear();
        reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
        match line.trim().split_once(": ") {
            Some(("content-length", n)) => n_body = n.parse().unwrap(),
            Some(_) => (),
            None => break,
        }
    }
    reader.read_exact(&mut vec![0; n_body]).ok()?;
    Some(path)
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

/// A right answer to a request of this path.
pub(crate) fn right(path: &str) -> String {
    if path.starts_with("/v1/events") {
        return response("202 Accepted", r#"{"accepted":1,"duplicates":0,"rejected":[]}"#);
    }
    let items: Vec<_> = (1..=10).map(|n| format!(r#"{{"item_id":"i{n}","rank":{n}}}"#)).collect();
    ok(&format!(r#"{{"rung":"personal","items":[{}]}}"#, items.join(",")))
}
