//! `officer lock --lease`.

use rustix::process::Signal;

use crate::support::patience::eventually;
use crate::support::program::{Program, is_alive, run};
use crate::support::server::Server;
use crate::wait_for_count;

// A renewal that is answered within a third of the lease is in time. On a busy machine that takes a part of a second.

#[test]
fn a_lease_is_renewed_while_the_command_runs() {
    let server = Server::tcp(&[]);
    let observer = server.client();
    let mut program = Program::start(&mut server.lock(&["--lease", "2", "x"], &["cat"]));
    wait_for_count(&observer, "x", 1);
    let token = observer.lock_status("x").unwrap().unwrap().holders[0].token;
    eventually("it has been held for three leases", || {
        let holder = &observer.lock_status("x").unwrap().expect("it is held").holders[0];
        assert!(holder.token == token && holder.lease_left.is_some(), "{holder:?}");
        holder.held_for > Some(6.0)
    });
    drop(program.take_input());
    program.end().expect_success();
}

#[test]
fn who_is_stopped_loses_the_lock_after_the_lease_and_ends_its_command() {
    let server = Server::tcp(&[]);
    let program = Program::start(&mut server.lock(&["--lease", "1", "x"], &["sh", "-c", "echo $$; exec cat"]));
    let command = program.line();
    program.signal(Signal::STOP);
    assert_eq!(run(&mut server.lock(&["x"], &["echo", "next"])).expect_success(), ["next"]);
    assert!(is_alive(&command));
    program.signal(Signal::CONT);
    program.end().expect_failure(73, "the lock 'x' was lost while the command ran, which is ended now: the lease");
    assert!(!is_alive(&command));
}

#[test]
fn a_command_is_ended_before_a_lease_runs_out_that_can_not_be_renewed() {
    let server = Server::tcp(&[]);
    // The server would be given up much later.
    let script = "trap '' TERM; echo $$; while :; do sleep 0.01; done";
    let program = Program::start(&mut server.lock(&["--lease", "1.5", "x"], &["sh", "-c", script]));
    let command = program.line();
    server.signal(Signal::STOP);
    program.end().expect_failure(73, "the lease could not be renewed in time");
    assert!(!is_alive(&command));
    server.signal(Signal::CONT);
}
