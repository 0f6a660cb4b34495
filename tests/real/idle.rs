//! Silent connections.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::client::lock;
use crate::support::patience::takes;
use crate::support::server::Server;

const KEEP_ALIVE: &str = r#"{"command":"keep_alive"}"#;

#[test]
fn a_silent_connection_is_closed_and_its_lock_passes_on() {
    for server in [Server::tcp(&["-m", "0.6", "-l", "info"]), Server::unix(&["--max-idle=0.6", "-l", "info"])] {
        takes(0.6..=1.1, || {
            let [mut ann, mut eve] = [server.connect(), server.connect()];
            let asked = Instant::now();
            ann.acquire("db");
            // A connection that has never sent anything is no exception.
            eve.expect_end();
            ann.expect_end();
            let took = asked.elapsed();
            assert_eq!(server.connect().locks(), json!({}));
            took
        });
        server.log().wait_for("ended: idle limit reached");
    }
}

#[test]
fn keep_alive_keeps_a_connection_open_but_waiting_and_being_answered_do_not() {
    // Seconds, of which a busy machine may take one away.
    let server = Server::tcp(&["-m", "2"]);
    let [mut holder, mut keen, mut still] = [server.connect(), server.connect(), server.connect()];
    let names: Vec<String> = (0..100).map(|number| format!("lock {number}")).collect();
    names.iter().for_each(|name| holder.acquire(name));
    holder.acquire("db");
    names.iter().for_each(|name| still.send(lock(name)));
    still.queue_for("db");
    keen.queue_for("db");
    let is_closed = thread::spawn(move || {
        let replies = still.receive_until_end();
        (replies.len(), Instant::now())
    });
    let started = Instant::now();
    let mut names = names.iter();
    while started.elapsed() < Duration::from_secs(5) {
        if let Some(name) = names.next() {
            holder.release(name);
        }
        holder.send(KEEP_ALIVE);
        keen.send(KEEP_ALIVE);
        thread::sleep(Duration::from_millis(50));
    }
    let (replies, closed) = is_closed.join().unwrap();
    assert!(replies > 0, "it got locks");
    assert!(closed.duration_since(started) < Duration::from_secs(5), "and was closed all the same");
    assert_eq!(holder.locks()["db"], json!([holder.name(), keen.name()]));
    holder.release("db");
    keen.expect_acquired("db");
}

#[test]
fn a_partial_line_counts_as_activity_once() {
    let server = Server::tcp(&["-m", "1.5"]);
    let mut ann = server.connect();
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(2500) {
        ann.write(b" ");
        thread::sleep(Duration::from_millis(20));
    }
    ann.acquire("db");
    ann.write(b"{\"command\":");
    ann.expect_end();
}

#[test]
fn without_an_idle_limit_no_connection_is_closed() {
    for limit in ["0", "0.0", "1e300"] {
        let server = Server::tcp(&["-m", limit]);
        let mut ann = server.connect();
        ann.acquire("db");
        assert!(ann.is_silent_for(Duration::from_millis(300)), "{limit}");
        assert_eq!(ann.my_locks(), ["db"]);
    }
}
