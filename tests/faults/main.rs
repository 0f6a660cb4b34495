//! Faults: the release server over real sockets, with peers, processes and networks that misbehave.
//!
//! Clients keep a history of what they asked and saw, and when; a checker reads all histories. The short forms run with
//! the other tests; `src/docs/testing.md` says how to run the long ones, which are ignored by default.
#![cfg(target_os = "linux")]

mod checker;
mod clients;
mod descriptors;
mod ends;
mod history;
mod hostile;
mod hosts;
mod lost;
mod names;
mod network;
mod outlasting;
mod peers;
mod process;
mod processes;
mod soak;
#[path = "../support/mod.rs"]
mod support;
mod tails;
mod trades;
mod zones;

use std::net::SocketAddr;
use std::time::Duration;

use self::checker::{Figures, check};
use self::clients::WAIT_MAX;
use self::history::{Event, nanos};
use crate::support::client::Address;
use crate::support::server::Server;

/// Asserts that these histories are correct, and not empty.
#[track_caller]
fn assert_well(events: Vec<Event>) -> Figures {
    assert_well_within(events, WAIT_MAX)
}

/// Also asserts that no wait took longer than this.
#[track_caller]
fn assert_well_within(events: Vec<Event>, wait_max: Duration) -> Figures {
    let findings = check(events, nanos(wait_max));
    assert!(
        findings.violations.is_empty(),
        "{} violations, the first: {:?}",
        findings.violations.len(),
        findings.violations[0]
    );
    findings.figures
}

fn tcp_address(server: &Server) -> SocketAddr {
    match server.address() {
        Address::Tcp(address) => *address,
        Address::Unix(_) => panic!("it listens on a socket file"),
    }
}

/// The processor time that a server has used.
fn processor_time(server: &Server) -> Duration {
    let nanos = server.proc("schedstat");
    Duration::from_nanos(nanos.split(' ').next().unwrap().parse().unwrap())
}

/// In MB, rounded to one decimal.
fn megabytes(bytes: u64) -> f64 {
    (bytes as f64 / 1e5).round() / 10.0
}

/// The p50, the p99 and the longest of these times.
#[derive(Debug)]
struct Percentiles([Duration; 3]);

impl Percentiles {
    fn of(mut times: Vec<Duration>) -> Percentiles {
        times.sort();
        let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
        Percentiles([at(50), at(99), at(100)])
    }

    fn p99(&self) -> Duration {
        self.0[1]
    }
}

impl std::fmt::Display for Percentiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [p50, p99, max] = self.0.map(|time| time.as_secs_f64() * 1e3);
        write!(f, "p50 {p50:.2} ms, p99 {p99:.2} ms, longest {max:.2} ms")
    }
}
