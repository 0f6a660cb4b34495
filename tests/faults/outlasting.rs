//! `officer lock --session` on a host that a silent network cuts off.

use std::net::SocketAddr;

use crate::history::History;
use crate::hosts::Hosts;
use crate::network::{RUN, SHORT, on, server_on};
use crate::support::client::{Address, Client};
use crate::support::patience::eventually;
use crate::support::program::{Program, is_alive};
use crate::support::server::{Server, officer};
use crate::{clients::Peer, tcp_address};

/// A network with two hosts beside that of the server.
struct Network {
    hosts: Hosts,
    server: Server,
}

impl Network {
    fn new() -> Option<Network> {
        let hosts = Hosts::new(2)?;
        let server = server_on(&hosts.first(), "", &[&RUN[..], &SHORT, &["-l", "info"]].concat());
        Some(Network { hosts, server })
    }

    fn address_for(&self, host: u8) -> SocketAddr {
        SocketAddr::new(self.hosts.address_for(host), tcp_address(&self.server).port())
    }

    /// `officer lock x` on the first of the hosts.
    fn lock(&self, options: &[&str], script: &str) -> Program {
        let address = self.address_for(1);
        let (ip, port) = (address.ip().to_string(), address.port().to_string());
        let args = [&["lock", "-h", &ip, "-p", &port], options, &["x", "--", "sh", "-c", script]].concat();
        Program::start(&mut on(&self.hosts.host(1), &officer(&args)))
    }
}

#[test]
fn a_command_works_on_while_packets_are_lost_and_its_lock_is_never_free() {
    let Some(network) = Network::new() else { return };
    let address = Address::Tcp(network.address_for(2));
    let mut observer = network.hosts.host(2).run(|| Client::connect(&address).unwrap());
    let mut program = network.lock(&["-v", "--session=120"], "echo ready; read line; echo $line");
    assert_eq!(program.line(), "ready");
    assert!(program.said().starts_with("officer: acquired 'x' after "));
    network.hosts.cut(1);
    assert!(program.said().starts_with("officer: the connection was lost: "));
    // The server finds that by itself.
    eventually("the session is without a connection", || observer.locks()["x"][0] == "session:1");
    network.hosts.heal(1);
    let said = program.said();
    assert!(said.starts_with("officer: connected again after ") && said.ends_with("; still holding 'x'"), "{said}");
    program.input("done\n");
    assert_eq!(program.line(), "done");
    assert!(program.said().starts_with("officer: released 'x' after "));
    program.end().expect_success();
    eventually("the lock is free", || observer.locks().get("x").is_none());
}

#[test]
fn a_command_that_is_cut_off_for_good_is_dead_before_the_next_holder_starts() {
    let Some(network) = Network::new() else { return };
    let history = History::default();
    // It does not care about SIGTERM.
    let stubborn = "trap '' TERM; echo $$; while :; do sleep 0.01; done";
    let program = network.lock(&["--session=6", "-k", "1"], stubborn);
    let command = program.line();
    let mut next = network.hosts.host(2).run(|| Peer::connect(network.address_for(2), 1, &history).unwrap());
    assert!(next.queue("x"));
    network.hosts.cut(1);
    assert!(next.await_grant("x"));
    assert!(!is_alive(&command), "two work at once");
    program.end().expect_failure(73, "the lock 'x' was lost while the command ran");
}
