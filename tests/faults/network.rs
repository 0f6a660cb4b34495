//! Hosts between which packets are lost: some at random, or all forever.

use std::net::SocketAddr;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::clients::{Churn, Leave, Peer, churn};
use crate::history::{History, nanos, now};
use crate::hosts::{Host, Hosts};
use crate::support::client::{Address, Client};
use crate::support::patience::eventually;
use crate::support::program::run;
use crate::support::server::{Server, officer, officer_after};
use crate::{Figures, assert_well, tcp_address};

/// A server on a host, started by a shell that first runs something else.
pub(crate) fn server_on(host: &Host, shell: &str, args: &[&str]) -> Server {
    Server::start(&mut on(host, &officer_after(shell, args)))
}

/// The same program, but on a host.
pub(crate) fn on(host: &Host, plain: &Command) -> Command {
    let mut command = host.command(plain.get_program());
    plain.get_envs().for_each(|(name, _)| _ = command.env_remove(name));
    command.args(plain.get_args());
    command
}

/// On all addresses of the host.
pub(crate) const RUN: [&str; 6] = ["run", "-h", "0.0.0.0", "-p", "0", "--open"];

/// Short times, for a test that everybody runs: a silent peer is gone after 3 s.
pub(crate) const SHORT: [&str; 6] =
    ["--keepalive-idle-seconds", "1", "--keepalive-interval-seconds", "1", "--keepalive-probes", "2"];

/// A holder vanishes silently; then so does a waiter, which is granted the lock before this is detected. Returns how
/// long each kept the lock from the others.
fn vanish_one_after_the_other(options: &[&str], reason: &str) -> Option<[Duration; 2]> {
    let hosts = Hosts::new(2)?;
    let server = server_on(&hosts.first(), "", &[&RUN, options, &["-m", "0", "-l", "info"]].concat());
    let port = tcp_address(&server).port();
    let history = History::default();
    let connect = |host: u8, number| {
        let address = SocketAddr::new(hosts.address_for(host), port);
        hosts.host(host).run(|| Peer::connect(address, number, &history).unwrap())
    };
    // Host 1 is the one that will vanish.
    let mut holder = connect(1, 1);
    assert!(holder.lock("db"));
    let mut alive = connect(2, 2);
    assert!(alive.queue("db"));
    let _holder = holder.abandon();
    hosts.cut(1);
    let start = Instant::now();
    assert!(alive.await_grant("db"));
    let holder_kept = start.elapsed();
    server.log().wait_for(reason);

    hosts.heal(1);
    let mut waiter = connect(1, 3);
    assert!(waiter.queue("db"));
    let mut last = connect(2, 4);
    assert!(last.queue("db"));
    let _waiter = waiter.abandon();
    hosts.cut(1);
    // The grant never arrives.
    assert!(alive.unlock("db"));
    let start = Instant::now();
    assert!(last.await_grant("db"));
    let waiter_kept = start.elapsed();
    assert!(last.unlock("db"));
    [alive, last].into_iter().for_each(|peer| peer.leave(Leave::Close));
    assert_well(history.take());
    Some([holder_kept, waiter_kept])
}

#[test]
fn a_holder_that_vanished_silently_loses_its_lock_and_so_does_a_waiter_that_was_granted_it() {
    let reason = "the peer did not answer within 3s (--keepalive-*: 1s of silence, then 2 probes, 1s apart)";
    let Some([holder, waiter]) = vanish_one_after_the_other(&SHORT, reason) else { return };
    println!(
        "with 3 s to detect it: a holder that vanished lost its lock after {holder:.1?}, a waiter after {waiter:.1?}"
    );
    // The options decide, and not the half minute that is the default. What was acknowledged last may have been a moment
    // before the cut, and a loaded machine is late.
    let promised = Duration::from_millis(2_500)..Duration::from_secs(12);
    assert!(promised.contains(&holder) && promised.contains(&waiter), "{holder:?} {waiter:?}");
}

#[test]
fn a_user_timeout_that_was_set_decides_and_is_named() {
    let options = [&SHORT[..], &["--user-timeout-seconds", "6"]].concat();
    let reason = "the peer acknowledged nothing within 6s (--user-timeout-seconds)";
    let Some([holder, waiter]) = vanish_one_after_the_other(&options, reason) else { return };
    let promised = Duration::from_millis(5_500)..Duration::from_secs(15);
    assert!(promised.contains(&holder) && promised.contains(&waiter), "{holder:?} {waiter:?}");
}

