//! Lines that are not requests: answered, and the connection keeps its locks.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::lock;
use crate::support::lines::is_end;
use crate::support::patience::PATIENCE;
use crate::support::server::Server;

/// The reason, and whether the name could be read.
const BAD_LINES: &[(&[u8], &str, bool)] = &[
    (b"hello", "invalid_json", false),
    (b"{", "invalid_json", false),
    (b"{\"command\":\"lock\",\"name\":\"db\"", "invalid_json", false),
    (b"{\"command\":\"lock\",\"name\":\"db\"} x", "invalid_json", false),
    (b"{'command':'lock'}", "invalid_json", false),
    (b"{\"command\":\"lock\",\"name\":\"\xff\"}", "invalid_json", false),
    (b"{\"command\":\"lock\",\"name\":\"a\x01b\"}", "invalid_json", false),
    (b"{\"command\":\"lock\",\"name\":\"\\ud800\"}", "invalid_json", false),
    (b"{\"command\":\"lock\",\"name\":\"bad\",\"timeout\":1e999}", "invalid_json", false),
    (b"\0", "invalid_json", false),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", "invalid_json", false),
    (b"GET / HTTP/1.1\r", "invalid_json", false),
    (b"[]", "invalid_request", false),
    (b"null", "invalid_request", false),
    (b"\"lock\"", "invalid_request", false),
    (b"17", "invalid_request", false),
    (b"{}", "invalid_request", false),
    (b"{\"command\":null}", "invalid_request", false),
    (b"{\"command\":5}", "invalid_request", false),
    (b"{\"command\":\"lock\"}", "invalid_request", false),
    (b"{\"command\":\"lock\",\"name\":null}", "invalid_request", false),
    (b"{\"command\":\"lock\",\"name\":5}", "invalid_request", false),
    (b"{\"command\":\"lock\",\"name\":\"\"}", "invalid_request", false),
    (b"{\"command\":\"unlock\"}", "invalid_request", false),
    (b"{\"command\":\"lock\",\"name\":\"bad\",\"timeout\":\"0.1\"}", "invalid_request", true),
    (b"{\"command\":\"lock\",\"name\":\"bad\",\"timeout\":[]}", "invalid_request", true),
    (b"{\"command\":\"lock\",\"name\":\"bad\",\"queue_max\":-1}", "invalid_request", true),
    (b"{\"command\":\"lock\",\"name\":\"bad\",\"queue_max\":1.5}", "invalid_request", true),
    (b"{\"command\":\"lock\",\"name\":\"bad\",\"queue_max\":\"1\"}", "invalid_request", true),
    (b"{\"command\":\"locked\"}", "unknown_command", false),
    (b"{\"command\":\"LOCK\",\"name\":\"bad\"}", "unknown_command", true),
    (b"{\"command\":\"\"}", "unknown_command", false),
];

fn expect_error(reply: &Value, reason: &str) {
    assert_eq!((&reply["result"], &reply["reason"]), (&json!("error"), &json!(reason)), "{reply}");
    assert!(reply["message"].as_str().is_some_and(|message| !message.is_empty()), "{reply}");
}

#[test]
fn a_line_that_is_not_a_request_is_answered_and_the_connection_keeps_its_locks() {
    for server in Server::of_every_kind() {
        let [mut ann, mut bob] = [server.connect(), server.connect()];
        ann.acquire("db");
        bob.acquire("other");
        ann.queue_for("other");
        for (line, reason, has_name) in BAD_LINES {
            ann.write(&[line, &b"\n"[..]].concat());
            let reply = ann.receive();
            expect_error(&reply, reason);
            assert_eq!(reply.get("name"), has_name.then_some(&json!("bad")), "{reply}");
        }
        assert_eq!(bob.locks(), json!({"db": [ann.name()], "other": [bob.name(), ann.name()]}));
        bob.release("other");
        ann.expect_acquired("other");
    }
}

