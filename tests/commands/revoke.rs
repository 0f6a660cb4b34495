//! `officer revoke`.

use officer::client::LockOptions;

use crate::support::program::{Program, run};
use crate::support::server::{Server, officer};
use crate::wait_for_count;

#[test]
fn a_command_ends_when_its_lock_is_revoked_and_the_next_one_runs() {
    for server in [Server::tcp(&[]), Server::unix(&[])] {
        let observer = server.client();
        let program = Program::start(&mut server.lock(&["x", "y"], &["sh", "-c", "echo ready; exec cat"]));
        assert_eq!(program.line(), "ready");
        let next = Program::start(&mut server.lock(&["x"], &["echo", "next"]));
        wait_for_count(&observer, "x", 2);
        let lines = run(&mut server.officer("revoke", &["x"])).expect_success();
        assert_eq!(lines, ["'x' was taken from its holder, and has passed on"]);
        assert_eq!(next.end().expect_success(), ["next"]);
        let said = "the locks 'x' and 'y' were lost while the command ran, which is ended now: somebody revoked 'x'";
        program.end().expect_failure(73, said);
    }
}

#[test]
fn holders_are_picked_by_token_connection_and_owner() {
    let server = Server::tcp(&[]);
    let holders = [server.client(), server.client()];
    let options = |owner: &str| LockOptions::no_wait().shared().owner(owner).fence();
    let guards: Vec<_> =
        ["1", "ann", "bob"].iter().map(|owner| holders[0].lock_with("x", options(owner)).unwrap()).collect();
    let other = holders[1].lock_with("x", LockOptions::no_wait().shared().owner(1).fence()).unwrap();
    let count = || holders[0].lock_status("x").unwrap().map_or(0, |lock| lock.holders.len());
    let taken = ["'x' was taken from its holder, and has passed on"];

    for (args, said) in [
        (&["--owner", "carl"][..], "no hold on 'x' matches"),
        (&["--token", "1"], "no hold on 'x' matches"),
        (&["--connection", "127.0.0.1:1"], "no hold on 'x' matches"),
    ] {
        run(&mut server.officer("revoke", &[args, &["x"]].concat())).expect_failure(1, said);
    }
    assert_eq!(count(), 4);
    // The number, and not the text of the other connection.
    assert_eq!(run(&mut server.officer("revoke", &["--owner", "1", "x"])).expect_success(), taken);
    assert!(other.release().is_err());
    assert_eq!(run(&mut server.officer("revoke", &["--owner", "\"1\"", "x"])).expect_success(), taken);
    let token = guards[1].token().unwrap().to_string();
    assert_eq!(run(&mut server.officer("revoke", &["--token", &token, "x"])).expect_success(), taken);
    run(&mut server.officer("revoke", &["--token", &token, "x"])).expect_failure(1, "no hold on 'x' matches");
    assert_eq!(count(), 1);
    let connection = holders[0].connection_name();
    assert_eq!(run(&mut server.officer("revoke", &["--connection", &connection, "x"])).expect_success(), taken);
    assert_eq!(count(), 0);
    run(&mut server.officer("revoke", &["x"])).expect_failure(1, "nobody holds 'x'");
}

#[test]
fn all_holders_lose_a_lock_and_a_closed_one_opens() {
    let server = Server::tcp(&[]);
    let holder = server.client();
    let units: Vec<_> = (0..3).map(|_| holder.lock_with("x", LockOptions::no_wait().semaphore(3)).unwrap()).collect();
    let lines = run(&mut server.officer("revoke", &["x"])).expect_success();
    assert_eq!(lines, ["'x' was taken from 3 holders, and has passed on"]);
    assert!(units.into_iter().all(|unit| unit.release().is_err()));

    run(&mut server.lock(&["--min-hold", "3600", "nightly"], &["true"])).expect_success();
    let lines = run(&mut server.officer("revoke", &["nightly"])).expect_success();
    assert_eq!(lines, ["'nightly' was closed, and is open now"]);
    run(&mut server.lock(&["-n", "nightly"], &["true"])).expect_success();
}

#[test]
fn a_command_line_that_is_wrong_is_told_in_one_line() {
    for (args, said) in [
        (&[][..], "<NAME>"),
        (&["--token", "9007199254740992", "x"], "must be from 0 to 9007199254740991"),
        (&["--owner", "9007199254740992", "x"], "the number is too large"),
    ] {
        run(&mut officer(&[&["revoke"], args].concat())).expect_failure(2, said);
    }
}
