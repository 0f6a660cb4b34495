//! The purpose of it all: many clients change one thing, one at a time, and some are cut off in the middle.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;

use serde_json::json;

use crate::support::client::{Address, Client, lock};
use crate::support::patience::eventually;
use crate::support::server::Server;

const CONNECTIONS: u64 = 200;
const ADDS: u64 = 50;

/// When a connection is cut off, and how.
#[derive(Clone, Copy, Debug)]
struct Cut {
    at_add: u64,
    moment: Moment,
    is_hard: bool,
}

#[derive(Clone, Copy, Debug)]
enum Moment {
    /// It has requested the lock and does not know whether it has it.
    Waiting,
    /// It has the lock and has not added.
    BeforeAdd,
    /// It has added, but not released the lock.
    AfterAdd,
}

/// Adds to the counter as often as it should, and continues with a new connection when it is cut off.
fn add(address: &Address, counter: &AtomicU64, cut: Option<Cut>) {
    let connect = || Client::connect(address).unwrap();
    let mut client = connect();
    let mut cut = cut;
    let mut added = 0;
    while added < ADDS {
        client.send(lock("counter"));
        let now = cut.filter(|cut| cut.at_add == added);
        if !matches!(now, Some(Cut { moment: Moment::Waiting, .. })) {
            client.expect_acquired("counter");
            if !matches!(now, Some(Cut { moment: Moment::BeforeAdd, .. })) {
                // Only the lock prevents another from reading the same value.
                let value = counter.load(SeqCst);
                thread::yield_now();
                counter.store(value + 1, SeqCst);
                added += 1;
            }
        }
        match now {
            None => client.release("counter"),
            Some(now) => {
                if now.is_hard {
                    client.cut()
                } else {
                    drop(client)
                };
                client = connect();
                cut = None;
            }
        }
    }
}

fn everybody_adds(server: &Server, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let cuts: Vec<Option<Cut>> = (0..CONNECTIONS)
        .map(|number| {
            (number % 10 == 0).then(|| Cut {
                at_add: random.u64(..ADDS),
                moment: [Moment::Waiting, Moment::BeforeAdd, Moment::AfterAdd][random.usize(..3)],
                is_hard: random.bool(),
            })
        })
        .collect();
    let counter = AtomicU64::new(0);
    thread::scope(|scope| {
        for cut in cuts {
            let (address, counter) = (server.address(), &counter);
            scope.spawn(move || add(address, counter, cut));
        }
    });
    assert_eq!(counter.load(SeqCst), CONNECTIONS * ADDS);
    let mut last: Client = server.connect();
    eventually("every lock is free", || last.locks() == json!({}));
    assert_eq!(last.connections(), json!({}));
}

#[test]
fn two_hundred_connections_count_together_over_tcp_although_some_are_cut_off() {
    everybody_adds(&Server::tcp(&[]), 1);
}

#[test]
fn two_hundred_connections_count_together_over_a_unix_socket_although_some_are_cut_off() {
    everybody_adds(&Server::unix(&[]), 2);
}
