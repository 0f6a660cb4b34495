//! Client processes that are killed, stopped and reset, while they hold and while they wait.

use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use crate::clients::{Churn, Leave, Peer, churn};
use crate::history::{EventKind, History, nanos, now};
use crate::hosts::Host;
use crate::process::Process;
use crate::support::patience::eventually;
use crate::support::server::Server;
use crate::{assert_well, tcp_address};

#[test]
fn a_lock_passes_on_when_its_holder_is_killed_and_a_killed_waiter_is_not_granted() {
    let server = Server::tcp(&[]);
    let address = tcp_address(&server);
    let history = History::default();
    let take = |seed| Process::that_takes("db", &Host::here(), address, seed);
    let mut holder = take(1);
    holder.wait_for(&EventKind::Acquired);
    let mut waiter = take(2);
    waiter.wait_for(&EventKind::Placed);
    let mut peer = Peer::connect(address, 1, &history).unwrap();
    assert!(peer.queue("db"));

    let mut events = waiter.kill();
    events.extend(holder.kill());
    assert!(peer.await_grant("db"));
    // A dead waiter would have got the lock before it.
    assert_eq!(server.connect().locks()["db"].as_array().unwrap().len(), 1);
    assert!(peer.unlock("db"));
    peer.leave(Leave::Close);
    events.extend(history.take());
    let figures = assert_well(events);
    assert_eq!((figures.grants, figures.cut, figures.orders), (2, 2, 1), "{figures:?}");
}

#[test]
fn a_stopped_holder_keeps_its_lock_until_the_idle_limit_and_a_stopped_waiter_its_place() {
    let server = Server::tcp(&["-m", "5", "-l", "info"]);
    let address = tcp_address(&server);
    let history = History::default();
    let mut holder = Process::that_takes("db", &Host::here(), address, 1);
    holder.wait_for(&EventKind::Acquired);
    holder.signal(Signal::STOP);
    // The other reaches its limit this much later.
    thread::sleep(Duration::from_secs(1));
    let mut peer = Peer::connect(address, 1, &history).unwrap();
    assert!(peer.queue("db"), "it is held");
    assert!(peer.await_grant("db"));
    server.log().wait_for("idle limit reached");
    assert!(peer.unlock("db"));
    holder.signal(Signal::CONT);
    drop(holder);

    // A waiter is granted its lock in its turn, whether it is running or not.
    let mut first = Peer::connect(address, 2, &history).unwrap();
    assert!(first.lock("loot"));
    let mut waiter = Process::that_takes("loot", &Host::here(), address, 2);
    waiter.wait_for(&EventKind::Placed);
    waiter.signal(Signal::STOP);
    let mut last = Peer::connect(address, 3, &history).unwrap();
    assert!(last.queue("loot"));
    assert!(first.unlock("loot"));
    waiter.signal(Signal::CONT);
    waiter.wait_for(&EventKind::Acquired);
    let mut events = waiter.kill();
    assert!(last.await_grant("loot"));
    last.leave(Leave::Reset);
    events.extend(history.take());
    assert_well(events);
}

#[test]
fn locks_and_places_of_connections_that_are_reset_or_half_closed_pass_on() {
    let server = Server::tcp(&[]);
    let address = tcp_address(&server);
    let history = History::default();
    let mut number = 0;
    for how in [Leave::Reset, Leave::Close, Leave::HalfClose] {
        let mut peers: Vec<Peer> = Vec::new();
        for _ in 0..4 {
            number += 1;
            let mut peer = Peer::connect(address, number, &history).unwrap();
            assert!(if peers.is_empty() { peer.lock("db") } else { peer.queue("db") });
            peers.push(peer);
        }
        let mut last = peers.pop().unwrap();
        let next = peers.pop().unwrap();
        // A waiter, the holder, and then the one that was granted the lock and may not know yet.
        peers.pop().unwrap().leave(how);
        peers.pop().unwrap().leave(how);
        next.leave(how);
        assert!(last.await_grant("db"), "{how:?}");
        assert!(last.unlock("db"));
    }
    let figures = assert_well(history.take());
    assert_eq!(figures.cut, 9);
    eventually("all is free", || server.connect().locks() == json!({}));
}

#[test]
fn among_killed_stopped_reset_and_slow_clients_no_two_hold_a_lock_and_none_is_overtaken_or_starves() {
    let server = Server::tcp(&[]);
    let address = tcp_address(&server);
    let history = History::default();
    let until = now() + nanos(Duration::from_secs(6));
    let mut events = Vec::new();
    let mut killed = 0;
    thread::scope(|scope| {
        for seed in 1..=12 {
            let history = &history;
            scope.spawn(move || churn(seed, Churn::WILD, until, |number| Peer::connect(address, number, history)));
        }
        let mut random = fastrand::Rng::with_seed(1);
        let mut seed = 100;
        let mut start = || {
            seed += 1;
            let mut process = Process::that_churns(Churn::WILD, until, &Host::here(), address, seed);
            process.wait_for(&EventKind::Acquired);
            process
        };
        let mut processes: Vec<Process> = (0..4).map(|_| start()).collect();
        while now() + nanos(Duration::from_secs(1)) < until {
            let chosen = random.usize(..processes.len());
            if random.bool() {
                events.extend(processes.swap_remove(chosen).kill());
                processes.push(start());
                killed += 1;
            } else {
                processes[chosen].signal(Signal::STOP);
                thread::sleep(Duration::from_millis(random.u64(1..100)));
                processes[chosen].signal(Signal::CONT);
            }
        }
        for process in processes {
            events.extend(process.wait());
        }
    });
    events.extend(history.take());
    let figures = assert_well(events);
    println!("{figures}; {killed} processes killed");
    assert!(figures.grants > 100 && figures.orders > 100 && figures.cut > 20 && killed > 3, "{figures}");
    eventually("all is free", || server.connect().locks() == json!({}));
}
