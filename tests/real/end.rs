//! How the server shuts down.

use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::support::client::{Client, lock};
use crate::support::patience::eventually;
use crate::support::server::Server;

const WITHIN: Duration = Duration::from_secs(1);

/// Sends the signal, and waits for the exit. Returns how long that took.
fn end(server: &mut Server, signal: Signal) -> Duration {
    let told = Instant::now();
    server.signal(signal);
    let (status, stdout) = server.wait();
    assert_eq!((status.code(), stdout), (Some(0), vec![]));
    told.elapsed()
}

#[test]
fn it_exits_with_success_within_a_second_whoever_is_connected() {
    for signal in [Signal::TERM, Signal::INT] {
        for mut server in Server::of_every_kind() {
            let [mut ann, mut bob] = [server.connect(), server.connect()];
            ann.acquire("db");
            bob.queue_for("db");
            let took = end(&mut server, signal);
            assert!(took < WITHIN, "{took:?}");
            ann.expect_end();
            bob.expect_end();
            assert!(Client::connect(server.address()).is_err(), "nobody listens");
        }
    }
}

#[test]
fn it_exits_within_a_second_with_peers_that_do_not_read() {
    for mut server in [Server::tcp(&[]), Server::unix(&[])] {
        let mut deaf = server.connect();
        let names: Vec<String> = (0..50).map(|number| format!("{number} {}", "x".repeat(1000))).collect();
        names.iter().for_each(|name| deaf.acquire(name));
        deaf.write("{\"command\":\"my_locks\"}\n".repeat(500).as_bytes());
        deaf.wait_for_output();
        // Each of these is a turn that writes more for the one that does not read, until the system takes no more.
        let mut bob = server.connect();
        (0..300).for_each(|_| bob.expect_nothing_before_now());
        let took = end(&mut server, Signal::TERM);
        assert!(took < WITHIN, "{took:?}");
        deaf.receive_until_end();
    }
}

#[test]
fn the_socket_file_is_removed_with_the_server() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Server::unix(&[]);
        let _ann = server.connect();
        assert!(server.file().exists());
        end(&mut server, signal);
        assert!(!server.file().exists());
    }
}

#[test]
fn replies_decided_before_the_signal_are_still_sent() {
    const REPLIES: usize = 100;
    let no_limits = ["--outbox-pause-bytes", "1000000000", "--outbox-bytes-max", "1000000000"];
    for mut server in [Server::tcp(&no_limits), Server::unix(&no_limits)] {
        let [mut ann, mut bob] = [server.connect(), server.connect()];
        let names: Vec<String> = (0..100).map(|number| format!("{number} {}", "x".repeat(1000))).collect();
        names.iter().for_each(|name| ann.acquire(name));
        // Once this lock is held, 10 MB of replies are decided, more than the system takes.
        ann.write(format!("{}{}\n", "{\"command\":\"my_locks\"}\n".repeat(REPLIES), lock("marker")).as_bytes());
        eventually("all of it is decided", || {
            bob.ask(json!({"command": "lock", "name": "marker", "queue_max": 1}))["result"] == "queue_maxed"
                || bob.ask(r#"{"command":"reset"}"#)["result"] != "reset_succeeded"
        });
        server.signal(Signal::TERM);
        let reader = thread::spawn(move || ann.receive_until_end());
        assert!(server.wait().0.success());
        let replies = reader.join().unwrap();
        assert_eq!(replies.len(), REPLIES + 1);
        assert_eq!(replies[REPLIES], json!({"name": "marker", "result": "acquired"}));
    }
}

#[test]
fn a_second_signal_changes_nothing() {
    let mut server = Server::tcp(&[]);
    let _ann = server.connect();
    server.signal(Signal::INT);
    let took = end(&mut server, Signal::TERM);
    assert!(took < WITHIN, "{took:?}");
}

#[test]
fn it_exits_with_success_while_clients_connect_and_send_requests() {
    let mut server = Server::tcp(&["--line-bytes-max", "100"]);
    let address = server.address().clone();
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let address = address.clone();
            thread::spawn(move || {
                // Until nobody listens any more.
                while let Ok(mut client) = Client::connect(&address) {
                    let request = format!("{}\n", lock("db")).repeat(100);
                    if client.try_write(request.as_bytes()).is_ok() {
                        client.receive_or_end();
                    }
                }
            })
        })
        .collect();
    let mut ann = server.connect();
    (0..50).for_each(|_| ann.expect_nothing_before_now());
    let took = end(&mut server, Signal::TERM);
    assert!(took < WITHIN, "{took:?}");
    clients.into_iter().for_each(|client| client.join().unwrap());
}
