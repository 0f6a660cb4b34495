//! Sessions over real sockets: connections that are lost, a server that stands still, and what the log says of it.

use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::support::client::{Client, lock};
use crate::support::patience::eventually;
use crate::support::server::Server;

/// Begins a session with this grace in seconds, and returns its secret.
fn begin(client: &mut Client, grace: f64) -> String {
    let reply = client.ask(json!({"command": "hello", "session": {"grace": grace}}));
    reply["session"]["secret"].as_str().unwrap_or_else(|| panic!("no secret in {reply}")).to_owned()
}

fn resume_line(secret: &str) -> String {
    json!({"command": "hello", "resume": secret}).to_string()
}

fn holders(observer: &mut Client, name: &str) -> serde_json::Value {
    observer.ask(json!({"command": "locks", "name": name}))["value"][name].clone()
}

#[test]
fn a_client_that_loses_its_connection_keeps_its_locks_and_its_place() {
    for server in [Server::tcp(&[]), Server::unix(&[])] {
        let [mut ann, mut bob] = [server.connect(), server.connect()];
        let secret = begin(&mut ann, 60.0);
        ann.acquire("player:1");
        bob.acquire("player:2");
        ann.send(json!({"command": "lock", "name": "player:2", "id": "wait"}));
        bob.send(lock("player:1"));
        assert_eq!(ann.ask(json!({"command": "ping"}))["result"], "pong");
        drop(ann);
        let mut observer = server.connect();
        eventually("the session has no connection", || {
            holders(&mut observer, "player:1")[0].as_str() == Some("session:1")
        });
        bob.expect_nothing_before_now();
        let mut resumed = server.connect();
        let reply = resumed.ask(resume_line(&secret));
        assert_eq!(reply["resumed"], true, "{reply}");
        assert_eq!(reply["held"], json!([{"name": "player:1", "token": reply["held"][0]["token"], "waiters": 1}]));
        assert_eq!(reply["waiting"], json!([{"name": "player:2", "id": "wait"}]));
        assert_eq!(reply["executed"], 4);
        bob.release("player:2");
        assert_eq!(resumed.receive(), json!({"name": "player:2", "result": "acquired", "id": "wait"}));
        resumed.release("player:1");
        bob.expect_acquired("player:1");
    }
}

#[test]
fn a_grace_ends_in_time_and_not_while_the_server_stands_still() {
    let server = Server::tcp(&[]);
    let [mut ann, mut bob] = [server.connect(), server.connect()];
    let secret = begin(&mut ann, 2.0);
    ann.acquire("kept");
    bob.send(lock("kept"));
    drop(ann);
    let mut observer = server.connect();
    eventually("the session has no connection", || holders(&mut observer, "kept")[0].as_str() == Some("session:1"));
    server.signal(Signal::STOP);
    let stopped = Instant::now();
    while stopped.elapsed() < Duration::from_secs(4) {
        thread::sleep(Duration::from_millis(50));
    }
    server.signal(Signal::CONT);
    let mut resumed = server.connect();
    assert_eq!(resumed.ask(resume_line(&secret))["resumed"], true, "twice its grace has passed by the clock");
    let lost = Instant::now();
    drop(resumed);
    bob.expect_acquired("kept");
    let waited = lost.elapsed();
    assert!(waited >= Duration::from_secs(2) && waited < Duration::from_secs(10), "{waited:?}");
}

#[test]
fn the_log_tells_what_became_of_a_session_and_never_its_secret() {
    for level in ["info", "trace"] {
        let server = Server::tcp(&["-l", level]);
        let mut ann = server.connect();
        ann.ask(json!({"command": "hello", "client": "zone-7"}));
        let secret = begin(&mut ann, 0.5);
        ann.acquire("player:1");
        let mut bob = server.connect();
        bob.send(lock("player:1"));
        let old = ann.tcp_name();
        let mut resumed = server.connect();
        // In two pieces, after a line that is no request although it has the secret in it, and one with an escape.
        let line = resume_line(&secret);
        let escaped = line.replace(&secret, &format!("\\u{:04x}{}", secret.as_bytes()[0], &secret[1..]));
        resumed.ask(line.replace(":", ";"));
        resumed.ask(json!({"command": "ping", "resume": secret}));
        resumed.ask(json!({"command": "hello", "session": {"secret": secret, "grace": 0}}));
        resumed.write(&line.as_bytes()[..30]);
        ann.ask(json!({"command": "ping"}));
        resumed.write(&line.as_bytes()[30..]);
        assert_eq!(resumed.ask("")["resumed"], true);
        assert_eq!(ann.receive()["reason"], "session_taken");
        ann.expect_end();
        let mut third = server.connect();
        assert_eq!(third.ask(escaped)["resumed"], true);
        let (second_name, third_name) = (resumed.tcp_name(), third.tcp_name());
        assert_eq!(third.ask(json!({"command": "hello", "session": {"grace": 0.25}}))["session"]["grace"], 0.25);
        drop((resumed, third));
        bob.expect_acquired("player:1");
        let log = server.end();
        for line in &log {
            assert!(!line.contains(&secret) && !line.contains(&secret[1..]), "{line}");
        }
        let expected = [
            format!("{second_name} has resumed session:1, which {old} had"),
            format!("{third_name} has resumed session:1, which {second_name} had"),
            format!(
                "{third_name} (zone-7) ended: the peer closed the connection; session:1 goes on for 0.25 s; keeps 1 lock: \
                 player:1"
            ),
            "session:1 (zone-7) ended: not resumed within its grace; released 1 lock: player:1".to_owned(),
        ];
        for text in expected {
            assert!(log.iter().any(|line| line.ends_with(&text)), "{text}\n{log:#?}");
        }
        assert!(!log.iter().any(|line| line.contains(&format!("{old} (zone-7) ended"))), "it has moved");
    }
}