#[test]
fn a_peer_that_is_there_and_does_not_read_has_the_time_of_the_stall_limit() {
    let Some(hosts) = Hosts::new(1) else { return };
    let options = ["--outbox-stall-seconds", "8", "-m", "0", "-l", "info"];
    let server = server_on(&hosts.first(), "", &[&RUN[..], &SHORT, &options].concat());
    let address = Address::Tcp(SocketAddr::new(hosts.address_for(1), tcp_address(&server).port()));
    let mut deaf = hosts.host(1).run(|| Client::connect(&address).unwrap());
    (0..50).for_each(|number| deaf.acquire(&format!("{number} {}", "x".repeat(1000))));
    // Replies of 100 MB, which is more than the systems on both sides keep.
    deaf.write("{\"command\":\"my_locks\"}\n".repeat(2000).as_bytes());
    let start = Instant::now();
    server.log().wait_for("output stalled: the peer read nothing for the stall limit");
    let took = start.elapsed();
    assert!((Duration::from_secs(8)..Duration::from_secs(30)).contains(&took), "{took:?}");
}

#[test]
#[ignore = "takes a minute"]
fn a_holder_that_vanished_silently_loses_its_lock_within_half_a_minute() {
    let reason = "the peer did not answer within 30s";
    let Some([holder, waiter]) = vanish_one_after_the_other(&[], reason) else { return };
    println!("by default: a holder that vanished lost its lock after {holder:.1?}, a waiter after {waiter:.1?}");
    let promised = Duration::from_secs(14)..Duration::from_secs(36);
    assert!(promised.contains(&holder) && promised.contains(&waiter), "{holder:?} {waiter:?}");
}

/// Clients on three hosts, of two of which packets get lost.
fn churn_with_losses(time: Duration) -> Option<Figures> {
    let hosts = Hosts::new(3)?;
    // A lost reset is not sent again: only a keep-alive probe detects it.
    let options = ["--keepalive-idle-seconds", "1", "--keepalive-interval-seconds", "1"];
    let server = server_on(&hosts.first(), "", &[&RUN[..], &options].concat());
    let port = tcp_address(&server).port();
    hosts.lose(1, 10);
    hosts.lose(2, 25);
    let history = History::default();
    let until = now() + nanos(time);
    thread::scope(|scope| {
        for seed in 1..=12 {
            let (hosts, history) = (&hosts, &history);
            let host = u8::try_from(seed % 3 + 1).unwrap();
            scope.spawn(move || {
                let address = SocketAddr::new(hosts.address_for(host), port);
                let churning = Churn { locks: 2, ..Churn::WILD };
                hosts.host(host).run(|| churn(seed, churning, until, |number| Peer::connect(address, number, history)));
            });
        }
    });
    let figures = assert_well(history.take());
    let address = Address::Tcp(SocketAddr::new(hosts.address_for(3), port));
    let mut last = hosts.host(3).run(|| Client::connect(&address).unwrap());
    // The ends of connections get lost too, and are sent again.
    eventually("all is free", || last.locks() == json!({}));
    Some(figures)
}

#[test]
fn when_packets_are_lost_at_random_no_lock_is_held_twice_and_nobody_is_overtaken_or_starves() {
    let Some(figures) = churn_with_losses(Duration::from_secs(6)) else { return };
    println!("a tenth and a quarter of all packets lost on two of three hosts: {figures}");
    assert!(figures.grants > 20 && figures.orders > 10, "{figures}");
}

#[test]
fn a_kick_is_accepted_from_the_server_s_own_host_by_its_own_address_only() {
    let Some(hosts) = Hosts::new(1) else { return };
    let ip = hosts.address_for(1).to_string();
    let server = server_on(&hosts.first(), "", &["run", "-h", &ip, "-p", "0", "--open"]);
    let port = tcp_address(&server).port().to_string();
    let kick = officer(&["kick", "-h", &ip, "-p", &port, "10.77.1.2:1"]);
    run(&mut on(&hosts.first(), &kick)).expect_failure(1, "there is no connection");
    run(&mut on(&hosts.host(1), &kick)).expect_failure(77, "run this on the server's own machine");
}
