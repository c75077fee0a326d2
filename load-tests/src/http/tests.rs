use std::{net::TcpListener, thread};

use super::*;

/// What a client makes of a server that answers its first request with these bytes and hangs up.
fn answered_with(bytes: &[u8]) -> Result<(u16, Vec<u8>), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let bytes = bytes.to_vec();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 4]).unwrap();
        // The client may hang up first, when it has seen enough.
        drop(stream.write_all(&bytes));
    });
    let mut connection = Connection::open(address, Duration::from_secs(5)).unwrap();
    let response = connection.exchange(b"ask\n", Instant::now()).map(|r| (r.status, r.body.to_vec()));
    server.join().unwrap();
    response
}

#[track_caller]
fn check(bytes: &str, expected: Result<(u16, &str), Failure>) {
    let expected = expected.map(|(status, body)| (status, body.as_bytes().to_vec()));
    assert_eq!(answered_with(bytes.as_bytes()), expected);
}

#[test]
fn status_and_body_are_read() {
    check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", Ok((200, "hi")));
    check("HTTP/1.1 503 \r\ncontent-length:0\r\nconnection: close\r\n\r\n", Ok((503, "")));
    check("HTTP/1.1 204 No Content\r\n\r\n", Ok((204, "")));
}

#[test]
fn a_body_larger_than_the_buffer_is_read_whole() {
    let body = "x".repeat(300_000);
    check(&format!("HTTP/1.1 200 OK\r\ncontent-length: 300000\r\n\r\n{body}"), Ok((200, &body)));
}

#[test]
fn an_answer_that_ends_early_is_a_failure() {
    check("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nhi", Err(Failure::Closed));
    check("", Err(Failure::Closed));
}

#[test]
fn what_is_not_understood_is_named() {
    for (bytes, why) in [
        ("HTTP/1.0 200 OK\r\n\r\n", "no HTTP/1.1 status line"),
        ("HTTP/1.1 20x OK\r\n\r\n", "no HTTP/1.1 status line"),
        ("HTTP/1.1 200 OK\r\n\r\n", "no content-length"),
        ("HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nhi", "content-length is no number"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n", "body too large"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nhi", "two content-lengths"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nhi", "more bytes than content-length"),
        ("HTTP/1.1 200 OK\r\nnonsense\r\n\r\n", "header without colon"),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            "chunked body, which this client does not read",
        ),
    ] {
        check(bytes, Err(Failure::Malformed(why)));
    }
    check(&"x".repeat(MAX_HEAD_BYTES + 1), Err(Failure::Malformed("headers too long")));
}

#[test]
fn a_server_that_never_answers_is_given_up_and_the_next_request_opens_another_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut connection = Connection::open(listener.local_addr().unwrap(), Duration::from_millis(50)).unwrap();
    assert_eq!(connection.exchange(b"ask\n", Instant::now()), Err(Failure::Timeout));
    assert_eq!(connection.exchange(b"ask\n", Instant::now()), Err(Failure::Timeout));
    assert_eq!(connection.n_opened, 2);
    drop(listener);
    assert_eq!(connection.exchange(b"ask\n", Instant::now()), Err(Failure::Refused));
}
