//! A server whose process was stopped for a while, as by a debugger, a frozen container or a suspended machine.

use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::client::{Client, lock, unlock};
use crate::support::server::Server;

const KEEP_ALIVE: &str = r#"{"command":"keep_alive"}"#;
const PING: &str = r#"{"command":"ping"}"#;

/// More than one poll of the server takes.
const CLIENTS: usize = 300;

#[test]
fn clients_that_were_alive_keep_their_locks_when_the_server_was_stopped() {
    let server = Server::tcp(&["-m", "2"]);
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| server.connect()).collect();
    clients.iter_mut().enumerate().for_each(|(number, client)| client.acquire(&format!("lock {number}")));
    for _ in 0..2 {
        server.signal(Signal::STOP);
        // Its idle limit passes, and all of them go on sending.
        let stopped = Instant::now();
        while stopped.elapsed() < Duration::from_secs(3) {
            // Not in the order of their deadlines: the first poll reports those that are due last.
            clients.iter_mut().rev().for_each(|client| client.send(KEEP_ALIVE));
            thread::sleep(Duration::from_millis(200));
        }
        server.signal(Signal::CONT);
        clients.iter_mut().for_each(|client| client.send(PING));
        for client in &mut clients {
            assert_eq!(client.receive()["result"], "pong");
        }
    }
    for (number, client) in clients.iter_mut().enumerate() {
        client.release(&format!("lock {number}"));
    }
}

#[test]
fn a_release_sent_in_time_grants_the_lock_when_the_server_was_stopped_beyond_the_timeout() {
    let server = Server::tcp(&[]);
    let [mut ann, mut bob] = [server.connect(), server.connect()];
    ann.acquire("db");
    bob.send(r#"{"command":"lock","name":"db","timeout":1}"#);
    ann.send(PING);
    assert_eq!(ann.receive()["result"], "pong");
    server.signal(Signal::STOP);
    ann.send(unlock("db"));
    let stopped = Instant::now();
    while stopped.elapsed() < Duration::from_millis(1500) {
        thread::sleep(Duration::from_millis(50));
    }
    server.signal(Signal::CONT);
    bob.expect_acquired("db");
    assert_eq!(ann.receive()["result"], "released");
    ann.send(lock("other"));
    ann.expect_acquired("other");
}
