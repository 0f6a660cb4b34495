//! `officer lock`, and what the command has started: a script's programs, and daemons.

use rustix::process::{Pid, Signal, kill_process};

use crate::support::patience::eventually;
use crate::support::program::{Program, is_alive, run};
use crate::support::server::Server;
use crate::{count_on, wait_for_count};

/// Says which process it is, and says so of each SIGTERM, until it is told to end.
const WORKER: &str = r#"trap 'echo got TERM' TERM; echo $$; until read line; [ "$line" = end ]; do :; done"#;

/// A shell that ends on a signal, and waits for a program that does not. The program reads the input.
const SCRIPT: &str = "sh -c \"$0\"; echo never";

fn kill(process: &str, signal: Signal) {
    kill_process(Pid::from_raw(process.trim().parse().unwrap()).unwrap(), signal).unwrap();
}

#[test]
fn the_lock_is_free_when_officer_itself_is_killed() {
    let server = Server::tcp(&[]);
    let observer = server.client();
    let program = Program::start(&mut server.lock(&["x"], &["sh", "-c", "echo $$; exec cat"]));
    let command = program.line();
    program.signal(Signal::KILL);
    wait_for_count(&observer, "x", 0);
    // Nobody is left to end it but the system.
    #[cfg(target_os = "linux")]
    eventually("the command ends", || !is_alive(&command));
}

#[test]
fn what_a_command_leaves_in_the_background_is_not_waited_for() {
    let server = Server::tcp(&[]);
    let script = "sleep 1000 > /dev/null 2>&1 & echo $!";
    let printed = run(&mut server.lock(&["x"], &["sh", "-c", script])).expect_success();
    assert!(is_alive(&printed[0]));
    kill(&printed[0], Signal::KILL);
}

#[test]
#[cfg(target_os = "linux")]
fn the_lock_is_held_until_the_program_of_a_script_that_was_killed_has_ended() {
    let server = Server::tcp(&[]);
    let observer = server.client();
    // Whether officer is told to end, or the script itself.
    for is_passed_on in [true, false] {
        let script = format!("echo $$; {SCRIPT}");
        let mut program = Program::start(&mut server.lock(&["x"], &["sh", "-c", &script, WORKER]));
        let [shell, worker] = [program.line(), program.line()];
        let next = Program::start(&mut server.lock(&["x"], &["echo", "next"]));
        wait_for_count(&observer, "x", 2);
        if is_passed_on {
            program.signal(Signal::TERM);
        } else {
            kill(&shell, Signal::TERM);
        }
        eventually("the script ends", || !is_alive(&shell));
        let said = program.said();
        assert!(said.contains(&format!("what it has started still runs: {worker}; 'x' is held")), "{said}");
        assert_eq!(count_on(&observer, "x"), 2);
        // The next signal is for what is left.
        program.signal(Signal::TERM);
        program.input("\n");
        assert_eq!(program.line(), "got TERM");
        assert_eq!(count_on(&observer, "x"), 2);
        program.input("end\n");
        let end = program.end();
        assert_eq!((end.code(), end.stdout.len(), end.stderr.len()), (143, 0, 0), "{end:?}");
        assert_eq!(next.end().expect_success(), ["next"]);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_loss_ends_what_is_left_of_a_script_that_was_killed() {
    let server = Server::tcp(&[]);
    let program = Program::start(&mut server.lock(&["-k", "0.1", "x"], &["sh", "-c", SCRIPT, WORKER]));
    let worker = program.line();
    program.signal(Signal::TERM);
    assert!(program.said().contains("still runs"));
    server.signal(Signal::KILL);
    let end = program.end();
    assert_eq!(end.code(), 73, "{end:?}");
    assert!(!is_alive(&worker));
}

#[test]
#[cfg(target_os = "linux")]
fn a_daemon_is_not_waited_for_and_does_not_end_with_the_lock() {
    let server = Server::tcp(&[]);
    let observer = server.client();
    // Its parent has ended, so nobody but us has it.
    let script = "(setsid sh -c 'echo $$; exec sleep 1000 > /dev/null 2>&1' &); echo ready; exec cat";
    for is_lost in [false, true] {
        let program = Program::start(&mut server.lock(&["x"], &["sh", "-c", script]));
        let mut lines = [program.line(), program.line()];
        lines.sort();
        let daemon = &lines[0];
        if is_lost {
            server.signal(Signal::KILL);
            program.end().expect_failure(73, "was lost");
        } else {
            program.signal(Signal::TERM);
            assert_eq!(program.end().code(), 143);
            assert_eq!(count_on(&observer, "x"), 0);
        }
        assert!(is_alive(daemon));
        kill(daemon, Signal::KILL);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_command_that_makes_a_session_for_itself_is_no_daemon() {
    let server = Server::tcp(&[]);
    let observer = server.client();
    let command = ["setsid", "sh", "-c", SCRIPT, WORKER];
    let mut program = Program::start(&mut server.lock(&["x"], &command));
    program.line();
    program.signal(Signal::TERM);
    assert!(program.said().contains("still runs"));
    assert_eq!(count_on(&observer, "x"), 1);
    program.input("end\n");
    assert_eq!(program.end().code(), 143);
}

#[test]
#[cfg(target_os = "linux")]
fn what_has_ended_is_let_go_of() {
    let server = Server::tcp(&[]);
    // Orphans become officer's children; it is the one that has to look at how they ended.
    let script = "(sh -c 'echo $$' &); (sh -c 'echo $$' &); echo $$; exec cat";
    let mut program = Program::start(&mut server.lock(&["x"], &["sh", "-c", script]));
    let command: Vec<String> = (0..3).map(|_| program.line()).collect();
    let exists = |process: &String| std::fs::exists(format!("/proc/{process}")).unwrap();
    eventually("only one process is there", || command.iter().filter(|process| exists(process)).count() == 1);
    drop(program.take_input());
    program.end().expect_success();
}
