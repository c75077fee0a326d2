//! The built binary against a real, tiny server.
#![cfg(test)]

mod server;

use std::{
    net::TcpListener,
    process::{Command, Output},
    sync::{Mutex, MutexGuard, PoisonError, atomic::Ordering},
    thread,
    time::Duration,
};

use serde_json::Value;
use server::{ok, response, right, serve};

/// Runs that measure time do not run beside each other.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `load-tests run …` against `address`; gives what it printed and what it wrote.
fn load(scenario: &str, address: impl std::fmt::Display, args: &str) -> (Output, Value) {
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("out.json");
    let output = Command::new(env!("CARGO_BIN_EXE_load-tests"))
        .args(["run", scenario, "--target", &format!("http://{address}")])
        .args(args.split_whitespace())
        .arg("--json")
        .arg(&json)
        .output()
        .unwrap();
    let report = std::fs::read(&json).map_or(Value::Null, |bytes| serde_json::from_slice(&bytes).unwrap());
    (output, report)
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn every_request_reaches_the_server_once_and_right_answers_make_a_good_run() {
    let _alone = alone();
    for (scenario, args) in [
        ("recommendations", ""),
        ("events", ""),
        ("browse", "--grain 2"),
        ("browse", "--sessions sim --ndjson --gzip"),
        ("get", "--path /v1/anything"),
    ] {
        let server = serve(|_, path| Some(right(path)));
        let args = format!("--rate 300 --seconds 2 --check-share 1 {args}");
        let (output, report) = load(scenario, server.address, &args);
        assert_eq!(report["requests"], server.n_requests.load(Ordering::SeqCst), "{report}");
        assert_eq!(report["checked"], report["requests"], "{report}");
        assert_eq!(report["check_failures"], serde_json::json!({}), "{report}");
        assert_eq!(report["errors"], serde_json::json!({}), "{report}");
        let n = report["requests"].as_f64().unwrap();
        // The requests of a visit come together, so their number varies more.
        let spread = if scenario == "browse" { 8.0 } else { 4.0 };
        assert!((n - 600.0).abs() < spread * 600_f64.sqrt(), "{n} requests");
        // On a busy machine the generator may be late; then it says so.
        assert_eq!(output.status.success(), report["is_valid"].as_bool().unwrap(), "{report}");
        assert!(text(&output.stdout).contains("    1 s  sent "), "{}", text(&output.stdout));
    }
}

#[test]
fn a_server_that_stalls_for_a_second_shows_it_in_the_99th_percentile() {
    let _alone = alone();
    // One request holds the only connection for a second: of 200 requests in 4 s, a quarter queue behind it.
    let server = serve(|n, path| {
        if n == 50 {
            thread::sleep(Duration::from_secs(1));
        }
        Some(right(path))
    });
    let (output, report) =
        load("recommendations", server.address, "--rate 50 --seconds 4 --connections 1 --check-share 0");
    let (p50, p99) = (report["p50_ms"].as_f64().unwrap(), report["p99_ms"].as_f64().unwrap());
    assert!(p99 > 800.0 && p99 < 2000.0, "{report}");
    assert!(p50 < 500.0, "{report}");
    // And since the requests that queued were sent late, the run is not what was asked for.
    assert!(report["late_share"].as_f64().unwrap() > 0.1, "{report}");
    assert!(!report["is_valid"].as_bool().unwrap());
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("no free connection"), "{}", text(&output.stdout));
}

#[test]
fn requests_that_never_left_are_counted() {
    let _alone = alone();
    let server = serve(|_, path| {
        thread::sleep(Duration::from_millis(400));
        Some(right(path))
    });
    let args = "--rate 100 --seconds 1 --connections 1 --timeout 1";
    let (_, report) = load("recommendations", server.address, args);
    let unsent = report["errors"]["not sent before the run was over"].as_u64().unwrap();
    let sent = server.n_requests.load(Ordering::SeqCst);
    assert_eq!(report["requests"].as_u64().unwrap(), sent + unsent, "{report}");
    assert!(sent < 10 && unsent > 50, "{report}");
    assert!(report["p50_ms"].as_f64().unwrap() > 900.0, "{report}");
}

