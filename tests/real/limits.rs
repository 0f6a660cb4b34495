//! The limits of a connection, a lock and the server, set low.

use serde_json::{Value, json};

use crate::support::client::lock;
use crate::support::patience::eventually;
use crate::support::server::Server;

fn expect_error(reply: &Value, reason: &str) {
    assert_eq!((&reply["result"], &reply["reason"]), (&json!("error"), &json!(reason)), "{reply}");
    assert!(reply["message"].as_str().is_some_and(|message| !message.is_empty()), "{reply}");
}

#[test]
fn one_connection_too_many_gets_an_error_and_there_is_room_again_later() {
    for server in [Server::tcp(&["--connections-max", "2"]), Server::unix(&["--connections-max", "2"])] {
        let [mut ann, mut bob] = [server.connect(), server.connect()];
        ann.acquire("db");
        bob.queue_for("db");
        for _ in 0..3 {
            let mut eve = server.connect();
            // It may be closed while this is being sent.
            let _ = eve.try_write(format!("{}\n", lock("db")).as_bytes());
            expect_error(&eve.receive(), "too_many_connections");
            eve.expect_end();
        }
        drop(ann);
        bob.expect_acquired("db");
        // The server has noticed the end, but a refused connection may still linger: it doesn't count.
        let mut eve = server.connect();
        assert_eq!(eve.ask(r#"{"command":"my_locks"}"#), json!({"result": "my_locks", "value": []}));
    }
}

#[test]
fn a_crowd_over_the_connection_limit_is_refused_and_harms_nobody() {
    let server = Server::tcp(&["--connections-max", "1"]);
    let mut ann = server.connect();
    ann.acquire("db");
    let crowd: Vec<_> = (0..200).map(|_| server.connect()).collect();
    ann.acquire("other");
    // Told so, or closed without a word: only 64 are told at a time.
    let told: Vec<Value> = crowd.into_iter().flat_map(|mut client| client.receive_until_end()).collect();
    assert!((1..=200).contains(&told.len()), "{}", told.len());
    told.iter().for_each(|reply| expect_error(reply, "too_many_connections"));
    drop(ann);
    eventually("there is room again", || {
        let mut bob = server.connect();
        bob.try_write(b"{\"command\":\"locks\"}\n").is_ok()
            && bob.receive_or_end().is_some_and(|reply| reply == json!({"result": "locks", "value": {}}))
    });
}

#[test]
fn a_connection_may_hold_and_wait_for_a_limited_number_of_locks() {
    let server = Server::tcp(&["--connection-locks-max", "2"]);
    let [mut ann, mut bob] = [server.connect(), server.connect()];
    bob.acquire("two");
    ann.acquire("one");
    ann.queue_for("two");
    let reply = ann.ask(lock("three"));
    expect_error(&reply, "too_many_locks");
    assert_eq!(reply["name"], "three");
    // A lock that it has already doesn't count twice, and a released one makes room.
    assert_eq!(ann.ask(lock("one"))["result"], "already_acquired");
    ann.release("two");
    ann.acquire("three");
    expect_error(&ann.ask(lock("four")), "too_many_locks");
    bob.acquire("four");
}

#[test]
fn a_lock_may_have_a_limited_number_of_waiters() {
    let server = Server::tcp(&["--lock-waits-max", "1"]);
    let [mut ann, mut bob, mut eve] = [server.connect(), server.connect(), server.connect()];
    ann.acquire("db");
    bob.queue_for("db");
    let reply = eve.ask(lock("db"));
    expect_error(&reply, "too_many_waits");
    assert_eq!(reply["name"], "db");
    // A request that does not wait needs no room.
    assert_eq!(eve.ask(json!({"command": "lock", "name": "db", "timeout": 0}))["result"], "timed_out");
    ann.release("db");
    bob.expect_acquired("db");
    eve.queue_for("db");
}

#[test]
fn a_listing_that_would_be_too_large_is_an_error() {
    let server = Server::tcp(&["--reply-bytes-max", "300"]);
    let mut ann = server.connect();
    for command in ["locks", "connections", "my_locks"] {
        assert_eq!(ann.ask(json!({"command": command}))["result"], command);
    }
    (0..20).for_each(|number| ann.acquire(&format!("a name of some length {number}")));
    for command in ["locks", "connections", "my_locks"] {
        expect_error(&ann.ask(json!({"command": command})), "reply_too_large");
    }
    // The connection and its locks are unchanged.
    assert_eq!(ann.ask(lock("a name of some length 7"))["result"], "already_acquired");
    assert_eq!(server.connect().ask(r#"{"command":"my_locks"}"#), json!({"result": "my_locks", "value": []}));
}
