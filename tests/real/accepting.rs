//! Connections that fail before they are accepted.
#![cfg(target_os = "linux")]

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::directory::Directory;
use crate::support::patience::eventually;
use crate::support::server::Server;
use crate::traced::traced;

/// A server that gets an error instead of some of its connections. The first time that it looks there is none.
fn server(directory: &Directory, error: &str, when: &str) -> Option<Server> {
    let fails = format!("inject=accept4:error={error}:when={when}");
    let mut command = traced(&directory.file("trace"), &["trace=accept4", &fails])?;
    Some(Server::start(command.args(["run", "-p", "0", "-l", "info"])))
}

/// `accept(2)` has these, which a new connection brings along.
#[test]
fn a_connection_that_fails_before_it_is_accepted_delays_no_other_and_is_not_worth_a_line() {
    for error in [
        "EPROTO",
        "ENETDOWN",
        "ENOPROTOOPT",
        "EHOSTDOWN",
        "ENONET",
        "EHOSTUNREACH",
        "EOPNOTSUPP",
        "ENETUNREACH",
        "ECONNABORTED",
        "ETIMEDOUT",
        "EPERM",
    ] {
        let directory = Directory::new();
        let Some(server) = server(&directory, error, "2..4") else { return };
        assert_eq!(server.connect().locks(), json!({}));
        let log = server.end();
        assert!(!log.iter().any(|line| line.contains("accept")), "{error}: {log:?}");
    }
}

#[test]
fn connections_that_all_fail_keep_the_server_from_nothing_else() {
    const LINE: &str = "cannot accept connections at tcp://127.0.0.1:";
    let directory = Directory::new();
    // That of the first client, and that there is no other then, are the second and the third.
    let Some(server) = server(&directory, "EPROTO", "4+") else { return };
    let begun = Instant::now();
    let mut ann = server.connect();
    ann.acquire("db");
    let mut bob = server.connect();
    let said = server.log().wait_for(LINE);
    assert!(said.contains("Protocol error"), "{said}");
    // For more than a second something else wakes the server up again and again, which must not make it try each time.
    for _ in 0..30 {
        ann.my_locks();
        thread::sleep(Duration::from_millis(40));
    }
    assert!(bob.is_silent_for(Duration::from_millis(1)));
    assert_eq!(server.log().count(LINE), 1, "said once");
    drop(server);
    let rests = begun.elapsed().as_millis() / 50 + 4;
    let mut trace = String::new();
    eventually("the trace is complete", || {
        trace = fs::read_to_string(directory.file("trace")).unwrap();
        trace.contains("exited with 0")
    });
    let calls = trace.matches("accept4(").count() as u128;
    assert!((100..=64 * rests).contains(&calls), "{calls} calls, and time for {rests} rests");
}

#[test]
fn when_they_fail_no_longer_connections_are_accepted_though_no_other_comes() {
    let directory = Directory::new();
    let Some(server) = server(&directory, "EPERM", "2..300") else { return };
    assert_eq!(server.connect().locks(), json!({}));
    assert_eq!(server.log().count("cannot accept connections at "), 1, "{:?}", server.log().lines());
}
