//! `officer lock`, when the lock is lost while the command runs.

use rustix::process::{Pid, Signal, kill_process};

use crate::support::patience::eventually;
use crate::support::program::{Program, is_alive, run};
use crate::support::server::Server;
use crate::wait_for_count;

/// Does not care about SIGTERM, and says which process it is.
const STUBBORN: &str = "trap '' TERM; echo $$; while :; do sleep 0.01; done";

#[test]
fn a_command_that_ignores_sigterm_is_killed_when_the_server_is_gone() {
    let server = Server::tcp(&[]);
    let program = Program::start(&mut server.lock(&["--kill-after", "0.1", "x"], &["sh", "-c", STUBBORN]));
    let command = program.line();
    server.signal(Signal::KILL);
    let end = program.end();
    end.expect_failure(73, "the lock 'x' was lost while the command ran, which is ended now: ");
    assert!(!is_alive(&command));
}

#[test]
fn a_command_that_heeds_sigterm_has_the_time_to_clean_up() {
    for signal in [Signal::TERM, Signal::KILL] {
        let server = Server::tcp(&[]);
        let script = "trap 'sleep 0.2; echo cleaned up; exit 0' TERM; echo ready; while :; do sleep 0.01; done";
        let program = Program::start(&mut server.lock(&["--kill-after", "1000", "x"], &["sh", "-c", script]));
        assert_eq!(program.line(), "ready");
        server.signal(signal);
        let end = program.end();
        assert_eq!((end.code(), end.stdout.as_slice()), (73, &["cleaned up".to_owned()][..]), "{end:?}");
        // The shell may have a word to say about its `sleep`.
        assert!(end.stderr.iter().any(|line| line.contains("was lost while the command ran")), "{end:?}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn what_the_command_has_started_ends_with_it() {
    let server = Server::tcp(&[]);
    // The outer shell ends on SIGTERM, and what it waits for does not. One more is in a group of its own.
    let script = "setsid sh -c \"$0\" & sh -c \"$0\"; echo never";
    let program = Program::start(&mut server.lock(&["-k", "0.1", "x"], &["sh", "-c", script, STUBBORN]));
    let processes = [program.line(), program.line()];
    assert!(processes.iter().all(|process| is_alive(process)));
    server.signal(Signal::KILL);
    let end = program.end();
    end.expect_failure(73, "was lost");
    assert!(!processes.iter().any(|process| is_alive(process)), "{processes:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn what_others_have_started_does_not_end_with_it() {
    let server = Server::tcp(&[]);
    let options = server.options().join(" ");
    // A shell that has a child becomes officer.
    let script =
        format!("sleep 1000 > /dev/null 2>&1 & echo $!; exec \"$0\" lock {options} x -- sh -c 'echo ready; exec cat'");
    let mut shell = std::process::Command::new("sh");
    let program = Program::start(shell.args(["-c", &script, crate::support::server::PROGRAM]));
    let stranger = program.line();
    assert_eq!(program.line(), "ready");
    server.signal(Signal::KILL);
    program.end().expect_failure(73, "was lost");
    assert!(is_alive(&stranger));
    kill_process(Pid::from_raw(stranger.parse().unwrap()).unwrap(), Signal::KILL).unwrap();
}

#[test]
fn who_is_kicked_has_lost_its_lock() {
    let server = Server::tcp(&[]);
    let observer = server.client();
    let program = Program::start(&mut server.lock(&["x"], &["sh", "-c", "echo ready; exec cat"]));
    assert_eq!(program.line(), "ready");
    let holder = observer.locks().unwrap()["x"][0].clone();
    run(&mut server.officer("kick", &[&holder])).expect_success();
    program.end().expect_failure(73, "the lock 'x' was lost while the command ran");
}

#[test]
fn a_lock_that_was_lost_just_before_the_command_ended_is_no_success() {
    let server = Server::tcp(&[]);
    let observer = server.client();
    // Stopped, officer does not see what happens: neither the loss nor the end.
    let mut program = Program::start(&mut server.lock(&["x"], &["sh", "-c", "echo $$; exec cat"]));
    let command = program.line();
    program.signal(Signal::STOP);
    let holder = observer.locks().unwrap()["x"][0].clone();
    run(&mut server.officer("kick", &[&holder])).expect_success();
    wait_for_count(&observer, "x", 0);
    drop(program.take_input());
    eventually("the command ends", || !is_alive(&command));
    program.signal(Signal::CONT);
    program.end().expect_failure(73, "the lock 'x' was lost");
}

#[test]
fn a_signal_does_not_hide_a_loss_just_before_the_command_ended() {
    let server = Server::tcp(&[]);
    let observer = server.client();
    // It handles the signal, and ends well all the same.
    let script = "trap 'echo got TERM' TERM; echo $$; read line; exit 0";
    // Often: what has come while officer was stopped is told to it by several threads, in any order.
    for _ in 0..10 {
        let mut program = Program::start(&mut server.lock(&["x"], &["sh", "-c", script]));
        let command = program.line();
        program.signal(Signal::STOP);
        program.signal(Signal::TERM);
        let holder = observer.locks().unwrap()["x"][0].clone();
        run(&mut server.officer("kick", &[&holder])).expect_success();
        wait_for_count(&observer, "x", 0);
        program.input("\n");
        eventually("the command ends", || !is_alive(&command));
        program.signal(Signal::CONT);
        let end = program.end();
        assert_eq!(end.code(), 73, "{end:?}");
    }
}

#[test]
fn the_time_to_clean_up_is_counted_from_the_loss() {
    let server = Server::tcp(&[]);
    // For longer than that time it is held.
    let script = "trap 'sleep 0.3; echo cleaned up; exit 0' TERM; sleep 2.1; echo ready; while :; do sleep 0.01; done";
    let program = Program::start(&mut server.lock(&["--kill-after", "2", "x"], &["sh", "-c", script]));
    assert_eq!(program.line(), "ready");
    server.signal(Signal::KILL);
    let end = program.end();
    assert_eq!((end.code(), end.stdout.as_slice()), (73, &["cleaned up".to_owned()][..]), "{end:?}");
}
