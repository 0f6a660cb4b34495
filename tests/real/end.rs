//! How the server shuts down.

use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::client::{Client, lock};
use crate::support::directory::Directory;
use crate::support::patience::{eventually, takes};
use crate::support::server::{Server, officer};

/// Servers of each kind, without IPv6 where there is none.
const KINDS: [fn() -> Option<Server>; 3] =
    [|| Some(Server::tcp(&[])), || Some(Server::unix(&[])), || Server::ipv6(&[])];

/// Checks that an end takes no longer than a second.
#[track_caller]
fn is_within_a_second(measure: impl FnMut() -> Duration) {
    takes(0.0..=1.0, measure);
}

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
        for kind in KINDS {
            is_within_a_second(|| {
                let Some(mut server) = kind() else { return Duration::ZERO };
                let [mut ann, mut bob] = [server.connect(), server.connect()];
                ann.acquire("db");
                bob.queue_for("db");
                let took = end(&mut server, signal);
                ann.expect_end();
                bob.expect_end();
                assert!(Client::connect(server.address()).is_err(), "nobody listens");
                took
            });
        }
    }
}

#[test]
fn it_exits_within_a_second_with_peers_that_do_not_read() {
    for kind in KINDS {
        is_within_a_second(|| {
            let Some(mut server) = kind() else { return Duration::ZERO };
            let mut deaf = server.connect();
            let names: Vec<String> = (0..50).map(|number| format!("{number} {}", "x".repeat(1000))).collect();
            names.iter().for_each(|name| deaf.acquire(name));
            deaf.write("{\"command\":\"my_locks\"}\n".repeat(500).as_bytes());
            deaf.wait_for_output();
            // Each of these is a turn that writes more for the one that does not read, until the system takes no more.
            let mut bob = server.connect();
            (0..300).for_each(|_| bob.expect_nothing_before_now());
            let took = end(&mut server, Signal::TERM);
            deaf.receive_until_end();
            took
        });
    }
}

#[test]
fn signals_that_ask_it_for_nothing_cost_no_locks() {
    let server = Server::tcp(&[]);
    let mut ann = server.connect();
    ann.acquire("db");
    for signal in [Signal::USR1, Signal::USR2, Signal::XFSZ] {
        server.signal(signal);
        assert_eq!(ann.my_locks(), [json!("db")], "{signal:?}");
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
    is_within_a_second(|| {
        let mut server = Server::tcp(&[]);
        let _ann = server.connect();
        server.signal(Signal::INT);
        end(&mut server, Signal::TERM)
    });
}

#[test]
fn it_exits_with_success_while_clients_connect_and_send_requests() {
    is_within_a_second(|| {
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
        clients.into_iter().for_each(|client| client.join().unwrap());
        took
    });
}

#[test]
fn a_hangup_at_the_same_moment_does_not_hide_the_signal_to_end() {
    for signal in [Signal::TERM, Signal::INT] {
        is_within_a_second(|| {
            let directory = Directory::new();
            let log_file = directory.file("log");
            let mut server = Server::start(officer(&["run", "-p", "0", "--log-file"]).arg(&log_file));
            server.connect().acquire("db");
            // Both are there when it looks.
            server.signal(Signal::STOP);
            eventually("it is stopped", || server.proc("stat").contains(") T "));
            server.signal(signal);
            server.signal(Signal::HUP);
            end(&mut server, Signal::CONT)
        });
    }
}

/// A wait that is due while the server ends. Returns what the one who waits is told.
fn wait_that_is_due_during_the_end() -> Vec<Value> {
    const TIMEOUT: Duration = Duration::from_millis(300);
    let limits =
        ["--outbox-pause-bytes", "--outbox-bytes-max", "--outboxes-bytes-max"].map(|name| [name, "1000000000"]);
    let mut server = Server::tcp(limits.as_flattened());
    let [mut ann, mut bob, mut deaf] = [server.connect(), server.connect(), server.connect()];
    ann.acquire("db");
    let names: Vec<String> = (0..100).map(|number| format!("{number} {}", "x".repeat(1000))).collect();
    names.iter().for_each(|name| deaf.acquire(name));
    // 30 MB, of which the system takes a part: the server takes all of its time to end.
    deaf.write("{\"command\":\"my_locks\"}\n".repeat(300).as_bytes());
    deaf.wait_for_output();
    bob.expect_nothing_before_now();
    let asked = Instant::now();
    bob.send(json!({"command": "lock", "name": "db", "timeout": TIMEOUT.as_secs_f64()}));
    bob.expect_nothing_before_now();
    server.signal(Signal::TERM);
    let told = bob.receive_until_end();
    assert!(asked.elapsed() > TIMEOUT, "the server was there when it was due");
    assert!(server.wait().0.success());
    told
}

#[test]
fn a_wait_does_not_time_out_while_the_server_ends() {
    // On a loaded machine the end may begin after the wait was due, but not each time.
    let told: Vec<_> = (0..4).map(|_| wait_that_is_due_during_the_end()).take_while(|told| !told.is_empty()).collect();
    assert!(told.len() < 4, "{told:?}");
}