#[test]
fn wrong_answers_and_wrong_codes_are_counted_by_kind() {
    let _alone = alone();
    let server = serve(|n, path| {
        Some(match n {
            0..10 => ok(r#"{"rung":"personal","items":[]}"#),
            10..15 => {
                // Slow, so that it would show if it counted as an answer.
                thread::sleep(Duration::from_millis(700));
                response("503 Service Unavailable", "{}")
            }
            15..18 => "HTTP/1.1 200 OK\r\ntransfer-encoding: br\r\n\r\n".to_owned(),
            // Said in chunks, and the connection closed after it.
            18..20 => {
                let body = right(path).split_once("\r\n\r\n").unwrap().1.to_owned();
                let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
                format!("{head}{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
            }
            _ => right(path),
        })
    });
    let args = "--rate 100 --seconds 1 --check-share 1";
    let (output, report) = load("recommendations", server.address, args);
    assert_eq!(report["check_failures"], serde_json::json!({"empty list": 10}));
    let encoding = "not understood: a transfer-encoding other than chunked";
    assert_eq!(report["errors"], serde_json::json!({"status 503": 5, encoding: 3}));
    assert!(report["connections_opened"].as_u64().unwrap() >= 64 + 3 + 2, "{report}");
    assert!(report["max_ms"].as_f64().unwrap() < 700.0, "{report}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_closed_loop_sends_as_soon_as_it_has_its_answer() {
    let _alone = alone();
    let server = serve(|_, path| {
        thread::sleep(Duration::from_millis(20));
        Some(right(path))
    });
    let (_, report) = load("recommendations", server.address, "--concurrency 4 --seconds 2");
    let rate = report["rate"].as_f64().unwrap();
    assert!(rate > 100.0 && rate <= 200.0, "{report}");
    assert_eq!(report["late_share"], 0.0);
    assert_eq!(report["connections_opened"], 4);
}

#[test]
fn a_target_that_dies_is_given_up_with_the_reason() {
    let _alone = alone();
    let server = serve(|n, path| (n < 20).then(|| right(path)));
    let (output, report) = load("events", server.address, "--rate 50 --seconds 60");
    assert!(!report["is_valid"].as_bool().unwrap(), "{report}");
    assert!(report["seconds"].as_f64().unwrap() < 20.0, "{report}");
    assert!(report["errors"]["closed before the answer was whole"].as_u64().unwrap() > 100, "{report}");
    assert!(text(&output.stdout).contains("gave no answer for 5 seconds"), "{}", text(&output.stdout));
}

#[test]
fn what_cannot_start_says_why() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let empty = serve(|_, _| None);
    let no_users = tempfile::NamedTempFile::new().unwrap();
    let users = format!("--rate 1 --users {}", no_users.path().display());
    for (address, args, why) in [
        (free.to_string(), "--rate 10", "nobody listens on 127.0.0.1"),
        ("192.0.2.1:80".to_owned(), "--rate 10", "--allow-remote"),
        (free.to_string(), "--rate 0", "a rate of 0 sends nothing"),
        (free.to_string(), "--rate -5..10", "0 to 1000000 are possible"),
        (free.to_string(), "--rate 1e9", "0 to 1000000 are possible"),
        (free.to_string(), "", "--rate"),
        (free.to_string(), "--rate 10 --concurrency 2", "cannot be used with"),
        (free.to_string(), "--rate 10 --check-share 2", "0 to 1 are possible"),
        (free.to_string(), "--rate 10 --seconds 0", "0.1 to 86400 are possible"),
        (free.to_string(), "--rate 10 --path a", "a path begins with /"),
        (free.to_string(), "--rate 10 --batch 0", "0 is not in 1..=5000"),
        (empty.address.to_string(), &users, "has no id"),
    ] {
        let (output, report) = load("recommendations", address, args);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args}: {message}");
        assert!(message.contains(why), "{args}: {message}");
        assert_eq!(report, Value::Null);
    }
}

#[test]
fn an_answer_that_never_comes_is_given_up_and_costs_its_connection_only() {
    let _alone = alone();
    let server = serve(|n, path| {
        if n == 5 {
            thread::sleep(Duration::from_secs(3));
        }
        Some(right(path))
    });
    let args = "--rate 50 --seconds 2 --connections 4 --timeout 1 --check-share 1";
    let (_, report) = load("recommendations", server.address, args);
    assert_eq!(report["errors"], serde_json::json!({"timeout": 1}), "{report}");
    assert_eq!(report["connections_opened"], 5, "{report}");
    assert!(report["max_ms"].as_f64().unwrap() >= 1000.0, "{report}");
    assert!(report["p50_ms"].as_f64().unwrap() < 100.0, "{report}");
}

#[test]
fn a_large_batch_goes_out_in_pieces_and_comes_back_counted() {
    let _alone = alone();
    let server =
        serve(|_, _| Some(response("202 Accepted", r#"{"accepted":5000,"duplicates":0,"rejected":[]}"#)));
    let args = "--concurrency 2 --seconds 1 --batch 5000 --check-share 1";
    let (output, report) = load("events", server.address, args);
    assert!(output.status.success(), "{report}");
    assert!(report["checked"].as_u64().unwrap() > 2, "{report}");
}

/// The other program beside ours, in turns, on a handler that always answers the same.
#[test]
#[ignore = "needs wrk (Debian package wrk) and a quiet machine"]
fn a_closed_loop_counts_as_many_requests_as_wrk() {
    let _alone = alone();
    let server = serve(|_, path| Some(right(path)));
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let (_, report) =
            load("get", server.address, "--path /x --concurrency 8 --seconds 3 --check-share 0");
        ours.push(report["rate"].as_f64().unwrap());
        let url = format!("http://{}/x", server.address);
        let output =
            Command::new("wrk").args(["-t1", "-c8", "-d3", &url]).output().expect("wrk is installed");
        let rate = text(&output.stdout).split_once("Requests/sec:").unwrap().1.split_whitespace().next();
        theirs.push(rate.unwrap().parse::<f64>().unwrap());
    }
    let median = |rates: &mut Vec<f64>| {
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    };
    let ratio = median(&mut ours) / median(&mut theirs);
    assert!((ratio - 1.0).abs() < 0.05, "{ratio:.3}: ours {ours:?}, wrk {theirs:?}");
}