#[test]
fn oversized_parts_of_a_line_are_answered_with_an_error() {
    let server = Server::tcp(&[]);
    let mut ann = server.connect();
    ann.acquire("db");
    expect_error(&ann.ask(lock(&"x".repeat(1025))), "invalid_request");
    let deep = format!("{{\"command\":\"lock\",\"name\":\"bad\",\"x\":{}{}}}", "[".repeat(200), "]".repeat(200));
    expect_error(&ann.ask(deep), "invalid_json");
    // As long as a line may be, with more brackets than fit on a stack.
    expect_error(&ann.ask("[".repeat(64 << 10)), "invalid_json");
    assert_eq!(ann.my_locks(), ["db"]);
}

#[test]
fn bad_lines_in_one_write_are_each_answered_in_order() {
    for server in Server::of_every_kind() {
        let mut ann = server.connect();
        let heap: Vec<u8> = BAD_LINES.iter().flat_map(|(line, ..)| [line, &b"\n"[..]].concat()).collect();
        ann.write(&heap);
        ann.close_write();
        let replies = ann.receive_until_end();
        assert_eq!(replies.len(), BAD_LINES.len());
        replies.iter().zip(BAD_LINES).for_each(|(reply, (_, reason, _))| expect_error(reply, reason));
    }
}

#[test]
fn random_bytes_never_stop_the_server() {
    let mut random = fastrand::Rng::with_seed(7);
    let server = Server::tcp(&[]);
    let mut ann = server.connect();
    ann.acquire("db");
    let pieces = [&b"{\"command\":\"lock\",\"name\":\"a\"}"[..], b"\n", b"\"", b"{", b"}", b"\\u", b"[", b"\xf0\x9f"];
    for _ in 0..200 {
        let mut bob = server.connect();
        let mut bytes = Vec::new();
        for _ in 0..random.usize(..40) {
            match random.bool() {
                true => bytes.extend_from_slice(pieces[random.usize(..pieces.len())]),
                false => bytes.push(random.u8(..)),
            }
        }
        bob.write(&bytes);
        bob.close_write();
        bob.receive_until_end();
    }
    assert_eq!(ann.locks(), json!({"db": [ann.name()]}));
}

#[test]
fn a_line_over_the_limit_gets_its_error_although_the_sender_goes_on() {
    for server in Server::of_every_kind() {
        let [mut ann, mut bob] = [server.connect(), server.connect()];
        ann.acquire("db");
        bob.queue_for("db");
        ann.send(lock("db"));
        // 8 MB without a line end, all written before anything is read.
        let chunk = vec![b'x'; 1 << 20];
        let written = (0..8).try_for_each(|_| ann.try_write(&chunk));
        assert!(written.as_ref().map_err(is_end).is_ok_and(|()| true), "{written:?}");
        assert_eq!(ann.receive(), json!({"name": "db", "result": "already_acquired"}));
        expect_error(&ann.receive(), "line_too_long");
        ann.expect_end();
        // Its locks passed on, and the memory did not grow with the line.
        bob.expect_acquired("db");
        if cfg!(target_os = "linux") {
            assert!(server.peak_memory_bytes() < 24 << 20, "{}", server.peak_memory_bytes());
        }
    }
}

#[test]
fn a_line_of_exactly_the_limit_is_executed() {
    let server = Server::tcp(&["--line-bytes-max", "100"]);
    let mut ann = server.connect();
    let padded = |length: usize| format!("{}{}", lock("db"), " ".repeat(length - lock("db").to_string().len()));
    assert_eq!(ann.ask(padded(100))["result"], "acquired");
    expect_error(&ann.ask(padded(101)), "line_too_long");
    ann.expect_end();
}

#[test]
fn a_client_that_never_stops_sending_a_line_is_closed_all_the_same() {
    let server = Server::tcp(&["--linger-seconds", "0.2"]);
    let mut ann = server.connect();
    let chunk = vec![b'x'; 64 << 10];
    let started = std::time::Instant::now();
    let error = loop {
        match ann.try_write(&chunk) {
            Ok(()) => assert!(started.elapsed() < PATIENCE, "it is read from forever"),
            Err(error) => break error,
        }
    };
    assert!(is_end(&error), "{error}");
    assert!(started.elapsed() >= Duration::from_millis(200), "it had time to read");
    server.connect().acquire("db");
}
