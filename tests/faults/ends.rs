//! Thousands of connections that end at once.

use std::thread;
use std::time::{Duration, Instant};

use officer::net::descriptors::raise_limit;
use serde_json::json;

use crate::history::EventKind;
use crate::peers::{QUIET_P99_MAX, served_during};
use crate::process::Process;
use crate::support::patience::eventually;
use crate::support::server::Server;
use crate::{assert_well, tcp_address};

const ALL: usize = 10_000;

#[test]
fn ten_thousand_connections_that_end_at_once_hold_up_nobody_and_leave_nothing() {
    let limit = raise_limit();
    let all = ALL.min(usize::try_from(limit).unwrap().saturating_sub(300));
    if all < ALL {
        eprintln!("only {all} connections: the limit here is {limit} descriptors");
    }
    let server = Server::tcp(&[]);
    let descriptors = server.descriptors();
    let mut process = Process::of_many(all, tcp_address(&server), 1);
    process.wait_for_all(all, &EventKind::Acquired);
    let (mut events, times) = served_during(&server, || {
        let start = Instant::now();
        let events = process.kill();
        // All except those of the quiet client and this one.
        eventually("all have ended", || server.descriptors() <= descriptors + 1);
        println!("{all} connections with a lock each were ended in {:?}", start.elapsed());
        // The quiet one continues for a moment.
        thread::sleep(Duration::from_millis(20));
        events
    });
    println!("a lock and unlock meanwhile: {times}");
    assert!(times.p99() < QUIET_P99_MAX, "{times}");
    let mut client = server.connect();
    eventually("all is free", || client.locks() == json!({}));
    assert_eq!(client.connections(), json!({}));
    let figures = assert_well(std::mem::take(&mut events));
    assert_eq!((figures.grants, figures.cut), (all as u64, all as u64));
}
