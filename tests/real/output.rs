//! Peers that do not read their replies: what happens to them, and that nobody else is affected.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::client::{Client, lock};
use crate::support::patience::{eventually, takes};
use crate::support::server::Server;

const MY_LOCKS: &str = "{\"command\":\"my_locks\"}\n";

/// Long names, so that each `my_locks` has a reply of 100 KB. The system's own buffers take several of these.
fn hold_much(client: &mut Client, whose: &str) {
    let names: Vec<String> = (0..100).map(|number| format!("{whose} {number} {}", "x".repeat(1000))).collect();
    let requests: String = names.iter().map(|name| format!("{}\n", lock(name))).collect();
    client.write(requests.as_bytes());
    names.iter().for_each(|name| client.expect_acquired(name));
}

/// Without this, requests wait before a connection reaches the limit on unsent output.
const NO_PAUSE: [&str; 2] = ["--outbox-pause-bytes", "1000000000"];

fn of_both_kinds(options: &[&str]) -> [Server; 2] {
    [Server::tcp(options), Server::unix(options)]
}

#[test]
fn requests_of_a_peer_that_does_not_read_wait_until_it_reads() {
    const REPLIES: usize = 400;
    for server in of_both_kinds(&["--outbox-bytes-max", "1000000"]) {
        let [mut deaf, mut eve] = [server.connect(), server.connect()];
        hold_much(&mut deaf, "deaf");
        deaf.write(format!("{}{}\n", MY_LOCKS.repeat(REPLIES), lock("late")).as_bytes());
        deaf.wait_for_output();
        // The first turn would have executed everything. Each of these is a turn in which the others are served.
        for _ in 0..100 {
            eve.acquire("late");
            eve.release("late");
        }
        if cfg!(target_os = "linux") {
            assert!(server.peak_memory_bytes() < 20 << 20, "{}", server.peak_memory_bytes());
        }
        // 40 MB, in order and complete.
        for _ in 0..REPLIES {
            assert_eq!(deaf.receive()["value"].as_array().unwrap().len(), 100);
        }
        deaf.expect_acquired("late");
        let reply = eve.ask(json!({"command": "lock", "name": "late", "timeout": 0}));
        assert_eq!(reply, json!({"name": "late", "result": "timed_out", "queue": [deaf.name()]}));
    }
}

#[test]
fn a_peer_with_too_much_unsent_output_is_disconnected_and_its_lock_passes_on() {
    for server in of_both_kinds(&[&["--outbox-bytes-max", "1000000", "-l", "info"], &NO_PAUSE[..]].concat()) {
        let [mut deaf, mut bob, mut eve] = [server.connect(), server.connect(), server.connect()];
        deaf.acquire("db");
        hold_much(&mut deaf, "deaf");
        eve.acquire("other");
        bob.queue_for("db");
        deaf.write(MY_LOCKS.repeat(400).as_bytes());
        bob.expect_acquired("db");
        assert!(deaf.receive_until_end().len() < 400);
        server.log().wait_for("output limit exceeded");
        assert_eq!(server.log().count(" ended: "), 1);
        assert_eq!(eve.my_locks(), ["other"]);
        assert_eq!(eve.locks(), json!({"db": [bob.name()], "other": [eve.name()]}));
    }
}

#[test]
fn a_peer_that_takes_nothing_for_too_long_is_disconnected_and_its_lock_passes_on() {
    for server in of_both_kinds(&["--outbox-stall-seconds", "0.5", "-l", "info"]) {
        // The system may take some more for it when half a second is nearly over.
        takes(0.5..=2.0, || {
            let [mut deaf, mut bob] = [server.connect(), server.connect()];
            deaf.acquire("db");
            hold_much(&mut deaf, "deaf");
            bob.queue_for("db");
            let sent = Instant::now();
            deaf.write(MY_LOCKS.repeat(400).as_bytes());
            bob.expect_acquired("db");
            let took = sent.elapsed();
            server.log().wait_for("output stalled: the peer read nothing for the stall limit");
            assert_eq!(bob.locks(), json!({"db": [bob.name()]}));
            assert!(deaf.receive_until_end().len() < 400);
            took
        });
    }
}

#[test]
fn a_peer_that_reads_slowly_is_not_disconnected() {
    // Without a pause, so that there is unsent output all the time.
    let server = Server::unix(&[&["--outbox-stall-seconds", "1.5"], &NO_PAUSE[..]].concat());
    let mut slow = server.connect();
    slow.acquire("db");
    hold_much(&mut slow, "slow");
    slow.write(MY_LOCKS.repeat(30).as_bytes());
    slow.close_write();
    // The pace of a slow reader: 3 MB at 1 MB per second.
    let (mut read, started) = (0, Instant::now());
    loop {
        match slow.read_some(100 << 10) {
            0 => break,
            bytes => read += bytes,
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(read > 3_000_000, "{read}");
    assert!(started.elapsed() > Duration::from_millis(1500), "so slowly that it would have been stalled");
}

#[test]
fn over_the_limit_on_all_output_the_peer_with_most_is_disconnected() {
    let limits = ["--outbox-bytes-max", "1000000000", "--outboxes-bytes-max", "6000000", "-l", "info"];
    for server in of_both_kinds(&[&limits[..], &NO_PAUSE].concat()) {
        let [mut little, mut much, mut bob, mut eve] = [(); 4].map(|()| server.connect());
        much.acquire("much");
        little.acquire("little");
        hold_much(&mut much, "much");
        hold_much(&mut little, "little");
        bob.queue_for("much");
        // Neither reads. One has 1 MB unsent, less what the system takes, and then the other as much as possible.
        little.write(format!("{}{}\n", MY_LOCKS.repeat(10), lock("marker")).as_bytes());
        let is_held = json!({"command": "lock", "name": "marker", "queue_max": 1});
        eventually("the replies of the first are decided", || {
            let reply = eve.ask(&is_held);
            if reply["result"] == "acquired" {
                eve.release("marker");
            }
            reply["result"] == "queue_maxed"
        });
        much.write(MY_LOCKS.repeat(400).as_bytes());
        bob.expect_acquired("much");
        server.log().wait_for("total output limit exceeded; this connection held the most");
        assert_eq!(server.log().count(" ended: "), 1);
        assert!(much.receive_until_end().len() < 400);
        // The other gets all its replies, and keeps its locks.
        for _ in 0..10 {
            assert_eq!(little.receive()["value"].as_array().unwrap().len(), 101);
        }
        little.expect_acquired("marker");
        assert_eq!(little.my_locks().len(), 102);
    }
}
