//! `officer lock`, when somebody else holds the lock.

use std::os::unix::process::ExitStatusExt;

use rustix::process::Signal;

use crate::support::program::{Program, run, shell};
use crate::support::server::Server;
use crate::wait_for_count;

#[test]
fn a_lock_that_is_not_to_be_had_in_time_is_a_conflict() {
    let server = Server::tcp(&[]);
    let holder = server.client();
    let _guard = holder.lock("x").unwrap();
    let held_by = format!("it is held by {}", holder.connection_name());
    for options in [&["--no-wait"][..], &["-n"], &["--timeout", "0.02"], &["-w", "0"], &["--queue-max", "1"]] {
        let args = [options, &["x"]].concat();
        run(&mut server.lock(&args, &["echo", "ran"])).expect_failure(75, &held_by);
        let args = [options, &["-E", "9", "x"]].concat();
        run(&mut server.lock(&args, &["echo", "ran"])).expect_failure(9, "'x': ");
    }
    for (options, reason) in [
        (&["-n"][..], "the lock is not free"),
        (&["-w", "0"], "the lock is not free"),
        (&["-w", "0.02"], "timed out waiting for the lock"),
        (&["-n", "-q", "1"], "the lock's queue is full"),
    ] {
        let args = [options, &["x"]].concat();
        let said = format!("officer: 'x': {reason}; {held_by}; see 'officer locks --waiters'");
        run(&mut server.lock(&args, &["echo", "ran"])).expect_failure(75, &said);
    }
    // An escape in a name does not reach the terminal.
    let _other = holder.lock("\x1b[2J").unwrap();
    run(&mut server.lock(&["-n", "\x1b[2J"], &["true"])).expect_failure(75, r"'\u{1b}[2J'");
    assert_eq!(run(&mut server.lock(&["--queue-max", "0", "free"], &["echo", "ran"])).expect_success(), ["ran"]);
}

#[test]
fn a_conflict_names_the_client_that_holds_the_lock() {
    let server = Server::tcp(&[]);
    let holder = server.client_options().name("nightly \x1b[2J").connect().unwrap();
    let _guard = holder.lock("x").unwrap();
    let held_by = format!(r"it is held by {} (nightly \u{{1b}}[2J)", holder.connection_name());
    for options in [&["-n", "x"][..], &["-w", "0.02", "x"], &["-q", "1", "x"]] {
        run(&mut server.lock(options, &["echo", "ran"])).expect_failure(75, &held_by);
    }
}

#[test]
fn a_queue_is_full_for_the_server_too() {
    let server = Server::tcp(&["--lock-waits-max", "1"]);
    let holder = server.client();
    let _guard = holder.lock("x").unwrap();
    let _waiter = Program::start(&mut server.lock(&["x"], &["true"]));
    wait_for_count(&holder, "x", 2);
    run(&mut server.lock(&["x"], &["true"])).expect_failure(75, "too_many_waits");
}

#[test]
fn the_command_runs_as_soon_as_the_lock_is_free() {
    let server = Server::tcp(&[]);
    let holder = server.client();
    let guard = holder.lock("x").unwrap();
    let program = Program::start(&mut server.lock(&["--timeout", "1000", "x"], &["echo", "ran"]));
    wait_for_count(&holder, "x", 2);
    guard.release().unwrap();
    assert_eq!(program.end().expect_success(), ["ran"]);
}

#[test]
fn a_signal_ends_the_wait_at_once() {
    let server = Server::tcp(&[]);
    let holder = server.client();
    let _guard = holder.lock("x").unwrap();
    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::USR1] {
        let program = Program::start(&mut server.lock(&["x"], &["echo", "ran"]));
        wait_for_count(&holder, "x", 2);
        program.signal(signal);
        let end = program.end();
        // Of the signal, so that a shell knows that its loop has to end too.
        assert_eq!(end.status.signal(), Some(signal.as_raw()), "{end:?}");
        assert!(end.stdout.is_empty() && end.stderr.is_empty(), "{end:?}");
        wait_for_count(&holder, "x", 1);
    }
}

#[test]
fn a_shell_shows_130_for_ctrl_c() {
    let server = Server::tcp(&[]);
    let holder = server.client();
    let _guard = holder.lock("x").unwrap();
    let options = server.options().join(" ");
    // Ctrl-C reaches the script as well.
    let program = Program::start(&mut shell(&format!("trap : INT; officer lock {options} x -- true; echo $?")));
    wait_for_count(&holder, "x", 2);
    program.signal_all(Signal::INT);
    assert_eq!(program.line(), "130");
    program.end();
}

#[test]
fn it_tells_what_it_waits_for_and_behind_whom() {
    let server = Server::tcp(&[]);
    let holder = server.client();
    let guard = holder.lock("x").unwrap();
    let mut first = Program::start(&mut server.lock(&["-v", "x"], &["cat"]));
    let said = first.said();
    let expected = format!("officer: waiting for 'x', held by {} for ", holder.connection_name());
    assert!(said.starts_with(&expected) && !said.contains("before us"), "{said}");

    let second = Program::start(&mut server.lock(&["-v", "x"], &["true"]));
    let said = second.said();
    assert!(said.starts_with(&expected) && said.ends_with("; 1 waits before us"), "{said}");

    let id = first.id();
    guard.release().unwrap();
    let said = first.said();
    assert!(said.starts_with("officer: acquired 'x' after "), "{said}");
    let third = Program::start(&mut server.lock(&["-v", "x"], &["true"]));
    let said = third.said();
    assert!(said.contains(&format!(" ({id}@")) && said.contains(" cat) for "), "{said}");

    drop(first.take_input());
    let said = second.said();
    assert!(said.starts_with("officer: acquired 'x' after "), "{said}");
    let said = second.said();
    assert!(said.starts_with("officer: released 'x' after "), "{said}");
    assert_eq!(second.end().code(), 0);
    assert_eq!(third.end().code(), 0);
}

#[test]
fn a_server_that_ends_meanwhile_is_told() {
    for signal in [Signal::TERM, Signal::KILL] {
        let server = Server::tcp(&[]);
        let holder = server.client();
        let _guard = holder.lock("x").unwrap();
        let program = Program::start(&mut server.lock(&["x"], &["echo", "ran"]));
        wait_for_count(&holder, "x", 2);
        server.signal(signal);
        program.end().expect_failure(69, "");
    }
}
