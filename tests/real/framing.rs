//! How requests arrive: in pieces, many at once, and cut off.

use serde_json::{Value, json};

use crate::support::client::{lock, unlock};
use crate::support::server::Server;

#[test]
fn requests_that_arrive_byte_by_byte_are_whole_requests() {
    for server in Server::of_every_kind() {
        let mut ann = server.connect();
        for name in ["db", "🔒", "\n"] {
            let request = format!("{}\r\n", lock(name));
            request.bytes().for_each(|byte| ann.write(&[byte]));
            ann.expect_acquired(name);
        }
    }
}

#[test]
fn an_unfinished_line_holds_up_nobody() {
    for server in Server::of_every_kind() {
        let [mut ann, mut bob] = [server.connect(), server.connect()];
        ann.write(br#"{"command":"lock","#);
        bob.acquire("other");
        bob.acquire("db");
        ann.write(b"\"name\":\"db\"}\n");
        ann.expect_nothing_before_now();
        bob.release("db");
        ann.expect_acquired("db");
    }
}

#[test]
fn a_thousand_requests_in_one_write_are_answered_in_order() {
    for server in Server::of_every_kind() {
        let mut ann = server.connect();
        let names: Vec<String> = (0..500).map(|number| format!("lock {number}")).collect();
        let requests: String = names.iter().map(|name| format!("{}\n{}\n", lock(name), unlock(name))).collect();
        ann.write(requests.as_bytes());
        for name in &names {
            ann.expect_acquired(name);
            assert_eq!(ann.receive(), json!({"name": name, "result": "released"}));
        }
    }
}

#[test]
fn requests_are_answered_and_then_the_connection_ends_when_input_ends() {
    // As `printf … | nc` sends them.
    for server in Server::of_every_kind() {
        let mut bob = server.connect();
        bob.acquire("taken");
        let mut ann = server.connect();
        ann.send(lock("db"));
        ann.send(lock("taken"));
        ann.send(unlock("none"));
        ann.close_write();
        assert_eq!(
            ann.receive_until_end(),
            [json!({"name": "db", "result": "acquired"}), json!({"name": "none", "result": "release_failed"})]
        );
        // The connection ended after its session.
        assert_eq!(bob.locks(), json!({"taken": [bob.name()]}));
    }
}

#[test]
fn large_replies_are_sent_completely_although_input_has_ended() {
    const REPLIES: usize = 300;
    // Executed bit by bit as the output is taken, and all at once.
    let at_once = ["--outbox-pause-bytes", "1000000000"];
    for server in Server::of_every_kind().chain([Server::tcp(&at_once), Server::unix(&at_once)]) {
        let mut ann = server.connect();
        let names: Vec<String> = (0..50).map(|number| format!("{number} {}", "x".repeat(1000))).collect();
        names.iter().for_each(|name| ann.acquire(name));
        ann.write("{\"command\":\"my_locks\"}\n".repeat(REPLIES).as_bytes());
        ann.close_write();
        // Others are served while this one has 15 MB to read. Each of these is a turn of the server.
        ann.wait_for_output();
        let mut bob = server.connect();
        (0..10).for_each(|_| bob.expect_nothing_before_now());
        let replies = ann.receive_until_end();
        assert_eq!(replies.len(), REPLIES);
        assert!(replies.iter().all(|reply| reply["value"].as_array().is_some_and(|value| value.len() == 50)));
    }
}

#[test]
fn an_incomplete_last_line_is_discarded() {
    for server in Server::of_every_kind() {
        let mut ann = server.connect();
        ann.write(format!("{}\n{}", lock("one"), lock("two")).as_bytes());
        ann.close_write();
        assert_eq!(ann.receive_until_end(), [json!({"name": "one", "result": "acquired"})]);
    }
}

#[test]
fn a_connection_can_end_without_sending_anything() {
    for server in Server::of_every_kind() {
        let mut ann = server.connect();
        ann.close_write();
        ann.expect_end();
        assert_eq!(server.connect().locks(), json!({}));
    }
}

#[test]
fn what_many_connections_send_at_once_is_all_answered() {
    for server in Server::of_every_kind() {
        let mut clients: Vec<_> = (0..50).map(|_| server.connect()).collect();
        let requests = format!("{}\n{}\n", lock("db"), unlock("db")).repeat(40);
        clients.iter_mut().for_each(|client| client.write(requests.as_bytes()));
        for client in &mut clients {
            client.close_write();
            let replies = client.receive_until_end();
            let count = |result: &str| replies.iter().filter(|reply| reply["result"] == result).count();
            // An unlock ends a wait that is not granted yet; that wait then gets no reply.
            assert_eq!(count("released"), 40, "{:?}", replies.last().map(Value::to_string));
            assert_eq!(count("released") + count("acquired"), replies.len());
        }
        assert_eq!(server.connect().locks(), json!({}));
    }
}
