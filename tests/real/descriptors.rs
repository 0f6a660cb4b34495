//! When there are no descriptors for more connections.
#![cfg(target_os = "linux")]

use std::time::{Duration, Instant};
use std::{fs, thread};

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::json;

use crate::support::client::Client;
use crate::support::patience::eventually;
use crate::support::server::{Server, officer_after};

#[test]
fn without_descriptors_new_connections_wait_and_the_others_go_on() {
    const LINE: &str = "cannot accept more connections";
    let options = ["run", "-p", "0", "--connections-max", "1000", "-l", "debug"];
    let server = Server::start(&mut officer_after("ulimit -n 40 &&", &options));
    let descriptors = server.descriptors();
    // There is room for 25, and for 25 when these have left, but not for both.
    let mut clients: Vec<Client> = (0..50).map(|_| server.connect()).collect();
    server.log().wait_for(LINE);
    // The system has accepted their connections, and keeps what they send.
    clients.iter_mut().for_each(|client| client.send(r#"{"command":"locks"}"#));
    let mut late = clients.split_off(25);
    for client in &mut clients {
        assert_eq!(client.receive(), json!({"result": "locks", "value": {}}));
    }
    clients[0].acquire("db");

    // Meanwhile it does not busy-loop, and the others are served.
    let ticks = server.processor_ticks();
    for _ in 0..30 {
        clients[1].my_locks();
        thread::sleep(Duration::from_millis(40));
    }
    let used = server.processor_ticks() - ticks;
    assert!(used <= 12, "{used} hundredths of a second in 1.2 seconds");
    assert!(late.last_mut().unwrap().is_silent_for(Duration::from_millis(1)), "there is no room for the last one");
    assert_eq!(server.log().count(LINE), 1, "said once");

    // There is room as soon as some disconnect.
    clients.truncate(1);
    for client in &mut late {
        assert_eq!(client.receive()["result"], "locks");
        assert_eq!(client.locks(), json!({"db": [clients[0].name()]}));
    }
    assert_eq!(server.log().count(LINE), 1, "{:?}", server.log().lines());
    drop(late);

    // It notices new connections.
    let mut new: Vec<Client> = (0..20).map(|_| server.connect()).collect();
    new.iter_mut().for_each(|client| assert_eq!(client.locks(), json!({"db": [clients[0].name()]})));
    drop((new, clients));
    eventually("none is left over", || server.descriptors() == descriptors);
}

#[test]
fn without_descriptors_accepting_is_tried_again_though_no_connection_ends() {
    let options = ["run", "-p", "0", "--connections-max", "500", "-l", "info"];
    let server = Server::start(&mut officer_after("ulimit -n 500 &&", &options));
    let mut ann = server.connect();
    ann.acquire("db");
    let set_limit = |count| {
        let process = Pid::from_raw(i32::try_from(server.id()).unwrap());
        prlimit(process, Resource::Nofile, Rlimit { current: Some(count), maximum: Some(500) }).unwrap();
    };
    // None is free below the first that is.
    let is_used = |number: &u64| fs::symlink_metadata(format!("/proc/{}/fd/{number}", server.id())).is_ok();
    set_limit((0..).find(|number| !is_used(number)).unwrap());
    let mut bob = server.connect();
    server.log().wait_for("cannot accept more connections");
    bob.send(r#"{"command":"my_locks"}"#);
    ann.expect_nothing_before_now();
    assert!(bob.is_silent_for(Duration::from_millis(1)));
    // Nothing tells the server.
    let start = Instant::now();
    set_limit(500);
    assert_eq!(bob.receive()["result"], "my_locks");
    // It tries every half second.
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn the_soft_limit_on_descriptors_is_raised_to_the_hard_one() {
    let server = Server::start(&mut officer_after("ulimit -Sn 50 &&", &["run", "-p", "0"]));
    let limits = server.proc("limits");
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let numbers: Vec<&str> = line["Max open files".len()..].split_whitespace().collect();
    assert_eq!(numbers[0], numbers[1], "{line}");
    // More than the soft limit allowed.
    let mut clients: Vec<Client> = (0..60).map(|_| server.connect()).collect();
    if numbers[1].parse::<u64>().is_ok_and(|hard| hard > 200) {
        clients.iter_mut().for_each(|client| assert!(client.my_locks().is_empty()));
    }
}

#[test]
fn with_few_descriptors_connections_over_the_limit_still_get_an_error() {
    let server = Server::start(&mut officer_after("ulimit -n 64 &&", &["run", "-p", "0", "-l", "info"]));
    let mut clients: Vec<Client> = (0..40).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(|client| assert!(client.my_locks().is_empty()));
    let reply = server.connect().receive();
    assert_eq!(reply["reason"], "too_many_connections", "{reply}");
    assert_eq!(server.log().count("cannot accept"), 0);
}
