use super::*;

/// Status and body read from `bytes`, when they come at once, one by one, and in every two pieces; all have to agree.
/// `None` is an answer that is not whole.
#[track_caller]
fn check(bytes: &str, expected: Result<Option<(u16, &str)>, Failure>) {
    let bytes = bytes.as_bytes();
    let expected = expected.map(|whole| whole.map(|(status, body)| (status, body.as_bytes().to_vec())));
    assert_eq!(answer(&[bytes]), expected);
    assert_eq!(answer(&bytes.chunks(1).collect::<Vec<_>>()), expected);
    if bytes.len() < 1000 {
        for at in 0..bytes.len() {
            assert_eq!(answer(&[&bytes[..at], &bytes[at..]]), expected, "cut at {at}");
        }
    }
}

fn answer(pieces: &[&[u8]]) -> Result<Option<(u16, Vec<u8>)>, Failure> {
    let mut answer = Answer::default();
    answer.reset(true);
    let mut is_whole = false;
    for piece in pieces {
        is_whole = answer.read(piece)?;
    }
    Ok(is_whole.then(|| (answer.status(), answer.body().to_vec())))
}

#[test]
fn status_and_body_are_read_wherever_the_bytes_are_cut() {
    check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", Ok(Some((200, "hi"))));
    check("HTTP/1.1 503 \r\ncontent-length:0\r\nconnection: close\r\n\r\n", Ok(Some((503, ""))));
    check("HTTP/1.1 204 No Content\r\n\r\n", Ok(Some((204, ""))));
}

#[test]
fn a_chunked_body_is_put_together() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    check(&format!("{head}2\r\nhi\r\n0\r\n\r\n"), Ok(Some((200, "hi"))));
    check(
        &format!("{head}1;a=b\r\nh\r\n0A\r\n0123456789\r\n0\r\nx: y\r\n\r\n"),
        Ok(Some((200, "h0123456789"))),
    );
    check(&format!("{head}0\r\n\r\n"), Ok(Some((200, ""))));
    check(&format!("{head}2\r\nhi\r\n0\r\n"), Ok(None));
    for (body, why) in [
        ("2\r\nhiho\r\n", "a chunk is longer than it says"),
        ("x\r\n", "length of a chunk is no number"),
        ("\r\n", "length of a chunk is no number"),
        ("ffffffffffffffffffff\r\n", "body too large"),
        ("0\r\n\r\nmore", "more bytes than the answer has"),
    ] {
        check(&format!("{head}{body}"), Err(Failure::Malformed(why)));
    }
    let long = format!("{head}2;{}\r\n", "x".repeat(MAX_CHUNK_LINE_BYTES));
    check(&long, Err(Failure::Malformed("a line between chunks is too long")));
}

#[test]
fn a_body_that_nobody_wants_is_counted_and_dropped() {
    let mut answer = Answer::default();
    answer.reset(false);
    assert_eq!(answer.read(b"HTTP/1.1 200 OK\r\ncontent-length: 300000\r\n\r\n"), Ok(false));
    assert_eq!(answer.read(&[b'x'; 299_999]), Ok(false));
    assert_eq!(answer.read(b"x"), Ok(true));
    assert_eq!(answer.kept.capacity(), 0);
}

#[test]
fn an_answer_that_ends_early_is_not_whole() {
    check("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nhi", Ok(None));
    check("HTTP/1.1 200 OK\r\n", Ok(None));
}

#[test]
fn what_is_not_understood_is_named() {
    for (bytes, why) in [
        ("HTTP/1.0 200 OK\r\n\r\n", "no HTTP/1.1 status line"),
        ("HTTP/1.1 20x OK\r\n\r\n", "no HTTP/1.1 status line"),
        ("HTTP/1.1 200 OK\r\n\r\n", "neither content-length nor chunked"),
        ("HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nhi", "content-length is no number"),
        ("HTTP/1.1 200 OK\r\ncontent-length:\r\n\r\nhi", "content-length is no number"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n", "body too large"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nhi", "two content-lengths"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nhi", "more bytes than the answer has"),
        ("HTTP/1.1 200 OK\r\nnonsense\r\n\r\n", "header without colon"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n", "a transfer-encoding other than chunked"),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 1\r\n\r\n",
            "both chunked and content-length",
        ),
    ] {
        check(bytes, Err(Failure::Malformed(why)));
    }
    check(&"x".repeat(MAX_HEAD_BYTES + 1), Err(Failure::Malformed("headers too long")));
}

#[test]
fn one_answer_leaves_nothing_to_the_next() {
    let mut answer = Answer::default();
    for body in ["first", "2nd"] {
        answer.reset(true);
        let n = body.len();
        let bytes = format!("HTTP/1.1 200 OK\r\ncontent-length: {n}\r\nconnection: close\r\n\r\n{body}");
        assert_eq!(answer.read(bytes.as_bytes()), Ok(true));
        assert_eq!((answer.body(), answer.is_last()), (body.as_bytes(), true));
    }
}
