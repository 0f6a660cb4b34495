//! `officer lock`, when signals come while the command runs.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::patience::eventually;
use crate::support::program::{Program, shell};
use crate::support::server::Server;
use crate::support::server::{PROGRAM, officer};
use crate::support::skip::skipped;
use crate::wait_for_count;

/// Says which signals come, until the input ends.
const LISTENER: &str = r#"
    for signal in HUP INT QUIT USR1 USR2 ALRM TERM; do trap "echo $signal" $signal; done
    echo ready
    until read line; [ "$line" = end ]; do :; done"#;

#[test]
fn signals_are_passed_on_to_the_command() {
    let server = Server::tcp(&[]);
    let mut program = Program::start(&mut server.lock(&["x"], &["sh", "-c", LISTENER]));
    assert_eq!(program.line(), "ready");
    for (signal, name) in [
        (Signal::HUP, "HUP"),
        (Signal::INT, "INT"),
        (Signal::QUIT, "QUIT"),
        (Signal::USR1, "USR1"),
        (Signal::USR2, "USR2"),
        (Signal::ALARM, "ALRM"),
        (Signal::TERM, "TERM"),
    ] {
        program.signal(signal);
        // Some shells run a trap only after the line that they read.
        program.input("\n");
        assert_eq!(program.line(), name);
    }
    program.input("end\n");
    assert!(program.end().expect_success().is_empty());
}

#[test]
fn a_command_that_handles_a_signal_has_its_own_status() {
    let server = Server::tcp(&[]);
    let script = "trap 'echo cleaning up; exit 5' TERM; echo ready; while :; do sleep 0.01; done";
    let program = Program::start(&mut server.lock(&["x"], &["sh", "-c", script]));
    assert_eq!(program.line(), "ready");
    program.signal(Signal::TERM);
    let end = program.end();
    assert_eq!((end.code(), end.stdout.as_slice()), (5, &["cleaning up".to_owned()][..]), "{end:?}");
}

#[test]
fn with_a_command_that_dies_of_the_signal_officer_does_so_too() {
    let server = Server::tcp(&[]);
    let observer = server.client();
    for signal in [Signal::TERM, Signal::INT] {
        let program = Program::start(&mut server.lock(&["x"], &["cat"]));
        wait_for_count(&observer, "x", 1);
        // It holds the lock before the command runs.
        let ready = Program::start(&mut server.lock(&["y"], &["sh", "-c", "echo ready; exec cat"]));
        assert_eq!(ready.line(), "ready");
        ready.signal(signal);
        let end = ready.end();
        assert_eq!(end.status.signal(), Some(signal.as_raw()), "{end:?}");
        // The lock was released, not only lost with the process.
        assert!(end.stderr.is_empty(), "{end:?}");
        assert!(!observer.locks().unwrap().contains_key("y"));
        drop(program);
        wait_for_count(&observer, "x", 0);
    }
}

#[test]
fn what_is_ignored_stays_so_for_the_command() {
    let server = Server::tcp(&[]);
    let options = server.options().join(" ");
    // As `nohup` has it.
    let script = format!("trap '' HUP; officer lock {options} x -- sh -c 'kill -HUP $$; echo alive; exec cat'");
    let mut program = Program::start(&mut shell(&script));
    assert_eq!(program.line(), "alive");
    program.signal_all(Signal::HUP);
    program.input("still here\n");
    assert_eq!(program.line(), "still here");
    drop(program.take_input());
    assert_eq!(program.end().code(), 0);
}

#[test]
fn a_command_can_be_waited_for_where_the_ends_of_children_are_ignored() {
    let server = Server::tcp(&[]);
    // A shell would not have it ignored, whatever it is told.
    let mut command = Command::new("env");
    command.args(["--ignore-signal=CHLD", PROGRAM, "lock"]).args(server.options());
    let end = Program::start(command.args(["x", "--", "sh", "-c", "exit 6"])).end();
    if end.code() == 125 {
        skipped("this machine's env can't ignore signals");
        return;
    }
    assert_eq!(end.code(), 6, "{end:?}");
}

#[test]
fn a_signal_while_it_connects_ends_it() {
    // It accepts, and says nothing.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let program = Program::start(&mut officer(&["lock", "-p", &port, "x", "--", "echo", "ran"]));
    let (_stream, _) = listener.accept().unwrap();
    program.signal(Signal::INT);
    let end = program.end();
    assert_eq!(end.code(), 130);
    assert!(end.stdout.is_empty() && end.stderr.is_empty(), "{end:?}");
}

#[test]
fn a_command_that_is_stopped_has_not_ended() {
    let server = Server::tcp(&[]);
    let observer = server.client();
    let mut program = Program::start(&mut server.lock(&["x"], &["sh", "-c", "echo $$; kill -STOP $$; exec cat"]));
    let command = program.line();
    let is_stopped = || {
        let stat = std::fs::read_to_string(format!("/proc/{command}/stat")).unwrap();
        stat.rsplit_once(") ").unwrap().1.starts_with('T')
    };
    eventually("the command stops", is_stopped);
    // Officer looks at it when it is told of a child, once more a second later, and after this signal.
    program.signal(Signal::USR2);
    let next = Program::start(&mut server.lock(&["--timeout", "2", "x"], &["echo", "ran"]));
    next.end().expect_failure(75, "it is held by");
    assert!(is_stopped());
    kill_process(Pid::from_raw(command.parse().unwrap()).unwrap(), Signal::KILL).unwrap();
    drop(program.take_input());
    assert_eq!(program.end().status.code(), Some(137));
    wait_for_count(&observer, "x", 0);
}

#[test]
fn of_two_signals_the_one_that_ended_the_command_decides() {
    let server = Server::tcp(&[]);
    let script = "trap 'echo USR1' USR1; trap 'echo INT' INT; echo ready; while :; do sleep 0.01; done";
    for (handled, name, deadly) in
        [(Signal::USR1, "USR1", Signal::TERM), (Signal::USR1, "USR1", Signal::USR2), (Signal::INT, "INT", Signal::HUP)]
    {
        let program = Program::start(&mut server.lock(&["x"], &["sh", "-c", script]));
        assert_eq!(program.line(), "ready");
        program.signal(handled);
        assert_eq!(program.line(), name);
        program.signal(deadly);
        let end = program.end();
        assert_eq!(end.status.signal(), Some(deadly.as_raw()), "{end:?}");
    }
}
